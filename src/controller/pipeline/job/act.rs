//! Performs one effect and says what it was answered. Nothing is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use super::super::super::context::Context;
use super::super::board::Board;
use super::super::memory::Memory;
use super::super::notice::tell;
use super::super::object::Object;
use super::super::quoting::Quoting;
use super::super::stop;
use super::super::wake::look_again;
use super::super::writing::{api, let_go, record, set_finalizer, took, write_status};
use super::look::{active_jobs, look_at_run};
use super::lost;
use super::observe::Hand;
use super::outcome::Outcome;
use super::report::{self, Occasion};
use super::sent_secrets::{sent, sent_secrets};
use super::situation::{Answer, Asking, Effect, Run, Runs, Situation};
use crate::clock;
use crate::crd::{EventReason, RUN, RunRecord, UnstructuredWorkflow};
use crate::engine::outcome::Failure;
use crate::engine::queue::Priority;
use crate::engine::refusal::kubernetes;
use crate::unstructured::{ErrorKind, Job, JobId, WorkflowId};

/// Runs of a workflow whose jobs are remembered by name.
const MOST_RUNS: usize = 64;

/// Performs one effect.
pub async fn perform(
    context: &Context,
    memory: &mut Memory,
    s: &Situation,
    hand: &mut Hand,
    effect: &Effect,
) -> Answer {
    let done = match effect {
        Effect::AddFinalizer => add_finalizer(context, hand).await,
        Effect::RemoveFinalizer => remove_finalizer(context, hand).await,
        Effect::RecordIntent => record_intent(context, s, hand).await,
        Effect::Withdraw => edit_runs(context, hand, |_| {}).await,
        Effect::Record => {
            let status = |hand: &Hand| {
                report::status(&hand.status(), s, &Outcome::Scheduled, &occasion(hand))
            };
            record(context, hand, status).await
        }
        Effect::Bind { id, adopted } => {
            bind(context, hand, *id, *adopted);
            Ok(())
        }
        Effect::Run | Effect::LookAtRuns | Effect::LookAtRun(_) | Effect::Cancel(_) => {
            let Some(board) = hand.board.clone() else {
                return Answer::Failed(Failure::Overrun("a call was planned without a workspace"));
            };
            return call(context, memory, hand, &board, effect).await;
        }
    };
    done.map_or_else(Answer::Failed, |()| Answer::Done)
}

/// The calls to the service.
async fn call(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
    effect: &Effect,
) -> Answer {
    let done = match effect {
        Effect::Run => run(context, memory, hand, board).await,
        Effect::LookAtRuns => look_at_runs(context, memory, hand, board).await,
        Effect::LookAtRun(id) => look_at_run(context, memory, hand, board, id)
            .await
            .map(Answer::Sight),
        Effect::Cancel(id) => {
            let told = stop::stop(context, memory, board, &*hand.job, id).await;
            told.map(|()| {
                memory.cancelled = true;
                Answer::Done
            })
        }
        _ => Err(Failure::Overrun("no call of this effect is known")),
    };
    match done {
        Ok(answer) => answer,
        Err(failure) => {
            let secrets = sent_secrets(context, memory, hand).await.ok().flatten();
            Answer::Failed(Quoting::of(board, secrets).failure(failure))
        }
    }
}

async fn run(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
) -> Result<Answer, Failure> {
    let id = workflow_id(hand)?;
    memory.sent = hand.workflow.as_ref().and_then(|w| sent(context, w));
    // From now on a request may be under way: the time until it has settled begins.
    if let Some(request) = &hand.status().request {
        memory.intent = Some((request.started_at.0.to_string(), Instant::now()));
    }
    match board.workflows.run(&id).await {
        Ok(job) => {
            if let Some(job) = &job {
                let note = format!("Started run {} of workflow {id}.", job.id);
                tell(context, &*hand.job, EventReason::Started, "Run", note);
            }
            Ok(Answer::Started(job.map(|job| job.id)))
        }
        Err(error) => {
            // Somebody deleted the workflow behind our back: it is made anew.
            if error.kind == ErrorKind::NotFound {
                look_again(context, &hand.workflow_key, Priority::Changed);
            }
            Err(error.into())
        }
    }
}

async fn look_at_runs(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
) -> Result<Answer, Failure> {
    let id = workflow_id(hand)?;
    let asked = hand.status().request;
    // Whoever waits for a run to end needs no list of its own.
    if asked.is_none() {
        let active = active_jobs(context, board).await?;
        if let Some(job) = active.items.iter().find(|job| job.workflow == id) {
            return Ok(Answer::Runs(Runs {
                active: Some(job.id),
                ours: None,
                newest: None,
            }));
        }
    }
    let jobs = board.jobs_of(&id).await?;
    let uid = hand.job.uid();
    let is_anothers = |id: &JobId| {
        let id = id.to_string();
        context.catalogue.jobs.any(|job| {
            job.uid() != uid && job.status().and_then(|s| s.job_id.as_ref()) == Some(&id)
        })
    };
    let ours = asked.as_ref().and_then(|request| {
        let free = |job: &&Job| !memory.known.contains(&job.id) && !is_anothers(&job.id);
        lost::find(jobs.iter().filter(free), request.last_run.as_ref())
    });
    if asked.is_none() {
        memory.known = jobs.iter().map(|job| job.id).collect();
    }
    let active = jobs.iter().find(|job| !job.state.is_final());
    Ok(Answer::Runs(Runs {
        active: active.map(|job| job.id),
        ours,
        newest: lost::newest(&jobs),
    }))
}

async fn add_finalizer(context: &Context, hand: &mut Hand) -> Result<(), Failure> {
    let mark = BTreeMap::from([(RUN, hand.job.uid().unwrap_or_default())]);
    let written = set_finalizer(context, &*hand.job, true, &mark).await;
    took(hand, written.map_err(|error| kubernetes(&error)))
}

async fn remove_finalizer(context: &Context, hand: &mut Hand) -> Result<(), Failure> {
    let_go(context, hand).await?;
    let uid = hand.job.uid().unwrap_or_default();
    context.catalogue.started(&hand.workflow_key, &uid);
    Ok(())
}

/// The job's own record first: a workflow's record without it means that it was lost.
async fn record_intent(context: &Context, s: &Situation, hand: &mut Hand) -> Result<(), Failure> {
    let uid = hand.job.uid().unwrap_or_default();
    let catalogue = &context.catalogue;
    if !catalogue.may_start(&hand.workflow_key, &uid, hand.begun) {
        return Err(Failure::Conflict);
    }
    let mut then = s.clone();
    then.run = Run::Asked(Asking::Recorded);
    let on = occasion(hand);
    let status = report::status(&hand.status(), &then, &Outcome::Requesting, &on);
    let written = write_status(context, &hand.job, &status).await;
    took(hand, written)?;
    let run = RunRecord {
        name: hand.job.name_any(),
        uid,
        started_at: on.now.clone(),
    };
    edit_runs(context, hand, |runs| {
        runs.insert(0, run);
        runs.truncate(MOST_RUNS);
    })
    .await
}

/// Takes the job's name out of the record of its workflow, and writes what this makes of it.
async fn edit_runs(
    context: &Context,
    hand: &Hand,
    edit: impl FnOnce(&mut Vec<RunRecord>),
) -> Result<(), Failure> {
    let namespace = hand.job.namespace().unwrap_or_default();
    let workflows = api::<UnstructuredWorkflow>(context, &namespace);
    let workflow = workflows.get(&hand.workflow_key.name).await;
    let workflow = workflow.map_err(|error| kubernetes(&error))?;
    let mut status = workflow.status().cloned().unwrap_or_default();
    let name = hand.job.name_any();
    status.runs.retain(|run| run.name != name);
    edit(&mut status.runs);
    write_status(context, &Arc::new(workflow), &status)
        .await
        .map(drop)
}

fn bind(context: &Context, hand: &Hand, id: JobId, adopted: bool) {
    let (reason, note) = if adopted {
        let note = format!("Follows run {id}, which was under way.");
        (EventReason::Joined, note)
    } else {
        let note = format!("Found run {id}, whose start got no response.");
        (EventReason::Recovered, note)
    };
    tell(context, &*hand.job, reason, "Run", note);
}

fn workflow_id(hand: &Hand) -> Result<WorkflowId, Failure> {
    let id = hand.workflow_id().and_then(|id| id.parse().ok());
    id.ok_or(Failure::Overrun("a call was planned without a workflow"))
}

/// The moment of a write.
pub fn occasion(hand: &Hand) -> Occasion {
    Occasion {
        generation: hand.job.metadata.generation.unwrap_or_default(),
        now: Time(clock::second()),
        workflow_id: hand.workflow_id(),
    }
}
