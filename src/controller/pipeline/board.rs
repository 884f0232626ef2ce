//! What a workspace's lists of workflows and jobs said last. All that work in one workspace share them: following a thousand jobs
//! costs as many requests as following one.

use std::collections::BTreeSet;
use std::sync::{self, Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::engine::key::Key;
use crate::engine::session::Session;
use crate::unstructured::{
    ApiError, ErrorKind, Job, JobState, Jobs, Workflow, WorkflowId, Workflows,
};

/// The lists of one workspace, and what makes the calls about single objects.
pub struct Board {
    /// What all calls have in common.
    pub session: Arc<Session>,
    /// Makes the calls about workflows.
    pub workflows: Workflows,
    /// Makes the calls about jobs.
    pub jobs: Jobs,
    all_workflows: Shared<Workflow>,
    active_jobs: Shared<Job>,
    all_jobs: Shared<Job>,
    /// Since when the list of all jobs has been too long to be read.
    crowded: Mutex<Option<Instant>>,
    /// The workflows that come back with the next list.
    resting: sync::Mutex<BTreeSet<Key>>,
}

/// How long a list that could not be read is not asked for again: it only grows.
const CROWDED: Duration = Duration::from_hours(1);

/// A list, and when it was asked for.
pub struct Listed<T> {
    /// Nothing in it is older.
    pub since: Instant,
    /// What it holds.
    pub items: Vec<T>,
}

/// A list that whoever comes first asks for, and the others wait for.
type Shared<T> = Mutex<Option<Arc<Listed<T>>>>;

impl Board {
    /// Nothing has been listed yet.
    pub fn new(session: Arc<Session>) -> Self {
        Self {
            workflows: session.client.workflows(),
            jobs: session.client.jobs(),
            session,
            all_workflows: Shared::default(),
            active_jobs: Shared::default(),
            all_jobs: Shared::default(),
            crowded: Mutex::default(),
            resting: sync::Mutex::default(),
        }
    }

    /// This workflow has nothing to wait for but the next list.
    pub fn rest(&self, key: &Key) {
        self.lock().insert(key.clone());
    }

    /// This one waits for something else, or is gone.
    pub fn leave(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// The workflows that come back with the next list.
    pub fn resting(&self) -> BTreeSet<Key> {
        self.lock().clone()
    }

    fn lock(&self) -> sync::MutexGuard<'_, BTreeSet<Key>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All workflows, as they were at this time or later.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when they cannot be listed.
    pub async fn all_workflows(&self, at: Instant) -> Result<Arc<Listed<Workflow>>, ApiError> {
        listed(&self.all_workflows, at, self.workflows.list()).await
    }

    /// The jobs of a workflow, as they were at this time or later: from the list of all, which has no pages and grows for ever, so that
    /// it is asked for seldom; or, where that cannot be read any more, from its own.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when they cannot be listed.
    pub async fn history(&self, workflow: &WorkflowId, at: Instant) -> Result<Vec<Job>, ApiError> {
        let is_crowded = {
            let crowded = self.crowded.lock().await;
            crowded.is_some_and(|since| since.elapsed() < CROWDED)
        };
        if is_crowded {
            return self.jobs_of(workflow).await;
        }
        match listed(&self.all_jobs, at, self.jobs.list(None, None)).await {
            Ok(listed) => {
                let ours = listed.items.iter().filter(|job| job.workflow == *workflow);
                Ok(ours.cloned().collect())
            }
            Err(error) if matches!(error.kind, ErrorKind::Unexpected | ErrorKind::NoRoom) => {
                let jobs = self.jobs_of(workflow).await?;
                *self.crowded.lock().await = Some(Instant::now());
                Ok(jobs)
            }
            Err(error) => Err(error),
        }
    }

    /// The jobs that have not ended, as they were at this time or later.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when they cannot be listed.
    pub async fn active_jobs(&self, at: Instant) -> Result<Arc<Listed<Job>>, ApiError> {
        // In the order in which a job goes through them: one that begins between the two is in both, not in neither.
        let both = async {
            let mut active = self.jobs.list(None, Some(&JobState::Scheduled)).await?;
            let running = self.jobs.list(None, Some(&JobState::InProgress)).await?;
            active.retain(|job| running.iter().all(|other| other.id != job.id));
            active.extend(running);
            Ok(active)
        };
        listed(&self.active_jobs, at, both).await
    }

    /// The jobs of one workflow, as they are now.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when they cannot be listed.
    pub async fn jobs_of(&self, workflow: &WorkflowId) -> Result<Vec<Job>, ApiError> {
        self.jobs.list(Some(workflow), None).await
    }
}

async fn listed<T>(
    shared: &Shared<T>,
    at: Instant,
    list: impl Future<Output = Result<Vec<T>, ApiError>>,
) -> Result<Arc<Listed<T>>, ApiError> {
    let mut known = shared.lock().await;
    if let Some(listed) = known.as_ref().filter(|listed| listed.since >= at) {
        return Ok(listed.clone());
    }
    let since = Instant::now();
    let items = list.await?;
    Ok(known.insert(Arc::new(Listed { since, items })).clone())
}
