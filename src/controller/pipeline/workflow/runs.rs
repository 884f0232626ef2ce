//! The runs of a workflow: those of the service's schedule are followed into the status, one is asked for when the annotation says so,
//! and old ones that were asked for in that way are cleared away.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Resource as _, ResourceExt};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::super::super::context::{Context, MANAGER};
use super::super::job::look::{active_jobs, fresh_enough};
use super::super::memory::Memory;
use super::super::object::Object;
use super::super::writing::{annotate, api, took};
use super::conclude::{conclude, phase_of, say_nothing_yet, summary};
use super::observe::Hand;
use super::report::Occasion;
use super::situation::Situation;
use super::ticks;
use crate::crd::{
    HANDLED_RUN_AT, JobPhase, MADE_BY_RUN_AT, OnActive, RUN_AT, UnstructuredJob,
    UnstructuredJobSpec, UnstructuredWorkflow, WorkflowReference, WorkflowStatus,
};
use crate::engine::outcome::Failure;
use crate::engine::queue::{Job, Priority};
use crate::engine::refusal::kubernetes;
use crate::kube_error::{is_conflict, is_missing};
use crate::runtime::run_metrics::Past;
use crate::unstructured::{Job as Seen, WorkflowId};

/// Brings what the status says of runs up to date. Whether one is under way, so that it has to be looked at soon.
///
/// # Errors
///
/// [`Failure`] when the service or the Kubernetes API fails.
pub async fn follow(
    context: &Context,
    memory: &mut Memory,
    hand: &mut Hand,
    s: &Situation,
    status: &mut WorkflowStatus,
    job: &Job,
    on: &Occasion,
) -> Result<bool, Failure> {
    recall(context, hand, status);
    ask(context, hand, status).await?;
    clear_away(context, hand).await?;
    let (Some(id), Some(board)): (Option<WorkflowId>, _) = (
        status.workflow_id.as_deref().and_then(|id| id.parse().ok()),
        &hand.board,
    ) else {
        return Ok(false);
    };
    if s.workspace.is_err() || s.held_by.is_some() || s.foreign.is_some() {
        return Ok(false);
    }
    let schedule = ticks::schedule(&hand.workflow.spec);
    let is_behind = is_behind(context, hand, status);
    if schedule.is_none() && status.active_job.is_none() && !is_behind {
        return Ok(false);
    }
    let mut at = match job.priority {
        Priority::Retry => fresh_enough(context),
        _ => job.since,
    };
    if let Some(active) = &mut status.active_job
        && !is_behind
        && !memory.is_untold()
    {
        let listed = active_jobs(context, board).await?;
        let goes_on = |job: &&Seen| job.id.to_string() == active.id;
        if let Some(job) = listed.items.iter().find(goes_on) {
            phase_of(&job.state).as_str().clone_into(&mut active.phase);
            return Ok(true);
        }
        at = at.max(listed.since);
    }
    if let Some(due) = schedule.and_then(|schedule| ticks::last_look(schedule, Instant::now())) {
        at = at.max(due);
    }
    let mut runs = board.history(&id, at).await?;
    runs.sort_by_key(|job| job.created_at);
    let active = runs.iter().rev().find(|job| !job.state.is_final());
    status.active_job = active.map(|job| summary(job, phase_of(&job.state), None));
    let last = runs.iter().rev().find(|job| job.state.is_final());
    if let Some(last) = last
        && status.last_job.as_ref().map(|job| &job.id) != Some(&last.id.to_string())
    {
        let is_known = conclude(context, memory, hand, board, last, status, on).await?;
        if !is_known && status.active_job.is_none() {
            status.active_job = Some(summary(last, JobPhase::Running, None));
        }
    }
    say_nothing_yet(status, on);
    Ok(status.active_job.is_some())
}

/// Has the metrics say what the status does, also when another leader wrote it.
fn recall(context: &Context, hand: &Hand, status: &WorkflowStatus) {
    let namespace = hand.workflow.namespace().unwrap_or_default();
    let last = status.last_job.as_ref();
    let past = Past {
        failures: status.consecutive_failures,
        last_run: last
            .and_then(|job| job.observed_finished_at.as_ref())
            .map(|at| at.0.as_second()),
        last_success: status.last_success_time.as_ref().map(|at| at.0.as_second()),
    };
    let runs = context.metrics.runs();
    runs.known(&namespace, &hand.workflow.name_any(), &past);
}

/// Whether a run that somebody asked for has ended since the last one on record. Times are known to the second, so one that ended in the
/// same second counts.
fn is_behind(context: &Context, hand: &Hand, status: &WorkflowStatus) -> bool {
    let last = status.last_job.as_ref();
    let seen = last.and_then(|job| job.observed_finished_at.as_ref());
    let jobs = context.catalogue.jobs_of(&hand.workflow.key());
    jobs.iter().filter_map(|job| job.status()).any(|job| {
        let is_later = match (&job.finished_at, seen) {
            (Some(finished), Some(seen)) => finished.0 >= seen.0,
            (finished, None) => finished.is_some(),
            (None, Some(_)) => false,
        };
        is_later && job.job_id.is_some() && job.job_id.as_ref() != last.map(|job| &job.id)
    })
}

/// Makes the one job that a new value of the annotation asks for, and marks the workflow with that value: the mark outlives a backup
/// without the status.
async fn ask(
    context: &Context,
    hand: &mut Hand,
    status: &mut WorkflowStatus,
) -> Result<(), Failure> {
    let annotations = hand.workflow.annotations();
    let Some(asked) = annotations.get(RUN_AT).cloned() else {
        return Ok(());
    };
    // Where the status has it, a mark that somebody takes away is not put back: whoever did that may do so again.
    let is_handled = status.last_handled_run_at.as_ref() == Some(&asked)
        || annotations.get(HANDLED_RUN_AT) == Some(&asked);
    if !is_handled {
        make_job(context, &hand.workflow, &asked).await?;
        let marked = annotate(context, &*hand.workflow, HANDLED_RUN_AT, &asked).await;
        took(hand, marked.map_err(|error| kubernetes(&error)))?;
    }
    status.last_handled_run_at = Some(asked);
    Ok(())
}

/// Makes the job that this value asks for. Its name comes from that value, so that a crash makes no second.
async fn make_job(
    context: &Context,
    workflow: &UnstructuredWorkflow,
    asked: &str,
) -> Result<(), Failure> {
    let uid = workflow.uid().unwrap_or_default();
    let name = workflow.name_any();
    let digest = Sha256::digest(format!("{uid} {asked}").as_bytes());
    let owner = OwnerReference {
        api_version: UnstructuredWorkflow::api_version(&()).into_owned(),
        kind: UnstructuredWorkflow::KIND.to_owned(),
        name: name.clone(),
        uid,
        ..OwnerReference::default()
    };
    let stem = name.get(..name.len().min(200)).unwrap_or_default();
    let job = UnstructuredJob {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}-{}",
                stem.trim_end_matches(['-', '.']),
                &hex::encode(digest)[..10]
            )),
            namespace: workflow.namespace(),
            labels: Some([(MADE_BY_RUN_AT.to_owned(), "true".to_owned())].into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: UnstructuredJobSpec {
            workflow_ref: WorkflowReference { name },
            on_active: OnActive::Wait,
            timeout: None,
            cancel: false,
            ttl_after_finished: None,
        },
        status: None,
    };
    let namespace = workflow.namespace().unwrap_or_default();
    let jobs = api::<UnstructuredJob>(context, &namespace);
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    match jobs.create(&params, &job).await {
        Ok(_) => Ok(()),
        Err(error) if is_conflict(&error) => Ok(()),
        Err(error) => Err(kubernetes(&error)),
    }
}

/// Deletes finished jobs that the annotation made, beyond as many as are kept.
async fn clear_away(context: &Context, hand: &Hand) -> Result<(), Failure> {
    let mut finished: Vec<_> = context
        .catalogue
        .jobs_of(&hand.workflow.key())
        .into_iter()
        .filter(|job| job.labels().contains_key(MADE_BY_RUN_AT) && !job.is_going())
        .filter_map(|job| {
            let status = job.status()?;
            let at = status.finished_at.as_ref()?.0;
            status.phase.is_final().then_some((at, job))
        })
        .collect();
    finished.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let kept = usize::from(hand.workflow.spec.job_history_limit);
    for (_, job) in finished.into_iter().skip(kept) {
        let namespace = job.namespace().unwrap_or_default();
        let jobs = api::<UnstructuredJob>(context, &namespace);
        match jobs.delete(&job.name_any(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(kubernetes(&error)),
        }
    }
    Ok(())
}
