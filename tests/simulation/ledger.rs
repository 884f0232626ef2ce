//! What is known of each connector beside what the fake shows: who made it, who has it on record, and whether somebody meant to leave
//! it. Kept as things happen, because objects that are gone cannot be asked any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use support::fake::unstructured::StoredSource;
use support::wall;
use tokio::time::Instant;
use unstructured_operator::crd::dropbox_source_definition;

use super::agenda::Setting;
use super::ground::{OWN_KEY, PINECONE_KEY, SETTLE_TIME, TENANT_KEY};
use super::judge::{GRACE, readiness};

/// A resource in one of the clusters, told from an earlier one of its name.
pub type Uid = String;

/// The books. Clones share them.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
pub struct Books {
    pub resources: BTreeMap<Uid, Resource>,
    /// The resource that had a connector on record first, of those that are there.
    pub holders: BTreeMap<String, Uid>,
    /// Connectors that a console user made.
    pub foreign: BTreeSet<String>,
    /// When a create of this name was sent.
    pub creates: BTreeMap<String, Instant>,
    /// Connectors that were meant to stay when their resource went, and names of which the same is true.
    pub left: BTreeSet<String>,
    /// When a resource of this name went last whose connectors were to stay.
    pub names_left: BTreeMap<String, Timestamp>,
    /// Since when a definition is being deleted, by cluster.
    pub definition_going: BTreeMap<&'static str, Instant>,
    pub namespaces_going: BTreeMap<(&'static str, String), Instant>,
    /// A confined operator began when its namespace was going, and perhaps its Role with it: it may list nothing there.
    pub blind: bool,
    /// What events say is left behind.
    pub told: String,
    /// Connectors whose resource went with its namespace: each has to be deleted, or told.
    pub orphans: BTreeSet<String>,
    /// The destinations, workflows and jobs.
    pub others: BTreeMap<Uid, Other>,
    /// The jobs that asked for a run, by workflow.
    pub asked: BTreeMap<String, BTreeSet<Uid>>,
    /// Secrets that were written down.
    pub overheard: BTreeSet<String>,
    /// How often the processes began anew.
    pub life: u64,
    /// Connectors that a process let be with a namespace, though it had worked on them with a key that it still had.
    pub owed: BTreeMap<String, String>,
    /// What the definition in a cluster lacks, and since when.
    pub lacking: BTreeMap<&'static str, (Instant, String)>,
    /// What was wrong with a status, as it was written.
    pub untrue: BTreeSet<String>,
    /// Which processes are at work.
    pub setting: Option<Setting>,
    /// Whoever writes now is not the operator.
    pub by_hand: bool,
    /// When it was last possible that the operator heard no answer from Kubernetes, or no news.
    pub rough: Option<Instant>,
    /// A provider hangs and nothing else is wrong: what needs none must not wait.
    pub nothing_waits: bool,
}

/// A destination, a workflow or a job as it was written last.
#[derive(Clone)]
pub struct Other {
    pub object: Value,
    pub gone: bool,
}

/// So long after the last trouble with Kubernetes everything has been heard again.
const CALM: Duration = Duration::from_mins(2);

/// How long a deletion may take that needs nothing which hangs.
const PROMPT: Duration = Duration::from_secs(45);

/// What no object may say: parts of what the Secrets hold.
const SECRETS: [&str; 6] = [
    "app_secret-",
    "refresh_token-",
    OWN_KEY,
    TENANT_KEY,
    PINECONE_KEY,
    "their-secret",
];

/// A resource as it was written last.
#[derive(Clone)]
pub struct Resource {
    pub cluster: &'static str,
    pub object: Value,
    /// Since when it is being deleted, and by which policy it was then.
    pub going: Option<(Instant, bool)>,
    pub gone: bool,
    /// Its finalizer was taken away by force, or its status was written by somebody else.
    pub meddled: bool,
    /// Its record is one that somebody else put there, or one from before its cluster was taken back to an earlier time.
    pub misled: bool,
    /// Connectors that it had on record when somebody put another record in their place.
    pub forgot: BTreeSet<String>,
    /// Since when it has the status that it has.
    pub written: Instant,
    /// Since when it is gone.
    pub went: Option<Instant>,
    /// In which life of the processes its connector was last seen to, with the key.
    pub kept: Option<u64>,
}

impl Resource {
    pub fn name(&self) -> (&str, &str) {
        let text = |field: &str| self.object["metadata"][field].as_str().unwrap_or_default();
        (text("namespace"), text("name"))
    }

    /// The name of its connector.
    pub fn connector_name(&self) -> String {
        let (namespace, name) = self.name();
        let chosen = self.object["spec"]["connectorName"].as_str();
        chosen.map_or_else(
            || format!("{namespace}.{name}.{}", self.cluster),
            ToOwned::to_owned,
        )
    }

    pub fn is_reserved(&self) -> bool {
        self.object["spec"]["connectorName"].is_null()
    }

    pub fn source_id(&self) -> Option<&str> {
        self.object["status"]["sourceId"].as_str()
    }

    pub fn existing(&self) -> Option<&str> {
        self.object["spec"]["existingSourceId"].as_str()
    }

    /// Whether it names the tenant's workspace, and not the operator's own.
    pub fn is_tenants(&self) -> bool {
        !self.object["spec"]["workspace"].is_null()
    }

    pub fn retains(&self) -> bool {
        self.object["spec"]["deletionPolicy"] == "Retain"
    }
}

impl Ledger {
    pub fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    /// Takes note of a write to a cluster.
    pub fn wrote(&self, cluster: &'static str, path: &str, object: &Value) {
        self.with(|books| {
            books.overhear(object);
            books.write_down(cluster, path, object);
        });
    }
}

impl Books {
    /// Whether two operators with keys of different workspaces are at work on the same resources.
    pub fn rivals(&self) -> bool {
        self.setting == Some(Setting::Rivals)
    }

    fn write_down(&mut self, cluster: &'static str, path: &str, object: &Value) {
        let books = self;
        match object["kind"].as_str() {
            Some("DropboxSource") => {
                books.read_critically(cluster, object);
                books.resource(cluster, object);
            }
            Some("PineconeDestination" | "UnstructuredWorkflow" | "UnstructuredJob") => {
                books.other(object);
            }
            Some("CustomResourceDefinition")
                if object["metadata"]["name"] == "dropboxsources.connectors.unstructured.io" =>
            {
                books.definition(cluster, object);
            }
            Some("Namespace") => books.namespace(cluster, object),
            _ if path.contains("/events") => {
                let note = object["note"].as_str().unwrap_or_default();
                let _ = writeln!(books.told, "{note}");
            }
            _ => {}
        }
    }

    /// No value of a Secret is in anything that is written.
    fn overhear(&mut self, object: &Value) {
        if object["kind"] == "Secret" {
            return;
        }
        let text = object.to_string();
        let mut secrets = SECRETS.iter();
        if let Some(secret) = secrets.find(|secret| text.contains(**secret)) {
            self.overheard.insert(format!(
                "R6: {secret:?} is in {}",
                object["metadata"]["name"]
            ));
        }
    }

    /// What is wrong with the status of a resource, if anything is: it blames a spec that is right, or names a connector that another
    /// resource had on record before.
    fn read_critically(&mut self, cluster: &'static str, object: &Value) {
        if self.by_hand {
            return;
        }
        let (uid, ..) = life_of(object);
        let place = format!(
            "{}/{}",
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        );
        let (_, reason, message) = readiness(object);
        if reason == "InvalidConfiguration" {
            self.untrue
                .insert(format!("I7: {place} is blamed for its spec: {message}"));
        }
        // One that goes shows what was said of it last, which may be an interval ago.
        let goes = object["metadata"]["deletionTimestamp"].is_string();
        if reason == "ConnectorInUse" && !goes && self.is_long_gone(object) {
            self.untrue.insert(format!(
                "I7: nobody holds what {place} waits for: {message}"
            ));
        }
        let known = self.resources.get(&uid);
        let had = known.and_then(Resource::source_id);
        let Some(id) = object["status"]["sourceId"].as_str() else {
            return;
        };
        let is_own = |resource: &Resource| !resource.misled && !resource.meddled;
        if self.rivals() || had == Some(id) || known.is_some_and(|known| !is_own(known)) {
            return;
        }
        let holder = self.holders.get(id).filter(|holder| **holder != uid);
        let holder = holder.and_then(|holder| self.resources.get(holder));
        let holds = |holder: &&Resource| {
            !holder.gone
                && holder.going.is_none()
                && holder.cluster == cluster
                && holder.source_id() == Some(id)
                && holder.written.elapsed() > GRACE
                && is_own(holder)
        };
        if let Some(holder) = holder.filter(holds) {
            let (namespace, name) = holder.name();
            self.untrue.insert(format!(
                "I1: {place} took {id}, which {namespace}/{name} had on record"
            ));
        }
    }

    /// Whether the last resource that had the connector in question on record was let go so long ago that the operator, which did
    /// that itself, knows. A shard may not know it of another's yet.
    fn is_long_gone(&self, object: &Value) -> bool {
        let (record, wish) = (
            &object["status"]["sourceId"],
            &object["spec"]["existingSourceId"],
        );
        let Some(id) = record.as_str().or(wish.as_str()) else {
            return false;
        };
        // They do not tell each other what they let go.
        let several = matches!(
            self.setting,
            Some(Setting::Rivals | Setting::Shards | Setting::Staging)
        );
        let rough = self.rough.is_some_and(|at| at.elapsed() < CALM);
        let (uid, ..) = life_of(object);
        let mut had = self.resources.iter().filter(|(other, resource)| {
            **other != uid && (resource.source_id() == Some(id) || resource.forgot.contains(id))
        });
        let let_go = |resource: &Resource| {
            let long = resource.went.is_some_and(|went| went.elapsed() > GRACE);
            long && !resource.meddled && !resource.misled
        };
        // By name and key it belongs to whoever is called as one that had it, and has none.
        let is_heir = |(other, resource): (&Uid, &Resource)| {
            *other != uid
                && resource.went.is_none()
                && resource.source_id().is_none()
                && resource.existing().is_none()
                && had
                    .clone()
                    .any(|(_, before)| before.name() == resource.name())
        };
        !rough
            && !several
            && !self.resources.iter().any(is_heir)
            && had.clone().count() > 0
            && had.all(|(_, resource)| let_go(resource))
    }

    /// An object of a pipeline.
    fn other(&mut self, object: &Value) {
        let (uid, _, gone) = life_of(object);
        if gone && object["spec"]["deletionPolicy"] == "Retain" {
            let ids = ["workflowId", "destinationId"];
            let ids = ids.iter().filter_map(|id| object["status"][id].as_str());
            self.left.extend(ids.map(ToOwned::to_owned));
        }
        let other = Other {
            object: object.clone(),
            gone,
        };
        self.others.insert(uid, other);
    }

    fn resource(&mut self, cluster: &'static str, object: &Value) {
        let (uid, going, gone) = life_of(object);
        let retains = object["spec"]["deletionPolicy"] == "Retain";
        let known = self.resources.get(&uid);
        let same_status = known.is_some_and(|known| known.object["status"] == object["status"]);
        let mut resource = Resource {
            cluster,
            object: object.clone(),
            going: known
                .and_then(|known| known.going)
                .or_else(|| going.then(|| (Instant::now(), retains))),
            gone,
            meddled: known.is_some_and(|known| known.meddled),
            misled: known.is_some_and(|known| known.misled),
            forgot: known.map_or_else(BTreeSet::new, |known| known.forgot.clone()),
            written: known
                .filter(|_| same_status)
                .map_or_else(Instant::now, |known| known.written),
            went: gone.then(Instant::now),
            kept: known.and_then(|known| known.kept),
        };
        // What is checked, or has the desired configuration, somebody has worked on with the key.
        let (ready, reason, _) = readiness(object);
        if !same_status && (ready && reason == "Ready" || reason == "Checking") {
            resource.kept = Some(self.life);
        }
        if let Some(id) = resource.source_id() {
            let taken = self
                .holders
                .get(id)
                .and_then(|holder| self.resources.get(holder));
            if taken.is_none_or(|holder| holder.gone || holder.source_id() != Some(id)) {
                self.holders.insert(id.to_owned(), uid.clone());
            }
        }
        if gone {
            self.went(cluster, &resource);
        }
        self.resources.insert(uid, resource);
    }

    /// A cluster was taken back to an earlier time. What it knew since then nobody knows any more.
    pub fn rolled_back(&mut self, cluster: &'static str, there: &[Value]) {
        let uid_of = |object: &Value| object["metadata"]["uid"].as_str().map(ToOwned::to_owned);
        let stays: BTreeSet<_> = there.iter().filter_map(uid_of).collect();
        for (uid, resource) in &mut self.resources {
            if resource.cluster != cluster || resource.gone || stays.contains(uid) {
                continue;
            }
            resource.gone = true;
            self.left
                .extend(resource.source_id().map(ToOwned::to_owned));
            self.names_left
                .insert(resource.connector_name(), wall::now());
        }
        for object in there {
            let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
            let had = self.resources.get(uid).and_then(Resource::source_id);
            let had = had.map(ToOwned::to_owned);
            if let Some(known) = self.resources.get_mut(uid) {
                known.going = None;
            }
            self.resource(cluster, object);
            if let Some(resource) = self.resources.get_mut(uid) {
                resource.misled = true;
                let lost = had.filter(|had| resource.source_id() != Some(had));
                resource.forgot.extend(lost);
            }
        }
    }

    /// The namespaces and the definition that are there, whatever was known of them before.
    pub fn places(
        &mut self,
        cluster: &'static str,
        namespaces: &[Value],
        definition: Option<&Value>,
    ) {
        self.namespaces_going.retain(|(of, _), _| *of != cluster);
        self.definition_going.remove(cluster);
        for namespace in namespaces {
            self.namespace(cluster, namespace);
        }
        if let Some(definition) = definition {
            self.definition(cluster, definition);
        }
    }

    /// Whether a connector was meant to stay, or went with its namespace and was told. The event follows when the resource has gone.
    pub fn is_left(&self, id: &str) -> bool {
        self.left.contains(id) || (self.orphans.contains(id) && self.told.contains(id))
    }

    /// A resource is gone: what was meant to stay?
    fn went(&mut self, cluster: &'static str, resource: &Resource) {
        let (namespace, _) = resource.name();
        let abandoned = self.definition_going.contains_key(cluster);
        let namespace_goes = self
            .namespaces_going
            .contains_key(&(cluster, namespace.to_owned()));
        let (namespace, name) = resource.name();
        let place = format!("{namespace}/{name}");
        let waited = resource
            .going
            .map_or(Duration::ZERO, |(since, _)| since.elapsed());
        if self.nothing_waits && waited > PROMPT {
            let seconds = waited.as_secs();
            self.untrue.insert(format!(
                "I10: {place} was let go after {seconds} s, and needs no provider"
            ));
        }
        let own = !resource.misled && !resource.meddled;
        if namespace_goes
            && own
            && resource.kept == Some(self.life)
            && !abandoned
            && !resource.retains()
            && let Some(id) = resource.source_id()
        {
            self.owed.insert(id.to_owned(), place);
        }
        if namespace_goes {
            self.orphans
                .extend(resource.source_id().map(ToOwned::to_owned));
        }
        let orphaned = namespace_goes && resource.source_id().is_none();
        if abandoned || orphaned || resource.retains() || resource.meddled {
            self.left
                .extend(resource.source_id().map(ToOwned::to_owned));
            self.names_left
                .insert(resource.connector_name(), wall::now());
        }
        if !resource.is_reserved() {
            self.left.extend(resource.forgot.iter().cloned());
        }
    }

    /// Whether this connector may stay, because it has the name of a resource whose connectors were to, and was there when it went or
    /// can have come of its last create.
    pub fn is_left_by_name(&self, connector: &StoredSource) -> bool {
        let settles = SignedDuration::try_from(SETTLE_TIME).unwrap_or_default();
        let left = self.names_left.get(&connector.name);
        left.is_some_and(|left| connector.created_at <= *left + settles)
    }

    fn definition(&mut self, cluster: &'static str, object: &Value) {
        match lack_of(object) {
            Some(field) => {
                let since = (Instant::now(), field);
                self.lacking.entry(cluster).or_insert(since);
            }
            None => {
                self.lacking.remove(cluster);
            }
        }
        if object["metadata"]["deletionTimestamp"].is_null() {
            self.definition_going.remove(cluster);
        } else {
            self.definition_going
                .entry(cluster)
                .or_insert_with(Instant::now);
        }
    }

    fn namespace(&mut self, cluster: &'static str, object: &Value) {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if object["metadata"]["deletionTimestamp"].is_null() {
            self.namespaces_going.remove(&(cluster, name));
        } else {
            self.namespaces_going
                .entry((cluster, name))
                .or_insert_with(Instant::now);
        }
    }

    /// The resources that are there.
    pub fn present(&self) -> impl Iterator<Item = (&Uid, &Resource)> {
        self.resources.iter().filter(|(_, resource)| !resource.gone)
    }

    /// How long a definition has been going in this cluster.
    pub fn definition_went(&self, cluster: &str) -> Option<Duration> {
        self.definition_going.get(cluster).map(Instant::elapsed)
    }
}

/// A field of the status that this definition lacks.
fn lack_of(definition: &Value) -> Option<String> {
    fn fields(definition: &Value) -> impl Iterator<Item = &String> {
        let versions = definition["spec"]["versions"].as_array();
        versions.into_iter().flatten().flat_map(|version| {
            let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"];
            status["properties"]
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.keys())
        })
    }
    static WHOLE: LazyLock<Value> = LazyLock::new(|| {
        serde_json::to_value(dropbox_source_definition()).expect("a definition is JSON")
    });
    let there: BTreeSet<_> = fields(definition).collect();
    fields(&WHOLE).find(|field| !there.contains(field)).cloned()
}

/// UID of an object, whether it is going, and whether nothing holds it any more.
fn life_of(object: &Value) -> (String, bool, bool) {
    let metadata = &object["metadata"];
    let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
    let going = !metadata["deletionTimestamp"].is_null();
    let finalizers = metadata["finalizers"].as_array();
    (uid, going, going && finalizers.is_none_or(Vec::is_empty))
}
