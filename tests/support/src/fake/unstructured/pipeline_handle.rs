//! The workflows and jobs of a workspace, seen from behind the API.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    JobEnd, JobStatus, StoredJob, StoredWorkflow, WorkspaceHandle, workflow::Change,
    workflow_body::Reader, workspace::Workspace,
};

/// What a tick of a workflow's schedule comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It starts this job.
    Started(String),
    /// It waits for the end of the job that is active.
    Queued,
    /// Nothing: the workflow is gone, not active or has no schedule.
    Nothing,
}

impl WorkspaceHandle {
    /// Every workflow, oldest first.
    pub fn workflows(&self) -> Vec<StoredWorkflow> {
        self.with(|w| w.pipelines.workflows.clone())
    }

    /// The workflow with this id.
    pub fn workflow(&self, id: &str) -> Option<StoredWorkflow> {
        self.with(|w| w.pipelines.workflow(id).cloned())
    }

    /// What a GET shows of a workflow.
    pub fn workflow_body(&self, id: &str) -> Option<Value> {
        let rules = self.rules();
        self.with(|w| {
            let workflow = w.pipelines.workflow(id)?.clone();
            Some(workflow.body(&rules, &w.keys, &w.pipelines.drift))
        })
    }

    /// Somebody else creates a workflow with this body of a POST; returns its id. Panics when it says something
    /// wrong; what it refers to need not be there.
    pub fn insert_workflow(&self, body: Value) -> String {
        let change = self.change(body, &["name", "workflow_type"]);
        let workflow_type = change.workflow_type.clone().unwrap_or_default();
        let mut workflow =
            StoredWorkflow::new(change.name.clone().unwrap_or_default(), workflow_type);
        workflow.take(change);
        let id = workflow.id.clone();
        self.with(|w| w.add_workflow(workflow, None));
        id
    }

    /// Somebody else changes what this body of a PUT names, in the console perhaps; what it leaves out stays. Panics
    /// when the workflow is not there or the body says something wrong.
    pub fn set_workflow(&self, id: &str, patch: Value) {
        let change = self.change(patch, &[]);
        self.edit_workflow(id, |workflow| workflow.take(change));
    }

    /// Somebody else changes one in a way that no PUT can; panics when it is not there.
    pub fn edit_workflow(&self, id: &str, change: impl FnOnce(&mut StoredWorkflow)) {
        self.with(|w| {
            let workflow = w.pipelines.workflow(id);
            let workflow = workflow.expect("a workflow with this id");
            change(workflow);
            workflow.touch();
        });
    }

    /// Somebody else deletes one; false when it is not there. Its active job goes on.
    pub fn remove_workflow(&self, id: &str) -> bool {
        self.with(|w| w.remove_workflow(id)).is_some()
    }

    /// The service changes what it fills in where nodes of a subtype lack a setting, in what is stored already too.
    pub fn drift_default(&self, subtype: &str, setting: &str, value: Value) {
        let setting = (subtype.to_owned(), setting.to_owned());
        self.with(|w| w.pipelines.drift.insert(setting, value));
    }

    /// How many requests to run a workflow started a job.
    pub fn runs(&self, workflow: &str) -> usize {
        self.with(|w| w.pipelines.runs.get(workflow).copied().unwrap_or_default())
    }

    /// Every job of a workflow, oldest first.
    pub fn jobs(&self, workflow: &str) -> Vec<StoredJob> {
        let mut jobs = self.all_jobs();
        jobs.retain(|job| job.workflow_id == workflow);
        jobs
    }

    /// Every job of every workflow there ever was, oldest first.
    pub fn all_jobs(&self) -> Vec<StoredJob> {
        self.with(|w| w.pipelines.jobs.clone())
    }

    /// The job with this id.
    pub fn job(&self, id: &str) -> Option<StoredJob> {
        self.with(|w| w.pipelines.job(id).cloned())
    }

    /// Decides what jobs started from now on come to; without it, three documents that all come through.
    ///
    /// The rule runs inside the API: it must not ask this handle.
    pub fn set_jobs(&self, rule: impl Fn(&StoredWorkflow) -> JobEnd + Send + 'static) {
        self.with(|w| w.pipelines.job_rule = Box::new(rule));
    }

    /// What the next jobs of a workflow come to, one each, before any rule; the last stays.
    pub fn script_jobs(&self, workflow: &str, ends: impl IntoIterator<Item = JobEnd>) {
        let ends = ends.into_iter().collect();
        self.with(|w| w.pipelines.scripts.insert(workflow.to_owned(), ends));
    }

    /// While it is so, polls move no job on, except one that was cancelled to its stop.
    pub fn hold_jobs(&self, held: bool) {
        self.with(|w| w.pipelines.held = held);
    }

    /// Moves a job on by one state, held or not; panics when it is not there.
    pub fn advance_job(&self, id: &str) {
        self.change_job(id, StoredJob::advance);
    }

    /// Ends an active job so, held or not; panics when it is not there.
    pub fn finish_job(&self, id: &str, end: JobEnd) {
        self.change_job(id, |job| job.finish(end));
    }

    /// A job of a workflow's history, which had no document; returns its id. Panics when the workflow is not there.
    pub fn insert_job(&self, workflow: &str, status: JobStatus, created_at: Timestamp) -> String {
        self.with(|w| {
            let workflow = w.pipelines.workflow(workflow);
            let workflow = workflow.expect("a workflow with this id").clone();
            let mut job = StoredJob::new(&workflow, "ephemeral", JobEnd::all(0));
            (job.status, job.created_at) = (status, created_at);
            let id = job.id.clone();
            w.pipelines.jobs.push(job);
            id
        })
    }

    /// The time of a workflow's schedule has come.
    pub fn tick(&self, workflow: &str) -> Tick {
        self.with(|w| {
            let Some(scheduled) = w.pipelines.workflow(workflow).cloned() else {
                return Tick::Nothing;
            };
            if scheduled.schedule.is_none() || scheduled.status != "active" {
                return Tick::Nothing;
            }
            if w.pipelines.active_job(workflow).is_some() {
                let queued = w.pipelines.queued.entry(scheduled.id);
                *queued.or_default() += 1;
                return Tick::Queued;
            }
            Tick::Started(w.start_job(&scheduled, "scheduled").id.clone())
        })
    }

    /// Somebody else runs a workflow, in the console perhaps; the job's id. None: it is gone, or a job is active.
    pub fn run_by_hand(&self, workflow: &str) -> Option<String> {
        self.with(|w| {
            let run = w.pipelines.workflow(workflow).cloned()?;
            if w.pipelines.active_job(workflow).is_some() {
                return None;
            }
            Some(w.start_job(&run, "ephemeral").id.clone())
        })
    }

    /// The service forgets a job.
    pub fn lose_job(&self, id: &str) {
        self.with(|w| w.pipelines.jobs.retain(|job| job.id != id));
    }

    /// How many documents came through to the index of a destination. Pinecone's gets none from a workflow without an
    /// embedding node.
    pub fn documents_in_index(&self, destination: &str) -> u64 {
        self.with(|w| w.pipelines.indexed.get(destination).copied())
            .unwrap_or_default()
    }

    fn change_job(&self, id: &str, change: impl FnOnce(&mut StoredJob)) {
        self.with(|w: &mut Workspace| {
            change(w.pipelines.job(id).expect("a job with this id"));
            w.settle_jobs();
        });
    }

    fn change(&self, body: Value, required: &[&str]) -> Change {
        let Value::Object(body) = body else {
            panic!("a body is an object");
        };
        let reader = Reader {
            body,
            rules: &self.rules(),
            keys_for_ids: false,
            violation: &mut |what| panic!("{what}"),
        };
        match reader.read(required) {
            Ok(change) => change,
            Err(refusal) => panic!("{}", String::from_utf8_lossy(&refusal.body)),
        }
    }
}
