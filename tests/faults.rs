//! Faults of the Unstructured API: what each means, how long it is waited out, and who else feels it.

use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::fake::unstructured::{Route, answers};
use support::fake::{Answer, FakeUnstructured, Fault, On};
use support::stage::{API_KEY, Stage, condition, eventually, message, source_id};

use crate::stage;

async fn ready_reasons(stage: &Stage) -> Result<Vec<String>> {
    let mut reasons: Vec<String> = stage
        .versions()
        .await?
        .iter()
        .filter_map(|version| Some(condition(version, "Ready")?["reason"].as_str()?.to_owned()))
        .collect();
    reasons.dedup();
    Ok(reasons)
}

#[tokio::test]
async fn two_failures_are_waited_out_and_leave_no_trace() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "verify": false }))
        .await?;
    stage.until_ready("contracts").await?;
    stage.api.inject(
        Route::Update,
        Fault::answer(answers::internal_server_error()).times(2),
    );

    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    stage.until_ready("contracts").await?;

    assert_eq!(stage.updates().len(), 3);
    let reasons = ready_reasons(&stage).await?;
    let end = &reasons[reasons.len() - 2..];
    assert_eq!(
        end,
        ["ApiUnavailable", "Ready"],
        "no churn in between: {reasons:?}"
    );
    Ok(())
}

#[tokio::test]
async fn failures_without_end_are_met_with_growing_delay() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    stage.api.inject(
        Route::Update,
        Fault::answer(answers::internal_server_error()).always(),
    );

    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    eventually("four attempts", || {
        (stage.updates().len() >= 4).then_some(())
    })
    .await?;

    let at: Vec<_> = stage.updates().iter().map(|put| put.instant).collect();
    // Between a half and the whole of 1, 2 and 4 seconds.
    for (n, shortest) in [0.5, 1.0, 2.0].into_iter().enumerate() {
        let gap = (at[n + 1] - at[n]).as_secs_f64();
        assert!(gap >= shortest, "gap {n} is {gap} s");
    }
    let failing = stage.until_reason("contracts", "ApiUnavailable").await?;
    assert!(
        condition(&failing, "Reconciling").is_some(),
        "it is tried again"
    );
    assert!(condition(&failing, "Stalled").is_none());
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_holds_for_all_resources_of_the_key_and_for_no_other() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-0006");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0006")])
        .await?;
    stage.workspace.inject(
        On::Every,
        Fault::answer(answers::too_many_requests(Some("6"))),
    );
    stage.create("first", json!({ "verify": false })).await?;
    stage.until_reason("first", "RateLimited").await?;
    stage.create("second", json!({ "verify": false })).await?;
    stage.until_reason("second", "RateLimited").await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("elsewhere", spec).await?;
    stage.until_ready("elsewhere").await?;
    stage.until_ready("first").await?;
    stage.until_ready("second").await?;

    assert_eq!(theirs.sources().len(), 1);
    let ours: Vec<_> = stage
        .api
        .requests()
        .into_iter()
        .filter(|request| request.api_key() == Some(API_KEY))
        .collect();
    let limited = ours
        .iter()
        .position(|r| r.status() == Some(429))
        .expect("a 429");
    let pause = ours[limited + 1].instant - ours[limited].instant;
    assert!(pause >= Duration::from_secs(6), "{pause:?}");
    Ok(())
}

#[tokio::test]
async fn whatever_a_retry_after_says_it_is_heeded_within_reason() -> Result<()> {
    let stage = stage().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(5);
    let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let asked = [
        ("date", text.as_str()),
        ("garbage", "soon"),
        ("ages", "1000000000"),
    ];
    let mut keys = Vec::new();
    for (name, value) in asked {
        let key = format!("tenant-key-{name}");
        let workspace = stage.api.workspace(&key);
        workspace.inject(
            On::Every,
            Fault::answer(answers::too_many_requests(Some(value))),
        );
        stage.secret(name, &[("api_key", &key)]).await?;
        let spec = json!({ "verify": false, "workspace": { "apiKeySecretRef": { "name": name } } });
        stage.create(name, spec).await?;
        keys.push(key);
    }
    let sent_with = |key: &str| {
        let mut requests = stage.api.requests();
        requests.retain(|request| request.api_key() == Some(key));
        requests
    };
    stage.until_ready("date").await?;
    // HTTP dates have whole seconds, the answer's own date too.
    let slack = jiff::SignedDuration::from_secs(2);
    assert!(sent_with(&keys[0])[1].at >= date - slack);
    stage.until_ready("garbage").await?;
    let requests = sent_with(&keys[1]);
    let pause = requests[1].instant - requests[0].instant;
    assert!(pause >= Duration::from_secs(5), "the default: {pause:?}");
    stage.until_reason("ages", "RateLimited").await?;
    assert_eq!(sent_with(&keys[2]).len(), 1);
    let end = tokio::time::Instant::now() + support::stage::PATIENCE;
    while operator
        .metric("unstructured_operator_paused_workspaces")
        .await?
        < 0.5
    {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "no workspace is said to be paused"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_configuration_is_told_by_field_and_tried_once_per_change() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let item = json!({ "type": "value_error", "loc": ["body", "config", "remote_url"], "msg": "no such folder" });
    let field = ("remote_url".to_owned(), "Folder is reserved".to_owned());
    let refusals = [
        (
            "r412",
            answers::invalid_configuration(&[field]),
            "Folder is reserved",
        ),
        ("r422", answers::unprocessable(&[item]), "no such folder"),
    ];
    for (name, refusal, words) in refusals {
        stage
            .api
            .inject(Route::Create, Fault::answer(refusal.clone()).always());
        let before = stage.creates().len();
        stage.create(name, json!({})).await?;
        let refused = stage.until_reason(name, "InvalidConfiguration").await?;
        let told = message(&refused, "Ready");
        assert!(
            told.contains("remote_url") && told.contains(words),
            "{told}"
        );
        assert!(condition(&refused, "Stalled").is_some());
        stage.after_sweeps(3).await?;
        assert_eq!(stage.creates().len(), before + 1, "{name}: one attempt");

        stage
            .edit(name, json!({ "remoteUrl": "dropbox://another" }))
            .await?;
        eventually("the changed spec is tried", || {
            (stage.creates().len() == before + 2).then_some(())
        })
        .await?;
        stage.until_reason(name, "InvalidConfiguration").await?;
        stage.api.clear_faults();
        stage.after_sweeps(3).await?;
        assert_eq!(
            stage.creates().len(),
            before + 2,
            "{name}: no second attempt"
        );
        stage
            .annotate(name, "connectors.unstructured.io/reconcile-at", "1")
            .await?;
        stage.until_ready(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none_are_told_and_outlived() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "10s");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let odd = [
        (
            "malformed",
            Fault::answer(Answer::typed(200, "application/json", "[{\"id\": ")),
        ),
        (
            "page",
            Fault::answer(Answer::html(200, "<html>Log in</html>")),
        ),
        ("huge", Fault::huge(100 << 20)),
        ("nested", Fault::nested(100_000)),
        ("empty", Fault::answer(Answer::empty(200))),
        (
            "object",
            Fault::answer(Answer::json(200, &json!({ "sources": [] }))),
        ),
    ];
    for (n, (name, fault)) in odd.into_iter().enumerate() {
        // Nothing of the resource's name, which is in the key of its connector.
        let key = format!("5d1c{n}e9b07-of-a-tenant");
        stage
            .api
            .workspace(&key)
            .inject(Route::List, fault.times(1));
        stage.secret(name, &[("api_key", &key)]).await?;
        let spec = json!({ "verify": false, "workspace": { "apiKeySecretRef": { "name": name } } });
        stage.create(name, spec).await?;
        let told = stage.until_reason(name, "UnexpectedResponse").await?;
        assert!(condition(&told, "Reconciling").is_some(), "{name}");
        stage.until_ready(name).await?;
    }
    assert_eq!(stage.creates().len(), 6);
    let memory = operator.metric("process_resident_memory_bytes").await?;
    assert!(memory < 400e6, "{memory} bytes");
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_not_followed_to_another_host() -> Result<()> {
    let stage = stage().await?;
    let elsewhere = FakeUnstructured::start();
    elsewhere.workspace(API_KEY);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let target = format!("{}/sources/", elsewhere.url());
    stage
        .api
        .inject(On::Every, Fault::redirect(&target).always());
    stage.create("contracts", json!({})).await?;

    stage
        .until_reason("contracts", "UnexpectedResponse")
        .await?;
    stage.api.clear_faults();
    stage.until_ready("contracts").await?;

    assert_eq!(elsewhere.requests().len(), 0, "no key goes there");
    Ok(())
}

/// A server whose certificate nobody vouches for: its URL, and what it could read.
fn foreign_certificate() -> Result<(String, Arc<Mutex<Vec<u8>>>)> {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der())
        .map_err(anyhow::Error::msg)?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)?;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("https://{}", listener.local_addr()?);
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let log = Arc::clone(&received);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let Ok(mut connection) = rustls::ServerConnection::new(Arc::clone(&config)) else {
                continue;
            };
            let mut bytes = [0; 4096];
            let read = rustls::Stream::new(&mut connection, &mut stream).read(&mut bytes);
            let read = read.unwrap_or_default();
            log.lock()
                .expect("nobody panicked")
                .extend_from_slice(&bytes[..read]);
        }
    });
    Ok((url, received))
}

#[tokio::test]
async fn an_api_that_cannot_be_reached_safely_gets_nothing_and_is_waited_for() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0007")])
        .await?;
    let plain = format!("https://{}", stage.api.address());
    let (foreign, received) = foreign_certificate()?;
    for (name, url) in [
        ("unknown", "https://api.does-not-exist.invalid"),
        ("plain", plain.as_str()),
        ("foreign", foreign.as_str()),
    ] {
        let spec =
            json!({ "workspace": { "apiUrl": url, "apiKeySecretRef": { "name": "workspace" } } });
        stage.create(name, spec).await?;
        let told = stage.until_reason(name, "ApiUnavailable").await?;
        assert!(condition(&told, "Reconciling").is_some());
        let said = message(&told, "Ready");
        let advised = said.contains("UnknownIssuer") && said.contains("SSL_CERT_FILE");
        assert_eq!(advised, name == "foreign", "{said}");
        stage.delete(name).await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.api.requests().len(), 0);
    assert_eq!(received.lock().expect("nobody panicked").len(), 0);

    stage.api.stop();
    stage.create("contracts", json!({})).await?;
    stage.until_reason("contracts", "ApiUnavailable").await?;
    stage.api.restart();
    stage.until_ready("contracts").await?;
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_hangs_delays_no_other() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "2s");
    stage.set("MAX_CONCURRENT_RECONCILES", "8");
    stage.set("MAX_CONCURRENT_REQUESTS", "4");
    stage.api.workspace("tenant-key-0008");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0008")])
        .await?;
    stage.workspace.inject(On::Every, Fault::hang().always());
    for n in 0..10 {
        stage.create(&format!("hung-{n}"), json!({})).await?;
    }
    eventually("the first hangs", || {
        (!stage.api.requests().is_empty()).then_some(())
    })
    .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("quick", spec).await?;
    let ready = stage.until_ready("quick").await?;
    assert!(source_id(&ready).is_some());
    assert_eq!(stage.workspace.sources(), []);
    stage.api.clear_faults();
    stage.until_ready("hung-9").await?;
    Ok(())
}

#[tokio::test]
async fn dripping_bytes_meet_a_deadline_and_what_they_did_is_found() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .api
        .inject(Route::Create, Fault::drip(Duration::from_mins(1)));
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_outage_at_rest_turns_nothing_unready() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "100ms");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    stage.after_sweeps(2).await?;
    let versions = stage.versions().await?.len();
    stage
        .api
        .inject(Route::List, Fault::answer(answers::unavailable()).always());
    let failed = "unstructured_operator_api_requests_total{operation=\"list\",class=\"server\"}";
    let end = tokio::time::Instant::now() + support::stage::PATIENCE;
    while operator.metric(failed).await? < 3.0 {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "no failed list is counted: {}",
            operator.get("/metrics").await?.1
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.api.clear_faults();
    stage.after_sweeps(2).await?;
    assert_eq!(stage.versions().await?.len(), versions);
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_workspace_recreates_nothing_until_the_move_is_confirmed() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let old = stage.api.workspace("tenant-key-old01");
    let new = stage.api.workspace("tenant-key-new01");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-old01")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    for name in ["one", "two"] {
        stage.create(name, spec.clone()).await?;
        stage.until_ready(name).await?;
    }

    stage
        .rotate("workspace", "api_key", "tenant-key-new01")
        .await?;
    for name in ["one", "two"] {
        let moved = stage.until_reason(name, "WorkspaceChanged").await?;
        assert!(condition(&moved, "Stalled").is_some());
        assert!(source_id(&moved).is_some(), "the old id is kept");
    }
    assert_eq!(new.sources(), []);
    assert_eq!(stage.creates().len(), 2);

    // The way back needs nobody.
    stage
        .rotate("workspace", "api_key", "tenant-key-old01")
        .await?;
    stage.until_ready("one").await?;
    stage.until_ready("two").await?;
    assert_eq!(stage.creates().len(), 2);

    stage
        .rotate("workspace", "api_key", "tenant-key-new01")
        .await?;
    let moved = stage.until_reason("one", "WorkspaceChanged").await?;
    let told = message(&moved, "Ready");
    let (annotation, value) = told
        .split_whitespace()
        .find_map(|word| word.split_once('='))
        .expect("the annotation that confirms");
    stage
        .annotate("one", annotation, value.trim_end_matches('.'))
        .await?;
    let ready = stage.until_ready("one").await?;
    assert_eq!(new.sources().len(), 1);
    assert_eq!(source_id(&ready), Some(new.sources()[0].id.as_str()));
    assert_eq!(
        old.sources().len(),
        2,
        "what the old key opens is beyond our reach"
    );
    stage.until_reason("two", "WorkspaceChanged").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_of_another_workspace_does_not_let_a_resource_go_without_its_connector() -> Result<()>
{
    let stage = stage().await?;
    let old = stage.api.workspace("tenant-key-old02");
    stage.api.workspace("tenant-key-new02");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-old02")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    for name in ["returns", "confirmed"] {
        stage.create(name, spec.clone()).await?;
        stage.until_ready(name).await?;
    }
    stage
        .rotate("workspace", "api_key", "tenant-key-new02")
        .await?;
    let mut told = String::new();
    for name in ["returns", "confirmed"] {
        stage.until_reason(name, "WorkspaceChanged").await?;
        stage.delete(name).await?;
        let blocked = stage.until_reason(name, "DeletionBlocked").await?;
        message(&blocked, "Ready").clone_into(&mut told);
        assert!(told.contains("deletionPolicy: Retain"), "{told}");
    }
    assert_eq!(old.sources().len(), 2);

    let (annotation, value) = told
        .split_whitespace()
        .find_map(|word| word.split_once('='))
        .expect("the annotation that confirms");
    stage
        .annotate("confirmed", annotation, value.trim_end_matches('.'))
        .await?;
    stage.gone("confirmed").await?;
    stage
        .rotate("workspace", "api_key", "tenant-key-old02")
        .await?;
    stage.gone("returns").await?;
    assert_eq!(old.sources().len(), 1, "the one that nobody can reach");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_names_the_connector_of_another_resource_binds_nobody_to_it() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("first", json!({ "verify": false })).await?;
    let first = stage.until_ready("first").await?;
    let theirs = source_id(&first).unwrap_or_default();
    let replayed = json!({
        "id": theirs, "name": "first", "type": "dropbox", "config": {}, "created_at": "2026-01-01T00:00:00Z",
    });
    stage.api.inject(
        Route::Create,
        Fault::answer(Answer::json(200, &replayed)).committed(),
    );

    stage.create("second", json!({ "verify": false })).await?;
    let second = stage.until_ready("second").await?;

    assert_ne!(source_id(&second), Some(theirs));
    assert_eq!(stage.workspace.sources().len(), 2);
    Ok(())
}

#[tokio::test]
async fn rotating_between_two_keys_of_one_workspace_writes_nothing() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let workspace = stage.api.workspace("tenant-key-first");
    workspace.add_key("tenant-key-later");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-first")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("contracts", spec).await?;
    let before = stage.until_ready("contracts").await?;
    let writes = stage.writes();

    stage
        .rotate("workspace", "api_key", "tenant-key-later")
        .await?;
    let print = |object: &kube::api::DynamicObject| {
        object.data["status"]["workspace"]["keyFingerprint"].clone()
    };
    let after = stage
        .until("contracts", |object| print(object) != print(&before))
        .await?;
    stage.api.revoke_key("tenant-key-first");
    let lists = stage.lists().len();
    eventually("sweeps with the new key", || {
        (stage.lists().len() > lists + 3).then_some(())
    })
    .await?;

    assert_eq!(source_id(&after), source_id(&before));
    assert_eq!(stage.writes(), writes);
    stage.until_ready("contracts").await?;
    Ok(())
}
