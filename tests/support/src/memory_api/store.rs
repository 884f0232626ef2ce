//! The objects, their versions and their history.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// What a path names.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Group, version and plural.
    collection: String,
    namespace: Option<String>,
    name: Option<String>,
    status: bool,
}

/// Where one object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    collection: String,
    namespace: Option<String>,
    name: String,
}

/// A change that a client asks for.
pub(super) enum Write {
    Create(Value),
    Replace(Value),
    Merge(Value),
    Apply(Value),
    Delete,
}

/// Why a request was not carried out: the HTTP status and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(pub u16, pub &'static str);

/// One step of the history.
#[derive(Clone)]
pub(super) struct Event {
    pub version: u64,
    pub kind: &'static str,
    place: Place,
    pub object: Value,
}

#[derive(Clone, Default)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<Place, Value>,
    history: Vec<Event>,
    /// What happened up to this version is forgotten.
    compacted: u64,
}

impl Target {
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        let (head, rest) = match *segments {
            ["api", ..] if segments.len() > 2 => segments.split_at(2),
            ["apis", ..] if segments.len() > 3 => segments.split_at(3),
            _ => return None,
        };
        let (namespace, rest) = match *rest {
            ["namespaces", namespace, _, ..] => (Some(namespace.to_owned()), &rest[2..]),
            _ => (None, rest),
        };
        let (plural, name, status) = match *rest {
            [plural] => (plural, None, false),
            [plural, name] => (plural, Some(name.to_owned()), false),
            [plural, name, "status"] => (plural, Some(name.to_owned()), true),
            _ => return None,
        };
        let collection = format!("{}/{plural}", head.join("/"));
        Some(Self {
            collection,
            namespace,
            name,
            status,
        })
    }

    pub fn place(&self) -> Option<Place> {
        Some(Place {
            collection: self.collection.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone()?,
        })
    }

    fn holds(&self, place: &Place) -> bool {
        self.collection == place.collection
            && (self.namespace.is_none() || self.namespace == place.namespace)
    }
}

impl Write {
    pub fn of(method: &Method, content_type: &[u8], body: &[u8]) -> serde_json::Result<Self> {
        if *method == Method::DELETE {
            return Ok(Self::Delete);
        }
        let body = serde_json::from_slice(body)?;
        Ok(match (method.as_str(), content_type) {
            ("POST", _) => Self::Create(body),
            ("PUT", _) => Self::Replace(body),
            (_, b"application/merge-patch+json") => Self::Merge(body),
            _ => Self::Apply(body),
        })
    }
}

impl Refusal {
    /// There is no such object, or no such path.
    pub const NOT_FOUND: Self = Self(404, "NotFound");
    /// A precondition does not hold.
    pub const CONFLICT: Self = Self(409, "Conflict");
    /// There is one already.
    pub const ALREADY_EXISTS: Self = Self(409, "AlreadyExists");
    /// The version is too old to go on from.
    pub const EXPIRED: Self = Self(410, "Expired");

    pub(super) fn status(self) -> Value {
        let Self(code, reason) = self;
        json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": reason,
        })
    }
}

impl Store {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, place: &Place) -> Option<&Value> {
        self.objects.get(place)
    }

    pub fn list(&self, target: &Target) -> impl Iterator<Item = &Value> {
        let held = |(place, object)| target.holds(place).then_some(object);
        self.objects.iter().filter_map(held)
    }

    /// What happened to a collection after this version.
    pub fn since(&self, version: u64, target: &Target) -> Result<Vec<Event>, Refusal> {
        if version < self.compacted {
            return Err(Refusal::EXPIRED);
        }
        let later = self.history.iter().filter(|event| event.version > version);
        Ok(later
            .filter(|event| target.holds(&event.place))
            .cloned()
            .collect())
    }

    pub fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }

    /// What a write would be answered, without carrying it out.
    pub fn rehearse(&self, target: &Target, write: Write) -> Result<Value, Refusal> {
        let mut copy = self.clone();
        copy.write(target, write)
    }

    pub fn write(&mut self, target: &Target, write: Write) -> Result<Value, Refusal> {
        if let Write::Create(object) = write {
            return self.create(target, object);
        }
        let place = target.place().ok_or(Refusal::NOT_FOUND)?;
        let current = self.objects.get(&place).ok_or(Refusal::NOT_FOUND)?.clone();
        let mut next = current.clone();
        let body = match write {
            Write::Create(_) => unreachable!("handled above"),
            Write::Delete => {
                if current["metadata"]["deletionTimestamp"].is_null() {
                    next["metadata"]["deletionTimestamp"] = now();
                    next["metadata"]["generation"] = generation_after(&current);
                }
                return Ok(self.commit(place, &current, next));
            }
            Write::Replace(body) | Write::Merge(body) | Write::Apply(body)
                if !meets_preconditions(&current, &body) =>
            {
                return Err(Refusal::CONFLICT);
            }
            Write::Replace(body) => body,
            Write::Merge(patch) => {
                let mut merged = current.clone();
                merge(&mut merged, patch);
                merged
            }
            // One manager applies whole statuses: what it leaves out is gone.
            Write::Apply(body) if target.status => body,
            Write::Apply(_) => return Err(Refusal(501, "NotImplemented")),
        };
        if target.status {
            next["status"] = body["status"].clone();
        } else {
            next = body;
            next["status"] = current["status"].clone();
            for kept in [
                "uid",
                "creationTimestamp",
                "generation",
                "deletionTimestamp",
            ] {
                next["metadata"][kept] = current["metadata"][kept].clone();
            }
            if next["spec"] != current["spec"] {
                next["metadata"]["generation"] = generation_after(&current);
            }
        }
        next["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
        Ok(self.commit(place, &current, next))
    }

    fn create(&mut self, target: &Target, mut object: Value) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let named = Target {
            name: Some(name.to_owned()),
            ..target.clone()
        };
        let place = named.place().ok_or(Refusal::NOT_FOUND)?;
        if self.objects.contains_key(&place) {
            return Err(Refusal::ALREADY_EXISTS);
        }
        merge(
            &mut object,
            json!({
                "metadata": {
                    "namespace": target.namespace,
                    "uid": Uuid::new_v4().to_string(),
                    "creationTimestamp": now(),
                    "generation": 1,
                },
                "status": null,
            }),
        );
        Ok(self.announce("ADDED", place, object))
    }

    fn commit(&mut self, place: Place, current: &Value, next: Value) -> Value {
        let metadata = &next["metadata"];
        let finalized = metadata["finalizers"]
            .as_array()
            .is_some_and(|f| !f.is_empty());
        if !metadata["deletionTimestamp"].is_null() && !finalized {
            return self.announce("DELETED", place, next);
        }
        // As in the real one, a write that changes nothing is no event.
        if next == *current {
            return next;
        }
        self.announce("MODIFIED", place, next)
    }

    fn announce(&mut self, kind: &'static str, place: Place, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        prune(&mut object);
        if kind == "DELETED" {
            self.objects.remove(&place);
        } else {
            self.objects.insert(place.clone(), object.clone());
        }
        self.history.push(Event {
            version: self.version,
            kind,
            place,
            object: object.clone(),
        });
        object
    }
}

fn meets_preconditions(current: &Value, body: &Value) -> bool {
    ["resourceVersion", "uid"].iter().all(|field| {
        let asked = &body["metadata"][field];
        asked.is_null() || *asked == current["metadata"][field]
    })
}

fn generation_after(current: &Value) -> Value {
    json!(
        current["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default()
            + 1
    )
}

fn now() -> Value {
    let second = jiff::Timestamp::now().as_second();
    json!(
        jiff::Timestamp::from_second(second)
            .unwrap_or_default()
            .to_string()
    )
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            if let Some(members) = target.as_object_mut() {
                members.remove(&name);
            }
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Takes out members that are null: they are not there.
fn prune(object: &mut Value) {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(prune);
    }
}
