//! The unmodified controller on a Kubernetes API in memory, under a clock that stands still unless a test lets it go on. It can be
//! ended before or after any of its effects, and begun again with nothing remembered.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};
use support::fake::unstructured::{CheckScript, Route, StoredSource, WorkspaceHandle};
use support::fake::{FakeDropbox, FakeUnstructured, Fault, Recorded};
use support::memory_api::{Fate, MemoryApi};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance};
use tokio_util::sync::CancellationToken;
use unstructured_operator::controller::connector::naming::ClusterName;
use unstructured_operator::controller::{self, Parts, Policy};
use unstructured_operator::crd::definitions;
use unstructured_operator::dropbox::{BaseUrl, DropboxClient};
use unstructured_operator::hosts::HostPolicy;
use unstructured_operator::kinds::Providers;
use unstructured_operator::own_key::OwnKey;
use unstructured_operator::runtime::events::Recorder;
use unstructured_operator::runtime::http::{Readiness, Vitals};
use unstructured_operator::runtime::leader::Leadership;
use unstructured_operator::runtime::metrics::Metrics;
use unstructured_operator::unstructured::{ApiKey, Endpoint, Options};

const KEY: &str = "operator-key-4f1c9a7be2d05836";
const SOURCES: &str = "/apis/connectors.unstructured.io/v1alpha1/namespaces/legal/dropboxsources";
const WORKFLOWS: &str =
    "/apis/connectors.unstructured.io/v1alpha1/namespaces/legal/unstructuredworkflows";
const JOBS: &str = "/apis/connectors.unstructured.io/v1alpha1/namespaces/legal/unstructuredjobs";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SECRETS: &str = "/api/v1/namespaces/legal/secrets";

pub const SYNC_INTERVAL: Duration = Duration::from_mins(10);
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
pub const SETTLE_TIME: Duration = Duration::from_mins(1);

/// The clock goes on in steps that double, up to this, for as long as nothing happens.
const SHORTEST_STEP: Duration = Duration::from_millis(250);
const LONGEST_STEP: Duration = Duration::from_secs(20);

/// Real time in which a request on loopback gets somewhere.
const MOMENT: Duration = Duration::from_micros(300);
/// Moments after which a request without an answer is one that hangs.
const HANGING: u32 = 200;

type Faults = Box<dyn FnMut(Option<Route>, &Recorded) -> Option<Fault> + Send>;

/// Everything that outlives the controller.
pub struct World {
    pub kubernetes: MemoryApi,
    pub api: FakeUnstructured,
    pub workspace: WorkspaceHandle,
    pub fuse: Fuse,
    dropbox: Option<FakeDropbox>,
    dropbox_hangs: Arc<AtomicBool>,
    faults: Arc<Mutex<Option<Faults>>>,
    /// Requests to either API that came, and that ended.
    came: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
}

impl World {
    pub fn new() -> Self {
        let api = FakeUnstructured::start();
        let workspace = api.workspace(KEY);
        workspace.set_checks(|_| CheckScript::success_after(1));
        let world = Self {
            kubernetes: cluster(),
            workspace,
            api,
            dropbox: None,
            dropbox_hangs: Arc::default(),
            fuse: Fuse::default(),
            faults: Arc::default(),
            came: Arc::default(),
            ended: Arc::default(),
        };
        let ended = Arc::clone(&world.ended);
        world.api.on_answer(move |_| {
            ended.fetch_add(1, Ordering::SeqCst);
        });
        let (fuse, faults) = (world.fuse.clone(), Arc::clone(&world.faults));
        let (came, ended) = (Arc::clone(&world.came), Arc::clone(&world.ended));
        world.api.inject_by(move |route, request| {
            came.fetch_add(1, Ordering::SeqCst);
            let effect = format!("{} {:?}", request.method, route);
            let spark = if request.method == "GET" {
                fuse.look()
            } else {
                fuse.burn(effect)
            };
            let fault = match spark {
                Spark::None => faults
                    .lock()
                    .unwrap()
                    .as_mut()
                    .and_then(|choose| choose(route, request)),
                Spark::Before => Some(Fault::hang()),
                Spark::After => Some(Fault::hang().committed()),
            };
            if spark != Spark::None {
                ended.fetch_add(1, Ordering::SeqCst);
            }
            fault
        });
        let fuse = world.fuse.clone();
        world.kubernetes.judge_writes(move |method, path| {
            // Events are lost in a crash, and nothing rests on them.
            let spark = if path.contains("/events") {
                fuse.look()
            } else {
                let name = path.rsplit('/').next().unwrap_or_default();
                fuse.burn(format!("{method} {name}"))
            };
            match spark {
                Spark::None => Fate::Answered,
                Spark::Before => Fate::Swallowed,
                Spark::After => Fate::Unanswered,
            }
        });
        world
    }

    /// One whose operator asks Dropbox, which accepts any credentials.
    pub fn with_dropbox() -> Self {
        let mut world = Self::new();
        let dropbox = FakeDropbox::start();
        dropbox.accept_anything();
        let came = Arc::clone(&world.came);
        let hangs = Arc::clone(&world.dropbox_hangs);
        dropbox.inject_by(move |_, _| {
            came.fetch_add(1, Ordering::SeqCst);
            hangs.load(Ordering::SeqCst).then(Fault::hang)
        });
        let ended = Arc::clone(&world.ended);
        dropbox.on_answer(move |_| {
            ended.fetch_add(1, Ordering::SeqCst);
        });
        world.dropbox = Some(dropbox);
        world
    }

    /// The Dropbox of [`World::with_dropbox`].
    pub fn dropbox(&self) -> &FakeDropbox {
        self.dropbox.as_ref().expect("a world with Dropbox")
    }

    /// Whether Dropbox takes requests and never answers.
    pub fn hang_dropbox(&self, hangs: bool) {
        self.dropbox_hangs.store(hangs, Ordering::SeqCst);
    }

    /// Lets `choose` decide what goes wrong with each request to Unstructured.
    pub fn fail_by(
        &self,
        choose: impl FnMut(Option<Route>, &Recorded) -> Option<Fault> + Send + 'static,
    ) {
        *self.faults.lock().unwrap() = Some(Box::new(choose));
    }

    pub fn no_more_faults(&self) {
        *self.faults.lock().unwrap() = None;
    }

    /// The Secret that all resources use, with values that tell its version.
    pub fn put_secret(&self, version: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "dropbox" },
            "data": {
                "app_key": base64(&format!("app-key-{version}")),
                "app_secret": base64(&format!("app-secret-{version}")),
                "refresh_token": base64(&format!("refresh-token-{version}")),
            },
        });
        let known = format!("{SECRETS}/dropbox");
        if self.kubernetes.patch(&known, secret.clone()).is_err() {
            self.kubernetes
                .create(SECRETS, secret)
                .expect("a new Secret");
        }
    }

    pub fn create(&self, name: &str) {
        self.create_with(name, &json!({}));
    }

    /// Creates a resource whose spec is `spec` over a sensible default.
    pub fn create_with(&self, name: &str, spec: &Value) {
        let mut complete = json!({
            "remoteUrl": "dropbox://data",
            "recursive": false,
            "credentials": { "secretRef": { "name": "dropbox" } },
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            complete[field] = value.clone();
        }
        let resource = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "DropboxSource",
            "metadata": { "name": name },
            "spec": complete,
        });
        self.kubernetes
            .create(SOURCES, resource)
            .expect("a new resource");
    }

    /// Creates a workflow from a resource's connector to a destination of the workspace.
    pub fn create_workflow(&self, name: &str, source: &str, destination: &str) {
        let workflow = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "UnstructuredWorkflow",
            "metadata": { "name": name },
            "spec": {
                "sourceRef": { "kind": "DropboxSource", "name": source },
                "destinationId": destination,
                "nodes": [{ "name": "Partitioner", "type": "partition", "subtype": "vlm" }],
            },
        });
        self.kubernetes
            .create(WORKFLOWS, workflow)
            .expect("a new workflow");
    }

    pub fn workflow(&self, name: &str) -> Option<Value> {
        self.kubernetes.get(&format!("{WORKFLOWS}/{name}"))
    }

    pub fn edit_workflow(&self, name: &str, spec: &Value) {
        self.kubernetes
            .patch(&format!("{WORKFLOWS}/{name}"), json!({ "spec": spec }))
            .expect("a workflow");
    }

    /// Asks for a run of a workflow.
    pub fn create_job(&self, name: &str, workflow: &str) {
        let job = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "UnstructuredJob",
            "metadata": { "name": name },
            "spec": { "workflowRef": { "name": workflow } },
        });
        self.kubernetes.create(JOBS, job).expect("a new job");
    }

    /// The reasons of the events about a resource, in the order in which they are listed.
    pub fn told(&self, name: &str) -> Vec<String> {
        let events = self
            .kubernetes
            .list("/apis/events.k8s.io/v1/namespaces/legal/events");
        let about = events
            .iter()
            .filter(|event| event["regarding"]["name"] == name);
        about
            .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub fn edit(&self, name: &str, spec: &Value) {
        let path = format!("{SOURCES}/{name}");
        self.kubernetes
            .patch(&path, json!({ "spec": spec }))
            .expect("a resource");
    }

    pub fn annotate(&self, name: &str, annotation: &str, value: &str) {
        let path = format!("{SOURCES}/{name}");
        let annotations = json!({ "metadata": { "annotations": { annotation: value } } });
        self.kubernetes
            .patch(&path, annotations)
            .expect("a resource");
    }

    /// Writes to the status as somebody else.
    pub fn put_status(&self, name: &str, status: &Value) {
        let path = format!("{SOURCES}/{name}/status");
        self.kubernetes
            .patch(&path, json!({ "status": status }))
            .expect("a resource");
    }

    pub fn delete(&self, name: &str) {
        self.kubernetes
            .delete(&format!("{SOURCES}/{name}"))
            .expect("a resource");
    }

    pub fn resource(&self, name: &str) -> Option<Value> {
        self.kubernetes.get(&format!("{SOURCES}/{name}"))
    }

    /// The connectors that are there on behalf of this resource, under its default name or a chosen one.
    pub fn connectors(&self, name: &str) -> Vec<StoredSource> {
        let names = [default_name(name), chosen_name(name)];
        let mut sources = self.workspace.sources();
        sources.retain(|source| names.contains(&source.name));
        sources
    }

    /// What is not as it should be with a resource: its one connector has what spec and Secret say, the status names it, and
    /// Ready says so.
    pub fn wrong(&self, name: &str, secret: &str) -> Option<String> {
        let Some(resource) = self.resource(name) else {
            return Some("there is no resource".to_owned());
        };
        let connectors = self.connectors(name);
        let [connector] = connectors.as_slice() else {
            return Some(format!("{} connectors", connectors.len()));
        };
        let (spec, status) = (&resource["spec"], &resource["status"]);
        let config = json!({
            "remote_url": spec["remoteUrl"],
            "recursive": spec["recursive"],
            "app_key": format!("app-key-{secret}"),
            "app_secret": format!("app-secret-{secret}"),
            "refresh_token": format!("refresh-token-{secret}"),
        });
        let conditions = status["conditions"].as_array();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|c| c["type"] == "Ready");
        if Value::Object(connector.config.clone()) != config {
            Some(format!("the connector has {:?}", connector.config))
        } else if status["sourceId"] != connector.id.as_str() {
            Some(format!("the status names {}", status["sourceId"]))
        } else if status["observedGeneration"] != resource["metadata"]["generation"] {
            Some("the status is of another generation".to_owned())
        } else if ready.is_none_or(|ready| ready["status"] != "True") {
            Some(format!("it is not ready: {ready:?}"))
        } else {
            None
        }
    }

    fn in_flight(&self) -> (u64, u64) {
        (
            self.came.load(Ordering::SeqCst),
            self.ended.load(Ordering::SeqCst),
        )
    }
}

/// A cluster with the definition installed, and the namespace of all resources.
fn cluster() -> MemoryApi {
    let kubernetes = MemoryApi::default();
    kubernetes.create_namespace("legal");
    for definition in definitions() {
        let object = serde_json::to_value(definition).expect("a definition is JSON");
        kubernetes
            .create(DEFINITIONS, object)
            .expect("a new definition");
    }
    kubernetes
}

/// The default name of a resource's connector.
pub fn default_name(resource: &str) -> String {
    format!("legal.{resource}.test")
}

/// The name that a test chooses for a resource's connector.
pub fn chosen_name(resource: &str) -> String {
    format!("chosen-{resource}")
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// When a crash comes: right before an effect is carried out, or right after, before anybody hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spark {
    None,
    Before,
    After,
}

/// Counts the effects on both APIs in one sequence, and ends the controller at one of them: from then on, nothing that it sends
/// arrives.
#[derive(Clone, Default)]
pub struct Fuse(Arc<Mutex<Burning>>);

#[derive(Default)]
struct Burning {
    effects: Vec<String>,
    at: Option<(usize, Moment)>,
    blown: bool,
}

impl Fuse {
    /// Crashes at the `n`th effect from now on, the first being 1.
    pub fn arm(&self, n: usize, moment: Moment) {
        *self.0.lock().unwrap() = Burning {
            at: Some((n, moment)),
            ..Burning::default()
        };
    }

    pub fn disarm(&self) {
        *self.0.lock().unwrap() = Burning::default();
    }

    pub fn blown(&self) -> bool {
        self.0.lock().unwrap().blown
    }

    /// The effects since it was armed.
    pub fn effects(&self) -> Vec<String> {
        self.0.lock().unwrap().effects.clone()
    }

    fn look(&self) -> Spark {
        if self.blown() {
            Spark::Before
        } else {
            Spark::None
        }
    }

    fn burn(&self, effect: String) -> Spark {
        let mut burning = self.0.lock().unwrap();
        if burning.blown {
            return Spark::Before;
        }
        burning.effects.push(effect);
        match burning.at {
            Some((n, moment)) if n == burning.effects.len() => {
                burning.blown = true;
                match moment {
                    Moment::Before => Spark::Before,
                    Moment::After => Spark::After,
                }
            }
            _ => Spark::None,
        }
    }
}

/// One life of the controller. Dropping it ends everything in it at once, as a SIGKILL does.
pub struct Incarnation<'a> {
    world: &'a World,
    runtime: Runtime,
    /// Requests that will never be answered.
    hanging: Cell<u64>,
}

impl<'a> Incarnation<'a> {
    pub fn begin(world: &'a World) -> Self {
        // Whoever installed a provider before has chosen; that is fine here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let dropbox = world.dropbox.as_ref().map(FakeDropbox::url);
        runtime.spawn(live(world.kubernetes.clone(), world.api.url(), dropbox));
        Self {
            world,
            runtime,
            hanging: Cell::new(0),
        }
    }

    /// Lets virtual time pass until `what` holds, or for as long as `limit`. Says whether it holds.
    pub fn until(&self, limit: Duration, what: impl Fn() -> bool) -> bool {
        self.runtime.block_on(async {
            let end = Instant::now() + limit;
            let mut step = SHORTEST_STEP;
            loop {
                if self.quiet().await {
                    step = (step * 2).min(LONGEST_STEP);
                } else {
                    step = SHORTEST_STEP;
                }
                if what() {
                    return true;
                }
                if Instant::now() >= end {
                    return false;
                }
                advance(step).await;
            }
        })
    }

    /// The moment that it is in virtual time.
    pub fn now(&self) -> Instant {
        self.runtime.block_on(async { Instant::now() })
    }

    /// Lets this much virtual time pass.
    pub fn pass(&self, duration: Duration) {
        self.until(duration, || false);
    }

    /// Returns when no request is on its way, or when what is on its way hangs. True if there was none at all. The blocking task
    /// keeps tokio from moving the paused clock by itself.
    async fn quiet(&self) -> bool {
        let mut before = self.world.in_flight();
        let (mut calm, mut moments) = (0, 0);
        while calm < 2 {
            let moment = tokio::task::spawn_blocking(|| std::thread::sleep(MOMENT));
            moment.await.expect("a short sleep");
            let now = self.world.in_flight();
            moments = if now == before { moments + 1 } else { 0 };
            if moments > HANGING {
                self.hanging.set(now.0 - now.1);
            }
            let answered = now.0 - now.1 <= self.hanging.get();
            calm = if now == before && answered {
                calm + 1
            } else {
                0
            };
            before = now;
        }
        moments == 2
    }
}

async fn live(kubernetes: MemoryApi, url: String, dropbox: Option<String>) {
    let client = kubernetes.client();
    let metrics = Metrics::new();
    let endpoint = Endpoint::parse(&url, true).expect("a URL");
    let key = ApiKey::new(SecretString::from(KEY)).expect("a key");
    let parts = Parts {
        recorder: Recorder::new(client.clone(), "tests", "tests", None, metrics.clone()),
        client,
        metrics,
        own_key: Arc::new(OwnKey::Fixed(key)),
        options: Options {
            request_timeout: REQUEST_TIMEOUT,
            user_agent: "tests".to_owned(),
            ..Options::default()
        },
        providers: Providers {
            pinecone: None,
            dropbox: dropbox.map(|url| {
                let base = BaseUrl::parse(&url, true).expect("a URL");
                DropboxClient::new(base, REQUEST_TIMEOUT, "tests").expect("a client")
            }),
        },
        cluster: ClusterName::chosen("test"),
        vitals: Vitals::default(),
        policy: Policy {
            hosts: HostPolicy::new(&url, Vec::new(), true),
            api_url: endpoint,
            allow_insecure_http: true,
            namespaces: Vec::new(),
            label_selector: None,
            sync_interval: SYNC_INTERVAL,
            job_interval: SYNC_INTERVAL,
            settle_time: SETTLE_TIME,
            pass_deadline: REQUEST_TIMEOUT * 4,
            max_concurrent_passes: 64,
            max_concurrent_passes_per_workspace: 16,
        },
    };
    let filled = Readiness::default().gate("the list of resources");
    let never = CancellationToken::new();
    let ended = controller::run(parts, Leadership::always(), filled, never).await;
    ended.expect("no part breaks down");
}
