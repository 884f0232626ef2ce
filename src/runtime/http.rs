//! The endpoints for the kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`. They answer before leadership is won, or
//! a standby would be killed by its own liveness probe.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::{self, Metrics};

/// The port cannot be had. Ends the start with exit code 1.
#[derive(Debug, Error)]
#[error(
    "cannot listen on {address}: {source}; free the port or choose another with --listen (LISTEN)"
)]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Takes the port. On a node without IPv6 the unspecified address `[::]` falls back to `0.0.0.0`.
///
/// # Errors
///
/// The port is taken, needs privileges, or the address is not the host's.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let listener = match TcpListener::bind(address).await {
        Err(error)
            if address.is_ipv6()
                && address.ip().is_unspecified()
                && !matches!(
                    error.kind(),
                    ErrorKind::AddrInUse | ErrorKind::PermissionDenied
                ) =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    listener.map_err(|source| BindError { address, source })
}

/// Answers on `listener` until `shutdown`.
///
/// # Errors
///
/// The listener failed for good.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    vitals: Vitals,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(alive).with_state(vitals))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics));
    axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

async fn alive(State(vitals): State<Vitals>) -> impl IntoResponse {
    match vitals.complaint() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(complaint) => (StatusCode::SERVICE_UNAVAILABLE, format!("{complaint}\n")),
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let missing = readiness.missing();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("waiting for: {}\n", missing.join(", ")),
        )
    }
}

async fn scrape(State(metrics): State<Metrics>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.encode())
}

/// What `/healthz` asks: whether the work has come to a standstill that only a new start can end.
#[derive(Clone, Default)]
pub struct Vitals(Arc<Mutex<Option<Examination>>>);

type Examination = Box<dyn Fn() -> Option<String> + Send>;

impl Vitals {
    /// Asks `examination` from now on, and nobody that was asked before. It says what is wrong, if anything is, without waiting.
    pub fn ask(&self, examination: impl Fn() -> Option<String> + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(examination));
    }

    fn complaint(&self) -> Option<String> {
        let examination = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        examination.as_ref().and_then(|examine| examine())
    }
}

/// What `/readyz` waits for. Ready means that every [`Gate`] that exists is open.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Gates>>);

/// What each gate says it waits for; nothing if it is open.
type Gates = BTreeMap<&'static str, Option<String>>;

impl Readiness {
    /// Adds a closed gate. `name` is what `/readyz` says it waits for, and is the gate's identity: a second gate of that
    /// name takes the first one's place.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate {
            readiness: self.clone(),
            name,
        };
        gate.close();
        gate
    }

    fn missing(&self) -> Vec<String> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates.values().flatten().cloned().collect()
    }
}

/// One thing to be waited for. It stays as it was last set, also when dropped.
#[derive(Clone, Debug)]
pub struct Gate {
    readiness: Readiness,
    name: &'static str,
}

impl Gate {
    /// It has happened.
    pub fn open(&self) {
        self.set(None);
    }

    /// It is to be waited for (again).
    pub fn close(&self) {
        self.set(Some(self.name.to_owned()));
    }

    /// The same, and this is what it lacks.
    pub fn close_for(&self, what: &str) {
        self.set(Some(format!("{} ({what})", self.name)));
    }

    fn set(&self, awaited: Option<String>) {
        let mut gates = self
            .readiness
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        gates.insert(self.name, awaited);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn the_endpoints_say_alive_what_is_waited_for_and_the_metrics_until_shutdown() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::default();
        let (caches, lease) = (readiness.gate("caches"), readiness.gate("lease"));
        let shutdown = CancellationToken::new();
        let vitals = Vitals::default();
        let served = tokio::spawn(serve(
            listener,
            Metrics::new(),
            vitals.clone(),
            readiness,
            shutdown.clone(),
        ));

        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        vitals.ask(|| Some("it hangs".to_owned()));
        let hanging = get(address, "/healthz").await;
        assert!(hanging.starts_with("HTTP/1.1 503") && hanging.ends_with("it hangs\n"));
        vitals.ask(|| None);
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let waiting = get(address, "/readyz").await;
        assert!(
            waiting.starts_with("HTTP/1.1 503")
                && waiting.ends_with("waiting for: caches, lease\n")
        );
        lease.open();
        assert!(
            get(address, "/readyz")
                .await
                .ends_with("waiting for: caches\n")
        );
        caches.open();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        caches.close_for("one of two");
        let lacking = get(address, "/readyz").await;
        assert!(
            lacking.starts_with("HTTP/1.1 503")
                && lacking.ends_with("waiting for: caches (one of two)\n")
        );

        let scraped = get(address, "/metrics").await;
        assert!(scraped.starts_with("HTTP/1.1 200") && scraped.contains(metrics::CONTENT_TYPE));
        assert!(scraped.ends_with("# EOF\n"));
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));

        shutdown.cancel();
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_one_line_that_says_what_to_do() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {address}: ")),
            "{error}"
        );
        assert!(
            error.contains("--listen (LISTEN)") && !error.contains('\n'),
            "{error}"
        );
    }
}
