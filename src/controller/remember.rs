//! What a pass leaves behind in memory for those that follow.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::Context;
use super::effect::{Answer, Effect};
use super::hand::Hand;
use super::memory::{Memory, Settling};
use super::outcome::{Failure, Outcome};
use super::queue::Job;
use super::recall;
use super::situation::{Check, Grant, Situation};
use crate::unstructured::ErrorKind;

/// A provider that cannot say has not taken back what it denied a moment ago.
pub fn still_known(memory: &Memory, situation: &Situation, answer: Answer) -> Answer {
    match (&answer, &memory.grant) {
        (
            Answer::Grant(Grant::Inconclusive(_)),
            Some((asked, known @ Grant::Insufficient(_), _)),
        ) if Some(*asked) == situation.digest() => Answer::Grant(known.clone()),
        _ => answer,
    }
}

/// Keeps what later passes of this process had better know.
pub fn note_effect(
    context: &Context,
    memory: &mut Memory,
    situation: &Situation,
    hand: &Hand,
    effect: &Effect,
    answer: &Answer,
) {
    let digest = situation.digest();
    match (effect, answer) {
        (Effect::CheckCredentials, Answer::Grant(grant)) => {
            memory.grant = digest.map(|digest| (digest, grant.clone(), Instant::now()));
        }
        (Effect::Create { .. } | Effect::Update(_), Answer::Failed(failure)) => {
            if matches!(failure.kind(), Some(ErrorKind::Invalid { .. })) {
                memory.refused = digest.map(|digest| (digest, Outcome::Failed(failure.clone())));
            }
            if let (Effect::Create { .. }, Some(create)) = (effect, hand.status().create) {
                let settle_time = context.policy.settle_time;
                let aftermath =
                    recall::after_create(failure.commit(), situation.lost_creates, settle_time);
                let now = Instant::now();
                memory.settling = Some(Settling {
                    mark: Settling::mark(&create),
                    at: now + aftermath.settles,
                    again: digest.map(|digest| (digest, now + aftermath.pause)),
                    why: failure.message().map(ToOwned::to_owned),
                });
            }
        }
        (Effect::Create { .. } | Effect::Update(_), Answer::Created(_) | Answer::Done) => {
            memory.refused = None;
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

/// Keeps how the pass ended.
pub fn remember(memory: &mut Memory, situation: &Situation, outcome: &Outcome) {
    memory.awaits = recall::awaits(outcome);
    memory.stuck =
        situation.deletion.is_some() && matches!(outcome, Outcome::Failed(Failure::Forbidden(_)));
    memory.waiting = match outcome {
        Outcome::Blocked(problem) if problem.is_awaited() => {
            Some(memory.waiting.unwrap_or_else(Instant::now))
        }
        _ => None,
    };
    memory.gone = recall::gone(situation).or(memory.gone);
    memory.check = match (&situation.check, memory.check.take()) {
        (Check::Scheduled(id), Some((known, since, polls))) if known == *id => {
            Some((known, since, polls + u32::from(situation.polled)))
        }
        (Check::Scheduled(id), _) => Some((id.clone(), Instant::now(), 0)),
        _ => None,
    };
}

/// A resource is compared with the inventory of the workspace that it uses, and of no other.
pub fn settle_membership(memory: &mut Memory, hand: &Hand, job: &Job) {
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
