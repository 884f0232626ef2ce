//! What is said of a workflow beside its status.

use super::super::super::context::Context;
use super::super::notice::{tell, warn};
use super::advice::advice;
use super::observe::Hand;
use super::outcome::Outcome;
use super::situation::{Change, Situation};
use crate::crd::{EventReason, WorkflowStatus};
use crate::engine::outcome::Class;

/// Tells what a pass changed, and how it ended where that is news.
pub fn announce(
    context: &Context,
    before: &WorkflowStatus,
    s: &Situation,
    outcome: &Outcome,
    hand: &Hand,
) {
    let object = &*hand.workflow;
    let name = &s.name.value;
    for change in &s.changes {
        let (reason, action, note) = match change {
            Change::Created(id) => (
                EventReason::Created,
                "Create",
                format!("Created workflow {id} named {name:?}."),
            ),
            Change::Recreated(id) => (
                EventReason::Recreated,
                "Create",
                format!("Created workflow {id} named {name:?} in place of the one that was gone."),
            ),
            Change::Recovered(id) => (
                EventReason::Recovered,
                "Create",
                format!("Found workflow {id}, whose create got no response."),
            ),
            Change::Adopted(id) => (
                EventReason::Adopted,
                "Adopt",
                format!("Adopted workflow {id}."),
            ),
            Change::Updated => (
                EventReason::Updated,
                "Update",
                "Unstructured accepted the change.".to_owned(),
            ),
            Change::DriftCorrected(what) => {
                let what: Vec<_> = what.iter().map(String::as_str).collect();
                let note = format!(
                    "Somebody had changed the workflow in Unstructured; restored {}.",
                    what.join(", ")
                );
                (EventReason::DriftCorrected, "Update", note)
            }
            Change::Deleted(id) => (
                EventReason::Deleted,
                "Delete",
                format!("Deleted workflow {id}."),
            ),
        };
        tell(context, object, reason, action, note);
    }
    let sent = s.changes.iter().any(|change| {
        matches!(
            change,
            Change::Created(_) | Change::Recreated(_) | Change::Updated
        )
    });
    if sent {
        for note in advice(&object.spec) {
            warn(
                context,
                object,
                EventReason::Advice.as_str(),
                "Reconcile",
                note,
            );
        }
    }
    let row = outcome.row();
    let known = before
        .conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.reason == row.reason.as_str());
    if row.class == Class::Stalled && !known {
        warn(
            context,
            object,
            row.reason.as_str(),
            "Reconcile",
            row.message,
        );
    }
}
