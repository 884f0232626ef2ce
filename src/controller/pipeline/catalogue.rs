//! The watch cache of workflows and jobs, and who refers to whom.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::ResourceExt;
use tokio::time::Instant;

use super::object::Object;
use crate::crd::{UnstructuredJob, UnstructuredWorkflow};
use crate::engine::key::{Key, SecretKey, version};

/// Every workflow and job that the watches have shown.
#[derive(Default)]
pub struct Catalogue {
    /// The workflows.
    pub workflows: Cache<UnstructuredWorkflow>,
    /// The jobs.
    pub jobs: Cache<UnstructuredJob>,
    /// Who asks for runs of a workflow.
    starting: Mutex<HashMap<Key, Starting>>,
    /// Who takes over which workflow of the service at this moment, by its id and the resource's UID.
    adopting: Mutex<HashMap<String, String>>,
}

/// Who asks for runs of a workflow.
#[derive(Default)]
struct Starting {
    /// The job that is asking for one, by UID: no other may meanwhile.
    by: Option<String>,
    /// How many have begun to ask. Whoever looked before the last of them knows too little to ask.
    begun: u64,
}

/// The objects of one kind, each as the watch showed it last or as our own write left it later: the watch may lag behind.
pub struct Cache<K>(Mutex<HashMap<Key, Known<K>>>);

/// One object.
struct Known<K> {
    shown: Arc<K>,
    /// As our own last write left it, until the watch has caught up.
    written: Option<(Arc<K>, Instant)>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Object> Cache<K> {
    /// Takes in an object as the watch shows it, and returns it as the watch showed it before. `listed` is when it was asked for, if it
    /// comes from a list: that shows all that was written before, whatever the numbers of its versions.
    pub fn apply(&self, object: K, listed: Option<Instant>) -> Option<Arc<K>> {
        let shown = Arc::new(object);
        let mut objects = self.lock();
        let before = objects.remove(&shown.key());
        let (before, written) = before.map_or((None, None), |b| (Some(b.shown), b.written));
        let written = written.filter(|(written, at)| {
            is_later(&**written, &*shown) && listed.is_none_or(|asked| *at >= asked)
        });
        objects.insert(shown.key(), Known { shown, written });
        before
    }

    /// Takes in an object as a write of ours left it.
    pub fn wrote(&self, object: &Arc<K>) {
        if let Some(known) = self.lock().get_mut(&object.key())
            && is_later(&**object, known.latest())
        {
            known.written = Some((object.clone(), Instant::now()));
        }
    }

    /// Forgets an object that is gone.
    pub fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// The object, as far as it is known.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        let objects = self.lock();
        objects.get(key).map(|known| known.latest().clone())
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
        let latest = objects.iter().map(|(key, known)| (key, known.latest()));
        let found = latest.filter(|(key, object)| wanted(key, object));
        found.map(|(_, object)| object.clone()).collect()
    }

    /// Whether there is such an object.
    pub fn any(&self, mut wanted: impl FnMut(&K) -> bool) -> bool {
        self.lock().values().any(|known| wanted(known.latest()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Known<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Known<K> {
    fn latest(&self) -> &Arc<K> {
        self.written
            .as_ref()
            .map_or(&self.shown, |(written, _)| written)
    }
}

/// Whether it is a later version of the same object.
fn is_later<K: Object>(object: &K, than: &K) -> bool {
    object.uid() == than.uid() && version(object.meta()) > version(than.meta())
}

/// An object of a kind that has a cache here.
pub trait Cached: Object {
    /// Its cache.
    fn cache(catalogue: &Catalogue) -> &Cache<Self>;
}

impl Cached for UnstructuredWorkflow {
    fn cache(catalogue: &Catalogue) -> &Cache<Self> {
        &catalogue.workflows
    }
}

impl Cached for UnstructuredJob {
    fn cache(catalogue: &Catalogue) -> &Cache<Self> {
        &catalogue.jobs
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

    /// Whether a job of the workflow has asked for a run and does not know it yet.
    pub fn awaits_run(&self, workflow: &Key) -> bool {
        self.jobs_of(workflow).iter().any(|job| asks(job))
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
        let secrets = workflows.iter().flat_map(|(key, known)| {
            let namespace = &*key.namespace;
            secrets_of(&known.shown).map(move |name| SecretKey::new(namespace, name))
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

    /// Takes over a workflow of the service for this resource, unless another has it or takes it over at this moment.
    pub fn adopt(&self, id: &str, who: &UnstructuredWorkflow) -> bool {
        let mut adopting = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        // What is on record needs no claim, and what is gone has none.
        adopting.retain(|_, by| {
            self.workflows.any(|other| {
                let bound = other
                    .status()
                    .and_then(|status| status.workflow_id.as_ref());
                other.uid().as_ref() == Some(by) && bound.is_none()
            })
        });
        let uid = who.uid().unwrap_or_default();
        if self.holder(id, who).is_some() || adopting.get(id).is_some_and(|by| *by != uid) {
            return false;
        }
        adopting.insert(id.to_owned(), uid);
        true
    }

    /// How many jobs have begun to ask for a run of the workflow.
    pub fn begun(&self, workflow: &Key) -> u64 {
        let starting = self.starting();
        starting.get(workflow).map_or(0, |starting| starting.begun)
    }

    /// Whether this job may ask for a run of the workflow, having looked when so many had begun to; if so, no other may until it has
    /// [let go](Self::started).
    pub fn may_start(&self, workflow: &Key, uid: &str, begun: u64) -> bool {
        self.starting_by(workflow);
        let mut starting = self.starting();
        let starting = starting.entry(workflow.clone()).or_default();
        let may = starting.begun == begun && starting.by.as_deref().is_none_or(|by| by == uid);
        if may {
            starting.begun += 1;
            starting.by = Some(uid.to_owned());
        }
        may
    }

    /// The job that has begun to ask for a run of the workflow, by UID. One that has ended meanwhile, or is gone, asks for nothing.
    pub fn starting_by(&self, workflow: &Key) -> Option<String> {
        let by = self.starting().get(workflow)?.by.clone()?;
        if self.may_ask(workflow, &by) {
            return Some(by);
        }
        self.started(workflow, &by);
        None
    }

    /// Whether there is such a job of the workflow that has not ended.
    fn may_ask(&self, workflow: &Key, uid: &str) -> bool {
        self.jobs_of(workflow).iter().any(|job| {
            let has_ended = job.status().is_some_and(|status| status.phase.is_final());
            job.uid().as_deref() == Some(uid) && !has_ended
        })
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

/// Whether a job has asked for a run and does not know it yet.
pub fn asks(job: &UnstructuredJob) -> bool {
    job.status().is_some_and(|status| {
        status.request.is_some() && status.job_id.is_none() && !status.phase.is_final()
    })
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(version: &str, run: Option<&str>) -> UnstructuredJob {
        let job = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "UnstructuredJob",
            "metadata": { "name": "once", "namespace": "legal", "uid": "a", "resourceVersion": version },
            "spec": { "workflowRef": { "name": "flow" } },
            "status": { "observedGeneration": 1, "phase": "Starting", "jobId": run },
        });
        serde_json::from_value(job).expect("a job")
    }

    fn run(jobs: &Cache<UnstructuredJob>) -> Option<String> {
        let known = jobs.get(&job("1", None).key())?;
        known.status()?.job_id.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_known_before_the_watch_shows_it() {
        let jobs = Cache::default();
        let list = Some(Instant::now());
        jobs.wrote(&Arc::new(job("5", Some("x"))));
        assert_eq!(run(&jobs), None, "no watch has shown it");
        jobs.apply(job("5", None), list);
        jobs.wrote(&Arc::new(job("7", Some("x"))));
        jobs.wrote(&Arc::new(job("6", None)));
        assert_eq!(run(&jobs).as_deref(), Some("x"));
        jobs.apply(job("6", None), None);
        assert_eq!(run(&jobs).as_deref(), Some("x"), "the watch lags behind");
        jobs.apply(job("6", None), list);
        assert_eq!(run(&jobs).as_deref(), Some("x"), "the list is older");
        jobs.apply(job("8", Some("y")), None);
        assert_eq!(run(&jobs).as_deref(), Some("y"));

        jobs.wrote(&Arc::new(job("9", Some("z"))));
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        // The server's data was restored from a backup: its versions begin anew.
        jobs.apply(job("2", None), Some(Instant::now()));
        assert_eq!(run(&jobs), None);
    }

    #[test]
    fn whoever_has_ended_or_is_gone_asks_for_no_run() {
        let catalogue = Catalogue::default();
        let flow = Key::new(UnstructuredWorkflow::KIND, "legal", "flow");
        catalogue.jobs.apply(job("1", None), None);
        assert!(catalogue.may_start(&flow, "a", 0));
        assert!(!catalogue.may_start(&flow, "b", 1));
        let mut ended = job("2", None);
        ended.status.as_mut().expect("a status").phase = crate::crd::JobPhase::Failed;
        catalogue.jobs.wrote(&Arc::new(ended));
        assert_eq!(catalogue.starting_by(&flow), None);
        assert!(catalogue.may_start(&flow, "b", 1));
        assert_eq!(catalogue.starting_by(&flow), None, "there is no such job");
    }
}
