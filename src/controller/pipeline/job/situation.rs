//! What a pass knows of one job: plain values.

use jiff::Timestamp;

use crate::crd::{Documents, FailedDocument, JobPhase, NodeCounts, OnActive};
use crate::engine::outcome::{Failure, Problem};
use crate::engine::turns;
use crate::unstructured::JobId;

/// What a pass knows of one job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, any combination of which can be true"
)]
pub struct Situation {
    /// It is being deleted.
    pub going: bool,
    /// The finalizer holds it.
    pub finalized: bool,
    /// The run is known and not on record.
    pub unrecorded: bool,
    /// A job of this name asked for its run before: this one was restored or made again.
    pub ran_before: bool,
    /// Nothing says so but a mark on it, which is another job's.
    pub copied: bool,
    /// What to do while another run is under way.
    pub on_active: OnActive,
    /// The user wants the run to stop.
    pub cancel: bool,
    /// It takes longer than it may.
    pub overdue: bool,
    /// This process has told it to stop.
    pub cancelled: bool,
    /// The phase on record.
    pub phase: JobPhase,
    /// Whether somebody else started the run.
    pub adopted: bool,
    /// The run, as far as the status has it on record.
    pub run: Run,
    /// Whether the workspace can be worked in.
    pub workspace: Result<(), Problem>,
    /// The workflow.
    pub workflow: Workflow,
    /// Another job asks for a run of the workflow at this moment.
    pub outrun: bool,
    /// What the workflow's runs are, once this pass has looked.
    pub runs: Option<Runs>,
    /// The run itself, once this pass has looked.
    pub sight: Option<Sight>,
    /// Why the service refused to start the run in this pass.
    pub refused: Option<Failure>,
}

/// The run, as far as the status has it on record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Run {
    /// None was asked for.
    None,
    /// One was asked for, and the answer is not on record.
    Asked(Asking),
    /// This one.
    Started(JobId),
}

/// Where a request for a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asking {
    /// The intent is on record and this pass has not sent the request yet.
    Recorded,
    /// The request may still be carried out.
    Unsettled,
    /// The request was carried out by now, or never will be.
    Settled,
    /// The service refused the request: certainly nothing came of it.
    Refused,
}

/// The workflow that a job names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Workflow {
    /// There is no such resource.
    Missing,
    /// It is going, or is another than the one whose run was asked for.
    Gone,
    /// It is not ready: why.
    Unready(String),
    /// It is ready.
    Ready,
}

/// What the runs of the workflow are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Runs {
    /// One that has not ended.
    pub active: Option<JobId>,
    /// One that was made since this job asked, and that no other job has.
    pub ours: Option<JobId>,
    /// The one that was made last.
    pub newest: Option<Newest>,
}

/// A run, and when the service says that it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Newest {
    /// The run.
    pub id: JobId,
    /// When.
    pub created_at: Timestamp,
}

/// What is seen of the run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// It has not begun.
    Scheduled,
    /// It is at work; with what it has done so far, where somebody wants to know.
    Running(Option<Box<Progress>>),
    /// It has ended.
    Ended(Box<End>),
    /// The service knows it no more.
    Gone,
}

/// What a run has done so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Progress {
    /// Its documents.
    pub documents: Option<Documents>,
    /// What each node has done.
    pub nodes: Vec<Counts>,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct End {
    /// How.
    pub how: Ending,
    /// Its documents.
    pub documents: Option<Documents>,
    /// What each node did.
    pub nodes: Vec<Counts>,
    /// Documents that failed.
    pub failed_files: Vec<Failed>,
    /// How many failed in all.
    pub failed_total: Option<u64>,
    /// What the service said.
    pub message: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ending {
    /// To its end.
    #[default]
    Completed,
    /// To its end, and the service does not say what came of its documents.
    Untold,
    /// To its end, and documents failed.
    WithErrors,
    /// It failed.
    Failed,
    /// It was stopped.
    Stopped,
}

/// [`NodeCounts`], to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Counts {
    /// The node.
    pub name: String,
    /// Ready, in progress, success, failure.
    pub documents: [u64; 4],
}

/// [`FailedDocument`], to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failed {
    /// Which.
    pub document: String,
    /// Why.
    pub error: String,
}

impl From<&Counts> for NodeCounts {
    fn from(counts: &Counts) -> Self {
        let [ready, in_progress, success, failure] = counts.documents;
        Self {
            name: counts.name.clone(),
            ready,
            in_progress,
            success,
            failure,
        }
    }
}

impl From<&Failed> for FailedDocument {
    fn from(failed: &Failed) -> Self {
        Self {
            document: failed.document.clone(),
            error: failed.error.clone(),
        }
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Put the finalizer on, and with it the mark that this job asks for a run.
    AddFinalizer,
    /// Let the job go.
    RemoveFinalizer,
    /// Write down that a run is about to be asked for.
    RecordIntent,
    /// Ask for the run.
    Run,
    /// Take the job's name out of the record of its workflow: it asked, and nothing came of it.
    Withdraw,
    /// Write down which run it is.
    Record,
    /// Look at the runs of the workflow.
    LookAtRuns,
    /// Take this run for the job's own.
    Bind {
        /// The run.
        id: JobId,
        /// Whether somebody else started it.
        adopted: bool,
    },
    /// Look at the run.
    LookAtRun(JobId),
    /// Tell the run to stop.
    Cancel(JobId),
}

impl turns::Effect for Effect {
    fn as_str(&self) -> &'static str {
        match self {
            Self::AddFinalizer => "add_finalizer",
            Self::RemoveFinalizer => "remove_finalizer",
            Self::RecordIntent => "record_intent",
            Self::Run => "run",
            Self::Withdraw => "withdraw",
            Self::Record => "record",
            Self::LookAtRuns => "look_at_runs",
            Self::Bind { .. } => "bind",
            Self::LookAtRun(_) => "look_at_run",
            Self::Cancel(_) => "cancel",
        }
    }

    fn is_record(&self) -> bool {
        matches!(self, Self::Record)
    }
}

/// What an effect was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// The run that came of the request; without one, the service says that it did something and not what.
    Started(Option<JobId>),
    /// The runs of the workflow.
    Runs(Runs),
    /// The run.
    Sight(Sight),
    /// It failed.
    Failed(Failure),
}
