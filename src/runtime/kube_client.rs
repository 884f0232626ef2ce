//! The Kubernetes client, with the two defaults changed that an operator cannot live with.
//!
//! As kube ships it, the client repeats every method, POST included, on 429, 503 and 504, and waits for an answer, and for the rest
//! of one, without limit. A repeated POST may create twice, and each caller here already has its own backoff; a silent API server
//! would hold a reconcile for ever.

use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::{HeaderValue, Request, Response, header::USER_AGENT};
use futures::future::BoxFuture;
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::layer::layer_fn;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Service};
use tracing::{Instrument, Span};
use url::Url;

use super::kubeconfig;
pub use super::kubeconfig::ConnectError;
use crate::spans;

/// How long the API server may take to begin its answer. A watch begins its answer at once and may then last.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may be silent in the middle of an answer: longer than a watch is, on which the server is silent for no
/// more than the 290 seconds after which it ends it.
const READ_TIMEOUT: Duration = Duration::from_mins(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const AGENT: &str = crate::http::USER_AGENT;

/// A client for the cluster that `KUBECONFIG`, `~/.kube/config` or the pod's service account names, in this order. A kubeconfig's
/// cluster is reached through the proxy that it names, or `HTTPS_PROXY` where `NO_PROXY` does not exempt it; the pod's own directly.
///
/// A rustls crypto provider must have been installed for the process.
///
/// # Errors
///
/// [`ConnectError`], one line that says what to set. Whether the API server answers is not tried.
pub fn connect() -> Result<Client, ConnectError> {
    let config = match kubeconfig::load(None, None) {
        Ok(config) => config,
        Err(unusable) => Config::incluster().map_err(|_| unusable)?,
    };
    client(config)
}

/// A client for a person: of a context (its current one by default) of a kubeconfig (the one that [`connect`] takes by default), and
/// the namespace to work in, which is the given one or that of the context.
///
/// # Errors
///
/// [`ConnectError`], as for [`connect`].
pub fn connect_as(
    file: Option<&Path>,
    context: Option<&str>,
    namespace: Option<&str>,
) -> Result<(Client, String), ConnectError> {
    let config = match kubeconfig::load(file, context) {
        Ok(config) => config,
        Err(unusable) if file.is_some() || context.is_some() => return Err(unusable),
        Err(unusable) => Config::incluster().map_err(|_| unusable)?,
    };
    let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
    Ok((client(config)?, namespace))
}

/// A client for `config`, with our limits.
///
/// # Errors
///
/// [`ConnectError::Client`] when its certificates, credentials or proxy cannot be used.
pub fn client(mut config: Config) -> Result<Client, ConnectError> {
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // Or the time in which a connection was not in use would count.
    config.reset_reader_on_write = true;
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let server = Url::parse(&config.cluster_url.to_string()).map_err(|_| ConnectError::Client)?;
    let builder = ClientBuilder::try_from(config).map_err(|_| ConnectError::Client)?;
    Ok(builder
        .with_layer(&TimeoutLayer::new(RESPONSE_TIMEOUT))
        .with_layer(&layer_fn(|client| Traced {
            client,
            server: server.clone(),
        }))
        .build())
}

/// Shows requests in the trace of the work that they are part of. What keeps a watch or the Lease going is part of none: traced, it
/// would drown the rest.
struct Traced<S> {
    client: S,
    server: Url,
}

impl<S, B> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.client.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let span = self.span(&request);
        let answer = self.client.call(request);
        Box::pin(async move {
            let result = answer.instrument(span.clone()).await;
            match &result {
                Ok(answer) => {
                    let status = answer.status();
                    spans::answered(&span, status.as_u16());
                    if !status.is_success() {
                        spans::failed(&span, status.as_str(), "");
                    }
                }
                Err(_) => spans::failed(&span, "connect", ""),
            }
            result
        })
    }
}

impl<S> Traced<S> {
    fn span(&self, request: &Request<Body>) -> Span {
        if Span::current().is_none() {
            return Span::none();
        }
        let mut url = self.server.clone();
        url.set_path(request.uri().path());
        spans::request(request.method(), &url, |url| template(url.path()))
    }
}

/// The path with what names one object left out: `/api/v1/namespaces/{namespace}/secrets/{name}`.
fn template(path: &str) -> String {
    let mut parts: Vec<_> = path.split('/').collect();
    // Before the resource: nothing, `api` and a version, or `apis`, a group and a version.
    let mut resource = if parts.get(1) == Some(&"api") { 3 } else { 4 };
    if parts.get(resource) == Some(&"namespaces") && parts.len() > resource + 2 {
        parts[resource + 1] = "{namespace}";
        resource += 2;
    }
    if let Some(name) = parts.get_mut(resource + 1) {
        *name = "{name}";
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures::TryStreamExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{PostParams, WatchEvent, WatchParams},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::{Instant, sleep},
    };

    use super::*;

    /// An API server that treats every connection as `answer` does, after it has read the request.
    async fn server<F>(answer: impl Fn(String, TcpStream) -> F + Send + 'static) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                request.truncate(read);
                tokio::spawn(answer(String::from_utf8(request).unwrap(), stream));
            }
        });
        address
    }

    fn config_maps(address: SocketAddr) -> Api<ConfigMap> {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::new(format!("http://{address}").parse().unwrap());
        Api::namespaced(client(config).unwrap(), "here")
    }

    #[test]
    fn a_template_names_the_resource_and_no_object() {
        for (path, expected) in [
            ("/api/v1/namespaces/legal", "/api/v1/namespaces/{name}"),
            (
                "/api/v1/namespaces/legal/secrets/dropbox",
                "/api/v1/namespaces/{namespace}/secrets/{name}",
            ),
            (
                "/apis/connectors.unstructured.io/v1alpha1/namespaces/legal/dropboxsources/contracts/status",
                "/apis/connectors.unstructured.io/v1alpha1/namespaces/{namespace}/dropboxsources/{name}/status",
            ),
            (
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/dropboxsources.connectors.unstructured.io",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}",
            ),
            (
                "/apis/connectors.unstructured.io/v1alpha1/dropboxsources",
                "/apis/connectors.unstructured.io/v1alpha1/dropboxsources",
            ),
            ("/version", "/version"),
        ] {
            assert_eq!(template(path), expected);
        }
    }

    #[tokio::test]
    async fn a_create_is_sent_once_under_our_name_whatever_the_answer() {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let address = server(move |request, mut stream| {
            let counted = counted.clone();
            async move {
                counted.fetch_add(1, Ordering::Relaxed);
                assert!(request.contains(&format!("user-agent: {AGENT}")), "{request}");
                let refusal = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(refusal.as_bytes()).await.unwrap();
            }
        })
        .await;
        let config_maps = config_maps(address);
        let created = config_maps
            .create(&PostParams::default(), &ConfigMap::default())
            .await;
        created.unwrap_err();
        assert_eq!(requests.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_begin_is_given_up() {
        let address = server(async |_, stream: TcpStream| {
            sleep(Duration::from_hours(1)).await;
            drop(stream);
        })
        .await;
        let asked = Instant::now();
        config_maps(address).get("x").await.unwrap_err();
        assert!(asked.elapsed() <= RESPONSE_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_breaks_off_in_silence_is_given_up() {
        let address = server(async |_, mut stream: TcpStream| {
            let beginning = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{";
            stream.write_all(beginning).await.unwrap();
            sleep(Duration::from_hours(1)).await;
            drop(stream);
        })
        .await;
        let asked = Instant::now();
        config_maps(address).get("x").await.unwrap_err();
        assert!(asked.elapsed() <= READ_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_outlasts_the_limit() {
        let address = server(async |_, mut stream: TcpStream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            sleep(RESPONSE_TIMEOUT * 4).await;
            let event = br#"{"type":"ADDED","object":{"metadata":{"name":"late"}}}"#;
            stream.write_all(event).await.unwrap();
        })
        .await;
        let config_maps = config_maps(address);
        let watch = config_maps
            .watch(&WatchParams::default(), "0")
            .await
            .unwrap();
        let events: Vec<_> = watch.try_collect().await.unwrap();
        assert!(
            matches!(&events[..], [WatchEvent::Added(late)] if late.metadata.name.as_deref() == Some("late"))
        );
    }
}
