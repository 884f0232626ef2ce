//! The watch cache of workflows and jobs, and who refers to whom.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;

use super::super::key::{Key, SecretKey};
use super::object::Object;
use crate::crd::{UnstructuredJob, UnstructuredWorkflow};

/// Every workflow and job that the watches have shown.
#[derive(Default)]
pub struct Catalogue {
    /// The workflows.
    pub workflows: Cache<UnstructuredWorkflow>,
    /// The jobs.
    pub jobs: Cache<UnstructuredJob>,
    /// Who asks for runs of a workflow.
    starting: Mutex<HashMap<Key, Starting>>,
}

/// Who asks for runs of a workflow.
#[derive(Default)]
struct Starting {
    /// The job that is asking for one, by UID: no other may meanwhile.
    by: Option<String>,
    /// How many have begun to ask. Whoever looked before the last of them knows too little to ask.
    begun: u64,
}

/// The objects of one kind.
pub struct Cache<K>(Mutex<HashMap<Key, Arc<K>>>);

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Object> Cache<K> {
    /// Takes in an object as the watch shows it, and returns it as it was known before.
    pub fn apply(&self, object: K) -> Option<Arc<K>> {
        self.lock().insert(object.key(), Arc::new(object))
    }

    /// Forgets an object that is gone.
    pub fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// The object, as far as the watch has shown it.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.lock().get(key).cloned()
    }

    /// Every object in a namespace, or in all.
    pub fn keys(&self, namespace: Option<&str>) -> BTreeSet<Key> {
        let objects = self.lock();
        let keys = objects.keys();
        keys.filter(|key| namespace.is_none_or(|namespace| *key.namespace == *namespace))
            .cloned()
            .collect()
    }

    /// The objects that are wanted.
    pub fn filtered(&self, mut wanted: impl FnMut(&Key, &K) -> bool) -> Vec<Arc<K>> {
        let objects = self.lock();
        let found = objects.iter().filter(|(key, object)| wanted(key, object));
        found.map(|(_, object)| object.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalogue {
    /// The workflows that refer to a connector's resource.
    pub fn users(&self, connector: &Key) -> Vec<Arc<UnstructuredWorkflow>> {
        self.workflows.filtered(|key, workflow| {
            let spec = &workflow.spec;
            let source = spec.source_ref.as_ref();
            let destination = spec.destination_ref.as_ref();
            key.namespace == connector.namespace
                && (source.is_some_and(|to| refers(to.kind.as_str(), &to.name, connector))
                    || destination.is_some_and(|to| refers(to.kind.as_str(), &to.name, connector)))
        })
    }

    /// The jobs of a workflow.
    pub fn jobs_of(&self, workflow: &Key) -> Vec<Arc<UnstructuredJob>> {
        self.jobs.filtered(|key, job| {
            key.namespace == workflow.namespace && *job.spec.workflow_ref.name == *workflow.name
        })
    }

    /// The workflows that read a Secret.
    pub fn readers(&self, secret: &SecretKey) -> Vec<Key> {
        let readers = self.workflows.filtered(|key, workflow| {
            key.namespace == secret.namespace
                && secrets_of(workflow).any(|name| *name == *secret.name)
        });
        readers.iter().map(|workflow| workflow.key()).collect()
    }

    /// The Secrets that any workflow reads.
    pub fn secrets(&self) -> Vec<SecretKey> {
        let workflows = self.workflows.lock();
        let secrets = workflows.iter().flat_map(|(key, workflow)| {
            let namespace = &*key.namespace;
            secrets_of(workflow).map(move |name| SecretKey::new(namespace, name))
        });
        secrets.collect()
    }

    /// Another workflow that has this id on record and comes before this one: the older of two keeps what both have on record.
    pub fn holder(&self, id: &str, asking: &UnstructuredWorkflow) -> Option<Key> {
        let rank = |workflow: &UnstructuredWorkflow| {
            let created = workflow.metadata.creation_timestamp.clone();
            (created.map(|time| time.0), workflow.uid())
        };
        let is_on_record = asking.status().and_then(|s| s.workflow_id.as_deref()) == Some(id);
        let others = self.workflows.filtered(|_, other| {
            let recorded = other.status().and_then(|s| s.workflow_id.as_deref());
            recorded == Some(id)
                && other.uid() != asking.uid()
                && (!is_on_record || rank(other) < rank(asking))
        });
        others.first().map(|other| other.key())
    }

    /// How many jobs have begun to ask for a run of the workflow.
    pub fn begun(&self, workflow: &Key) -> u64 {
        let starting = self.starting();
        starting.get(workflow).map_or(0, |starting| starting.begun)
    }

    /// Whether this job may ask for a run of the workflow, having looked when so many had begun to; if so, no other may until it has
    /// [let go](Self::started).
    pub fn may_start(&self, workflow: &Key, uid: &str, begun: u64) -> bool {
        let mut starting = self.starting();
        let starting = starting.entry(workflow.clone()).or_default();
        let may = starting.begun == begun && starting.by.as_deref().is_none_or(|by| by == uid);
        if may {
            starting.begun += 1;
            starting.by = Some(uid.to_owned());
        }
        may
    }

    /// The job that has begun to ask for a run of the workflow, by UID.
    pub fn starting_by(&self, workflow: &Key) -> Option<String> {
        self.starting().get(workflow)?.by.clone()
    }

    /// The job asks for no run any more: it has one, or is finished or gone.
    pub fn started(&self, workflow: &Key, uid: &str) {
        if let Some(starting) = self.starting().get_mut(workflow) {
            starting.by.take_if(|by| by == uid);
        }
    }

    fn starting(&self) -> MutexGuard<'_, HashMap<Key, Starting>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the Secrets that a workflow reads.
fn secrets_of(workflow: &UnstructuredWorkflow) -> impl Iterator<Item = &String> {
    let spec = &workflow.spec;
    let key = spec.workspace.as_ref().map(|w| &w.api_key_secret_ref.name);
    let nodes = spec.nodes.iter().flat_map(|n| n.secret_settings.values());
    nodes.map(|parameter| &parameter.name).chain(key)
}

fn refers(kind: &str, name: &str, connector: &Key) -> bool {
    kind == connector.kind && *name == *connector.name
}
