//! What a pass learns: from a situation and the answer to an effect to the next situation. Pure.

use std::collections::BTreeSet;

use super::effect::{Answer, Effect};
use super::situation::{
    Bind, Binding, Change, Check, Debut, Grant, Keys, Mark, Namesake, Resend, Sighting, Situation,
    Stage, is_synced,
};
use crate::engine::outcome::Failure;
use crate::unstructured::{Commit, ConnectorId, ErrorKind};

impl Situation {
    /// Takes in what an effect was answered. Returns the failure if that ends the pass.
    #[expect(
        clippy::too_many_lines,
        reason = "one line of thought for each effect and answer; read as a table"
    )]
    pub fn learn(&mut self, effect: &Effect, answer: Answer) -> Result<(), Failure> {
        match (effect, answer) {
            (Effect::AddFinalizer, Answer::Done) => self.finalized = true,
            (Effect::Rehearse, Answer::Done) => {
                if let Some(deletion) = &mut self.deletion {
                    deletion.rehearsed = true;
                }
            }
            (Effect::Rehearse, Answer::Used(users)) => self.users = Some(users),
            (Effect::RemoveFinalizer(release), Answer::Done) => {
                self.finalized = false;
                self.changes.push(Change::Released(release.clone()));
            }
            (Effect::RecordIntent { name, key }, Answer::Done) => {
                *self = self.intending(name, key.is_some());
            }
            (Effect::RecordUpdate, Answer::Done) => *self = self.unsure(),
            (Effect::Record(_), Answer::Done) => self.unrecorded = false,
            (
                Effect::Look(_),
                Answer::Seen {
                    connector,
                    listed,
                    namesakes,
                },
            ) => {
                if listed {
                    let shown = matches!(connector, Sighting::Present { .. });
                    self.debut = self.debut.listed(shown);
                }
                if !matches!(self.connector, Sighting::Gone) {
                    self.connector = connector;
                }
                self.namesakes = Some(namesakes);
                self.settle_in();
            }
            (Effect::Confirm(_), Answer::Connector(sighting)) => {
                self.connector = sighting;
                if self.connector == Sighting::Gone {
                    // An inventory that still shows it is too old to make another by.
                    self.namesakes = None;
                } else {
                    self.debut = Debut::Over;
                }
                self.settle_in();
            }
            (Effect::CheckCredentials, Answer::Grant(grant)) => {
                self.doubted |= grant != Grant::Accepted;
                self.grant = grant;
            }
            (Effect::Bind(id, how), Answer::Claimed) => {
                let ours = self.namesakes.iter().flatten().find(|n| n.id == *id);
                self.marked = ours.is_some_and(Namesake::is_marked);
                if let Some(namesake) = ours {
                    let other_name = namesake.other_name.clone();
                    self.connector = Sighting::Present {
                        drift: namesake.drift.clone(),
                        name: other_name.unwrap_or_else(|| self.name().value),
                        same_kind: true,
                    };
                }
                self.binding = Binding::Bound(*id);
                self.debut = Debut::Listed;
                // Should it ever have to be made anew, the key may be free by then.
                if matches!(self.keys, Keys::Taken { .. }) {
                    self.keys = Keys::Sent;
                }
                self.held_by = None;
                self.applied = None;
                self.check = Check::None;
                self.resend = self.resend.ahead();
                if *how == Bind::Recovered {
                    // There was none when the create was begun, so all that came since came of our creates.
                    let late = self.namesakes.iter().flatten();
                    let late = late.filter(|n| n.id != *id && self.is_late(n)).count();
                    let late = u32::try_from(late).unwrap_or(u32::MAX);
                    self.lost_creates = self.lost_creates.max(late);
                }
                self.home = self.workspace.clone().ok();
                self.unrecorded = true;
                self.changes.push(Change::Bound(*id, *how));
            }
            (Effect::Bind(id, _), Answer::Held(by)) => {
                let taken = self.namesakes.iter_mut().flatten().find(|n| n.id == *id);
                if let Some(namesake) = taken {
                    namesake.holder = Some(by.clone());
                }
                self.held_by = Some(by);
            }
            (Effect::RecordIntent { .. }, Answer::Held(by)) => self.held_by = Some(by),
            (Effect::Create { .. }, Answer::Created(id, mark)) => {
                let recreated = matches!(self.connector, Sighting::Gone);
                let name = self.name().value;
                self.changes.push(if recreated {
                    Change::Recreated(id)
                } else {
                    Change::Created(id)
                });
                self.accepted();
                self.connector = Sighting::Present {
                    drift: BTreeSet::new(),
                    name,
                    same_kind: true,
                };
                self.binding = Binding::Bound(id);
                self.debut = Debut::Unseen;
                self.marked = mark == Mark::Ours;
            }
            // Nothing was made, so the same without a key cannot be a second one.
            (Effect::Create { .. }, Answer::KeyRefused) => {
                self.unmade();
                self.keys = Keys::Refused;
            }
            (Effect::Create { .. }, Answer::KeyTaken(why)) => {
                self.unmade();
                self.namesakes = None;
                self.keys = Keys::Taken {
                    why,
                    just_now: true,
                };
            }
            (Effect::Create { name, .. }, Answer::Failed(failure)) => match failure.commit() {
                Commit::Never => {
                    self.unmade();
                    return Err(failure);
                }
                Commit::Unknown => {
                    self.binding = Binding::Creating {
                        name: name.clone(),
                        stage: Stage::Unsettled,
                    };
                    self.namesakes = None;
                    self.lost = failure.message().map(ToOwned::to_owned);
                }
            },
            (Effect::Update(_), Answer::Done) if self.resend == Resend::Due && is_synced(self) => {
                self.resend = Resend::No;
                self.debut = Debut::Over;
            }
            (Effect::Update(_), Answer::Done) => {
                self.debut = Debut::Over;
                let drift = match &self.connector {
                    Sighting::Present { drift, .. } => drift.clone(),
                    _ => BTreeSet::new(),
                };
                let drifted = self.applied.is_some() && self.applied == self.digest();
                self.changes.push(if drifted {
                    Change::DriftCorrected(drift)
                } else {
                    Change::Updated
                });
                self.resend = self.resend.answered();
                self.accepted();
                if let Sighting::Present { drift, .. } = &mut self.connector {
                    drift.clear();
                }
            }
            (Effect::Delete(id), answer) => match answer {
                Answer::Done => self.deleted(*id),
                Answer::Failed(failure) if failure.kind() == Some(ErrorKind::NotFound) => {
                    // A key of another workspace knows none of our connectors, and a workspace may not show yet what was just made there.
                    if self.bound() == Some(*id) && (self.moved() || !self.debut.is_over()) {
                        self.connector = Sighting::Gone;
                        self.namesakes = None;
                    } else {
                        self.deleted(*id);
                    }
                }
                Answer::Failed(failure) => return Err(failure),
                other => unreachable!("a delete is not answered by {other:?}"),
            },
            (Effect::Update(_), Answer::Failed(failure))
                if failure.kind() == Some(ErrorKind::NotFound) =>
            {
                self.connector = Sighting::Unlisted;
                self.resend = self.resend.refused();
            }
            (Effect::Update(_), Answer::Failed(failure)) => {
                self.resend = match failure.commit() {
                    Commit::Never => self.resend.refused(),
                    Commit::Unknown => Resend::Lost,
                };
                return Err(failure);
            }
            // Either the connector has just gone, or this API has no such route. Of one that was just made, the service may not know yet.
            (Effect::StartCheck(_), Answer::Failed(failure))
                if failure.kind() == Some(ErrorKind::NotFound) =>
            {
                self.connector = Sighting::Unlisted;
                if self.debut.is_over() {
                    self.check = Check::Unavailable;
                }
            }
            (Effect::StartCheck(_), Answer::Check(check)) => {
                self.debut = Debut::Over;
                self.doubted &= self.grant != Grant::Accepted;
                self.checked(check);
            }
            (Effect::PollCheck { .. }, Answer::Check(check)) => {
                self.polled = true;
                self.checked(check);
            }
            (_, Answer::Failed(failure)) => return Err(failure),
            (effect, answer) => unreachable!("{effect:?} is not answered by {answer:?}"),
        }
        Ok(())
    }

    /// A connector of ours that the present key sees lives in the workspace of that key.
    fn settle_in(&mut self) {
        if self.bound().is_some() && matches!(self.connector, Sighting::Present { .. }) {
            self.home = self.workspace.clone().ok();
        }
    }

    /// What the provider said before a check failed does not explain the failure.
    fn checked(&mut self, check: Check) {
        self.failed_now = matches!(check, Check::Failed(..));
        if self.failed_now {
            self.grant = Grant::Unasked;
        }
        self.check = check;
    }

    fn accepted(&mut self) {
        self.applied = self.digest();
        self.home = self.workspace.clone().ok();
        self.check = Check::None;
        self.unrecorded = true;
    }

    /// The create on record has certainly made nothing.
    fn unmade(&mut self) {
        self.binding = Binding::Unbound;
        self.marked = false;
        self.unrecorded = true;
    }

    fn deleted(&mut self, id: ConnectorId) {
        if let Some(namesakes) = &mut self.namesakes {
            namesakes.retain(|n| n.id != id);
        }
        if self.bound() == Some(id) {
            self.binding = Binding::Unbound;
            self.marked = false;
            self.applied = None;
            self.check = Check::None;
            self.changes.push(Change::Deleted(id));
        } else {
            self.lost_creates = self.lost_creates.saturating_sub(1);
            self.changes.push(Change::DuplicateDeleted(id));
        }
    }
}
