//! What a status and its events say of the credentials: whether their provider takes them, and what it denies them.

use super::note::Note;
use super::recorded::reason_of;
use crate::controller::connector::situation::{Desired, Grant, Situation};
use crate::crd::{ConditionType, ConnectorStatus, Reason};
use crate::engine::outcome::{Outcome, Row};

/// What the resource's first line says: reason and message of Ready, and of what goes with it. What the provider denies is no outcome,
/// and yet what has to be done first.
pub(super) fn headline(s: &Situation, outcome: &Outcome, row: &Row) -> (Reason, String) {
    let Grant::Insufficient(shortfall) = &s.grant else {
        return (row.reason, row.message.clone());
    };
    match (s.deletion, outcome) {
        // Its words are in ConnectionVerified, and only as long as the pass that read them is the last one.
        (None, Outcome::VerificationFailed(_)) => (
            shortfall.reason(),
            format!(
                "Unstructured's connection check failed. {}",
                shortfall.advice()
            ),
        ),
        (None, Outcome::Ready | Outcome::CheckTimedOut | Outcome::CheckUnavailable) => (
            shortfall.reason(),
            format!("{} {}", row.message, shortfall.advice()),
        ),
        _ => (row.reason, row.message.clone()),
    }
}

/// Status, reason and message of `CredentialsValid`, unless this pass has nothing to say about it.
pub(super) fn verdict(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    row: &Row,
) -> Option<(&'static str, Reason, String)> {
    if outcome.blames_credentials() {
        return Some(("False", row.reason, row.message.clone()));
    }
    let Desired::Digest(_) = s.desired else {
        return None;
    };
    let unverified = Reason::CredentialsUnverified;
    match &s.grant {
        Grant::Accepted => Some((
            "True",
            Reason::CredentialsAccepted,
            "All credentials are present, and none is rejected.".to_owned(),
        )),
        Grant::Insufficient(shortfall) => {
            Some(("False", shortfall.reason(), shortfall.advice().to_owned()))
        }
        Grant::Inconclusive(why) | Grant::Silence(why) => {
            Some(("Unknown", unverified, why.clone()))
        }
        Grant::Unasked if !provider_spoke(previous) => Some((
            "Unknown",
            unverified,
            "All credentials are present. The operator has not verified them yet.".to_owned(),
        )),
        // Nobody said anything newer than what is on record.
        Grant::Unasked | Grant::Refused(_) => None,
    }
}

/// Whether the status says that the provider refuses the credentials, denies them something, or could not say.
pub fn recorded_doubt(status: &ConnectorStatus) -> bool {
    reason_of(status, ConditionType::CredentialsValid)
        .is_some_and(|reason| Reason::DOUBTS.iter().any(|doubt| doubt.as_str() == reason))
}

/// Whether what the status says of the credentials is about how the provider takes them, not about a Secret that was incomplete.
fn provider_spoke(status: &ConnectorStatus) -> bool {
    let accepted = Reason::CredentialsAccepted.as_str();
    recorded_doubt(status)
        || reason_of(status, ConditionType::CredentialsValid)
            .is_some_and(|reason| reason == accepted)
}

/// What the provider denies the credentials, where that is news: the outcome does not speak of it.
pub(super) fn shortfall(previous: &ConnectorStatus, s: &Situation) -> Option<Note> {
    let Grant::Insufficient(shortfall) = &s.grant else {
        return None;
    };
    let reason = shortfall.reason().as_str();
    let kind = ConditionType::CredentialsValid.as_str();
    let mut before = previous.conditions.iter().filter(|c| c.type_ == kind);
    let is_news = before.all(|c| c.reason != reason || c.message != shortfall.advice());
    is_news.then(|| Note {
        warning: true,
        reason,
        action: "CheckCredentials",
        lasting: false,
        text: shortfall.advice().to_owned(),
    })
}
