//! Performs one effect and says what it was answered. Nothing is decided here.

mod actor;
mod kubernetes;
mod workspace;

use super::super::context::Context;
use super::effect::{Answer, Effect};
use super::hand::Hand;
use super::situation::Situation;
use crate::engine::claims::describe_holder;
use crate::engine::key::Key;

pub use actor::occasion;

use actor::Actor;

/// Performs one effect.
pub async fn perform(
    context: &Context,
    key: &Key,
    hand: &mut Hand,
    s: &Situation,
    effect: &Effect,
) -> Answer {
    let actor = Actor {
        context,
        key,
        hand,
        s,
    };
    match effect {
        Effect::AddFinalizer => actor.set_finalizer(true).await,
        Effect::Rehearse => actor.rehearse().await,
        Effect::RemoveFinalizer(_) => actor.remove_finalizer().await,
        Effect::RecordIntent { name, key } => actor.record_intent(name, key.is_some()).await,
        Effect::RecordUpdate => actor.write_ahead(&s.unsure()).await,
        Effect::Record(outcome) => actor.record(outcome).await,
        Effect::Look(freshness) => actor.look(*freshness).await,
        Effect::Confirm(id) => actor.confirm(id).await,
        Effect::CheckCredentials => actor.check_credentials().await,
        Effect::Bind(id, how) => match actor.bind(*id, *how) {
            Ok(()) => Answer::Claimed,
            Err(holder) => Answer::Held(describe_holder(key, &holder)),
        },
        Effect::Create { name, key } => actor.create(name, key.as_deref()).await,
        Effect::Update(id) => actor.update(id).await,
        Effect::Delete(id) => actor.delete(id).await,
        Effect::StartCheck(id) => actor.start_check(id).await,
        Effect::PollCheck { source, check } => actor.poll_check(source, check).await,
    }
}
