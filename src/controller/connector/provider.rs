//! Asking a provider about credentials without letting one that does not work hold up anything else: few passes are at it at once,
//! after some that failed one alone may ask, and when it answers, everybody who had no answer asks again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use crate::engine::ailing::Ailing;
use crate::engine::key::Key;
use crate::kinds::{self, Verdict};

/// So many asks in a row without an answer, and the provider is left alone but for a scout.
const MOST_UNANSWERED: u32 = 3;

/// What stands between the passes and each of the providers.
pub struct Breakers([(kinds::Provider, Provider); kinds::Provider::ALL.len()]);

impl Breakers {
    /// For providers each of which at most `limit` passes ask at once.
    pub fn new(limit: usize) -> Self {
        Self(kinds::Provider::ALL.map(|provider| (provider, Provider::new(limit))))
    }

    /// What stands before this one.
    pub fn of(&self, provider: kinds::Provider) -> &Provider {
        let mut all = self.0.iter();
        let found = all.find(|(of, _)| *of == provider);
        found
            .map(|(_, breaker)| breaker)
            .expect("there is one for each")
    }

    /// A resource that is gone, or has nothing to ask any more, waits for none of them.
    pub fn forget(&self, key: &Key) {
        for (_, breaker) in &self.0 {
            breaker.ailing.leave(key);
        }
    }
}

/// What stands between the passes and one provider.
pub struct Provider {
    asks: Semaphore,
    ailing: Ailing,
    record: Mutex<Record>,
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

/// How the provider has answered.
#[derive(Default)]
struct Record {
    /// Asks ever that were answered.
    answers: u64,
    /// Asks in a row that were not.
    unanswered: u32,
    /// What there was to say of the last of these.
    why: String,
    /// Who may ask all the same, to find out whether it answers again.
    scout: Option<Key>,
}

impl Provider {
    /// One that at most `limit` passes ask at once.
    pub fn new(limit: usize) -> Self {
        Self {
            asks: Semaphore::new(limit.max(1)),
            ailing: Ailing::default(),
            record: Mutex::default(),
        }
    }

    /// Asks for this resource, unless that would hold up its pass. It never waits for another's ask. A resource that gets no answer
    /// waits for one: see [`recovered`](Self::recovered).
    pub async fn ask(&self, key: &Key, ask: impl Future<Output = Verdict>) -> Asked {
        if let Some(why) = self.record().rest(key) {
            self.ailing.wait(key);
            return Asked::Resting(why);
        }
        let Ok(_permit) = self.asks.try_acquire() else {
            return Asked::Busy;
        };
        let verdict = ask.await;
        let answers = self.record().heard(&verdict);
        if let Verdict::NoAnswer(_) = verdict {
            self.ailing.wait(key);
            self.ailing.begin(answers);
        }
        Asked::Answered(verdict)
    }

    /// Who should ask again, because the provider has answered anybody since it did not. Said once.
    pub fn recovered(&self) -> BTreeSet<Key> {
        let answers = self.record().answers;
        self.ailing.ended(answers)
    }

    /// Returns when somebody waits and the time has come to find out whether the provider answers again: who is to ask.
    pub async fn scout(&self) -> Key {
        loop {
            self.ailing.probe_due().await;
            let scout = self.ailing.any();
            self.record().scout.clone_from(&scout);
            if let Some(scout) = scout {
                return scout;
            }
            // Whoever comes next finds out.
            self.record().unanswered = 0;
            self.ailing.give_up();
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Why this one does not ask now, unless it may.
    fn rest(&mut self, key: &Key) -> Option<String> {
        let may = self.unanswered < MOST_UNANSWERED || self.scout.take_if(|s| s == key).is_some();
        (!may).then(|| self.why.clone())
    }

    /// How many asks were answered, after this verdict.
    fn heard(&mut self, verdict: &Verdict) -> u64 {
        if let Verdict::NoAnswer(why) = verdict {
            self.unanswered = self.unanswered.saturating_add(1);
            self.why.clone_from(why);
            if self.unanswered == MOST_UNANSWERED {
                tracing::warn!(
                    why,
                    "the credentials provider does not respond; asking it for one resource at a time"
                );
            }
        } else {
            if self.unanswered >= MOST_UNANSWERED {
                tracing::info!("the credentials provider responds again");
            }
            self.unanswered = 0;
            self.answers += 1;
        }
        self.answers
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::time::Duration;

    use futures::FutureExt;
    use tokio::time::{advance, timeout};

    use super::*;

    /// Longer than any pause between two scouts.
    const PAUSE: Duration = Duration::from_secs(10);

    fn key(name: &str) -> Key {
        Key::new("DropboxSource", "legal", name)
    }

    fn silent() -> Verdict {
        Verdict::NoAnswer("it did not respond".to_owned())
    }

    fn resting() -> Asked {
        Asked::Resting("it did not respond".to_owned())
    }

    async fn ask(provider: &Provider, name: &str, verdict: Verdict) -> Asked {
        provider.ask(&key(name), ready(verdict)).await
    }

    async fn silenced() -> Provider {
        let provider = Provider::new(2);
        for _ in 0..MOST_UNANSWERED {
            let asked = ask(&provider, "a", silent()).await;
            assert_eq!(asked, Asked::Answered(silent()));
        }
        provider
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_as_many_asking_as_may_does_not_wait() {
        let provider = Arc::new(Provider::new(2));
        let (a, b) = (key("a"), key("b"));
        let mut hanging = [&a, &b].map(|key| Box::pin(provider.ask(key, pending())));
        for ask in &mut hanging {
            assert_eq!(ask.now_or_never(), None);
        }
        assert_eq!(ask(&provider, "c", Verdict::Accepted).await, Asked::Busy);
        drop(hanging);
        let answered = Asked::Answered(Verdict::Accepted);
        assert_eq!(ask(&provider, "c", Verdict::Accepted).await, answered);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_provider_is_asked_for_one_at_a_time_and_when_it_answers_all_ask_again() {
        let provider = silenced().await;
        assert_eq!(ask(&provider, "b", Verdict::Accepted).await, resting());
        for _ in 0..6 {
            let scout = timeout(PAUSE, provider.scout()).await.unwrap();
            let asked = provider.ask(&scout, ready(silent())).await;
            assert_eq!(asked, Asked::Answered(silent()));
            assert_eq!(ask(&provider, "c", Verdict::Accepted).await, resting());
            assert_eq!(provider.recovered(), BTreeSet::new());
        }
        let scout = timeout(PAUSE, provider.scout()).await.unwrap();
        let answered = Asked::Answered(Verdict::Accepted);
        let asked = provider.ask(&scout, ready(Verdict::Accepted)).await;
        assert_eq!(asked, answered);
        let waiting = BTreeSet::from(["a", "b", "c"].map(key));
        assert_eq!(provider.recovered(), waiting);
        assert_eq!(provider.recovered(), BTreeSet::new(), "said once");
        assert_eq!(ask(&provider, "d", Verdict::Accepted).await, answered);
        assert_eq!(provider.scout().now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scout_that_never_comes_back_is_followed_by_another() {
        let provider = silenced().await;
        let scout = provider.scout().await;
        assert_eq!(provider.ask(&scout, pending()).now_or_never(), None);
        assert_eq!(ask(&provider, "a", Verdict::Accepted).await, resting());
        let scout = timeout(PAUSE, provider.scout()).await.unwrap();
        let answered = Asked::Answered(Verdict::Accepted);
        let asked = provider.ask(&scout, ready(Verdict::Accepted)).await;
        assert_eq!(asked, answered);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_waits_any_more_whoever_comes_next_asks() {
        let breakers = Breakers([
            (kinds::Provider::Dropbox, silenced().await),
            (kinds::Provider::Pinecone, Provider::new(2)),
        ]);
        breakers.forget(&key("a"));
        let provider = breakers.of(kinds::Provider::Dropbox);
        assert!(timeout(PAUSE, provider.scout()).await.is_err());
        let answered = Asked::Answered(Verdict::Accepted);
        assert_eq!(ask(provider, "b", Verdict::Accepted).await, answered);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_says_nothing_is_an_answer() {
        let provider = Provider::new(2);
        for _ in 0..MOST_UNANSWERED {
            ask(&provider, "a", silent()).await;
            let useless = Verdict::Inconclusive("a web page".to_owned());
            let asked = ask(&provider, "b", useless.clone()).await;
            assert_eq!(asked, Asked::Answered(useless));
        }
        assert_eq!(provider.recovered(), BTreeSet::from([key("a")]));
    }

    #[tokio::test(start_paused = true)]
    async fn one_failure_of_one_alone_is_asked_again_soon() {
        let provider = Provider::new(2);
        ask(&provider, "a", silent()).await;
        assert_eq!(provider.scout().now_or_never(), None);
        advance(PAUSE).await;
        assert_eq!(provider.scout().await, key("a"));
    }
}
