//! The watch cache with its indices: which resources read which Secret, and what each resource claims.
//!
//! Nothing here is scanned per event. The cache may lag behind the API server; whoever decides something irrevocable on it does so
//! with a resourceVersion precondition.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::claims::{Claimant, Claims};
use crate::crd::{ACCEPT_RECORD, ACCEPT_WORKSPACE, RECONCILE_AT};
use crate::kinds::SourceKind;
use crate::unstructured::SourceId;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of an object; an object without a namespace does not occur among namespaced kinds.
    pub fn of<K: kube::Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(
            meta.namespace.as_deref().unwrap_or_default(),
            meta.name.as_deref().unwrap_or_default(),
        )
    }

    /// The key of these two.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// Versions of one resource can be compared as numbers.
pub fn version<K: kube::Resource>(resource: &K) -> u64 {
    resource
        .meta()
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

/// The annotations that mean something to the operator.
pub const OURS: [&str; 3] = [RECONCILE_AT, ACCEPT_WORKSPACE, ACCEPT_RECORD];

/// Drops what nobody here reads: the record of managed fields and the annotations of other tools, often a copy of the whole manifest
/// each, are several times as large as the rest of a resource.
pub fn strip(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    meta.labels = None;
    meta.owner_references = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| OURS.contains(&name.as_str()));
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The watch cache of one kind.
pub struct Index<K> {
    state: Mutex<State<K>>,
}

struct State<K> {
    objects: HashMap<Key, Arc<K>>,
    readers: HashMap<Key, BTreeSet<Key>>,
    claims: Claims,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                objects: HashMap::new(),
                readers: HashMap::new(),
                claims: Claims::default(),
            }),
        }
    }
}

/// What the watch showed.
pub struct Shown<K> {
    /// The resource as it was known before.
    pub before: Option<Arc<K>>,
    /// A resource that loses its connector to this one, which is older.
    pub loser: Option<Key>,
}

impl<K: SourceKind> Index<K> {
    /// Takes in a resource as the watch shows it.
    pub fn apply(&self, resource: Arc<K>) -> Shown<K> {
        let key = Key::of(&*resource);
        let mut state = self.lock();
        let before = state.objects.get(&key).cloned();
        if let Some(before) = &before {
            state.unread(&key, before);
        }
        for secret in secrets_of(&*resource) {
            state.readers.entry(secret).or_default().insert(key.clone());
        }
        let recorded = resource
            .status()
            .and_then(|s| s.source_id.as_deref())
            .and_then(|id| id.parse().ok());
        // Where another holds it, the pass over this resource finds that out.
        let loser = recorded.and_then(|id| {
            let claim = state.claims.recorded(&Claimant::of(&*resource), id);
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
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.lock().objects.get(key).cloned()
    }

    /// Every resource in a namespace, or in all.
    pub fn keys(&self, namespace: Option<&str>) -> BTreeSet<Key> {
        let state = self.lock();
        state
            .objects
            .keys()
            .filter(|key| namespace.is_none_or(|namespace| *key.namespace == *namespace))
            .cloned()
            .collect()
    }

    /// The resources that read a Secret.
    pub fn readers(&self, secret: &Key) -> Vec<Key> {
        self.lock()
            .readers
            .get(secret)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The Secrets that any resource reads.
    pub fn secrets(&self) -> HashSet<Key> {
        self.lock().readers.keys().cloned().collect()
    }

    /// Looks at, or changes, what is claimed.
    pub fn claims<T>(&self, act: impl FnOnce(&mut Claims) -> T) -> T {
        act(&mut self.lock().claims)
    }

    /// The resource that holds a connector.
    pub fn holder(&self, id: SourceId) -> Option<Key> {
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
    pub fn for_each(&self, mut visit: impl FnMut(&Key, &K)) {
        for (key, resource) in &self.lock().objects {
            visit(key, resource);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<K>> {
        // The state is whole between any two statements that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: SourceKind> State<K> {
    fn unread(&mut self, key: &Key, resource: &K) {
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

fn secrets_of<K: SourceKind>(resource: &K) -> impl Iterator<Item = Key> {
    let namespace = resource.meta().namespace.clone().unwrap_or_default();
    let key = resource
        .options()
        .workspace
        .map(|workspace| workspace.api_key_secret_ref.name.clone());
    let names = std::iter::once(resource.credentials_secret().to_owned()).chain(key);
    names
        .map(move |name| Key::new(&namespace, &name))
        .collect::<Vec<_>>()
        .into_iter()
}
