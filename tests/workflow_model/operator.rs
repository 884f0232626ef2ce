//! The operator: production decisions, and the I/O that the model puts in place of the real one.

use unstructured_operator::controller::pipeline::references::Awaited;
use unstructured_operator::controller::pipeline::workflow::outcome::Outcome;
use unstructured_operator::controller::pipeline::workflow::plan::{Step, plan};
use unstructured_operator::controller::pipeline::workflow::situation::{
    Answer, Binding, Effect, Name, Namesake, Sight, Situation,
};
use unstructured_operator::engine::ahead::{Resend, Stage};
use unstructured_operator::engine::debut::Debut;
use unstructured_operator::engine::departure::{DefinitionFate, Deletion};
use unstructured_operator::engine::outcome::{Failure, Problem};
use unstructured_operator::unstructured::{Collection, Digest, WorkflowId};

use super::service::{lost, refused};
use super::world::{Content, Keys, Shown, World};
use super::{Flaw, connectors, judge, record, service};

/// What a pass is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Workflow,
    Connector(usize),
}

/// What becomes of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Done,
    /// Carried out, and the answer lost.
    Lost,
    /// Not carried out, and no answer.
    Undone,
    /// To be carried out later, and no answer.
    Late,
    /// Made, and not shown at once.
    Hidden,
}

/// A pass over the workflow under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    pub situation: Situation,
    /// The version of the object that it works on.
    version: u8,
    /// What it would send.
    pub content: Option<Content>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Operator {
    pub flaw: Option<Flaw>,
}

/// The only name that there is.
pub const NAME: &str = "flow";

pub fn workflow_id(number: usize) -> WorkflowId {
    let text = format!("00000000-0000-4000-8000-{number:012}");
    text.parse().expect("a UUID")
}

pub fn number_of(id: WorkflowId) -> usize {
    let text = id.to_string();
    text[24..].parse().expect("a number")
}

/// Stands for the digest of all that is sent.
pub fn digest(content: Content) -> Digest {
    let text = format!(
        "{:064x}",
        16 * u32::from(content.source) + u32::from(content.edit)
    );
    text.parse().expect("a digest")
}

impl World {
    /// Whether anything wakes the operator for it: an object that is there, until it is let go.
    pub fn has_to_be_looked_at(&self, place: Place) -> bool {
        match place {
            Place::Workflow => self.flow.there,
            Place::Connector(number) => {
                let connector = &self.connectors[number];
                connector.object.there && (connector.object.going || !connector.remote)
            }
        }
    }
}

impl Operator {
    pub fn has(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    pub fn is_at_work(world: &World, place: Place) -> bool {
        match place {
            Place::Workflow => world.pass.is_some(),
            Place::Connector(number) => world.connectors[number].pass.is_some(),
        }
    }

    /// What can go wrong with the next effect.
    pub fn fates(world: &World, place: Place) -> &'static [Fate] {
        let Place::Workflow = place else {
            return connectors::fates(world, place);
        };
        match world.pass.as_ref().map(|pass| plan(&pass.situation)) {
            Some(Step::Act(Effect::Create)) if world.late.is_none() && !world.masked => {
                &[Fate::Lost, Fate::Undone, Fate::Late, Fate::Hidden]
            }
            Some(Step::Act(Effect::Create | Effect::Update(_))) if world.late.is_none() => {
                &[Fate::Lost, Fate::Undone, Fate::Late]
            }
            Some(Step::Act(
                Effect::Create
                | Effect::Update(_)
                | Effect::Delete(_)
                | Effect::AddFinalizer
                | Effect::RecordIntent
                | Effect::RecordUpdate
                | Effect::Record,
            )) => &[Fate::Lost, Fate::Undone],
            Some(Step::Act(Effect::Look(_) | Effect::Confirm(_))) => &[Fate::Undone],
            _ => &[],
        }
    }

    /// Whether the next effect writes to the service.
    pub fn writes_next(world: &World, place: Place) -> bool {
        match (place, &world.pass) {
            (Place::Workflow, Some(pass)) => matches!(
                plan(&pass.situation),
                Step::Act(Effect::Create | Effect::Update(_) | Effect::Delete(_))
            ),
            (Place::Workflow, None) => false,
            (Place::Connector(_), _) => connectors::writes_next(world, place),
        }
    }

    pub fn begin(self, world: &mut World, place: Place) {
        match place {
            Place::Workflow => {
                world.pass = Some(Box::new(Pass {
                    situation: self.observe(world),
                    version: world.version,
                    content: self.content(world),
                }));
            }
            Place::Connector(number) => connectors::begin(world, number),
        }
    }

    pub fn step(self, world: &mut World, place: Place, fate: Fate) {
        match place {
            Place::Workflow => self.step_workflow(world, fate),
            Place::Connector(number) => connectors::step(self, world, number, fate),
        }
    }

    fn content(self, world: &World) -> Option<Content> {
        let mut content = world.desired()?;
        if let Some(source) = world
            .record
            .source
            .filter(|_| self.has(Flaw::KeepsReference))
        {
            content.source = source;
        }
        Some(content)
    }

    /// `observe::observe`.
    fn observe(self, world: &World) -> Situation {
        let known = &world.record;
        let settled = world.settled || self.has(Flaw::DoesNotWait);
        let binding = match known.bound {
            Some(number) => Binding::Bound(workflow_id(number)),
            None if known.intent => Binding::Creating {
                name: NAME.to_owned(),
                stage: if settled {
                    Stage::Settled
                } else {
                    Stage::Unsettled
                },
            },
            None => Binding::Unbound,
        };
        let content = self.content(world).filter(|_| !world.flow.going);
        let awaited =
            || Awaited::Going(Collection::Sources, "DropboxSource", "contracts".to_owned());
        Situation {
            deletion: world.flow.going.then_some(Deletion {
                namespace_terminating: false,
                definition: DefinitionFate::Stays,
                rehearsed: false,
            }),
            retain: false,
            cancel_runs: false,
            awaits_run: false,
            suspend: false,
            finalized: world.flow.finalized || self.has(Flaw::SetsNoFinalizer) && !world.flow.going,
            unrecorded: false,
            foreign: None,
            name: Name {
                value: NAME.to_owned(),
                reserved: world.reserved,
            },
            existing: None,
            adopt_by_name: false,
            held_by: None,
            references: content.map(drop).ok_or_else(awaited),
            workspace: Ok(()),
            moved: None,
            desired: content.map(digest).ok_or(Problem::NoOperatorKey),
            applied: known.applied,
            refused: world
                .refused
                .filter(|refused| content.map(digest) == Some(*refused))
                .map(|_| refused()),
            key: "key".to_owned(),
            marked: known.bound.is_some() && world.keys == Keys::Shown,
            key_taken: None,
            had_one: matches!(binding, Binding::Bound(_)),
            binding,
            sight: Sight::Unseen,
            debut: self.debut(world),
            namesakes: None,
            lost_creates: known.lost,
            resend: match known.resend && !self.has(Flaw::SendsOnce) {
                false => Resend::No,
                true if settled => Resend::Due,
                true => Resend::Later,
            },
            changes: Vec::new(),
        }
    }

    /// `Remembered::recall`. A process that knows nothing of it waits as if it had just been made.
    fn debut(self, world: &World) -> Debut {
        let Some(bound) = world.record.bound else {
            return Debut::Over;
        };
        match world.debut.filter(|(number, _)| *number == bound) {
            _ if world.settled || self.has(Flaw::BelievesEvery404) => Debut::Over,
            Some((_, debut)) => debut,
            None => Debut::Unseen,
        }
    }

    /// `pass::decide_and_act`, one effect of it.
    fn step_workflow(self, world: &mut World, fate: Fate) {
        let Some(mut pass) = world.pass.take() else {
            return;
        };
        let outcome = match plan(&pass.situation) {
            Step::Rest(outcome) => outcome,
            Step::Act(effect) => {
                let answer = self.perform(world, &mut pass, &effect, fate);
                let learnt = pass.situation.learn(&effect, answer);
                if self.has(Flaw::BelievesEvery404) {
                    pass.situation.debut = Debut::Over;
                }
                match learnt {
                    Ok(()) => {
                        world.pass = Some(pass);
                        return;
                    }
                    Err(failure) => Outcome::Failed(failure),
                }
            }
        };
        let s = &pass.situation;
        world.debut = s.bound().map(|id| (number_of(id), s.debut));
        world.refused = match (&s.refused, &s.desired) {
            (Some(_), Ok(digest)) => Some(*digest),
            _ => world.refused,
        };
        let is_silent = matches!(
            outcome,
            Outcome::Released | Outcome::Failed(Failure::Conflict)
        );
        // A write over another version than the pass saw is a conflict, and the next pass decides anew.
        if !is_silent && pass.version == world.version && world.flow.there {
            record::write(world, &pass, &outcome);
        }
    }

    fn perform(self, world: &mut World, pass: &mut Pass, effect: &Effect, fate: Fate) -> Answer {
        let unreachable = || Answer::Failed(Failure::Kubernetes("no response came".to_owned()));
        match effect {
            Effect::AddFinalizer
            | Effect::RemoveFinalizer
            | Effect::RecordIntent
            | Effect::RecordUpdate => {
                if fate == Fate::Undone {
                    return unreachable();
                }
                if !world.flow.there || pass.version != world.version {
                    return Answer::Failed(Failure::Conflict);
                }
                match effect {
                    Effect::AddFinalizer => world.flow.finalized = true,
                    Effect::RemoveFinalizer => world.flow.release(),
                    _ => self.write_ahead(world, pass, effect),
                }
                world.version += 1;
                pass.version = world.version;
                if fate == Fate::Lost {
                    return unreachable();
                }
            }
            Effect::Record => {
                if fate == Fate::Undone || !world.flow.there {
                    return unreachable();
                }
                // It is read again, whoever changed it meanwhile.
                record::write(world, pass, &Outcome::Applying);
                pass.version = world.version;
                if fate == Fate::Lost {
                    return unreachable();
                }
            }
            Effect::Bind(..) | Effect::CancelRuns(_) => {}
            Effect::Look(_) | Effect::Confirm(_) if fate == Fate::Undone => {
                return Answer::Failed(lost());
            }
            Effect::Look(_) => {
                let seen = pass.situation.bound().map(number_of);
                let seen = seen.map_or(Sight::Unseen, |number| self.compared(world, number));
                return Answer::Seen(seen, self.namesakes(world));
            }
            Effect::Confirm(id) => {
                let number = number_of(*id);
                let seen = service::is_found(world, number).then(|| self.compared(world, number));
                return Answer::Confirmed(seen.unwrap_or(Sight::Gone));
            }
            Effect::Create | Effect::Update(_) | Effect::Delete(_) => {
                return service::call(world, pass, effect, fate);
            }
        }
        Answer::Done
    }

    fn write_ahead(self, world: &mut World, pass: &Pass, effect: &Effect) {
        let flaw = match effect {
            Effect::RecordIntent => Flaw::RecordsNoIntent,
            _ => Flaw::KeepsDigest,
        };
        if self.has(flaw) {
            return;
        }
        let mut then = pass.clone();
        if then.situation.learn(effect, Answer::Done).is_ok() {
            record::write(world, &then, &Outcome::Applying);
        }
    }

    fn compared(self, world: &World, number: usize) -> Sight {
        match judge::seen(world, number) {
            Sight::Present(_) if self.has(Flaw::SeesNoDrift) => Sight::Present([].into()),
            Sight::Present(_) if self.has(Flaw::SeesDriftEverywhere) => {
                Sight::Present(["nodes".to_owned()].into())
            }
            seen => seen,
        }
    }

    fn namesakes(self, world: &World) -> Vec<Namesake> {
        let found = world.ours().filter(|_| !self.has(Flaw::DoesNotLook));
        let found = found.filter(|(_, workflow)| workflow.shown != Shown::Nowhere);
        let found = found.map(|(number, _)| Namesake {
            id: workflow_id(number),
            marked: world.keys == Keys::Shown,
            ours: world.keys == Keys::Shown || world.reserved,
            holder: None,
        });
        found.collect()
    }
}
