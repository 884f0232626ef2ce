//! One pass over one resource: observe, then plan and act in turns, then report. Everything between two effects is pure.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::Span;

use super::super::context::Context;
use super::super::recovery::heard;
use super::super::wake::{forget, lane_of};
use super::act::{occasion, perform};
use super::effect::{Answer, Effect, Step};
use super::hand::Hand;
use super::memory::{Memory, News};
use super::observe::{PATIENCE, observe};
use super::plan::plan;
use super::record::{rehearse, write_complaint, write_status};
use super::remember::{note_effect, remember, settle_membership, still_known};
use super::report::{self, Occasion};
use super::situation::{Grant, Situation};
use super::tell;
use crate::crd::{ConnectorStatus, FINALIZER};
use crate::engine::follow_up::{self, FollowUp, Pace};
use crate::engine::key::{Key, version};
use crate::engine::outcome::{Class, Failure, Outcome, Requeue};
use crate::engine::queue::{Job, Priority};
use crate::engine::turns::{self, take_turns};
use crate::kinds::Resource;
use crate::runtime::metrics::ReconcileResult;
use crate::spans;

/// Makes the pass that the queue asked for, and asks the queue for what has to follow. A panic ends this pass only.
pub async fn make(context: &Context, job: &Job) {
    let begun = Instant::now();
    let mut memory = context.memories.take(&job.key);
    let result = match latest(context, &mut memory, &job.key) {
        None => {
            context.memories.put(&job.key, memory);
            return forget(context, &job.key);
        }
        Some(resource) => {
            if memory.contest.is_news() {
                tell::contested(context, &job.key, &resource).await;
            }
            let guarded =
                AssertUnwindSafe(pass(context, &mut memory, resource.clone(), job)).catch_unwind();
            let (next, result) = guarded.await.unwrap_or_else(|_| {
                tracing::error!(resource = %job.key, "reconcile panicked; retrying");
                (
                    follow_up(&mut memory, Requeue::Backoff, context),
                    ReconcileResult::Panicked,
                )
            });
            let lane = lane_of(&resource);
            match next {
                Some(FollowUp {
                    in_line: true,
                    delay,
                    ..
                }) => context.queue.put_off(job, lane, delay),
                Some(FollowUp {
                    priority, delay, ..
                }) => {
                    context.queue.add_after(&job.key, lane, priority, delay);
                }
                None => {}
            }
            if let Some(delay) = was_overtaken(context, &mut memory, &job.key, &resource) {
                context
                    .queue
                    .add_after(&job.key, lane, Priority::Changed, delay);
            }
            result
        }
    };
    context.memories.put(&job.key, memory);
    // The watch may have said during the pass that the resource is gone.
    if context.index.get(&job.key).is_none() {
        forget(context, &job.key);
    }
    spans::concluded(&Span::current(), result.as_str(), result.is_failure());
    context
        .metrics
        .reconciled(job.key.kind, result, begun.elapsed());
}

/// The newest version of the resource that this process knows: the watch may lag behind our own writes.
fn latest(context: &Context, memory: &mut Memory, key: &Key) -> Option<Arc<Resource>> {
    let watched = context.index.get(key)?;
    let uid = watched.uid();
    if memory.uid.as_deref() != uid.as_deref() {
        if let Some(workspace) = memory.workspace.take() {
            workspace.leave(key);
        }
        *memory = Memory {
            uid: uid.map(Into::into),
            ..Memory::default()
        };
    }
    let written = memory.written.take().filter(|written| {
        written.uid() == watched.uid() && version(&written.metadata) > version(&watched.metadata)
    });
    memory.written.clone_from(&written);
    Some(written.unwrap_or(watched))
}

/// Whether the watch has shown meanwhile that somebody else wrote to the status or the finalizers, and how long that is left so.
fn was_overtaken(
    context: &Context,
    memory: &mut Memory,
    key: &Key,
    read: &Arc<Resource>,
) -> Option<Duration> {
    let watched = context.index.get(key)?;
    let last = memory.written.clone().unwrap_or_else(|| read.clone());
    match memory.take_note(Some(&last), &watched, context.has_settled()) {
        News::Own => None,
        News::Overwritten(delay) => Some(delay),
        News::Foreign => {
            let differs =
                last.finalizers() != watched.finalizers() || last.status() != watched.status();
            differs.then_some(Duration::ZERO)
        }
    }
}

/// When a pass has to follow without anybody asking, and how it counts for the metric.
type Conclusion = (Option<FollowUp>, ReconcileResult);

async fn pass(
    context: &Context,
    memory: &mut Memory,
    resource: Arc<Resource>,
    job: &Job,
) -> Conclusion {
    let (mut situation, mut hand) = match observe(context, memory, resource, job).await {
        Ok(observed) => observed,
        Err(failure) => {
            tracing::warn!(resource = %job.key, error = failure.as_str(), reason = %failure, "could not observe the resource; retrying");
            return (
                follow_up(memory, Requeue::Backoff, context),
                ReconcileResult::Failed,
            );
        }
    };
    let before = hand.status();
    if hand.forced.is_some()
        && let Some(workspace) = &hand.workspace
    {
        workspace.session.client.invite_probe();
    }
    let mut turns = Pass {
        context,
        memory: &mut *memory,
        situation: &mut situation,
        hand: &mut hand,
        key: &job.key,
    };
    let time = context.policy.pass_deadline;
    let outcome = take_turns(&mut turns, &job.key, &context.leadership, time).await;
    memory.wrote(hand.written.take());
    memory.unsure |= hand.unsure;
    remember(context, memory, &situation, &outcome);
    settle_membership(memory, &hand, job);
    if !matches!(situation.grant, Grant::Silence(_)) {
        context.breakers.forget(&job.key);
    }
    if let Some(workspace) = &hand.workspace {
        heard(context, &workspace.session, &job.key, outcome.failure());
    }
    tell::tell(context, memory, &before, &situation, &outcome, &hand, job);

    let row = report::row(&situation, &outcome);
    let result = result(&outcome, row.class);
    let why = result.is_failure().then_some(row.message.as_str());
    spans::decided(&Span::current(), row.reason.as_str(), why);
    let next = follow_up(memory, row.requeue, context);
    let silent = match &outcome {
        // Where somebody else's finalizer holds the resource, it must not go on telling of a connector that is there and ready.
        Outcome::Released => hand.resource.finalizers().iter().all(|f| f == FINALIZER),
        Outcome::Failed(Failure::Conflict | Failure::Busy | Failure::NotLeading) => true,
        _ => false,
    };
    if silent || !context.leadership.is_valid() {
        return (next, result);
    }
    let mut occasion = occasion(context, &hand);
    // Only now: a pass that is cut short has not handled what the user asked for.
    occasion.forced.clone_from(&hand.forced);
    occasion.next_attempt = next.filter(|next| next.told).map(|next| next.delay);
    let status = report::status(&hand.status(), &situation, &outcome, &occasion);
    let recorded = hand.resource.status();
    let adds_only_a_check = recorded.is_some_and(|r| report::adds_only_a_check(r, &status));
    let written = if memory.checks_just_now() && adds_only_a_check {
        Ok(())
    } else {
        write_or_complain(context, &mut hand, &situation, &status, &occasion).await
    };
    memory.wrote(hand.written.take());
    memory.unsure |= hand.unsure;
    if !hand.is_overwritten() {
        memory.contest.ours = None;
    }
    match written {
        Ok(()) => (next, result),
        Err(Failure::Conflict) => (
            follow_up(memory, Requeue::AtOnce, context),
            ReconcileResult::Conflict,
        ),
        Err(failure) => {
            tracing::warn!(resource = %job.key, error = failure.as_str(), reason = %failure, "could not write the status; retrying");
            (
                follow_up(memory, Requeue::Backoff, context),
                ReconcileResult::Failed,
            )
        }
    }
}

/// Writes the status. Where the definition has no room for it, says so in what it has room for.
async fn write_or_complain(
    context: &Context,
    hand: &mut Hand,
    situation: &Situation,
    status: &ConnectorStatus,
    on: &Occasion,
) -> Result<(), Failure> {
    let written = write_status(context, hand, status).await;
    let Err(failure @ Failure::Definition(_)) = written else {
        return written;
    };
    let outcome = Outcome::Failed(failure.clone());
    let complaint = report::status(&hand.status(), situation, &outcome, on);
    let complained = write_complaint(context, hand, &complaint).await;
    complained.and(Err(failure))
}

/// What a pass has in its hands.
struct Pass<'a> {
    context: &'a Context,
    memory: &'a mut Memory,
    situation: &'a mut Situation,
    hand: &'a mut Hand,
    key: &'a Key,
}

impl turns::Pass for Pass<'_> {
    type Effect = Effect;
    type Answer = Answer;
    type Outcome = Outcome;

    fn plan(&self) -> Step {
        plan(self.situation)
    }

    async fn perform(&mut self, effect: &Effect) -> Result<Answer, Failure> {
        if effect.needs_a_record() {
            rehearse(self.context, self.hand).await?;
        }
        let answer = perform(self.context, self.key, self.hand, self.situation, effect).await;
        let answer = still_known(self.memory, self.situation, answer);
        note_effect(
            self.context,
            self.memory,
            self.situation,
            self.hand,
            effect,
            &answer,
        );
        Ok(answer)
    }

    fn failure(answer: &Answer) -> Option<&Failure> {
        match answer {
            Answer::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    fn learn(&mut self, effect: &Effect, answer: Answer) -> Result<(), Failure> {
        self.situation.learn(effect, answer)
    }
}

fn result(outcome: &Outcome, class: Class) -> ReconcileResult {
    match (outcome, class) {
        (Outcome::Failed(Failure::Conflict), _) => ReconcileResult::Conflict,
        (Outcome::Failed(Failure::Busy), _) => ReconcileResult::Waiting,
        (Outcome::Failed(Failure::NotLeading), _) => ReconcileResult::Abandoned,
        (_, Class::Current) => ReconcileResult::Settled,
        (_, Class::Stalled) => ReconcileResult::Stalled,
        (Outcome::Failed(_), Class::InProgress) => ReconcileResult::Failed,
        (_, Class::InProgress) => ReconcileResult::Waiting,
    }
}

/// When to look again, and how urgently.
fn follow_up(memory: &mut Memory, requeue: Requeue, context: &Context) -> Option<FollowUp> {
    let now = Instant::now();
    memory.failures = if follow_up::is_failure(requeue) {
        memory.failures.saturating_add(1)
    } else {
        0
    };
    let settling = memory.settling.as_ref();
    let unshown = memory.debut.and_then(|debut| debut.left());
    let waited = memory.waiting.map(|since| now.duration_since(since));
    let resend = memory.resend.as_ref();
    let pace = Pace {
        failures: memory.failures,
        polls: memory.check.as_ref().map_or(0, |(_, _, polls)| *polls),
        settles: match (requeue, settling) {
            (Requeue::Unshown, _) => unshown.unwrap_or_default(),
            (_, Some(create)) => create.next().saturating_duration_since(now),
            (_, None) => context.policy.settle_time,
        },
        patience: PATIENCE.saturating_sub(waited.unwrap_or_default()),
        // One that is due and was not sent has met something that brings the resource back by itself, or that only a change ends.
        resend: resend
            .map(|(_, at)| at.saturating_duration_since(now))
            .filter(|left| !left.is_zero()),
    };
    follow_up::after(requeue, &pace, now)
}
