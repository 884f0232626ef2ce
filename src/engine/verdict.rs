//! What a pass says under the conditions of an object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::outcome::Class;
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

/// All that a pass can say.
#[derive(Default)]
pub struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Says one thing.
    pub fn say(&mut self, kind: ConditionType, status: &'static str, reason: Reason, words: &str) {
        self.0.push(Verdict {
            kind,
            status,
            reason,
            message: words.to_owned(),
        });
    }

    /// Says how the object is as a whole: whether it is ready and, where it is not as it should be, whether that ends by itself.
    pub fn headline(&mut self, class: Class, ready: bool, reason: Reason, words: &str) {
        self.say(ConditionType::Ready, word(ready), reason, words);
        match class {
            Class::InProgress => self.say(ConditionType::Reconciling, "True", reason, words),
            Class::Stalled => self.say(ConditionType::Stalled, "True", reason, words),
            Class::Current => {}
        }
    }

    /// Adds a sentence to the headline.
    pub fn add(&mut self, sentence: &str) {
        for verdict in &mut self.0 {
            if matches!(
                verdict.kind,
                ConditionType::Ready | ConditionType::Reconciling | ConditionType::Stalled
            ) {
                verdict.message = format!("{} {sentence}", verdict.message);
            }
        }
    }

    /// The conditions after these were said, in their order. What nothing was said of stays as it was before, if it `stays`.
    pub fn conditions(
        &self,
        before: &[Condition],
        generation: i64,
        now: &Time,
        stays: impl Fn(ConditionType) -> bool,
    ) -> Vec<Condition> {
        let after = |kind: &ConditionType| {
            let before = before.iter().find(|c| c.type_ == kind.as_str());
            match self.0.iter().find(|verdict| verdict.kind == *kind) {
                Some(verdict) => Some(verdict.condition(before, generation, now)),
                None => before.filter(|_| stays(*kind)).cloned(),
            }
        };
        ConditionType::ALL.iter().filter_map(after).collect()
    }
}

/// Whether a condition is met, as conditions say it.
pub const fn word(is: bool) -> &'static str {
    if is { "True" } else { "False" }
}
