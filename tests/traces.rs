//! Traces: what a collector gets of the operator's work, that no secret is in it, and that the work does not wait for it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use support::fake::collector::Span;
use support::fake::unstructured::{Route, answers};
use support::fake::{Fault, On};
use support::stage::{API_KEY, Stage, eventually};

use crate::stage;

/// Waits for a reconcile of `name` that `is` what was looked for, and gives it with the spans that are part of it.
async fn reconcile(
    stage: &Stage,
    name: &str,
    is: impl Fn(&Span, &[Span]) -> bool,
) -> Result<(Span, Vec<Span>)> {
    eventually("such a reconcile is traced", || {
        let spans = stage.collector.spans();
        let mut whole = spans
            .iter()
            .filter(|span| span.name == "reconcile" && span.get("reconcile.name") == name)
            .map(|span| {
                let part = spans.iter().filter(|part| part.parent == span.id);
                (span.clone(), part.cloned().collect::<Vec<_>>())
            });
        whole.find(|(span, parts)| is(span, parts))
    })
    .await
}

fn named<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    let found = spans.iter().find(|span| span.name == name);
    found.with_context(|| format!("no span {name} among {spans:#?}"))
}

#[tokio::test]
async fn a_create_is_one_reconcile_with_its_requests_as_parts() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "verify": false }))
        .await?;
    stage.until_ready("contracts").await?;

    let creates = |_: &Span, parts: &[Span]| parts.iter().any(|part| part.name == "POST /sources/");
    let (span, parts) = reconcile(&stage, "contracts", creates).await?;
    assert_eq!(span.parent, "");
    assert_eq!(span.error, None);
    for (name, value) in [
        ("k8s.namespace.name", stage.namespace.as_str()),
        ("reconcile.kind", "DropboxSource"),
        ("reconcile.trigger", "changed"),
        ("reconcile.result", "settled"),
        ("reconcile.reason", "Ready"),
    ] {
        assert_eq!(span.get(name), value, "{name}");
    }
    assert_eq!(span.resource["service.name"], "unstructured-operator");
    assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));

    let create = named(&parts, "POST /sources/")?;
    assert!(create.is_client && create.trace == span.trace);
    let address = stage.api.address();
    for (name, value) in [
        ("http.request.method", "POST".to_owned()),
        ("http.response.status_code", "200".to_owned()),
        ("url.template", "/sources/".to_owned()),
        ("url.full", format!("{}/sources/", stage.api.url())),
        ("server.address", address.ip().to_string()),
        ("server.port", address.port().to_string()),
    ] {
        assert_eq!(create.get(name), value, "{name}");
    }
    assert_eq!(
        named(&parts, "GET /sources/")?.get("url.full"),
        create.get("url.full")
    );
    named(&parts, "POST /oauth2/token")?;
    named(&parts, "GET /api/v1/namespaces/{namespace}/secrets/{name}")?;
    let resource =
        "/apis/connectors.unstructured.io/v1alpha1/namespaces/{namespace}/dropboxsources/{name}";
    named(&parts, &format!("PATCH {resource}"))?;
    named(&parts, &format!("PUT {resource}/status"))?;

    // What keeps watches and the Lease going is not traced.
    let spans = stage.collector.spans();
    let roots = spans.iter().filter(|span| span.parent.is_empty());
    assert!(roots.clone().all(|span| !span.is_client), "{spans:#?}");

    // And the log says where to look.
    let lines = operator.output();
    let lines = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_the_trace = lines.filter(|line| line["trace_id"] == span.trace);
    let messages: Vec<_> = of_the_trace.map(|line| line["message"].clone()).collect();
    assert!(
        messages.contains(&json!("called the Unstructured API")),
        "{messages:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_failure_is_an_error_of_the_request_and_of_the_reconcile() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::answer(answers::detail(403, "not with this role")),
    );
    stage.create("contracts", json!({})).await?;
    stage.until_reason("contracts", "Forbidden").await?;

    let forbidden = |span: &Span, _: &[Span]| span.get("reconcile.reason") == "Forbidden";
    let (span, parts) = reconcile(&stage, "contracts", forbidden).await?;
    assert_eq!(span.get("reconcile.result"), "stalled");
    let told = span.error.as_deref().context("it is an error")?;
    assert!(told.contains("not with this role"), "{told}");
    let create = named(&parts, "POST /sources/")?;
    assert_eq!(create.get("error.type"), "forbidden");
    assert_eq!(create.get("http.response.status_code"), "403");
    assert!(create.error.is_some());
    Ok(())
}

#[tokio::test]
async fn a_sweep_is_a_trace_with_the_one_list_that_it_needs() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    stage.set("SYNC_INTERVAL", "1s");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let (sweep, parts) = eventually("a sweep is traced", || {
        let spans = stage.collector.spans();
        let sweep = spans
            .iter()
            .find(|span| span.name == "sweep" && span.get("sweep.connectors") == "1")?;
        let parts = spans.iter().filter(|span| span.parent == sweep.id);
        Some((sweep.clone(), parts.cloned().collect::<Vec<_>>()))
    })
    .await?;
    assert_eq!(sweep.get("sweep.differing"), "0");
    assert_eq!(parts.len(), 1, "{parts:#?}");
    named(&parts, "GET /sources/")?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_delivered_yet_at_the_end_is_delivered_after_the_lease_is_given_up()
-> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    // Nothing goes by itself.
    stage.set("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert!(stage.collector.spans().is_empty());

    let log = operator.log().to_owned();
    assert!(operator.stop().await?.success());
    let spans = stage.collector.spans();
    named(&spans, "reconcile")?;
    let log = std::fs::read_to_string(log)?;
    assert!(log.contains("Lease released"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up_and_is_told_of_once() -> Result<()> {
    let mut stage = stage().await?;
    stage.trace();
    stage.set("OTEL_BSP_MAX_QUEUE_SIZE", "4");
    stage.collector.stop();
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    for n in 0..5 {
        let folder = format!("dropbox://data/{n}");
        stage
            .create(&format!("s{n}"), json!({ "remoteUrl": folder }))
            .await?;
    }
    for n in 0..5 {
        stage.until_ready(&format!("s{n}")).await?;
    }
    let complaint = "cannot deliver traces";
    let told = |text: &str| text.matches(complaint).count();
    eventually("it is told", || {
        (told(&operator.output()) > 0).then_some(())
    })
    .await?;

    stage.collector.restart();
    stage.edit("s0", json!({ "recursive": true })).await?;
    eventually("traces are delivered again", || {
        operator
            .output()
            .contains("delivering traces again")
            .then_some(())
    })
    .await?;
    assert_eq!(told(&operator.output()), 1);

    stage.collector.inject(On::Every, Fault::hang());
    stage.edit("s1", json!({ "recursive": true })).await?;
    stage.until_ready("s1").await?;
    let log = operator.log().to_owned();
    assert!(operator.stop().await?.success());
    assert!(std::fs::read_to_string(log)?.contains("Lease released"));
    Ok(())
}

#[tokio::test]
async fn a_header_for_the_collector_is_sent_to_it_and_found_nowhere_else() -> Result<()> {
    const TOKEN: &str = "collector-token-5d0e7c81f2";
    let mut stage = stage().await?;
    stage.trace();
    stage.set("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-token={TOKEN}"));
    stage.set("OTEL_SERVICE_NAME", "connectors");
    stage.keep_secret(TOKEN);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let (span, _) = reconcile(&stage, "contracts", |_, _| true).await?;
    assert_eq!(span.resource["service.name"], "connectors");
    for request in stage.collector.requests() {
        assert_eq!(request.header("x-token"), Some(TOKEN));
        assert_eq!(request.header("unstructured-api-key"), None);
    }
    for request in stage.api.requests() {
        assert_eq!(request.api_key(), Some(API_KEY));
        assert_eq!(request.header("x-token"), None);
        assert_eq!(
            request.header("traceparent"),
            None,
            "the trace is nobody else's business"
        );
    }
    Ok(())
}
