//! One process of the operator: the unmodified controller, with its requests carried to where the simulation is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::pending;
use secrecy::SecretString;
use support::fake::Carrier;
use support::memory_api::{Answer, Caller, MemoryApi, Request};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use unstructured_operator::controller::connector::naming::ClusterName;
use unstructured_operator::controller::{self, Parts, Policy};
use unstructured_operator::dropbox::{BaseUrl, DropboxClient};
use unstructured_operator::hosts::HostPolicy;
use unstructured_operator::kinds::Providers;
use unstructured_operator::own_key::OwnKey;
use unstructured_operator::runtime::events::Recorder;
use unstructured_operator::runtime::http::{Readiness, Vitals};
use unstructured_operator::runtime::leader::Leadership;
use unstructured_operator::runtime::metrics::Metrics;
use unstructured_operator::unstructured::{ApiKey, Endpoint, Options};

use super::chronicle::Chronicle;
use super::ground::{Cluster, Ground, JOB_INTERVAL, REQUEST_TIMEOUT, SETTLE_TIME, SYNC_INTERVAL};
use super::judge::readiness;
use super::weather::{Passage, Sky, latency};

/// How a process is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Stands before what it does in the chronicle.
    pub name: &'static str,
    /// Its service account.
    pub account: Caller,
    /// The key of its own workspace.
    pub key: &'static str,
    pub namespaces: Vec<String>,
    pub label_selector: Option<String>,
    /// How many passes there may be at once, and how many in one workspace.
    pub passes: (usize, usize),
}

/// A process at work. Dropping it kills it at once: nothing that it sent and that has not arrived will, and it hears of no answer.
pub struct Process {
    dead: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Process {
    pub fn begin(ground: &Ground, cluster: &Cluster, settings: &Settings) -> Self {
        let dead = Arc::new(AtomicBool::new(false));
        let link = Arc::new(Link {
            dead: Arc::clone(&dead),
            name: settings.name,
            sky: ground.sky.clone(),
            chronicle: ground.chronicle.clone(),
        });
        let life = live(ground, cluster, settings, &link);
        let task = tokio::spawn(life);
        Self { dead, task }
    }

    /// Whether it ended by itself, which it never should.
    pub fn broke_down(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.dead.store(true, Ordering::SeqCst);
        self.task.abort();
    }
}

/// The way from a process to the world.
struct Link {
    dead: Arc<AtomicBool>,
    name: &'static str,
    sky: Sky,
    chronicle: Chronicle,
}

impl Link {
    /// Goes on only while the process lives.
    async fn alive(&self) {
        if self.dead.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
    }

    async fn way(&self) {
        self.alive().await;
        sleep(latency()).await;
        self.alive().await;
    }

    async fn to_kubernetes(
        &self,
        api: MemoryApi,
        account: &Caller,
        request: Request,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let lost = || Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into());
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let query = query.as_str();
        let is_rehearsal = query.contains("dryRun");
        let weather = self.sky.now();
        let passage = if method == "GET" && weather.hides(&path, query) {
            Passage::Refused(500)
        } else {
            weather.passage()
        };
        self.way().await;
        if passage == Passage::LostThere {
            return lost();
        }
        if let Passage::Refused(code) = passage {
            self.way().await;
            return Ok(MemoryApi::refusal(code));
        }
        let answer = api.clone().serve(account, request).await?;
        if method != "GET" && !is_rehearsal {
            let status = answer.status().as_u16();
            let object = api
                .get(path.trim_end_matches("/status"))
                .unwrap_or_default();
            let (_, reason, message) = readiness(&object);
            let told = format!("{method} {path} {status} {reason} {message:.60}");
            self.chronicle.kubernetes(self.name, told.trim_end());
        }
        self.way().await;
        if passage == Passage::LostBack {
            return lost();
        }
        Ok(answer)
    }

    /// The way to an API, told in the chronicle before the request arrives: what counts is what was sent.
    fn carrier(self: &Arc<Self>, carrier: Carrier) -> Carrier {
        let link = Arc::clone(self);
        Arc::new(move |request| {
            let (link, carrier) = (Arc::clone(&link), Arc::clone(&carrier));
            Box::pin(async move {
                link.way().await;
                let body = request.body().and_then(reqwest::Body::as_bytes);
                let body = body.map(<[u8]>::to_vec).unwrap_or_default();
                let (method, url) = (request.method().clone(), request.url().clone());
                let number = link
                    .chronicle
                    .sent(link.name, method.as_str(), url.path(), &body);
                let answer = carrier(request).await;
                let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
                link.chronicle.answered(number, status);
                link.way().await;
                answer
            })
        })
    }
}

/// The life of a process, from its start on.
fn live(
    ground: &Ground,
    cluster: &Cluster,
    settings: &Settings,
    link: &Arc<Link>,
) -> impl Future<Output = ()> + Send + 'static {
    let (api, account) = (cluster.kubernetes.clone(), settings.account.clone());
    let kubernetes = Arc::clone(link);
    let service = tower::service_fn(move |request| {
        let (link, api, account) = (Arc::clone(&kubernetes), api.clone(), account.clone());
        async move { link.to_kubernetes(api, &account, request).await }
    });
    let client = kube::Client::new(service, "default");
    let metrics = Metrics::new();
    let api_url = ground.api.url();
    let endpoint = Endpoint::parse(&api_url, true).expect("a URL");
    let key = ApiKey::new(SecretString::from(settings.key)).expect("a key");
    let dropbox = BaseUrl::parse(&ground.dropbox.url(), true).expect("a URL");
    let dropbox = DropboxClient::new(dropbox, REQUEST_TIMEOUT, "simulation")
        .expect("a client")
        .carried_by(link.carrier(ground.dropbox.carrier()));
    let options = Options {
        request_timeout: REQUEST_TIMEOUT,
        carrier: Some(link.carrier(ground.api.carrier())),
        ..Options::default()
    };
    let cluster_name = ClusterName::chosen(cluster.name);
    let policy = Policy {
        hosts: HostPolicy::new(&api_url, Vec::new(), true),
        api_url: endpoint,
        allow_insecure_http: true,
        namespaces: settings.namespaces.clone(),
        label_selector: settings.label_selector.clone(),
        sync_interval: SYNC_INTERVAL,
        job_interval: JOB_INTERVAL,
        settle_time: SETTLE_TIME,
        pass_deadline: REQUEST_TIMEOUT * 4,
        max_concurrent_passes: settings.passes.0,
        max_concurrent_passes_per_workspace: settings.passes.1,
    };
    async move {
        let parts = Parts {
            recorder: Recorder::new(
                client.clone(),
                "simulation",
                "simulation",
                Some("operator"),
                metrics.clone(),
            ),
            client,
            metrics,
            own_key: Arc::new(OwnKey::Fixed(key)),
            options,
            providers: Providers {
                pinecone: None,
                dropbox: Some(dropbox),
            },
            cluster: cluster_name,
            vitals: Vitals::default(),
            policy,
        };
        let filled = Readiness::default().gate("the list of resources");
        let never = CancellationToken::new();
        let ended = controller::run(parts, Leadership::always(), filled, never);
        let _ = ended.await;
    }
}
