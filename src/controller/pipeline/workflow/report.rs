//! From what a pass knows to the status of a workflow. Pure.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::outcome::Outcome;
use super::situation::{Binding, Change, Sight, Situation};
use crate::crd::{ConditionType, Reason, WorkflowStatus, WorkspaceStatus};
use crate::engine::ahead::{create_intent, lost_creates, resend_after};
use crate::engine::outcome::Class;
use crate::engine::verdict::Verdict;

/// What a status needs beside the situation.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// `metadata.generation` that the situation was gathered from.
    pub generation: i64,
    /// The time, to the second.
    pub now: Time,
    /// How long an update whose answer was lost may take to be carried out.
    pub settle_time: Duration,
    /// The workspace in use.
    pub workspace: Option<WorkspaceStatus>,
    /// The ids of source and destination that were sent, once they were.
    pub connectors: Option<(String, String)>,
    /// Value of the annotation that forced this pass, once the pass is over.
    pub forced: Option<String>,
}

/// The status that tells the truth about this situation. What became of the runs is told by [`runs`](super::runs).
pub fn status(
    previous: &WorkflowStatus,
    s: &Situation,
    outcome: &Outcome,
    on: &Occasion,
) -> WorkflowStatus {
    let mut status = previous.clone();
    status.observed_generation = on.generation;
    status.workflow_id = s.bound().map(|id| id.to_string());
    let accepted = s.changes.iter().any(|change| {
        matches!(
            change,
            Change::Created(_) | Change::Recreated(_) | Change::Updated | Change::DriftCorrected(_)
        )
    });
    status.workflow_name = match &s.binding {
        Binding::Bound(_) if accepted => Some(s.name.value.clone()),
        Binding::Bound(_) => previous.workflow_name.clone(),
        Binding::Unbound | Binding::Creating { .. } => None,
    };
    status.key = (s.bound().is_some() && s.marked).then(|| s.key.clone());
    if s.bound().is_some() && (accepted || previous.workflow_id.is_none()) {
        status.workspace.clone_from(&on.workspace);
    }
    status.applied_digest = s.applied.map(|digest| digest.to_string());
    if accepted && s.unrecorded {
        status.last_sync_time = Some(on.now.clone());
        if let Some((source, destination)) = &on.connectors {
            status.source_id = Some(source.clone());
            status.destination_id = Some(destination.clone());
        }
    }
    let create = previous.create.as_ref();
    status.create = match &s.binding {
        Binding::Creating { name, stage } => Some(create_intent(create, name, *stage, &on.now)),
        Binding::Unbound | Binding::Bound(_) => None,
    };
    let lost = previous.lost_creates.as_ref();
    status.lost_creates = lost_creates(s.lost_creates, lost, create, &on.now);
    let before = previous.resend_after.as_ref();
    status.resend_after = resend_after(before, s.resend, &on.now, on.settle_time);
    if let Some(forced) = &on.forced {
        status.last_handled_reconcile_at = Some(forced.clone());
    }
    status.conditions = conditions(previous, s, outcome, on);
    status
}

fn conditions(
    previous: &WorkflowStatus,
    s: &Situation,
    outcome: &Outcome,
    on: &Occasion,
) -> Vec<Condition> {
    // An outage that was met while nothing was to be done says nothing about the workflow.
    let ready = previous
        .conditions
        .iter()
        .any(|c| c.type_ == ConditionType::Ready.as_str() && c.status == "True");
    let row = outcome.row();
    let learnt_nothing = matches!(outcome, Outcome::Failed(_))
        && row.class == Class::InProgress
        && ready
        && previous.observed_generation == on.generation
        && s.sight == Sight::Unseen
        && s.is_synced();
    if learnt_nothing {
        return previous.conditions.clone();
    }
    let mut verdicts = Vec::with_capacity(5);
    let mut say = |kind, status, reason, message: &str| {
        verdicts.push(Verdict {
            kind,
            status,
            reason,
            message: message.to_owned(),
        });
    };
    let word = |is: bool| if is { "True" } else { "False" };
    let is_ready = row.class == Class::Current && s.deletion.is_none();
    say(
        ConditionType::Ready,
        word(is_ready),
        row.reason,
        &row.message,
    );
    match row.class {
        Class::InProgress => say(ConditionType::Reconciling, "True", row.reason, &row.message),
        Class::Stalled => say(ConditionType::Stalled, "True", row.reason, &row.message),
        Class::Current => {}
    }
    if s.is_synced() {
        let message = "The workflow matches the spec.";
        say(ConditionType::Synced, "True", Reason::Ready, message);
    } else {
        say(ConditionType::Synced, "False", row.reason, &row.message);
    }
    if s.deletion.is_none() {
        match &s.references {
            Ok(()) => say(
                ConditionType::ReferencesReady,
                "True",
                Reason::Ready,
                "Both connectors have their desired configuration.",
            ),
            Err(awaited) => {
                let row = awaited.row();
                say(
                    ConditionType::ReferencesReady,
                    "False",
                    row.reason,
                    &row.message,
                );
            }
        }
    }
    let before = |kind: &ConditionType| {
        let mut known = previous.conditions.iter();
        known.find(|c| c.type_ == kind.as_str())
    };
    let mut conditions: Vec<Condition> = Vec::with_capacity(6);
    for kind in ConditionType::ALL {
        match verdicts.iter().find(|v| v.kind == *kind) {
            Some(verdict) => {
                conditions.push(verdict.condition(before(kind), on.generation, &on.now));
            }
            None if kind.outlives_silence() => conditions.extend(before(kind).cloned()),
            None => {}
        }
    }
    conditions
}
