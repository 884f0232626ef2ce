//! From what a pass knows to the status and the events that people and tools read. Pure.

mod credentials;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::index::Index;
use super::outcome::{Class, Failure, Outcome, Requeue, Row, WAY_OUT};
use super::situation::{
    Bind, Binding, Change, Check, Creating, Grant, Release, Resend, Sighting, Situation, is_synced,
};
use crate::crd::{
    ConditionType, ConnectionCheck, ConnectorStatus, CreateIntent, EventReason, LostCreates,
    Reason, WorkspaceStatus,
};
use crate::runtime::metrics::ConditionState;

pub use credentials::recorded_doubt;

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

/// The row of the table for an outcome, in the light of what the pass was about.
pub fn row(s: &Situation, outcome: &Outcome) -> Row {
    let row = outcome.row();
    match (s.deletion, outcome, row.class) {
        // Neither spec nor Secret can have caused it, and what did is mended where the operator cannot see it.
        (Some(_), Outcome::Failed(failure), _) if failure.is_refusal() => Row {
            class: Class::Stalled,
            reason: Reason::DeletionBlocked,
            message: format!(
                "The connector cannot be deleted: {}. See that no workflow uses it; it is tried again every few minutes. {WAY_OUT}",
                failure.message().unwrap_or_default().trim_end_matches('.')
            ),
            requeue: Requeue::Slowly,
        },
        (Some(_), Outcome::Failed(_), Class::Stalled) => Row {
            reason: Reason::DeletionBlocked,
            message: format!("The connector cannot be deleted. {} {WAY_OUT}", row.message),
            ..row
        },
        (Some(_), Outcome::WorkspaceChanged { id, fingerprint }, _) => Row {
            reason: Reason::DeletionBlocked,
            message: format!(
                "The connector cannot be deleted. Connector {id} is not in the workspace of the present API key, and the key is \
                 not the one that made it. Restore a key of the old workspace; or, if the connector is gone, say so with the \
                 annotation {}={fingerprint}. {WAY_OUT}",
                crate::crd::ACCEPT_WORKSPACE
            ),
            ..row
        },
        (Some(_), Outcome::Applying, _) => Row {
            reason: Reason::Deleting,
            message: deleting(s).to_owned(),
            ..row
        },
        (Some(_), _, Class::InProgress) => Row {
            reason: Reason::Deleting,
            message: format!("{} {}", deleting(s), row.message),
            ..row
        },
        (None, Outcome::Blocked(problem), Class::Stalled) if problem.is_awaited() && !s.waited => {
            Row {
                class: Class::InProgress,
                requeue: Requeue::Patience,
                ..row
            }
        }
        (None, _, Class::Current | Class::Stalled)
            if s.doubted && s.grant != Grant::Accepted && is_synced(s) =>
        {
            Row {
                requeue: Requeue::SecondLook,
                ..row
            }
        }
        _ => row,
    }
}

fn deleting(s: &Situation) -> &'static str {
    if s.wanted.retain {
        "The resource is being let go; its connector stays."
    } else {
        "The connector is being deleted."
    }
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
        lost_creates: lost_creates(previous, s, on),
        resend_after: resend_after(previous, s, on),
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

fn intent(previous: &ConnectorStatus, s: &Situation, on: &Occasion) -> Option<CreateIntent> {
    let Binding::Creating { name, stage } = &s.binding else {
        return None;
    };
    let started_at = match (&previous.create, stage) {
        (Some(create), Creating::Unsettled | Creating::Settled) if create.name == *name => {
            create.started_at.clone()
        }
        _ => on.now.clone(),
    };
    Some(CreateIntent {
        name: name.clone(),
        started_at,
    })
}

fn lost_creates(previous: &ConnectorStatus, s: &Situation, on: &Occasion) -> Option<LostCreates> {
    let since = match (&previous.lost_creates, &previous.create) {
        (Some(lost), _) => lost.since.clone(),
        // The create that is given up now is the one that is still on record.
        (None, Some(create)) => create.started_at.clone(),
        (None, None) => on.now.clone(),
    };
    (s.lost_creates > 0).then_some(LostCreates {
        count: s.lost_creates,
        since,
    })
}

fn resend_after(previous: &ConnectorStatus, s: &Situation, on: &Occasion) -> Option<Time> {
    let fresh = || {
        let settle_time = jiff::SignedDuration::try_from(on.settle_time).unwrap_or_default();
        Time(on.now.0.checked_add(settle_time).unwrap_or(on.now.0))
    };
    match s.resend {
        Resend::No => None,
        Resend::Lost => Some(fresh()),
        Resend::Ahead | Resend::Later | Resend::Due => {
            Some(previous.resend_after.clone().unwrap_or_else(fresh))
        }
    }
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

/// Reads a check back from the status.
pub fn recorded_check(check: Option<&ConnectionCheck>) -> Check {
    match check.map(|c| (c.id.clone(), c.status.as_str())) {
        None => Check::None,
        Some((id, "SUCCESS")) => Check::Passed(id),
        Some((id, "FAILURE")) => Check::Failed(id, None),
        Some((id, "TIMED_OUT")) => Check::TimedOut(id),
        Some((_, "UNAVAILABLE")) => Check::Unavailable,
        Some((id, _)) => Check::Scheduled(id),
    }
}

/// Whether the status says that the connector has what the spec of this generation and the Secret of that time say.
pub fn was_synced(status: &ConnectorStatus, generation: i64) -> bool {
    status.conditions.iter().any(|c| {
        c.type_ == ConditionType::Synced.as_str()
            && c.status == "True"
            && c.observed_generation == Some(generation)
    })
}

/// The reason of a condition on record.
fn reason_of(status: &ConnectorStatus, kind: ConditionType) -> Option<&str> {
    let mut conditions = status.conditions.iter();
    conditions
        .find(|condition| condition.type_ == kind.as_str())
        .map(|condition| condition.reason.as_str())
}

struct Verdict {
    kind: ConditionType,
    status: &'static str,
    reason: Reason,
    message: String,
}

/// What this pass can say; a condition that is missing here is one that it has nothing to say about.
fn verdicts(previous: &ConnectorStatus, s: &Situation, outcome: &Outcome) -> Vec<Verdict> {
    let row = row(s, outcome);
    let (reason, message) = credentials::headline(s, outcome, &row);
    let synced = is_synced(s);
    let mut verdicts = Vec::with_capacity(6);
    let mut say = |kind, status, reason, message: &str| {
        verdicts.push(Verdict {
            kind,
            status,
            reason,
            message: message.to_owned(),
        });
    };

    let ready = if row.class == Class::Current && s.deletion.is_none() {
        "True"
    } else {
        "False"
    };
    say(ConditionType::Ready, ready, reason, &message);
    match row.class {
        Class::InProgress => say(ConditionType::Reconciling, "True", reason, &message),
        Class::Stalled => say(ConditionType::Stalled, "True", reason, &message),
        Class::Current => {}
    }
    if let Some((status, reason, message)) = credentials::verdict(previous, s, outcome, &row) {
        say(ConditionType::CredentialsValid, status, reason, &message);
    }
    if synced {
        say(
            ConditionType::Synced,
            "True",
            Reason::Ready,
            "The connector has the desired configuration.",
        );
    } else {
        say(ConditionType::Synced, "False", row.reason, &row.message);
    }
    if s.wanted.verify && synced {
        match (&s.check, outcome) {
            (Check::Passed(_), _) => {
                say(
                    ConditionType::ConnectionVerified,
                    "True",
                    Reason::Verified,
                    "Unstructured's connection check passed.",
                );
            }
            (Check::Failed(_, why), _) if why.is_some() || s.failed_now => {
                let failed = Outcome::VerificationFailed(why.clone()).row();
                say(
                    ConditionType::ConnectionVerified,
                    "False",
                    failed.reason,
                    &failed.message,
                );
            }
            (Check::Failed(..), _) => {}
            (Check::TimedOut(_), _) | (_, Outcome::CheckTimedOut | Outcome::CheckUnavailable) => {
                say(
                    ConditionType::ConnectionVerified,
                    "Unknown",
                    row.reason,
                    &row.message,
                );
            }
            _ => say(
                ConditionType::ConnectionVerified,
                "Unknown",
                Reason::Checking,
                "Unstructured is checking the connection.",
            ),
        }
    }

    verdicts
}

fn conditions(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    on: &Occasion,
) -> Vec<Condition> {
    let mut verdicts = verdicts(previous, s, outcome);
    if let Some(time) = on
        .next_attempt
        .and_then(|delay| next_attempt(&on.now, delay))
    {
        for verdict in &mut verdicts {
            if matches!(
                verdict.kind,
                ConditionType::Ready | ConditionType::Reconciling | ConditionType::Stalled
            ) {
                verdict.message = format!("{} Next attempt at {time}.", verdict.message);
            }
        }
    }
    let mut conditions: Vec<Condition> = Vec::with_capacity(6);
    for kind in ConditionType::ALL {
        let said = verdicts.iter().find(|v| v.kind == *kind);
        let before = previous
            .conditions
            .iter()
            .find(|c| c.type_ == kind.as_str());
        match said {
            Some(verdict) => conditions.push(condition(verdict, before, on)),
            // What was not looked at stays as it was; what only ever speaks of the moment does not.
            None if kind.outlives_silence()
                && (*kind != ConditionType::ConnectionVerified || s.wanted.verify) =>
            {
                conditions.extend(before.cloned());
            }
            None => {}
        }
    }
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

fn condition(verdict: &Verdict, before: Option<&Condition>, on: &Occasion) -> Condition {
    let since = before.map(|c| {
        let known = c.last_transition_time.clone();
        if c.status == verdict.status {
            known
        } else {
            // The clock of an operator before us may have been ahead of ours: time does not go back.
            Time(known.0.max(on.now.0))
        }
    });
    Condition {
        type_: verdict.kind.as_str().to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.as_str().to_owned(),
        message: verdict.message.clone(),
        observed_generation: Some(on.generation),
        last_transition_time: since.unwrap_or_else(|| on.now.clone()),
    }
}

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether it is a warning.
    pub warning: bool,
    /// The word for it.
    pub reason: &'static str,
    /// What was done.
    pub action: &'static str,
    /// Whether the note has to outlive the namespace of the resource.
    pub lasting: bool,
    /// The sentence.
    pub text: String,
}

/// The events of a pass: what it changed, and the outcome where that is news. `changed_secret` is the name of the Secret, if it was
/// that which changed.
pub fn notes(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    changed_secret: Option<&str>,
) -> Vec<Note> {
    let changes = s.changes.iter();
    let mut notes: Vec<Note> = changes
        .filter_map(|change| change.note(changed_secret))
        .collect();
    let row = row(s, outcome);
    let before = reason_of(previous, ConditionType::Ready);
    let (headline, _) = credentials::headline(s, outcome, &row);
    let news = before != Some(row.reason.as_str()) && before != Some(headline.as_str());
    let note = |warning, text| Note {
        warning,
        reason: row.reason.as_str(),
        action: "Reconcile",
        lasting: false,
        text,
    };
    notes.extend(credentials::shortfall(previous, s));
    notes.extend(stuck(s, outcome));
    match row.class {
        Class::Current if news && s.deletion.is_none() => notes.push(note(false, row.message)),
        Class::Stalled if news => notes.push(note(true, row.message)),
        Class::InProgress if news && !matches!(outcome, Outcome::Applying | Outcome::Checking) => {
            // That somebody else wrote first, or leads now, is no news about the resource.
            let quiet = row.reason == Reason::Progressing
                || matches!(
                    outcome,
                    Outcome::Failed(Failure::Conflict | Failure::NotLeading)
                );
            if !quiet {
                notes.push(note(true, row.message));
            }
        }
        _ => {}
    }
    notes
}

/// Whoever may not let a resource go may not write its status either.
fn stuck(s: &Situation, outcome: &Outcome) -> Option<Note> {
    let (Some(_), Outcome::Failed(Failure::Forbidden(why))) = (s.deletion, outcome) else {
        return None;
    };
    let connector = match s.bound() {
        Some(id) => format!("Connector {id} is still in the workspace"),
        None => "It has no connector any more".to_owned(),
    };
    Some(Note {
        warning: true,
        reason: EventReason::Stuck.as_str(),
        action: "Release",
        lasting: true,
        text: format!(
            "The operator may not let this resource go: {}. {connector}. Give the operator its rights back; in a namespace that is \
             being deleted only a ClusterRoleBinding can. Or delete the connector by hand, then take the finalizer {} off.",
            why.trim_end_matches('.'),
            crate::crd::FINALIZER
        ),
    })
}

impl Change {
    /// Whether the API accepted a configuration.
    pub fn is_accepted_configuration(&self) -> bool {
        matches!(
            self,
            Self::Created(_) | Self::Recreated(_) | Self::Updated | Self::DriftCorrected(_)
        )
    }

    fn note(&self, changed_secret: Option<&str>) -> Option<Note> {
        let note = |warning, reason: EventReason, action, text| {
            Some(Note {
                warning,
                reason: reason.as_str(),
                action,
                lasting: matches!(self, Self::Released(Release::Orphaned(_))),
                text,
            })
        };
        match self {
            Self::Created(id) => note(false, EventReason::Created, "Create", format!("Created connector {id}.")),
            Self::Recreated(id) => note(
                true,
                EventReason::Recreated,
                "Create",
                format!("The connector had been deleted behind the operator's back; created connector {id} in its place."),
            ),
            Self::Bound(id, Bind::Recovered) => {
                note(false, EventReason::Recovered, "Bind", format!("Found connector {id}, whose creation had not been confirmed."))
            }
            Self::Bound(id, Bind::Reserved) => {
                note(false, EventReason::Adopted, "Bind", format!("Found connector {id} under this resource's own name and took it over."))
            }
            Self::Bound(id, Bind::ById | Bind::ByName) => {
                note(false, EventReason::Adopted, "Bind", format!("Took over the existing connector {id}."))
            }
            Self::Updated => note(
                false,
                EventReason::Updated,
                "Update",
                match changed_secret {
                    Some(secret) => format!("Unstructured accepted the changed configuration, because Secret {secret} changed."),
                    None => "Unstructured accepted the changed configuration.".to_owned(),
                },
            ),
            Self::DriftCorrected(fields) => note(
                true,
                EventReason::DriftCorrected,
                "Update",
                format!(
                    "The connector had been changed behind the operator's back; restored {}.",
                    fields.iter().cloned().collect::<Vec<_>>().join(", ")
                ),
            ),
            Self::Deleted(id) => note(false, EventReason::Deleted, "Delete", format!("Deleted connector {id}.")),
            Self::DuplicateDeleted(id) => {
                note(true, EventReason::DuplicateDeleted, "Delete", format!("Deleted connector {id}, a duplicate under this resource's own name."))
            }
            Self::Released(Release::Retained(Some(id))) => {
                note(false, EventReason::Retained, "Release", format!("Left connector {id} in the workspace, as deletionPolicy says."))
            }
            Self::Released(Release::Abandoned(Some(id))) => note(
                false,
                EventReason::Retained,
                "Release",
                format!("Left connector {id} in the workspace: the resource definition itself is being deleted."),
            ),
            Self::Released(Release::Held(id)) => {
                note(false, EventReason::Retained, "Release", format!("Left connector {id} to the resource that holds it."))
            }
            Self::Released(Release::Foreign(id)) => note(
                false,
                EventReason::Retained,
                "Release",
                format!(
                    "Left connector {} alone: the status that names it was copied from another cluster or namespace.",
                    id.map_or_else(|| "(none)".to_owned(), |id| id.to_string())
                ),
            ),
            Self::Released(Release::Orphaned(id)) => note(
                true,
                EventReason::Orphaned,
                "Release",
                match id {
                    Some(id) => format!(
                        "The namespace goes and the API key of its connector is gone: connector {id} stays in the workspace. Delete it \
                         there by hand."
                    ),
                    None => "The namespace goes and its API key is gone: a connector whose creation was not confirmed may stay \
                             in the workspace. Look for it there by name."
                        .to_owned(),
                },
            ),
            Self::Released(_) => None,
        }
    }
}

/// How many resources are in which condition, for the metric.
pub fn census(index: &Index) -> BTreeMap<ConditionState, usize> {
    let mut counts = BTreeMap::new();
    index.for_each(|_, resource| {
        for condition in resource
            .status()
            .iter()
            .flat_map(|status| &status.conditions)
        {
            let known = ConditionType::ALL
                .iter()
                .find(|known| known.as_str() == condition.type_);
            let reason = Reason::ALL
                .iter()
                .find(|known| known.as_str() == condition.reason);
            let status = ["True", "False", "Unknown"]
                .into_iter()
                .find(|known| *known == condition.status);
            if let (Some(known), Some(reason), Some(status)) = (known, reason, status) {
                let state = ConditionState {
                    kind: resource.kind.name,
                    condition: known.as_str(),
                    status,
                    reason: reason.as_str(),
                };
                *counts.entry(state).or_default() += 1;
            }
        }
    });
    counts
}

#[cfg(test)]
mod tests;
