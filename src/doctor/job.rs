//! A run that somebody asked for: what it waits for, whether it is stuck, and what came of it.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use super::findings::Findings;
use super::patient::Patient;
use super::run::listed;
use crate::crd::{JobPhase, JobStatus, Reason, UnstructuredJob, UnstructuredWorkflow};
use crate::scrub::one_line;

/// A run that has taken as long is looked at twice.
const LONG: Duration = Duration::from_hours(24);

const CHECK: &str = "run";

impl Patient<'_> {
    /// Examines a job. `workflow`: the one that it runs, if that is there.
    pub async fn examine_job(
        &self,
        job: &UnstructuredJob,
        workflow: Option<&UnstructuredWorkflow>,
        findings: &mut Findings,
    ) {
        let Some(status) = &job.status else {
            self.is_observed(findings);
            return;
        };
        if status.phase.is_final() {
            self.ended(job, status, workflow, findings);
        } else if self.is_observed(findings) {
            self.under_way(job, status, workflow.is_some(), findings)
                .await;
        }
    }

    /// `has_workflow`: without its workflow nobody knows in which workspace it is.
    async fn under_way(
        &self,
        job: &UnstructuredJob,
        status: &JobStatus,
        has_workflow: bool,
        findings: &mut Findings,
    ) {
        let subject = self.subject();
        let workflow = &job.spec.workflow_ref.name;
        let mut message = format!("{}; {}", status.phase.as_str(), self.said());
        let is = |reason: Reason| self.reason() == reason.as_str();
        if is(Reason::WorkflowNotFound) {
            message.push_str(" Nothing was started, so nothing is lost by deleting the job.");
            return findings.wrong(&subject, CHECK, message, self.delete());
        }
        if self.is("Stalled") {
            return findings.wrong(&subject, CHECK, message, self.examine_other(workflow));
        }
        if status.phase == JobPhase::Pending {
            return findings.unknown(&subject, CHECK, message, self.examine_other(workflow));
        }
        if has_workflow && let Some(said) = self.state_of(status, findings).await {
            message.push_str(&said);
        }
        let started = status.started_at.as_ref().map(|at| at.0);
        let age =
            started.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
        match age {
            Some(age) if age >= LONG && !job.spec.cancel && job.spec.timeout.is_none() => {
                let hours = age.as_secs() / 3600;
                let _ = write!(
                    message,
                    " It has been under way for {hours} hours, and no spec.timeout ends it: cancel it, unless it may take as long."
                );
                findings.unknown(&subject, CHECK, message, self.set("cancel", "true"));
            }
            _ => findings.unknown(&subject, CHECK, message, self.follow()),
        }
    }

    /// What Unstructured says of a run under way.
    async fn state_of(&self, status: &JobStatus, findings: &mut Findings) -> Option<String> {
        let id = status.job_id.as_deref()?.parse().ok()?;
        let (client, _) = self.open(findings).await?;
        match client.jobs().get(&id).await {
            Ok(job) => Some(format!(" Unstructured says {}.", job.state)),
            Err(error) => {
                self.unanswered(client.endpoint(), &error, findings);
                None
            }
        }
    }

    fn ended(
        &self,
        job: &UnstructuredJob,
        status: &JobStatus,
        workflow: Option<&UnstructuredWorkflow>,
        findings: &mut Findings,
    ) {
        let subject = self.subject();
        let name = &job.spec.workflow_ref.name;
        let is = |reason: Reason| self.reason() == reason.as_str();
        let mut message = format!("{}; {}", status.phase.as_str(), self.said());
        let is_doubtful = is(Reason::NoDocuments) || is(Reason::DocumentsUnknown);
        if status.phase == JobPhase::Succeeded && !is_doubtful {
            return findings.right(&subject, CHECK, message);
        }
        let files = status.failed_files.iter();
        let files = files.map(|file| (&*file.document, &*file.error));
        let total = status.failed_files_total.unwrap_or_default();
        message.push_str(&one_line(&listed(files, total)));
        if workflow.is_some_and(|workflow| has_run_since(workflow, status)) {
            message.push_str(" The workflow has run since.");
            return findings.right(&subject, CHECK, message);
        }
        if workflow.is_none() {
            message.push_str(" Its workflow is gone, so nothing can follow.");
            return findings.unknown(&subject, CHECK, message, self.delete());
        }
        if is_doubtful || is(Reason::Stopped) {
            findings.unknown(&subject, CHECK, message, self.start(name));
        } else {
            findings.wrong(&subject, CHECK, message, self.start(name));
        }
    }
}

/// Whether a run of the workflow has ended after this one, which is then history.
fn has_run_since(workflow: &UnstructuredWorkflow, job: &JobStatus) -> bool {
    let last = workflow
        .status
        .as_ref()
        .and_then(|status| status.last_job.as_ref());
    let Some(last) = last.filter(|last| job.job_id.as_ref() != Some(&last.id)) else {
        return false;
    };
    let ended = last.observed_finished_at.as_ref().map(|at| at.0);
    let ours = job.finished_at.as_ref().map(|at| at.0);
    ended > ours
}
