//! The connectors of one workspace, and requests whose effect is yet to come.

use std::sync::LazyLock;

use unstructured_operator::unstructured::{ConnectorId, Digest};

use super::world::{Shown, World};

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
pub fn source_id(n: u8) -> ConnectorId {
    static IDS: LazyLock<Vec<ConnectorId>> = LazyLock::new(|| {
        let id = |n| {
            format!("00000000-0000-4000-8000-0000000000{n:02x}")
                .parse()
                .expect("a UUID")
        };
        (0..=u8::MAX).map(id).collect()
    });
    IDS[usize::from(n)]
}

pub fn number(id: ConnectorId) -> u8 {
    u8::from_str_radix(&id.to_string()[34..], 16).expect("one of ours")
}

/// On whose behalf a connector was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owner {
    /// The resource with this uid.
    Us(u8),
    /// Somebody else, or nobody any more: what was retained, for example.
    Foreign,
}

/// What the service makes of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// It ignores them, and shows none.
    Ignoring,
    /// It refuses a create that has one.
    Refusing,
    /// It keeps and shows them.
    Honouring,
    /// The same, and refuses one that another connector has.
    Comparing,
    /// The same, and a deleted connector keeps its key.
    Hoarding,
}

impl Service {
    /// Whether answers and lists show keys.
    pub fn shows_keys(self) -> bool {
        !matches!(self, Self::Ignoring | Self::Refusing)
    }
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connector {
    pub id: u8,
    pub name: u8,
    /// The place of the resource whose key it is.
    pub key: Option<u8>,
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
    Create {
        owner: Owner,
        name: u8,
        key: Option<u8>,
        config: Config,
    },
    Update {
        id: u8,
        config: Config,
    },
    Delete {
        id: u8,
    },
}

impl World {
    pub fn connector(&self, id: u8) -> Option<&Connector> {
        self.connectors.iter().find(|c| c.id == id)
    }

    /// What the service finds by its id.
    pub fn found(&self, id: u8) -> Option<&Connector> {
        let hidden = self.unshown.is_some_and(|(unshown, _)| unshown == id);
        self.connector(id).filter(|_| !hidden)
    }

    /// What a list shows.
    pub fn listed(&self) -> Vec<Connector> {
        let hidden = |c: &&Connector| self.unshown == Some((c.id, Shown::Nowhere));
        self.connectors
            .iter()
            .filter(|c| !hidden(c))
            .cloned()
            .collect()
    }

    /// The service shows it in one more place.
    pub fn show(&mut self) {
        self.unshown = match self.unshown {
            Some((id, Shown::Nowhere)) => Some((id, Shown::InLists)),
            _ => None,
        };
    }

    /// Whether the service says that the key of this place is taken.
    pub fn is_taken(&self, key: u8) -> bool {
        let there = self.connectors.iter().any(|c| c.key == Some(key));
        match self.service {
            Service::Ignoring | Service::Refusing | Service::Honouring => false,
            Service::Comparing => there,
            Service::Hoarding => self.given.contains(&key),
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

    pub fn commit(&mut self, flight: &Flight) -> Option<u8> {
        match *flight {
            Flight::Create { key: Some(key), .. }
                if self.service == Service::Refusing || self.is_taken(key) =>
            {
                None
            }
            Flight::Create {
                owner,
                name,
                key,
                config,
            } => {
                let key = key.filter(|_| self.service.shows_keys());
                if self.service == Service::Hoarding {
                    self.given.extend(key);
                }
                let id = self.next_id;
                self.next_id += 1;
                self.connectors.push(Connector {
                    id,
                    name,
                    key,
                    owner,
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
        let ours = Owner::Us(uid);
        let there = self.connectors.iter().filter(|c| c.owner == ours);
        let coming = self
            .flights
            .iter()
            .filter(|f| matches!(f, Flight::Create { owner, .. } if *owner == ours));
        there.count() + coming.count()
    }

    /// What was made on behalf of this resource stays behind, and is nobody's.
    pub fn leave_behind(&mut self, uid: u8) {
        let ours = Owner::Us(uid);
        let there = self.connectors.iter_mut().map(|c| &mut c.owner);
        let coming = self.flights.iter_mut().filter_map(|f| match f {
            Flight::Create { owner, .. } => Some(owner),
            _ => None,
        });
        for owner in there.chain(coming).filter(|owner| **owner == ours) {
            *owner = Owner::Foreign;
        }
    }
}
