//! Those who do the steps.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};

use support::fake::unstructured::WorkspaceHandle;
use support::memory_api::Snapshot;
use tokio::time::Instant;

use super::agenda::{BUSY, Name, Setting, Step};
use super::ground::{
    ACCOUNT, Cluster, DEFINITION, Ground, NAMESPACES, OWN_KEY, TENANT_KEY, collection, path,
};
use super::ledger::Ledger;
use super::pipelines;
use super::process::{Process, Settings};
use super::weather::{Weather, hits};

/// Everybody who acts, and what they keep in mind.
pub struct Actors {
    pub ground: Ground,
    pub ledger: Ledger,
    pub setting: Setting,
    pub processes: Vec<Process>,
    pub staging: Option<Process>,
    pub version: u32,
    /// How likely it is, in percent, that the processes begin anew when the faults have ended.
    pub restarts: u8,
    /// Whether the processes have little room for passes, so that some that hang could take all of it.
    pub narrow: bool,
    installed: bool,
    at_peace: bool,
    backup: Vec<Value>,
    snapshot: Option<Snapshot>,
    forced: u32,
}

impl Actors {
    pub fn new(ground: Ground, ledger: Ledger, setting: Setting) -> Self {
        ledger.with(|books| books.setting = Some(setting));
        if setting == Setting::Confined {
            ground.cluster.revoke();
            ground.cluster.grant(Some(NAMESPACES[0]));
        }
        Self {
            ground,
            ledger,
            setting,
            processes: Vec::new(),
            staging: None,
            version: 1,
            restarts: 40,
            narrow: false,
            installed: true,
            at_peace: false,
            backup: Vec::new(),
            snapshot: None,
            forced: 0,
        }
    }

    pub fn act(&mut self, step: &Step) {
        self.ground.chronicle.tell(&format!("{step:?}"));
        match step {
            Step::Create(name, spec) => self.create(name, spec),
            Step::Edit(name, spec) => self.patch(name, json!({ "spec": spec })),
            Step::Delete(Name(namespace, name)) => {
                let _ = self.cluster().kubernetes.delete(&path(namespace, name));
            }
            Step::DeleteInForeground(Name(namespace, name)) => {
                let _ = self
                    .cluster()
                    .kubernetes
                    .delete_in_foreground(&path(namespace, name));
            }
            Step::RotateCredentials => {
                self.version += 1;
                self.put_secrets();
            }
            Step::LoseSecret(namespace, secret) => {
                let path = format!("/api/v1/namespaces/{namespace}/secrets/{secret}");
                let _ = self.cluster().kubernetes.delete(&path);
            }
            Step::PutSecrets => self.put_secrets(),
            Step::Force(name) => {
                self.forced += 1;
                let at =
                    json!({ "connectors.unstructured.io/reconcile-at": self.forced.to_string() });
                self.patch(name, json!({ "metadata": { "annotations": at } }));
            }
            Step::DropFinalizer(name) => {
                self.meddle(name);
                self.patch(name, json!({ "metadata": { "finalizers": null } }));
            }
            Step::BackUp => self.backup = self.cluster().resources(),
            Step::RestoreObjects(namespace) => self.restore_objects(namespace),
            Step::RestoreStatuses(namespace) => self.restore_statuses(namespace),
            Step::TouchStatus(name) => self.touch_status(name),
            Step::CopyToStaging(name) => self.copy_to_staging(name),
            Step::Insert(_) | Step::ConsoleEdit | Step::ConsoleDelete => self.at_the_console(step),
            Step::Kill => self.processes.clear(),
            Step::Begin => self.begin(),
            Step::RestartApiServer => {
                self.cluster().kubernetes.restart();
                self.ledger.with(|books| books.rough = Some(Instant::now()));
            }
            Step::Snapshot => self.snapshot = Some(self.cluster().kubernetes.snapshot()),
            Step::RollBack => self.roll_back(),
            Step::ForgetHistory => {
                self.cluster().kubernetes.compact();
                self.ledger.with(|books| books.rough = Some(Instant::now()));
            }
            Step::Change(weather) => self.change(*weather),
            Step::OlderDefinition(field) => self.cluster().define_without(field),
            Step::UpgradeDefinition => self.cluster().upgrade_definition(),
            Step::ClockJump(seconds) => self.ground.skew.set(SignedDuration::from_secs(*seconds)),
            Step::StopUnstructured => self.ground.api.stop(),
            Step::StartUnstructured => self.ground.api.restart(),
            Step::DeleteNamespace(namespace) => {
                let _ = self
                    .cluster()
                    .kubernetes
                    .delete(&format!("/api/v1/namespaces/{namespace}"));
            }
            Step::MakeNamespace(namespace) => self.make_namespace(namespace),
            Step::Uninstall { definition_too } => self.uninstall(*definition_too),
            Step::Reinstall => self.reinstall(),
            Step::Pipeline(deed) => pipelines::act(&self.ground, deed),
        }
    }

    /// The faults end, and whoever took something away gives it back.
    pub fn make_peace(&mut self) {
        self.change(Weather::default());
        self.ground.api.restart();
        for namespace in NAMESPACES {
            self.make_namespace(namespace);
        }
        self.put_secrets();
        self.at_peace = true;
        self.cluster().upgrade_definition();
        // A restart mends what a process has wrong in mind, so the process that lived through it all often has to go on.
        if !self.installed || hits(self.restarts) {
            return self.reinstall();
        }
        if self.setting == Setting::Rivals {
            self.processes.truncate(1);
        }
        self.grant();
        self.define_again();
        self.begin();
    }

    /// What was still going when peace was made can have gone since. Whether anything was brought back, or has to be.
    pub fn bring_back(&mut self) -> bool {
        let kubernetes = self.cluster().kubernetes.clone();
        let homes = NAMESPACES.map(|namespace| format!("/api/v1/namespaces/{namespace}"));
        let all_there = || {
            let mut paths = homes.iter().map(String::as_str).chain([DEFINITION]);
            paths.all(|path| kubernetes.is_there(path))
        };
        if all_there() {
            return kubernetes.waits_to_go();
        }
        for namespace in NAMESPACES {
            self.make_namespace(namespace);
        }
        self.define_again();
        true
    }

    fn change(&self, weather: Weather) {
        let earlier = self.ground.sky.now();
        if earlier.kubernetes > 0 || weather.kubernetes > 0 {
            // Until it ends nobody can say how long this lasts.
            let lasts = if weather.kubernetes > 0 {
                BUSY
            } else {
                Duration::ZERO
            };
            self.ledger
                .with(|books| books.rough = Some(Instant::now() + lasts));
        }
        self.ground.sky.set(weather);
    }

    fn cluster(&self) -> &Cluster {
        &self.ground.cluster
    }

    pub fn begin(&mut self) {
        if !self.processes.is_empty() || !self.installed {
            return;
        }
        let settings = |name, namespaces: &[&str], selector: Option<&str>| Settings {
            name,
            account: ACCOUNT,
            key: OWN_KEY,
            namespaces: namespaces.iter().map(|&n| n.to_owned()).collect(),
            label_selector: selector.map(ToOwned::to_owned),
            passes: if self.narrow { (4, 2) } else { (64, 16) },
        };
        let all = match self.setting {
            Setting::Whole | Setting::Staging => vec![settings("operator", &[], None)],
            Setting::Confined => vec![settings("operator", &NAMESPACES[..1], None)],
            Setting::Each => vec![settings("operator", &NAMESPACES, None)],
            Setting::Shards => vec![
                settings("shard 0", &[], Some("shard=0")),
                settings("shard 1", &[], Some("shard=1")),
            ],
            Setting::Rivals if self.at_peace => vec![settings("operator", &[], None)],
            Setting::Rivals => vec![
                settings("operator", &[], None),
                Settings {
                    key: TENANT_KEY,
                    ..settings("rival", &[], None)
                },
            ],
        };
        self.ledger.with(|books| books.life += 1);
        let home = format!("/api/v1/namespaces/{}", NAMESPACES[0]);
        if self.setting == Setting::Confined && self.cluster().kubernetes.is_going(&home) {
            self.ledger.with(|books| books.blind = true);
        }
        for settings in &all {
            let process = Process::begin(&self.ground, &self.ground.cluster, settings);
            self.processes.push(process);
        }
        if self.setting == Setting::Staging && self.staging.is_none() {
            let settings = settings("staging", &[], None);
            self.staging = Some(Process::begin(
                &self.ground,
                &self.ground.staging,
                &settings,
            ));
        }
    }

    fn put_secrets(&self) {
        for cluster in [&self.ground.cluster, &self.ground.staging] {
            for namespace in NAMESPACES {
                cluster.put_credentials(namespace, self.version);
                cluster.put_key(namespace);
            }
        }
    }

    // === Users ===

    fn create(&self, Name(namespace, name): &Name, spec: &Value) {
        let mut spec = spec.clone();
        if spec["existingSourceId"] == "" {
            let there = self.ground.own.sources();
            match there.get(fastrand::usize(..there.len().max(1))) {
                Some(source) => spec["existingSourceId"] = json!(source.id),
                None => spec["existingSourceId"] = json!(support::wall::uuid().to_string()),
            }
        } else if let Some(named) = spec["existingSourceId"].as_str() {
            let mut there = [&self.ground.own, &self.ground.tenant]
                .into_iter()
                .flat_map(WorkspaceHandle::sources);
            if let Some(source) = there.find(|source| source.name == named) {
                spec["existingSourceId"] = json!(source.id);
            } else {
                return;
            }
        }
        // In a seam, those who want the same are in different shards.
        let shard = match *name {
            "holder" => "0",
            "thief" => "1",
            _ if hits(50) => "0",
            _ => "1",
        };
        let resource = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "DropboxSource",
            "metadata": { "name": name, "labels": { "shard": shard } },
            "spec": spec,
        });
        let _ = self
            .cluster()
            .kubernetes
            .create(&collection(namespace), resource);
    }

    fn patch(&self, Name(namespace, name): &Name, change: Value) {
        let _ = self
            .cluster()
            .kubernetes
            .patch(&path(namespace, name), change);
    }

    fn meddle(&self, Name(namespace, name): &Name) {
        let uid = self
            .cluster()
            .resource(namespace, name)
            .map(|r| r["metadata"]["uid"].clone());
        self.ledger.with(|books| {
            let resource = uid.and_then(|uid| books.resources.get_mut(uid.as_str()?));
            if let Some(resource) = resource {
                resource.meddled = true;
            }
        });
    }

    // === A backup tool ===

    fn backed_up(&self, namespace: &str) -> Vec<Value> {
        let mut objects = self.backup.clone();
        objects.retain(|object| object["metadata"]["namespace"] == namespace);
        objects
    }

    /// Objects that are missing come back, without what only a server gives.
    fn restore_objects(&self, namespace: &str) {
        for object in self.backed_up(namespace) {
            let restored = json!({
                "apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"],
                "metadata": { "name": object["metadata"]["name"], "labels": object["metadata"]["labels"] },
            });
            let _ = self
                .cluster()
                .kubernetes
                .create(&collection(namespace), restored);
        }
    }

    /// Their statuses are put over whatever they have by then, in the tool's own name.
    fn restore_statuses(&self, namespace: &str) {
        for object in self.backed_up(namespace) {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let Some(mut current) = self.cluster().resource(namespace, name) else {
                continue;
            };
            let had = current["status"]["sourceId"]
                .as_str()
                .map(ToOwned::to_owned);
            current["status"] = object["status"].clone();
            let uid = current["metadata"]["uid"].clone();
            let now = current["status"]["sourceId"].as_str();
            if now != had.as_deref() {
                self.ledger.with(|books| {
                    let resource = uid.as_str().and_then(|uid| books.resources.get_mut(uid));
                    if let Some(resource) = resource {
                        resource.misled = true;
                        resource.forgot.extend(had);
                    }
                });
            }
            let path = format!("{}/status", path(namespace, name));
            self.ledger.with(|books| books.by_hand = true);
            let _ = self.cluster().kubernetes.replace(&path, "velero", current);
            self.ledger.with(|books| books.by_hand = false);
        }
    }

    /// The whole cluster is restored from a snapshot of its store, the definition and every right included.
    fn roll_back(&self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        let cluster = self.cluster();
        cluster.kubernetes.roll_back(snapshot);
        let namespaces = cluster.kubernetes.list("/api/v1/namespaces");
        let definition = cluster.kubernetes.get(DEFINITION);
        self.ledger.with(|books| {
            books.rolled_back(cluster.name, &cluster.resources());
            books.places(cluster.name, &namespaces, definition.as_ref());
        });
    }

    /// Somebody opens the status in an editor and saves it with another text in it.
    fn touch_status(&self, Name(namespace, name): &Name) {
        let Some(mut current) = self.cluster().resource(namespace, name) else {
            return;
        };
        for condition in current["status"]["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            condition["message"] = json!("edited by hand");
        }
        let path = format!("{}/status", path(namespace, name));
        let _ = self
            .cluster()
            .kubernetes
            .replace(&path, "kubectl-edit", current);
    }

    fn copy_to_staging(&self, Name(namespace, name): &Name) {
        let Some(object) = self.cluster().resource(namespace, name) else {
            return;
        };
        let staging = &self.ground.staging.kubernetes;
        let copy = json!({
            "apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"],
            "metadata": { "name": name },
        });
        let Ok(mut made) = staging.create(&collection(namespace), copy) else {
            return;
        };
        let uid = made["metadata"]["uid"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        made["status"] = object["status"].clone();
        let _ = staging.replace(&format!("{}/status", path(namespace, name)), "velero", made);
        self.ledger.with(|books| {
            if let Some(resource) = books.resources.get_mut(&uid) {
                resource.meddled = true;
            }
        });
    }

    // === The console ===

    fn at_the_console(&self, step: &Step) {
        let workspace = if hits(70) {
            &self.ground.own
        } else {
            &self.ground.tenant
        };
        let there = workspace.sources();
        let one = there.get(fastrand::usize(..there.len().max(1)));
        match (step, one) {
            (Step::Insert(name), _) => {
                let config = json!({
                    "remote_url": "dropbox://elsewhere", "recursive": true,
                    "app_key": "theirs", "app_secret": "theirs", "refresh_token": "theirs",
                });
                let id = workspace.insert("dropbox", name, config);
                self.ledger.with(|books| books.foreign.insert(id));
            }
            (Step::ConsoleEdit, Some(source)) => workspace.edit(&source.id, |source| {
                source
                    .config
                    .insert("remote_url".to_owned(), json!("dropbox://edited"));
            }),
            (Step::ConsoleDelete, Some(source)) => {
                workspace.remove(&source.id);
            }
            _ => {}
        }
    }

    // === Those who run the cluster ===

    fn make_namespace(&self, namespace: &'static str) {
        let cluster = self.cluster();
        if !cluster
            .kubernetes
            .is_there(&format!("/api/v1/namespaces/{namespace}"))
        {
            cluster.furnish(namespace);
            cluster.put_credentials(namespace, self.version);
            if self.setting == Setting::Confined && namespace == NAMESPACES[0] && self.installed {
                self.grant();
            }
        }
    }

    fn grant(&self) {
        self.cluster().revoke();
        for plural in ["rolebindings", "roles"] {
            let home = format!(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/{}",
                NAMESPACES[0]
            );
            let _ = self
                .cluster()
                .kubernetes
                .delete(&format!("{home}/{plural}/operator"));
        }
        let home = (self.setting == Setting::Confined).then_some(NAMESPACES[0]);
        self.cluster().grant(home);
    }

    /// As Helm does it: the rights first, then the definition; the pods live on for a moment.
    fn uninstall(&mut self, definition_too: bool) {
        self.installed = false;
        self.cluster().revoke();
        if definition_too {
            let _ = self.cluster().kubernetes.delete(DEFINITION);
        }
    }

    fn reinstall(&mut self) {
        self.installed = true;
        self.processes.clear();
        self.grant();
        self.define_again();
        self.begin();
    }

    /// A definition that is gone comes back with the next installation.
    pub fn define_again(&self) {
        if self.installed && !self.cluster().kubernetes.is_there(DEFINITION) {
            self.cluster().define();
        }
    }
}
