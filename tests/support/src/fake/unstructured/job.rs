//! Jobs: the runs of workflows, and what each is to come to.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{StoredNode, StoredWorkflow, check::timestamp, pipeline_rules::PipelineRules};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Not begun.
    Scheduled,
    /// Under way.
    InProgress,
    /// Ended; documents may have failed all the same.
    Completed,
    /// Ended without one document that came through.
    Failed,
    /// Cancelled.
    Stopped,
    /// Ended, in a word that is not documented.
    Other(&'static str),
}

impl JobStatus {
    pub(super) fn text(self, rules: &PipelineRules) -> String {
        let text = match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
            Self::Other(word) => word,
        };
        if rules.lower_case_status {
            text.to_lowercase()
        } else {
            text.to_owned()
        }
    }
}

/// What a job comes to once it is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It went through its documents.
    Documents {
        /// How many it found.
        total: u32,
        /// How many of them failed; when all did, so did the job.
        failed: u32,
        /// What is said of each that failed.
        error: String,
    },
    /// It fails as a whole, with this message.
    Failed(String),
    /// None: it is under way for ever.
    Never,
}

impl JobEnd {
    /// Every one of `total` documents comes through; with 0 the job completes all the same.
    pub fn all(total: u32) -> Self {
        Self::some_failed(0, total, "")
    }

    /// `failed` of `total` documents fail, each with this error.
    pub fn some_failed(failed: u32, total: u32, error: impl Into<String>) -> Self {
        assert!(failed <= total, "no more can fail than there are");
        let error = error.into();
        Self::Documents {
            total,
            failed,
            error,
        }
    }

    fn status(&self) -> JobStatus {
        match *self {
            Self::Documents { total, failed, .. } if failed == 0 || failed < total => {
                JobStatus::Completed
            }
            Self::Documents { .. } | Self::Failed(_) => JobStatus::Failed,
            Self::Never => JobStatus::InProgress,
        }
    }
}

/// A job as the service stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// UUID, hyphenated, lower case.
    pub id: String,
    /// Whose run it is; that workflow may be gone.
    pub workflow_id: String,
    /// Its workflow's name when it began.
    pub workflow_name: String,
    /// `ephemeral`, or `scheduled` when the service began it.
    pub job_type: &'static str,
    /// Where it stands.
    pub status: JobStatus,
    /// Set once.
    pub created_at: Timestamp,
    /// What it is to come to.
    pub end: JobEnd,
    pub(super) nodes: Vec<StoredNode>,
    /// The destination whose index shows its documents.
    pub(super) index: Option<String>,
    /// Its documents are in the index.
    pub(super) indexed: bool,
    /// It was cancelled: for how many polls it is still shown as it was.
    stopping: Option<u32>,
    polls: u32,
}

impl StoredJob {
    pub(super) fn new(workflow: &StoredWorkflow, job_type: &'static str, end: JobEnd) -> Self {
        Self {
            id: crate::wall::uuid().to_string(),
            workflow_id: workflow.id.clone(),
            workflow_name: workflow.name.clone(),
            job_type,
            status: JobStatus::Scheduled,
            created_at: crate::wall::now(),
            end,
            nodes: workflow.nodes.clone(),
            index: None,
            indexed: false,
            stopping: None,
            polls: 0,
        }
    }

    /// Whether it has not ended.
    pub fn is_active(&self) -> bool {
        matches!(self.status, JobStatus::Scheduled | JobStatus::InProgress)
    }

    /// Somebody looks at it, which is what makes time pass. A held one moves only towards its stop.
    pub(super) fn poll(&mut self, polls_per_state: u32, held: bool) {
        if !self.is_active() {
            return;
        }
        match &mut self.stopping {
            Some(0) => self.status = JobStatus::Stopped,
            Some(left) => *left -= 1,
            None if held => {}
            None => {
                if self.polls >= polls_per_state {
                    self.advance();
                }
                self.polls += 1;
            }
        }
    }

    /// Moves on by one state.
    pub(super) fn advance(&mut self) {
        self.polls = 0;
        self.status = match self.status {
            JobStatus::Scheduled => JobStatus::InProgress,
            JobStatus::InProgress => self.end.status(),
            ended => ended,
        };
    }

    /// Ends so at once, unless it has ended; what never ends is under way at least.
    pub(super) fn finish(&mut self, end: JobEnd) {
        if self.is_active() {
            self.status = end.status();
            self.end = end;
        }
    }

    /// Is shown as it is once more, then as stopped.
    pub(super) fn stop(&mut self) {
        self.stopping.get_or_insert(1);
    }

    /// How many documents it found, and how many of them failed, as far as it is known by now.
    pub(super) fn documents(&self) -> (u32, u32) {
        match (&self.end, self.status) {
            (JobEnd::Documents { total, .. }, JobStatus::InProgress) => (*total, 0),
            (JobEnd::Documents { total, failed, .. }, JobStatus::Completed | JobStatus::Failed) => {
                (*total, *failed)
            }
            _ => (0, 0),
        }
    }

    /// The answer to the request that starts it.
    pub(super) fn started(&self, rules: &PipelineRules) -> Value {
        let created_at = self.created_at - rules.clock_behind;
        json!({
            "id": self.id,
            "workflow_id": self.workflow_id,
            "workflow_name": self.workflow_name,
            "status": self.status.text(rules),
            "created_at": timestamp(created_at),
            "job_type": self.job_type,
        })
    }

    pub(super) fn body(&self, rules: &PipelineRules) -> Value {
        let mut body = self.started(rules);
        if !rules.zoned_job_times {
            let zoned = body["created_at"].as_str().unwrap_or_default();
            body["created_at"] = zoned.trim_end_matches('Z').into();
            body["runtime"] = "PT0S".into();
        }
        body
    }

    pub(super) fn details(&self) -> Value {
        let (total, failed) = self.documents();
        let over = !self.is_active();
        let succeeded = if over { total - failed } else { 0 };
        // What fails does so in the first node, and gets to no other.
        let stats = self.nodes.iter().enumerate().map(|(position, node)| {
            let first = position == 0;
            json!({
                "node_name": node.name,
                "node_type": node.node_type,
                "node_subtype": node.subtype,
                "ready": 0,
                "in_progress": if first && !over { total } else { 0 },
                "success": succeeded,
                "failure": if first { failed } else { 0 },
            })
        });
        let message = match (&self.end, self.status) {
            (JobEnd::Failed(message), JobStatus::Failed) => Some(message),
            _ => None,
        };
        let processing_status = match self.status {
            JobStatus::Scheduled => "SCHEDULED",
            JobStatus::InProgress => "IN_PROGRESS",
            JobStatus::Completed if failed > 0 => "COMPLETED_WITH_ERRORS",
            JobStatus::Completed => "SUCCESS",
            JobStatus::Failed => "FAILED",
            JobStatus::Stopped => "STOPPED",
            JobStatus::Other(word) => word,
        };
        json!({
            "id": self.id,
            "processing_status": processing_status,
            "node_stats": stats.collect::<Value>(),
            "summary": {
                "total_docs": total,
                "total_docs_succeeded": succeeded,
                "total_docs_failed": failed,
            },
            "message": message,
        })
    }

    pub(super) fn failed_files(&self) -> Value {
        let (_, failed) = self.documents();
        let error = match &self.end {
            JobEnd::Documents { error, .. } => error.as_str(),
            JobEnd::Failed(_) | JobEnd::Never => "",
        };
        let files = (1..=failed)
            .map(|number| json!({ "document": format!("document-{number}.pdf"), "error": error }));
        json!({ "failed_files": files.collect::<Value>() })
    }
}
