//! Looks at a run: where it stands, what it has done so far, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use super::super::super::context::Context;
use super::super::board::{Board, Listed};
use super::super::memory::{Doubt, Memory};
use super::super::object::Object;
use super::super::quoting::Quoting;
use super::super::told::{self, Told};
use super::ending::{end_from, progress_from};
use super::observe::Hand;
use super::sent_secrets::sent_secrets;
use super::situation::{End, Ending, Failed, Progress, Sight};
use crate::clock;
use crate::crd::{FOLLOWED_UNTIL, UnstructuredJob};
use crate::engine::outcome::Failure;
use crate::unstructured::{ErrorKind, Job, JobId, JobState};

/// Since when a list has to be that all share who come back by themselves in an interval.
pub fn fresh_enough(context: &Context) -> Instant {
    let now = Instant::now();
    now.checked_sub(context.policy.job_interval).unwrap_or(now)
}

/// The runs that are under way in the workspace, from the list that all who follow one share.
pub async fn active_jobs(context: &Context, board: &Board) -> Result<Arc<Listed<Job>>, Failure> {
    let active = board.active_jobs(fresh_enough(context)).await;
    active.map_err(|error| Failure::from(&error))
}

/// What is seen of a run.
///
/// # Errors
///
/// [`Failure`] when the service fails, or the Kubernetes API where a Secret has to be read.
pub async fn look_at_run(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
    id: &JobId,
) -> Result<Sight, Failure> {
    let settle_time = context.policy.settle_time;
    let active = active_jobs(context, board).await?;
    let listed = active.items.iter().find(|job| job.id == *id);
    let state = match listed {
        Some(job) => job.state.clone(),
        None => match board.jobs.get(id).await {
            Ok(job) => job.state,
            // It may not show a run yet that it has just made.
            Err(error)
                if error.kind == ErrorKind::NotFound
                    && memory.has_stayed(Doubt::Unknown, settle_time) =>
            {
                return Ok(Sight::Gone);
            }
            Err(error) => return Err(error.into()),
        },
    };
    if !state.is_final() {
        memory.is_plain();
    }
    Ok(match state {
        JobState::Scheduled => Sight::Scheduled,
        JobState::InProgress | JobState::Other(_) if is_followed(&hand.job) => {
            // Only for show: whatever stands in the way of it, the run goes on.
            Sight::Running(progress(context, memory, hand, board, id).await)
        }
        JobState::InProgress | JobState::Other(_) => Sight::Running(None),
        JobState::Completed | JobState::Failed | JobState::Stopped => {
            match end_of(context, memory, hand, board, id, &state).await? {
                Some(end) => Sight::Ended(Box::new(end)),
                None => Sight::Running(None),
            }
        }
    })
}

/// Whether somebody wants to see the counts of the run while it is under way. For each such run they cost a request.
fn is_followed(job: &UnstructuredJob) -> bool {
    let until = job.annotations().get(FOLLOWED_UNTIL);
    let until = until.and_then(|until| until.parse::<jiff::Timestamp>().ok());
    until.is_some_and(|until| until > clock::now())
}

/// What the run has done so far. Whatever stands in the way of it, the run goes on.
async fn progress(
    context: &Context,
    memory: &Memory,
    hand: &Hand,
    board: &Board,
    id: &JobId,
) -> Option<Box<Progress>> {
    let details = board.jobs.details(id).await.ok()?;
    let secrets = sent_secrets(context, memory, hand).await.ok()?;
    let mut progress = progress_from(Some(&details));
    Quoting::of(board, secrets).nodes(&mut progress.nodes, hand.workflow.as_deref());
    Some(Box::new(progress))
}

/// How the run ended. A run that the service calls completed may have failed documents: the details decide, once they say so too. What
/// else they tell is waited for, but not for ever.
async fn end_of(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
    id: &JobId,
    state: &JobState,
) -> Result<Option<End>, Failure> {
    // Whoever goes waits for nothing.
    let settle_time = if hand.job.is_going() {
        Duration::ZERO
    } else {
        context.policy.settle_time
    };
    let details = match told::ask(memory, board, id, state, settle_time).await? {
        Told::NotYet if !hand.job.is_going() => return Ok(None),
        Told::Details(details) => Some(details),
        Told::Nothing | Told::NotYet => None,
    };
    let mut end = end_from(state, details.as_ref());
    let quoting = Quoting::of(board, sent_secrets(context, memory, hand).await?);
    quoting.nodes(&mut end.nodes, hand.workflow.as_deref());
    end.message = end.message.map(|said| quoting.text(&said));
    if end.how == Ending::WithErrors || end.documents.is_some_and(|d| d.failed > 0) {
        match board.jobs.failed_files(id).await {
            Ok(failed) => {
                end.failed_total = u64::try_from(failed.total).ok();
                let files = failed.files.iter().map(|file| Failed {
                    document: quoting.text(&file.document),
                    error: quoting.text(&file.error),
                });
                end.failed_files = files.collect();
            }
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(_) if memory.has_stayed(Doubt::Untold(*id), settle_time) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(end))
}
