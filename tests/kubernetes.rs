//! Faults of Kubernetes itself. A test that breaks the control plane has one of its own.

use std::time::Duration;

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use support::controlplane::{Component, ControlPlane};
use support::fake::Fault;
use support::fake::unstructured::Route;
use support::stage::{PATIENCE, Stage, eventually, source_id};

use crate::stage;

#[tokio::test]
async fn an_api_server_that_dies_in_mid_create_costs_nothing() -> Result<()> {
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start().await?));
    let mut stage = Stage::on(plane, crate::OPERATOR).await?;
    stage.judge = crate::oracle::judge;
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

    plane.kill(Component::ApiServer)?;
    stage.workspace.edit(&id, |source| {
        source.config.insert("recursive".into(), json!(true));
    });
    stage.api.wait_for(created_twice, PATIENCE).await?;
    plane.launch(Component::ApiServer).await?;

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
    let plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start().await?));
    let mut stage = Stage::on(plane, crate::OPERATOR).await?;
    stage.judge = crate::oracle::judge;
    // Somebody installed a definition that lets anything pass.
    let definition = "dropboxsources.connectors.unstructured.io";
    let loose = json!([{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    }]);
    let mut kubectl = plane.kubectl();
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
    Ok(())
}
