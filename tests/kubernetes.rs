//! Faults of Kubernetes itself. A test that breaks the control plane has one of its own.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::controlplane::Component;
use support::fake::Fault;
use support::fake::unstructured::Route;
use support::refusal::Refusal;
use support::stage::{APP_KEY, APP_SECRET, PATIENCE, PINECONE_KEY, Stage, eventually, source_id};

use crate::{pipeline, stage, stage_apart};

#[tokio::test]
async fn an_api_server_that_dies_in_mid_create_costs_nothing() -> Result<()> {
    let mut stage = stage_apart().await?;
    stage.set("REQUEST_TIMEOUT", "2s");
    stage.set("SETTLE_TIME", "3s");
    stage.set("SYNC_INTERVAL", "500ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("settled", json!({})).await?;
    let settled = stage.until_ready("settled").await?;
    let id = source_id(&settled).unwrap_or_default().to_owned();
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_millis(500)),
    );
    stage.create("contracts", json!({})).await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 2).then_some(())
    })
    .await?;

    stage.plane.kill(Component::ApiServer)?;
    stage.workspace.edit(&id, |source| {
        source.config.insert("recursive".into(), json!(true));
    });
    stage.api.wait_for(created_twice, PATIENCE).await?;
    stage.plane.launch(Component::ApiServer).await?;

    stage.until_ready("contracts").await?;
    stage
        .edit("settled", json!({ "remoteUrl": "dropbox://edited" }))
        .await?;
    stage.until_ready("settled").await?;
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 2);
    assert_eq!(stage.creates().len(), 2);
    let mended = stage.workspace.source(&id).expect("it is there");
    assert_eq!(mended.config["recursive"], json!(false));
    assert_eq!(mended.text("remote_url"), "dropbox://edited");
    for name in ["settled", "contracts"] {
        stage.delete(name).await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

fn created_twice(requests: &[support::fake::Recorded]) -> bool {
    let creates = requests
        .iter()
        .filter(|r| r.method == "POST" && r.path == "/api/v1/sources/" && r.status().is_some());
    creates.count() == 2
}

#[tokio::test]
async fn a_resource_that_others_keep_writing_to_gets_one_connector() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_millis(300)),
    );
    stage.create("contracts", json!({})).await?;
    let mut beats = 0;
    while stage.sources().get("contracts").await?.data["status"]["sourceId"].is_null() {
        let label = json!({ "metadata": { "labels": { "heartbeat": beats.to_string() } } });
        stage
            .sources()
            .patch("contracts", &PatchParams::default(), &Patch::Merge(label))
            .await?;
        beats += 1;
        // Twenty times a second, which is more than anybody does, and leaves room for another write in between.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.until_ready("contracts").await?;
    assert!(beats > 0);
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.updates().len(), 0);
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_unreadable_resource_stops_no_other() -> Result<()> {
    let stage = stage_apart().await?;
    // Somebody installed a definition that lets anything pass.
    let definition = "dropboxsources.connectors.unstructured.io";
    let loose = json!([{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    }]);
    let mut kubectl = stage.plane.kubectl();
    kubectl.args([
        "patch",
        "crd",
        definition,
        "--type=json",
        "-p",
        &loose.to_string(),
    ]);
    let patched = kubectl.output().await?;
    assert!(
        patched.status.success(),
        "{}",
        String::from_utf8_lossy(&patched.stderr)
    );
    stage.good_secret().await?;
    let end = tokio::time::Instant::now() + PATIENCE;
    // The API server takes a moment to heed it.
    while stage
        .create("odd", json!({ "remoteUrl": 7 }))
        .await
        .is_err()
    {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "the definition is still strict"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let operator = stage.operator().await?;
    stage.create("fine", json!({})).await?;
    stage.until_ready("fine").await?;
    assert!(operator.output().contains("odd"), "it is named in the log");
    assert_eq!(stage.creates().len(), 1);

    // One that becomes unreadable keeps what it holds, over a restart too.
    stage
        .create("holder", json!({ "connectorName": "shared" }))
        .await?;
    stage.until_ready("holder").await?;
    stage.edit("holder", json!({ "remoteUrl": 7 })).await?;
    let by_name = json!({ "connectorName": "shared", "adoptionPolicy": "ByName" });
    stage.create("thief", by_name.clone()).await?;
    stage.until_reason("thief", "NameConflict").await?;
    operator.stop().await?;
    let _operator = stage.operator().await?;
    stage.create("another", by_name).await?;
    stage.until_reason("another", "NameConflict").await?;
    stage.until_reason("thief", "NameConflict").await?;
    assert_eq!(stage.creates().len(), 2);

    // Nor does doctor offer its connector to others.
    stage.edit("fine", json!({ "remoteUrl": 7 })).await?;
    let arguments = format!("-n {}", stage.namespace);
    let findings = crate::remedies::unclaimed(&stage, &arguments).await?;
    let verdicts: Vec<_> = findings.iter().map(|finding| &finding["verdict"]).collect();
    assert_eq!(verdicts, ["right"], "{findings:#?}");
    Ok(())
}

#[tokio::test]
async fn a_finalizer_that_somebody_takes_off_while_a_pass_is_at_work_is_put_back() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_millis(800)),
    );
    stage.create("contracts", json!({})).await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 1).then_some(())
    })
    .await?;
    let none = json!({ "metadata": { "finalizers": null } });
    stage
        .sources()
        .patch("contracts", &PatchParams::default(), &Patch::Merge(none))
        .await?;

    stage.until_ready("contracts").await?;
    stage
        .until("contracts", |object| {
            object
                .metadata
                .finalizers
                .as_ref()
                .is_some_and(|f| !f.is_empty())
        })
        .await?;
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

/// Has operators of this stage ask as this service account, which may do what `rules` say. Unlike the administrator, it is not exempt
/// from any limit.
async fn ask_as(stage: &mut Stage, account: &str, rules: &Value) -> Result<kube::Client> {
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let params = PostParams::default();
    let named = json!({ "metadata": { "name": account } });
    accounts
        .create(&params, &serde_json::from_value(named)?)
        .await?;
    let role = json!({ "metadata": { "name": stage.namespace }, "rules": rules });
    let cluster_roles: Api<ClusterRole> = Api::all(stage.client.clone());
    cluster_roles
        .create(&params, &serde_json::from_value(role)?)
        .await?;
    let binding = json!({
        "metadata": { "name": stage.namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": stage.namespace },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": stage.namespace }],
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(stage.client.clone());
    bindings
        .create(&params, &serde_json::from_value(binding)?)
        .await?;
    let request = serde_json::from_value(json!({ "spec": { "audiences": [] } }))?;
    let token = accounts
        .create_token_request(account, &params, &request)
        .await?;
    let token = token.status.map(|status| status.token);

    let text = std::fs::read_to_string(stage.plane.kubeconfig_path())?;
    let mut kubeconfig: Value = serde_json::from_str(&text)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    let path = stage.directory().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string())?;
    stage.set("KUBECONFIG", &path.display().to_string());
    let kubeconfig = serde_json::from_value(kubeconfig)?;
    let options = kube::config::KubeConfigOptions::default();
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // A refusal shall be seen.
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}

fn everything() -> Value {
    json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] })
}

#[tokio::test]
async fn a_secret_that_rotates_while_it_may_not_be_watched_is_noticed_at_the_next_interval()
-> Result<()> {
    const ROTATED: &str = "rotated-refresh-token-5d0c21";
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "500ms");
    let rules = json!([
        { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] },
        { "apiGroups": [""], "resources": ["namespaces", "events"], "verbs": ["*"] },
        { "apiGroups": ["apiextensions.k8s.io", "connectors.unstructured.io", "coordination.k8s.io", "events.k8s.io"],
          "resources": ["*"], "verbs": ["*"] },
    ]);
    ask_as(&mut stage, "operator", &rules).await?;
    let operator = stage.operator().await?;
    // A resource that was looked at before its Secret was there.
    stage.create("early", json!({})).await?;
    stage.until_reason("early", "SecretNotFound").await?;
    stage.good_secret().await?;
    stage.until_ready("early").await?;
    assert!(operator.output().contains("Forbidden"), "there is no watch");

    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    eventually("the rotated value is sent", || {
        let sent = stage.workspace.sources();
        (sent.len() == 1 && sent[0].text("refresh_token") == ROTATED).then_some(())
    })
    .await?;
    let updates = stage.updates().len();
    stage.after_sweeps(3).await?;
    assert_eq!(stage.updates().len(), updates, "once is enough");

    // A Secret that only a workflow reads.
    for (secret, key, value) in [
        ("pinecone", "api_key", PINECONE_KEY),
        ("nodes", "key", "zebra crossing"),
    ] {
        stage.secret(secret, &[(key, value)]).await?;
    }
    pipeline::connectors(&stage).await?;
    let mut spec = pipeline::workflow();
    spec["nodes"][0]["secretSettings"] =
        json!({ "provider_api_key": { "name": "nodes", "key": "key" } });
    pipeline::create(&stage, "UnstructuredWorkflow", "flow", spec).await?;
    pipeline::ready(&stage).await?;
    stage.rotate("nodes", "key", "zebra at dawn").await?;
    eventually("the rotated value of the node is sent", || {
        let made = stage.workspace.workflows();
        let mut nodes = made.iter().flat_map(|made| &made.nodes);
        nodes
            .any(|node| node.settings.get("provider_api_key") == Some(&json!("zebra at dawn")))
            .then_some(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_refuses_by_priority_and_fairness_costs_no_connector_and_no_change()
-> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "20s");
    let client = ask_as(&mut stage, "operator", &json!([everything()])).await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let quick = json!({ "verify": false });
    stage.create("settled", quick.clone()).await?;
    stage.until_ready("settled").await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_secs(5)),
    );
    stage.create("caught", quick.clone()).await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 2).then_some(())
    })
    .await?;

    let refusal = Refusal::of("operator", &client, &stage).await?;
    stage.edit("settled", json!({ "recursive": true })).await?;
    stage.create("late", quick).await?;
    // It cannot even say that it still leads.
    let end = tokio::time::Instant::now() + PATIENCE;
    while operator.metric("unstructured_operator_leader ").await? > 0.5 {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "it leads without a Lease"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.creates().len(), 2);
    refusal.end().await?;

    for name in ["settled", "caught", "late"] {
        stage.until_ready(name).await?;
    }
    assert!(operator.output().contains("(429)"));
    assert_eq!(stage.creates().len(), 3);
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 3);
    assert!(sources[0].config["recursive"] == json!(true));
    Ok(())
}

#[tokio::test]
async fn changes_that_no_watch_can_show_any_more_are_found() -> Result<()> {
    let mut stage = stage_apart().await?;
    // The watches shall go on where they were, not begin anew with a new term.
    stage.set("LEADER_ELECT", "false");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let quick = json!({ "verify": false });
    for name in ["edited", "removed"] {
        stage.create(name, quick.clone()).await?;
        stage.until_ready(name).await?;
    }

    operator.pause()?;
    // What is on its way to a stopped process would be read when it goes on: there must be no connection left.
    stage.plane.restart(Component::ApiServer).await?;
    stage.edit("edited", json!({ "recursive": true })).await?;
    stage.delete("removed").await?;
    stage.create("fresh", quick).await?;
    stage
        .rotate("dropbox", "app_secret", "app-secret-rotated-1d5e")
        .await?;
    stage.dropbox.accept(
        support::stage::APP_KEY,
        "app-secret-rotated-1d5e",
        support::stage::REFRESH_TOKEN,
    );
    stage.plane.forget_history().await?;
    operator.resume()?;

    stage.gone("removed").await?;
    stage.until_ready("edited").await?;
    stage.until_ready("fresh").await?;
    eventually("the rotated secret is with all", || {
        let sources = stage.workspace.sources();
        let rotated = |source: &support::fake::unstructured::StoredSource| {
            source.text("app_secret") == "app-secret-rotated-1d5e"
        };
        (sources.len() == 2 && sources.iter().all(rotated)).then_some(())
    })
    .await?;
    assert!(
        operator.output().contains("(410)"),
        "a watch was told that its place in history is gone"
    );
    assert_eq!(stage.creates().len(), 3);
    Ok(())
}
