//! From what a pass knows to the status and the events that people and tools read. Pure.

mod census;
mod credentials;
mod note;
mod notes;
mod recorded;
mod row;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::situation::{Binding, Change, Check, Sighting, Situation, is_synced};
use crate::crd::{
    ConditionType, ConnectionCheck, ConnectorStatus, CreateIntent, Reason, WorkspaceStatus,
};
use crate::engine::ahead::{create_intent, lost_creates, resend_after};
use crate::engine::outcome::{Class, Outcome};
use crate::engine::verdict::Verdicts;

pub use census::census;
pub use credentials::recorded_doubt;
pub use note::Note;
pub use notes::notes;
pub use recorded::{adds_only_a_check, recorded_check, was_synced};
pub use row::row;

/// What a status needs beside the situation.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// `metadata.generation` that the situation was gathered from.
    pub generation: i64,
    /// The time, to the second: conditions do not know finer ones.
    pub now: Time,
    /// How long an update whose answer was lost may take to be carried out.
    pub settle_time: Duration,
    /// Value of the annotation that forced this pass, once the pass is over.
    pub forced: Option<String>,
    /// How long until the next attempt, if there will be one by itself.
    pub next_attempt: Option<Duration>,
}

/// The status that tells the truth about this situation.
pub fn status(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    on: &Occasion,
) -> ConnectorStatus {
    if learnt_nothing(previous, s, outcome, on) {
        return previous.clone();
    }
    // Once it is on record, its time is too: a pass that ends a second later must not write the status again for that.
    let accepted = s.unrecorded && s.changes.iter().any(Change::is_accepted_configuration);
    ConnectorStatus {
        observed_generation: on.generation,
        id: s.bound().map(|id| id.to_string()),
        connector_name: connector_name(previous, s),
        key: key(previous, s),
        workspace: s.home.as_ref().map(|home| WorkspaceStatus {
            api_url: home.api_url.clone(),
            key_fingerprint: home.fingerprint.clone(),
        }),
        applied_digest: s.applied.map(|digest| digest.to_string()),
        last_sync_time: if accepted {
            Some(on.now.clone())
        } else {
            previous.last_sync_time.clone()
        },
        last_handled_reconcile_at: on
            .forced
            .clone()
            .or_else(|| previous.last_handled_reconcile_at.clone()),
        connection_check: connection_check(s, outcome),
        create: intent(previous, s, on),
        lost_creates: lost_creates(
            s.lost_creates,
            previous.lost_creates.as_ref(),
            previous.create.as_ref(),
            &on.now,
        ),
        resend_after: resend_after(
            previous.resend_after.as_ref(),
            s.resend,
            &on.now,
            on.settle_time,
        ),
        conditions: conditions(previous, s, outcome, on),
    }
}

/// An outage that was met while nothing was to be done says nothing about the connector, and ten thousand resources must not all
/// turn unready, and ready again, over it.
fn learnt_nothing(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    on: &Occasion,
) -> bool {
    let ready = previous
        .conditions
        .iter()
        .any(|c| c.type_ == ConditionType::Ready.as_str() && c.status == "True");
    matches!(outcome, Outcome::Failed(_))
        && outcome.row().class == Class::InProgress
        && ready
        && previous.observed_generation == on.generation
        && on.forced.is_none()
        && s.deletion.is_none()
        && s.connector == Sighting::Unseen
        && is_synced(s)
}

fn connector_name(previous: &ConnectorStatus, s: &Situation) -> Option<String> {
    match (&s.binding, &s.connector) {
        (Binding::Bound(_), Sighting::Present { name, .. }) => Some(name.clone()),
        (Binding::Bound(_), _) => previous.connector_name.clone(),
        (Binding::Unbound | Binding::Creating { .. }, _) => None,
    }
}

/// What was there before keys stays as it is until something is made.
fn key(previous: &ConnectorStatus, s: &Situation) -> Option<String> {
    match &s.binding {
        Binding::Unbound => None,
        _ if s.marked => Some(s.wanted.key.clone()),
        Binding::Bound(_) if s.changes.is_empty() => previous.key.clone(),
        Binding::Bound(_) | Binding::Creating { .. } => None,
    }
}

fn intent(previous: &ConnectorStatus, s: &Situation, on: &Occasion) -> Option<CreateIntent> {
    let Binding::Creating { name, stage } = &s.binding else {
        return None;
    };
    let known = previous.create.as_ref();
    Some(create_intent(known, name, *stage, &on.now))
}

fn connection_check(s: &Situation, outcome: &Outcome) -> Option<ConnectionCheck> {
    let (id, status) = match &s.check {
        Check::None => return None,
        Check::Scheduled(id) if *outcome == Outcome::CheckTimedOut => (id.clone(), "TIMED_OUT"),
        Check::Scheduled(id) => (id.clone(), "SCHEDULED"),
        Check::Passed(id) => (id.clone(), "SUCCESS"),
        Check::Failed(id, _) => (id.clone(), "FAILURE"),
        Check::TimedOut(id) => (id.clone(), "TIMED_OUT"),
        Check::Unavailable => (String::new(), "UNAVAILABLE"),
    };
    Some(ConnectionCheck {
        id,
        status: status.to_owned(),
    })
}

/// What this pass can say; a condition that is missing here is one that it has nothing to say about.
fn verdicts(previous: &ConnectorStatus, s: &Situation, outcome: &Outcome) -> Verdicts {
    let row = row(s, outcome);
    let (reason, message) = credentials::headline(s, outcome, &row);
    let synced = is_synced(s);
    let mut said = Verdicts::default();
    let ready = row.class == Class::Current && s.deletion.is_none();
    said.headline(row.class, ready, reason, &message);
    if let Some((status, reason, message)) = credentials::verdict(previous, s, outcome, &row) {
        said.say(ConditionType::CredentialsValid, status, reason, &message);
    }
    if synced {
        said.say(
            ConditionType::Synced,
            "True",
            Reason::Ready,
            "The connector has the desired configuration.",
        );
    } else {
        said.say(ConditionType::Synced, "False", row.reason, &row.message);
    }
    if s.wanted.verify && synced {
        match (&s.check, outcome) {
            (Check::Passed(_), _) => {
                said.say(
                    ConditionType::ConnectionVerified,
                    "True",
                    Reason::Verified,
                    "Unstructured's connection check passed.",
                );
            }
            (Check::Failed(_, why), _) if why.is_some() || s.failed_now => {
                let failed = Outcome::VerificationFailed(why.clone()).row();
                said.say(
                    ConditionType::ConnectionVerified,
                    "False",
                    failed.reason,
                    &failed.message,
                );
            }
            (Check::Failed(..), _) => {}
            (Check::TimedOut(_), _) | (_, Outcome::CheckTimedOut | Outcome::CheckUnavailable) => {
                said.say(
                    ConditionType::ConnectionVerified,
                    "Unknown",
                    row.reason,
                    &row.message,
                );
            }
            _ => said.say(
                ConditionType::ConnectionVerified,
                "Unknown",
                Reason::Checking,
                "Unstructured is checking the connection.",
            ),
        }
    }

    said
}

fn conditions(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    on: &Occasion,
) -> Vec<Condition> {
    let mut said = verdicts(previous, s, outcome);
    if let Some(time) = on
        .next_attempt
        .and_then(|delay| next_attempt(&on.now, delay))
    {
        said.add(&format!("Next attempt at {time}."));
    }
    // What was not looked at stays as it was; what only ever speaks of the moment does not.
    let stays = |kind: ConditionType| {
        kind.outlives_silence() && (kind != ConditionType::ConnectionVerified || s.wanted.verify)
    };
    let before = &previous.conditions;
    let mut conditions = said.conditions(before, on.generation, &on.now, stays);
    // The reason of a failed check was read by an earlier pass: repeat its words instead of losing them.
    if *outcome == Outcome::VerificationFailed(None) {
        repeat_failure(&mut conditions);
    }
    conditions
}

/// The time of the next attempt to the full second after it.
fn next_attempt(now: &Time, delay: Duration) -> Option<jiff::Timestamp> {
    let seconds = i64::try_from(delay.as_secs()).ok()? + 1;
    now.0
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .ok()
}

fn repeat_failure(conditions: &mut [Condition]) {
    let verified = ConditionType::ConnectionVerified.as_str();
    let Some(words) = conditions
        .iter()
        .find(|c| c.type_ == verified)
        .map(|c| c.message.clone())
    else {
        return;
    };
    for condition in conditions
        .iter_mut()
        .filter(|c| c.reason == Reason::VerificationFailed.as_str())
    {
        condition.message.clone_from(&words);
    }
}

#[cfg(test)]
mod tests;
