//! All that can happen next, and what must hold in every state that can come of it.

use stateright::{Expectation, Model, Property};

use super::connectors::{Connector, Owner, Service};
use super::operator::{Fate, Operator};
use super::process::Queued;
use super::rest::Rest;
use super::world::{ApiKey, Budget, Installation, Offence, Place, Restored, World};

/// What must be possible, or the model shows nothing.
pub const READY: &str = "a connector is ready";

/// I3.
pub const ONLY_OURS: &str = "I3 only ours";

/// I5.
pub const SETTLES: &str = "I5 it settles";

/// The protocol with a few resources in one workspace.
pub struct Protocol {
    pub operator: Operator,
    pub places: Vec<Place>,
    /// Connectors that are there before the resources are.
    pub before: Vec<Connector>,
    pub service: Service,
    pub budget: Budget,
    pub mischief: Vec<Mischief>,
    pub wishes: Vec<Wish>,
    /// Whether the API server heeds the resourceVersion of a write. It does.
    pub preconditions: bool,
    /// Whether a term begins with a list of what there is, or with a cache of any age.
    pub current_lists: bool,
    pub rest: Rest,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mischief {
    /// The leader is killed, or another takes the Lease.
    Crashes,
    /// A process loses the Lease between asking whether it leads and sending its request.
    Overtaking,
    /// A call is refused, or its answer is lost.
    Calls,
    /// The service does not show at once what it has made.
    Hiding,
    /// Somebody deletes or changes connectors behind our back.
    Meddling,
    /// Somebody makes a connector of this name, at a moment when we are not making one.
    Intruder(u8),
    /// Somebody does so while an intent of ours is on record.
    Rival(u8),
    /// A request whose answer is lost is carried out at any time, even after the settle time.
    Slowness,
    /// Somebody writes over the status.
    Restoring(usize, Restored),
    /// The Secret with the API key is deleted, then its namespace.
    TakingTheKey,
    /// The operator is uninstalled, its rights first.
    Uninstalling,
}

/// What users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Edit(usize),
    EditSecret,
    Delete(usize),
    Make(usize),
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The leader starts the pass over this resource that is queued.
    Begin(usize),
    /// An instance performs the next effect of a pass, which comes out like this; or ends it.
    Step(usize, usize, Fate),
    /// The leader has listed the resources of one namespace.
    List(usize),
    /// The leader's cache catches up.
    Watch(usize),
    /// The leader compares the inventory with the resources.
    Sweep,
    /// The settle time passes.
    Settle,
    /// The service shows what it has made where it did not.
    Show,
    /// A request of which nobody waits for the answer any more is carried out.
    Land(usize),
    /// What was begun by others is brought to its end.
    Heal,
    /// The leader is killed and starts again, with nothing in memory.
    Crash,
    /// The other instance takes the Lease; whatever this one had in hand is dropped when it wakes.
    Depose,
    /// The same, but this one was about to send a request, and does.
    Overtake,
    Wish(Wish),
    Vanish(u8),
    Tamper(u8),
    Intrude(u8),
    Restore(usize, Restored),
    TakeKey,
    Uninstall,
}

impl Action {
    fn is_fault(self) -> bool {
        match self {
            Self::Step(_, _, fate) => fate != Fate::Fine,
            Self::Crash
            | Self::Depose
            | Self::Overtake
            | Self::Vanish(_)
            | Self::Tamper(_)
            | Self::Intrude(_)
            | Self::Restore(..)
            | Self::TakeKey
            | Self::Uninstall => true,
            _ => false,
        }
    }
}

impl Protocol {
    /// Names of what must hold in every state.
    pub fn invariants(&self) -> impl Iterator<Item = &'static str> {
        let always = |p: &Property<Self>| p.expectation == Expectation::Always;
        self.properties().into_iter().filter(always).map(|p| p.name)
    }

    /// What happens by itself.
    fn course(&self, world: &World, actions: &mut Vec<Action>) {
        let leader = &world.instances[world.leader];
        for (slot, mind) in leader.minds.iter().enumerate() {
            if !mind.listed {
                actions.push(Action::List(slot));
            } else if mind.pass.is_none() && mind.queued == Queued::Now {
                actions.push(Action::Begin(slot));
            }
            if mind.listed && mind.cache != world.resources[slot] {
                actions.push(Action::Watch(slot));
            }
        }
        let differs = leader.inventory.as_ref() != Some(&world.listed());
        let awaits = leader
            .minds
            .iter()
            .any(|mind| mind.memory.awaits && mind.queued != Queued::Now);
        if leader.is_idle() && (differs || awaits) {
            actions.push(Action::Sweep);
        }
        let waits = leader.minds.iter().any(|mind| {
            let settling = mind.memory.settling.is_some_and(|(_, over)| !over);
            let young = mind.memory.debut.is_some_and(|(.., over)| !over);
            mind.queued == Queued::AtSettled || settling || world.young && young && leader.is_idle()
        });
        if waits && (world.flights.is_empty() || self.mischief.contains(&Mischief::Slowness)) {
            actions.push(Action::Settle);
        }
        if world.unshown.is_some() {
            actions.push(Action::Show);
        }
        actions.extend((0..world.flights.len()).map(Action::Land));
        if world.ails() {
            actions.push(Action::Heal);
        }
    }

    fn wishes(&self, world: &World, actions: &mut Vec<Action>) {
        let whole = world.key == ApiKey::There && world.installation == Installation::Whole;
        let possible = |wish: &&Wish| match **wish {
            Wish::EditSecret => world.resources.iter().any(Option::is_some),
            Wish::Make(slot) => world.resources[slot].is_none() && whole,
            Wish::Edit(slot) | Wish::Delete(slot) => world.resources[slot]
                .as_ref()
                .is_some_and(|resource| !resource.deleting),
        };
        actions.extend(
            self.wishes
                .iter()
                .filter(possible)
                .copied()
                .map(Action::Wish),
        );
    }

    fn faults(&self, world: &World, actions: &mut Vec<Action>) {
        let leader = &world.instances[world.leader];
        for mischief in &self.mischief {
            match *mischief {
                Mischief::Crashes => {
                    actions.push(Action::Crash);
                    // Where a term begins with a list, the other instance begins with nothing else than this one.
                    actions.extend((!self.current_lists).then_some(Action::Depose));
                }
                Mischief::Overtaking if !leader.is_idle() => actions.push(Action::Overtake),
                Mischief::Calls => {
                    let passes = leader.minds.iter().enumerate();
                    for (slot, pass) in
                        passes.filter_map(|(slot, m)| Some((slot, m.pass.as_ref()?)))
                    {
                        let mishaps = self.operator.mishaps(pass);
                        let step = |fate: &Fate| Action::Step(world.leader, slot, *fate);
                        actions.extend(mishaps.iter().map(step));
                    }
                }
                Mischief::Hiding => {
                    let passes = leader.minds.iter().enumerate();
                    let creating = passes.filter(|(_, mind)| {
                        let pass = mind.pass.as_ref();
                        pass.is_some_and(|pass| self.operator.creates(pass))
                    });
                    let step = |(slot, _)| Action::Step(world.leader, slot, Fate::Hidden);
                    actions.extend(creating.map(step));
                }
                Mischief::Meddling => {
                    for connector in &world.connectors {
                        actions.push(Action::Vanish(connector.id));
                        if !connector.tampered && connector.owner != Owner::Foreign {
                            actions.push(Action::Tamper(connector.id));
                        }
                    }
                }
                Mischief::Intruder(name) if world.is_calm() => actions.push(Action::Intrude(name)),
                Mischief::Rival(name) if world.is_lost() => actions.push(Action::Intrude(name)),
                Mischief::Restoring(slot, restored) => {
                    let there = world.resources[slot]
                        .as_ref()
                        .is_some_and(|r| r.status.restored(restored, r.ask.name) != r.status);
                    actions.extend(there.then_some(Action::Restore(slot, restored)));
                }
                Mischief::TakingTheKey if world.key == ApiKey::There => {
                    actions.push(Action::TakeKey);
                }
                Mischief::Uninstalling if world.installation == Installation::Whole => {
                    actions.push(Action::Uninstall);
                }
                _ => {}
            }
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(&self.places, self.before.clone(), self.service, self.budget);
        world.preconditions = self.preconditions;
        world.current_lists = self.current_lists;
        world.young = self.mischief.contains(&Mischief::Hiding);
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (i, instance) in world.instances.iter().enumerate() {
            for (slot, mind) in instance.minds.iter().enumerate() {
                if mind.pass.is_some() {
                    actions.push(Action::Step(i, slot, Fate::Fine));
                }
            }
        }
        self.course(world, actions);
        if world.budget.wishes > 0 {
            self.wishes(world, actions);
        }
        if world.budget.faults > 0 {
            self.faults(world, actions);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let operator = &self.operator;
        world.budget.faults -= u8::from(action.is_fault());
        world.budget.wishes -= u8::from(matches!(action, Action::Wish(_)));
        let leader = world.leader;
        match action {
            Action::Begin(slot) => operator.begin(&mut world, slot),
            Action::Step(i, slot, fate) => operator.step(&mut world, i, slot, fate),
            Action::List(slot) => world.list(slot),
            Action::Watch(slot) => operator.watch(&mut world, slot),
            Action::Sweep => Operator::sweep(&mut world),
            Action::Settle => world.settle(),
            Action::Show => world.show(),
            Action::Land(n) => world.land(n),
            Action::Heal => world.heal(),
            Action::Crash => world.start_term(leader),
            Action::Depose => {
                world.start_term(1 - leader);
                world.instances[leader].end_term();
            }
            Action::Overtake => {
                let minds = &mut world.instances[leader].minds;
                let mut passes: Vec<_> = minds.iter_mut().map(|m| m.pass.take()).collect();
                world.start_term(1 - leader);
                world.instances[leader].end_term();
                let minds = &mut world.instances[leader].minds;
                for (mind, pass) in minds.iter_mut().zip(&mut passes) {
                    mind.pass = pass.take();
                    mind.pass.iter_mut().for_each(|pass| pass.overtaken = true);
                }
            }
            Action::Wish(Wish::Edit(slot)) => world.edit(slot),
            Action::Wish(Wish::EditSecret) => world.edit_secret(),
            Action::Wish(Wish::Delete(slot)) => world.delete_resource(slot),
            Action::Wish(Wish::Make(slot)) => world.make_resource(slot, self.places[slot].then),
            Action::Vanish(id) => world.vanish(id),
            Action::Tamper(id) => world.tamper(id),
            Action::Intrude(name) => world.intrude(name),
            Action::Restore(slot, restored) => world.restore(slot, restored),
            Action::TakeKey => world.take_key(),
            Action::Uninstall => world.installation = Installation::WithoutRights,
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
                (1..=world.next_uid)
                    .filter(|uid| !world.is_alive(*uid))
                    .all(|uid| world.made_for(uid) == 0)
            }),
            Property::always(ONLY_OURS, |_, world: &World| {
                !matches!(
                    world.offence,
                    Some(
                        Offence::TouchedForeign
                            | Offence::TookForeign
                            | Offence::TouchedHeld
                            | Offence::Uninstalled
                    )
                )
            }),
            Property::always("I7 honest", |_, world: &World| {
                world.offence != Some(Offence::CalledReady)
            }),
            Property::always(SETTLES, |protocol: &Self, world| {
                protocol.rest.reached(&protocol.operator, world).is_ok()
            }),
            Property::sometimes(READY, |_, world: &World| {
                let mut resources = world.resources.iter().flatten();
                resources.any(|r| r.status.ready.is_some_and(|(ready, _)| ready))
            }),
        ]
    }
}
