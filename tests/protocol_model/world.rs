//! The world around the operator: resources as the API server holds them, users, a backup tool, rights that go, and how much may
//! still go wrong.

use std::collections::BTreeSet;

use super::connectors::{Config, Connector, Flight, Owner, Service, TAMPERED};
use super::process::Instance;
use super::status::Status;

/// What a resource asks for, beside the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Name of the connector: the resource's default name has its own number.
    pub name: u8,
    /// `existingSourceId`.
    pub existing: Option<u8>,
    /// `adoptionPolicy: ByName`.
    pub adopt_by_name: bool,
    /// `deletionPolicy: Retain`.
    pub retain: bool,
    /// Whether the connection check is waited for.
    pub verify: bool,
}

/// The resource, as one version of it stands in etcd.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// resourceVersion. Only the order of versions matters: see [`World::forget_numbers`].
    pub version: u8,
    pub uid: u8,
    pub generation: u8,
    /// The visible part of the configuration.
    pub spec: u8,
    pub ask: Ask,
    pub finalized: bool,
    pub deleting: bool,
    /// It was deleted because the operator is being uninstalled.
    pub uninstalled: bool,
    /// `creationTimestamp`.
    pub made: u8,
    pub status: Status,
}

/// How one name of a resource begins.
#[derive(Clone, Debug)]
pub enum Start {
    /// There is no such resource yet.
    Absent,
    /// It was just made.
    New,
    /// It was just made, with a status that names this connector under the default name of another cluster.
    Copied(u8),
    /// It has been ready for long, with this connector.
    Settled(u8),
}

/// One name that a resource can have, and the resources that have it one after the other.
#[derive(Clone, Debug)]
pub struct Place {
    pub start: Start,
    pub first: Ask,
    /// What a resource asks for that is made there later.
    pub then: Ask,
}

/// What may still go wrong and what may still be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Crashes, changes of leader, refused calls, lost answers, meddling.
    pub faults: u8,
    /// Edits, deletions, new resources.
    pub wishes: u8,
}

/// What must never be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offence {
    /// Updated or deleted a foreign connector that no policy had made ours.
    TouchedForeign,
    /// Put a foreign connector on record as ours that no policy lets it take.
    TookForeign,
    /// Updated or deleted a connector of another resource.
    TouchedHeld,
    /// Wrote Ready=True of a connector that is not as desired.
    CalledReady,
    /// Deleted a connector because the operator is being uninstalled.
    Uninstalled,
}

/// What a backup tool or a hand makes of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restored {
    /// Nothing is left of it.
    Wiped,
    /// Of the connector it is the same, of everything else it is as it was when the connector was first ready.
    Older,
    /// It names this connector, under the resource's own name.
    Naming(u8),
}

/// What the installation lets the operator see and do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Installation {
    Whole,
    /// The operator's rights have gone first: it may neither write nor see what becomes of the definition.
    WithoutRights,
    /// The operator sees that the definition is being deleted.
    Going,
}

/// Where the service shows what it has just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shown {
    Nowhere,
    InLists,
}

/// The Secret with the API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiKey {
    There,
    Gone,
    /// It went, and then the namespace: it will not come back, and no event says so.
    GoneForGood,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// By place.
    pub resources: Vec<Option<Resource>>,
    /// The secret part of the desired configuration: a Secret has no version in common with the resource.
    pub secret: u8,
    pub key: ApiKey,
    pub installation: Installation,
    pub service: Service,
    pub connectors: Vec<Connector>,
    /// Keys that can never be given again.
    pub given: BTreeSet<u8>,
    pub flights: Vec<Flight>,
    pub instances: [Instance; 2],
    pub leader: usize,
    pub clock: u8,
    pub budget: Budget,
    pub next_version: u8,
    pub next_uid: u8,
    pub next_id: u8,
    /// A connector that the service does not show yet where it has made it: no list does, or only lists do.
    pub unshown: Option<(u8, Shown)>,
    /// Whether records may be younger than the settle time, so that a process that finds one does not believe a 404 at once.
    pub young: bool,
    /// Connectors that were deleted when nobody knew: behind our back, or by a request whose answer was lost.
    pub vanished: BTreeSet<u8>,
    /// What was done that must never be done.
    pub offence: Option<Offence>,
    /// Whether the API server heeds the resourceVersion of a write.
    pub preconditions: bool,
    /// Whether a term begins with a list of what there is.
    pub current_lists: bool,
}

impl World {
    pub fn new(places: &[Place], before: Vec<Connector>, service: Service, budget: Budget) -> Self {
        let next_id = before.iter().map(|c| c.id + 1).max().unwrap_or(1);
        let idle = Instance::new(places.len());
        let mut world = Self {
            resources: vec![None; places.len()],
            secret: 0,
            key: ApiKey::There,
            installation: Installation::Whole,
            service,
            connectors: before,
            given: BTreeSet::new(),
            flights: Vec::new(),
            instances: [idle.clone(), idle],
            leader: 0,
            // What was there before is older than every resource.
            clock: 1,
            budget,
            next_version: 0,
            next_uid: 0,
            next_id,
            unshown: None,
            young: false,
            vanished: BTreeSet::new(),
            offence: None,
            preconditions: true,
            current_lists: false,
        };
        for (slot, place) in places.iter().enumerate() {
            match place.start {
                Start::Absent => {}
                Start::New => world.make_resource(slot, place.first),
                Start::Copied(id) => {
                    world.make_resource(slot, place.first);
                    let resource = world.resources[slot].as_mut().expect("it was made");
                    resource.status = Status::copied(id);
                }
                Start::Settled(id) => {
                    world.make_resource(slot, place.first);
                    world.settle_resource(slot, id);
                }
            }
        }
        for instance in &mut world.instances {
            for (mind, resource) in instance.minds.iter_mut().zip(&world.resources) {
                mind.cache.clone_from(resource);
            }
        }
        world.start_term(0);
        world
    }

    fn settle_resource(&mut self, slot: usize, id: u8) {
        let resource = self.resources[slot].as_mut().expect("it was made");
        resource.finalized = true;
        let config = Config {
            visible: resource.spec,
            secret: self.secret,
        };
        resource.status = Status::ready(id, resource.ask.name, config);
        self.connectors.push(Connector {
            id,
            name: resource.ask.name,
            key: None,
            owner: Owner::Us(resource.uid),
            made: self.clock,
            config,
            tampered: false,
        });
        self.next_id = self.next_id.max(id + 1);
    }

    // === The user ===

    pub fn make_resource(&mut self, slot: usize, ask: Ask) {
        self.next_uid += 1;
        let version = self.version();
        self.resources[slot] = Some(Resource {
            version,
            uid: self.next_uid,
            generation: 1,
            spec: 0,
            ask,
            finalized: false,
            deleting: false,
            uninstalled: false,
            made: self.clock,
            status: Status::default(),
        });
    }

    pub fn edit(&mut self, slot: usize) {
        let version = self.version();
        let resource = self.resources[slot].as_mut().expect("it exists");
        resource.version = version;
        resource.generation += 1;
        resource.spec = 1 - resource.spec;
    }

    /// The Secret's watch queues its readers, whatever the cache of resources knows.
    pub fn edit_secret(&mut self) {
        self.secret = 1 - self.secret;
        self.instances[self.leader].wake_all();
    }

    pub fn delete_resource(&mut self, slot: usize) {
        let version = self.version();
        let uninstalled = self.installation != Installation::Whole;
        let resource = self.resources[slot].as_mut().expect("it exists");
        if resource.finalized {
            resource.version = version;
            resource.generation += 1;
            resource.deleting = true;
            resource.uninstalled = uninstalled;
        } else {
            self.resources[slot] = None;
        }
    }

    pub fn take_key(&mut self) {
        self.key = ApiKey::Gone;
        self.instances[self.leader].wake_all();
    }

    // === Somebody else ===

    pub fn vanish(&mut self, id: u8) {
        self.connectors.retain(|c| c.id != id);
        self.vanished.insert(id);
    }

    pub fn tamper(&mut self, id: u8) {
        for connector in self.connectors.iter_mut().filter(|c| c.id == id) {
            connector.config.visible = TAMPERED;
            connector.tampered = true;
        }
    }

    pub fn intrude(&mut self, name: u8) {
        let config = Config {
            visible: TAMPERED,
            secret: TAMPERED,
        };
        self.connectors.push(Connector {
            id: self.next_id,
            name,
            key: None,
            owner: Owner::Foreign,
            made: self.clock,
            config,
            tampered: false,
        });
        self.next_id += 1;
    }

    pub fn restore(&mut self, slot: usize, restored: Restored) {
        let version = self.version();
        let resource = self.resources[slot].as_mut().expect("it exists");
        resource.version = version;
        resource.status = resource.status.restored(restored, resource.ask.name);
    }

    /// Others have begun something that they will bring to its end.
    pub fn ails(&self) -> bool {
        self.key == ApiKey::Gone || self.installation == Installation::WithoutRights
    }

    /// They do: the namespace goes after its key, the definition after the operator's rights, and all resources with them.
    pub fn heal(&mut self) {
        if self.key == ApiKey::Gone {
            self.key = ApiKey::GoneForGood;
        }
        if self.installation == Installation::WithoutRights {
            self.installation = Installation::Going;
        }
        for slot in 0..self.resources.len() {
            if self.resources[slot].as_ref().is_some_and(|r| !r.deleting) {
                self.delete_resource(slot);
            }
        }
    }

    // === The API server ===

    pub fn version(&mut self) -> u8 {
        self.next_version += 1;
        self.next_version
    }

    /// Only the version that a write was decided on can be written over.
    pub fn is_current(&self, slot: usize, read: &Resource) -> bool {
        self.resources[slot].as_ref().is_some_and(|now| {
            now.uid == read.uid && (now.version == read.version || !self.preconditions)
        })
    }

    pub fn is_alive(&self, uid: u8) -> bool {
        self.resources.iter().flatten().any(|r| r.uid == uid)
    }

    pub fn offend(&mut self, what: Offence) {
        self.offence.get_or_insert(what);
    }

    /// Versions and times are only ever compared: worlds that differ in nothing but their numbers are the same world.
    pub fn forget_numbers(&mut self) {
        let mut versions = BTreeSet::new();
        let mut times = BTreeSet::new();
        self.each_number(
            &mut |version| {
                versions.insert(*version);
            },
            &mut |time| {
                times.insert(*time);
            },
        );
        let rank = |among: &BTreeSet<u8>, n: u8| {
            u8::try_from(among.range(..n).count()).expect("few are in use")
        };
        self.each_number(
            &mut |version| *version = rank(&versions, *version),
            &mut |time| *time = rank(&times, *time),
        );
        self.next_version = u8::try_from(versions.len()).expect("few are in use");
        self.connectors.sort();
        self.flights.sort();
    }

    fn each_number(&mut self, version: &mut dyn FnMut(&mut u8), time: &mut dyn FnMut(&mut u8)) {
        time(&mut self.clock);
        for connector in &mut self.connectors {
            time(&mut connector.made);
        }
        for resource in self.resources.iter_mut().flatten() {
            resource.each_number(version, time);
        }
        for instance in &mut self.instances {
            instance.each_number(version, time);
        }
    }
}

impl Resource {
    pub fn each_number(&mut self, version: &mut dyn FnMut(&mut u8), time: &mut dyn FnMut(&mut u8)) {
        version(&mut self.version);
        time(&mut self.made);
        self.status.each_time(time);
    }
}
