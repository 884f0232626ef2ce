//! Access tokens for many who hold the same credentials: thousands of resources may read one Secret, and Dropbox need not be asked
//! for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::error::CallError;

/// How long an answer is kept for those who wait in line. Access tokens live four hours.
const KEPT: Duration = Duration::from_mins(1);

/// The answers of the last minute.
#[derive(Default)]
pub(super) struct Tokens(Arc<Mutex<Slots>>);

type Slots = HashMap<Credentials, Arc<Slot>>;

/// Stands for an app key, an app secret and a refresh token, and does not give them away.
type Credentials = [u8; 32];

/// One request at a time for one set of credentials: when the last one was sent, and its answer.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<(Instant, Answer)>>);

type Answer = Result<Arc<SecretString>, CallError>;

impl Tokens {
    /// The answer for these credentials: one that was asked for at or after `since`, or what `ask` brings.
    pub async fn get(
        &self,
        credentials: [&SecretString; 3],
        since: Instant,
        ask: impl Future<Output = Result<SecretString, CallError>>,
    ) -> Answer {
        let slot = self.slot(digest(credentials));
        let mut last = slot.0.lock().await;
        if let Some((sent, answer)) = &*last
            && *sent >= since
        {
            return answer.clone();
        }
        let sent = Instant::now();
        let answer = ask.await.map(Arc::new);
        *last = Some((sent, answer.clone()));
        answer
    }

    fn slot(&self, credentials: Credentials) -> Arc<Slot> {
        let make = || {
            let slots = Arc::downgrade(&self.0);
            tokio::spawn(async move {
                sleep(KEPT).await;
                if let Some(slots) = slots.upgrade() {
                    lock(&slots).remove(&credentials);
                }
            });
            Arc::default()
        };
        lock(&self.0)
            .entry(credentials)
            .or_insert_with(make)
            .clone()
    }
}

fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

fn digest(credentials: [&SecretString; 3]) -> Credentials {
    let mut hasher = Sha256::new();
    for value in credentials {
        let value = value.expose_secret();
        hasher.update((value.len() as u64).to_be_bytes());
        hasher.update(value);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::time::sleep;

    use super::*;

    /// Dropbox, which takes a second for each answer.
    #[derive(Default)]
    struct Asked {
        tokens: Tokens,
        times: AtomicUsize,
    }

    impl Asked {
        async fn get(&self, refresh_token: &str, since: Instant, accepts: bool) -> Answer {
            let [key, secret, token] = ["k", "s", refresh_token].map(SecretString::from);
            let ask = async {
                sleep(Duration::from_secs(1)).await;
                self.times.fetch_add(1, Ordering::Relaxed);
                if accepts {
                    Ok(SecretString::from("sl.token"))
                } else {
                    Err(CallError::InvalidGrant)
                }
            };
            self.tokens.get([&key, &secret, &token], since, ask).await
        }

        fn times(&self) -> usize {
            self.times.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_readers_of_a_changed_secret_cost_one_grant_whatever_it_says() {
        for accepts in [true, false] {
            let (asked, changed) = (Asked::default(), Instant::now());
            let readers = (0..1_000).map(|_| asked.get("r", changed, accepts));
            let answers = join_all(readers).await;
            assert!(answers.iter().all(|answer| answer.is_ok() == accepts));
            assert_eq!(asked.times(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_newer_reason_to_ask_gets_a_newer_answer() {
        let asked = Asked::default();
        assert!(asked.get("r", Instant::now(), true).await.is_ok());
        assert!(asked.get("r", Instant::now(), false).await.is_err());
        assert_eq!(asked.times(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn other_credentials_are_asked_for_on_their_own_and_none_is_kept_for_long() {
        let (asked, since) = (Asked::default(), Instant::now());
        asked.get("r", since, true).await.unwrap();
        asked.get("other", since, true).await.unwrap();
        assert_eq!(asked.times(), 2);
        sleep(KEPT).await;
        assert!(lock(&asked.tokens.0).is_empty());
    }
}
