//! Connection checks: what each poll of one shows.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How long a check claims to have taken.
const DURATION: SignedDuration = SignedDuration::from_millis(100);

/// What the polls of a connection check show, one step each; the last step stays.
#[derive(Clone, Debug)]
pub struct CheckScript(Vec<Poll>);

/// What one poll shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Not finished.
    Scheduled,
    /// Finished well.
    Success,
    /// Finished badly, for this reason.
    Failure(String),
    /// A status that no client knows.
    Status(String),
    /// The check before this one, as it ended; 404 when there is none.
    Previous,
    /// 404.
    NotFound,
}

impl CheckScript {
    /// These steps, in order; panics when there is none.
    pub fn new(steps: impl IntoIterator<Item = Poll>) -> Self {
        let steps: Vec<_> = steps.into_iter().collect();
        assert!(!steps.is_empty(), "a check needs something to show");
        Self(steps)
    }

    /// Scheduled for `polls` polls, then a success.
    pub fn success_after(polls: usize) -> Self {
        let waiting = std::iter::repeat_n(Poll::Scheduled, polls);
        Self::new(waiting.chain([Poll::Success]))
    }

    /// A failure at once.
    pub fn failure(reason: impl Into<String>) -> Self {
        Self::new([Poll::Failure(reason.into())])
    }

    /// Scheduled for ever.
    pub fn never() -> Self {
        Self::new([Poll::Scheduled])
    }

    /// The first `polls` polls still show the previous check.
    #[must_use]
    pub fn previous_first(mut self, polls: usize) -> Self {
        let previous = std::iter::repeat_n(Poll::Previous, polls);
        self.0.splice(..0, previous);
        self
    }
}

/// A check under way or finished.
pub(super) struct Check {
    id: String,
    created_at: Timestamp,
    script: CheckScript,
    polls: usize,
}

impl Check {
    pub(super) fn new(script: CheckScript) -> Self {
        Self {
            id: crate::wall::uuid().to_string(),
            created_at: crate::wall::now(),
            script,
            polls: 0,
        }
    }

    /// The answer to the request that starts it.
    pub(super) fn scheduled(&self) -> Value {
        self.body(&Poll::Scheduled)
    }

    /// Counts a poll and says what it shows.
    pub(super) fn poll(&mut self) -> Poll {
        let step = self.polls.min(self.script.0.len() - 1);
        self.polls += 1;
        self.script.0[step].clone()
    }

    /// How it will have ended.
    pub(super) fn ended(&self) -> &Poll {
        self.script.0.last().expect("a script has a step")
    }

    pub(super) fn body(&self, poll: &Poll) -> Value {
        let (status, reason) = match poll {
            Poll::Success => ("SUCCESS", None),
            Poll::Failure(reason) => ("FAILURE", Some(reason)),
            Poll::Status(status) => (status.as_str(), None),
            Poll::Scheduled | Poll::Previous | Poll::NotFound => ("SCHEDULED", None),
        };
        let reported_at = (status != "SCHEDULED").then(|| timestamp(self.created_at + DURATION));
        json!({
            "id": self.id,
            "status": status,
            "reason": reason,
            "created_at": timestamp(self.created_at),
            "reported_at": reported_at,
        })
    }
}

/// Microseconds and `Z`, as in every recorded answer.
pub(super) fn timestamp(at: Timestamp) -> String {
    format!("{at:.6}")
}
