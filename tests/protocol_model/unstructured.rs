//! Effects on Unstructured, and which function of `act` serves which effect.

use std::collections::BTreeSet;

use unstructured_operator::controller::connector::effect::{Answer, Effect};
use unstructured_operator::controller::connector::situation::{
    Check, Freshness, Grant, Mark, Namesake, Sighting, Situation,
};
use unstructured_operator::engine::outcome::{Failure, Outcome};
use unstructured_operator::unstructured::{Commit, ErrorKind};

use super::connectors::{Config, Connector, Flight, Owner, Service, number, source_id};
use super::kubernetes::{answered, record, rehearse, set_finalizer, write_status};
use super::operator::{Fate, Flaw, Operator, lifetime, name_of, wanted};
use super::process::{Pass, claimant};
use super::status::{name, name_number, workspace};
use super::world::{Installation, Offence, Shown, World};

impl Operator {
    /// `act::perform`.
    pub fn perform(
        &self,
        world: &mut World,
        i: usize,
        slot: usize,
        pass: &mut Pass,
        effect: &Effect,
        fate: Fate,
    ) -> Answer {
        let who = claimant(slot, pass.resource.uid);
        let s = &pass.situation;
        match effect {
            Effect::AddFinalizer => set_finalizer(world, slot, pass, None, fate),
            Effect::Rehearse => rehearse(world, slot, pass, fate),
            Effect::RemoveFinalizer(release) => {
                let answer = set_finalizer(world, slot, pass, Some(release), fate);
                if answer == Answer::Done && self.flaw != Some(Flaw::KeepsClaims) {
                    world.instances[i].claims.released(&who);
                }
                answer
            }
            Effect::RecordIntent { name, key } => {
                let claims = &mut world.instances[i].claims;
                if let Err(_holder) = claims.claim_name(&who, &workspace().fingerprint, name) {
                    return Answer::Held("another".to_owned());
                }
                let then = s.intending(name, key.is_some());
                let applying = &Outcome::Applying;
                answered(write_status(self, world, slot, pass, &then, applying, fate))
            }
            Effect::RecordUpdate => {
                let then = s.unsure();
                let applying = &Outcome::Applying;
                answered(write_status(self, world, slot, pass, &then, applying, fate))
            }
            Effect::Record(outcome) => record(self, world, slot, pass, outcome, fate),
            Effect::Bind(id, _) => match world.instances[i].claims.claim(&who, *id) {
                Ok(()) => Answer::Claimed,
                Err(_holder) => Answer::Held("another".to_owned()),
            },
            _ => ask(world, i, slot, pass, effect, fate),
        }
    }
}

fn ask(
    world: &mut World,
    i: usize,
    slot: usize,
    pass: &mut Pass,
    effect: &Effect,
    fate: Fate,
) -> Answer {
    let s = &pass.situation;
    match effect {
        Effect::Create { name, key } => {
            let key = key.as_deref().map(name_number);
            let objection = objection(world, key);
            let flight = Flight::Create {
                owner: Owner::Us(pass.resource.uid),
                name: name_number(name),
                key,
                config: wanted(s),
            };
            let answer = match objection {
                Some(objection) if matches!(fate, Fate::Fine | Fate::Hidden) => objection,
                _ => request(world, i, flight, fate),
            };
            if let Answer::Created(id, _) = answer {
                let who = claimant(slot, pass.resource.uid);
                let claim = world.instances[i].claims.claim(&who, id);
                claim.expect("a new id is held by nobody");
            }
            answer
        }
        Effect::Update(id) => {
            let config = wanted(s);
            let id = number(*id);
            judge_touch(world, pass, id);
            if fate == Fate::Fine && world.found(id).is_none() {
                return not_found();
            }
            request(world, i, Flight::Update { id, config }, fate)
        }
        Effect::Delete(id) => {
            let id = number(*id);
            judge_touch(world, pass, id);
            if pass.resource.uninstalled && world.installation != Installation::Whole {
                world.offend(Offence::Uninstalled);
            }
            let is_fresh = s.bound() == Some(source_id(id)) && !s.debut.is_over();
            if fate == Fate::Fine && world.found(id).is_none() {
                if !is_fresh {
                    report_write(world, i, id, None);
                }
                return not_found();
            }
            request(world, i, Flight::Delete { id }, fate)
        }
        Effect::CheckCredentials => Answer::Grant(Grant::Accepted),
        _ if matches!(fate, Fate::Refused | Fate::Rejected) => failed(fate),
        Effect::Look(freshness) => look(world, i, slot, pass, *freshness),
        Effect::Confirm(id) => {
            let found = world.found(number(*id)).cloned();
            let sighting = found.as_ref().map_or(Sighting::Gone, |c| sighting(s, c));
            if found.is_some() || s.debut.is_over() {
                report_write(world, i, number(*id), found);
            }
            Answer::Connector(sighting)
        }
        Effect::StartCheck(id) if world.found(number(*id)).is_none() => not_found(),
        Effect::StartCheck(_) => Answer::Check(Check::Scheduled("check".to_owned())),
        Effect::PollCheck { check, .. } => Answer::Check(Check::Passed(check.clone())),
        other => unreachable!("{other:?} asks nothing of Unstructured"),
    }
}

/// What the service has against a create with this key.
fn objection(world: &World, key: Option<u8>) -> Option<Answer> {
    let key = key?;
    if world.service == Service::Refusing {
        return Some(Answer::KeyRefused);
    }
    world
        .is_taken(key)
        .then(|| Answer::KeyTaken("taken".to_owned()))
}

/// `act::mark`.
fn mark(service: Service, connector: &Connector, key: Option<u8>) -> Mark {
    match connector.key {
        _ if !service.shows_keys() => Mark::Unshown,
        shown if shown.is_some() && shown == key => Mark::Ours,
        _ => Mark::Anothers,
    }
}

/// I3. A connector is ours when it was made by us, or was bound and recorded so: a name alone, the reserved one too, says nothing.
fn judge_touch(world: &mut World, pass: &Pass, id: u8) {
    match world.connector(id).map(|c| c.owner) {
        Some(Owner::Foreign) => world.offend(Offence::TouchedForeign),
        Some(Owner::Us(uid)) if uid != pass.resource.uid && world.is_alive(uid) => {
            world.offend(Offence::TouchedHeld);
        }
        _ => {}
    }
}

/// A request that changes something, as `act::{create, update, delete}` send it.
fn request(world: &mut World, i: usize, flight: Flight, fate: Fate) -> Answer {
    match fate {
        Fate::Refused | Fate::Rejected | Fate::LostUndone => failed(fate),
        Fate::LostDone => {
            let unshown = world.unshown.map(|(id, _)| id);
            let is_found = match flight {
                Flight::Update { id, .. } | Flight::Delete { id } => unshown != Some(id),
                Flight::Create { .. } => true,
            };
            if is_found {
                world.commit(&flight);
            }
            failed(fate)
        }
        Fate::LostLate => {
            world.flights.push(flight);
            failed(fate)
        }
        Fate::Fine | Fate::Hidden => {
            let done = world.commit(&flight);
            if fate == Fate::Hidden {
                world.unshown = done.map(|id| (id, Shown::Nowhere));
            }
            let id = match (&flight, done) {
                (_, Some(id)) => id,
                (Flight::Update { .. } | Flight::Create { .. }, None) => return not_found(),
                (Flight::Delete { id }, None) => {
                    report_write(world, i, *id, None);
                    return Answer::Done;
                }
            };
            let now = world.connector(id).cloned();
            let made = now.clone();
            report_write(world, i, id, now);
            match flight {
                Flight::Create { key, .. } => {
                    let made = made.expect("it was made");
                    Answer::Created(source_id(id), mark(world.service, &made, key))
                }
                Flight::Update { .. } | Flight::Delete { .. } => Answer::Done,
            }
        }
    }
}

/// `Inventory::{put, removed}`.
fn report_write(world: &mut World, i: usize, id: u8, now: Option<Connector>) {
    if let Some(inventory) = &mut world.instances[i].inventory {
        inventory.retain(|c| c.id != id);
        inventory.extend(now);
        inventory.sort();
    }
}

/// `act::look`, `act::seen`.
fn look(world: &mut World, i: usize, slot: usize, pass: &mut Pass, freshness: Freshness) -> Answer {
    let at_hand = match freshness {
        Freshness::Any => true,
        Freshness::Trigger => pass.fresh,
        Freshness::Now => false,
    };
    let service = world.service;
    let (listed, unshown) = (world.listed(), world.unshown.map(|(id, _)| id));
    let instance = &mut world.instances[i];
    if !at_hand || instance.inventory.is_none() {
        instance.inventory = Some(listed);
        pass.fresh = true;
    }
    let asked_now = !at_hand;
    let inventory = instance.inventory.as_deref().unwrap_or_default();
    let s = &pass.situation;
    let since = lifetime(pass);
    let target = s.bound().or(s.wanted.existing).map(number);
    let (name, key) = (name_of(s), Some(name_number(&s.wanted.key)));
    let called = inventory.iter().filter(|c| c.name == name || c.key == key);
    Answer::Seen {
        // What is at hand of one that does not show is our own write.
        listed: asked_now || unshown.is_none() || target != unshown,
        connector: target.map_or(Sighting::Unseen, |id| {
            let found = inventory.iter().find(|c| c.id == id);
            found.map_or(Sighting::Unlisted, |c| sighting(s, c))
        }),
        namesakes: called
            .map(|c| Namesake {
                id: source_id(c.id),
                mark: mark(service, c, key),
                other_name: (c.name != name).then(|| super::status::name(c.name).to_owned()),
                holder: instance
                    .is_held_by_another(slot, source_id(c.id))
                    .then(|| "another".to_owned()),
                recent: c.made >= since,
                drift: drift(s, c),
            })
            .collect(),
    }
}

fn sighting(s: &Situation, connector: &Connector) -> Sighting {
    Sighting::Present {
        drift: drift(s, connector),
        name: name(connector.name).to_owned(),
        same_kind: true,
    }
}

fn drift(s: &Situation, connector: &Connector) -> BTreeSet<String> {
    let differs = s
        .digest()
        .is_some_and(|digest| Config::of(digest).visible != connector.config.visible);
    differs
        .then(|| "remote_url".to_owned())
        .into_iter()
        .collect()
}

fn failed(fate: Fate) -> Answer {
    let (kind, commit) = match fate {
        Fate::Refused => (ErrorKind::Connect, Commit::Never),
        Fate::Rejected => (ErrorKind::Invalid { fields: vec![] }, Commit::Never),
        _ => (ErrorKind::Timeout, Commit::Unknown),
    };
    api(kind, commit)
}

fn not_found() -> Answer {
    api(ErrorKind::NotFound, Commit::Never)
}

fn api(kind: ErrorKind, commit: Commit) -> Answer {
    Answer::Failed(Failure::Api {
        kind,
        rate_limited: false,
        message: "it failed".to_owned(),
        commit,
        sent_configuration: false,
    })
}
