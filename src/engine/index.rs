//! The watch cache with its indices: which resources read which Secret, and what each resource claims.
//!
//! Nothing here is scanned per event. The cache may lag behind the API server; whoever decides something irrevocable on it does so
//! with a resourceVersion precondition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::claims::{Claimant, Claims};
use super::key::{Key, SecretKey};
use crate::crd::{ACCEPT_RECORD, ACCEPT_WORKSPACE, FORCE_DELETE, RECONCILE_AT};
use crate::kinds::{Kind, Resource};
use crate::unstructured::ConnectorId;

/// The annotations that mean something to the operator.
pub const OURS: [&str; 4] = [RECONCILE_AT, ACCEPT_WORKSPACE, ACCEPT_RECORD, FORCE_DELETE];

/// Drops what nobody here reads: the record of managed fields and the annotations of other tools, often a copy of the whole manifest
/// each, are several times as large as the rest of a resource.
pub fn strip(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    meta.labels = None;
    meta.owner_references = None;
    // Even an empty map keeps the room of eleven annotations.
    let annotations = meta.annotations.take().into_iter().flatten();
    let ours: BTreeMap<_, _> = annotations
        .filter(|(name, _)| OURS.contains(&name.as_str()))
        .collect();
    meta.annotations = (!ours.is_empty()).then_some(ours);
}

/// The watch cache of all kinds.
#[derive(Default)]
pub struct Index {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: HashMap<Key, Arc<Resource>>,
    readers: HashMap<SecretKey, BTreeSet<Key>>,
    claims: Claims,
    /// The UIDs of the resources of all shards, where this is one of them.
    of_all_shards: HashMap<Key, String>,
}

/// What the watch showed.
pub struct Shown {
    /// The resource as it was known before.
    pub before: Option<Arc<Resource>>,
    /// A resource that loses its connector to this one, which is older.
    pub loser: Option<Key>,
}

impl Index {
    /// Takes in a resource as the watch shows it.
    pub fn apply(&self, resource: Arc<Resource>) -> Shown {
        let key = resource.key();
        let mut state = self.lock();
        let before = state.objects.get(&key).cloned();
        if let Some(before) = &before {
            state.unread(&key, before);
        }
        for secret in secrets_of(&resource) {
            state.readers.entry(secret).or_default().insert(key.clone());
        }
        let recorded = resource
            .status()
            .and_then(|s| s.id.as_deref())
            .and_then(|id| id.parse().ok());
        // Where another holds it, the pass over this resource finds that out.
        let loser = recorded.and_then(|id| {
            let claim = state.claims.recorded(&Claimant::of(&resource), id);
            claim.unwrap_or_default()
        });
        state.objects.insert(key, resource);
        Shown { before, loser }
    }

    /// Forgets a resource that is gone, or only left the shard: then it keeps what it holds.
    pub fn remove(&self, key: &Key) {
        let mut state = self.lock();
        match state.set_aside(key) {
            Some(uid) => state.forget_claims(key, &uid),
            // One that could not be read is not among those that are worked on.
            None if state.of_all_shards.contains_key(key) => {}
            None => state.claims.forget_any(key),
        }
    }

    /// Forgets a resource that cannot be read. It keeps what it holds.
    pub fn set_aside(&self, key: &Key) {
        self.lock().set_aside(key);
    }

    /// Lets a resource claim something, or let it go. A pass can outlive its resource: what it says of one that no watch shows any more
    /// is not kept, as nothing would ever take it back.
    pub fn claims_of<T>(&self, who: &Claimant, act: impl FnOnce(&mut Claims) -> T) -> T {
        let mut state = self.lock();
        if state.shows(&who.key, who.uid()) {
            act(&mut state.claims)
        } else {
            act(&mut state.claims.clone())
        }
    }

    /// Takes note that a resource of whatever shard is there.
    pub fn seen_in_a_shard(&self, key: &Key, uid: &str) {
        let mut state = self.lock();
        state.of_all_shards.insert(key.clone(), uid.to_owned());
    }

    /// Takes note that it is gone. What the watch of this shard still shows of it goes when that shows it no more.
    pub fn gone_from_all_shards(&self, key: &Key, uid: &str) {
        let mut state = self.lock();
        if state
            .of_all_shards
            .get(key)
            .is_some_and(|known| known == uid)
        {
            state.of_all_shards.remove(key);
        }
        state.claims.forget(key, uid);
    }

    /// The resource, as far as the watch has shown it.
    pub fn get(&self, key: &Key) -> Option<Arc<Resource>> {
        self.lock().objects.get(key).cloned()
    }

    /// Every resource of a kind in a namespace, or in all; also one that cannot be read, as long as it holds anything.
    pub fn keys(&self, kind: &Kind, namespace: Option<&str>) -> BTreeSet<Key> {
        let state = self.lock();
        let readable = state.objects.keys();
        readable
            .chain(state.claims.holders())
            .filter(|key| key.kind == kind.name)
            .filter(|key| namespace.is_none_or(|namespace| *key.namespace == *namespace))
            .cloned()
            .collect()
    }

    /// The resources that read a Secret.
    pub fn readers(&self, secret: &SecretKey) -> Vec<Key> {
        self.lock()
            .readers
            .get(secret)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The Secrets that any resource reads.
    pub fn secrets(&self) -> HashSet<SecretKey> {
        self.lock().readers.keys().cloned().collect()
    }

    /// Looks at, or changes, what is claimed.
    pub fn claims<T>(&self, act: impl FnOnce(&mut Claims) -> T) -> T {
        act(&mut self.lock().claims)
    }

    /// The resource that holds a connector.
    pub fn holder(&self, id: ConnectorId) -> Option<Key> {
        self.lock().claims.holder(id).cloned()
    }

    /// How many resources there are.
    pub fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` with each resource.
    pub fn for_each(&self, mut visit: impl FnMut(&Key, &Resource)) {
        for (key, resource) in &self.lock().objects {
            visit(key, resource);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is whole between any two statements that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a resource out, and says which one it was.
    fn set_aside(&mut self, key: &Key) -> Option<String> {
        let resource = self.objects.remove(key)?;
        self.unread(key, &resource);
        Some(resource.uid().unwrap_or_default())
    }

    fn shows(&self, key: &Key, uid: &str) -> bool {
        let here = self.objects.get(key).and_then(|shown| shown.uid());
        here.as_deref() == Some(uid)
            || self
                .of_all_shards
                .get(key)
                .is_some_and(|known| known == uid)
    }

    fn forget_claims(&mut self, key: &Key, uid: &str) {
        if self.of_all_shards.get(key).is_none_or(|known| known != uid) {
            self.claims.forget(key, uid);
        }
    }

    fn unread(&mut self, key: &Key, resource: &Resource) {
        for secret in secrets_of(resource) {
            if let Some(readers) = self.readers.get_mut(&secret) {
                readers.remove(key);
                if readers.is_empty() {
                    self.readers.remove(&secret);
                }
            }
        }
    }
}

fn secrets_of(resource: &Resource) -> BTreeSet<SecretKey> {
    let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
    let spec = &resource.spec;
    let workspace = spec.options().workspace;
    let key = workspace.map(|workspace| workspace.api_key_secret_ref.name.as_str());
    let credentials = spec.credentials();
    let names = credentials
        .iter()
        .map(|credential| credential.secret)
        .chain(key);
    names.map(|name| SecretKey::new(namespace, name)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::DROPBOX_SOURCE;

    const ID: &str = "f6017ef4-6459-4749-b206-8e9b74ba8163";

    fn resource(uid: &str) -> Arc<Resource> {
        let object = json!({
            "apiVersion": Kind::api_version(), "kind": "DropboxSource",
            "metadata": { "name": "contracts", "namespace": "legal", "uid": uid },
            "spec": { "remoteUrl": "dropbox://a", "credentials": { "secretRef": { "name": "dropbox" } } },
            "status": { "observedGeneration": 1, "sourceId": ID },
        });
        let object = serde_json::from_value(object).expect("an object");
        Arc::new(DROPBOX_SOURCE.read(object).expect("a resource"))
    }

    fn holder(index: &Index) -> Option<Key> {
        index.holder(ID.parse().expect("an id"))
    }

    #[test]
    fn a_pass_that_outlives_its_resource_claims_nothing() {
        let (index, old) = (Index::default(), resource("a"));
        let who = Claimant::of(&old);
        let claim = || {
            index.claims_of(&who, |claims| {
                claims.recorded(&who, ID.parse().expect("an id"))
            })
        };
        index.apply(old.clone());
        assert_eq!(claim(), Ok(None));
        assert_eq!(holder(&index), Some(old.key()));
        index.remove(&old.key());
        assert_eq!(claim(), Ok(None));
        assert_eq!(holder(&index), None);
        index.claims_of(&who, |claims| claims.released(&who));
        index.apply(resource("b"));
        assert_eq!(claim(), Ok(None));
        assert_eq!(holder(&index), Some(old.key()), "it is the new one's");
        assert!(!index.claims(|claims| claims.is_released("a")));
    }

    #[test]
    fn what_left_a_shard_keeps_what_it_holds_and_what_is_gone_does_not() {
        let (index, old) = (Index::default(), resource("a"));
        index.seen_in_a_shard(&old.key(), "a");
        index.apply(old.clone());
        index.remove(&old.key());
        assert_eq!(holder(&index), Some(old.key()));
        // The watch of this shard lags behind.
        index.gone_from_all_shards(&old.key(), "a");
        index.apply(old.clone());
        assert_eq!(holder(&index), Some(old.key()));
        index.remove(&old.key());
        assert_eq!(holder(&index), None);
    }

    #[test]
    fn what_cannot_be_read_keeps_what_it_holds_until_it_is_gone() {
        let (index, old) = (Index::default(), resource("a"));
        index.apply(old.clone());
        index.set_aside(&old.key());
        assert_eq!(holder(&index), Some(old.key()));
        // So a list that shows it no more tells that it is gone.
        let known = index.keys(&DROPBOX_SOURCE, None);
        assert_eq!(known, BTreeSet::from([old.key()]));
        index.remove(&old.key());
        assert_eq!(holder(&index), None);
    }
}
