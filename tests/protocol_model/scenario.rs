//! How a scenario is put together.

use unstructured_operator::controller::connector::plan::plan;

use super::connectors::{Config, Connector, Owner, Service};
use super::model::{Mischief, Protocol, Wish};
use super::operator::Operator;
use super::rest::Rest;
use super::world::{Ask, Budget, Place, Start};

pub fn bound(name: &str) -> Option<u8> {
    std::env::var(name).ok()?.parse().ok()
}

/// A name that is nobody's default name.
pub const CHOSEN: u8 = 7;

/// The default name of the resource in this place.
pub const fn reserved(slot: u8) -> Ask {
    Ask {
        name: slot,
        existing: None,
        adopt_by_name: false,
        retain: false,
        verify: false,
    }
}

pub const fn chosen() -> Ask {
    reserved(CHOSEN)
}

/// A resource that was just made, and is made again like this.
pub fn new(ask: Ask) -> Place {
    Place {
        start: Start::New,
        first: ask,
        then: ask,
    }
}

/// A resource that has been ready for long with this connector.
pub fn settled(ask: Ask, id: u8) -> Place {
    Place {
        start: Start::Settled(id),
        ..new(ask)
    }
}

/// What everybody meets.
const USUAL: [Mischief; 3] = [Mischief::Crashes, Mischief::Calls, Mischief::Meddling];

impl Protocol {
    pub fn of(places: Vec<Place>) -> Self {
        let slots = 0..places.len();
        let places_are_several = places.len() > 1;
        let wishes = slots
            .flat_map(|slot| [Wish::Edit(slot), Wish::Delete(slot), Wish::Make(slot)])
            .chain([Wish::EditSecret]);
        Self {
            operator: Operator { plan, flaw: None },
            wishes: wishes.collect(),
            places,
            before: Vec::new(),
            service: Service::Ignoring,
            budget: Budget::default(),
            mischief: USUAL.to_vec(),
            preconditions: true,
            current_lists: places_are_several,
            rest: Rest::default(),
        }
        .within(1, 1)
    }

    pub fn within(mut self, faults: u8, wishes: u8) -> Self {
        self.budget = Budget {
            faults: bound("MODEL_FAULTS").unwrap_or(faults),
            wishes: bound("MODEL_WISHES").unwrap_or(wishes),
        };
        self
    }

    /// With a connector there that nobody here has made.
    pub fn beside(mut self, id: u8, name: u8) -> Self {
        self.before.push(Connector {
            id,
            name,
            key: None,
            owner: Owner::Foreign,
            made: 0,
            config: Config {
                visible: 2,
                secret: 2,
            },
            tampered: false,
        });
        self
    }

    /// In a workspace that makes this of keys.
    pub fn at(mut self, service: Service) -> Self {
        self.service = service;
        self
    }

    pub fn listing_anew(mut self) -> Self {
        self.current_lists = true;
        self
    }

    pub fn meeting(mut self, mischief: &[Mischief]) -> Self {
        self.mischief = mischief.to_vec();
        self
    }

    pub fn also_meeting(mut self, mischief: Mischief) -> Self {
        self.mischief.push(mischief);
        self
    }

    pub fn wishing(mut self, wishes: &[Wish]) -> Self {
        self.wishes = wishes.to_vec();
        self
    }
}
