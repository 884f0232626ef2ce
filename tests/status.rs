//! How the status is written: as a whole and by the operator alone, whoever else wrote to it before, and only where the installed
//! definition can hold it.

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use support::stage::{APP_KEY, REFRESH_TOKEN, Stage, condition, eventually, message, source_id};

use crate::{stage, stage_apart};

#[tokio::test]
async fn a_status_that_another_manager_restored_or_edited_stands_in_nobodys_way() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for (name, manager) in [("restored", "velero"), ("edited", "kubectl-edit")] {
        stage.create(name, json!({})).await?;
        let ready = stage.until_ready(name).await?;
        if manager == "velero" {
            stage.overwrite_status(name, &ready.data["status"]).await?;
        } else {
            let params = PatchParams {
                field_manager: Some(manager.to_owned()),
                ..PatchParams::default()
            };
            let patch = json!({ "status": { "connectionCheck": { "status": "FAILURE" } } });
            stage
                .sources()
                .patch_status(name, &params, &Patch::Merge(patch))
                .await?;
        }

        stage.edit(name, json!({ "recursive": true })).await?;
        let updated = stage.until_ready(name).await?;

        let id = source_id(&updated).context("an id")?;
        let connector = stage.workspace.source(id).context("it is there")?;
        assert_eq!(connector.config["recursive"], json!(true), "{name}");
    }
    stage
        .dropbox
        .accept(APP_KEY, "rotated-app-secret", REFRESH_TOKEN);
    stage
        .rotate("dropbox", "app_secret", "rotated-app-secret")
        .await?;
    eventually("both have the rotated value", || {
        let sources = stage.workspace.sources();
        let rotated = sources
            .iter()
            .filter(|s| s.text("app_secret") == "rotated-app-secret");
        (rotated.count() == 2).then_some(())
    })
    .await?;
    assert_eq!(stage.creates().len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_id_is_recorded_although_another_manager_owned_the_intent() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    // A backup was made in mid-create, and restored with its status before the operator starts.
    let name = format!("{}.contracts.test", stage.namespace);
    let status = json!({
        "observedGeneration": 1,
        "create": { "name": name, "startedAt": "2026-01-01T00:00:00Z" },
        "conditions": [],
    });
    stage.overwrite_status("contracts", &status).await?;

    let _operator = stage.operator().await?;
    let ready = stage.until_ready("contracts").await?;

    assert!(source_id(&ready).is_some());
    assert!(ready.data["status"].get("create").is_none());
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

/// Takes a field of the status out of the installed definition, as an older definition lacks it.
async fn forget_field(stage: &Stage, field: &str) -> Result<Value> {
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    let name = "dropboxsources.connectors.unstructured.io";
    let whole = serde_json::to_value(definitions.get(name).await?.spec)?;
    let pointer =
        format!("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/{field}");
    let patch: Patch<()> = Patch::Json(serde_json::from_value(
        json!([{ "op": "remove", "path": pointer }]),
    )?);
    definitions
        .patch(name, &PatchParams::default(), &patch)
        .await?;
    Ok(whole)
}

#[tokio::test]
async fn nothing_is_made_that_an_older_definition_could_not_record() -> Result<()> {
    let mut stage = stage_apart().await?;
    // Conditions that cannot be stored begin anew.
    stage.judge = |_| Vec::new();
    stage.set("SYNC_INTERVAL", "500ms");
    stage.good_secret().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    for (n, field) in STATUS_FIELDS.into_iter().enumerate() {
        let whole = forget_field(&stage, field).await?;
        let writes = stage.writes();
        let operator = stage.operator().await?;
        let name = format!("old-{n}");
        stage.create(&name, json!({})).await?;
        // Where the conditions themselves cannot be stored, the log is what is left.
        if field != "conditions" {
            let told = stage.until_reason(&name, "DefinitionOutdated").await?;
            let message = message(&told, "Ready");
            assert!(message.contains(&format!("status.{field}")), "{message}");
            assert!(condition(&told, "Stalled").is_some());
        }
        eventually("the log names the field", || {
            operator
                .output()
                .contains(&format!("status.{field}"))
                .then_some(())
        })
        .await?;
        assert_eq!(stage.writes(), writes, "nothing is made without {field}");

        let patch = json!({ "spec": whole });
        definitions
            .patch(
                "dropboxsources.connectors.unstructured.io",
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await?;
        stage.until_ready(&name).await?;
        operator.stop().await?;
    }
    assert_eq!(stage.workspace.sources().len(), STATUS_FIELDS.len());
    Ok(())
}

/// Every field of the status but `observedGeneration`, without which no resource can be made at all: the definition sets it.
const STATUS_FIELDS: [&str; 10] = [
    "sourceId",
    "connectorName",
    "key",
    "workspace",
    "appliedDigest",
    "lastSyncTime",
    "lastHandledReconcileAt",
    "connectionCheck",
    "create",
    "conditions",
];
