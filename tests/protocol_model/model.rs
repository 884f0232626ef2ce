//! All that can happen next, and what must hold in every state that can come of it.

use stateright::{Expectation, Model, Property};

use super::operator::{Fate, Operator};
use super::rest::Rest;
use super::world::{Budget, Connector, Offence, Owner, Queued, World};

/// What must be possible, or the model shows nothing.
pub const READY: &str = "a connector is ready";

/// The protocol with one kind of resource in one kind of workspace.
pub struct Protocol {
    pub operator: Operator,
    /// Connectors of the wanted name that are there before the resource is.
    pub before: Vec<Connector>,
    pub budget: Budget,
    /// Whether a process may lose the Lease between asking whether it leads and sending its request.
    pub overtaking: bool,
    /// Whether the API server heeds the resourceVersion of a write. It does.
    pub preconditions: bool,
    pub rest: Rest,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The leader starts the pass that is queued.
    Begin,
    /// An instance performs its next effect, which comes out like this; or ends its pass.
    Step(usize, Fate),
    /// The leader's cache catches up.
    Watch,
    /// The leader compares the inventory with the resource.
    Sweep,
    /// The settle time passes.
    Settle,
    /// A request of which nobody waits for the answer any more is carried out.
    Land(usize),
    /// The leader is killed and starts again, with nothing in memory.
    Crash,
    /// The other instance takes the Lease; whatever this one had in hand is dropped when it wakes.
    Depose,
    /// The same, but this one was about to send a request, and does.
    Overtake,
    Edit,
    EditSecret,
    DeleteResource,
    MakeResource,
    /// Somebody deletes a connector behind our back.
    Vanish(u8),
    /// Somebody changes one.
    Tamper(u8),
    /// Somebody makes one of the wanted name, at a moment when we are not making one.
    Intrude,
}

impl Protocol {
    /// Names of what must hold in every state.
    pub fn invariants(&self) -> impl Iterator<Item = &'static str> {
        let always = |p: &Property<Self>| p.expectation == Expectation::Always;
        self.properties().into_iter().filter(always).map(|p| p.name)
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(self.before.clone(), self.budget);
        world.preconditions = self.preconditions;
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let leader = &world.instances[world.leader];
        for (i, instance) in world.instances.iter().enumerate() {
            if instance.pass.is_some() {
                actions.push(Action::Step(i, Fate::Fine));
                if world.budget.faults > 0 && i == world.leader {
                    let mishaps = self.operator.mishaps(world, i);
                    actions.extend(mishaps.iter().map(|fate| Action::Step(i, *fate)));
                }
            }
        }
        if leader.pass.is_none() && leader.queued == Queued::Now {
            actions.push(Action::Begin);
        }
        if leader.cache != world.resource {
            actions.push(Action::Watch);
        }
        let differs = leader.inventory.as_ref() != Some(&world.connectors);
        if leader.pass.is_none() && (differs || leader.queued == Queued::AtInventory) {
            actions.push(Action::Sweep);
        }
        let waits =
            leader.queued == Queued::AtSettled || leader.settles.is_some_and(|(_, over)| !over);
        if waits && world.flights.is_empty() {
            actions.push(Action::Settle);
        }
        actions.extend((0..world.flights.len()).map(Action::Land));
        if world.budget.wishes > 0 {
            match &world.resource {
                None => actions.push(Action::MakeResource),
                Some(resource) if resource.deleting => {}
                Some(_) => {
                    actions.extend([Action::Edit, Action::EditSecret, Action::DeleteResource]);
                }
            }
        }
        if world.budget.faults > 0 {
            actions.extend([Action::Crash, Action::Depose]);
            if self.overtaking && leader.pass.is_some() {
                actions.push(Action::Overtake);
            }
            for connector in world.connectors.iter().filter(|c| c.owner != Owner::Held) {
                actions.push(Action::Vanish(connector.id));
                if !connector.tampered && connector.owner != Owner::Foreign {
                    actions.push(Action::Tamper(connector.id));
                }
            }
            if !self.operator.reserved && world.is_calm() {
                actions.push(Action::Intrude);
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let operator = &self.operator;
        match action {
            Action::Step(_, fate) if fate != Fate::Fine => world.budget.faults -= 1,
            Action::Crash
            | Action::Depose
            | Action::Overtake
            | Action::Vanish(_)
            | Action::Tamper(_)
            | Action::Intrude => world.budget.faults -= 1,
            Action::Edit | Action::EditSecret | Action::DeleteResource | Action::MakeResource => {
                world.budget.wishes -= 1;
            }
            _ => {}
        }
        match action {
            Action::Begin => operator.begin(&mut world),
            Action::Step(i, fate) => operator.step(&mut world, i, fate),
            Action::Watch => world.watch(),
            Action::Sweep => operator.sweep(&mut world),
            Action::Settle => world.settle(),
            Action::Land(n) => world.land(n),
            Action::Crash => world.start_term(world.leader),
            Action::Depose => {
                let former = world.leader;
                world.start_term(1 - former);
                world.instances[former].end_term();
            }
            Action::Overtake => {
                let former = world.leader;
                world.start_term(1 - former);
                let mut pass = world.instances[former].pass.take()?;
                pass.overtaken = true;
                world.instances[former].end_term();
                world.instances[former].pass = Some(pass);
            }
            Action::Edit => world.edit(),
            Action::EditSecret => world.edit_secret(),
            Action::DeleteResource => world.delete_resource(),
            Action::MakeResource => world.make_resource(),
            Action::Vanish(id) => world.vanish(id),
            Action::Tamper(id) => world.tamper(id),
            Action::Intrude => world.intrude(),
        }
        world.forget_numbers();
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I1 one", |_, world: &World| {
                let ours = |uid| world.made_for(uid) <= 1;
                (1..=world.next_uid).all(ours)
            }),
            Property::always("I2 none left", |_, world: &World| {
                let present = world.resource.as_ref().map(|r| r.uid);
                (1..=world.next_uid)
                    .filter(|uid| Some(*uid) != present)
                    .all(|uid| world.made_for(uid) == 0)
            }),
            Property::always("I3 only ours", |_, world: &World| {
                !matches!(
                    world.offence,
                    Some(Offence::TouchedForeign | Offence::TouchedHeld)
                )
            }),
            Property::always("I7 honest", |_, world: &World| {
                world.offence != Some(Offence::CalledReady)
            }),
            Property::always("I5 it settles", |protocol: &Self, world| {
                protocol.rest.reached(&protocol.operator, world).is_ok()
            }),
            Property::sometimes(READY, |_, world: &World| {
                let status = world.resource.as_ref().map(|r| &r.status);
                status.is_some_and(|s| s.ready.is_some_and(|(ready, _)| ready))
            }),
        ]
    }
}
