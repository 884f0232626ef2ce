//! How a pass over a job ends: the phase, how bad it is, which reason, what to say, and when to look again.

use super::situation::{End, Ending};
use crate::crd::{JobPhase, RUN, Reason};
use crate::engine::outcome::{Class, Failure, Problem, Requeue, Row, row};
use crate::unstructured::ErrorKind;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was finished before.
    Finished,
    /// The resource may go.
    Released,
    /// The workflow's resource does not exist.
    WorkflowMissing,
    /// The workflow goes, or has gone.
    WorkflowGone,
    /// The workflow is not ready: why.
    WorkflowUnready(String),
    /// Something that the user has to supply is missing or wrong.
    Blocked(Problem),
    /// Another run has to end first.
    Waiting,
    /// Another run is under way, and the job is not to wait.
    Busy,
    /// A job of this name has asked for its run before.
    AlreadyRun,
    /// It carries the mark of another job, which has asked for its run.
    Copied,
    /// It was cancelled before anything was asked for.
    CancelledUnstarted,
    /// The request for the run is about to be sent.
    Requesting,
    /// It is not known whether the run was started.
    Unsettled,
    /// The run has not begun.
    Scheduled,
    /// The run is at work.
    Running,
    /// The operator has asked Unstructured to cancel the run.
    Stopping,
    /// The run has ended.
    Ended(Box<End>),
    /// The service knows the run no more.
    RunGone,
    /// The service does not want to start the run.
    Refused(String),
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

    /// The phase that it leaves the job in; none where it stays as it was.
    pub fn phase(&self) -> Option<JobPhase> {
        Some(match self {
            Self::Finished
            | Self::Released
            | Self::Failed(_)
            | Self::Blocked(_)
            | Self::Stopping => return None,
            Self::WorkflowMissing | Self::WorkflowUnready(_) => JobPhase::Pending,
            Self::WorkflowGone | Self::AlreadyRun | Self::Copied | Self::RunGone => {
                JobPhase::Abandoned
            }
            Self::Waiting => JobPhase::Waiting,
            Self::Busy | Self::Refused(_) => JobPhase::Failed,
            Self::CancelledUnstarted => JobPhase::Stopped,
            Self::Requesting | Self::Unsettled => JobPhase::Starting,
            Self::Scheduled => JobPhase::Scheduled,
            Self::Running => JobPhase::Running,
            Self::Ended(end) => match end.how {
                Ending::Completed | Ending::Untold => JobPhase::Succeeded,
                Ending::WithErrors => JobPhase::PartiallyFailed,
                Ending::Failed => JobPhase::Failed,
                Ending::Stopped => JobPhase::Stopped,
            },
        })
    }

    /// The row for it, where the run took longer than it may or not.
    #[expect(
        clippy::too_many_lines,
        reason = "one table is read more easily than two halves of it"
    )]
    pub fn row(&self, overdue: bool) -> Row {
        use Class::{Current, InProgress, Stalled};
        use Requeue::{Backoff, NextInventory, NextPoll, OnChange, Settled};
        match self {
            Self::Finished | Self::Released => {
                row(Current, Reason::Succeeded, OnChange, "The job is finished.")
            }
            Self::WorkflowMissing => row(
                InProgress,
                Reason::WorkflowNotFound,
                OnChange,
                "The workflow that spec.workflowRef names does not exist in this namespace. Create it, or create a job that names the right workflow.",
            ),
            Self::WorkflowUnready(why) => row(
                InProgress,
                Reason::WorkflowNotReady,
                OnChange,
                format!("The run begins when the workflow is ready. {why}"),
            ),
            Self::WorkflowGone => row(
                Stalled,
                Reason::Abandoned,
                OnChange,
                "The workflow is gone or is being deleted. The job starts nothing and follows no run.",
            ),
            Self::Blocked(problem) => problem.row(),
            Self::Waiting => row(
                InProgress,
                Reason::Waiting,
                NextPoll,
                "Another run of the workflow is in progress. This run begins when that one ends.",
            ),
            Self::Busy => row(
                Stalled,
                Reason::WorkflowBusy,
                OnChange,
                "Another run of the workflow was in progress, and onActive is Fail. Nothing was started. Create another job later, or one with onActive: Wait.",
            ),
            Self::AlreadyRun => row(
                Stalled,
                Reason::AlreadyRun,
                OnChange,
                "A job of this name has already requested its run, and this one was restored or created again. The job \
                 starts nothing, because each run costs money. To run the workflow again, create a job with another name.",
            ),
            Self::Copied => row(
                Stalled,
                Reason::AlreadyRun,
                OnChange,
                format!(
                    "The job carries the mark of a job that has already requested its run, in the annotation {RUN}: it is a copy, or comes \
                     from a backup. The job starts nothing, because each run costs money. To run the workflow again, delete this job and \
                     create it without the annotation."
                ),
            ),
            Self::CancelledUnstarted => row(
                Stalled,
                Reason::Stopped,
                OnChange,
                "The job was cancelled before its run started.",
            ),
            Self::Requesting => row(
                InProgress,
                Reason::Progressing,
                Settled,
                "The operator is requesting the run.",
            ),
            Self::Unsettled => row(
                InProgress,
                Reason::CreateOutcomeUnknown,
                Settled,
                "The response to the request that starts the run was lost. The operator waits until it knows whether the run exists. No action is needed.",
            ),
            Self::Scheduled => row(
                InProgress,
                Reason::Running,
                NextPoll,
                "The run is queued in Unstructured.",
            ),
            Self::Running => row(
                InProgress,
                Reason::Running,
                NextPoll,
                "The run is in progress.",
            ),
            Self::Stopping => row(
                InProgress,
                Reason::Running,
                NextPoll,
                "The operator has asked Unstructured to cancel the run.",
            ),
            Self::RunGone => row(
                Stalled,
                Reason::Abandoned,
                NextInventory,
                "Unstructured no longer knows the run, so its result is unknown.",
            ),
            Self::Refused(why) => row(
                Stalled,
                Reason::Failed,
                OnChange,
                format!(
                    "Unstructured did not start the run: {why}. Correct the workflow, then create another job."
                ),
            ),
            Self::Ended(end) => ended(end, overdue),
            Self::Failed(failure) => {
                let mut row = failure.row();
                // A job is in the workspace of its workflow.
                if failure.kind() == Some(ErrorKind::Unauthorized) {
                    let of_workflow = "spec.workspace of its workflow";
                    row.message = row.message.replace("spec.workspace", of_workflow);
                }
                if row.requeue == OnChange {
                    row.requeue = Backoff;
                }
                row
            }
        }
    }
}

fn ended(end: &End, overdue: bool) -> Row {
    use Class::{Current, Stalled};
    let documents = end.documents.unwrap_or_default();
    let said = end
        .message
        .as_deref()
        .map_or_else(String::new, |said| format!(" Unstructured says: {said}"));
    let (class, reason, message) = match end.how {
        Ending::Completed if end.documents.is_some() && documents.total == 0 => (
            Current,
            Reason::NoDocuments,
            format!(
                "The run processed no document: nothing has changed since the last run, or the source is empty.{said}"
            ),
        ),
        Ending::Completed => (
            Current,
            Reason::Succeeded,
            match end.documents {
                Some(documents) => format!("{} documents succeeded.", documents.succeeded),
                None => "The run ended.".to_owned(),
            },
        ),
        Ending::Untold => (
            Current,
            Reason::DocumentsUnknown,
            format!(
                "The run ended, and Unstructured does not say what came of its documents. Look at the run in its console.{said}"
            ),
        ),
        Ending::WithErrors => (
            Stalled,
            Reason::CompletedWithErrors,
            format!(
                "{} of {} documents failed; status.failedFiles names them. Correct the causes, then create another job.{said}",
                end.failed_total.unwrap_or(documents.failed),
                documents.total
            ),
        ),
        Ending::Failed => (
            Stalled,
            Reason::Failed,
            format!("The run failed. Correct the cause, then create another job.{said}"),
        ),
        Ending::Stopped if overdue => (
            Stalled,
            Reason::TimedOut,
            format!("The run exceeded spec.timeout and was cancelled.{said}"),
        ),
        Ending::Stopped => (
            Stalled,
            Reason::Stopped,
            format!("The run was cancelled.{said}"),
        ),
    };
    row(class, reason, Requeue::OnChange, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unstructured::{ApiError, Commit};

    /// The API answers the same whoever the key belongs to, so the message names both places.
    #[test]
    fn a_key_that_is_not_accepted_is_replaced_where_it_is() {
        let refused = "the API does not accept the key (401)";
        let error = ApiError::new(ErrorKind::Unauthorized, Some(401), Commit::Never, refused);
        let failure = Failure::from(error);
        for (message, place) in [
            (
                failure.row().message,
                "the Secret that spec.workspace names",
            ),
            (
                Outcome::Failed(failure).row(false).message,
                "the Secret that spec.workspace of its workflow names",
            ),
        ] {
            assert!(message.contains(place), "{message}");
            assert!(
                message.contains("the operator's --api-key-file"),
                "{message}"
            );
        }
    }
}
