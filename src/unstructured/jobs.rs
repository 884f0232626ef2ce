//! The calls of the API that concern jobs: the runs of workflows, started by hand or by schedule.

use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use url::Url;

use super::answer::{self, Place};
use super::error::{ApiError, ErrorKind};
use super::exchange::Transport;
use super::ids::{JobId, WorkflowId};
use super::listing::Listing;

pub(super) mod details;
pub(super) mod job;

pub use details::{Documents, FailedFile, FailedFiles, JobDetails, NodeStats, Processing};
pub use job::{Job, JobState};

/// Bytes of the list of failed files that are read, which names every one: some ten thousand. More than of other objects.
const MAX_FAILED_FILES_BYTES: usize = 4 * 1024 * 1024;

/// The jobs of a workspace. Clones share everything.
#[derive(Clone)]
pub struct Jobs {
    transport: Arc<Transport>,
}

impl Jobs {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self { transport }
    }

    /// The jobs, in no particular order; those of one workflow, or in one state. The service keeps all that ever were and shows no
    /// pages: ask for as few as will do.
    pub async fn list(
        &self,
        workflow: Option<&WorkflowId>,
        state: Option<&JobState>,
    ) -> Result<Vec<Job>, ApiError> {
        let mut url = self.join("jobs/");
        if let Some(workflow) = workflow {
            url.query_pairs_mut()
                .append_pair("workflow_id", &workflow.to_string());
        }
        if let Some(state) = state {
            url.query_pairs_mut().append_pair("status", state.as_str());
        }
        let mut call = self
            .transport
            .call("list_jobs", Place::Collection, Method::GET, url);
        call.max_bytes = self.transport.options().max_response_bytes;
        let scrubber = self.transport.scrubber([]);
        let listing = Listing::new(self.transport.options().budget.share(), |element| {
            // Filtered again: a service that does not know a filter, or not this spelling of it, shows all of them.
            let job = Job::listed(element, workflow, &scrubber)?
                .filter(|job| state.is_none_or(|state| job.state == *state));
            Ok(job.map(|job| {
                let size = job.size();
                (job, size)
            }))
        });
        self.transport.take(call, listing).await
    }

    /// One job.
    pub async fn get(&self, id: &JobId) -> Result<Job, ApiError> {
        let url = self.one(id, "");
        let call = self
            .transport
            .call("get_job", Place::Object, Method::GET, url);
        self.transport
            .make(call, |body| {
                Job::read_with_id(body, id, &self.transport.scrubber([]))
            })
            .await
    }

    /// What came of a job's documents so far.
    pub async fn details(&self, id: &JobId) -> Result<JobDetails, ApiError> {
        let url = self.one(id, "/details");
        let call = self
            .transport
            .call("get_job_details", Place::Object, Method::GET, url);
        self.transport
            .make(call, |body| {
                JobDetails::read(body, id, &self.transport.scrubber([]))
            })
            .await
    }

    /// The documents that a job failed on.
    pub async fn failed_files(&self, id: &JobId) -> Result<FailedFiles, ApiError> {
        let url = self.one(id, "/failed-files");
        let mut call = self
            .transport
            .call("get_failed_files", Place::Object, Method::GET, url);
        call.max_bytes = MAX_FAILED_FILES_BYTES;
        self.transport
            .make(call, |body| {
                FailedFiles::read(body, &self.transport.scrubber([]))
            })
            .await
    }

    /// Asks for the end of a job, which comes later: see [`Jobs::get`]. A job that has ended, or that is not there, needs none. Doing
    /// it twice is harmless.
    pub async fn cancel(&self, id: &JobId) -> Result<(), ApiError> {
        let url = self.one(id, "/cancel");
        let call = self
            .transport
            .call("cancel_job", Place::Object, Method::POST, url)
            .without_body();
        let Err(error) = self.transport.make(call, answer::done).await else {
            return Ok(());
        };
        // What the service says to a cancel that comes too late is not documented.
        match error.kind {
            ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Invalid { .. } => {
                match self.get(id).await {
                    Ok(job) if job.state.is_final() => Ok(()),
                    Err(gone) if gone.kind == ErrorKind::NotFound => Ok(()),
                    Ok(_) | Err(_) => Err(error),
                }
            }
            _ => Err(error),
        }
    }

    fn one(&self, id: &JobId, below: &str) -> Url {
        self.join(&format!("jobs/{id}{below}"))
    }

    fn join(&self, path: &str) -> Url {
        self.transport.endpoint().join(path)
    }
}

/// Where they are.
impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jobs({})", self.transport.endpoint())
    }
}

#[cfg(test)]
mod tests;
