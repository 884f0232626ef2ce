//! Effects on the API server: what `act` and `record` do there.

use std::time::Duration;

use unstructured_operator::controller::connector::effect::Answer;
use unstructured_operator::controller::connector::report::{self, Occasion};
use unstructured_operator::controller::connector::situation::{Change, Release, Situation};
use unstructured_operator::engine::outcome::{Failure, Outcome};

use super::connectors::Owner;
use super::operator::{Fate, Flaw, Operator, wanted};
use super::process::Pass;
use super::status::{Status, compact, full, time};
use super::world::{Installation, Offence, Resource, World};

fn unreachable() -> Failure {
    Failure::Kubernetes("it cannot be reached".to_owned())
}

/// What stands in the way of any write to this resource: rights that have gone, or a newer version.
fn obstacle(world: &World, slot: usize, pass: &Pass) -> Option<Failure> {
    if world.installation == Installation::WithoutRights {
        return Some(Failure::Forbidden("the rights have gone".to_owned()));
    }
    (!world.is_current(slot, &pass.resource)).then_some(Failure::Conflict)
}

pub fn answered(written: Result<(), Failure>) -> Answer {
    written.map_or_else(Answer::Failed, |()| Answer::Done)
}

/// `act::rehearse`.
pub fn rehearse(world: &World, slot: usize, pass: &Pass, fate: Fate) -> Answer {
    if fate == Fate::Refused {
        return Answer::Failed(unreachable());
    }
    obstacle(world, slot, pass).map_or(Answer::Done, Answer::Failed)
}

/// `act::set_finalizer`, `act::remove_finalizer`.
pub fn set_finalizer(
    world: &mut World,
    slot: usize,
    pass: &mut Pass,
    release: Option<&Release>,
    fate: Fate,
) -> Answer {
    if fate == Fate::Refused {
        return Answer::Failed(unreachable());
    }
    if release.is_some() && world.resources[slot].is_none() {
        return Answer::Done;
    }
    if let Some(failure) = obstacle(world, slot, pass) {
        return Answer::Failed(failure);
    }
    let version = world.version();
    let resource = world.resources[slot].as_mut().expect("it is current");
    resource.finalized = release.is_none();
    resource.version = version;
    let written = resource.clone();
    if let Some(release) = release {
        if resource.deleting {
            world.resources[slot] = None;
        }
        // Said in an event, and nobody's from now on.
        if let Release::Retained(_)
        | Release::Orphaned(_)
        | Release::Abandoned(_)
        | Release::Foreign(_) = release
        {
            world.leave_behind(written.uid);
        }
    }
    if fate == Fate::LostDone {
        return Answer::Failed(unreachable());
    }
    pass.resource = written.clone();
    pass.written = Some(written);
    pass.unsure = false;
    Answer::Done
}

/// `act::record`.
pub fn record(
    operator: &Operator,
    world: &mut World,
    slot: usize,
    pass: &mut Pass,
    outcome: &Outcome,
    fate: Fate,
) -> Answer {
    let adopted = !pass
        .situation
        .changes
        .iter()
        .any(Change::is_accepted_configuration);
    let s = pass.situation.clone();
    if fate == Fate::Refused {
        return Answer::Failed(unreachable());
    }
    let mut written = write_status(operator, world, slot, pass, &s, outcome, fate);
    // An answer that is lost is asked for again, and then finds its own write in the way.
    if fate == Fate::LostDone {
        written = write_status(operator, world, slot, pass, &s, outcome, Fate::Fine);
    }
    // Whether it leads is asked before each attempt.
    if written == Err(Failure::Conflict) && !adopted && !pass.overtaken {
        match &world.resources[slot] {
            Some(fresh) if fresh.uid == pass.resource.uid => pass.resource = fresh.clone(),
            _ => return Answer::Failed(Failure::Conflict),
        }
        written = write_status(operator, world, slot, pass, &s, outcome, Fate::Fine);
    }
    answered(written)
}

/// `record::write_status` of what `report::status` says, and I7 at the moment of the write.
pub fn write_status(
    operator: &Operator,
    world: &mut World,
    slot: usize,
    pass: &mut Pass,
    s: &Situation,
    outcome: &Outcome,
    fate: Fate,
) -> Result<(), Failure> {
    let on = Occasion {
        generation: pass.generation.into(),
        now: time(world.clock),
        settle_time: Duration::ZERO,
        forced: None,
        next_attempt: None,
    };
    let status = compact(&report::status(&full(pass.status()), s, outcome, &on));
    if pass.resource.status == status {
        wrote(pass, None);
        return Ok(());
    }
    let blocked = pass.ours.is_some() && operator.flaw == Some(Flaw::CannotWriteOver);
    if fate == Fate::Refused || blocked {
        pass.unsure = true;
        return Err(unreachable());
    }
    if let Some(failure) = obstacle(world, slot, pass) {
        return Err(failure);
    }
    let written = put(world, slot, status);
    if !is_honest(world, &written, s) {
        world.offend(Offence::CalledReady);
    }
    if fate == Fate::LostDone {
        pass.unsure = true;
        return Err(unreachable());
    }
    wrote(pass, Some(written));
    Ok(())
}

/// `Hand::wrote`, `Hand::recorded`.
fn wrote(pass: &mut Pass, written: Option<Resource>) {
    pass.ours = None;
    if let Some(written) = written {
        pass.resource = written.clone();
        pass.written = Some(written);
        pass.unsure = false;
    }
}

fn put(world: &mut World, slot: usize, status: Status) -> Resource {
    let version = world.version();
    let resource = world.resources[slot].as_mut().expect("it is current");
    resource.status = status;
    resource.version = version;
    let written = resource.clone();
    // From here on the connector is ours, if the resource asks for one of this name or id, or gave it its key.
    let key = u8::try_from(slot).expect("few places");
    let ask = &written.ask;
    if let Some(id) = written.status.source
        && let Some(connector) = world.connectors.iter_mut().find(|c| c.id == id)
        && connector.owner == Owner::Foreign
    {
        let is_meant = ask.existing == Some(id) || connector.key == Some(key);
        let is_named = written.status.name == Some(ask.name);
        if is_meant || is_named {
            connector.owner = Owner::Us(written.uid);
        }
        if !is_meant && is_named && ask.name != key && !ask.adopt_by_name {
            world.offend(Offence::TookForeign);
        }
    }
    written
}

/// I7: a resource that is called ready in its present generation has a connector with what the pass had read as desired, except
/// where that was changed behind our back, or where it is on record that a lost update may still undo it.
fn is_honest(world: &World, written: &Resource, s: &Situation) -> bool {
    let claims = written.status.ready.is_some_and(|(ready, _)| ready)
        && written.status.observed == written.generation;
    if !claims || written.status.resend.is_some() {
        return true;
    }
    let Some(id) = written.status.source else {
        return false;
    };
    match world.connector(id) {
        None => world.vanished.contains(&id),
        Some(connector) => {
            let desired = wanted(s);
            connector.tampered || (connector.config == desired && desired.visible == written.spec)
        }
    }
}
