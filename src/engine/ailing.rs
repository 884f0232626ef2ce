//! An API that does not work, for as long as somebody waits for it: found out by one, told to all.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::backoff::{doubled, jittered};
use super::key::Key;

/// Between two times that everybody is woken: whoever fails again at once is not to wake the others with that.
const BREATH: Duration = Duration::from_secs(2);

/// The same, where waking them has been of no use several times in a row.
const LONGEST_BREATH: Duration = Duration::from_secs(16);

/// If it ails again so soon after everybody was woken, that was of no use.
const RELAPSE: Duration = Duration::from_mins(1);

/// How often somebody looks whether it works again.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(10);

/// Whether an API ails, and who waits for it.
#[derive(Debug, Default)]
pub struct Ailing {
    began: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeSet<Key>,
    episode: Option<Episode>,
    woken: Option<Instant>,
    /// When a doubt turned out to be none.
    doubted: Option<Instant>,
    /// Times in a row that waking everybody was of no use.
    relapses: u32,
}

/// It ails.
#[derive(Debug)]
struct Episode {
    /// Answers that had come when somebody last said so.
    answers: u64,
    /// Whether it is known to ail. A failure of one alone may be its own.
    certain: bool,
    probes: u32,
    next_probe: Instant,
}

impl Ailing {
    /// This resource waits for the API to work.
    pub fn wait(&self, key: &Key) {
        let mut state = self.state();
        if !state.waiting.contains(key) {
            state.waiting.insert(key.clone());
        }
    }

    /// This resource does not wait for it any more.
    pub fn leave(&self, key: &Key) {
        self.state().waiting.remove(key);
    }

    /// One of those that wait, and not always the same.
    pub fn any(&self) -> Option<Key> {
        let state = self.state();
        let one = fastrand::usize(..state.waiting.len().max(1));
        state.waiting.iter().nth(one).cloned()
    }

    /// Nobody waits, so nobody has to find out whether it works again.
    pub fn give_up(&self) {
        self.state().episode = None;
    }

    /// It does not work, after this many answers.
    pub fn begin(&self, answers: u64) {
        let mut state = self.state();
        match &mut state.episode {
            Some(episode) if episode.certain => episode.answers = answers,
            Some(episode) => {
                (episode.answers, episode.certain) = (answers, true);
                state.count_relapse();
            }
            None => {
                state.episode = Some(Episode::new(answers, true));
                state.count_relapse();
                self.began.notify_waiters();
            }
        }
    }

    /// It may not work, after this many answers: a probe will tell.
    pub fn doubt(&self, answers: u64) {
        let mut state = self.state();
        let recent = |at: Instant| at.elapsed() < LONGEST_PROBE;
        if state.episode.is_none() && !state.doubted.is_some_and(recent) {
            state.episode = Some(Episode::new(answers, false));
            self.began.notify_waiters();
        }
    }

    /// Who should try again, because an answer has come since it began. Said once.
    pub fn ended(&self, answers: u64) -> BTreeSet<Key> {
        let mut state = self.state();
        let answered = state
            .episode
            .as_ref()
            .is_some_and(|episode| answers > episode.answers);
        if state.episode.take_if(|e| answered && !e.certain).is_some() {
            state.doubted = Some(Instant::now());
            return BTreeSet::new();
        }
        if !answered || !state.has_rested() {
            return BTreeSet::new();
        }
        state.episode = None;
        state.woken = Some(Instant::now());
        std::mem::take(&mut state.waiting)
    }

    /// Returns when the API ails and the time for the next probe has come, to one of those who ask.
    pub async fn probe_due(&self) {
        loop {
            let began = self.began.notified();
            tokio::pin!(began);
            began.as_mut().enable();
            let next = self.state().episode.as_ref().map(|e| e.next_probe);
            let Some(due) = next else {
                began.await;
                continue;
            };
            sleep_until(due).await;
            if let Some(episode) = &mut self.state().episode
                && episode.next_probe == due
            {
                episode.probes += 1;
                let pause = doubled(FIRST_PROBE, episode.probes + 1, LONGEST_PROBE);
                episode.next_probe = Instant::now() + jittered(pause);
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Episode {
    fn new(answers: u64, certain: bool) -> Self {
        Self {
            answers,
            certain,
            probes: 0,
            next_probe: Instant::now() + jittered(FIRST_PROBE),
        }
    }
}

impl State {
    fn count_relapse(&mut self) {
        let relapsed = self.woken.is_some_and(|at| at.elapsed() < RELAPSE);
        self.relapses = if relapsed { self.relapses + 1 } else { 0 };
    }

    fn has_rested(&self) -> bool {
        let breath = doubled(BREATH, self.relapses + 1, LONGEST_BREATH);
        self.woken.is_none_or(|at| at.elapsed() >= breath)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("DropboxSource", "legal", name)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_after_it_began_wakes_once_whoever_still_waits() {
        let ailing = Ailing::default();
        ailing.wait(&key("a"));
        ailing.wait(&key("b"));
        assert_eq!(ailing.ended(7), BTreeSet::new(), "it does not ail");
        ailing.begin(7);
        ailing.leave(&key("b"));
        assert_eq!(ailing.ended(7), BTreeSet::new(), "no response came");
        assert_eq!(ailing.ended(8), BTreeSet::from([key("a")]));
        ailing.begin(8);
        assert_eq!(ailing.ended(9), BTreeSet::new(), "nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_one_alone_is_its_own_unless_a_look_fails_too() {
        let ailing = Ailing::default();
        ailing.wait(&key("a"));
        ailing.doubt(7);
        ailing.probe_due().await;
        assert_eq!(ailing.ended(8), BTreeSet::new(), "the API works");
        ailing.doubt(8);
        assert_eq!(ailing.probe_due().now_or_never(), None, "a moment ago");
        advance(LONGEST_PROBE).await;
        ailing.doubt(8);
        ailing.probe_due().await;
        ailing.begin(8);
        assert_eq!(ailing.ended(9), BTreeSet::from([key("a")]));
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_again_and_again_is_woken_ever_more_slowly_until_it_held_for_a_while() {
        let ailing = Ailing::default();
        let mut answers = 0;
        let mut woken_after = async || {
            ailing.begin(answers);
            ailing.wait(&key("a"));
            answers += 1;
            let since = Instant::now();
            while ailing.ended(answers).is_empty() {
                advance(Duration::from_secs(1)).await;
            }
            since.elapsed().as_secs()
        };
        assert_eq!(woken_after().await, 0);
        for seconds in [4, 8, 16, 16] {
            assert_eq!(woken_after().await, seconds);
        }
        advance(RELAPSE).await;
        assert_eq!(woken_after().await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_who_would_look_one_does_and_the_next_one_later() {
        let ailing = Ailing::default();
        assert_eq!(ailing.probe_due().now_or_never(), None, "it does not ail");
        ailing.begin(0);
        let mut probes = Vec::new();
        let begun = Instant::now();
        for _ in 0..6 {
            tokio::select! {
                () = ailing.probe_due() => {}
                () = ailing.probe_due() => {}
            }
            assert_eq!(ailing.probe_due().now_or_never(), None, "one at a time");
            probes.push(begun.elapsed());
        }
        let longest = LONGEST_PROBE.mul_f64(1.5);
        assert!(
            probes.is_sorted() && probes[5] <= probes[4] + longest,
            "{probes:?}"
        );
    }
}
