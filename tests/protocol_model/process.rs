//! One process of the operator: what it has seen and what it remembers, which ends with its term.

use std::sync::{Arc, LazyLock};

use unstructured_operator::controller::connector::recall::{self, Known, Version, Writer};
use unstructured_operator::controller::connector::situation::Situation;
use unstructured_operator::crd::ConnectorStatus;
use unstructured_operator::engine::claims::{Claimant, Claims};
use unstructured_operator::engine::debut::Debut;
use unstructured_operator::engine::key::Key;
use unstructured_operator::unstructured::{ConnectorId, Digest};

use super::connectors::{Connector, number, source_id};
use super::status::{Status, shown};
use super::world::{Resource, World};

/// When the queue will ask for the next pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queued {
    No,
    Now,
    /// When the settle time is over.
    AtSettled,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    /// By place.
    pub minds: Vec<Mind>,
    /// The inventory, if this process ever asked for one: our own writes are in it.
    pub inventory: Option<Vec<Connector>>,
    pub claims: Claims,
    /// `Workspace::refuses_keys`.
    pub refuses_keys: bool,
    /// `Context::has_settled`: what the last leader wrote has been shown.
    pub settled: bool,
}

/// What a process knows of the resources of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mind {
    /// Whether the watch has listed it in this term.
    pub listed: bool,
    /// The watch cache. It may be of any age.
    pub cache: Option<Resource>,
    pub memory: Memory,
    pub queued: Queued,
    /// While a pass is under way it holds the memory.
    pub pass: Option<Pass>,
}

/// The production `Memory`, as far as the protocol rests on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the production type remembers"
)]
pub struct Memory {
    pub uid: Option<u8>,
    pub written: Option<Resource>,
    /// `written_version`; a resource that was let go has one too.
    pub written_version: Option<u8>,
    pub unsure: bool,
    /// `contest.ours`.
    pub ours: Option<Resource>,
    /// `settling`: `startedAt` of the intent, and whether its time is over.
    pub settling: Option<(u8, bool)>,
    /// `debut`: of which connector, how far a 404 is believed, and whether its time is over.
    pub debut: Option<(u8, Debut, bool)>,
    /// `key_taken`: the configuration of the create of which that was said.
    pub key_taken: Option<Digest>,
    /// `resend`, while its time is to come.
    pub resend: bool,
    pub gone: Option<u8>,
    /// `workspace`: the key is still in memory.
    pub key: bool,
    /// Whether it awaits anything that a sweep can bring.
    pub awaits: bool,
    /// `waiting`, for as long as is waited.
    pub waited: bool,
}

/// A pass under way: what `decide_and_act` holds between two effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    pub situation: Situation,
    /// `Hand::resource`.
    pub resource: Resource,
    /// `Hand::generation`.
    pub generation: u8,
    /// `Hand::ours`.
    pub ours: Option<Resource>,
    /// `Hand::written`.
    pub written: Option<Resource>,
    /// `Hand::unsure`.
    pub unsure: bool,
    /// Whether the inventory was asked for since the pass was triggered.
    pub fresh: bool,
    /// This process no longer leads, but had already asked whether it does: its one last effect is under way.
    pub overtaken: bool,
}

impl Pass {
    /// `Hand::status`.
    pub fn status(&self) -> &Status {
        &self.ours.as_ref().unwrap_or(&self.resource).status
    }
}

/// Namespace and name of the resources of one place.
pub fn key(slot: usize) -> &'static Key {
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let key = |slot: usize| Key::new("DropboxSource", "legal", &slot.to_string());
        (0..4).map(key).collect()
    });
    &KEYS[slot]
}

/// A uid as Kubernetes has it.
pub fn uid(n: u8) -> &'static Arc<str> {
    static UIDS: LazyLock<Vec<Arc<str>>> =
        LazyLock::new(|| (0..=u8::MAX).map(|n| format!("{n:03}").into()).collect());
    &UIDS[usize::from(n)]
}

/// The resource among those that claim connectors. They are made in the order of their uids.
pub fn claimant(slot: usize, n: u8) -> Claimant {
    Claimant::new(n.into(), uid(n).clone(), key(slot).clone())
}

impl Memory {
    /// `Remembered::recall`. `young`: what is on record may be younger than the settle time.
    pub fn recall(&mut self, id: u8, young: bool) -> Debut {
        let known = self.debut.filter(|(known, ..)| *known == id);
        let unknown = (id, if young { Debut::Unseen } else { Debut::Over }, !young);
        match *self.debut.insert(known.unwrap_or(unknown)) {
            (.., true) => Debut::Over,
            (_, debut, false) => debut,
        }
    }

    /// `Remembered::keep`.
    pub fn keep(&mut self, s: &Situation) {
        self.debut = s.bound().map(number).map(|id| {
            let known = self.debut.filter(|(known, ..)| *known == id);
            let over = s.debut.is_over() || known.is_some_and(|(.., over)| over);
            (id, s.debut, over)
        });
    }
}

impl Instance {
    pub fn new(places: usize) -> Self {
        let mind = Mind {
            listed: false,
            cache: None,
            memory: Memory::default(),
            queued: Queued::No,
            pass: None,
        };
        Self {
            minds: vec![mind; places],
            inventory: None,
            claims: Claims::default(),
            refuses_keys: false,
            settled: false,
        }
    }

    /// The memory goes with the term; the cache stays, as stale as it is, which is worse than what a new list would show.
    pub fn end_term(&mut self) {
        for mind in &mut self.minds {
            mind.listed = false;
            mind.memory = Memory::default();
            mind.queued = Queued::No;
            mind.pass = None;
        }
        self.inventory = None;
        self.claims = Claims::default();
        self.refuses_keys = false;
        self.settled = false;
    }

    pub fn is_idle(&self) -> bool {
        self.minds.iter().all(|mind| mind.pass.is_none())
    }

    pub fn wake_all(&mut self) {
        for mind in self.minds.iter_mut().filter(|mind| mind.listed) {
            mind.queued = Queued::Now;
        }
    }

    /// `Context::unlisted`.
    pub fn has_listed_all(&self) -> bool {
        self.minds.iter().all(|mind| mind.listed)
    }

    /// `Index::apply`, as far as claims go.
    fn record_claim(&mut self, slot: usize, resource: &Resource) {
        if let Some(id) = resource.status.source {
            let claim = self
                .claims
                .recorded(&claimant(slot, resource.uid), source_id(id));
            self.wake_loser(claim);
        }
    }

    /// `triggers::look_again` for who loses a connector. The holder otherwise.
    pub fn wake_loser(&mut self, claim: Result<Option<Key>, Key>) -> Option<Key> {
        if let Ok(Some(loser)) = &claim {
            let slot = (0..self.minds.len()).find(|slot| key(*slot) == loser);
            self.minds[slot.expect("one of ours")].queued = Queued::Now;
        }
        claim.err()
    }

    pub fn is_held_by_another(&self, slot: usize, id: ConnectorId) -> bool {
        self.claims
            .holder(id)
            .is_some_and(|holder| holder != key(slot))
    }

    /// The resources of one namespace are listed.
    fn list(&mut self, slot: usize) {
        self.minds[slot].listed = true;
        self.minds[slot].queued = Queued::Now;
        if let Some(resource) = self.minds[slot].cache.clone() {
            self.record_claim(slot, &resource);
        }
    }

    /// `triggers::{see, gone}`.
    pub fn watch(&mut self, slot: usize, now: Option<&Resource>) {
        let mind = &mut self.minds[slot];
        let before = mind.cache.take();
        mind.cache = now.cloned();
        let Some(now) = now else {
            mind.queued = Queued::No;
            if mind.pass.is_none() {
                mind.memory = Memory::default();
            }
            if let Some(before) = before {
                self.claims.forget(key(slot), uid(before.uid));
            }
            return;
        };
        // While a pass is under way it holds the memory.
        let writer = match mind.pass {
            Some(_) => Writer::Us,
            None => mind.memory.take_note(before.as_ref(), now, self.settled),
        };
        let asked = |resource: &Resource| (resource.uid, resource.generation, resource.deleting);
        let matters = before.is_none_or(|before| {
            recall::matters(
                &(asked(&before), asked(now)),
                &(
                    (before.finalized, &before.status),
                    (now.finalized, &now.status),
                ),
                writer,
            )
        });
        if matters {
            mind.queued = Queued::Now;
        }
        self.record_claim(slot, now);
    }

    pub fn each_number(&mut self, version: &mut dyn FnMut(&mut u8), time: &mut dyn FnMut(&mut u8)) {
        for connector in self.inventory.iter_mut().flatten() {
            time(&mut connector.made);
        }
        for mind in &mut self.minds {
            let memory = &mut mind.memory;
            let resources = [&mut mind.cache, &mut memory.written, &mut memory.ours];
            for resource in resources.into_iter().flatten() {
                resource.each_number(version, time);
            }
            memory.written_version.iter_mut().for_each(&mut *version);
            if let Some((started, _)) = &mut memory.settling {
                time(started);
            }
            if let Some(pass) = &mut mind.pass {
                pass.resource.each_number(version, time);
                for resource in [&mut pass.ours, &mut pass.written].into_iter().flatten() {
                    resource.each_number(version, time);
                }
            }
        }
    }
}

impl Memory {
    /// `pass::latest`.
    pub fn latest(&mut self, watched: &Resource) -> Resource {
        if self.uid != Some(watched.uid) {
            *self = Self {
                uid: Some(watched.uid),
                ..Self::default()
            };
        }
        let written = self.written.take();
        self.written = written.filter(|written| written.version > watched.version);
        self.written.clone().unwrap_or_else(|| watched.clone())
    }

    /// `Memory::wrote`.
    pub fn wrote(&mut self, written: Option<Resource>) {
        if let Some(written) = written {
            self.written_version = Some(written.version);
            self.written = Some(written);
            self.unsure = false;
        }
    }

    /// `Memory::take_note`.
    pub fn take_note(
        &mut self,
        before: Option<&Resource>,
        now: &Resource,
        settled: bool,
    ) -> Writer {
        let number = |version: u8| u64::from(version) + 1;
        let written = self.written_version.map_or(0, number);
        if number(now.version) < written {
            return Writer::Us;
        }
        let ours = self.written.take().or_else(|| before.cloned());
        let statuses = (
            ours.as_ref().and_then(|ours| shown(&ours.status)),
            shown(&now.status),
        );
        let of = |resource: &Resource, status| -> Version<'_> { version(resource, status) };
        let known = Known {
            written,
            settled,
            replaced: ours.as_ref().map(|ours| of(ours, statuses.0.as_ref())),
            unsure: self.unsure,
        };
        let writer = recall::writer(&known, of(now, statuses.1.as_ref()));
        self.unsure &= writer == Writer::Us;
        match writer {
            Writer::Overwriter => self.ours = self.ours.take().or(ours),
            Writer::Another => self.written_version = Some(now.version),
            Writer::Us | Writer::Unknown => {}
        }
        writer
    }
}

fn version<'a>(resource: &Resource, status: Option<&'a ConnectorStatus>) -> Version<'a> {
    Version {
        number: u64::from(resource.version) + 1,
        uid: Some(uid(resource.uid)),
        status,
    }
}

impl World {
    /// Nobody is making a connector: no intent is on record, no pass under way, no request in flight.
    pub fn is_calm(&self) -> bool {
        let making = |r: &Resource| r.status.create.is_some();
        !self.resources.iter().flatten().any(making)
            && self.flights.is_empty()
            && self.instances.iter().all(Instance::is_idle)
    }

    /// A create is on record whose answer nobody waits for any more.
    pub fn is_lost(&self) -> bool {
        let making = |r: &Resource| r.status.create.is_some();
        self.resources.iter().flatten().any(making) && self.instances.iter().all(Instance::is_idle)
    }

    /// A new term begins with nothing remembered. What is watched in one place only is listed at once.
    pub fn start_term(&mut self, i: usize) {
        self.leader = i;
        self.instances[i].end_term();
        if self.resources.len() == 1 {
            self.list(0);
        }
    }

    /// The first list of a term shows what there is, where the protocol rests on that: who holds what is guarded by no
    /// resourceVersion. Everything else is explored with a cache of any age.
    pub fn list(&mut self, slot: usize) {
        let leader = &mut self.instances[self.leader];
        if self.current_lists {
            leader.minds[slot].cache.clone_from(&self.resources[slot]);
        }
        leader.list(slot);
    }

    /// More time passes than a lost request may take to be carried out.
    pub fn settle(&mut self) {
        self.clock += 1;
        self.unshown = None;
        // By then the watch has shown what was written before this term.
        let leader = &mut self.instances[self.leader];
        let shown = leader.minds.iter().map(|mind| &mind.cache);
        leader.settled |= shown.eq(&self.resources);
        for mind in &mut self.instances[self.leader].minds {
            if let Some((_, over)) = &mut mind.memory.settling {
                *over = true;
            }
            if let Some((_, _, over)) = &mut mind.memory.debut {
                *over = true;
            }
            if mind.queued == Queued::AtSettled {
                mind.queued = Queued::Now;
            }
        }
    }
}
