//! Which resources are not known yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::http::Gate;

/// Namespaces that are named in one message.
const NAMED: usize = 3;

/// What one watch lists: a kind, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// The kind.
    pub kind: &'static str,
}

/// The watches that have not listed yet what resources hold, counted by what they list.
#[derive(Debug)]
pub struct Unlisted {
    places: Mutex<BTreeMap<Place, usize>>,
    /// Open while there are none.
    filled: Gate,
}

impl Unlisted {
    /// None yet.
    pub fn new(filled: Gate) -> Self {
        Self {
            places: Mutex::default(),
            filled,
        }
    }

    /// One watch more has to list this.
    pub fn expect(&self, place: &Place) {
        let mut places = self.lock();
        *places.entry(place.clone()).or_default() += 1;
        self.tell(&places);
    }

    /// One of the watches has listed this.
    pub fn listed(&self, place: &Place) {
        let mut places = self.lock();
        if let Some(watches) = places.get_mut(place) {
            *watches -= 1;
        }
        places.retain(|_, watches| *watches > 0);
        self.tell(&places);
    }

    /// Whether every resource that may hold anything is known.
    pub fn none(&self) -> bool {
        self.lock().is_empty()
    }

    /// What is missing, in words, if anything is.
    pub fn missing(&self) -> Option<String> {
        let places = self.lock();
        (!places.is_empty()).then(|| describe(places.keys()))
    }

    /// Under the lock, or what is told last might not be the latest.
    fn tell(&self, places: &BTreeMap<Place, usize>) {
        if places.is_empty() {
            self.filled.open();
        } else {
            self.filled.close_for(&describe(places.keys()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, usize>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe<'p>(places: impl Iterator<Item = &'p Place>) -> String {
    let mut by_namespace = BTreeMap::<_, Vec<_>>::new();
    for place in places {
        let kinds = by_namespace.entry(place.namespace.as_deref()).or_default();
        kinds.push(place.kind);
    }
    let mut parts: Vec<_> = by_namespace
        .iter()
        .take(NAMED)
        .map(|(namespace, kinds)| {
            let kinds = kinds.join(", ");
            match namespace {
                Some(namespace) => format!("{kinds} in namespace {namespace}"),
                None => format!("{kinds} in all namespaces"),
            }
        })
        .collect();
    if let Some(more @ 1..) = by_namespace.len().checked_sub(NAMED) {
        parts.push(format!("and in {more} more"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::http::Readiness;

    fn place(namespace: &str, kind: &'static str) -> Place {
        Place {
            namespace: Some(namespace.to_owned()),
            kind,
        }
    }

    #[test]
    fn what_several_watches_list_is_known_when_each_of_them_has() {
        let unlisted = Unlisted::new(Readiness::default().gate("the list"));
        let (one, other) = (place("a", "Source"), place("b", "Source"));
        for place in [&one, &one, &other] {
            unlisted.expect(place);
        }
        unlisted.listed(&other);
        unlisted.listed(&one);
        let missing = unlisted.missing();
        assert_eq!(missing.as_deref(), Some("Source in namespace a"));
        unlisted.listed(&one);
        assert!(unlisted.none() && unlisted.missing().is_none());

        unlisted.expect(&other);
        assert!(!unlisted.none());
    }

    #[test]
    fn what_is_missing_is_said_by_namespace_and_not_of_very_many() {
        let all = Place {
            namespace: None,
            kind: "Job",
        };
        assert_eq!(describe([&all].into_iter()), "Job in all namespaces");
        let places = ["a", "a", "b", "c", "d", "e"].map(|namespace| place(namespace, "Job"));
        assert_eq!(
            describe(places.iter()),
            "Job, Job in namespace a; Job in namespace b; Job in namespace c; and in 2 more"
        );
    }
}
