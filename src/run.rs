//! `unstructured-operator run`: from options to a running controller.

mod options;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::util::TryInitError;

use crate::controller::connector::naming::ClusterName;
use crate::controller::{self, BrokenDown, Parts, Policy};
use crate::dropbox::{DropboxClient, DropboxClientError};
use crate::hosts::HostPolicy;
use crate::http::USER_AGENT;
use crate::kinds::Providers;
use crate::kube_error::is_forbidden;
use crate::options::Exit;
use crate::own_key::OwnKey;
use crate::pinecone::{PineconeClient, PineconeClientError};
use crate::runtime::events::Recorder;
use crate::runtime::http::{self, BindError, Readiness, Vitals};
use crate::runtime::kube_client::{self, ConnectError};
use crate::runtime::leader::{self, LeaderElection, Leadership, Standing};
use crate::runtime::logging;
use crate::runtime::metrics::Metrics;
use crate::runtime::pod;
use crate::runtime::scope::Scope;
use crate::runtime::shutdown;
use crate::runtime::traces::{Traces, TracesError};
use crate::unstructured::{ApiKey, Budget, Endpoint, Pauses};

pub(crate) use options::TRACES_ENDPOINT;
pub use options::{ApiKeySource, Options};

/// Name of the reporting controller in events.
const CONTROLLER: &str = "connectors.unstructured.io/unstructured-operator";

/// Why the operator did not start, or did not go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// An option turned out not to be usable.
    #[error("{0}")]
    Option(String),
    /// An option cannot be read.
    #[error(transparent)]
    Refused(#[from] Exit),
    /// No Kubernetes.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The port is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// No TLS.
    #[error(transparent)]
    Dropbox(#[from] DropboxClientError),
    /// No TLS.
    #[error(transparent)]
    Pinecone(#[from] PineconeClientError),
    /// It cannot go on.
    #[error(transparent)]
    BrokenDown(#[from] BrokenDown),
    /// No traces.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Something else logs already.
    #[error("logging cannot be set up: {0}")]
    Logging(#[from] TryInitError),
    /// The signals cannot be listened to.
    #[error("the signal handlers cannot be installed: {0}")]
    Signals(#[from] std::io::Error),
}

/// 2 for what the user gave, 1 for what the world did.
impl From<RunError> for Exit {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Refused(exit) => exit,
            RunError::Option(_) | RunError::Traces(TracesError::Settings(_)) => {
                Self::Refused(error.to_string())
            }
            RunError::Connect(_)
            | RunError::Bind(_)
            | RunError::Dropbox(_)
            | RunError::Pinecone(_)
            | RunError::Traces(TracesError::Client(_))
            | RunError::Logging(_)
            | RunError::BrokenDown(_)
            | RunError::Signals(_) => Self::Failed(error.to_string()),
        }
    }
}

/// Logs, and runs until SIGTERM or SIGINT. The last traces are delivered when the Lease has been given up.
pub async fn run(options: Options) -> Result<(), RunError> {
    let identity = pod::identity();
    let traces = match options.traces_endpoint()? {
        Some(endpoint) => Some(Traces::to(&endpoint, &identity)?),
        None => None,
    };
    logging::init(options.log_format, &options.log_level, traces.as_ref())?;
    let result = operate(options, identity).await;
    if let Some(traces) = traces {
        traces.flush().await;
    }
    result
}

async fn operate(options: Options, identity: String) -> Result<(), RunError> {
    let shutdown = shutdown::on_signal()?;
    let api_url = options.api_endpoint()?;
    let own_key = Arc::new(own_key(&options)?);
    let metrics = Metrics::new();
    let (vitals, readiness) = (Vitals::default(), Readiness::default());
    let providers = providers(&options)?;

    // The endpoints answer before anything else is tried: a standby or a waiting pod is alive.
    let listener = http::bind(options.listen).await?;
    tracing::info!(
        address = listener
            .local_addr()
            .map(|address| address.to_string())
            .unwrap_or_default(),
        "listening"
    );
    let campaigning = readiness.gate("the leader election");
    let mut tasks = JoinSet::new();
    tasks.spawn(http::serve(
        listener,
        metrics.clone(),
        vitals.clone(),
        readiness.clone(),
        shutdown.clone(),
    ));

    let client = kube_client::connect()?;
    let Some(cluster) = cluster_name(&client, options.cluster_name.as_deref(), &shutdown).await?
    else {
        return Ok(());
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        cluster = cluster.as_str(),
        api_url = %api_url,
        own_key = own_key.get().is_some(),
        "starting"
    );
    let pauses = Pauses::default();
    let parts = Parts {
        recorder: Recorder::new(
            client.clone(),
            CONTROLLER,
            &identity,
            Some(&pod::namespace()),
            metrics.clone(),
        ),
        options: limits(&options, &metrics, &pauses),
        policy: policy(&options, api_url),
        client: client.clone(),
        metrics: metrics.clone(),
        own_key,
        providers,
        cluster,
        vitals,
    };
    let work = |leadership: Leadership| {
        let filled = readiness.gate("the list of resources");
        controller::run(parts.clone(), leadership, filled, shutdown.clone())
    };
    let election = LeaderElection {
        pauses,
        scope: Scope::new(
            options.watch_namespaces.clone(),
            options.watch_label_selector.clone(),
        ),
        ..LeaderElection::new(pod::namespace(), &options.lease_name, identity)
    };
    if let Some(rival) = leader::rival(&client, &election).await {
        return Err(RunError::Option(rival));
    }
    if options.leader_elect {
        let observe = |standing| {
            campaigning.open();
            metrics.leading(standing == Standing::Leader);
            if standing == Standing::Standby {
                readiness.gate("the list of resources").open();
            }
        };
        // None: the shutdown came before the Lease.
        let worked = Box::pin(election.run(client, shutdown.clone(), observe, work)).await;
        worked.unwrap_or(Ok(()))?;
    } else {
        campaigning.open();
        metrics.leading(true);
        let grace = async {
            shutdown.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::select! { worked = work(Leadership::always()) => worked?, () = grace => {} }
    }
    tracing::info!("stopped");
    Ok(())
}

fn own_key(options: &Options) -> Result<OwnKey, RunError> {
    match options.api_key() {
        None => Ok(OwnKey::None),
        Some(ApiKeySource::Value(key)) => ApiKey::new(key)
            .map(OwnKey::Fixed)
            .map_err(|error| RunError::Option(format!("UNSTRUCTURED_API_KEY: {error}"))),
        Some(ApiKeySource::File(path)) => OwnKey::from_file(path).map_err(RunError::Option),
    }
}

fn providers(options: &Options) -> Result<Providers, RunError> {
    // A question that nothing waits for gets less time than what has to be done.
    let timeout = options.request_timeout / 3;
    let mut providers = Providers::default();
    if options.validate_dropbox_credentials {
        let base = options.dropbox_endpoint()?;
        providers.dropbox = Some(DropboxClient::new(base, timeout, USER_AGENT)?);
    }
    if options.validate_pinecone_credentials {
        let base = options.pinecone_endpoint()?;
        providers.pinecone = Some(PineconeClient::new(base, timeout)?);
    }
    Ok(providers)
}

fn limits(options: &Options, metrics: &Metrics, pauses: &Pauses) -> crate::unstructured::Options {
    let metrics = metrics.clone();
    crate::unstructured::Options {
        request_timeout: options.request_timeout,
        max_requests_per_second: options.max_requests_per_second,
        max_concurrent_requests: options.max_concurrent_requests.get() as usize,
        budget: Budget::new(options.max_inventory_memory),
        user_agent: USER_AGENT.to_owned(),
        pauses: pauses.clone(),
        observer: Some(Arc::new(move |exchange| {
            metrics.api_request(exchange.operation, exchange.outcome, exchange.duration);
        })),
        ..crate::unstructured::Options::default()
    }
}

fn policy(options: &Options, api_url: Endpoint) -> Policy {
    Policy {
        hosts: HostPolicy::new(
            &api_url.to_string(),
            options.allowed_api_hosts.clone(),
            options.allow_insecure_http,
        ),
        api_url,
        allow_insecure_http: options.allow_insecure_http,
        namespaces: options.watch_namespaces.clone(),
        label_selector: options.watch_label_selector.clone(),
        sync_interval: options.sync_interval,
        job_interval: options.job_interval,
        settle_time: options.settle_time(),
        // Long enough for every call of an ordinary pass to take its whole time.
        pass_deadline: options.request_timeout * 4,
        max_concurrent_passes: options.max_concurrent_reconciles.get() as usize,
        max_concurrent_passes_per_workspace: options.max_concurrent_requests.get() as usize,
    }
}

/// The name that `--cluster-name` gives, or one from the cluster's own identity, waited for as long as the API server is away.
/// `None`: the shutdown came first.
async fn cluster_name(
    client: &Client,
    chosen: Option<&str>,
    shutdown: &CancellationToken,
) -> Result<Option<ClusterName>, RunError> {
    if let Some(name) = chosen {
        return Ok(Some(ClusterName::chosen(name)));
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    loop {
        match namespaces.get_metadata("kube-system").await {
            Ok(namespace) => return Ok(namespace.uid().map(|uid| ClusterName::from_uid(&uid))),
            Err(error) if is_forbidden(&error) => {
                return Err(RunError::Option(
                    "the operator may not read the kube-system namespace, from which it derives its cluster name: set \
                     --cluster-name (CLUSTER_NAME)"
                        .to_owned(),
                ));
            }
            Err(_) => tracing::warn!("the Kubernetes API does not respond; waiting for it"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}
