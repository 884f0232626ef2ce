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

    /// Forgets a resource that is gone. What it held it holds no longer, unless others are to say so: see
    /// [`triggers::holdings`](super::triggers::holdings).
    pub fn remove(&self, key: &Key, gone: bool) {
        let mut state = self.lock();
        if let Some(resource) = state.objects.remove(key) {
            state.unread(key, &resource);
            if gone {
                let uid = resource.uid().unwrap_or_default();
                state.claims.forget(key, &uid);
            }
        }
    }

    /// The resource, as far as the watch has shown it.
    pub fn get(&self, key: &Key) -> Option<Arc<Resource>> {
        self.lock().objects.get(key).cloned()
    }

    /// Every resource of a kind in a namespace, or in all.
    pub fn keys(&self, kind: &Kind, namespace: Option<&str>) -> BTreeSet<Key> {
        let state = self.lock();
        state
            .objects
            .keys()
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
