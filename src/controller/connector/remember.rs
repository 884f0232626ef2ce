//! What a pass leaves behind in memory for those that follow.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::context::Context;
use super::effect::{Answer, Effect};
use super::hand::Hand;
use super::memory::{Memory, Settling};
use super::recall;
use super::situation::{Check, Grant, Keys, Situation};
use crate::engine::debut::Remembered;
use crate::engine::outcome::{Failure, Outcome};
use crate::engine::queue::Job;
use crate::unstructured::{Commit, ErrorKind};

/// A provider that cannot say has not taken back what it denied a moment ago.
pub fn still_known(memory: &Memory, situation: &Situation, answer: Answer) -> Answer {
    match (&answer, &memory.grant) {
        (
            Answer::Grant(Grant::Inconclusive(_) | Grant::Silence(_)),
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
                memory.refused =
                    digest.map(|digest| Box::new((digest, Outcome::Failed(failure.clone()))));
            }
            if matches!(effect, Effect::Create { .. }) {
                let why = failure.message().map(ToOwned::to_owned);
                note_lost(context, memory, situation, hand, failure.commit(), why);
            }
        }
        (Effect::Create { .. }, Answer::KeyRefused) => {
            tracing::info!("the service does not accept connector keys; creating without one");
            note_lost(context, memory, situation, hand, Commit::Never, None);
        }
        (Effect::Create { .. }, Answer::KeyTaken(why)) => {
            tracing::info!(reason = %why, "the service says that the key is taken; looking for its holder");
            memory.key_taken = digest.map(|digest| Box::new((digest, why.clone())));
            note_lost(context, memory, situation, hand, Commit::Never, None);
        }
        (Effect::Bind(..), Answer::Claimed) => memory.key_taken = None,
        (Effect::Create { .. } | Effect::Update(_), Answer::Created(..) | Answer::Done) => {
            memory.refused = None;
            // What was refused with a key and taken without one is refused for the key.
            if let (Effect::Create { .. }, Keys::Refused, Some(workspace)) =
                (effect, &situation.keys, &hand.workspace)
            {
                workspace.session.found_keys_refused();
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

/// Keeps what is to be waited for after a create that did not give its answer.
fn note_lost(
    context: &Context,
    memory: &mut Memory,
    situation: &Situation,
    hand: &Hand,
    commit: Commit,
    why: Option<String>,
) {
    let Some(create) = hand.status().create else {
        return;
    };
    let settle_time = context.policy.settle_time;
    let aftermath = recall::after_create(commit, situation.lost_creates, settle_time);
    let now = Instant::now();
    let digest = situation.digest();
    memory.settling = Some(Box::new(Settling {
        mark: Settling::mark(&create),
        at: now + aftermath.settles,
        again: digest.map(|digest| (digest, now + aftermath.pause)),
        why,
    }));
}

/// Keeps how the pass ended.
pub fn remember(context: &Context, memory: &mut Memory, situation: &Situation, outcome: &Outcome) {
    let settle_time = context.policy.settle_time;
    let bound = situation.bound();
    Remembered::keep(&mut memory.debut, bound, situation.debut, settle_time);
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
