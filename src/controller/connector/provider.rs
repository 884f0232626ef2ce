//! Asking a provider about credentials without letting one that hangs hold up anything else: few passes are at it at once, and after
//! some that got no answer nobody asks for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::kinds::{self, Verdict};

/// So many asks in a row without an answer, and the provider is left alone.
const MOST_UNANSWERED: u32 = 3;

/// For how long, at first and at most; it doubles each time that the next ask is not answered either.
const SHORTEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What stands between the passes and each of the providers.
pub struct Breakers {
    dropbox: Provider,
    pinecone: Provider,
}

impl Breakers {
    /// For providers each of which at most `limit` passes ask at once.
    pub fn new(limit: usize) -> Self {
        Self {
            dropbox: Provider::new(limit),
            pinecone: Provider::new(limit),
        }
    }

    /// What stands before this one.
    pub fn of(&self, provider: kinds::Provider) -> &Provider {
        match provider {
            kinds::Provider::Dropbox => &self.dropbox,
            kinds::Provider::Pinecone => &self.pinecone,
        }
    }
}

/// What stands between the passes and one provider.
pub struct Provider {
    asks: Semaphore,
    silence: Mutex<Silence>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The provider was asked.
    Answered(Verdict),
    /// It was not, because it gave no answer lately: what there is to say of that.
    Resting(String),
    /// It was not, because as many ask as may at once.
    Busy,
}

/// How the provider has been silent.
#[derive(Default)]
struct Silence {
    /// Asks in a row that were not answered.
    unanswered: u32,
    rest: Option<Rest>,
}

/// The provider is left alone.
struct Rest {
    until: Instant,
    pause: Duration,
    /// What there was to say of the ask that was not answered.
    why: String,
    /// Whether one pass was let through to see whether it answers again.
    probing: bool,
}

impl Provider {
    /// One that at most `limit` passes ask at once.
    pub fn new(limit: usize) -> Self {
        Self {
            asks: Semaphore::new(limit.max(1)),
            silence: Mutex::default(),
        }
    }

    /// Asks, unless that would hold up the pass. It never waits for another's ask.
    pub async fn ask(&self, ask: impl Future<Output = Verdict>) -> Asked {
        let Ok(_permit) = self.asks.try_acquire() else {
            return match self.silence().resting() {
                Some(why) => Asked::Resting(why),
                None => Asked::Busy,
            };
        };
        if let Some(why) = self.silence().may_ask() {
            return Asked::Resting(why);
        }
        let verdict = ask.await;
        self.silence().heard(&verdict);
        Asked::Answered(verdict)
    }

    fn silence(&self) -> MutexGuard<'_, Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Silence {
    /// Why nobody asks now, if nobody does.
    fn resting(&self) -> Option<String> {
        let rest = self.rest.as_ref()?;
        (Instant::now() < rest.until).then(|| rest.why.clone())
    }

    /// The same. After a pause one is let through, and the others when that one has its answer; should it never come back, after
    /// another pause.
    fn may_ask(&mut self) -> Option<String> {
        let resting = self.resting();
        if let (None, Some(rest)) = (&resting, &mut self.rest) {
            rest.probing = true;
            rest.until = Instant::now() + rest.pause;
        }
        resting
    }

    fn heard(&mut self, verdict: &Verdict) {
        let Verdict::NoAnswer(why) = verdict else {
            if self.rest.is_some() {
                tracing::info!("the credentials provider responds again");
            }
            *self = Self::default();
            return;
        };
        self.unanswered = self.unanswered.saturating_add(1);
        let pause = match &self.rest {
            Some(rest) if rest.probing => (rest.pause * 2).min(LONGEST_PAUSE),
            None if self.unanswered >= MOST_UNANSWERED => SHORTEST_PAUSE,
            // It was asked before it was left alone, or may just have been unlucky.
            _ => return,
        };
        tracing::warn!(
            seconds = pause.as_secs(),
            why,
            "the credentials provider does not respond; pausing requests to it"
        );
        self.rest = Some(Rest {
            until: Instant::now() + pause,
            pause,
            why: why.clone(),
            probing: false,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;

    use futures::FutureExt;
    use tokio::time::{advance, timeout};

    use super::*;

    fn silent() -> Verdict {
        Verdict::NoAnswer("it did not answer".to_owned())
    }

    fn resting() -> Asked {
        Asked::Resting("it did not answer".to_owned())
    }

    async fn ask(provider: &Provider, verdict: Verdict) -> Asked {
        provider.ask(ready(verdict)).await
    }

    async fn silenced() -> Provider {
        let provider = Provider::new(2);
        for _ in 0..MOST_UNANSWERED {
            assert_eq!(ask(&provider, silent()).await, Asked::Answered(silent()));
        }
        provider
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_as_many_asking_as_may_does_not_wait() {
        let provider = Arc::new(Provider::new(2));
        let mut hanging: Vec<_> = (0..2).map(|_| Box::pin(provider.ask(pending()))).collect();
        for ask in &mut hanging {
            assert_eq!(ask.now_or_never(), None);
        }
        assert_eq!(ask(&provider, Verdict::Accepted).await, Asked::Busy);
        drop(hanging);
        let answered = Asked::Answered(Verdict::Accepted);
        assert_eq!(ask(&provider, Verdict::Accepted).await, answered);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_left_alone_and_probed_by_one_at_a_time() {
        let provider = silenced().await;
        assert_eq!(ask(&provider, Verdict::Accepted).await, resting());
        advance(SHORTEST_PAUSE).await;
        let mut probe = Box::pin(provider.ask(async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            silent()
        }));
        assert!(timeout(Duration::from_secs(1), &mut probe).await.is_err());
        assert_eq!(ask(&provider, Verdict::Accepted).await, resting());
        assert_eq!(probe.await, Asked::Answered(silent()));

        advance(SHORTEST_PAUSE).await;
        assert_eq!(ask(&provider, silent()).await, resting(), "twice as long");
        advance(SHORTEST_PAUSE).await;
        let answered = Asked::Answered(Verdict::Accepted);
        assert_eq!(ask(&provider, Verdict::Accepted).await, answered);
        assert_eq!(ask(&provider, Verdict::Accepted).await, answered);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_comes_back_is_followed_by_another() {
        let provider = silenced().await;
        advance(SHORTEST_PAUSE).await;
        assert_eq!(provider.ask(pending()).now_or_never(), None);
        assert_eq!(ask(&provider, Verdict::Accepted).await, resting());
        advance(SHORTEST_PAUSE).await;
        let answered = Asked::Answered(Verdict::Accepted);
        assert_eq!(ask(&provider, Verdict::Accepted).await, answered);
    }

    #[tokio::test]
    async fn any_answer_ends_a_row_of_silence_however_useless_it_is() {
        let provider = Provider::new(2);
        for _ in 0..MOST_UNANSWERED {
            ask(&provider, silent()).await;
            let useless = Verdict::Inconclusive("503".to_owned());
            assert_eq!(
                ask(&provider, useless.clone()).await,
                Asked::Answered(useless)
            );
        }
    }
}
