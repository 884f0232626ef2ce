//! What a pass learns: from a situation and the answer to an effect to the next situation. Pure.

use std::collections::BTreeSet;

use super::situation::{Answer, Binding, Change, Effect, How, Sight, Situation};
use crate::engine::ahead::{Resend, Stage};
use crate::engine::debut::Debut;
use crate::engine::outcome::{Class, Failure};
use crate::unstructured::{Commit, ErrorKind};

impl Situation {
    /// Takes in what an effect was answered.
    ///
    /// # Errors
    ///
    /// The failure that ends the pass.
    #[expect(
        clippy::too_many_lines,
        reason = "one line of thought for each effect and answer; read as a table"
    )]
    pub fn learn(&mut self, effect: &Effect, answer: Answer) -> Result<(), Failure> {
        match (effect, answer) {
            (Effect::Create, Answer::Failed(failure)) => {
                self.namesakes = None;
                if failure.commit() == Commit::Unknown {
                    if let Binding::Creating { stage, .. } = &mut self.binding {
                        *stage = Stage::Unsettled;
                    }
                } else {
                    self.binding = Binding::Unbound;
                    self.refuse(&failure);
                }
                return Err(failure);
            }
            // What has it may be ours: it is looked for once more.
            (Effect::Create, Answer::KeyTaken(why)) => {
                self.binding = Binding::Unbound;
                self.namesakes = None;
                self.key_taken = Some(why);
            }
            // The service may not know yet what it has just made.
            (Effect::Update(_), Answer::Failed(failure))
                if is_unknown(&failure) && !self.debut.is_over() =>
            {
                self.sight = Sight::Unlisted;
                self.resend = self.resend.refused();
            }
            (Effect::Delete(id), Answer::Failed(failure))
                if is_unknown(&failure) && self.bound() == Some(*id) && !self.debut.is_over() =>
            {
                self.sight = Sight::Gone;
            }
            (Effect::Update(_), Answer::Failed(failure)) => {
                self.refuse(&failure);
                // What is there now, nobody knows.
                if failure.commit() == Commit::Unknown {
                    self.applied = None;
                    self.resend = Resend::Lost;
                } else {
                    self.resend = self.resend.refused();
                }
                return Err(failure);
            }
            (Effect::Confirm(_), Answer::Confirmed(sight)) => {
                if matches!(sight, Sight::Present(_)) {
                    self.debut = Debut::Over;
                }
                self.sight = sight;
            }
            (_, Answer::Failed(failure)) => return Err(failure),
            (Effect::AddFinalizer, _) => self.finalized = true,
            (Effect::RemoveFinalizer, _) => self.finalized = false,
            (Effect::RecordIntent, _) => {
                if matches!(self.binding, Binding::Creating { .. }) {
                    self.lost_creates = self.lost_creates.saturating_add(1);
                }
                self.binding = Binding::Creating {
                    name: self.name.value.clone(),
                    stage: Stage::Recorded,
                };
                self.applied = None;
            }
            (Effect::RecordUpdate, _) => *self = self.unsure(),
            (Effect::Record, _) => self.unrecorded = false,
            (Effect::Look(_), Answer::Seen(sight, namesakes)) => {
                self.debut = self.debut.listed(matches!(sight, Sight::Present(_)));
                self.sight = sight;
                if let Some(own) = namesakes.iter().find(|n| Some(n.id) == self.bound()) {
                    self.marked = own.marked;
                }
                self.namesakes = Some(namesakes);
            }
            (Effect::Bind(id, how), _) => {
                self.binding = Binding::Bound(*id);
                let mut seen = self.namesakes.iter().flatten();
                self.marked = seen.any(|n| n.id == *id && n.marked);
                self.applied = None;
                self.resend = self.resend.ahead();
                self.sight = Sight::Unseen;
                self.debut = Debut::Listed;
                self.key_taken = None;
                self.unrecorded = true;
                if *how == How::Recovered {
                    let namesakes = self.namesakes.iter().flatten();
                    let others = namesakes.filter(|n| n.is_free() && n.id != *id).count();
                    let others = u32::try_from(others).unwrap_or(u32::MAX);
                    self.lost_creates = self.lost_creates.max(others);
                }
                self.changes.push(match how {
                    How::Recovered => Change::Recovered(*id),
                    How::Adopted => Change::Adopted(*id),
                });
            }
            (
                Effect::Create,
                Answer::Created {
                    id,
                    accepted,
                    marked,
                },
            ) => {
                self.binding = Binding::Bound(id);
                self.marked = marked;
                self.applied = accepted;
                self.sight = Sight::Present(BTreeSet::new());
                self.debut = Debut::Unseen;
                self.unrecorded = true;
                self.changes.push(if self.had_one {
                    Change::Recreated(id)
                } else {
                    Change::Created(id)
                });
            }
            (Effect::Update(_), Answer::Updated(_)) if self.is_settled() => {
                self.resend = Resend::No;
                self.debut = Debut::Over;
            }
            (Effect::Update(_), Answer::Updated(digest)) => {
                self.debut = Debut::Over;
                self.resend = self.resend.answered();
                let known = self.applied == Some(digest);
                let differed =
                    match std::mem::replace(&mut self.sight, Sight::Present(BTreeSet::new())) {
                        Sight::Present(drift) => drift,
                        _ => BTreeSet::new(),
                    };
                self.applied = Some(digest);
                self.unrecorded = true;
                self.changes.push(if known {
                    Change::DriftCorrected(differed)
                } else {
                    Change::Updated
                });
            }
            (Effect::CancelRuns(_), _) => self.cancel_runs = false,
            (Effect::Delete(id), _) if self.bound() != Some(*id) => {
                self.namesakes
                    .iter_mut()
                    .for_each(|n| n.retain(|n| n.id != *id));
                self.lost_creates = self.lost_creates.saturating_sub(1);
                self.changes.push(Change::Deleted(*id));
            }
            (Effect::Delete(id), _) => {
                self.binding = Binding::Unbound;
                self.namesakes = None;
                self.changes.push(Change::Deleted(*id));
            }
            (_, _) => return Err(Failure::Overrun("an effect got the answer of another")),
        }
        Ok(())
    }

    /// Only a change of the spec or the Secret is worth another request.
    fn refuse(&mut self, failure: &Failure) {
        if failure.row().class == Class::Stalled && failure.is_refusal() {
            self.refused = Some(failure.clone());
        }
    }
}

fn is_unknown(failure: &Failure) -> bool {
    failure.kind() == Some(ErrorKind::NotFound)
}
