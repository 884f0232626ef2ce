//! The objects, their versions and their history.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::Owners;
use super::refusal::Refusal;
use super::schema;
use super::selector::Selector;
use super::target::{DEFINITIONS, NAMESPACES, Place, Target};

/// One step of the history.
#[derive(Clone)]
pub(super) struct Event {
    pub version: u64,
    pub kind: &'static str,
    pub place: Place,
    pub object: Arc<Value>,
    /// The labels before it, if there was anything before it.
    pub labels_before: Option<Value>,
}

#[derive(Clone)]
pub(super) struct Stored {
    pub object: Arc<Value>,
    pub owners: Owners,
    /// Stored without the defaults that answers show: the next replacement stores them, and so changes something whatever it says.
    pub fresh: bool,
}

/// One version of a definition.
pub(super) struct Definition {
    object: Arc<Value>,
    version: String,
}

impl Definition {
    fn find(&self) -> Option<&Value> {
        schema::of(&self.object, &self.version)
    }

    /// What it says of its instances.
    pub fn schema(&self) -> &Value {
        self.find().expect("a version that is served")
    }

    /// Whether it is being deleted.
    pub fn is_going(&self) -> bool {
        is_going(&self.object)
    }
}

/// All that a restart of the API server finds again, and how often it was restarted.
#[derive(Clone, Default)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<Place, Stored>,
    history: Vec<Event>,
    /// What happened up to this version is forgotten.
    compacted: u64,
    /// The life of the server. A watch lives no longer.
    pub life: u64,
}

impl Store {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, place: &Place) -> Option<&Value> {
        self.objects.get(place).map(|stored| &*stored.object)
    }

    pub fn stored(&self, place: &Place) -> Option<&Stored> {
        self.objects.get(place)
    }

    pub fn places(&self) -> impl Iterator<Item = (&Place, &Value)> {
        self.objects
            .iter()
            .map(|(place, stored)| (place, &*stored.object))
    }

    pub fn list(&self, target: &Target, selector: &Selector) -> impl Iterator<Item = &Value> {
        self.places().filter_map(|(place, object)| {
            let wanted = target.holds(place) && selector.selects(&object["metadata"]["labels"]);
            wanted.then_some(object)
        })
    }

    /// The objects of a collection, in one namespace or in all.
    pub fn all<'a>(
        &'a self,
        collection: &'a str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Value> {
        self.places().filter_map(move |(place, object)| {
            let here = namespace.is_none() || place.namespace.as_deref() == namespace;
            (place.collection == collection && here).then_some(object)
        })
    }

    /// A role.
    pub fn rbac(&self, plural: &str, namespace: Option<&str>, name: &str) -> Option<&Value> {
        self.get(&Place {
            collection: format!("{}/{plural}", super::target::RBAC),
            namespace: namespace.map(ToOwned::to_owned),
            name: name.to_owned(),
        })
    }

    /// The definition of a custom resource.
    fn definition(&self, target: &Target) -> Option<&Arc<Value>> {
        let place = Place {
            collection: DEFINITIONS.to_owned(),
            namespace: None,
            name: target.resource(),
        };
        self.objects.get(&place).map(|stored| &stored.object)
    }

    /// The definition that says what this is, for what needs one. A path that no definition stands for is served by nobody.
    pub fn definition_of(&self, target: &Target) -> Result<Option<Definition>, Refusal> {
        if !target.is_custom() {
            return Ok(None);
        }
        let definition = self.definition(target).cloned().map(|object| Definition {
            object,
            version: target.version().to_owned(),
        });
        let served = definition.filter(|definition| definition.find().is_some());
        served.map(Some).ok_or_else(Refusal::no_such_path)
    }

    /// What happened to a collection after this version.
    pub fn since(&self, version: u64, target: &Target) -> Result<Vec<Event>, Refusal> {
        if version < self.compacted {
            return Err(Refusal::expired());
        }
        let first = self
            .history
            .partition_point(|event| event.version <= version);
        let later = self.history[first..].iter();
        Ok(later
            .filter(|event| target.holds(&event.place))
            .cloned()
            .collect())
    }

    pub fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }

    /// Takes the objects back to an earlier state, as a restored snapshot of etcd does; versions go on from here, and nobody can watch
    /// what came between.
    pub fn roll_back(&mut self, earlier: &Self) {
        self.objects.clone_from(&earlier.objects);
        self.version += 1;
        self.compact();
        self.life += 1;
    }

    /// Keeps the next version of an object, or lets it go if it is deleted and nothing holds it.
    pub fn commit(&mut self, place: &Place, next: Value, owners: Owners) -> Arc<Value> {
        let current = self.objects.get(place);
        let deleted = !next["metadata"]["deletionTimestamp"].is_null();
        if deleted && !is_held(&next) {
            return self.announce("DELETED", place, next, owners);
        }
        // As in the real one, a write that changes nothing is no event.
        if let Some(current) = current
            && *current.object == next
            && current.owners == owners
        {
            return current.object.clone();
        }
        let kind = if current.is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.announce(kind, place, next, owners)
    }

    pub fn announce(
        &mut self,
        kind: &'static str,
        place: &Place,
        mut object: Value,
        owners: Owners,
    ) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let before = if kind == "DELETED" {
            self.objects.remove(place)
        } else {
            let stored = Stored {
                object: object.clone(),
                owners,
                fresh: kind == "ADDED" && !object["status"].is_null(),
            };
            self.objects.insert(place.clone(), stored)
        };
        self.history.push(Event {
            version: self.version,
            kind,
            place: place.clone(),
            object: object.clone(),
            labels_before: before.map(|before| before.object["metadata"]["labels"].clone()),
        });
        object
    }
}

/// Whether anybody keeps a deleted object from going.
pub(super) fn is_held(object: &Value) -> bool {
    [
        &object["metadata"]["finalizers"],
        &object["spec"]["finalizers"],
    ]
    .into_iter()
    .any(|list| list.as_array().is_some_and(|list| !list.is_empty()))
}

/// Whether an object is being deleted.
pub(super) fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

impl Place {
    pub fn is_namespace(&self) -> bool {
        self.collection == NAMESPACES
    }

    pub fn is_definition(&self) -> bool {
        self.collection == DEFINITIONS
    }
}
