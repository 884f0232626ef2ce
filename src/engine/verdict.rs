//! What is said under one condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::crd::{ConditionType, Reason};

/// What a pass can say under one condition.
pub struct Verdict {
    /// Which condition.
    pub kind: ConditionType,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// The word for it.
    pub reason: Reason,
    /// What happened, then what to do.
    pub message: String,
}

impl Verdict {
    /// The condition, where it was like this before.
    pub fn condition(&self, before: Option<&Condition>, generation: i64, now: &Time) -> Condition {
        let since = before.map(|c| {
            let known = c.last_transition_time.clone();
            if c.status == self.status {
                known
            } else {
                // The clock of an operator before us may have been ahead of ours: time does not go back.
                Time(known.0.max(now.0))
            }
        });
        Condition {
            type_: self.kind.as_str().to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: since.unwrap_or_else(|| now.clone()),
        }
    }
}
