//! What became of the run of a workflow that ended last, whoever started it.

use std::fmt::Write as _;

use super::findings::Findings;
use super::patient::Patient;
use crate::crd::{JobSummary, Reason, UnstructuredWorkflow};
use crate::scrub::{Scrubber, one_line};
use crate::unstructured::{Client, JobId};

/// As many failed documents are told.
pub(super) const TOLD: usize = 5;

const CHECK: &str = "last run";

impl Patient<'_> {
    /// Examines the run under way, and the one that ended last.
    pub async fn last_run(
        &self,
        workflow: &UnstructuredWorkflow,
        client: Option<&Client>,
        scrubber: &Scrubber,
        findings: &mut Findings,
    ) {
        let subject = self.subject();
        let Some(status) = &workflow.status else {
            return;
        };
        if let Some(job) = &status.active_job {
            let message = format!("run {} is under way: {}", one_line(&job.id), job.phase);
            findings.right(&subject, "run", message);
        }
        let Some(job) = &status.last_job else {
            return findings.right(&subject, CHECK, "no run has ended yet");
        };
        let condition = self.condition("LastJobSucceeded");
        let (word, reason, message) = condition.map_or(("", "", ""), |condition| {
            (&*condition.status, &*condition.reason, &*condition.message)
        });
        let mut message = one_line(message);
        if word == "True" {
            return findings.right(&subject, CHECK, message);
        }
        let is = |known: Reason| known.as_str() == reason;
        if is(Reason::NoDocuments) {
            message.push_str(" Put documents there, then run the workflow again.");
            return findings.unknown(&subject, CHECK, message, self.run_workflow());
        }
        if is(Reason::Stopped) || is(Reason::DocumentsUnknown) {
            return findings.unknown(&subject, CHECK, message, self.run_workflow());
        }
        if let Some(client) = client {
            message.push_str(&why(client, job, scrubber).await);
        }
        if status.consecutive_failures > 1 {
            let times = status.consecutive_failures;
            let _ = write!(message, " {times} runs in a row have failed.");
        }
        message.push_str(" Correct the cause, then run the workflow again; a run costs money.");
        findings.wrong(&subject, CHECK, message, self.run_workflow());
    }
}

/// What the service says of a run that failed: a message, and the first documents that failed.
async fn why(client: &Client, job: &JobSummary, scrubber: &Scrubber) -> String {
    let Ok(id) = job.id.parse::<JobId>() else {
        return String::new();
    };
    let jobs = client.jobs();
    let mut said = String::new();
    if let Ok(details) = jobs.details(&id).await
        && let Some(message) = details.message
    {
        said = format!(" Unstructured says: {}.", scrubber.scrub(&message));
    }
    if let Ok(failed) = jobs.failed_files(&id).await {
        let files = failed.files.iter();
        let files = files.map(|file| (&*file.document, &*file.error));
        let files = listed(files, failed.total as u64);
        said.push_str(&scrubber.scrub(&files));
    }
    said
}

/// The first documents that failed, in a sentence; empty where none did.
pub(super) fn listed<'a>(files: impl Iterator<Item = (&'a str, &'a str)>, total: u64) -> String {
    let told: Vec<_> = files
        .take(TOLD)
        .map(|(document, error)| format!("{document}: {error}"))
        .collect();
    if told.is_empty() {
        return String::new();
    }
    let rest = total.saturating_sub(told.len() as u64);
    let more = if rest > 0 {
        format!("; and {rest} more")
    } else {
        String::new()
    };
    format!(" {}{more}.", one_line(&told.join("; ")))
}
