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
    readiness: Readiness,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics));
    axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
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

/// What `/readyz` waits for. Ready means that every [`Gate`] that exists is open.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, bool>>>);

impl Readiness {
    /// Adds a closed gate. `name` is what `/readyz` says it waits for, and is the gate's identity: a second gate of that
    /// name takes the first one's place.
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate {
            readiness: self.clone(),
            name,
        };
        gate.set(false);
        gate
    }

    fn missing(&self) -> Vec<&'static str> {
        let gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gates
            .iter()
            .filter(|(_, open)| !**open)
            .map(|(name, _)| *name)
            .collect()
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
        self.set(true);
    }

    /// It is to be waited for (again).
    pub fn close(&self) {
        self.set(false);
    }

    fn set(&self, open: bool) {
        let mut gates = self
            .readiness
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        gates.insert(self.name, open);
    }
}
