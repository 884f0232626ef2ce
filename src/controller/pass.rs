//! One pass over one resource: observe, then plan and act in turns, then report. Everything between two effects is pure.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{CustomResourceExt, ResourceExt};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::act::{occasion, perform, write_status};
use super::effect::{Answer, Effect};
use super::index::{Key, version};
use super::memory::{Memory, Settling};
use super::observe::{Hand, observe};
use super::outcome::{Class, Failure, Outcome, Requeue};
use super::plan::{Step, plan};
use super::queue::{Job, Priority};
use super::report::{self, Note};
use super::situation::{Binding, Change, Check, Creating, Grant, Release, Situation, poll_delay};
use super::{Context, lane_of};
use crate::crd::{EventReason, FINALIZER};
use crate::kinds::SourceKind;
use crate::runtime::events::{EventNote, EventType};
use crate::runtime::metrics::ReconcileResult;
use crate::spans;
use crate::unstructured::{Commit, ErrorKind};

/// More effects than any honest pass needs: a plan that goes round in circles is stopped here.
const MOST_EFFECTS: usize = 64;

/// The first delay of a retry; it doubles with each failure up to [`LONGEST_BACKOFF`].
const SHORTEST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(10);

/// The first delay after somebody else's write got in the way.
const SHORTEST_COLLISION: Duration = Duration::from_millis(10);

/// How long until a key that was refused is tried again without anybody asking.
const SLOWLY: Duration = Duration::from_mins(3);

/// Makes the pass that the queue asked for, and asks the queue for what has to follow. A panic ends this pass only.
pub async fn make<K: SourceKind + CustomResourceExt>(context: &Context<K>, job: &Job) {
    let Key { namespace, name } = &job.key;
    let span = spans::reconcile(context.kind, namespace, name, job.priority.as_str());
    attempt(context, job).instrument(span).await;
}

async fn attempt<K: SourceKind + CustomResourceExt>(context: &Context<K>, job: &Job) {
    let begun = Instant::now();
    let mut memory = context.memories.take(&job.key);
    let result = match latest(context, &mut memory, &job.key) {
        None => {
            context.memories.put(&job.key, memory);
            return forget(context, &job.key);
        }
        Some(resource) => {
            let guarded =
                AssertUnwindSafe(pass(context, &mut memory, resource.clone(), job)).catch_unwind();
            let (next, result) = guarded.await.unwrap_or_else(|_| {
                tracing::error!(resource = %job.key, "the pass panicked; trying again");
                (
                    follow_up(&mut memory, Requeue::Backoff, context),
                    ReconcileResult::Panicked,
                )
            });
            let lane = lane_of(&*resource);
            if let Some(FollowUp {
                priority, delay, ..
            }) = next
            {
                context.queue.add_after(&job.key, lane, priority, delay);
            }
            if was_overtaken(context, &mut memory, &job.key) {
                context
                    .queue
                    .add(&job.key, lane, Priority::Changed, Instant::now());
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
        .reconciled(context.kind, result, begun.elapsed());
}

/// Forgets a resource that is gone.
pub fn forget<K>(context: &Context<K>, key: &Key) {
    if let Some(workspace) = context.memories.take(key).workspace {
        workspace.leave(key);
    }
}

/// The newest version of the resource that this process knows: the watch may lag behind our own writes.
fn latest<K: SourceKind>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    key: &Key,
) -> Option<Arc<K>> {
    let watched = context.index.get(key)?;
    let written = memory.written.take().filter(|written| {
        written.uid() == watched.uid() && version(&**written) > version(&*watched)
    });
    memory.written.clone_from(&written);
    Some(written.unwrap_or(watched))
}

/// Whether the watch has shown a status meanwhile that we did not write: somebody meddles with it.
fn was_overtaken<K: SourceKind>(context: &Context<K>, memory: &mut Memory<K>, key: &Key) -> bool {
    let Some(watched) = context.index.get(key) else {
        return false;
    };
    if version(&*watched) < memory.written_version {
        return false;
    }
    let written = memory.written.take();
    version(&*watched) > memory.written_version
        && written.is_some_and(|written| written.status() != watched.status())
}

/// When a pass has to follow without anybody asking, and how it counts for the metric.
type Conclusion = (Option<FollowUp>, ReconcileResult);

/// A pass that has to follow.
#[derive(Clone, Copy)]
struct FollowUp {
    priority: Priority,
    delay: Duration,
    /// Whether it is a retry, whose time is worth telling.
    told: bool,
}

async fn pass<K: SourceKind + CustomResourceExt>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    resource: Arc<K>,
    job: &Job,
) -> Conclusion {
    let (mut situation, mut hand) = match observe(context, memory, resource, job).await {
        Ok(observed) => observed,
        Err(failure) => {
            tracing::warn!(resource = %job.key, error = ?failure, "the resource could not be observed; trying again");
            return (
                follow_up(memory, Requeue::Backoff, context),
                ReconcileResult::Failed,
            );
        }
    };
    let before = hand.status();
    let outcome = decide_and_act(context, memory, &mut situation, &mut hand, job).await;
    memory.wrote(&hand.resource);
    remember(memory, &situation, &outcome);
    settle_membership(memory, &hand, job);
    tell(context, memory, &before, &situation, &outcome, &hand, job);

    let row = report::row(&situation, &outcome);
    let result = result(&outcome, row.class);
    let why = result.is_failure().then_some(row.message.as_str());
    spans::decided(&Span::current(), row.reason.as_str(), why);
    let next = follow_up(memory, row.requeue, context);
    let silent = match &outcome {
        // Where somebody else's finalizer holds the resource, it must not go on telling of a connector that is there and ready.
        Outcome::Released => hand.resource.finalizers().iter().all(|f| f == FINALIZER),
        Outcome::Failed(Failure::Conflict | Failure::NotLeading) => true,
        _ => false,
    };
    if silent || !context.leadership.is_valid() {
        return (next, result);
    }
    let mut occasion = occasion(&hand);
    // Only now: a pass that is cut short has not handled what the user asked for.
    occasion.forced.clone_from(&hand.forced);
    occasion.next_attempt = next.filter(|next| next.told).map(|next| next.delay);
    let status = report::status(&hand.status(), &situation, &outcome, &occasion);
    let written = write_status(context, &job.key, &mut hand, &status).await;
    memory.wrote(&hand.resource);
    match written {
        Ok(()) => (next, result),
        Err(Failure::Conflict) => (
            follow_up(memory, Requeue::AtOnce, context),
            ReconcileResult::Conflict,
        ),
        Err(failure) => {
            tracing::warn!(resource = %job.key, error = ?failure, "the status could not be written; trying again");
            (
                follow_up(memory, Requeue::Backoff, context),
                ReconcileResult::Failed,
            )
        }
    }
}

/// The loop around the decision. An effect is only begun while this process leads and the pass has time.
async fn decide_and_act<K: SourceKind>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    situation: &mut Situation,
    hand: &mut Hand<K>,
    job: &Job,
) -> Outcome {
    let deadline = Instant::now() + context.policy.pass_deadline;
    for _ in 0..MOST_EFFECTS {
        let effect = match plan(situation) {
            Step::Rest(outcome) => return outcome,
            Step::Act(effect) => effect,
        };
        if !context.leadership.is_valid() {
            return Outcome::Failed(Failure::NotLeading);
        }
        // What has happened is written down even when the time is over.
        if Instant::now() > deadline && !matches!(effect, Effect::Record(_)) {
            return Outcome::Failed(Failure::Overrun("it took too long"));
        }
        tracing::debug!(resource = %job.key, ?effect, "acting");
        let answer = perform(context, &job.key, hand, situation, &effect).await;
        if let Answer::Failed(failure) = &answer {
            tracing::info!(resource = %job.key, ?effect, ?failure, "an effect failed");
        }
        note_effect(context, memory, situation, hand, &effect, &answer);
        if let Err(failure) = situation.learn(&effect, answer) {
            return Outcome::Failed(failure);
        }
    }
    Outcome::Failed(Failure::Overrun("the plan went round in circles"))
}

/// Keeps what later passes of this process had better know.
fn note_effect<K: SourceKind>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    situation: &Situation,
    hand: &Hand<K>,
    effect: &Effect,
    answer: &Answer,
) {
    let digest = situation.digest();
    match (effect, answer) {
        (
            Effect::CheckCredentials,
            Answer::Grant(grant @ (Grant::Accepted | Grant::Insufficient(_) | Grant::Refused(_))),
        ) => {
            memory.grant = digest.map(|digest| (digest, grant.clone(), Instant::now()));
        }
        (Effect::RecordIntent { .. }, Answer::Done) => {
            let given_up = matches!(
                situation.binding,
                Binding::Creating {
                    stage: Creating::Settled,
                    ..
                }
            );
            memory.abandoned |= given_up;
        }
        (Effect::Create { .. } | Effect::Update(_), Answer::Failed(failure)) => {
            if matches!(failure.kind(), Some(ErrorKind::Invalid { .. })) {
                memory.refused = digest.map(|digest| (digest, Outcome::Failed(failure.clone())));
            }
            let lost = matches!(
                failure.kind(),
                Some(ErrorKind::Timeout | ErrorKind::Interrupted)
            );
            if matches!(effect, Effect::Update(_)) && lost && failure.commit() == Commit::Unknown {
                memory.confirm = Some(Instant::now() + context.policy.settle_time);
            }
            if let (Effect::Create { .. }, Some(create)) = (effect, hand.status().create) {
                let settle_time = context.policy.settle_time;
                let (lost, settled, pause) = match failure.commit() {
                    Commit::Never => (0, Duration::ZERO, Duration::ZERO),
                    Commit::Unknown => {
                        let lost = memory.lost_creates.saturating_add(1);
                        (lost, settle_time, pause_after(lost, settle_time))
                    }
                };
                let now = Instant::now();
                memory.lost_creates = lost;
                memory.settling = Some(Settling {
                    mark: Settling::mark(&create),
                    at: now + settled,
                    again: digest.map(|digest| (digest, now + pause)),
                    why: failure.message().map(ToOwned::to_owned),
                });
            }
        }
        (Effect::Create { .. } | Effect::Update(_), Answer::Created(_) | Answer::Done) => {
            memory.refused = None;
            memory.lost_creates = 0;
            if situation.confirm {
                memory.confirm = None;
            }
            if let Some(since) = memory
                .secret_changed_at
                .take()
                .filter(|_| matches!(effect, Effect::Update(_)))
            {
                context.metrics.secret_applied(since.elapsed());
            }
        }
        _ => {}
    }
}

fn remember<K>(memory: &mut Memory<K>, situation: &Situation, outcome: &Outcome) {
    memory.awaits_inventory = outcome.row().requeue == Requeue::NextInventory;
    memory.check = match (&situation.check, memory.check.take()) {
        (Check::Scheduled(id), Some((known, since, polls))) if known == *id => {
            Some((known, since, polls + u32::from(situation.polled)))
        }
        (Check::Scheduled(id), _) => Some((id.clone(), Instant::now(), 0)),
        _ => None,
    };
}

/// A resource is compared with the inventory of the workspace that it uses, and of no other.
fn settle_membership<K>(memory: &mut Memory<K>, hand: &Hand<K>, job: &Job) {
    let Some(workspace) = &hand.workspace else {
        return;
    };
    if let Some(former) = memory
        .workspace
        .replace(workspace.clone())
        .filter(|former| !Arc::ptr_eq(former, workspace))
    {
        former.leave(&job.key);
    }
    workspace.join(&job.key);
}

fn tell<K: SourceKind>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    before: &crate::crd::SourceStatus,
    situation: &Situation,
    outcome: &Outcome,
    hand: &Hand<K>,
    job: &Job,
) {
    let mut notes = report::notes(before, situation, outcome);
    if !hand.trimmed.is_empty() && !situation.changes.is_empty() {
        notes.push(Note {
            warning: false,
            reason: EventReason::SecretTrimmed.as_str(),
            action: "ReadSecret",
            lasting: false,
            text: format!(
                "Ignored the line break at the end of {} in the Secret.",
                hand.trimmed.join(", ")
            ),
        });
    }
    for note in notes {
        tracing::info!(resource = %job.key, reason = note.reason, "{}", note.text);
        let type_ = if note.warning {
            EventType::Warning
        } else {
            EventType::Normal
        };
        let event = EventNote {
            type_,
            reason: note.reason,
            action: note.action,
            note: note.text,
        };
        if note.lasting {
            let event = EventNote {
                note: format!("{} {}: {}", K::kind(&()), job.key, event.note),
                ..event
            };
            context.recorder.publish(&namespace(&job.key), event);
        } else {
            context
                .recorder
                .publish(&hand.resource.object_ref(&()), event);
        }
    }
    for change in &situation.changes {
        match change {
            Change::DuplicateDeleted(_) => context.metrics.duplicate_deleted(),
            Change::DriftCorrected(_) => context.metrics.drift_corrected(),
            Change::Released(Release::Orphaned(_)) => context.metrics.orphaned(),
            Change::Created(_) => memory.newborn = true,
            _ => {}
        }
    }
    let created = hand.resource.meta().creation_timestamp.as_ref();
    if outcome.row().class == Class::Current
        && situation.deletion.is_none()
        && std::mem::take(&mut memory.newborn)
        && let Some(created) = created
    {
        let age = jiff::Timestamp::now().duration_since(created.0);
        context.metrics.first_ready(age.unsigned_abs());
    }
}

/// The namespace itself. A terminating namespace takes no events; those about it are kept in `default`.
fn namespace(key: &Key) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Namespace".to_owned()),
        name: Some(key.namespace.to_string()),
        ..ObjectReference::default()
    }
}

fn result(outcome: &Outcome, class: Class) -> ReconcileResult {
    match (outcome, class) {
        (Outcome::Failed(Failure::Conflict), _) => ReconcileResult::Conflict,
        (Outcome::Failed(Failure::NotLeading), _) => ReconcileResult::Abandoned,
        (_, Class::Current | Class::Idle) => ReconcileResult::Settled,
        (_, Class::Stalled) => ReconcileResult::Stalled,
        (Outcome::Failed(_), Class::InProgress) => ReconcileResult::Failed,
        (_, Class::InProgress) => ReconcileResult::Waiting,
    }
}

/// When to look again, and how urgently.
fn follow_up<K>(
    memory: &mut Memory<K>,
    requeue: Requeue,
    context: &Context<K>,
) -> Option<FollowUp> {
    // One that is due and was not sent has met something that brings the resource back by itself, or that only a change ends.
    let due = memory
        .confirm
        .and_then(|at| at.checked_duration_since(Instant::now()));
    let confirm = due.filter(|due| !due.is_zero()).map(|due| FollowUp {
        priority: Priority::Retry,
        delay: due + Duration::from_millis(1),
        told: false,
    });
    let next = requeued(memory, requeue, context);
    [next, confirm]
        .into_iter()
        .flatten()
        .min_by_key(|follow_up| follow_up.delay)
}

fn requeued<K>(memory: &mut Memory<K>, requeue: Requeue, context: &Context<K>) -> Option<FollowUp> {
    let failed = matches!(
        requeue,
        Requeue::Backoff | Requeue::AtOnce | Requeue::Slowly | Requeue::Resumed(_)
    );
    memory.failures = if failed {
        memory.failures.saturating_add(1)
    } else {
        0
    };
    let retry = |delay, told| {
        Some(FollowUp {
            priority: Priority::Retry,
            delay,
            told,
        })
    };
    match requeue {
        Requeue::OnChange | Requeue::NextInventory => None,
        // The watch needs a moment to show what we collided with; if it takes longer, there is no use in hurrying.
        Requeue::AtOnce => Some(FollowUp {
            priority: Priority::Changed,
            delay: SHORTEST_COLLISION * (1 << memory.failures.min(6)),
            told: false,
        }),
        Requeue::NextPoll => retry(
            poll_delay(memory.check.as_ref().map_or(0, |(_, _, polls)| *polls)),
            false,
        ),
        Requeue::Settled => {
            let settles = memory
                .settling
                .as_ref()
                .map(|create| create.next().saturating_duration_since(Instant::now()));
            retry(
                settles.unwrap_or(context.policy.settle_time) + Duration::from_millis(1),
                true,
            )
        }
        Requeue::Backoff => retry(backoff(memory.failures), true),
        Requeue::Slowly => retry(jittered(SLOWLY), true),
        Requeue::SecondLook => retry(jittered(SLOWLY), false),
        Requeue::Resumed(at) => {
            let wait = at.saturating_duration_since(Instant::now());
            retry(wait + jittered(Duration::from_millis(500)), true)
        }
    }
}

/// How long a configuration is not sent again after its `lost`th create in a row whose outcome is unknown.
fn pause_after(lost: u32, settle_time: Duration) -> Duration {
    doubled(settle_time, lost).max(settle_time)
}

fn backoff(failures: u32) -> Duration {
    jittered(doubled(SHORTEST_BACKOFF, failures))
}

/// The delay after the `times`th failure in a row: the first, then twice as long each time, up to [`LONGEST_BACKOFF`].
fn doubled(first: Duration, times: u32) -> Duration {
    let delay = first.saturating_mul(1 << times.saturating_sub(1).min(16));
    delay.min(LONGEST_BACKOFF)
}

/// Between a half and the whole of a delay, so that what failed together is not tried again together.
fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}
