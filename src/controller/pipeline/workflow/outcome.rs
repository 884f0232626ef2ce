//! How a pass over a workflow ends: how bad it is, which reason, what to say, and when to look again.

use super::super::references::Awaited;
use crate::crd::Reason;
use crate::engine::outcome::{
    Class, Failure, Problem, Requeue, Row, WAY_OUT, key_taken, row, suspended_uncreated, unshown,
};
use crate::unstructured::WorkflowId;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The workflow equals the resource.
    Ready,
    /// `spec.suspend` is set, and what was applied last is what the resource asks for.
    Suspended,
    /// `spec.suspend` is set, and something is not sent.
    SuspendedUnsent,
    /// `spec.suspend` is set, and there is no workflow yet.
    SuspendedUncreated,
    /// A change is on its way.
    Applying,
    /// A connector is waited for.
    Awaiting(Awaited),
    /// Something that the user has to supply is missing or wrong.
    Blocked(Problem),
    /// A foreign workflow carries the explicit name.
    NameConflict {
        /// The name.
        name: String,
        /// The workflows that carry it.
        ids: Vec<WorkflowId>,
    },
    /// Another object has the key.
    KeyTaken {
        /// The key.
        key: String,
        /// The words of the service.
        why: String,
        /// The resource whose workflow shows it.
        holder: Option<String>,
    },
    /// The workflow belongs to another resource.
    InUse(WorkflowId, String),
    /// What is to be taken over is not there.
    ExistingNotFound(WorkflowId),
    /// The workflow is gone and the key is not the one that made it: the fingerprint of the key in use.
    WorkspaceChanged(WorkflowId, String),
    /// The record names another cluster's workflow.
    ForeignRecord(String),
    /// It is not known whether a create was carried out.
    CreateUnsettled,
    /// It is to be deleted, and one of its jobs has asked for a run and does not know it yet.
    RunUnknown,
    /// The workspace does not show this workflow, which was made a moment ago.
    Unshown(WorkflowId),
    /// The resource may go.
    Released,
    /// The workflow cannot be deleted without something that the user has to supply.
    DeletionBlocked(Problem),
    /// Nobody can say whether the definition itself goes.
    DefinitionUnknown,
    /// An effect failed.
    Failed(Failure),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Outcome {
    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The row for it.
    #[expect(
        clippy::too_many_lines,
        reason = "one table is read more easily than two halves of it"
    )]
    pub fn row(&self) -> Row {
        use Class::{Current, InProgress, Stalled};
        use Requeue::{Blocked, NextInventory, OnChange, Settled};
        match self {
            Self::Ready => row(
                Current,
                Reason::Ready,
                OnChange,
                "The workflow matches the spec.",
            ),
            Self::Suspended => row(
                Current,
                Reason::Suspended,
                OnChange,
                "The last applied workflow matches the spec. spec.suspend is true, so the operator writes nothing to \
                 Unstructured. Set it to false to resume.",
            ),
            Self::SuspendedUnsent => row(
                Stalled,
                Reason::Suspended,
                OnChange,
                "spec.suspend is true, and the workflow does not match the spec. Set it to false to apply the spec.",
            ),
            Self::SuspendedUncreated => suspended_uncreated(),
            Self::Applying => row(
                InProgress,
                Reason::Progressing,
                Requeue::AtOnce,
                "The operator is applying the desired workflow.",
            ),
            Self::Awaiting(awaited) => awaited.row(),
            Self::Blocked(problem) => problem.row(),
            Self::NameConflict { name, ids } => row(
                Stalled,
                Reason::NameConflict,
                NextInventory,
                format!(
                    "Nothing was created: {} already named {name:?} ({}). Choose another workflowName, or adopt one with \
                     existingWorkflowId, or with adoptionPolicy: ByName where it is the only one.",
                    if ids.len() == 1 {
                        "a workflow is"
                    } else {
                        "several workflows are"
                    },
                    list(ids)
                ),
            ),
            Self::KeyTaken { key, why, holder } => {
                key_taken("workflow", key, why, holder.as_deref())
            }
            Self::InUse(id, holder) => row(
                Stalled,
                Reason::ConnectorInUse,
                NextInventory,
                format!(
                    "Workflow {id} belongs to {holder}. Resources never share a workflow: choose another."
                ),
            ),
            Self::ExistingNotFound(id) => row(
                Stalled,
                Reason::WorkflowNotFound,
                NextInventory,
                format!(
                    "Workflow {id} is not in this workspace. Create a new resource with the right existingWorkflowId."
                ),
            ),
            Self::WorkspaceChanged(id, fingerprint) => row(
                Stalled,
                Reason::WorkspaceChanged,
                NextInventory,
                format!(
                    "Workflow {id} is not in the workspace of the present API key, and the key is not the one that created it. Nothing was \
                     created. Restore a key of the old workspace, or confirm the move with the annotation {}={fingerprint}.",
                    crate::crd::ACCEPT_WORKSPACE
                ),
            ),
            Self::ForeignRecord(name) => row(
                Stalled,
                Reason::ForeignRecord,
                OnChange,
                format!(
                    "The status was copied from another cluster or namespace: it names the workflow {name:?}, which is not this resource's \
                     own. Nothing was touched. Delete this resource, or confirm the record with the annotation {} and the name of this \
                     cluster.",
                    crate::crd::ACCEPT_RECORD
                ),
            ),
            Self::CreateUnsettled => row(
                InProgress,
                Reason::CreateOutcomeUnknown,
                Settled,
                "The response to the create request was lost. The operator waits until it knows whether the workflow \
                 exists. No action is needed.",
            ),
            Self::RunUnknown => row(
                InProgress,
                Reason::Deleting,
                Requeue::NextPoll,
                "A job has requested a run, and its response was lost. The operator waits until it knows the run, to cancel it before it \
                 deletes the workflow. No action is needed.",
            ),
            Self::Unshown(id) => unshown("workflow", id),
            Self::Released => row(
                Current,
                Reason::Deleting,
                OnChange,
                "The operator has released the resource. Only finalizers of other controllers hold it.",
            ),
            Self::DeletionBlocked(problem) => row(
                Stalled,
                Reason::DeletionBlocked,
                Blocked,
                format!(
                    "The workflow cannot be deleted. {} {WAY_OUT}",
                    problem.row().message
                ),
            ),
            Self::DefinitionUnknown => row(
                Stalled,
                Reason::DeletionBlocked,
                Blocked,
                format!(
                    "The workflow is not deleted: the operator cannot tell whether the CRD itself is being deleted, in \
                     which case the workflow must stay. Grant the operator get on its customresourcedefinitions. {WAY_OUT}"
                ),
            ),
            Self::Failed(failure) => failure.row(),
        }
    }
}

fn list(ids: &[WorkflowId]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}
