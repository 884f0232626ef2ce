//! One workflow for each resource, none left once it is gone, and no connector gone before it: the production decisions of workflows
//! and of connectors, explored together and exhaustively.
//!
//! A workflow refers to one of two connectors. A service may carry requests out and lose the answer, or carry them out late; an
//! operator may be killed between any two effects; a user edits the workflow, points it elsewhere and deletes what there is in any
//! order, the namespace included; and somebody at the console deletes and changes things. Production code decides (`plan` of both
//! kinds), learns (`Situation::learn`) and writes the status (`report::status`). The model replaces the I/O around it.
//!
//! From every state that can be reached, the model also lets everything come to rest without further faults, and judges what is left.

mod connectors;
mod judge;
mod operator;
mod record;
mod service;
mod world;

use stateright::{Checker, HasDiscoveries, Model, Property};

use unstructured_operator::engine::debut::Debut;

use operator::{Fate, Operator, Place};
use world::{Keys, World};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Begin(Place),
    Step(Place, Fate),
    Crash,
    CarryOut,
    Settle,
    Show,
    /// A user.
    Edit,
    Repoint,
    Delete(Place),
    DeleteNamespace,
    /// Somebody at the console.
    LoseWorkflow,
    ChangeWorkflow,
    LoseConnector(usize),
}

/// A precaution that an operator does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A create is sent without an intent on record.
    RecordsNoIntent,
    /// Whatever may still come of a create is not waited for.
    DoesNotWait,
    /// What does not show is gone, however young it is.
    BelievesEvery404,
    /// What came of a lost create is not looked for.
    DoesNotLook,
    /// The finalizer is only said to be there.
    SetsNoFinalizer,
    /// A connector is deleted without asking who uses it.
    AsksNobody,
    /// Only what refers to a connector by now is waited for, and not what still runs through it.
    SeesReferencesOnly,
    /// The connector that was sent last is sent again.
    KeepsReference,
    /// The digest of what was accepted stays on record while another update is sent.
    KeepsDigest,
    /// What an update that was lost may have replaced is not sent again.
    SendsOnce,
    /// What is there is never compared.
    SeesNoDrift,
    /// All that is there seems to differ.
    SeesDriftEverywhere,
}

/// How much may go wrong.
#[derive(Clone, Copy, Debug)]
struct Pipeline {
    keys: Keys,
    reserved: bool,
    strict: bool,
    masked: bool,
    faults: u8,
    crashes: u8,
    wishes: u8,
    operator: Operator,
}

const BOTH: [Place; 3] = [Place::Workflow, Place::Connector(0), Place::Connector(1)];

impl Model for Pipeline {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(
            self.keys,
            self.reserved,
            self.strict,
            self.masked,
        )]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Act>) {
        for place in BOTH {
            if Operator::is_at_work(world, place) {
                actions.push(Act::Step(place, Fate::Done));
                if world.faults < self.faults {
                    let fates = Operator::fates(world, place);
                    actions.extend(fates.iter().map(|fate| Act::Step(place, *fate)));
                }
            } else if world.has_to_be_looked_at(place) {
                actions.push(Act::Begin(place));
            }
        }
        if world.crashes < self.crashes && BOTH.iter().any(|p| Operator::is_at_work(world, *p)) {
            actions.push(Act::Crash);
        }
        if world.late.is_some() {
            actions.push(Act::CarryOut);
        } else if (world.record.intent || world.record.resend || is_young(world)) && !world.settled
        {
            actions.push(Act::Settle);
        }
        if world.hides() {
            actions.push(Act::Show);
        }
        if world.wishes < self.wishes {
            wishes_of(world, actions);
        }
    }

    fn next_state(&self, before: &World, action: Act) -> Option<World> {
        let mut world = before.clone();
        match action {
            Act::Begin(place) => self.operator.begin(&mut world, place),
            Act::Step(place, fate) => {
                world.faults += u8::from(fate != Fate::Done);
                self.operator.step(&mut world, place, fate);
            }
            Act::Crash => {
                world.crashes += 1;
                world.forget();
            }
            Act::CarryOut => world.carry_out_late(),
            Act::Settle => world.settle(),
            Act::Show => world.show(),
            wish => {
                world.wishes += 1;
                wished(&mut world, wish);
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one workflow is made", |_, world: &World| {
                world.ours().count() + usize::from(world.has_late_create()) <= 1
            }),
            Property::always(
                "none is left once its resource is gone",
                |_, world: &World| {
                    world.flow.there || world.ours().count() == 0 && !world.has_late_create()
                },
            ),
            Property::always(
                "R3: no connector goes before its workflow",
                |_, world: &World| !world.pulled_away,
            ),
            Property::always("it comes to rest, and rightly", |model, world: &World| {
                judge::verdict(model.operator, world).is_none()
            }),
            Property::sometimes("a lost create is found", |_, world: &World| {
                world.faults + world.crashes > 0 && world.record.bound.is_some()
            }),
            Property::sometimes("all of it goes", |_, world: &World| {
                !world.flow.there && world.connectors.iter().all(|c| !c.object.there)
            }),
        ]
    }
}

/// Whether a 404 on the workflow on record is not believed yet.
fn is_young(world: &World) -> bool {
    let known = world.record.bound.map(|bound| (bound, Debut::Over));
    world.record.bound.is_some() && world.debut != known
}

fn wishes_of(world: &World, actions: &mut Vec<Act>) {
    if world.flow.there && !world.flow.going {
        actions.extend([Act::Edit, Act::Delete(Place::Workflow)]);
        // What a request under way still names, nobody can know who then deletes that connector.
        if world.pass.is_none() && world.late.is_none() {
            actions.push(Act::Repoint);
        }
    }
    for (number, connector) in world.connectors.iter().enumerate() {
        if connector.object.there && !connector.object.going {
            actions.push(Act::Delete(Place::Connector(number)));
            if connector.remote {
                actions.push(Act::LoseConnector(number));
            }
        }
    }
    if !world.namespace_going {
        actions.push(Act::DeleteNamespace);
    }
    if world.ours().count() > 0 {
        actions.push(Act::LoseWorkflow);
        // That somebody changed a secret, nobody can see.
        if !world.masked {
            actions.push(Act::ChangeWorkflow);
        }
    }
}

fn wished(world: &mut World, wish: Act) {
    match wish {
        Act::Edit => world.edit(|flow| flow.edit = 1 - flow.edit),
        Act::Repoint => world.edit(|flow| flow.to = 1 - flow.to),
        Act::Delete(Place::Workflow) => world.delete_workflow(),
        Act::Delete(Place::Connector(number)) => world.connectors[number].object.delete(),
        Act::DeleteNamespace => {
            world.namespace_going = true;
            world.delete_workflow();
            for connector in &mut world.connectors {
                connector.object.delete();
            }
        }
        Act::LoseWorkflow => {
            for workflow in &mut world.remote {
                workflow.there = false;
            }
        }
        Act::ChangeWorkflow => {
            for workflow in &mut world.remote {
                workflow.content.edit = 2;
            }
        }
        Act::LoseConnector(number) => world.connectors[number].remote = false,
        Act::Begin(_) | Act::Step(..) | Act::Crash | Act::CarryOut | Act::Settle | Act::Show => {}
    }
}

fn number(variable: &str, otherwise: u8) -> u8 {
    let given = std::env::var(variable).ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

fn pipeline(keys: Keys, reserved: bool, strict: bool) -> Pipeline {
    Pipeline {
        keys,
        reserved,
        strict,
        masked: false,
        faults: number("MODEL_FAULTS", 1),
        crashes: 1,
        wishes: number("MODEL_WISHES", 1),
        operator: Operator::default(),
    }
}

fn check(model: Pipeline) {
    let checker = model.checker().spawn_bfs().join();
    println!(
        "{:?}, reserved {}, strict {}: {} states",
        model.keys,
        model.reserved,
        model.strict,
        checker.unique_state_count()
    );
    assert!(checker.unique_state_count() > 5_000);
    for (name, path) in checker.discoveries() {
        if !["a lost create is found", "all of it goes"].contains(&name) {
            let last = path.last_state().clone();
            let why = judge::verdict(model.operator, &last);
            panic!("{name}: {why:?}\n{:?}\n{last:#?}", path.into_actions());
        }
    }
    checker.assert_properties();
}

#[test]
fn one_workflow_and_no_connector_before_it() {
    check(pipeline(Keys::Shown, true, true));
}

/// What users do in any order, without what else can go wrong.
#[test]
fn whatever_is_deleted_first() {
    check(Pipeline {
        faults: 0,
        wishes: number("MODEL_WISHES", 2),
        ..pipeline(Keys::Shown, true, false)
    });
}

/// A secret that is put back while it is not known what became of the one before.
#[test]
fn what_nobody_can_read_is_right_too() {
    check(Pipeline {
        masked: true,
        wishes: number("MODEL_WISHES", 2),
        ..pipeline(Keys::Shown, true, false)
    });
}

#[test]
fn a_service_that_ignores_keys_changes_nothing() {
    check(pipeline(Keys::Ignored, true, false));
}

#[test]
fn nor_does_a_chosen_name() {
    check(pipeline(Keys::Shown, false, false));
}

#[test]
fn nor_do_both() {
    check(pipeline(Keys::Ignored, false, true));
}

#[test]
fn the_checker_finds_each_missing_precaution() {
    const ONE: &str = "at most one workflow is made";
    const NONE: &str = "none is left once its resource is gone";
    const ORDER: &str = "R3: no connector goes before its workflow";
    const REST: &str = "it comes to rest, and rightly";
    for (flaw, finds) in [
        (Flaw::RecordsNoIntent, ONE),
        (Flaw::DoesNotWait, ONE),
        (Flaw::BelievesEvery404, ONE),
        (Flaw::DoesNotLook, ONE),
        (Flaw::SetsNoFinalizer, NONE),
        (Flaw::AsksNobody, ORDER),
        (Flaw::SeesReferencesOnly, ORDER),
        (Flaw::KeepsReference, REST),
        (Flaw::KeepsDigest, REST),
        (Flaw::SendsOnce, REST),
        (Flaw::SeesNoDrift, REST),
        (Flaw::SeesDriftEverywhere, REST),
    ] {
        let mut model = pipeline(Keys::Shown, true, false);
        model.operator.flaw = Some(flaw);
        model.wishes = 2;
        model.masked = matches!(flaw, Flaw::KeepsDigest | Flaw::SendsOnce);
        let found = HasDiscoveries::AnyOf([finds].into());
        let checker = model.checker().finish_when(found).spawn_bfs().join();
        assert!(checker.discovery(finds).is_some(), "{flaw:?} is not found");
    }
}
