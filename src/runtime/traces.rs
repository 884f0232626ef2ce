//! Traces: spans on their way to an OpenTelemetry collector, by OTLP over HTTP. They never hold up the work: what is not taken off
//! the bounded queue in time is dropped, and a collector that is away is told of once.
//!
//! What a span holds is decided in `spans.rs`; log lines do not go this way.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::{Subscriber, info, warn};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Layer, registry::LookupSpan};

use crate::hosts::Reach;
use crate::http::{self, BaseUrl, BodyError};
use crate::spans;

/// How long a collector may take over one batch, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise; the standard's own default.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last batch may take once the process is to end. What is not delivered by then is lost.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of a collector's answer that are read; nothing in it is needed.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Why there are no traces although they were asked for.
#[derive(Debug, Error)]
pub enum TracesError {
    /// No client for the way to the collector.
    #[error("traces cannot be sent: {0}")]
    Client(String),
    /// A variable of the SDK holds what it does not know.
    #[error("traces cannot be sent as the OTEL_… variables ask for: {0}")]
    Settings(String),
}

/// Sends spans to a collector until [`Traces::flush`].
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends to `endpoint`, which is the whole URL, in the name of `instance`. Everything else is as the `OTEL_…` variables say.
    /// Must be called inside a tokio runtime, and a rustls crypto provider must have been installed for the process.
    pub fn to(endpoint: &BaseUrl, instance: &str) -> Result<Self, TracesError> {
        let client = http::client(endpoint, PATIENCE, http::USER_AGENT, Reach::Anywhere)
            .map_err(|error| TracesError::Client(error.to_string()))?;
        let courier = Courier {
            client,
            runtime: Handle::current(),
            patience: patience(),
            failing: AtomicBool::new(false),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint.to_string())
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(courier)
            .build()
            .map_err(|error| TracesError::Settings(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(instance))
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// Collects the spans of a process.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let tracer = self.0.tracer(env!("CARGO_PKG_NAME"));
        OpenTelemetryLayer::new(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(spans::TARGET, LevelFilter::INFO))
    }

    /// Delivers what has not been delivered yet, within a second, and ends.
    pub async fn flush(self) {
        // It waits for a thread of its own.
        let flushed =
            tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(FLUSH_TIMEOUT));
        if !matches!(flushed.await, Ok(Ok(()))) {
            warn!("could not deliver the last traces");
        }
    }
}

/// The trace and the span that the current thread works on, as 32 and 16 hex digits.
pub fn current() -> Option<(String, String)> {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        ids.is_valid()
            .then(|| (ids.trace_id().to_string(), ids.span_id().to_string()))
    })
}

/// Who it is that sends. The environment is asked last, so it wins.
fn resource(instance: &str) -> Resource {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ]);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

/// How long one delivery may take; the variables give milliseconds.
fn patience() -> Duration {
    [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ]
    .into_iter()
    .find_map(|name| env::var(name).ok()?.parse().ok())
    .map_or(PATIENCE, Duration::from_millis)
}

/// Takes batches to the collector. The exporter calls it on a thread without a runtime.
#[derive(Debug)]
struct Courier {
    client: reqwest::Client,
    runtime: Handle,
    patience: Duration,
    /// Whether the last delivery failed: one line says so, not one for each.
    failing: AtomicBool,
}

#[async_trait::async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let delivery = deliver(self.client.clone(), request);
        let patience = self.patience;
        let result = self
            .runtime
            .spawn(async move { tokio::time::timeout(patience, delivery).await })
            .await?
            .unwrap_or_else(|_| Err(format!("no response within {patience:?}")));
        self.tell(&result);
        Ok(result?)
    }
}

impl Courier {
    fn tell(&self, result: &Result<Response<Bytes>, String>) {
        let failure = match result {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!(
                "the collector responded with {}",
                answer.status().as_u16()
            )),
            Err(error) => Some(error.clone()),
        };
        let was_failing = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => warn!(
                error,
                "cannot deliver traces; continuing without them: --otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) must be an address \
                 where a collector accepts OTLP over HTTP, usually port 4318"
            ),
            None if was_failing => info!("delivering traces again"),
            _ => {}
        }
    }
}

async fn deliver(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, String> {
    let request = request.try_into().map_err(|error| http::explain(&error))?;
    let answer = client
        .execute(request)
        .await
        .map_err(|error| http::explain(&error))?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    match http::read_body(answer, MAX_ANSWER_BYTES).await {
        Ok(body) => *response.body_mut() = Bytes::from_owner(body),
        Err(BodyError::TooLarge) => return Err("the response is too long to be one".to_owned()),
        Err(BodyError::Broken(error)) => return Err(http::explain(&error)),
    }
    Ok(response)
}
