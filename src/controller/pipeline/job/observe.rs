//! Gathers what there is to know of a job.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::super::open;
use super::super::board::Board;
use super::super::catalogue::asks;
use super::super::memory::Memory;
use super::super::object::Object;
use super::super::{span, writing};
use super::situation::{Asking, Run, Situation, Workflow};
use crate::clock;
use crate::crd::{ConditionType, JobStatus, RUN, UnstructuredJob, UnstructuredWorkflow};
use crate::engine::key::Key;
use crate::engine::outcome::{Failure, Problem};

/// What effects need beside the situation.
pub struct Hand {
    /// The job, as our last write of this pass left it.
    pub job: Arc<UnstructuredJob>,
    /// Its workflow's key.
    pub workflow_key: Key,
    /// Its workflow, if there is one.
    pub workflow: Option<Arc<UnstructuredWorkflow>>,
    /// The lists of the workspace.
    pub board: Option<Arc<Board>>,
    /// How many jobs had begun to ask for a run of the workflow before anything else was looked at.
    pub begun: u64,
}

impl writing::Hand<UnstructuredJob> for Hand {
    fn object(&mut self) -> &mut Arc<UnstructuredJob> {
        &mut self.job
    }
}

impl Hand {
    /// The status that is on record.
    pub fn status(&self) -> JobStatus {
        self.job.status().cloned().unwrap_or_default()
    }

    /// The id of the workflow in the workspace: the one that was run, else the one that is there.
    pub fn workflow_id(&self) -> Option<String> {
        let recorded = self.job.status().and_then(|s| s.workflow_id.clone());
        recorded.or_else(|| {
            let workflow = self.workflow.as_ref()?.status()?;
            workflow.workflow_id.clone()
        })
    }
}

/// Gathers what there is to know of a job.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails, or not all workflows are listed yet: one that is not there may then be there.
pub async fn observe(
    context: &Context,
    memory: &mut Memory,
    job: Arc<UnstructuredJob>,
) -> Result<(Situation, Hand), Failure> {
    let namespace = job.namespace().unwrap_or_default();
    let workflow_key = Key::new(
        UnstructuredWorkflow::KIND,
        &namespace,
        &job.spec.workflow_ref.name,
    );
    let begun = context.catalogue.begun(&workflow_key);
    let workflow = context.catalogue.workflows.get(&workflow_key);
    if workflow.is_none()
        && let Some(unlisted) = context.unlisted.missing()
    {
        return Err(Failure::Kubernetes(format!(
            "not all workflows are listed yet: {unlisted}"
        )));
    }
    let board = match &workflow {
        Some(workflow) => open::board(context, &namespace, workflow.workspace()).await?,
        None => Err(Problem::NoOperatorKey),
    };
    // The key's Secret may have gone before the job; the key with which this process worked last still works.
    let board = board.or_else(|problem| match &memory.board {
        Some(board) if workflow.is_none() || job.is_going() => Ok(board.clone()),
        _ => Err(problem),
    });
    if let Ok(board) = &board {
        memory.board = Some(board.clone());
    }
    let hand = Hand {
        workflow_key,
        workflow,
        board: board.as_ref().ok().cloned(),
        begun,
        job,
    };
    let status = hand.status();
    let run = match (&status.job_id, &status.request) {
        (Some(id), _) => Run::Started(
            id.parse()
                .map_err(|_| Failure::Overrun("status.jobId is no id of a job"))?,
        ),
        (None, Some(request)) => {
            let intent = request.started_at.0.to_string();
            let settled = memory.has_settled(&intent, context.policy.settle_time);
            Run::Asked(if settled {
                Asking::Settled
            } else {
                Asking::Unsettled
            })
        }
        (None, None) => Run::None,
    };
    let situation = Situation {
        going: hand.job.is_going(),
        finalized: hand.job.is_finalized(),
        unrecorded: false,
        ran_before: ran_before(&hand, &status),
        copied: is_marked(&hand) && !is_recorded(&hand, &status),
        on_active: hand.job.spec.on_active,
        cancel: hand.job.spec.cancel,
        overdue: is_overdue(&hand.job, &status),
        cancelled: memory.cancelled,
        phase: status.phase,
        adopted: status.adopted,
        workspace: board.map(drop),
        workflow: workflow_of(context, &hand, &status),
        outrun: outrun(context, &hand),
        run,
        runs: None,
        sight: None,
        refused: None,
    };
    Ok((situation, hand))
}

/// Whether a job of this name has asked for its run before. The mark on the object outlives a backup without the status, and the
/// workflow's record outlives the object.
fn ran_before(hand: &Hand, status: &JobStatus) -> bool {
    is_marked(hand) || is_recorded(hand, status)
}

/// Whether the job has the mark of another.
fn is_marked(hand: &Hand) -> bool {
    let mark = hand.job.annotations().get(RUN);
    mark.is_some_and(|mark| Some(mark) != hand.job.uid().as_ref())
}

/// Whether the workflow's record says so.
fn is_recorded(hand: &Hand, status: &JobStatus) -> bool {
    let uid = hand.job.uid();
    let knows_its_run = status.request.is_some() || status.job_id.is_some();
    let workflow = hand
        .workflow
        .as_ref()
        .and_then(|workflow| workflow.status());
    let runs = workflow.iter().flat_map(|status| &status.runs);
    let name = hand.job.name_any();
    runs.filter(|run| run.name == name)
        .any(|run| Some(&run.uid) != uid.as_ref() || !knows_its_run)
}

fn is_overdue(job: &UnstructuredJob, status: &JobStatus) -> bool {
    let limit = job.spec.timeout.as_deref().and_then(span::parse);
    let (Some(limit), Some(started)) = (limit, &status.started_at) else {
        return false;
    };
    let age = clock::now().duration_since(started.0);
    Duration::try_from(age).is_ok_and(|age| age >= limit)
}

fn workflow_of(context: &Context, hand: &Hand, status: &JobStatus) -> Workflow {
    let began = status.request.is_some() || status.job_id.is_some();
    let Some(workflow) = &hand.workflow else {
        return if began {
            Workflow::Gone
        } else {
            Workflow::Missing
        };
    };
    let known = workflow.status();
    let id = known.and_then(|known| known.workflow_id.as_ref());
    let is_another = began && id.is_some() && status.workflow_id.as_ref() != id;
    if workflow.is_going() || is_another {
        return Workflow::Gone;
    }
    let ready = known.and_then(|known| find(&known.conditions, ConditionType::Ready));
    let is_current = known.map(|known| known.observed_generation) == workflow.metadata.generation;
    match ready {
        Some(ready) if ready.status == "True" && is_current && id.is_some() => {
            match unready_connector(context, workflow) {
                Some(why) => Workflow::Unready(why),
                None => Workflow::Ready,
            }
        }
        Some(ready) if is_current => Workflow::Unready(format!("It is not: {}", ready.message)),
        _ => Workflow::Unready(String::new()),
    }
}

/// Why one of the connectors does not work yet.
fn unready_connector(context: &Context, workflow: &UnstructuredWorkflow) -> Option<String> {
    super::super::references::of(workflow)
        .into_iter()
        .find_map(|key| {
            let resource = context.index.get(&key)?;
            let status = resource.status()?;
            let ready = find(&status.conditions, ConditionType::Ready)?;
            (ready.status != "True")
                .then(|| format!("{} {:?} is not: {}", key.kind, key.name, ready.message))
        })
}

fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// Whether another job goes first, as it asks for a run of the workflow at this moment. Where old records that were restored say so of
/// several, and nobody has begun to ask since, the oldest object goes first, whatever the times of their requests: to ask again changes
/// those, and two would wait for each other.
fn outrun(context: &Context, hand: &Hand) -> bool {
    let uid = hand.job.uid();
    if let Some(by) = context.catalogue.starting_by(&hand.workflow_key) {
        return Some(by) != uid;
    }
    let jobs = context.catalogue.jobs_of(&hand.workflow_key);
    let rank = |job: &UnstructuredJob| {
        let created = job.metadata.creation_timestamp.clone();
        (created.map(|time| time.0), job.uid())
    };
    let ours = asks(&hand.job).then(|| rank(&hand.job));
    let goes_first = |job: &UnstructuredJob| {
        job.uid() != uid && asks(job) && ours.as_ref().is_none_or(|ours| rank(job) < *ours)
    };
    jobs.iter().any(|job| goes_first(job))
}
