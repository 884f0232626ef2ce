//! What is on record of a write before its answer is known, so that one whose answer never comes is neither made twice nor lost:
//! connectors and workflows are created and updated in the same way.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;
use tokio::time::Instant;

use crate::crd::{CreateIntent, LostCreates};

/// Where a create stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The intent is on record and this pass has not sent the request yet.
    Recorded,
    /// The request may still be carried out: sent less than a settle time ago, as far as this process can know.
    Unsettled,
    /// The request was carried out by now, or never will be.
    Settled,
}

/// What an update that may still be carried out asks for: whatever was accepted since, an older configuration may replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resend {
    /// Nothing: the answer to every update is known.
    No,
    /// It is on record that this pass sends one, and the answer is not known yet.
    Ahead,
    /// This pass sent one, and its answer was lost.
    Lost,
    /// One was lost, and its time is not over.
    Later,
    /// One was lost, and has been carried out by now or never will be: the configuration has to be sent once more.
    Due,
}

impl Resend {
    /// An update is about to be sent.
    #[must_use]
    pub const fn ahead(self) -> Self {
        match self {
            Self::No => Self::Ahead,
            other => other,
        }
    }

    /// The answer to the update of this pass is known. What was lost before it is still on its way.
    #[must_use]
    pub const fn answered(self) -> Self {
        match self {
            Self::Ahead | Self::Due => Self::No,
            other => other,
        }
    }

    /// The update of this pass was certainly not carried out.
    #[must_use]
    pub const fn refused(self) -> Self {
        match self {
            Self::Ahead => Self::No,
            other => other,
        }
    }

    /// What the record of a lost update means. `is_over`: whether this time has come.
    pub fn recorded(after: Option<&Time>, is_over: impl FnOnce(&Time) -> bool) -> Self {
        match after {
            None => Self::No,
            Some(after) if is_over(after) => Self::Due,
            Some(_) => Self::Later,
        }
    }

    /// The same. Wall clocks of two machines differ, so no longer than the settle time is waited from when this process first saw the
    /// record. `memory`: that record, and by when that is.
    pub fn remembered(
        after: Option<&Time>,
        memory: &mut Option<(Time, Instant)>,
        settle_time: Duration,
    ) -> Self {
        if after.is_none() {
            *memory = None;
        }
        Self::recorded(after, |after| {
            let due = match memory {
                Some((known, due)) if known == after => *due,
                _ => {
                    let left = after.0.duration_since(crate::clock::now());
                    let left = Duration::try_from(left).unwrap_or_default();
                    let due = Instant::now() + left.min(settle_time);
                    *memory = Some((after.clone(), due));
                    due
                }
            };
            Instant::now() >= due
        })
    }
}

/// The record of a create under this name: the one that is there, if it is of that name and not of an earlier create.
pub fn create_intent(
    previous: Option<&CreateIntent>,
    name: &str,
    stage: Stage,
    now: &Time,
) -> CreateIntent {
    let known = previous.filter(|create| stage != Stage::Recorded && create.name == *name);
    known.cloned().unwrap_or_else(|| CreateIntent {
        name: name.to_owned(),
        started_at: now.clone(),
    })
}

/// The record of so many creates that were given up.
pub fn lost_creates(
    count: u32,
    previous: Option<&LostCreates>,
    create: Option<&CreateIntent>,
    now: &Time,
) -> Option<LostCreates> {
    let since = match (previous, create) {
        (Some(lost), _) => &lost.since,
        // The create that is given up now is the one that is still on record.
        (None, Some(create)) => &create.started_at,
        (None, None) => now,
    };
    (count > 0).then(|| LostCreates {
        count,
        since: since.clone(),
    })
}

/// After which time what was accepted is sent once more, where an update was lost.
pub fn resend_after(
    previous: Option<&Time>,
    resend: Resend,
    now: &Time,
    settle_time: Duration,
) -> Option<Time> {
    let fresh = || {
        // The time has no fractions of a second.
        let settle_time = settle_time + Duration::from_secs(1);
        let settle_time = jiff::SignedDuration::try_from(settle_time).unwrap_or_default();
        Time(now.0.checked_add(settle_time).unwrap_or(now.0))
    };
    match resend {
        Resend::No => None,
        Resend::Lost => Some(fresh()),
        Resend::Ahead | Resend::Later | Resend::Due => {
            Some(previous.cloned().unwrap_or_else(fresh))
        }
    }
}
