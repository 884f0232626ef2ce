//! `cargo demo`: the operator's whole job on this machine, told step by step.
//!
//! A real control plane, the operator as a process, and strict fakes of the APIs. Every command is one that a person could
//! type, every output is its real one, and the demo fails where something is not as it says.
#![forbid(unsafe_code)]

mod ground;
mod screen;
mod story;
mod traffic;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use ground::Ground;
use screen::Screen;
use story::Story;

/// Shows the operator's whole job on a control plane and fakes of its own: no cluster and no account are needed.
#[derive(Parser)]
#[command(name = "cargo demo")]
struct Options {
    /// Leave everything running at the end, to play with, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let screen = Screen::detect();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let outcome = runtime.block_on(demo(&options, &screen));
            // A build that was interrupted is not waited for.
            runtime.shutdown_background();
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Whatever ends this early, an error or a signal, drops the ground, and with it every process that was started.
async fn demo(options: &Options, screen: &Screen) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let interrupted = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(interrupted);

    let mut ground = tokio::select! {
        ground = Ground::prepare() => ground?,
        () = &mut interrupted => bail!("interrupted"),
    };
    let told = tokio::select! {
        told = tell(screen, &mut ground) => told,
        () = &mut interrupted => bail!("interrupted"),
    };
    if let Err(error) = told {
        let logs = ground.keep_logs();
        bail!(
            "{error:#}\nThe operator's log is kept in {}.",
            logs.display()
        );
    }
    if options.keep {
        ground.invite(screen);
        interrupted.await;
        // What a visitor sent by hand need not be careful.
        ground.forgive();
        screen::say("\nStopping everything.");
    }
    ground.end().await
}

async fn tell(screen: &Screen, ground: &mut Ground) -> Result<()> {
    let started = Instant::now();
    Story::begin(screen, ground)?.tell().await?;
    screen::say(&format!(
        "\nAll of it held, in {} s.",
        started.elapsed().as_secs()
    ));
    Ok(())
}
