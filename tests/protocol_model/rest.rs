//! I5, it settles: from any state, once nothing more goes wrong and nobody wishes for anything, the operator comes to rest, and
//! what it rests in is the truth. There is one quiet path from every state, so it is walked rather than searched.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use unstructured_operator::crd::Reason;

use super::connectors::{Config, Owner};
use super::operator::{Fate, Operator};
use super::process::Queued;
use super::world::{Budget, Resource, World};

/// More turns than any quiet path needs.
const MOST_TURNS: usize = 500;

/// The states that are known to come to a good rest: quiet paths meet soon, and each is walked once.
#[derive(Default)]
pub struct Rest {
    good: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl Rest {
    /// Walks the quiet path from here. `Err` tells why its end is no good rest.
    pub fn reached(&self, operator: &Operator, from: &World) -> Result<(), String> {
        let mut world = from.clone();
        world.budget = Budget::default();
        let mut walked = HashSet::new();
        // A sweep may lead through states that were met before it; only between two of them is that a circle.
        let mut since = HashSet::new();
        let mut swept: Option<World> = None;
        for _ in 0..MOST_TURNS {
            world.forget_numbers();
            let mark = self.hasher.hash_one(&world);
            if self.lock().contains(&mark) {
                self.lock().extend(walked);
                return Ok(());
            }
            walked.insert(mark);
            let is_new = since.insert(mark);
            if quiet_turn(operator, &mut world) {
                if is_new {
                    continue;
                }
                break;
            }
            if swept.as_ref() == Some(&world) {
                for (slot, resource) in world.resources.iter().enumerate() {
                    let Some(resource) = resource else { continue };
                    judge(&world, slot, resource).map_err(|why| {
                        format!("{why}\nat rest: {resource:?} {:?}", world.connectors)
                    })?;
                }
                self.lock().extend(walked);
                return Ok(());
            }
            swept = Some(world.clone());
            since.clear();
            Operator::sweep(&mut world);
        }
        Err(format!(
            "it never comes to rest: {:?} {:?}",
            world.resources, world.connectors
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next thing that happens by itself, apart from the periodic sweep. `false`: nothing does.
fn quiet_turn(operator: &Operator, world: &mut World) -> bool {
    let leader = world.leader;
    let places = 0..world.resources.len();
    let late = places
        .clone()
        .find(|slot| world.instances[1 - leader].minds[*slot].pass.is_some());
    let minds = &world.instances[leader].minds;
    if world.unshown.is_some() {
        world.show();
    } else if !world.flights.is_empty() {
        world.land(0);
    } else if let Some(slot) = late {
        operator.step(world, 1 - leader, slot, Fate::Fine);
    } else if let Some(slot) = places.clone().find(|slot| minds[*slot].pass.is_some()) {
        operator.step(world, leader, slot, Fate::Fine);
    } else if let Some(slot) = places.clone().find(|slot| !minds[*slot].listed) {
        world.list(slot);
    } else if let Some(slot) = places
        .clone()
        .find(|slot| minds[*slot].cache != world.resources[*slot])
    {
        operator.watch(world, slot);
    } else if world.ails() {
        // Before the next pass: what waits for the end of it does not rest until then.
        world.heal();
    } else if let Some(slot) = places
        .clone()
        .find(|slot| minds[*slot].queued == Queued::Now)
    {
        operator.begin(world, slot);
    } else if minds.iter().any(|mind| mind.queued == Queued::AtSettled) {
        world.settle();
    } else {
        return false;
    }
    true
}

/// What the operator may rest in.
fn judge(world: &World, slot: usize, resource: &Resource) -> Result<(), &'static str> {
    let status = &resource.status;
    let ask = &resource.ask;
    let (ready, reason) = status.ready.ok_or("nothing was reported")?;
    if status.observed != resource.generation {
        return Err("the last word is on an older generation");
    }
    let is_reserved = usize::from(ask.name) == slot;
    let namesakes = || world.connectors.iter().filter(|c| c.name == ask.name);
    let others = namesakes().filter(|c| c.owner != Owner::Us(resource.uid));
    let desired = Config {
        visible: resource.spec,
        secret: world.secret,
    };
    let bound = status.source.and_then(|id| world.connector(id));
    match (ready, reason) {
        _ if resource.deleting => Err("it waits for ever to be let go"),
        (true, _) => {
            let connector = bound.ok_or("it is called ready and has no connector")?;
            if connector.config != desired {
                Err("it is called ready and its connector is not as desired")
            } else if status.create.is_some() {
                Err("an intent is left over")
            } else if world.made_for(resource.uid) != 1 {
                Err("it has more than one connector, or one of another's")
            } else {
                Ok(())
            }
        }
        (false, Reason::NameConflict) if !is_reserved && bound.is_none() => (others.count() > 0)
            .then_some(())
            .ok_or("a conflict with nobody"),
        (false, Reason::AmbiguousConnector) if !is_reserved && bound.is_none() => {
            (namesakes().count() > 1)
                .then_some(())
                .ok_or("nothing is ambiguous")
        }
        (false, Reason::SourceNotFound) => {
            let named = ask.existing.and_then(|id| world.connector(id));
            (ask.existing.is_some() && named.is_none() && !status.home)
                .then_some(())
                .ok_or("the connector that was named is there, or was ours")
        }
        (false, Reason::ConnectorInUse) => {
            let id = status.source.or(ask.existing);
            let holds = |other: &Resource| other.uid != resource.uid && other.status.source == id;
            (id.is_some() && world.resources.iter().flatten().any(holds))
                .then_some(())
                .ok_or("nobody uses the connector")
        }
        (false, Reason::KeyTaken) => {
            let key = u8::try_from(slot).expect("few places");
            (bound.is_none() && world.is_taken(key) && world.made_for(resource.uid) == 0)
                .then_some(())
                .ok_or("the key is free, or what has it is ours")
        }
        (false, Reason::ForeignRecord) => (status.name != Some(ask.name))
            .then_some(())
            .ok_or("the record is its own"),
        (false, _) => Err("it rests and is not ready"),
    }
}
