//! Where a simulation takes place: clusters, the two APIs, and what lies between them and the processes.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::{Value, json};
use support::fake::unstructured::{CheckScript, GivenKey, Route, TakenKey, WorkspaceHandle};
use support::fake::{Answer, FakeDropbox, FakeUnstructured, Fault};
use support::memory_api::{Caller, MemoryApi};
use tokio::time::Instant;
use unstructured_operator::crd;
use unstructured_operator::crd::{definitions, dropbox_source_definition as definition};

use super::chronicle::Chronicle;
use super::weather::{Sky, hits};

pub const SYNC_INTERVAL: Duration = Duration::from_mins(10);
pub const JOB_INTERVAL: Duration = Duration::from_secs(15);
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
pub const SETTLE_TIME: Duration = Duration::from_mins(1);

/// Opens the workspace of the operator itself.
pub const OWN_KEY: &str = "key-of-the-operator-4f1c9a7be2d0";
/// Opens the workspace that some resources name.
pub const TENANT_KEY: &str = "key-of-the-tenant-93b1d75c8a02";

/// Opens Pinecone, which nobody asks here.
pub const PINECONE_KEY: &str = "key-of-the-index-6c20b94ef1a7";

pub const NAMESPACES: [&str; 2] = ["legal", "sales"];
pub const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dropboxsources.connectors.unstructured.io";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// One cluster.
pub struct Cluster {
    /// As `--cluster-name` says it.
    pub name: &'static str,
    pub kubernetes: MemoryApi,
}

/// Everything that outlives a process.
pub struct Ground {
    pub cluster: Cluster,
    pub staging: Cluster,
    pub api: Arc<FakeUnstructured>,
    pub own: WorkspaceHandle,
    pub tenant: WorkspaceHandle,
    pub dropbox: Arc<FakeDropbox>,
    pub sky: Sky,
    pub chronicle: Chronicle,
    /// How far the operator's wall clock is off.
    pub skew: Rc<Cell<SignedDuration>>,
}

impl Ground {
    /// Inside a runtime whose time stands still: both wall clocks follow it from now on.
    pub fn prepare() -> Self {
        let skew = Rc::new(Cell::new(SignedDuration::ZERO));
        govern_clocks(&skew);
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let api = Arc::new(FakeUnstructured::carried(address(1)));
        let dropbox = Arc::new(FakeDropbox::carried(address(2)));
        dropbox.accept_anything();
        let (own, tenant) = (api.workspace(OWN_KEY), api.workspace(TENANT_KEY));
        for workspace in [&own, &tenant] {
            workspace.set_checks(|_| CheckScript::success_after(1));
        }
        let sky = Sky::default();
        let weather = sky.clone();
        // For good, not as a fault that ends: a service may answer so.
        let terse = hits(15);
        api.inject_by(move |route, _| {
            let fault = weather.now().fault(route);
            fault.or_else(|| (terse && route == Some(Route::Update)).then(taken_without_a_word))
        });
        let weather = sky.clone();
        dropbox.inject_by(move |_, _| weather.now().dropbox_hangs.then(Fault::hang));
        let ground = Self {
            cluster: Cluster::install("test"),
            staging: Cluster::install("staging"),
            api,
            own,
            tenant,
            dropbox,
            sky,
            chronicle: Chronicle::begin(),
            skew,
        };
        for cluster in [&ground.cluster, &ground.staging] {
            let weather = ground.sky.clone();
            cluster
                .kubernetes
                .delay_watches(move || weather.now().lag());
            for namespace in NAMESPACES {
                cluster.furnish(namespace);
            }
        }
        ground
    }

    /// What the service makes of keys. The seed itself says it: nothing else that is drawn from it changes.
    pub fn choose_keys(&self, seed: u64) {
        for workspace in [&self.own, &self.tenant] {
            workspace.configure_keys(|keys| match seed % 5 {
                1 => keys.given = GivenKey::Ignored,
                2 => keys.given = GivenKey::Refused(422),
                3 => keys.taken = TakenKey::Refused(409),
                _ => {}
            });
        }
    }
}

/// An update is carried out, and the answer does not show it.
fn taken_without_a_word() -> Fault {
    Fault::answer(Answer::json(202, &json!({}))).committed()
}

/// The service account of the operator.
pub const ACCOUNT: Caller = Caller::Account("operator", "operator");

impl Cluster {
    fn install(name: &'static str) -> Self {
        let cluster = Self {
            name,
            kubernetes: MemoryApi::default(),
        };
        cluster.kubernetes.create_namespace("operator");
        cluster.define();
        cluster.grant(None);
        cluster.grant_events();
        cluster
    }

    /// Installs the definition of this release.
    pub fn define(&self) {
        define(&self.kubernetes);
    }

    /// Installs the definition of an earlier release, whose status lacks this field.
    pub fn define_without(&self, field: &str) {
        let mut object = serde_json::to_value(definition()).expect("a definition is JSON");
        for version in object["spec"]["versions"].as_array_mut().expect("a list") {
            let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"];
            let fields = status["properties"].as_object_mut().expect("fields");
            fields.remove(field);
        }
        let _ = self.kubernetes.replace(DEFINITION, "helm", object);
    }

    /// Puts the definition of this release in the place of whatever is installed.
    pub fn upgrade_definition(&self) {
        let object = serde_json::to_value(definition()).expect("a definition is JSON");
        let _ = self.kubernetes.replace(DEFINITION, "helm", object);
    }

    /// A namespace with the Secrets that its resources name.
    pub fn furnish(&self, namespace: &str) {
        self.kubernetes.create_namespace(namespace);
        self.put_credentials(namespace, 1);
        self.put_key(namespace);
        self.put_secret(
            namespace,
            "pinecone",
            &[("api_key", PINECONE_KEY.to_owned())],
        );
    }

    pub fn put_credentials(&self, namespace: &str, version: u32) {
        let entries = credentials(version).map(|(name, value)| (name, value));
        self.put_secret(namespace, "dropbox", &entries);
    }

    pub fn put_key(&self, namespace: &str) {
        self.put_secret(
            namespace,
            "workspace",
            &[("api_key", TENANT_KEY.to_owned())],
        );
    }

    fn put_secret(&self, namespace: &str, name: &str, entries: &[(&str, String)]) {
        use base64::Engine;
        let encode = |text: &String| base64::engine::general_purpose::STANDARD.encode(text);
        let data: Value = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(encode(value))))
            .collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": data,
        });
        let collection = format!("/api/v1/namespaces/{namespace}/secrets");
        // A namespace that is being deleted takes none.
        let _ = self
            .kubernetes
            .patch(&format!("{collection}/{name}"), secret.clone())
            .or_else(|_| self.kubernetes.create(&collection, secret));
    }

    /// The rights of the operator: as the chart gives them, cluster-wide or for one namespace alone.
    pub fn grant(&self, namespace: Option<&str>) {
        let account =
            json!([{ "kind": "ServiceAccount", "name": "operator", "namespace": "operator" }]);
        let definition = json!({
            "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get"],
        });
        let bind = |collection: &str, kind: &str, name: &str, rules: Value| {
            let create = |plural: String, object: Value| {
                // A namespace that is being deleted takes none.
                let _ = self
                    .kubernetes
                    .create(&format!("{collection}/{plural}"), object);
            };
            let lower = kind.to_lowercase();
            create(
                format!("{lower}s"),
                json!({ "metadata": { "name": name }, "rules": rules }),
            );
            create(
                format!("{lower}bindings"),
                json!({
                    "metadata": { "name": name }, "subjects": account.clone(),
                    "roleRef": { "kind": kind, "name": name },
                }),
            );
        };
        let Some(namespace) = namespace else {
            let mut all = rules();
            all.push(definition);
            return bind(RBAC, "ClusterRole", "operator", json!(all));
        };
        let mut beyond = rules_beyond();
        beyond.push(definition);
        bind(RBAC, "ClusterRole", "operator-definition", json!(beyond));
        bind(
            &format!("{RBAC}/namespaces/{namespace}"),
            "Role",
            "operator",
            json!(rules()),
        );
    }

    /// In its own namespace the operator may write down what it can write nowhere else.
    fn grant_events(&self) {
        let home = format!("{RBAC}/namespaces/operator");
        let events = rule("events.k8s.io", &["events"], &["create", "patch"]);
        let role = json!({ "metadata": { "name": "events" }, "rules": [events] });
        let binding = json!({
            "metadata": { "name": "events" },
            "subjects": [{ "kind": "ServiceAccount", "name": "operator", "namespace": "operator" }],
            "roleRef": { "kind": "Role", "name": "events" },
        });
        for (plural, object) in [("roles", role), ("rolebindings", binding)] {
            let made = self.kubernetes.create(&format!("{home}/{plural}"), object);
            made.expect("a new role");
        }
    }

    /// Takes the cluster-wide rights away, as `helm uninstall` does before it deletes the definition.
    pub fn revoke(&self) {
        for plural in ["clusterrolebindings", "clusterroles"] {
            for name in ["operator", "operator-definition"] {
                let _ = self.kubernetes.delete(&format!("{RBAC}/{plural}/{name}"));
            }
        }
    }

    pub fn resources(&self) -> Vec<Value> {
        self.kubernetes
            .list("/apis/connectors.unstructured.io/v1alpha1/dropboxsources")
    }

    pub fn resource(&self, namespace: &str, name: &str) -> Option<Value> {
        self.kubernetes.get(&path(namespace, name))
    }
}

fn rule(group: &str, resources: &[impl Serialize], verbs: &[&str]) -> Value {
    json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
}

const GROUP: &str = "connectors.unstructured.io";

fn statuses() -> Vec<String> {
    let all = crd::ALL.iter();
    all.map(|kind| format!("{}/status", kind.plural)).collect()
}

/// What the chart allows in each namespace that the operator works in.
fn rules() -> Vec<Value> {
    let verbs = ["get", "list", "watch", "patch"];
    let all = crd::ALL.each_ref().map(|kind| kind.plural);
    vec![
        rule(GROUP, &all, &verbs),
        rule(GROUP, &statuses(), &["update"]),
        rule(GROUP, &["unstructuredjobs"], &["create", "delete"]),
        rule("", &["secrets"], &["get", "list", "watch"]),
        rule("", &["namespaces"], &["get"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// What it allows an operator beyond the namespaces that it is confined to: their Roles go first when they are deleted.
fn rules_beyond() -> Vec<Value> {
    vec![
        rule("", &["namespaces"], &["get"]),
        rule(
            GROUP,
            &crd::ALL.each_ref().map(|kind| kind.plural),
            &["get", "list", "watch", "patch"],
        ),
        rule(GROUP, &statuses(), &["update"]),
    ]
}

/// Installs the definitions of this release. Only that of the first kind ever goes.
pub fn define(kubernetes: &MemoryApi) {
    for definition in definitions() {
        let path = format!("{DEFINITIONS}/{}", definition.name_any());
        if !kubernetes.is_there(&path) {
            let object = serde_json::to_value(definition).expect("a definition is JSON");
            kubernetes
                .create(DEFINITIONS, object)
                .expect("a new definition");
        }
    }
}

/// The values of the credentials at this version of their Secret.
pub fn credentials(version: u32) -> [(&'static str, String); 3] {
    ["app_key", "app_secret", "refresh_token"].map(|name| (name, format!("{name}-{version}-value")))
}

pub fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(namespace))
}

pub fn collection(namespace: &str) -> String {
    format!("/apis/connectors.unstructured.io/v1alpha1/namespaces/{namespace}/dropboxsources")
}

/// Both wall clocks follow tokio's clock; the operator's can be off. No two looks at it see the same nanosecond.
fn govern_clocks(skew: &Rc<Cell<SignedDuration>>) {
    let (start, looks) = (Instant::now(), Rc::new(Cell::new(0_i64)));
    let began: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a moment");
    let now = move || {
        looks.set(looks.get() + 1);
        let elapsed = SignedDuration::try_from(start.elapsed()).expect("a simulation is short");
        began + elapsed + SignedDuration::from_nanos(looks.get())
    };
    support::wall::govern(now.clone());
    let skew = Rc::clone(skew);
    unstructured_operator::clock::govern(move || now() + skew.get());
}
