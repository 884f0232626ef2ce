//! How long keys were told to wait, kept apart from the clients that were told: such a pause outlives its client, and, as a line of
//! text, its process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::endpoint::Fingerprint;

/// Pauses that a text holds, the longest first: it has to fit where it is kept.
const MOST: usize = 500;

/// A shorter pause is over before another process can take the place of one that was killed.
const LONG: Duration = Duration::from_secs(10);

/// Until when each key has been told, by a 429, to send nothing. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    until: Mutex<HashMap<Fingerprint, Instant>>,
    lengthened: Notify,
}

impl Pauses {
    /// Until when nothing may be sent with a key, as far as is known; it may be over.
    pub(super) fn until(&self, key: &Fingerprint) -> Option<Instant> {
        self.lock().get(key).copied()
    }

    /// Takes note of a pause, unless a longer one is known.
    pub(super) fn extend(&self, key: &Fingerprint, until: Instant) {
        let mut known = self.lock();
        if known.get(key).is_none_or(|known| *known < until) {
            known.insert(key.clone(), until);
            if until > Instant::now() + LONG {
                self.0.lengthened.notify_one();
            }
        }
    }

    /// Returns when a pause was begun or extended, since the last call, that is long enough to outlast a process that is killed.
    /// For one listener.
    pub async fn lengthened(&self) {
        self.0.lengthened.notified().await;
    }

    /// The pauses that are on, as `<fingerprint>=<time>,…` with times to the second after; `None` when none is. `now` is the time
    /// by the clock that they are told in.
    pub fn to_text(&self, now: Timestamp) -> Option<String> {
        let at = Instant::now();
        let mut known = self.lock();
        known.retain(|_, until| *until > at);
        let mut pauses: Vec<_> = known.iter().collect();
        pauses.sort_by_key(|(_, until)| std::cmp::Reverse(**until));
        let told = pauses.into_iter().take(MOST).filter_map(|(key, until)| {
            let left = SignedDuration::try_from(*until - at).ok()?;
            let end = now.checked_add(left).ok()?;
            let time = Timestamp::from_second(end.as_second() + 1).ok()?;
            Some(format!("{key}={time}"))
        });
        let told: Vec<_> = told.collect();
        (!told.is_empty()).then(|| told.join(","))
    }

    /// Takes over the pauses of a text that was written at `written` by another process's clock; `now` is the time by ours. Where
    /// the two disagree, no pause becomes longer than it was when it was written. What cannot be read is passed over.
    pub fn restore(&self, text: &str, written: Timestamp, now: Timestamp) {
        let at = Instant::now();
        for (key, time) in text.split(',').filter_map(|pause| pause.split_once('=')) {
            let (Some(key), Ok(time)) = (Fingerprint::parse(key), time.parse::<Timestamp>()) else {
                continue;
            };
            let left = time.duration_since(now).min(time.duration_since(written));
            let left = Duration::try_from(left).unwrap_or_default();
            if let Some(until) = at.checked_add(left).filter(|until| *until > at) {
                self.extend(&key, until);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, Instant>> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn key() -> Fingerprint {
        Fingerprint::parse(KEY).unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn seconds(pauses: &Pauses) -> Option<u64> {
        let until = pauses.until(&key())?;
        Some((until - Instant::now()).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_process_writes_another_waits_for_and_no_longer() {
        let first = Pauses::default();
        let now = time("2026-03-01T12:00:00Z");
        assert_eq!(first.to_text(now), None);
        first.extend(&key(), Instant::now() + Duration::from_secs(100));
        first.extend(&key(), Instant::now() + Duration::from_secs(10));
        let text = first.to_text(now).unwrap();
        assert_eq!(text, format!("{KEY}=2026-03-01T12:01:41Z"));

        let second = Pauses::default();
        second.restore(&text, now, time("2026-03-01T12:00:40Z"));
        assert_eq!(seconds(&second), Some(61));
        tokio::time::advance(Duration::from_secs(62)).await;
        assert_eq!(second.to_text(now), None, "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_late_makes_no_pause_longer_and_garbage_makes_none() {
        let written = time("2026-03-01T12:00:00Z");
        let table = [
            (format!("{KEY}=2026-03-01T12:01:00Z"), Some(60)),
            (
                format!("nonsense,{KEY}=soon,{KEY}=2026-03-01T12:01:00Z,="),
                Some(60),
            ),
            (format!("{KEY}=2026-03-01T11:59:00Z"), None),
            (format!("{KEY}=-009999-01-02T01:59:59Z"), None),
            ("0123=2026-03-01T12:01:00Z".to_owned(), None),
            (String::new(), None),
        ];
        for (text, expected) in table {
            let pauses = Pauses::default();
            pauses.restore(&text, written, time("2026-03-01T11:50:00Z"));
            assert_eq!(seconds(&pauses), expected, "{text}");
        }
    }
}
