//! Whether everything comes to rest by itself from a state, and whether that is right.

use unstructured_operator::controller::pipeline::workflow::situation::Sight;

use super::BOTH;
use super::operator::{Fate, Operator, Place, digest};
use super::world::{Shown, World};

/// More rounds than any honest operator needs.
const ROUNDS: usize = 12;

/// What is wrong with the rest that is reached from here without further faults, if anything is.
pub fn verdict(operator: Operator, world: &World) -> Option<String> {
    let mut world = world.clone();
    for place in BOTH {
        finish(operator, &mut world, place);
    }
    world.carry_out_late();
    let mut rounds = 0;
    loop {
        world.settle();
        let before = world.clone();
        let mut writes = 0;
        for place in BOTH {
            if world.has_to_be_looked_at(place) {
                operator.begin(&mut world, place);
                writes += finish(operator, &mut world, place);
            }
        }
        if world == before && writes == 0 {
            break;
        }
        rounds += 1;
        if rounds > ROUNDS {
            return Some("it goes on and on".to_owned());
        }
    }
    wrong(&world)
}

/// Lets a pass come to its end. How often it wrote to the service.
fn finish(operator: Operator, world: &mut World, place: Place) -> usize {
    let mut writes = 0;
    while Operator::is_at_work(world, place) {
        writes += usize::from(Operator::writes_next(world, place));
        operator.step(world, place, Fate::Done);
    }
    writes
}

fn wrong(world: &World) -> Option<String> {
    let ours: Vec<_> = world.ours().collect();
    if world.pulled_away {
        return Some("a connector went before its workflow".to_owned());
    }
    if world.flow.there && world.flow.going {
        return Some("the workflow is not let go".to_owned());
    }
    if !world.flow.there && !ours.is_empty() {
        return Some("a workflow is left".to_owned());
    }
    if world.flow.there
        && let Some(desired) = world.desired()
    {
        let [(number, workflow)] = ours[..] else {
            return Some(format!("there are {} workflows", ours.len()));
        };
        if workflow.content != desired {
            return Some("the workflow is not as it should be".to_owned());
        }
        if world.record.bound != Some(number) || world.record.applied != Some(digest(desired)) {
            return Some("that it is right is not on record".to_owned());
        }
    }
    let mut connectors = world.connectors.iter().enumerate();
    connectors.find_map(|(number, connector)| {
        let referred = world.flow.there && world.wanted.to == number;
        let used = ours.iter().any(|(_, w)| w.content.source == connector.id);
        let stuck = connector.object.there && connector.object.going;
        (stuck && !referred && !used).then(|| format!("connector {number} is not let go"))
    })
}

/// What a look shows of a workflow.
pub fn seen(world: &World, number: usize) -> Sight {
    let workflow = &world.remote[number];
    if !workflow.there || workflow.shown == Shown::Nowhere {
        return Sight::Unlisted;
    }
    let drift = world.desired().map(|desired| {
        let shown = workflow.content;
        let differs = [
            ("sources", shown.source != desired.source),
            // Of a secret, only that it is there is shown.
            ("nodes", shown.edit != desired.edit && !world.masked),
        ];
        let differs = differs.into_iter().filter(|(_, differs)| *differs);
        differs.map(|(what, _)| what.to_owned()).collect()
    });
    Sight::Present(drift.unwrap_or_default())
}
