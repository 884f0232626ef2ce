//! Every protocol, killed before and after every one of its effects, and once more in the middle of its recovery. Whatever a crash
//! leaves, the next life of the controller brings to rest: one connector, its id in the status, and none after a deletion.

use std::time::Duration;

use serde_json::json;
use support::fake::Fault;
use support::fake::unstructured::Route;

use crate::incarnation::{Incarnation, Moment, World, chosen_name, default_name};

/// More virtual time than any recovery needs.
const LIMIT: Duration = Duration::from_mins(40);
/// Virtual time in which nothing may happen any more.
const REST: Duration = Duration::from_secs(5);
const NAME: &str = "contracts";

/// What a protocol ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// One connector with the values of this version of the Secret.
    Kept(&'static str),
    /// Nothing.
    Gone,
}

/// One way for the controller to have something to do.
struct Protocol {
    /// What is there before the controller lives.
    before: fn(&World),
    /// Whether the resource is ready when the protocol begins.
    begins_ready: bool,
    /// What sets the protocol off.
    provoke: fn(&World),
    /// What goes wrong on the way, crashes apart.
    fault: Option<fn(&World)>,
    end: End,
    /// How many effects it has at least, so that no crash point is lost unnoticed.
    effects: usize,
    /// Whether all connectors are made on the way, so that none may be left if the resource is deleted while nobody lives.
    all_ours: bool,
}

const CREATE: Protocol = Protocol {
    before: |world| world.put_secret("1"),
    begins_ready: false,
    provoke: |world| world.create(NAME),
    fault: None,
    end: End::Kept("1"),
    effects: 6,
    all_ours: true,
};

const DELETE: Protocol = Protocol {
    before: |world| {
        world.put_secret("1");
        world.create(NAME);
    },
    begins_ready: true,
    provoke: |world| world.delete(NAME),
    fault: None,
    end: End::Gone,
    effects: 2,
    all_ours: true,
};

#[test]
fn a_create_that_is_killed_anywhere_ends_with_one_connector() {
    kill_everywhere(&CREATE);
}

#[test]
fn a_create_whose_answer_is_lost_and_that_is_killed_anywhere_ends_with_one_connector() {
    kill_everywhere(&Protocol {
        fault: Some(|world| lose_create(world, &Fault::disconnect().committed())),
        effects: 8,
        ..CREATE
    });
}

#[test]
fn a_create_that_never_arrived_and_is_killed_anywhere_ends_with_one_connector() {
    kill_everywhere(&Protocol {
        fault: Some(|world| lose_create(world, &Fault::disconnect())),
        effects: 9,
        ..CREATE
    });
}

#[test]
fn a_create_under_a_chosen_name_that_is_killed_anywhere_ends_with_one_connector() {
    kill_everywhere(&Protocol {
        provoke: create_chosen,
        ..CREATE
    });
}

#[test]
fn a_create_under_a_chosen_name_whose_answer_is_lost_ends_with_one_connector() {
    kill_everywhere(&Protocol {
        provoke: create_chosen,
        fault: Some(|world| lose_create(world, &Fault::disconnect().committed())),
        effects: 8,
        ..CREATE
    });
}

#[test]
fn an_adoption_by_id_that_is_killed_anywhere_takes_the_connector_that_it_names() {
    kill_everywhere(&Protocol {
        provoke: |world| {
            let id = insert_connector(world, &chosen_name(NAME));
            world.create_with(NAME, &json!({ "existingSourceId": id }));
        },
        all_ours: false,
        ..CREATE
    });
}

#[test]
fn an_adoption_by_reserved_name_that_is_killed_anywhere_takes_the_connector_that_is_there() {
    kill_everywhere(&Protocol {
        before: |world| {
            world.put_secret("1");
            insert_connector(world, &default_name(NAME));
        },
        effects: 6,
        all_ours: false,
        ..CREATE
    });
}

#[test]
fn a_cleaning_up_of_duplicates_that_is_killed_anywhere_leaves_one_connector() {
    kill_everywhere(&Protocol {
        before: |world| {
            world.put_secret("1");
            insert_connector(world, &default_name(NAME));
            insert_connector(world, &default_name(NAME));
        },
        // Both came of creates of this resource, one of which was given up.
        provoke: |world| {
            world.create(NAME);
            world.put_status(
                NAME,
                &json!({ "lostCreates": { "count": 1, "since": "2026-01-01T00:00:00Z" } }),
            );
        },
        effects: 7,
        all_ours: false,
        ..CREATE
    });
}

#[test]
fn an_update_that_is_killed_anywhere_arrives_whole() {
    kill_everywhere(&Protocol {
        provoke: |world| world.edit(NAME, &json!({ "remoteUrl": "dropbox://other" })),
        end: End::Kept("1"),
        effects: 5,
        ..DELETE
    });
}

#[test]
fn a_rotated_secret_arrives_although_its_update_is_killed_anywhere() {
    kill_everywhere(&Protocol {
        provoke: |world| world.put_secret("2"),
        end: End::Kept("2"),
        effects: 5,
        ..DELETE
    });
}

#[test]
fn a_recreation_that_is_killed_anywhere_ends_with_one_connector() {
    kill_everywhere(&Protocol {
        provoke: |world| {
            for connector in world.connectors(NAME) {
                world.workspace.remove(&connector.id);
            }
        },
        end: End::Kept("1"),
        effects: 5,
        ..DELETE
    });
}

#[test]
fn a_deletion_that_is_killed_anywhere_leaves_nothing() {
    kill_everywhere(&DELETE);
}

#[test]
fn a_deletion_in_the_middle_of_a_create_that_is_killed_anywhere_leaves_nothing() {
    kill_everywhere(&Protocol {
        before: |world| {
            world.put_secret("1");
            world.create(NAME);
            create_and_die(world);
        },
        begins_ready: false,
        effects: 2,
        ..DELETE
    });
}

/// For every effect of the protocol: a life that ends there, a second that may end too, and a last that brings everything to rest.
fn kill_everywhere(protocol: &Protocol) {
    for moment in [Moment::Before, Moment::After] {
        for n in 1.. {
            let world = World::new();
            if !dies_at(&world, protocol, n, moment) {
                let effects = world.fuse.effects();
                assert!(
                    effects.len() >= protocol.effects,
                    "it had effects of which we know nothing: {effects:?}"
                );
                break;
            }
            let place = format!("killed {moment:?} effect {n} of {:?}", world.fuse.effects());
            world.fuse.arm(n.div_ceil(2), Moment::After);
            let second = Incarnation::begin(&world);
            second.until(LIMIT, || world.fuse.blown() || at_end(&world, protocol.end));
            drop(second);
            world.fuse.disarm();
            comes_to_rest(&world, protocol.end, &place);

            if protocol.all_ours && protocol.end != End::Gone {
                let world = World::new();
                dies_at(&world, protocol, n, moment);
                world.fuse.disarm();
                world.delete(NAME);
                comes_to_rest(&world, End::Gone, &format!("{place}, then deleted"));
            }
        }
    }
}

/// Goes through the protocol, up to the effect at which it is to die. False if there is no such effect.
fn dies_at(world: &World, protocol: &Protocol, n: usize, moment: Moment) -> bool {
    (protocol.before)(world);
    let life = Incarnation::begin(world);
    if protocol.begins_ready {
        let ready = life.until(LIMIT, || at_end(world, End::Kept("1")));
        assert!(ready, "{:?}", world.wrong(NAME, "1"));
        life.pass(REST);
    }
    if let Some(fault) = protocol.fault {
        fault(world);
    }
    world.fuse.arm(n, moment);
    (protocol.provoke)(world);
    life.until(LIMIT, || world.fuse.blown() || at_end(world, protocol.end));
    life.until(REST, || world.fuse.blown());
    world.fuse.blown()
}

fn comes_to_rest(world: &World, end: End, place: &str) {
    let life = Incarnation::begin(world);
    let rests = life.until(LIMIT, || at_end(world, end));
    let secret = if let End::Kept(secret) = end {
        secret
    } else {
        "1"
    };
    assert!(
        rests,
        "{place}: {:?}; {:?}",
        world.wrong(NAME, secret),
        world.resource(NAME)
    );
    life.pass(REST);
    assert!(at_end(world, end), "{place}: it did not stay at rest");
    if end != End::Gone {
        world.delete(NAME);
        let gone = life.until(LIMIT, || at_end(world, End::Gone));
        assert!(
            gone,
            "{place}: after the deletion there is {:?}",
            world.connectors(NAME)
        );
    }
}

fn at_end(world: &World, end: End) -> bool {
    match end {
        End::Kept(secret) => world.wrong(NAME, secret).is_none(),
        End::Gone => world.resource(NAME).is_none() && world.connectors(NAME).is_empty(),
    }
}

fn create_chosen(world: &World) {
    world.create_with(NAME, &json!({ "connectorName": chosen_name(NAME) }));
}

/// The answer of the first create is lost in this way.
fn lose_create(world: &World, fault: &Fault) {
    let mut fault = Some(fault.clone());
    world.fail_by(move |route, _| {
        (route == Some(Route::Create))
            .then(|| fault.take())
            .flatten()
    });
}

/// A life that ends when the connector is made and nobody has heard of it.
fn create_and_die(world: &World) {
    for n in 1.. {
        world.fuse.arm(n, Moment::After);
        let life = Incarnation::begin(world);
        assert!(
            life.until(LIMIT, || world.fuse.blown()),
            "no connector is ever made"
        );
        if world
            .fuse
            .effects()
            .iter()
            .any(|effect| effect.contains("Create"))
        {
            break;
        }
    }
    world.fuse.disarm();
}

fn insert_connector(world: &World, name: &str) -> String {
    let config = json!({
        "remote_url": "dropbox://data", "recursive": false,
        "app_key": "old", "app_secret": "old", "refresh_token": "old",
    });
    world.workspace.insert("dropbox", name, config)
}
