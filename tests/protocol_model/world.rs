//! The world around the operator: one resource as the API server holds it, the connectors of one workspace, requests whose effect
//! is yet to come, a user, and how much may still go wrong.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use unstructured_operator::controller::outcome::Requeue;
use unstructured_operator::controller::situation::Situation;
use unstructured_operator::crd::Reason;
use unstructured_operator::unstructured::{Digest, SourceId};

/// A configuration: what anyone may read of it, and the secret part, which the API shows to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Config {
    pub visible: u8,
    pub secret: u8,
}

/// What somebody else makes of the visible part.
pub const TAMPERED: u8 = 3;

impl Config {
    pub fn digest(self) -> Digest {
        static DIGESTS: LazyLock<Vec<Digest>> = LazyLock::new(|| {
            let digest = |n| format!("{n:064x}").parse().expect("64 hexadecimal digits");
            (0..=u8::MAX).map(digest).collect()
        });
        DIGESTS[usize::from(self.visible * 16 + self.secret)]
    }

    pub fn of(digest: Digest) -> Self {
        let n = u8::from_str_radix(&digest.to_string()[62..], 16).expect("one of ours");
        Self {
            visible: n / 16,
            secret: n % 16,
        }
    }
}

/// The id of the `n`th connector that was ever made.
pub fn source_id(n: u8) -> SourceId {
    static IDS: LazyLock<Vec<SourceId>> = LazyLock::new(|| {
        let id = |n| {
            format!("00000000-0000-4000-8000-0000000000{n:02x}")
                .parse()
                .expect("a UUID")
        };
        (0..=u8::MAX).map(id).collect()
    });
    IDS[usize::from(n)]
}

pub fn number(id: SourceId) -> u8 {
    u8::from_str_radix(&id.to_string()[34..], 16).expect("one of ours")
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
    pub finalized: bool,
    pub deleting: bool,
    /// `creationTimestamp`.
    pub made: u8,
    pub status: Status,
}

/// What the protocol reads back of a status, and what is judged of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    /// `observedGeneration`, 0 before anything was observed.
    pub observed: u8,
    pub source: Option<u8>,
    pub applied: Option<Config>,
    /// `create.startedAt` on the clock of the world.
    pub create: Option<u8>,
    /// `lostCreates`: how many, and since when.
    pub lost: Option<(u8, u8)>,
    /// `resendAfter`.
    pub resend: Option<u8>,
    pub home: bool,
    pub check: Option<String>,
    /// Reason of the condition `Ready`, and whether it is True.
    pub ready: Option<(bool, Reason)>,
}

/// On whose behalf a connector was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// The resource with this uid.
    Us(u8),
    /// Somebody else.
    Foreign,
    /// Another resource of this operator holds it.
    Held,
}

/// A connector. Every one here carries the name that the resource wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connector {
    pub id: u8,
    pub owner: Owner,
    /// `created_at`.
    pub made: u8,
    pub config: Config,
    /// Changed behind our back since it was last written by us.
    pub tampered: bool,
}

/// A request whose answer was lost and that will be carried out later, but within the settle time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flight {
    Create { owner: u8, config: Config },
    Update { id: u8, config: Config },
    Delete { id: u8 },
}

/// When the queue will ask for the next pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queued {
    No,
    Now,
    /// When the create has settled.
    AtSettled,
    /// When an inventory is there.
    AtInventory,
}

impl From<Requeue> for Queued {
    fn from(requeue: Requeue) -> Self {
        match requeue {
            Requeue::OnChange => Self::No,
            Requeue::NextInventory => Self::AtInventory,
            Requeue::Settled => Self::AtSettled,
            Requeue::NextPoll
            | Requeue::Backoff
            | Requeue::Patience
            | Requeue::Blocked
            | Requeue::AtOnce
            | Requeue::InLine
            | Requeue::Slowly
            | Requeue::SecondLook
            | Requeue::Resumed(_) => Self::Now,
        }
    }
}

/// One process of the operator. Its memory ends with its term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// The watch cache. It may be of any age.
    pub cache: Option<Resource>,
    /// `Memory::written`.
    pub written: Option<Resource>,
    /// `Memory::settles`: `startedAt` of the intent, and whether its time is over.
    pub settles: Option<(u8, bool)>,
    /// The inventory, if this process ever asked for one: our own writes are in it.
    pub inventory: Option<Vec<Connector>>,
    pub queued: Queued,
    pub pass: Option<Pass>,
}

/// A pass under way: what `decide_and_act` holds between two effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    pub situation: Situation,
    /// `Hand::resource`.
    pub resource: Resource,
    /// `Hand::generation`.
    pub generation: u8,
    /// Whether the inventory was asked for since the pass was triggered.
    pub fresh: bool,
    /// This process no longer leads, but had already asked whether it does: its one last effect is under way.
    pub overtaken: bool,
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
    /// Updated or deleted a connector of another resource.
    TouchedHeld,
    /// Wrote Ready=True of a connector that is not as desired.
    CalledReady,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub resource: Option<Resource>,
    /// The secret part of the desired configuration: a Secret has no version in common with the resource.
    pub secret: u8,
    pub connectors: Vec<Connector>,
    pub flights: Vec<Flight>,
    pub instances: [Instance; 2],
    pub leader: usize,
    pub clock: u8,
    pub budget: Budget,
    pub next_version: u8,
    pub next_uid: u8,
    pub next_id: u8,
    /// Connectors that were deleted when nobody knew: behind our back, or by a request whose answer was lost.
    pub vanished: BTreeSet<u8>,
    /// What was done that must never be done.
    pub offence: Option<Offence>,
    /// Whether the API server heeds the resourceVersion of a write.
    pub preconditions: bool,
}

impl Instance {
    /// The memory goes with the term; the cache stays, as stale as it is, which is worse than what a new list would show.
    pub fn end_term(&mut self) {
        self.written = None;
        self.settles = None;
        self.inventory = None;
        self.queued = Queued::No;
        self.pass = None;
    }
}

impl World {
    pub fn new(connectors: Vec<Connector>, budget: Budget) -> Self {
        let idle = Instance {
            cache: None,
            written: None,
            settles: None,
            inventory: None,
            queued: Queued::No,
            pass: None,
        };
        let next_id = connectors.iter().map(|c| c.id + 1).max().unwrap_or(1);
        let mut world = Self {
            resource: None,
            secret: 0,
            connectors,
            flights: Vec::new(),
            instances: [idle.clone(), idle],
            leader: 0,
            clock: 0,
            budget,
            next_version: 0,
            next_uid: 0,
            next_id,
            vanished: BTreeSet::new(),
            offence: None,
            preconditions: true,
        };
        world.make_resource();
        let first = world.resource.clone();
        for instance in &mut world.instances {
            instance.cache.clone_from(&first);
        }
        world.instances[0].queued = Queued::Now;
        world
    }

    // === The user ===

    pub fn make_resource(&mut self) {
        self.next_uid += 1;
        let version = self.version();
        self.resource = Some(Resource {
            version,
            uid: self.next_uid,
            generation: 1,
            spec: 0,
            finalized: false,
            deleting: false,
            made: self.clock,
            status: Status::default(),
        });
    }

    pub fn edit(&mut self) {
        let version = self.version();
        let resource = self.resource.as_mut().expect("it exists");
        resource.version = version;
        resource.generation += 1;
        resource.spec = 1 - resource.spec;
    }

    /// The Secret's watch queues its readers, whatever the cache of resources knows.
    pub fn edit_secret(&mut self) {
        self.secret = 1 - self.secret;
        self.instances[self.leader].queued = Queued::Now;
    }

    pub fn delete_resource(&mut self) {
        let version = self.version();
        let resource = self.resource.as_mut().expect("it exists");
        if resource.finalized {
            resource.version = version;
            resource.generation += 1;
            resource.deleting = true;
        } else {
            self.resource = None;
        }
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

    pub fn intrude(&mut self) {
        let config = Config {
            visible: TAMPERED,
            secret: TAMPERED,
        };
        self.connectors.push(Connector {
            id: self.next_id,
            owner: Owner::Foreign,
            made: self.clock,
            config,
            tampered: false,
        });
        self.next_id += 1;
    }

    /// Nobody is making a connector: no intent is on record, no pass under way, no request in flight.
    pub fn is_calm(&self) -> bool {
        let recorded = self.resource.as_ref().and_then(|r| r.status.create);
        recorded.is_none()
            && self.flights.is_empty()
            && self.instances.iter().all(|i| i.pass.is_none())
    }

    // === The processes ===

    /// `triggers::{see, matters, gone}`.
    pub fn watch(&mut self) {
        let leader = &mut self.instances[self.leader];
        let before = leader.cache.take();
        leader.cache.clone_from(&self.resource);
        match (before, &self.resource) {
            (_, None) => {
                leader.queued = Queued::No;
                // While a pass is under way, it holds the memory.
                if leader.pass.is_none() {
                    leader.written = None;
                    leader.settles = None;
                }
            }
            (None, Some(_)) => leader.queued = Queued::Now,
            (Some(old), Some(new)) => {
                let wrote = leader.pass.is_none()
                    && leader.written.as_ref().map(|r| r.version) == Some(new.version);
                if old.uid != new.uid
                    || old.generation != new.generation
                    || old.deleting != new.deleting
                    || old.finalized != new.finalized
                    || old.status != new.status && !wrote
                {
                    leader.queued = Queued::Now;
                }
            }
        }
    }

    /// A new term begins with nothing remembered, and with all resources queued.
    pub fn start_term(&mut self, i: usize) {
        self.leader = i;
        self.instances[i].end_term();
        self.instances[i].queued = Queued::Now;
    }

    /// More time passes than a lost request may take to be carried out.
    pub fn settle(&mut self) {
        self.clock += 1;
        let leader = &mut self.instances[self.leader];
        if let Some((_, over)) = &mut leader.settles {
            *over = true;
        }
        if leader.queued == Queued::AtSettled {
            leader.queued = Queued::Now;
        }
    }

    pub fn land(&mut self, n: usize) {
        let flight = self.flights.remove(n);
        // A duplicate that was bound after all, because the other one vanished while its deletion was under way.
        if let Flight::Delete { id } = flight {
            self.vanished.insert(id);
        }
        self.commit(&flight);
    }

    // === The API server ===

    pub fn version(&mut self) -> u8 {
        self.next_version += 1;
        self.next_version
    }

    /// Only the version that a write was decided on can be written over.
    pub fn is_current(&self, read: &Resource) -> bool {
        self.resource.as_ref().is_some_and(|now| {
            now.uid == read.uid && (now.version == read.version || !self.preconditions)
        })
    }

    // === The workspace ===

    pub fn connector(&self, id: u8) -> Option<&Connector> {
        self.connectors.iter().find(|c| c.id == id)
    }

    pub fn commit(&mut self, flight: &Flight) -> Option<u8> {
        match *flight {
            Flight::Create { owner, config } => {
                let id = self.next_id;
                self.next_id += 1;
                self.connectors.push(Connector {
                    id,
                    owner: Owner::Us(owner),
                    made: self.clock,
                    config,
                    tampered: false,
                });
                Some(id)
            }
            Flight::Update { id, config } => {
                let connector = self.connectors.iter_mut().find(|c| c.id == id)?;
                connector.config = config;
                connector.tampered = false;
                Some(id)
            }
            Flight::Delete { id } => {
                self.connector(id)?;
                self.connectors.retain(|c| c.id != id);
                Some(id)
            }
        }
    }

    /// What was made on behalf of this resource and is there, or will be.
    pub fn made_for(&self, uid: u8) -> usize {
        let there = self.connectors.iter().filter(|c| c.owner == Owner::Us(uid));
        let coming = self
            .flights
            .iter()
            .filter(|f| matches!(f, Flight::Create { owner, .. } if *owner == uid));
        there.count() + coming.count()
    }

    pub fn offend(&mut self, what: Offence) {
        self.offence.get_or_insert(what);
    }

    /// Versions and times are only ever compared: worlds that differ in nothing but their numbers are the same world.
    pub fn forget_numbers(&mut self) {
        let mut versions = BTreeSet::new();
        let mut times = BTreeSet::new();
        self.each_resource(|resource| {
            versions.insert(resource.version);
            times.extend(resource.status.create);
        });
        times.insert(self.clock);
        times.extend(self.instances.iter().filter_map(|i| Some(i.settles?.0)));
        let rank = |among: &BTreeSet<u8>, n: u8| {
            u8::try_from(among.range(..n).count()).expect("few are in use")
        };
        self.each_resource(|resource| {
            resource.version = rank(&versions, resource.version);
            resource.status.create = resource.status.create.map(|at| rank(&times, at));
        });
        for (started, _) in self.instances.iter_mut().filter_map(|i| i.settles.as_mut()) {
            *started = rank(&times, *started);
        }
        self.clock = rank(&times, self.clock);
        self.next_version = u8::try_from(versions.len()).expect("few are in use");
        self.connectors.sort();
        self.flights.sort();
    }

    fn each_resource(&mut self, mut visit: impl FnMut(&mut Resource)) {
        self.resource.iter_mut().for_each(&mut visit);
        for instance in &mut self.instances {
            instance.cache.iter_mut().for_each(&mut visit);
            instance.written.iter_mut().for_each(&mut visit);
            instance
                .pass
                .iter_mut()
                .for_each(|pass| visit(&mut pass.resource));
        }
    }
}
