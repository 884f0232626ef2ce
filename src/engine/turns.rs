//! The loop around the decision, one for all protocols: plan an effect, perform it, learn its answer, until the plan rests.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::key::Key;
use super::outcome::Failure;
use crate::runtime::leader::Leadership;

/// More effects than any honest pass needs: a plan that goes round in circles is stopped here.
const MOST_EFFECTS: usize = 64;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step<E, O> {
    /// Perform this effect and decide again with its answer.
    Act(E),
    /// The pass is over; this is what there is to report.
    Rest(O),
}

/// A side effect, of which a pass performs one at a time.
pub trait Effect: fmt::Debug {
    /// One word for logs.
    fn as_str(&self) -> &'static str;

    /// Whether it only writes down what has happened: that is done even when the time of the pass is over.
    fn is_record(&self) -> bool;
}

/// A pass under way: what a protocol brings to the loop.
pub trait Pass {
    /// What it can do.
    type Effect: Effect;
    /// What that can be answered.
    type Answer;
    /// How it can end.
    type Outcome: From<Failure>;

    /// Decides. Pure.
    fn plan(&self) -> Step<Self::Effect, Self::Outcome>;

    /// Performs an effect.
    ///
    /// # Errors
    ///
    /// Why it was not begun, which ends the pass.
    fn perform(
        &mut self,
        effect: &Self::Effect,
    ) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;

    /// The failure in an answer.
    fn failure(answer: &Self::Answer) -> Option<&Failure>;

    /// Adds an answer to what is known.
    ///
    /// # Errors
    ///
    /// A failure that the plan does not deal with, which ends the pass.
    fn learn(&mut self, effect: &Self::Effect, answer: Self::Answer) -> Result<(), Failure>;
}

/// Makes a pass over the object of this key. An effect is only begun while this process leads and the pass has time.
pub async fn take_turns<P: Pass>(
    pass: &mut P,
    key: &Key,
    leadership: &Leadership,
    time: Duration,
) -> P::Outcome {
    let deadline = Instant::now() + time;
    for _ in 0..MOST_EFFECTS {
        let effect = match pass.plan() {
            Step::Rest(outcome) => return outcome,
            Step::Act(effect) => effect,
        };
        if !leadership.is_valid() {
            return Failure::NotLeading.into();
        }
        if Instant::now() > deadline && !effect.is_record() {
            return Failure::Overrun("it took too long").into();
        }
        tracing::debug!(resource = %key, ?effect, "acting");
        let answer = match pass.perform(&effect).await {
            Ok(answer) => answer,
            Err(failure) => return failure.into(),
        };
        if let Some(failure) = P::failure(&answer) {
            tracing::info!(
                resource = %key,
                effect = effect.as_str(),
                error = failure.as_str(),
                reason = %failure,
                "an effect failed"
            );
        }
        if let Err(failure) = pass.learn(&effect, answer) {
            return failure.into();
        }
    }
    Failure::Overrun("the plan went round in circles").into()
}
