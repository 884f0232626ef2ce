//! What the status of a workflow says of the run that ended last.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::board::Board;
use super::super::job::ending::end_from;
use super::super::job::situation::{End, Ending};
use super::super::memory::Memory;
use super::super::notice::{tell, warn};
use super::super::told::{self, Told};
use super::observe::Hand;
use super::report::Occasion;
use crate::crd::{ConditionType, EventReason, JobPhase, JobSummary, Reason, WorkflowStatus};
use crate::engine::outcome::Failure;
use crate::engine::verdict::Verdict;
use crate::runtime::run_metrics::EndedRun;
use crate::unstructured::{Job as Seen, JobState};

/// A run has ended that is not on record. Whether it is now: what came of its documents may still be waited for.
///
/// # Errors
///
/// [`Failure`] when the service cannot be asked.
pub async fn conclude(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
    job: &Seen,
    status: &mut WorkflowStatus,
    on: &Occasion,
) -> Result<bool, Failure> {
    let settle_time = context.policy.settle_time;
    let details = match told::ask(memory, board, &job.id, &job.state, settle_time).await? {
        Told::NotYet => return Ok(false),
        Told::Details(details) => Some(details),
        Told::Nothing => None,
    };
    memory.is_plain();
    let end = end_from(&job.state, details.as_ref());
    let (succeeded, reason, phase, message) = verdict_on(&end, &job.id.to_string());
    let mut summary = summary(job, phase, Some(&on.now));
    summary.documents = end.documents;
    let is_first = status.last_job.is_none();
    status.last_job = Some(summary);
    match succeeded {
        Some(true) => {
            status.last_success_time = Some(on.now.clone());
            status.consecutive_failures = 0;
        }
        Some(false) => {
            status.consecutive_failures = status.consecutive_failures.saturating_add(1);
        }
        None => {}
    }
    let namespace = hand.workflow.namespace().unwrap_or_default();
    let name = hand.workflow.name_any();
    context.metrics.runs().run_ended(&EndedRun {
        namespace: &namespace,
        workflow: &name,
        phase: phase.as_str(),
        documents: end
            .documents
            .map_or((0, 0), |documents| (documents.succeeded, documents.failed)),
        failures: status.consecutive_failures,
        at: on.now.0.as_second(),
    });
    let word = match succeeded {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    set_condition(status, word, reason, message.clone(), on);
    // What ended before anybody looked is no news.
    if !is_first || job.is_scheduled {
        if succeeded == Some(true) {
            tell(
                context,
                &*hand.workflow,
                EventReason::Succeeded,
                "Run",
                message,
            );
        } else {
            warn(context, &*hand.workflow, reason.as_str(), "Run", message);
        }
    }
    Ok(true)
}

/// Whether it succeeded, as far as that is known, and what to say.
fn verdict_on(end: &End, id: &str) -> (Option<bool>, Reason, JobPhase, String) {
    let documents = end.documents.unwrap_or_default();
    match end.how {
        Ending::Completed if end.documents.is_some() && documents.total == 0 => (
            Some(false),
            Reason::NoDocuments,
            JobPhase::Succeeded,
            format!(
                "Run {id} processed no document: nothing has changed since the last run, or the source is empty."
            ),
        ),
        Ending::Completed => (
            Some(true),
            Reason::Succeeded,
            JobPhase::Succeeded,
            match end.documents {
                Some(documents) => format!(
                    "Run {id} ended, and {} documents succeeded.",
                    documents.succeeded
                ),
                None => format!("Run {id} ended."),
            },
        ),
        Ending::Untold => (
            None,
            Reason::DocumentsUnknown,
            JobPhase::Succeeded,
            format!(
                "Run {id} ended, and Unstructured does not say what came of its documents. Look at the run in its console."
            ),
        ),
        Ending::WithErrors => (
            Some(false),
            Reason::CompletedWithErrors,
            JobPhase::PartiallyFailed,
            format!(
                "In run {id}, {} of {} documents failed.",
                documents.failed, documents.total
            ),
        ),
        Ending::Failed => (
            Some(false),
            Reason::Failed,
            JobPhase::Failed,
            format!("Run {id} failed."),
        ),
        Ending::Stopped => (
            Some(false),
            Reason::Stopped,
            JobPhase::Stopped,
            format!("Run {id} was stopped."),
        ),
    }
}

/// Says that no run has ended yet, where nothing else is on record.
pub fn say_nothing_yet(status: &mut WorkflowStatus, on: &Occasion) {
    let kind = ConditionType::LastJobSucceeded.as_str();
    if status.last_job.is_none() && !status.conditions.iter().any(|c| c.type_ == kind) {
        let message = "No run has ended yet.".to_owned();
        set_condition(status, "Unknown", Reason::NoJobs, message, on);
    }
}

fn set_condition(
    status: &mut WorkflowStatus,
    word: &'static str,
    reason: Reason,
    message: String,
    on: &Occasion,
) {
    let kind = ConditionType::LastJobSucceeded;
    let verdict = Verdict {
        kind,
        status: word,
        reason,
        message,
    };
    let before = status
        .conditions
        .iter()
        .position(|c| c.type_ == kind.as_str());
    let before = before.map(|at| status.conditions.remove(at));
    let condition = verdict.condition(before.as_ref(), on.generation, &on.now);
    status.conditions.push(condition);
}

/// What the status says of a run.
pub fn summary(job: &Seen, phase: JobPhase, finished: Option<&Time>) -> JobSummary {
    JobSummary {
        id: job.id.to_string(),
        phase: phase.as_str().to_owned(),
        started_at: job
            .created_at
            .map(|at| Time(jiff::Timestamp::from_second(at.as_second()).unwrap_or(at))),
        observed_finished_at: finished.cloned(),
        documents: None,
    }
}

/// The phase of a run in this state.
pub fn phase_of(state: &JobState) -> JobPhase {
    match state {
        JobState::Scheduled => JobPhase::Scheduled,
        JobState::InProgress | JobState::Other(_) => JobPhase::Running,
        JobState::Completed => JobPhase::Succeeded,
        JobState::Failed => JobPhase::Failed,
        JobState::Stopped => JobPhase::Stopped,
    }
}
