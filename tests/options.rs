//! The process: how it refuses to start, what it serves, and how it stops.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use support::fake::Fault;
use support::fake::unstructured::Route;
use support::stage::{Stage, eventually};

use crate::{OPERATOR, stage};

/// Runs the operator to its end with these options and variables, and nothing else.
fn run(options: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(OPERATOR);
    command
        .arg("run")
        .args(options)
        .env_clear()
        .envs(environment.iter().copied());
    Ok(command.stdin(Stdio::null()).output()?)
}

#[test]
fn an_unusable_option_is_one_line_and_exit_code_2() -> Result<()> {
    /// Arguments, environment, and what the line has to name.
    type Case = (
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    const SECRET: &str = "not-to-be-repeated-5512";
    let cases: [Case; 20] = [
        (&["--sync-interval=soon"], &[], "--sync-interval"),
        (&[], &[("SYNC_INTERVAL", "soon")], "SYNC_INTERVAL"),
        (&["--sync-interval", "0s"], &[], "--sync-interval"),
        (&["--request-timeout=-5s"], &[], "--request-timeout"),
        (
            &["--request-timeout=10s", "--settle-time=10s"],
            &[],
            "--settle-time",
        ),
        (
            &["--max-requests-per-second=0"],
            &[],
            "--max-requests-per-second",
        ),
        (
            &["--max-concurrent-requests=many"],
            &[],
            "--max-concurrent-requests",
        ),
        (
            &["--max-concurrent-reconciles=0"],
            &[],
            "--max-concurrent-reconciles",
        ),
        (&["--leader-elect=perhaps"], &[], "--leader-elect"),
        (&["--listen=8080"], &[], "--listen"),
        (&["--log-format=xml"], &[], "--log-format"),
        (&["--log-level=loud=="], &[], "--log-level"),
        (&["--cluster-name=Not_A_Label"], &[], "--cluster-name"),
        (&["--watch-namespaces=a,B"], &[], "--watch-namespaces"),
        (
            &["--watch-label-selector=a in b"],
            &[],
            "--watch-label-selector",
        ),
        (
            &["--api-url=http://a.example"],
            &[],
            "--allow-insecure-http",
        ),
        (
            &["--dropbox-api-url=http://a.example"],
            &[],
            "--allow-insecure-http",
        ),
        (&["--api-key-file=/nowhere/at/all"], &[], "/nowhere/at/all"),
        (&["--api-key", SECRET], &[], "--api-key"),
        (
            &["--api-key-file=/dev/null"],
            &[("UNSTRUCTURED_API_KEY", SECRET)],
            "UNSTRUCTURED_API_KEY",
        ),
    ];
    for (arguments, environment, words) in cases {
        let output = run(arguments, environment)?;
        let said = String::from_utf8(output.stderr)?;
        let case = format!("{arguments:?} {environment:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{case}");
        assert_eq!(said.lines().count(), 1, "{case}");
        assert!(said.contains(words), "{case}");
        assert!(!said.contains(SECRET), "{case}");
        assert!(output.stdout.is_empty(), "{case}");
    }
    Ok(())
}

#[test]
fn an_api_key_that_cannot_be_one_is_refused_without_repeating_it() -> Result<()> {
    let output = run(&[], &[("UNSTRUCTURED_API_KEY", "bad key\u{7f}-7741")])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("UNSTRUCTURED_API_KEY") && !said.contains("7741"),
        "{said}"
    );
    Ok(())
}

#[test]
fn without_a_cluster_the_start_ends_with_exit_code_1() -> Result<()> {
    let output = run(
        &["--listen=127.0.0.1:0"],
        &[("KUBECONFIG", "/nowhere/config")],
    )?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_exit_code_1() -> Result<()> {
    let mut stage = stage().await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    stage.set("LISTEN", &taken.local_addr()?.to_string());
    let output = Command::new(OPERATOR)
        .arg("run")
        .env_clear()
        .envs(
            stage
                .settings
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&taken.local_addr()?.to_string()) && said.contains("LISTEN"),
        "{said}"
    );
    Ok(())
}

/// A laptop with an administrator's kubeconfig: nothing works beside the cluster's own operator because its name was typed.
#[tokio::test]
async fn the_name_alone_starts_nothing_and_prints_the_help() -> Result<()> {
    let stage = stage().await?;
    let output = Command::new(OPERATOR)
        .env_clear()
        .env("KUBECONFIG", stage.plane.kubeconfig_path())
        .stdin(Stdio::null())
        .output()?;
    assert!(output.status.success(), "{output:?}");
    let help = String::from_utf8(output.stdout)?;
    assert!(
        help.contains("Usage: unstructured-operator <COMMAND>"),
        "{help}"
    );
    Ok(())
}

#[tokio::test]
async fn the_endpoints_tell_life_readiness_and_metrics() -> Result<()> {
    let stage = stage().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;

    assert_eq!(operator.get("/healthz").await?, (200, "ok\n".to_owned()));
    assert_eq!(operator.get("/readyz").await?, (200, "ok\n".to_owned()));
    let (status, metrics) = operator.get("/metrics").await?;
    assert_eq!(status, 200);
    for series in [
        "unstructured_operator_build_info{version=",
        "unstructured_operator_leader 1",
        "unstructured_operator_reconciles_total{",
        "unstructured_operator_reconcile_duration_seconds_bucket{",
        "unstructured_operator_api_requests_total{",
        "unstructured_operator_queue_depth{",
        "unstructured_operator_credential_checks_total{provider=\"dropbox\",result=\"accepted\"} 1",
        "unstructured_operator_time_to_ready_seconds_count 1",
        "unstructured_operator_orphans_total 0",
        "process_resident_memory_bytes",
        "# EOF",
    ] {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    for private in ["contracts", stage.namespace.as_str()] {
        assert!(
            !metrics.contains(private),
            "no object's name is a label: {metrics}"
        );
    }
    Ok(())
}

/// Who holds the Lease; empty for nobody.
async fn holder(stage: &Stage) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let lease = leases.get("unstructured-operator").await?;
    Ok(lease
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default())
}

#[tokio::test]
async fn sigterm_ends_the_process_and_releases_the_lease_for_the_next() -> Result<()> {
    let stage = stage().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert!(!holder(&stage).await?.is_empty());
    // Work that will not end by itself must not hold it up.
    stage.api.inject(Route::Update, Fault::hang().always());
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    eventually("the update is under way", || {
        (!stage.updates().is_empty()).then_some(())
    })
    .await?;

    let asked = Instant::now();
    let status = operator.stop().await?;
    let took = asked.elapsed();

    assert!(status.success(), "{status}");
    // Promised are two seconds; the rest is for a machine that is busy with something else.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(holder(&stage).await?, "");
    stage.api.clear_faults();
    let _next = stage.operator().await?;
    stage.until_ready("contracts").await?;
    assert_eq!(
        stage.workspace.sources()[0].config["recursive"],
        json!(true)
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_that_comes_while_the_process_stops_is_still_written_down() -> Result<()> {
    let stage = stage().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_millis(100)),
    );
    stage.create("contracts", json!({})).await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 1).then_some(())
    })
    .await?;

    assert!(operator.stop().await?.success());

    let left = stage.sources().get("contracts").await?;
    let sources = stage.workspace.sources();
    assert_eq!(left.data["status"]["sourceId"], sources[0].id.as_str());
    Ok(())
}

#[tokio::test]
async fn a_shard_serves_only_what_its_selector_names() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("WATCH_LABEL_SELECTOR", "shard in (one)");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("other", json!({})).await?;
    let mut labelled = support::stage::manifest("mine", json!({}));
    labelled.metadata.labels = Some([("shard".to_owned(), "one".to_owned())].into());
    stage
        .sources()
        .create(&kube::api::PostParams::default(), &labelled)
        .await?;
    stage.until_ready("mine").await?;
    let other = stage.sources().get("other").await?;
    assert_eq!(other.data["status"]["observedGeneration"], -1);
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}
