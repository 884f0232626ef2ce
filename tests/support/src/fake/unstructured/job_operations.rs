//! The operations on jobs, once the key and the path are known to be good.

use serde_json::{Value, json};

use super::{
    Cancel, StoredJob, answers, envelope,
    operations::{Violation, refused},
    rules::{Permission, Rules},
    workspace::Workspace,
};
use crate::fake::Answer;

/// One request of a workspace's key that is about jobs.
pub(super) struct JobCall<'a> {
    pub(super) rules: &'a Rules,
    pub(super) workspace: &'a mut Workspace,
    /// Of the job in the path, when there is one.
    pub(super) id: String,
}

impl JobCall<'_> {
    /// Every job there ever was, in an order that means nothing.
    pub(super) fn list(&mut self, query: &str, violation: Violation<'_>) -> Result<Answer, Answer> {
        let (mut workflow, mut status) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "workflow_id" => {
                    workflow = Some(envelope::uuid(&value, &["query", &name], self.rules)?);
                }
                "status" => status = Some(value.to_string()),
                unknown => violation(&format!("an unknown query parameter {unknown}")),
            }
        }
        let rules = &self.rules.pipelines;
        let ours = |job: &StoredJob| workflow.as_ref().is_none_or(|id| *id == job.workflow_id);
        self.workspace.poll_jobs(ours, rules);
        let newest = crate::wall::now() - rules.job_list_lag;
        let wanted = |job: &&StoredJob| {
            let is = |status: &String| job.status.text(rules).eq_ignore_ascii_case(status);
            ours(job) && job.created_at <= newest && status.as_ref().is_none_or(is)
        };
        let jobs = self.workspace.pipelines.jobs.iter();
        let mut jobs: Vec<_> = jobs.filter(wanted).collect();
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        let bodies = jobs.into_iter().map(|job| self.body(job));
        Ok(Answer::json(200, &bodies.collect()))
    }

    pub(super) fn get(&mut self) -> Result<Answer, Answer> {
        let id = self.job()?.id.clone();
        let rules = &self.rules.pipelines;
        self.workspace.poll_jobs(|job| job.id == id, rules);
        let job = self.job()?.clone();
        Ok(Answer::json(200, &self.body(&job)))
    }

    pub(super) fn cancel(&mut self) -> Result<Answer, Answer> {
        let rules = &self.rules.pipelines;
        let job = self.job()?;
        match (rules.cancel, rules.cancel_ended) {
            (Cancel::NotFound, _) => return Err(answers::no_such_job()),
            (_, Permission::Refused(status)) if !job.is_active() => {
                let text = format!("Job is {}", job.status.text(rules));
                return Err(refused(status, "job_id", &text));
            }
            (Cancel::Honoured, _) => job.stop(),
            (Cancel::NeverStops, _) => {}
        }
        let message = "Job successfully cancelled.";
        let body = json!({ "id": job.id, "status": "cancelled", "message": message });
        Ok(Answer::json(200, &body))
    }

    pub(super) fn details(&mut self) -> Result<Answer, Answer> {
        Ok(Answer::json(200, &self.job()?.details()))
    }

    pub(super) fn failed_files(&mut self) -> Result<Answer, Answer> {
        Ok(Answer::json(200, &self.job()?.failed_files()))
    }

    fn body(&self, job: &StoredJob) -> Value {
        let mut body = job.body(&self.rules.pipelines);
        if self.rules.extra_fields {
            body["labels"] = json!([]);
        }
        body
    }

    fn job(&mut self) -> Result<&mut StoredJob, Answer> {
        let job = self.workspace.pipelines.job(&self.id);
        job.ok_or_else(answers::no_such_job)
    }
}
