//! An OpenTelemetry collector as far as traces go: OTLP over HTTP, in protobuf.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{self as wire, status::StatusCode},
};
use prost::Message;

use super::{Answer, Api, Fake, journal::Recorded};

/// A collector on loopback.
pub type FakeCollector = Fake<Collector>;

/// It keeps nothing but what every fake keeps: the requests.
#[derive(Default)]
pub struct Collector;

/// An operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/traces`
    Traces,
}

/// A span as it arrived. Ids are hexadecimal; attributes are written as text, whatever their type.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The span that it is part of; empty for the first of a trace.
    pub parent: String,
    /// Whether it is a request to somebody else.
    pub is_client: bool,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// What it says.
    pub attributes: BTreeMap<String, String>,
    /// Its status's message, if the status is an error.
    pub error: Option<String>,
    /// Who sent it.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute's value, empty without one.
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl FakeCollector {
    /// Every span so far, in the order of their start.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<_> = self.requests().iter().flat_map(spans).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }
}

impl Api for Collector {
    type Route = Route;

    const BASE_PATH: &'static str = "";

    fn route(request: &Recorded) -> Option<Route> {
        (request.path == "/v1/traces").then_some(Route::Traces)
    }

    fn answer(&self, request: &Recorded, violation: &mut dyn FnMut(&str)) -> Answer {
        if Self::route(request).is_none() || request.method != "POST" {
            violation("nothing is taken here but POST /v1/traces");
            return Answer::empty(404);
        }
        if request.header("content-type") != Some("application/x-protobuf") {
            violation("traces come as application/x-protobuf");
        }
        if ExportTraceServiceRequest::decode(request.body.clone()).is_err() {
            violation("these are no traces");
            return Answer::empty(400);
        }
        // An answer that rejects nothing has no bytes.
        Answer::typed(200, "application/x-protobuf", "")
    }
}

/// The spans of one request.
pub fn spans(request: &Recorded) -> Vec<Span> {
    let batch = ExportTraceServiceRequest::decode(request.body.clone()).unwrap_or_default();
    let mut spans = Vec::new();
    for sender in batch.resource_spans {
        let resource = text(sender.resource.map(|it| it.attributes).unwrap_or_default());
        let sent = sender.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(sent.map(|span| read(span, &resource)));
    }
    spans
}

fn read(span: wire::Span, resource: &BTreeMap<String, String>) -> Span {
    let failed = |status: &wire::Status| status.code == StatusCode::Error as i32;
    Span {
        is_client: span.kind == wire::span::SpanKind::Client as i32,
        name: span.name,
        trace: hex::encode(span.trace_id),
        id: hex::encode(span.span_id),
        parent: hex::encode(span.parent_span_id),
        start: span.start_time_unix_nano,
        attributes: text(span.attributes),
        error: span.status.filter(failed).map(|status| status.message),
        resource: resource.clone(),
    }
}

fn text(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let value = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, value(attribute.value)))
        .collect()
}
