//! What a workspace knows of its workflows and their jobs, and how time passes there.

use std::collections::{HashMap, VecDeque};

use super::{
    Family, JobEnd, StoredJob, StoredWorkflow, lag::Lag, nodes::Drift,
    pipeline_rules::PipelineRules, workspace::Workspace,
};

/// Decides what a new job of a workflow will come to.
pub(super) type JobRule = Box<dyn Fn(&StoredWorkflow) -> JobEnd + Send>;

/// The workflows and jobs of a workspace.
pub(super) struct Pipelines {
    /// Oldest first.
    pub(super) workflows: Vec<StoredWorkflow>,
    pub(super) lag: Lag<StoredWorkflow>,
    /// Oldest first.
    pub(super) jobs: Vec<StoredJob>,
    pub(super) job_rule: JobRule,
    /// What the next jobs come to, by workflow, before the rule is asked.
    pub(super) scripts: HashMap<String, VecDeque<JobEnd>>,
    /// Polls move no job on.
    pub(super) held: bool,
    pub(super) drift: Drift,
    /// Runs that were taken, by workflow.
    pub(super) runs: HashMap<String, usize>,
    /// Ticks of the schedule that wait for the end of a job, by workflow.
    pub(super) queued: HashMap<String, usize>,
    /// Documents that came through, by destination.
    pub(super) indexed: HashMap<String, u64>,
}

impl Default for Pipelines {
    fn default() -> Self {
        Self {
            workflows: Vec::new(),
            lag: Lag::default(),
            jobs: Vec::new(),
            job_rule: Box::new(|_| JobEnd::all(3)),
            scripts: HashMap::new(),
            held: false,
            drift: Drift::new(),
            runs: HashMap::new(),
            queued: HashMap::new(),
            indexed: HashMap::new(),
        }
    }
}

impl Pipelines {
    pub(super) fn workflow(&mut self, id: &str) -> Option<&mut StoredWorkflow> {
        self.workflows.iter_mut().find(|w| w.id == id)
    }

    pub(super) fn with_key(&self, key: &str) -> Option<&StoredWorkflow> {
        let mut workflows = self.workflows.iter();
        workflows.find(|w| w.key.as_deref() == Some(key))
    }

    pub(super) fn job(&mut self, id: &str) -> Option<&mut StoredJob> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    /// The job of a workflow that has not ended; there is at most one.
    pub(super) fn active_job(&mut self, workflow: &str) -> Option<&mut StoredJob> {
        let mut jobs = self.jobs.iter_mut();
        jobs.find(|job| job.workflow_id == workflow && job.is_active())
    }

    /// Whether a workflow has this connector at one of its ends.
    pub(super) fn uses(&self, id: &str) -> bool {
        let ends =
            |w: &StoredWorkflow| w.sources.iter().chain(&w.destinations).any(|end| end == id);
        self.workflows.iter().any(ends)
    }

    fn end_of_next(&mut self, workflow: &StoredWorkflow) -> JobEnd {
        let script = self.scripts.get_mut(&workflow.id);
        let scripted = script.and_then(|script| match script.len() {
            0 | 1 => script.front().cloned(),
            _ => script.pop_front(),
        });
        scripted.unwrap_or_else(|| (self.job_rule)(workflow))
    }
}

impl Workspace {
    /// Starts a job of a workflow that has no active one.
    pub(super) fn start_job(
        &mut self,
        workflow: &StoredWorkflow,
        job_type: &'static str,
    ) -> &StoredJob {
        let ends = [
            (Family::Sources, &workflow.sources),
            (Family::Destinations, &workflow.destinations),
        ];
        let missing = ends.into_iter().find(|(family, ids)| {
            let there = |id: &String| self.of(*family).connector(id).is_some();
            ids.is_empty() || !ids.iter().all(there)
        });
        let end = match missing {
            Some((family, _)) => JobEnd::Failed(format!("{} connector not found", family.title())),
            None => self.pipelines.end_of_next(workflow),
        };
        let mut job = StoredJob::new(workflow, job_type, end);
        // Without vectors nothing gets into Pinecone's index, and nobody is told.
        let destination = workflow.destinations.first();
        let destination = destination.and_then(|id| self.of(Family::Destinations).connector(id));
        job.index = destination
            .filter(|to| to.connector_type != "pinecone" || workflow.embeds())
            .map(|to| to.id.clone());
        self.pipelines.jobs.push(job);
        self.pipelines.jobs.last().expect("it was just added")
    }

    /// Somebody looks at these jobs.
    pub(super) fn poll_jobs(&mut self, which: impl Fn(&StoredJob) -> bool, rules: &PipelineRules) {
        let held = self.pipelines.held;
        for job in self.pipelines.jobs.iter_mut().filter(|job| which(job)) {
            job.poll(rules.polls_per_state, held);
        }
        self.settle_jobs();
    }

    /// What follows from jobs that ended: their documents are in the index, and what waited for them begins.
    pub(super) fn settle_jobs(&mut self) {
        let pipelines = &mut self.pipelines;
        let ended = |job: &&mut StoredJob| !job.is_active() && !job.indexed;
        for job in pipelines.jobs.iter_mut().filter(ended) {
            job.indexed = true;
            let (total, failed) = job.documents();
            if let Some(index) = job.index.clone() {
                *pipelines.indexed.entry(index).or_default() += u64::from(total - failed);
            }
        }
        let waiting: Vec<_> = pipelines.queued.keys().cloned().collect();
        for id in waiting {
            if self.pipelines.active_job(&id).is_some() {
                continue;
            }
            let left = self.pipelines.queued.remove(&id).unwrap_or_default();
            let Some(workflow) = self.pipelines.workflow(&id).cloned() else {
                continue;
            };
            if left == 0 || workflow.status != "active" || workflow.schedule.is_none() {
                continue;
            }
            self.start_job(&workflow, "scheduled");
            if left > 1 {
                self.pipelines.queued.insert(id, left - 1);
            }
        }
    }
}
