//! One pass over one job: observe, then plan and act in turns, then report.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::DeleteParams;

use super::super::super::context::Context;
use super::super::super::recovery::heard;
use super::super::memory::Memory;
use super::super::notice::{tell, warn};
use super::super::object::Object;
use super::super::wake::{lane_of, look_again};
use super::super::writing::{api, write_status};
use super::super::{rest, span};
use super::act::{occasion, perform};
use super::observe::{Hand, observe};
use super::outcome::Outcome;
use super::plan::{Step, plan};
use super::report;
use super::situation::{Answer, Effect, Run, Situation};
use crate::clock;
use crate::crd::{EventReason, JobPhase, Reason, UnstructuredJob};
use crate::engine::outcome::{Failure, Requeue};
use crate::engine::queue::{Job, Priority};
use crate::engine::turns::{self, take_turns};
use crate::kube_error::is_missing;

/// Makes the pass that the queue asked for. Returns what it ended in.
pub async fn make(context: &Context, job: &Job) -> Requeue {
    let mut memory = context.pipelines.jobs.take(&job.key);
    let Some(resource) = context.catalogue.jobs.get(&job.key) else {
        return Requeue::OnChange;
    };
    memory.is_of(&*resource);
    let (requeue, latest) = pass(context, &mut memory, resource).await;
    let lane = lane_of(&job.key);
    let failures = &mut memory.failures;
    rest::until(context, &job.key, lane, requeue, failures, latest, None);
    context.pipelines.jobs.put(&job.key, memory);
    requeue
}

/// When the next pass has to follow, and by when it has to at the latest.
type Next = (Requeue, Option<Duration>);

async fn pass(context: &Context, memory: &mut Memory, job: Arc<UnstructuredJob>) -> Next {
    if !job.is_going() && job.status().is_some_and(|status| status.phase.is_final()) {
        return acknowledge(context, &job).await;
    }
    let (mut s, mut hand) = match observe(context, memory, job).await {
        Ok(observed) => observed,
        Err(failure) => {
            tracing::info!(error = failure.as_str(), reason = %failure, "could not observe a job; retrying");
            return (Requeue::Backoff, None);
        }
    };
    let key = hand.job.key();
    let mut turns = Pass {
        context,
        memory,
        s: &mut s,
        hand: &mut hand,
    };
    let time = context.policy.pass_deadline;
    let outcome = take_turns(&mut turns, &key, &context.leadership, time).await;
    if let Some(board) = &hand.board {
        heard(context, &board.session, &hand.job.key(), outcome.failure());
    }
    if !matches!(s.run, Run::Asked(_)) {
        let uid = hand.job.uid().unwrap_or_default();
        context.catalogue.started(&hand.workflow_key, &uid);
    }
    let row = outcome.row(s.overdue);
    let silent = matches!(
        outcome,
        Outcome::Finished
            | Outcome::Released
            | Outcome::Failed(Failure::Conflict | Failure::NotLeading)
    );
    if silent || !context.leadership.is_valid() {
        return (row.requeue, None);
    }
    let before = hand.status();
    let status = report::status(&before, &s, &outcome, &occasion(&hand));
    match write_status(context, &hand.job, &status).await {
        Ok(written) => {
            if before.phase != status.phase && status.phase.is_final() {
                announce(context, &written, &outcome, &row.message);
                look_again(context, &hand.workflow_key, Priority::Changed);
            }
            (row.requeue, deadline(&written))
        }
        Err(Failure::Conflict) => (Requeue::AtOnce, None),
        Err(failure) => {
            tracing::warn!(resource = %hand.job.key(), error = failure.as_str(), reason = %failure, "could not write the status; retrying");
            (Requeue::Backoff, None)
        }
    }
}

/// Nothing follows any more, but that a change of the spec was seen is written down, and that the job goes when its time is over.
async fn acknowledge(context: &Context, job: &Arc<UnstructuredJob>) -> Next {
    let generation = job.metadata.generation;
    let mut status = job.status().cloned().unwrap_or_default();
    if !context.leadership.is_valid() {
        return (Requeue::OnChange, None);
    }
    if Some(status.observed_generation) == generation {
        return match deadline(job) {
            Some(left) => expire(context, job, left).await,
            None => (Requeue::OnChange, None),
        };
    }
    status.observed_generation = generation.unwrap_or_default();
    for condition in &mut status.conditions {
        condition.observed_generation = generation;
    }
    match write_status(context, job, &status).await {
        Ok(_) => (Requeue::AtOnce, None),
        Err(_) => (Requeue::Backoff, None),
    }
}

/// What a pass has in its hands.
struct Pass<'a> {
    context: &'a Context,
    memory: &'a mut Memory,
    s: &'a mut Situation,
    hand: &'a mut Hand,
}

impl turns::Pass for Pass<'_> {
    type Effect = Effect;
    type Answer = Answer;
    type Outcome = Outcome;

    fn plan(&self) -> Step {
        plan(self.s)
    }

    async fn perform(&mut self, effect: &Effect) -> Result<Answer, Failure> {
        Ok(perform(self.context, self.memory, self.s, self.hand, effect).await)
    }

    fn failure(answer: &Answer) -> Option<&Failure> {
        match answer {
            Answer::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    fn learn(&mut self, effect: &Effect, answer: Answer) -> Result<(), Failure> {
        self.s.learn(effect, answer)
    }
}

fn announce(context: &Context, job: &UnstructuredJob, outcome: &Outcome, message: &str) {
    let phase = job.status().map(|status| status.phase).unwrap_or_default();
    let row = outcome.row(false);
    context.metrics.runs().job_finished(
        &job.namespace().unwrap_or_default(),
        &job.spec.workflow_ref.name,
        phase.as_str(),
    );
    if phase == JobPhase::Succeeded && row.reason == Reason::Succeeded {
        tell(
            context,
            job,
            EventReason::Succeeded,
            "Run",
            message.to_owned(),
        );
    } else {
        warn(context, job, row.reason.as_str(), "Run", message.to_owned());
    }
}

/// By when a run has to be looked at for its timeout, or a finished job for its time to live.
fn deadline(job: &UnstructuredJob) -> Option<Duration> {
    let status = job.status()?;
    if !status.phase.is_final() {
        return None;
    }
    let ttl = span::parse(job.spec.ttl_after_finished.as_deref()?)?;
    let finished = status.finished_at.as_ref()?;
    let age = clock::now().duration_since(finished.0);
    Some(ttl.saturating_sub(Duration::try_from(age).unwrap_or_default()))
}

async fn expire(context: &Context, job: &UnstructuredJob, left: Duration) -> Next {
    if !left.is_zero() {
        return (Requeue::OnChange, Some(left));
    }
    let namespace = job.namespace().unwrap_or_default();
    let jobs = api::<UnstructuredJob>(context, &namespace);
    let params = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: job.uid(),
            resource_version: job.resource_version(),
        }),
        ..DeleteParams::default()
    };
    match jobs.delete(&job.name_any(), &params).await {
        Ok(_) => (Requeue::OnChange, None),
        Err(error) if is_missing(&error) => (Requeue::OnChange, None),
        Err(_) => (Requeue::Backoff, None),
    }
}
