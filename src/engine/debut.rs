//! How far a 404 is believed: a service may not show at once what it has just made, and to make it again would leave two. Connectors and
//! workflows follow the same rule.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tokio::time::Instant;

use crate::crd::ConditionType;

/// What speaks against a 404 on something of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Debut {
    /// Nothing: it was seen by its id, or it was made a settle time ago or earlier.
    Over,
    /// It was made or found a moment ago, and only a list has shown it. A list that omits it again says that it is gone.
    Listed,
    /// It was made a moment ago, and nothing has shown it.
    Unseen,
}

impl Debut {
    /// Whether a 404 on its id says that it is gone.
    #[must_use]
    pub fn is_over(self) -> bool {
        self == Self::Over
    }

    /// What a list means that shows it, or omits it.
    #[must_use]
    pub fn listed(self, shown: bool) -> Self {
        match (self, shown) {
            (Self::Unseen, true) => Self::Listed,
            (Self::Listed, false) => Self::Over,
            (other, _) => other,
        }
    }
}

/// What a process remembers of this, between two passes.
#[derive(Clone, Copy, Debug)]
pub struct Remembered<I> {
    id: I,
    debut: Debut,
    /// When it is over in any case.
    until: Instant,
}

impl<I: Copy + PartialEq> Remembered<I> {
    /// What is known at the start of a pass of what is on record. Of what a process before this one made, the record tells how old it is
    /// (`recorded`): wall clocks of two machines differ, so no longer than the settle time is waited from when this process first saw it.
    pub fn recall(
        memory: &mut Option<Self>,
        id: I,
        recorded: Option<&Time>,
        settle_time: Duration,
    ) -> Debut {
        let known = memory.filter(|known| known.id == id);
        let now = Instant::now();
        let known = known.unwrap_or_else(|| {
            let left = left(recorded, settle_time);
            Self {
                id,
                debut: if left.is_zero() {
                    Debut::Over
                } else {
                    Debut::Unseen
                },
                until: now + left,
            }
        });
        *memory = Some(known);
        if now >= known.until {
            Debut::Over
        } else {
            known.debut
        }
    }

    /// Keeps what a pass has learnt of what is on record by now.
    pub fn keep(memory: &mut Option<Self>, bound: Option<I>, debut: Debut, settle_time: Duration) {
        *memory = bound.map(|id| {
            let known = memory.filter(|known| known.id == id);
            let until = known.map_or_else(|| Instant::now() + settle_time, |known| known.until);
            Self { id, debut, until }
        });
    }

    /// Takes note of a list that was made for others. What it omits is for a pass to look at.
    pub fn swept(&mut self, shows: impl FnOnce(I) -> bool) {
        if self.debut == Debut::Unseen && shows(self.id) {
            self.debut = Debut::Listed;
        }
    }

    /// How long until a 404 is believed, where it is not yet.
    pub fn left(&self) -> Option<Duration> {
        (!self.debut.is_over()).then(|| self.until.saturating_duration_since(Instant::now()))
    }
}

/// How much of the settle time is left for what is on record since then. Nobody knows of what has no such time, so all of it is.
fn left(recorded: Option<&Time>, settle_time: Duration) -> Duration {
    let Some(recorded) = recorded else {
        return settle_time;
    };
    match Duration::try_from(crate::clock::now().duration_since(recorded.0)) {
        // The time has no fractions of a second.
        Ok(age) => (settle_time + Duration::from_secs(1))
            .saturating_sub(age)
            .min(settle_time),
        // It lies ahead.
        Err(_) => settle_time,
    }
}

/// Since when what is on record has had the configuration that was asked for, which it had no earlier than it was made.
pub fn synced_since(conditions: &[Condition]) -> Option<&Time> {
    let synced = ConditionType::Synced.as_str();
    let mut all = conditions.iter();
    let found = all.find(|c| c.type_ == synced && c.status == "True")?;
    Some(&found.last_transition_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::SignedDuration;

    const SETTLE_TIME: Duration = Duration::from_mins(1);

    fn recall(memory: &mut Option<Remembered<u8>>, age: Option<i64>) -> Debut {
        let time = age.map(|age| Time(crate::clock::now() - SignedDuration::from_secs(age)));
        Remembered::recall(memory, 1, time.as_ref(), SETTLE_TIME)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_just_made_is_believed_gone_once_its_time_is_over() {
        let mut memory = None;
        Remembered::keep(&mut memory, Some(1), Debut::Unseen, SETTLE_TIME);
        tokio::time::advance(SETTLE_TIME / 2).await;
        assert_eq!(recall(&mut memory, None), Debut::Unseen);
        Remembered::keep(&mut memory, Some(1), Debut::Unseen, SETTLE_TIME);
        assert_eq!(memory.and_then(|known| known.left()), Some(SETTLE_TIME / 2));
        tokio::time::advance(SETTLE_TIME / 2).await;
        assert_eq!(recall(&mut memory, None), Debut::Over);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_by_its_id_is_believed_gone_at_once() {
        let mut memory = None;
        Remembered::keep(&mut memory, Some(1), Debut::Over, SETTLE_TIME);
        assert_eq!(recall(&mut memory, Some(0)), Debut::Over);
        assert_eq!(memory.and_then(|known| known.left()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_restart_the_record_tells_how_old_it_is() {
        for (age, debut) in [
            (Some(3600), Debut::Over),
            (Some(10), Debut::Unseen),
            (Some(-3600), Debut::Unseen),
            (None, Debut::Unseen),
        ] {
            let mut memory = None;
            assert_eq!(recall(&mut memory, age), debut, "{age:?}");
            // Whatever the wall clock says, no longer than the settle time is waited.
            tokio::time::advance(SETTLE_TIME).await;
            assert_eq!(recall(&mut memory, age), Debut::Over, "{age:?}");
        }
    }

    #[test]
    fn a_list_that_omits_what_a_list_has_shown_says_that_it_is_gone() {
        assert_eq!(Debut::Unseen.listed(false), Debut::Unseen);
        assert_eq!(Debut::Unseen.listed(true), Debut::Listed);
        assert_eq!(Debut::Unseen.listed(true).listed(false), Debut::Over);
        assert_eq!(Debut::Over.listed(true), Debut::Over);
    }
}
