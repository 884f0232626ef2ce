//! One pass over one workflow: observe, then plan and act in turns, then follow its runs, then report.

use std::sync::Arc;

use kube::ResourceExt;
use tokio::time::Instant;

use super::super::super::context::Context;
use super::super::super::recovery::heard;
use super::super::memory::Memory;
use super::super::rest;
use super::super::wake::lane_of;
use super::super::writing::write_status;
use super::act::{occasion, perform};
use super::observe::{Hand, observe};
use super::outcome::Outcome;
use super::plan::{Step, plan};
use super::situation::{Answer, Effect, Situation};
use super::tell::announce;
use super::{report, runs, ticks};
use crate::crd::{RECONCILE_AT, UnstructuredWorkflow};
use crate::engine::debut::Remembered;
use crate::engine::follow_up::when_to_resend;
use crate::engine::outcome::{Failure, Requeue};
use crate::engine::queue::Job;
use crate::engine::turns::{self, take_turns};
use crate::unstructured::own_words;

/// Makes the pass that the queue asked for. Returns what it ended in.
pub async fn make(context: &Context, job: &Job) -> Requeue {
    let mut memory = context.pipelines.workflows.take(&job.key);
    let Some(workflow) = context.catalogue.workflows.get(&job.key) else {
        if let Some(board) = &memory.board {
            board.leave(&job.key);
        }
        return Requeue::OnChange;
    };
    memory.is_of(&*workflow);
    let schedule = ticks::schedule(&workflow.spec);
    let requeue = pass(context, &mut memory, workflow, job).await;
    let lane = lane_of(&job.key);
    let failures = &mut memory.failures;
    // What was lost before may replace what was accepted: then it is sent once more.
    let resend = memory.resend.as_ref();
    let left = resend.map(|(_, at)| at.saturating_duration_since(Instant::now()));
    let resend = when_to_resend(requeue, left.filter(|left| !left.is_zero()));
    let debut = memory.debut.and_then(|debut| debut.left());
    let debut = debut.filter(|_| requeue == Requeue::Unshown);
    let at_the_latest = resend
        .into_iter()
        .chain(debut)
        .chain(schedule.map(ticks::next_look))
        .min();
    let board = memory.board.as_deref();
    rest::until(
        context,
        &job.key,
        lane,
        requeue,
        failures,
        at_the_latest,
        board,
    );
    context.pipelines.workflows.put(&job.key, memory);
    requeue
}

async fn pass(
    context: &Context,
    memory: &mut Memory,
    workflow: Arc<UnstructuredWorkflow>,
    job: &Job,
) -> Requeue {
    let (mut s, mut hand) = match observe(context, memory, workflow).await {
        Ok(observed) => observed,
        Err(failure) => {
            tracing::info!(resource = %job.key, error = failure.as_str(), reason = %failure, "could not observe the workflow; retrying");
            return Requeue::Backoff;
        }
    };
    let before = hand.status();
    let forced = forced(&hand);
    if forced.is_some() {
        s.refused = None;
        s.key_taken = None;
        if let Some(board) = &hand.board {
            board.session.client.invite_probe();
        }
    }
    let mut turns = Pass {
        context,
        memory: &mut *memory,
        s: &mut s,
        hand: &mut hand,
        job,
    };
    let time = context.policy.pass_deadline;
    let outcome = take_turns(&mut turns, &job.key, &context.leadership, time).await;
    if let (Some(failure), Ok(digest)) = (&s.refused, &s.desired) {
        memory.refused = Some((*digest, failure.clone()));
    }
    if let Ok(digest) = &s.desired {
        memory.key_taken = s.key_taken.clone().map(|why| (*digest, why));
    }
    let settle_time = context.policy.settle_time;
    Remembered::keep(&mut memory.debut, s.bound(), s.debut, settle_time);
    if let Some(board) = &hand.board {
        heard(context, &board.session, &job.key, outcome.failure());
    }
    announce(context, &before, &s, &outcome, &hand);
    let row = outcome.row();
    let silent = matches!(
        outcome,
        Outcome::Released | Outcome::Failed(Failure::Conflict | Failure::NotLeading)
    );
    if silent || !context.leadership.is_valid() {
        return row.requeue;
    }
    let mut on = occasion(context, &hand);
    on.forced = forced;
    let mut status = report::status(&hand.status(), &s, &outcome, &on);
    let mut next = row.requeue;
    if s.deletion.is_none() {
        match runs::follow(context, memory, &mut hand, &s, &mut status, job, &on).await {
            Ok(true) if next == Requeue::OnChange => next = Requeue::NextPoll,
            Ok(_) => {}
            Err(failure) => {
                tracing::info!(resource = %job.key, error = failure.as_str(), reason = own_words(&failure.to_string()), "could not follow the runs of a workflow; retrying");
                if let Some(board) = &hand.board {
                    heard(context, &board.session, &job.key, Some(&failure));
                }
                if next == Requeue::OnChange {
                    next = Requeue::Backoff;
                }
            }
        }
    }
    match write_status(context, &hand.workflow, &status).await {
        Ok(_) => next,
        Err(Failure::Conflict) => Requeue::AtOnce,
        Err(failure) => {
            tracing::warn!(resource = %job.key, error = failure.as_str(), reason = %failure, "could not write the status; retrying");
            Requeue::Backoff
        }
    }
}

/// Value of the annotation that forces a look, where it is new.
fn forced(hand: &Hand) -> Option<String> {
    let asked = hand.workflow.annotations().get(RECONCILE_AT)?;
    let handled = hand.status().last_handled_reconcile_at;
    (handled.as_ref() != Some(asked)).then(|| asked.clone())
}

/// What a pass has in its hands.
struct Pass<'a> {
    context: &'a Context,
    memory: &'a mut Memory,
    s: &'a mut Situation,
    hand: &'a mut Hand,
    job: &'a Job,
}

impl turns::Pass for Pass<'_> {
    type Effect = Effect;
    type Answer = Answer;
    type Outcome = Outcome;

    fn plan(&self) -> Step {
        plan(self.s)
    }

    async fn perform(&mut self, effect: &Effect) -> Result<Answer, Failure> {
        Ok(perform(
            self.context,
            self.memory,
            self.s,
            self.hand,
            self.job,
            effect,
        )
        .await)
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
