//! I5, it settles: from any state, once nothing more goes wrong and nobody wishes for anything, the operator comes to rest, and
//! what it rests in is the truth. There is one quiet path from every state, so it is walked rather than searched.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use unstructured_operator::crd::Reason;

use super::operator::{Fate, Operator};
use super::world::{Budget, Config, Owner, Queued, World};

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
        let mut walked = Vec::new();
        let mut swept: Option<World> = None;
        for _ in 0..MOST_TURNS {
            world.forget_numbers();
            let mark = self.hasher.hash_one(&world);
            if self.lock().contains(&mark) {
                self.lock().extend(walked);
                return Ok(());
            }
            walked.push(mark);
            if quiet_turn(operator, &mut world) {
                continue;
            }
            if swept.as_ref() == Some(&world) {
                judge(operator, &world).map_err(|why| {
                    format!(
                        "{why}\nat rest: {:?} {:?}",
                        world.resource, world.connectors
                    )
                })?;
                self.lock().extend(walked);
                return Ok(());
            }
            swept = Some(world.clone());
            operator.sweep(&mut world);
        }
        Err(format!(
            "it never comes to rest: {:?} {:?}",
            world.resource, world.connectors
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next thing that happens by itself, apart from the periodic sweep. `false`: nothing does.
fn quiet_turn(operator: &Operator, world: &mut World) -> bool {
    let leader = world.leader;
    let late = (0..2).find(|&i| i != leader && world.instances[i].pass.is_some());
    if !world.flights.is_empty() {
        world.land(0);
    } else if let Some(late) = late {
        operator.step(world, late, Fate::Fine);
    } else if world.instances[leader].pass.is_some() {
        operator.step(world, leader, Fate::Fine);
    } else if world.instances[leader].cache != world.resource {
        world.watch();
    } else if world.instances[leader].queued == Queued::Now {
        operator.begin(world);
    } else if world.instances[leader].queued == Queued::AtSettled {
        world.settle();
    } else {
        return false;
    }
    true
}

/// What the operator may rest in.
fn judge(operator: &Operator, world: &World) -> Result<(), &'static str> {
    let Some(resource) = &world.resource else {
        return Ok(());
    };
    let (ready, reason) = resource.status.ready.ok_or("nothing was reported")?;
    if resource.status.observed != resource.generation {
        return Err("the last word is on an older generation");
    }
    let namesakes = world
        .connectors
        .iter()
        .filter(|c| c.owner != Owner::Us(resource.uid));
    let free = world
        .connectors
        .iter()
        .filter(|c| c.owner != Owner::Held)
        .count();
    let desired = Config {
        visible: resource.spec,
        secret: world.secret,
    };
    let bound = resource.status.source.and_then(|id| world.connector(id));
    match (ready, reason) {
        _ if resource.deleting => Err("it waits for ever to be let go"),
        (true, _) => {
            let connector = bound.ok_or("it is called ready and has no connector")?;
            if connector.config != desired {
                Err("it is called ready and its connector is not as desired")
            } else if resource.status.create.is_some() {
                Err("an intent is left over")
            } else if world.made_for(resource.uid) != 1 {
                Err("it has more than one connector")
            } else {
                Ok(())
            }
        }
        (false, Reason::NameConflict) if !operator.reserved && bound.is_none() => namesakes
            .peekable()
            .peek()
            .map(|_| ())
            .ok_or("a conflict with nobody"),
        (false, Reason::AmbiguousConnector) if !operator.reserved && bound.is_none() => {
            (free > 1).then_some(()).ok_or("nothing is ambiguous")
        }
        (false, Reason::SourceNotFound) => {
            let named = operator.existing.and_then(|id| world.connector(id));
            (operator.existing.is_some() && named.is_none() && !resource.status.home)
                .then_some(())
                .ok_or("the connector that was named is there, or was ours")
        }
        (false, _) => Err("it rests and is not ready"),
    }
}
