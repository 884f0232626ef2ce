//! Where the scenario is played: the API in memory, the fakes, and the unmodified controller, on one thread and a clock that goes on
//! only when there is nothing else to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};
use support::aside;
use support::fake::unstructured::{CheckScript, WorkspaceHandle};
use support::fake::{FakeDropbox, FakeUnstructured};
use support::memory_api::MemoryApi;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
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
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

const SYNC_INTERVAL: Duration = Duration::from_mins(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How far the clock goes on before somebody looks again: less than the time between two of the operator's own looks.
const STEP: Duration = Duration::from_millis(100);

/// Everything, with or without an operator at work.
pub struct World {
    runtime: Runtime,
    kubernetes: MemoryApi,
    api: Arc<FakeUnstructured>,
    workspace: WorkspaceHandle,
    dropbox: Arc<FakeDropbox>,
    lists: Arc<AtomicUsize>,
    operator: Option<JoinHandle<()>>,
}

impl World {
    /// A cluster with the definitions installed and the Secret that all resources name.
    pub fn new() -> Self {
        fastrand::seed(1);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async { govern_clocks() });
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let api = Arc::new(FakeUnstructured::carried(address(1)));
        let workspace = api.workspace(KEY);
        workspace.set_checks(|_| CheckScript::success_after(1));
        let lists: Arc<AtomicUsize> = Arc::default();
        let listed = Arc::clone(&lists);
        api.inject_by(move |_, request| {
            let is_list = request.method == "GET" && request.path.ends_with("/sources/");
            listed.fetch_add(usize::from(is_list), Ordering::Relaxed);
            None
        });
        let dropbox = Arc::new(FakeDropbox::carried(address(2)));
        dropbox.accept_anything();
        let world = Self {
            runtime,
            kubernetes: MemoryApi::default(),
            api,
            workspace,
            dropbox,
            lists,
            operator: None,
        };
        world.kubernetes.create_namespace("legal");
        for definition in definitions() {
            let definition = serde_json::to_value(definition).expect("a definition is JSON");
            world.create(DEFINITIONS, definition);
        }
        let credentials = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "dropbox" },
            "data": { "app_key": "a2V5", "app_secret": "c2VjcmV0", "refresh_token": "dG9rZW4=" },
        });
        world.create("/api/v1/namespaces/legal/secrets", credentials);
        world
    }

    fn create(&self, collection: &str, object: Value) {
        self.kubernetes
            .create(collection, object)
            .expect("a new object");
    }

    /// Creates resources that carry these numbers.
    pub fn apply(&self, numbers: impl IntoIterator<Item = usize>, verify: bool) {
        for number in numbers {
            let resource = json!({
                "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "DropboxSource",
                "metadata": { "name": format!("source-{number:05}") },
                "spec": {
                    "remoteUrl": format!("dropbox://data/{number}"),
                    "credentials": { "secretRef": { "name": "dropbox" } },
                    "verify": verify,
                },
            });
            self.create(SOURCES, resource);
        }
    }

    /// Puts connectors of others into the workspace.
    pub fn add_foreign(&self, count: usize) {
        for number in 0..count {
            let config = json!({
                "remote_url": format!("dropbox://foreign/{number}"), "recursive": false,
                "app_key": "key", "app_secret": "secret", "refresh_token": "token",
            });
            self.workspace
                .insert("dropbox", &format!("foreign-{number}"), config);
        }
    }

    /// How many resources are Ready.
    pub fn ready(&self) -> usize {
        let ready = |resource: &Value| {
            let conditions = resource["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        let resources = self.kubernetes.list(SOURCES);
        resources.iter().filter(|resource| ready(resource)).count()
    }

    /// How many requests for the list of a workspace have arrived.
    pub fn lists(&self) -> usize {
        self.lists.load(Ordering::Relaxed)
    }

    /// How long Unstructured waits before each answer.
    pub fn delay_answers(&self, latency: Duration) {
        self.api.configure(|rules| rules.latency = latency);
    }

    /// Starts an operator.
    pub fn start(&mut self) {
        let _inside = self.runtime.enter();
        let life = self.live();
        self.operator = Some(self.runtime.spawn(life));
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.abort();
            let ended = self.runtime.block_on(operator);
            assert!(ended.is_err(), "the operator ended by itself");
        }
    }

    /// Lets time pass until it holds.
    pub fn until(&self, holds: impl Fn() -> bool) {
        self.runtime.block_on(async {
            for _ in 0..100_000 {
                if aside::aside(&holds) {
                    return;
                }
                sleep(STEP).await;
            }
            panic!("given up");
        });
    }

    /// Lets this much time pass.
    pub fn pass(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    fn live(&self) -> impl Future<Output = ()> + Send + 'static {
        let client = self.kubernetes.client();
        let metrics = Metrics::new();
        let api_url = self.api.url();
        let dropbox = BaseUrl::parse(&self.dropbox.url(), true).expect("a URL");
        let dropbox = DropboxClient::new(dropbox, REQUEST_TIMEOUT, "instructions")
            .expect("a client")
            .carried_by(self.dropbox.carrier());
        let recorder = Recorder::new(
            client.clone(),
            "instructions",
            "instructions",
            None,
            metrics.clone(),
        );
        let parts = Parts {
            recorder,
            client,
            metrics,
            own_key: Arc::new(OwnKey::Fixed(
                ApiKey::new(SecretString::from(KEY)).expect("a key"),
            )),
            options: Options {
                request_timeout: REQUEST_TIMEOUT,
                // Not what the time is to be spent with.
                max_requests_per_second: NonZeroU32::MAX,
                carrier: Some(self.api.carrier()),
                ..Options::default()
            },
            providers: Providers {
                pinecone: None,
                dropbox: Some(dropbox),
            },
            cluster: ClusterName::chosen("test"),
            vitals: Vitals::default(),
            policy: Policy {
                hosts: HostPolicy::new(&api_url, Vec::new(), true),
                api_url: Endpoint::parse(&api_url, true).expect("a URL"),
                allow_insecure_http: true,
                namespaces: Vec::new(),
                label_selector: None,
                sync_interval: SYNC_INTERVAL,
                job_interval: Duration::from_secs(15),
                settle_time: Duration::from_mins(1),
                pass_deadline: REQUEST_TIMEOUT * 4,
                max_concurrent_passes: 64,
                max_concurrent_passes_per_workspace: 16,
            },
        };
        async move {
            let filled = Readiness::default().gate("the list of resources");
            let never = CancellationToken::new();
            let _ = controller::run(parts, Leadership::always(), filled, never).await;
        }
    }
}

/// Both wall clocks follow tokio's: the same times, and as long ones, in every play.
fn govern_clocks() {
    let start = Instant::now();
    let began: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a moment");
    let now = move || {
        let elapsed = SignedDuration::try_from(start.elapsed()).expect("a scenario is short");
        began + elapsed
    };
    support::wall::govern(now);
    unstructured_operator::clock::govern(now);
}
