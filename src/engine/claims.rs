//! Which resource holds which connector, and which is making one under which name.
//!
//! A claim lives as long as its resource, told by the UID. Of two resources whose statuses name one connector, the older one holds
//! it, whichever was seen first: so every operator that sees both, and the same operator after a restart, says the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::key::Key;
use crate::kinds::{Kind, Resource};
use crate::unstructured::ConnectorId;

/// A resource that may hold something, in the order of age.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claimant {
    created: i64,
    uid: Arc<str>,
    /// Which one it is.
    pub key: Key,
}

impl Claimant {
    /// The resource with this key and UID, made at this second.
    pub fn new(created: i64, uid: Arc<str>, key: Key) -> Self {
        Self { created, uid, key }
    }

    /// This resource.
    pub fn of(resource: &Resource) -> Self {
        Self::of_object(resource.kind, &resource.metadata)
    }

    /// Tells it from others of its name.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// An object of this kind.
    pub fn of_object(kind: &Kind, meta: &ObjectMeta) -> Self {
        let created = meta.creation_timestamp.as_ref();
        Self::new(
            created.map_or(i64::MAX, |time| time.0.as_second()),
            meta.uid.as_deref().unwrap_or_default().into(),
            Key::of(kind, meta),
        )
    }
}

/// How the holder of a connector is called: a tenant learns nothing of resources in other namespaces.
pub fn describe_holder(asking: &Key, holder: &Key) -> String {
    if asking.namespace == holder.namespace {
        format!("the {} {:?} in this namespace", holder.kind, &*holder.name)
    } else {
        "a resource in another namespace".to_owned()
    }
}

/// A name inside one workspace, which the fingerprint of its key stands for.
type PlaceName = (Arc<str>, Arc<str>);

/// What every resource claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims {
    connectors: BTreeMap<ConnectorId, Claimant>,
    names: BTreeMap<PlaceName, Key>,
    held: BTreeMap<Key, Held>,
    /// UIDs of resources that were let go. The watch may go on showing them for a while.
    released: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    uid: Arc<str>,
    connector: Option<ConnectorId>,
    name: Option<PlaceName>,
}

impl Claims {
    /// Takes note that the status of a resource names a connector. Returns the resource that holds it instead, or the one that
    /// loses it to this one.
    pub fn recorded(&mut self, who: &Claimant, id: ConnectorId) -> Result<Option<Key>, Key> {
        if self.released.contains(&who.uid) {
            return Ok(None);
        }
        self.meet(who);
        let loser = match self.connectors.get(&id) {
            Some(holder) if holder.key == who.key => None,
            Some(holder) if holder < who => return Err(holder.key.clone()),
            Some(holder) => Some(holder.key.clone()),
            None => None,
        };
        if let Some(loser) = &loser
            && let Some(held) = self.held.get_mut(loser)
        {
            held.connector = None;
        }
        self.hold(who, id);
        Ok(loser)
    }

    /// Claims a connector that nobody holds; otherwise the holder is returned.
    pub fn claim(&mut self, who: &Claimant, id: ConnectorId) -> Result<(), Key> {
        self.meet(who);
        match self.connectors.get(&id) {
            Some(holder) if holder.key != who.key => Err(holder.key.clone()),
            _ => {
                self.hold(who, id);
                Ok(())
            }
        }
    }

    /// Claims a name in a workspace while a connector is being made, unless another resource does so; then that one is returned.
    pub fn claim_name(&mut self, who: &Claimant, workspace: &str, name: &str) -> Result<(), Key> {
        self.meet(who);
        let place: PlaceName = (workspace.into(), name.into());
        match self.names.get(&place) {
            Some(holder) if *holder != who.key => return Err(holder.clone()),
            _ => {}
        }
        let held = self.held_by(who);
        let earlier = held.name.replace(place.clone());
        if let Some(earlier) = earlier.filter(|earlier| *earlier != place) {
            self.names.remove(&earlier);
        }
        self.names.insert(place, who.key.clone());
        Ok(())
    }

    /// The resource that holds a connector.
    pub fn holder(&self, id: ConnectorId) -> Option<&Key> {
        self.connectors.get(&id).map(|holder| &holder.key)
    }

    /// The resources that hold anything.
    pub fn holders(&self) -> impl Iterator<Item = &Key> {
        self.held.keys()
    }

    /// Takes note that this operator let a resource go: whatever the watch still shows of it, it holds nothing.
    pub fn released(&mut self, who: &Claimant) {
        self.released.insert(who.uid.clone());
        if self
            .held
            .get(&who.key)
            .is_some_and(|held| held.uid == who.uid)
        {
            self.let_go(&who.key);
        }
    }

    /// Whether this operator let the resource go.
    pub fn is_released(&self, uid: &str) -> bool {
        self.released.contains(uid)
    }

    /// Forgets a resource that is gone.
    pub fn forget(&mut self, key: &Key, uid: &str) {
        self.released.remove(uid);
        if self.held.get(key).is_some_and(|held| &*held.uid == uid) {
            self.let_go(key);
        }
    }

    /// Forgets whichever resource of this name there was.
    pub fn forget_any(&mut self, key: &Key) {
        let held = self.held.get(key).map(|held| held.uid.clone());
        if let Some(uid) = held {
            self.forget(key, &uid);
        }
    }

    /// Deleted and made again between two looks: whatever the old one held is not the new one's.
    fn meet(&mut self, who: &Claimant) {
        if self
            .held
            .get(&who.key)
            .is_some_and(|held| held.uid != who.uid)
        {
            self.let_go(&who.key);
        }
    }

    fn hold(&mut self, who: &Claimant, id: ConnectorId) {
        let earlier = self.held_by(who).connector.replace(id);
        if let Some(earlier) = earlier.filter(|earlier| *earlier != id) {
            self.connectors.remove(&earlier);
        }
        self.connectors.insert(id, who.clone());
    }

    fn held_by(&mut self, who: &Claimant) -> &mut Held {
        self.held.entry(who.key.clone()).or_insert_with(|| Held {
            uid: who.uid.clone(),
            connector: None,
            name: None,
        })
    }

    fn let_go(&mut self, key: &Key) {
        let Some(held) = self.held.remove(key) else {
            return;
        };
        if let Some(id) = held.connector {
            self.connectors.remove(&id);
        }
        if let Some(name) = held.name {
            self.names.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, uid: &str, created: i64) -> Claimant {
        Claimant::new(
            created,
            uid.into(),
            Key::new("DropboxSource", "legal", name),
        )
    }

    fn connector(n: u128) -> ConnectorId {
        uuid::Uuid::from_u128(n).to_string().parse().expect("an id")
    }

    #[test]
    fn of_two_that_have_one_connector_on_record_the_older_holds_it_whoever_is_seen_first() {
        let (old, new) = (resource("old", "b", 1), resource("new", "a", 2));
        let id = connector(1);
        let mut claims = Claims::default();
        assert_eq!(claims.recorded(&old, id), Ok(None));
        assert_eq!(claims.recorded(&new, id), Err(old.key.clone()));

        let mut claims = Claims::default();
        assert_eq!(claims.recorded(&new, id), Ok(None));
        assert_eq!(claims.recorded(&old, id), Ok(Some(new.key.clone())));
        assert_eq!(claims.holder(id), Some(&old.key));
        assert_eq!(claims.recorded(&new, id), Err(old.key));
    }

    #[test]
    fn what_is_not_on_record_yet_is_taken_from_nobody() {
        let (old, new) = (resource("old", "a", 1), resource("new", "b", 2));
        let mut claims = Claims::default();
        assert_eq!(claims.claim(&new, connector(1)), Ok(()));
        assert_eq!(claims.claim(&old, connector(1)), Err(new.key.clone()));
        assert_eq!(claims.claim_name(&new, "w", "contracts"), Ok(()));
        assert_eq!(claims.claim_name(&old, "w", "contracts"), Err(new.key));
        assert_eq!(claims.claim_name(&old, "other", "contracts"), Ok(()));
    }

    #[test]
    fn a_claim_lives_as_long_as_its_resource_by_uid() {
        let (first, second) = (resource("same", "a", 1), resource("same", "b", 2));
        let other = resource("other", "c", 3);
        let id = connector(1);
        let mut claims = Claims::default();
        claims.recorded(&first, id).unwrap();
        claims.claim_name(&first, "w", "n").unwrap();

        claims.released(&first);
        // The watch lags behind and shows the first one again.
        assert_eq!(claims.recorded(&first, id), Ok(None));
        assert_eq!(claims.holder(id), None);
        assert_eq!(claims.claim(&other, id), Ok(()));
        assert_eq!(claims.claim_name(&other, "w", "n"), Ok(()));

        claims.claim(&second, connector(2)).unwrap();
        claims.forget(&first.key, "a");
        assert_eq!(claims.holder(connector(2)), Some(&second.key));
        assert!(!claims.is_released("a"));
        claims.forget(&second.key, "b");
        assert_eq!(claims.holder(connector(2)), None);
    }
}
