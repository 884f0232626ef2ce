//! One operator process, one effect at a time. `plan`, `Situation::learn`, `report::status`, the table of outcomes, `Claims`,
//! `recall` and `follow_up` are the production code; what is written here stands for the I/O around them, and names the function
//! that it stands for.

use std::time::Duration;

use tokio::time::Instant;
use unstructured_operator::controller::connector::effect::{Answer, Effect, Step};
use unstructured_operator::controller::connector::recall::Awaits;
use unstructured_operator::controller::connector::recall::{self, Writer};
use unstructured_operator::controller::connector::report;
use unstructured_operator::controller::connector::situation::{Keys, Situation};
use unstructured_operator::engine::claims::Claims;
use unstructured_operator::engine::debut::Debut;
use unstructured_operator::engine::follow_up::{self, Pace};
use unstructured_operator::engine::outcome::{Failure, Outcome, Requeue};
use unstructured_operator::unstructured::{Commit, ConnectorId, ErrorKind};

use super::connectors::{Config, Connector, number, source_id};
use super::kubernetes::write_status;
use super::process::{Instance, Memory, Pass, Queued};
use super::status::{clock, full, name_number};
use super::world::World;

/// The decision under test, and what is wrong with the code around it.
#[derive(Clone, Copy)]
pub struct Operator {
    pub plan: fn(&Situation) -> Step,
    pub flaw: Option<Flaw>,
}

/// A fault that is planted in what lies around the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The status is written so that what others wrote stands in the way.
    CannotWriteOver,
    /// Decides before every list is complete.
    DoesNotWaitForLists,
    /// A claim outlives its resource.
    KeepsClaims,
    /// A refusal is the spec's fault, whatever was sent.
    BlamesTheSpec,
    /// A blocked deletion waits for an event.
    WaitsForAnEvent,
    /// A record that cannot be the resource's own is believed.
    BelievesAnyRecord,
    /// A status that somebody wrote over ours is believed.
    BelievesAnyStatus,
    /// What does not show is gone, however young it is.
    BelievesEvery404,
    /// An update that was lost is forgotten once a later one is accepted.
    NeverSendsAgain,
}

/// How an effect comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// As it should.
    Fine,
    /// Refused or never sent: certainly not carried out.
    Refused,
    /// The API does not want it, and says so with a 400.
    Rejected,
    /// Not carried out, and nobody can know.
    LostUndone,
    /// Carried out, and the answer is lost.
    LostDone,
    /// Carried out after the operator gave up waiting for the answer.
    LostLate,
    /// Carried out and answered, and not shown at once.
    Hidden,
}

/// Longer than every delay that is not a settle time.
const SETTLE_TIME: Duration = Duration::from_hours(1);

impl Operator {
    /// What the watch shows of one resource.
    pub fn watch(&self, world: &mut World, slot: usize) {
        let leader = &mut world.instances[world.leader];
        let keeps = self.flaw == Some(Flaw::KeepsClaims) && world.resources[slot].is_none();
        let claims = keeps.then(|| leader.claims.clone());
        leader.watch(slot, world.resources[slot].as_ref());
        if let Some(claims) = claims {
            leader.claims = claims;
        }
    }

    /// `sweep::{compare, differs}`.
    pub fn sweep(world: &mut World) {
        let connectors = world.listed();
        let leader = &mut world.instances[world.leader];
        for slot in 0..leader.minds.len() {
            let mind = &leader.minds[slot];
            let Some(resource) = &mind.cache else {
                continue;
            };
            let differs = recall::differs(
                &full(&resource.status),
                |id| {
                    let found = connectors.iter().find(|c| c.id == number(id))?;
                    Some(found.config.visible != resource.spec)
                },
                || namesakes(&connectors, slot, resource.ask.name, &leader.claims),
            );
            let is_due = mind.listed && (mind.memory.awaits || differs);
            let mind = &mut leader.minds[slot];
            if is_due {
                mind.queued = Queued::Now;
            }
            // `Remembered::swept`
            if let Some((id, debut @ Debut::Unseen, _)) = &mut mind.memory.debut
                && connectors.iter().any(|c| c.id == *id)
            {
                *debut = Debut::Listed;
            }
        }
        leader.inventory = Some(connectors);
    }

    /// Whether this pass makes a connector next.
    pub fn creates(&self, pass: &Pass) -> bool {
        let next = (self.plan)(&pass.situation);
        matches!(next, Step::Act(Effect::Create { .. }))
    }

    /// How the next effect of this pass may come out, apart from `Fine`.
    pub fn mishaps(&self, pass: &Pass) -> &'static [Fate] {
        use Fate::{LostDone, LostLate, LostUndone, Refused, Rejected};
        match (self.plan)(&pass.situation) {
            Step::Rest(_) => &[LostDone],
            Step::Act(effect) => match effect {
                Effect::Create { .. } => &[Refused, LostUndone, LostDone, LostLate],
                Effect::Update(_) | Effect::Delete(_) => &[LostUndone, LostDone, LostLate],
                Effect::Bind(..) | Effect::CheckCredentials => &[],
                Effect::Look(_) => &[Refused, Rejected],
                Effect::Rehearse
                | Effect::Confirm(_)
                | Effect::StartCheck(_)
                | Effect::PollCheck { .. } => &[Refused],
                _ => &[Refused, LostDone],
            },
        }
    }

    /// One turn of `pass::decide_and_act`; at its end, the rest of `pass::pass`.
    pub fn step(&self, world: &mut World, i: usize, slot: usize, fate: Fate) {
        let mut pass = world.instances[i].minds[slot]
            .pass
            .take()
            .expect("it is at work");
        let outcome = match (self.plan)(&pass.situation) {
            Step::Rest(outcome) => Some(outcome),
            Step::Act(effect) => {
                let answer = self.perform(world, i, slot, &mut pass, &effect, fate);
                note_effect(&mut world.instances[i], slot, &pass, &effect, &answer);
                let learnt = pass.situation.learn(&effect, answer);
                if self.flaw == Some(Flaw::BelievesEvery404) {
                    pass.situation.debut = Debut::Over;
                }
                learnt.err().map(Outcome::Failed)
            }
        };
        if pass.overtaken {
            return;
        }
        match outcome {
            Some(outcome) => self.finish(world, i, slot, pass, &outcome, fate),
            None => world.instances[i].minds[slot].pass = Some(pass),
        }
    }

    /// The end of `pass::pass` and of `pass::attempt`.
    fn finish(
        &self,
        world: &mut World,
        i: usize,
        slot: usize,
        mut pass: Pass,
        outcome: &Outcome,
        fate: Fate,
    ) {
        let memory = &mut world.instances[i].minds[slot].memory;
        memory.awaits = recall::awaits(outcome) != Awaits::Nothing;
        memory.waited = matches!(outcome, Outcome::Blocked(problem) if problem.is_awaited());
        memory.gone = recall::gone(&pass.situation).map(number).or(memory.gone);
        memory.keep(&pass.situation);
        memory.key = pass.situation.workspace.is_ok();
        let mut queued = self.follow_up(memory, &pass.situation, outcome);
        let silent = matches!(
            outcome,
            Outcome::Released | Outcome::Failed(Failure::Conflict | Failure::NotLeading)
        );
        if !silent {
            let s = pass.situation.clone();
            // Where an effect met its fate, the last write has none.
            let fate = match outcome {
                Outcome::Failed(_) => Fate::Fine,
                _ => fate,
            };
            if write_status(self, world, slot, &mut pass, &s, outcome, fate).is_err() {
                queued = Queued::Now;
            }
        }
        let settled = world.instances[i].settled;
        let mind = &mut world.instances[i].minds[slot];
        mind.memory.wrote(pass.written);
        mind.memory.unsure |= pass.unsure;
        mind.memory.ours = pass.ours;
        if mind.queued != Queued::Now {
            mind.queued = queued;
        }
        match &mind.cache {
            None => mind.memory = Memory::default(),
            // pass::was_overtaken
            Some(watched) => {
                let watched = watched.clone();
                let last = &pass.resource;
                let same = last.finalized == watched.finalized && last.status == watched.status;
                match mind.memory.take_note(Some(last), &watched, settled) {
                    Writer::Us => {}
                    Writer::Another | Writer::Unknown if same => {}
                    Writer::Another | Writer::Unknown | Writer::Overwriter => {
                        mind.queued = Queued::Now;
                    }
                }
            }
        }
    }

    /// `pass::follow_up`.
    fn follow_up(&self, memory: &mut Memory, s: &Situation, outcome: &Outcome) -> Queued {
        let rejected = |failure: &Failure| {
            matches!(failure.kind(), Some(ErrorKind::Invalid { .. }))
                && failure.commit() == Commit::Never
        };
        match (self.flaw, outcome) {
            (Some(Flaw::BlamesTheSpec), Outcome::Failed(failure)) if rejected(failure) => {
                memory.awaits = false;
                return Queued::No;
            }
            (Some(Flaw::WaitsForAnEvent), Outcome::DeletionBlocked(_)) => return Queued::No,
            _ => {}
        }
        let left = |over: bool| if over { Duration::ZERO } else { SETTLE_TIME };
        let pace = Pace {
            failures: 1,
            polls: 0,
            settles: left(memory.settling.is_some_and(|(_, over)| over)),
            patience: Duration::ZERO,
            resend: memory.resend.then_some(SETTLE_TIME),
        };
        let requeue = report::row(s, outcome).requeue;
        // The looks before that change nothing.
        if requeue == Requeue::Unshown {
            return Queued::AtSettled;
        }
        match follow_up::after(requeue, &pace, Instant::now()) {
            None => Queued::No,
            Some(next) if next.delay >= SETTLE_TIME => Queued::AtSettled,
            Some(_) => Queued::Now,
        }
    }
}

/// `remember::note_effect`.
fn note_effect(
    instance: &mut Instance,
    slot: usize,
    pass: &Pass,
    effect: &Effect,
    answer: &Answer,
) {
    let s = &pass.situation;
    let memory = &mut instance.minds[slot].memory;
    match effect {
        Effect::Create { .. } => {}
        Effect::Bind(..) if *answer == Answer::Claimed => {
            memory.key_taken = None;
            return;
        }
        _ => return,
    }
    let commit = match answer {
        Answer::Failed(failure) => failure.commit(),
        Answer::KeyTaken(_) => {
            memory.key_taken = s.digest();
            Commit::Never
        }
        Answer::KeyRefused => Commit::Never,
        _ => {
            instance.refuses_keys |= s.keys == Keys::Refused;
            return;
        }
    };
    if let Some((started, _)) = pass.status().create {
        let after = recall::after_create(commit, s.lost_creates, SETTLE_TIME);
        memory.settling = Some((started, after.settles.is_zero()));
    }
}

/// `Snapshot::called` by a default name, or `Snapshot::by_key`: each with whether a resource holds it.
fn namesakes(
    connectors: &[Connector],
    slot: usize,
    name: u8,
    claims: &Claims,
) -> Vec<(ConnectorId, bool)> {
    let is_default = usize::from(name) == slot;
    let ours = |c: &&Connector| {
        c.key.is_some_and(|key| usize::from(key) == slot) || is_default && c.name == name
    };
    let held = |c: &Connector| (source_id(c.id), claims.holder(source_id(c.id)).is_some());
    connectors.iter().filter(ours).map(held).collect()
}

/// What the situation asks for.
pub fn wanted(s: &Situation) -> Config {
    Config::of(s.digest().expect("a configuration was read"))
}

/// The name under which a connector is looked for, or made.
pub fn name_of(s: &Situation) -> u8 {
    name_number(&s.name().value)
}

/// Since when a connector can have come of the creates of this resource: `act::lifetime`.
pub fn lifetime(pass: &Pass) -> u8 {
    recall::first_create(&full(pass.status())).map_or(pass.resource.made, clock)
}
