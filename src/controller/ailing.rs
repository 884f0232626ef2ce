//! An API that does not work, for as long as somebody waits for it: found out by one, told to all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::{doubled, jittered};

/// Between two times that everybody is woken: whoever fails again at once is not to wake the others with that.
const BREATH: Duration = Duration::from_secs(2);

/// How often somebody looks whether it works again.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(15);

/// Whether the API of one workspace ails.
#[derive(Debug, Default)]
pub struct Ailing {
    ails: AtomicBool,
    began: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers that had come when it began.
    answers: u64,
    woken: Option<Instant>,
}

impl Ailing {
    /// Somebody waits for the API to work, after this many answers.
    pub fn begin(&self, answers: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answers = answers;
        self.ails.store(true, Ordering::Relaxed);
        self.began.notify_one();
    }

    /// Whether an answer has come since, so that all who wait should try again. Said once.
    pub fn has_ended(&self, answers: u64) -> bool {
        if !self.ails.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = state.woken.is_none_or(|at| at.elapsed() >= BREATH);
        let ended = answers > state.answers && rested;
        if ended {
            state.woken = Some(Instant::now());
            self.ails.store(false, Ordering::Relaxed);
        }
        ended
    }

    /// Returns when the API ails and the time for the next probe has come, the `n`th in a row.
    pub async fn probe_due(&self, n: u32) {
        while !self.ails.load(Ordering::Relaxed) {
            self.began.notified().await;
        }
        tokio::time::sleep(jittered(doubled(FIRST_PROBE, n, LONGEST_PROBE))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_after_it_began_ends_it_once_and_not_again_at_once() {
        let ailing = Ailing::default();
        assert!(!ailing.has_ended(7));
        ailing.begin(7);
        assert!(!ailing.has_ended(7));
        assert!(ailing.has_ended(8));
        assert!(!ailing.has_ended(9));

        ailing.begin(9);
        assert!(!ailing.has_ended(10), "everybody was woken a moment ago");
        tokio::time::advance(BREATH).await;
        assert!(ailing.has_ended(10));
    }
}
