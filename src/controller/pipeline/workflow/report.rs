//! From what a pass knows to the status of a workflow. Pure.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::outcome::Outcome;
use super::situation::{Binding, Change, Sight, Situation};
use crate::crd::{ConditionType, Reason, WorkflowStatus, WorkspaceStatus};
use crate::engine::ahead::{create_intent, lost_creates, resend_after};
use crate::engine::outcome::Class;
use crate::engine::verdict::Verdicts;

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
    let mut said = Verdicts::default();
    let is_ready = row.class == Class::Current && s.deletion.is_none();
    said.headline(row.class, is_ready, row.reason, &row.message);
    if s.is_synced() {
        let message = "The workflow matches the spec.";
        said.say(ConditionType::Synced, "True", Reason::Ready, message);
    } else {
        said.say(ConditionType::Synced, "False", row.reason, &row.message);
    }
    if s.deletion.is_none() {
        let kind = ConditionType::ReferencesReady;
        match &s.references {
            Ok(()) => {
                let message = "Both connectors have their desired configuration.";
                said.say(kind, "True", Reason::Ready, message);
            }
            Err(awaited) => {
                let row = awaited.row();
                said.say(kind, "False", row.reason, &row.message);
            }
        }
    }
    let before = &previous.conditions;
    let stays = ConditionType::outlives_silence;
    said.conditions(before, on.generation, &on.now, stays)
}
