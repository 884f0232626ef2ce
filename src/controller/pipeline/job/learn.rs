//! What a pass learns: from a situation and the answer to an effect to the next situation. Pure.

use super::situation::{Answer, Asking, Effect, Run, Situation};
use crate::engine::outcome::Failure;
use crate::unstructured::Commit;

impl Situation {
    /// Takes in what an effect was answered.
    ///
    /// # Errors
    ///
    /// The failure that ends the pass.
    pub fn learn(&mut self, effect: &Effect, answer: Answer) -> Result<(), Failure> {
        match (effect, answer) {
            (Effect::Run, Answer::Started(Some(id))) => {
                self.run = Run::Started(id);
                self.unrecorded = true;
            }
            // It may have been carried out: what there is now tells.
            (Effect::Run, Answer::Started(None)) => {
                self.run = Run::Asked(Asking::Unsettled);
                self.runs = None;
            }
            (Effect::Run, Answer::Failed(failure)) => {
                self.runs = None;
                if failure.commit() == Commit::Unknown {
                    self.run = Run::Asked(Asking::Unsettled);
                } else {
                    self.run = Run::Asked(Asking::Refused);
                    self.refused = Some(failure);
                }
            }
            (_, Answer::Failed(failure)) => return Err(failure),
            (Effect::AddFinalizer, _) => self.finalized = true,
            (Effect::RemoveFinalizer, _) => self.finalized = false,
            (Effect::RecordIntent, _) => self.run = Run::Asked(Asking::Recorded),
            (Effect::Withdraw, _) => {
                self.run = Run::None;
                return Err(self.refused.take().unwrap_or(Failure::Conflict));
            }
            (Effect::Record, _) => self.unrecorded = false,
            (Effect::Bind { id, adopted }, _) => {
                self.run = Run::Started(*id);
                self.adopted = *adopted;
                self.unrecorded = true;
            }
            (Effect::LookAtRuns, Answer::Runs(runs)) => self.runs = Some(runs),
            (Effect::LookAtRun(_), Answer::Sight(sight)) => self.sight = Some(sight),
            (Effect::Cancel(_), _) => {
                self.cancelled = true;
                self.sight = None;
            }
            (_, _) => return Err(Failure::Overrun("an effect got the answer of another")),
        }
        Ok(())
    }
}
