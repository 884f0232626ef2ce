//! What a trace shows of the operator's work: a span for each reconcile and each sweep, and within it one for each request.
//!
//! Every attribute of every span is named in this file, so that nothing gets into a trace which cannot be read here: no body, no
//! header, no query, and no text that was not scrubbed. Names follow the semantic conventions of OpenTelemetry where they have one
//! (`http.…`, `url.…`, `server.…`, `k8s.…`, `error.type`).
//!
//! While nobody collects [`TARGET`], a span costs one comparison, and none of its attributes is computed.

use reqwest::Method;
use tracing::field::Empty;
use tracing::{Level, Span, info_span, span_enabled};
use url::Url;

/// The target of every span: what tells them from log lines.
pub const TARGET: &str = "traces";

/// One pass over one resource, and why it is made.
pub fn reconcile(kind: &str, namespace: &str, name: &str, trigger: &'static str) -> Span {
    info_span!(
        target: TARGET,
        "reconcile",
        k8s.namespace.name = namespace,
        reconcile.kind = kind,
        reconcile.name = name,
        reconcile.trigger = trigger,
        reconcile.result = Empty,
        reconcile.reason = Empty,
        otel.status_description = Empty,
    )
}

/// What a reconcile has come to: a condition's reason, and its message where it tells of a failure.
pub fn decided(span: &Span, reason: &str, failure: Option<&str>) {
    span.record("reconcile.reason", reason);
    span.record("otel.status_description", failure);
}

/// How a reconcile ended.
pub fn concluded(span: &Span, result: &str, failed: bool) {
    span.record("reconcile.result", result);
    // Sets the status, and leaves a description that stands there.
    span.record("otel.status_description", failed.then_some(""));
}

/// One comparison of a workspace with its resources.
pub fn sweep() -> Span {
    info_span!(
        target: TARGET,
        "sweep",
        sweep.connectors = Empty,
        sweep.differing = Empty,
        error.type = Empty,
        otel.status_description = Empty,
    )
}

/// What a sweep found.
pub fn compared(span: &Span, connectors: usize, differing: usize) {
    let count = |n| i64::try_from(n).unwrap_or(i64::MAX);
    span.record("sweep.connectors", count(connectors));
    span.record("sweep.differing", count(differing));
}

/// One request. `template` is its path without what differs from request to request.
pub fn request(method: &Method, url: &Url, template: impl FnOnce(&Url) -> String) -> Span {
    if !span_enabled!(target: TARGET, Level::INFO) {
        return Span::none();
    }
    let template = template(url);
    info_span!(
        target: TARGET,
        "request",
        otel.name = display(format_args!("{method} {template}")),
        otel.kind = "client",
        http.request.method = method.as_str(),
        url.full = display(bare(url)),
        url.template = template,
        server.address = url.host_str(),
        server.port = url.port_or_known_default().map(i64::from),
        http.response.status_code = Empty,
        error.type = Empty,
        otel.status_description = Empty,
    )
}

/// The URL without what may hold a credential.
fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Only a URL without a host refuses, and that has none to take off.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// An answer came.
pub fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
}

/// A request or a sweep failed: the kind of failure, and what may be said of it; an empty text where the kind says it all.
pub fn failed(span: &Span, kind: &str, text: &str) {
    span.record("error.type", kind);
    span.record("otel.status_description", text);
}
