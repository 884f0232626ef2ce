//! Signals: the first asks for an orderly end, the second ends at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that the first SIGTERM or SIGINT cancels. The second signal ends the process with 128 plus its number, as a
/// shell would report it.
///
/// Call it once, inside the runtime, before anything that must not be interrupted half-way.
///
/// # Errors
///
/// The handlers could not be installed.
pub fn on_signal() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    };

    let shutdown = CancellationToken::new();
    let requested = shutdown.clone();
    tokio::spawn(async move {
        let first = next().await;
        info!(signal = first.as_raw_value(), "shutting down");
        requested.cancel();
        let second = next().await;
        warn!(
            signal = second.as_raw_value(),
            "received a second signal; stopping without waiting for work in progress"
        );
        std::process::exit(128 + second.as_raw_value());
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use std::process::{self, Command};

    use super::*;

    #[tokio::test]
    async fn a_signal_asks_for_the_end_without_ending_the_process() {
        let shutdown = on_signal().unwrap();
        assert!(!shutdown.is_cancelled());
        let sent = Command::new("kill")
            .args(["-TERM", &process::id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        shutdown.cancelled().await;
    }
}
