//! The connectors of the model: made anew when they are gone, and deleted as production decides.

use unstructured_operator::controller::connector::effect::{Answer, Effect, Step};
use unstructured_operator::controller::connector::plan::plan;
use unstructured_operator::controller::connector::situation::{
    Binding, Check, ConnectorName, Debut, Desired, Grant, Keys, Resend, Sighting, Situation,
    Wanted, WorkspaceFacts,
};
use unstructured_operator::engine::departure::{DefinitionFate, Deletion, Users};
use unstructured_operator::unstructured::{Collection, ConnectorId};

use super::Flaw;
use super::operator::{Fate, Operator, Place};
use super::service::lost;
use super::world::{Remote, World};

fn connector_id(number: u8) -> ConnectorId {
    let text = format!("00000000-0000-4000-8000-{number:012}");
    text.parse().expect("a UUID")
}

fn next(world: &World, place: Place) -> Option<Step> {
    let Place::Connector(number) = place else {
        return None;
    };
    let situation = world.connectors[number].pass.as_ref()?;
    Some(plan(situation))
}

pub fn fates(world: &World, place: Place) -> &'static [Fate] {
    match next(world, place) {
        Some(Step::Act(Effect::Delete(_))) => &[Fate::Lost, Fate::Undone],
        _ => &[],
    }
}

pub fn writes_next(world: &World, place: Place) -> bool {
    matches!(next(world, place), Some(Step::Act(Effect::Delete(_))))
}

/// One that is gone is made anew at once, under another id: how is `tests/protocol_model.rs`'s to show.
pub fn begin(world: &mut World, number: usize) {
    let connector = &mut world.connectors[number];
    if !connector.object.going {
        connector.id = world.ids;
        connector.remote = true;
        world.ids += 1;
        return;
    }
    let facts = WorkspaceFacts {
        api_url: "https://api.test".to_owned(),
        fingerprint: "one".to_owned(),
    };
    connector.pass = Some(Box::new(Situation {
        wanted: Wanted {
            name: ConnectorName {
                value: "contracts".to_owned(),
                reserved: true,
            },
            key: "contracts-key".to_owned(),
            collection: Collection::Sources,
            existing: None,
            adopt_by_name: false,
            verify: false,
            retain: false,
            suspend: false,
        },
        deletion: Some(Deletion {
            namespace_terminating: false,
            definition: DefinitionFate::Stays,
            rehearsed: false,
        }),
        foreign: None,
        unlisted: None,
        waited: false,
        finalized: connector.object.finalized,
        binding: Binding::Bound(connector_id(connector.id)),
        marked: true,
        keys: Keys::Sent,
        held_by: None,
        applied: None,
        home: Some(facts.clone()),
        move_accepted: false,
        workspace: Ok(facts),
        desired: Desired::Unread,
        forced: false,
        refused: None,
        grant: Grant::Unasked,
        doubted: false,
        connector: Sighting::Unseen,
        debut: Debut::Over,
        namesakes: None,
        check: Check::None,
        polled: false,
        failed_now: false,
        check_overdue: false,
        resend: Resend::No,
        lost_creates: 0,
        lost: None,
        unrecorded: false,
        users: None,
        changes: Vec::new(),
    }));
}

pub fn step(operator: Operator, world: &mut World, number: usize, fate: Fate) {
    let Some(mut s) = world.connectors[number].pass.take() else {
        return;
    };
    let Step::Act(effect) = plan(&s) else {
        return;
    };
    let answer = match &effect {
        Effect::Rehearse => users(operator, world, number).map_or(Answer::Done, Answer::Used),
        Effect::Delete(_) => {
            if fate != Fate::Undone {
                delete(world, number);
            }
            if fate == Fate::Done {
                Answer::Done
            } else {
                Answer::Failed(lost())
            }
        }
        Effect::RemoveFinalizer(_) => {
            world.connectors[number].object.release();
            Answer::Done
        }
        _ => Answer::Done,
    };
    if s.learn(&effect, answer).is_ok() && world.connectors[number].object.there {
        world.connectors[number].pass = Some(s);
    }
}

fn delete(world: &mut World, number: usize) {
    let id = world.connectors[number].id;
    let was_there = std::mem::replace(&mut world.connectors[number].remote, false);
    let used = world
        .ours()
        .any(|(_, workflow)| workflow.content.source == id);
    world.pulled_away |= was_there && used;
}

/// `users::of`: the workflows of the namespace that refer to it or still run through it, and any of the workspace that has its id.
fn users(operator: Operator, world: &World, number: usize) -> Option<Users> {
    if operator.has(Flaw::AsksNobody) {
        return None;
    }
    let id = world.connectors[number].id;
    let is_known = |workflow| world.record.bound == Some(workflow) || world.record.intent;
    let runs = |(_, workflow): &(usize, &Remote)| workflow.content.source == id;
    let (own, others): (Vec<_>, Vec<_>) = world
        .ours()
        .filter(runs)
        .partition(|(workflow, _)| world.flow.there && is_known(*workflow));
    let refers = world.flow.there && world.wanted.to == number;
    let own = refers || !own.is_empty() && !operator.has(Flaw::SeesReferencesOnly);
    let others = !others.is_empty() && !world.namespace_going;
    let count = usize::from(own) + usize::from(others);
    (count > 0).then(|| Users {
        named: Vec::new(),
        count,
        going: world.flow.going && !others,
    })
}
