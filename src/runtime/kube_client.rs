//! The Kubernetes client, with the two defaults changed that an operator cannot live with.
//!
//! As kube ships it, the client repeats every method, POST included, on 429, 503 and 504, and waits for an answer without
//! limit. A repeated POST may create twice, and each caller here already has its own backoff; a silent API server would hold
//! a reconcile for ever.

use std::time::Duration;

use axum::http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, KubeconfigError},
};
use thiserror::Error;
use tower::timeout::TimeoutLayer;

/// How long the API server may take to begin its answer. A watch begins its answer at once and may then last.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// Why there is no client. The texts leave out what a kubeconfig or a proxy URL may hold in the way of credentials.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account was found.
    #[error(
        "no Kubernetes cluster found: run in a pod with a service account, or set KUBECONFIG to a readable kubeconfig"
    )]
    NoCluster,
    /// A kubeconfig was found that cannot be used.
    #[error("the kubeconfig cannot be used: {0}; check it with kubectl config view")]
    Kubeconfig(&'static str),
    /// The configuration was read but gives no client.
    #[error(
        "no client can be made from the Kubernetes configuration: check its certificates, credentials and proxy (an http:// or https:// URL)"
    )]
    Client,
}

/// A client for the cluster that `KUBECONFIG`, `~/.kube/config` or the pod's service account names, in this order, through
/// `HTTPS_PROXY` where a kubeconfig is used and `NO_PROXY` does not exclude the cluster.
///
/// A rustls crypto provider must have been installed for the process.
///
/// # Errors
///
/// [`ConnectError`], one line that says what to set. Whether the API server answers is not tried.
pub async fn connect() -> Result<Client, ConnectError> {
    let config = match Config::from_kubeconfig(&KubeConfigOptions::default()).await {
        Ok(config) => config,
        Err(kubeconfig) => Config::incluster().map_err(|_| explain(&kubeconfig))?,
    };
    client(config)
}

/// A client for `config`, with our limits.
///
/// # Errors
///
/// [`ConnectError::Client`] when its certificates, credentials or proxy cannot be used.
pub fn client(mut config: Config) -> Result<Client, ConnectError> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let builder = ClientBuilder::try_from(config).map_err(|_| ConnectError::Client)?;
    Ok(builder
        .with_layer(&TimeoutLayer::new(RESPONSE_TIMEOUT))
        .build())
}

/// Says what is wrong without quoting the file: a parse error may cite the line that holds a token.
fn explain(error: &KubeconfigError) -> ConnectError {
    ConnectError::Kubeconfig(match error {
        KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) => {
            return ConnectError::NoCluster;
        }
        KubeconfigError::CurrentContextNotSet => "it sets no current context",
        KubeconfigError::LoadContext(_) => "its current context is not in it",
        KubeconfigError::LoadClusterOfContext(_) => {
            "the cluster of its current context is not in it"
        }
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "its cluster has no usable server URL"
        }
        KubeconfigError::ParseProxyUrl(_) | KubeconfigError::ParseNoProxy(_) => {
            "the proxy that it, HTTPS_PROXY or NO_PROXY names is not understood"
        }
        KubeconfigError::LoadCertificateAuthority(_)
        | KubeconfigError::LoadClientCertificate(_)
        | KubeconfigError::LoadClientKey(_)
        | KubeconfigError::ParseCertificates(_) => {
            "a certificate or key that it names cannot be read"
        }
        _ => "it is not a valid kubeconfig",
    })
}
