//! A resource goes, and its connector with it: in any order, and whatever fails.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use support::fake::unstructured::{Route, answers};
use support::fake::{Answer, Fault, On};
use support::stage::{Stage, condition, eventually, message, source_id};

use crate::{stage, stage_apart};

async fn drop_secret(stage: &Stage, name: &str) -> Result<()> {
    stage
        .secrets()
        .delete(name, &DeleteParams::default())
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_connector_goes_although_its_credentials_went_first() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    let id = source_id(&ready).unwrap_or_default();
    drop_secret(&stage, "dropbox").await?;
    let lost = stage.until_reason("contracts", "SecretNotFound").await?;
    assert_eq!(
        source_id(&lost),
        Some(id),
        "a lost Secret loses no connector"
    );

    stage.delete("contracts").await?;
    stage.gone("contracts").await?;

    let deletes = stage.deletes();
    assert_eq!(deletes.len(), 1);
    assert_eq!(deletes[0].path, format!("/api/v1/sources/{id}"));
    assert_eq!(stage.workspace.sources(), []);
    stage.until_event("contracts", "Deleted").await?;
    Ok(())
}

#[tokio::test]
async fn without_the_api_key_what_was_never_made_goes_and_what_was_made_waits() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-0003");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0003")])
        .await?;
    let spec = |secret: &str| json!({ "workspace": { "apiKeySecretRef": { "name": secret } } });
    for name in ["waits", "retains"] {
        stage.create(name, spec("workspace")).await?;
        stage.until_ready(name).await?;
    }
    stage.create("never", spec("absent")).await?;
    stage.until_reason("never", "WorkspaceKeyMissing").await?;
    // A process that has used the key would still have it in memory.
    operator.stop().await?;
    drop_secret(&stage, "workspace").await?;
    let _operator = stage.operator().await?;

    for name in ["never", "waits", "retains"] {
        stage.delete(name).await?;
    }
    stage.gone("never").await?;
    for name in ["waits", "retains"] {
        let blocked = stage.until_reason(name, "DeletionBlocked").await?;
        let told = message(&blocked, "Ready");
        assert!(
            told.contains("workspace") && told.contains("deletionPolicy: Retain"),
            "{told}"
        );
        assert!(condition(&blocked, "Stalled").is_some());
    }
    assert_eq!(stage.deletes().len(), 0);

    stage
        .edit("retains", json!({ "deletionPolicy": "Retain" }))
        .await?;
    stage.gone("retains").await?;
    assert_eq!(theirs.sources().len(), 2);
    stage
        .secret("workspace", &[("api_key", "tenant-key-0003")])
        .await?;
    stage.gone("waits").await?;
    let left: Vec<_> = theirs.sources().into_iter().map(|s| s.name).collect();
    assert_eq!(left, [format!("{}.retains.test", stage.namespace)]);
    Ok(())
}

#[tokio::test]
async fn a_deleted_namespace_terminates_and_takes_its_connectors_along() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-0004");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0004")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("own-key", spec).await?;
    stage.create("operators-key", json!({})).await?;
    stage.until_ready("own-key").await?;
    stage.until_ready("operators-key").await?;

    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    // The key goes first, and the operator must have seen that it is gone.
    drop_secret(&stage, "workspace").await?;
    stage.until_reason("own-key", "WorkspaceKeyMissing").await?;
    namespaces
        .delete(&stage.namespace, &DeleteParams::default())
        .await?;
    stage.gone("own-key").await?;
    stage.gone("operators-key").await?;

    assert_eq!(stage.workspace.sources(), []);
    assert_eq!(
        theirs.sources(),
        [],
        "deleted with the key still held in memory"
    );
    Ok(())
}

#[tokio::test]
async fn a_namespace_whose_key_nobody_holds_terminates_and_its_orphan_is_named() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("LEADER_ELECT", "false");
    stage.api.workspace("tenant-key-0005");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0005")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    let id = stage.create_ready("contracts", spec).await?;
    operator.kill()?;
    drop_secret(&stage, "workspace").await?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces
        .delete(&stage.namespace, &DeleteParams::default())
        .await?;

    let operator = stage.operator().await?;
    stage.gone("contracts").await?;

    assert_eq!(stage.deletes().len(), 0);
    let orphans = operator
        .metric("unstructured_operator_orphans_total")
        .await?;
    assert!((orphans - 1.0).abs() < f64::EPSILON, "{orphans}");
    let events: Api<k8s_openapi::api::events::v1::Event> = Api::all(stage.client.clone());
    let end = tokio::time::Instant::now() + support::stage::PATIENCE;
    loop {
        let all = events.list(&kube::api::ListParams::default()).await?;
        let named = all.items.iter().any(|event| {
            event.reason.as_deref() == Some("Orphaned")
                && event.note.as_deref().is_some_and(|note| note.contains(&id))
        });
        if named {
            return Ok(());
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "no event names the orphan {id}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn no_failure_at_deletion_is_taken_for_success_but_a_404_is() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let failures = [
        ("unauthorized", Fault::answer(answers::key_invalid())),
        ("forbidden", Fault::answer(answers::forbidden())),
        ("failing", Fault::answer(answers::internal_server_error())),
        ("silent", Fault::hang()),
        ("cut", Fault::disconnect()),
        ("page", Fault::answer(Answer::html(200, "<h1>Welcome</h1>"))),
        (
            "elsewhere",
            Fault::answer(Answer::html(404, "<h1>Not found</h1>")),
        ),
        ("redirected", Fault::redirect("http://127.0.0.1:1/")),
    ];
    for (name, _) in &failures {
        stage.create(name, json!({ "verify": false })).await?;
    }
    let mut ids = std::collections::BTreeMap::new();
    for (name, _) in &failures {
        let ready = stage.until_ready(name).await?;
        ids.insert(*name, source_id(&ready).unwrap_or_default().to_owned());
    }

    // One at a time: failures in a row would pause the workspace.
    for (name, fault) in failures {
        stage.api.inject(Route::Delete, fault.always());
        let deletes = stage.deletes().len();
        stage.delete(name).await?;
        eventually("the delete is sent", || {
            (stage.deletes().len() > deletes).then_some(())
        })
        .await?;
        let kept = stage
            .until(name, |object| {
                matches!(
                    condition(object, "Ready").and_then(|c| c["reason"].as_str()),
                    Some("Deleting" | "DeletionBlocked")
                )
            })
            .await?;
        assert!(
            kept.metadata.finalizers.is_some_and(|f| !f.is_empty()),
            "{name}"
        );
        assert!(stage.workspace.source(&ids[name]).is_some(), "{name}");
        stage.api.clear_faults();
        stage.workspace.remove(&ids[name]);
        // What is refused is tried again after minutes; a person in a hurry says so.
        stage
            .annotate(name, "connectors.unstructured.io/reconcile-at", "1")
            .await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn a_404_means_gone_only_where_connectors_can_be_listed() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage
        .create_ready("contracts", json!({ "verify": false }))
        .await?;
    // The API moved, and its router says of every path what it says of a connector that is not there.
    stage
        .api
        .inject(On::Every, Fault::answer(answers::not_found()).always());
    stage.delete("contracts").await?;
    stage
        .until("contracts", |object| {
            message(object, "Ready").contains("check the API URL")
        })
        .await?;
    assert!(stage.workspace.source(&id).is_some());

    stage.api.clear_faults();
    stage.gone("contracts").await?;
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn a_resource_that_somebody_else_holds_does_not_stay_ready_without_its_connector()
-> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    let hold =
        |finalizers: Vec<String>| Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    let mut finalizers = ready.metadata.finalizers.unwrap_or_default();
    finalizers.push("example.com/hold".to_owned());
    let params = PatchParams::default();
    stage
        .sources()
        .patch("contracts", &params, &hold(finalizers))
        .await?;

    stage.delete("contracts").await?;
    let deleting = stage.until_reason("contracts", "Deleting").await?;
    assert_eq!(
        deleting.metadata.finalizers,
        Some(vec!["example.com/hold".to_owned()])
    );
    assert_eq!(source_id(&deleting), None);
    assert_eq!(stage.workspace.sources(), []);

    stage
        .sources()
        .patch("contracts", &params, &hold(Vec::new()))
        .await?;
    stage.gone("contracts").await
}

#[tokio::test]
async fn retain_leaves_the_connector_even_while_the_api_is_down() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "deletionPolicy": "Retain" }))
        .await?;
    stage.until_ready("contracts").await?;
    stage.api.stop();

    stage.delete("contracts").await?;
    stage.gone("contracts").await?;

    assert_eq!(stage.deletes().len(), 0);
    assert_eq!(stage.workspace.sources().len(), 1);
    stage.until_event("contracts", "Retained").await?;
    Ok(())
}

#[tokio::test]
async fn a_resource_deleted_while_its_create_is_unknown_leaves_nothing() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "3s");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let faults = [
        ("lost", Fault::disconnect().committed()),
        (
            "late",
            Fault::answer(answers::internal_server_error()).committed_late(Duration::from_secs(1)),
        ),
        ("never", Fault::disconnect()),
    ];
    for (name, fault) in faults {
        let creates = stage.creates().len();
        // The connector is not seen until the resource is being deleted.
        stage.api.inject(
            Route::List,
            Fault::answer(answers::unavailable())
                .after(Duration::from_millis(100))
                .times(1),
        );
        stage.api.clear_faults();
        stage.api.inject(Route::Create, fault);
        stage.create(name, json!({ "verify": false })).await?;
        eventually("the create is sent", || {
            (stage.creates().len() > creates).then_some(())
        })
        .await?;
        stage.delete(name).await?;
        stage.gone(name).await?;
        assert_eq!(stage.workspace.sources(), [], "{name}");
        assert_eq!(
            stage.creates().len(),
            creates + 1,
            "{name}: none is made to be deleted"
        );
    }
    Ok(())
}

#[tokio::test]
async fn deleting_the_definition_leaves_every_connector_and_a_new_one_finds_them() -> Result<()> {
    let mut stage = stage_apart().await?;
    stage.set("LEADER_ELECT", "false");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;

    let mut kubectl = stage.plane.kubectl();
    kubectl.args([
        "delete",
        "crd",
        "dropboxsources.connectors.unstructured.io",
        "--timeout=60s",
    ]);
    let deleted = kubectl.output().await?;
    assert!(
        deleted.status.success(),
        "{}",
        String::from_utf8_lossy(&deleted.stderr)
    );
    assert_eq!(stage.deletes().len(), 0);
    assert_eq!(stage.workspace.sources().len(), 1);

    support::stage::install_definition(&stage.client).await?;
    stage.create("contracts", json!({})).await?;
    let after = stage.until_ready("contracts").await?;
    assert_eq!(source_id(&after), source_id(&before));
    assert_eq!(stage.creates().len(), 1);
    drop(operator);
    Ok(())
}

#[tokio::test]
async fn a_key_that_went_before_its_resource_still_deletes_the_connector() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-0032");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0032")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("contracts", spec).await?;
    stage.until_ready("contracts").await?;

    // As both are pruned in one commit.
    drop_secret(&stage, "workspace").await?;
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;

    assert_eq!(theirs.sources(), []);
    Ok(())
}

#[tokio::test]
async fn what_a_delete_has_taught_outlives_a_conflict_and_the_key() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-0033");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0033")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("contracts", spec).await?;
    stage.until_ready("contracts").await?;
    theirs.inject(
        Route::Delete,
        Fault::none().held_back(Duration::from_millis(1500)),
    );

    stage.delete("contracts").await?;
    eventually("the connector is being deleted", || {
        (stage.deletes().len() == 1).then_some(())
    })
    .await?;
    // A garbage collector touches the resource meanwhile, and the key goes.
    stage
        .annotate("contracts", "example.com/touched", "1")
        .await?;
    drop_secret(&stage, "workspace").await?;
    stage.gone("contracts").await?;

    assert_eq!(stage.deletes().len(), 1, "once is enough");
    assert_eq!(theirs.sources(), []);
    Ok(())
}

#[tokio::test]
async fn a_blocked_deletion_notices_that_the_namespace_goes_too() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-0034");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0034")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("contracts", spec).await?;
    stage.until_ready("contracts").await?;
    operator.stop().await?;
    drop_secret(&stage, "workspace").await?;
    let operator = stage.operator().await?;
    stage.delete("contracts").await?;
    stage.until_reason("contracts", "DeletionBlocked").await?;

    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces
        .delete(&stage.namespace, &DeleteParams::default())
        .await?;
    stage.gone("contracts").await?;

    assert_eq!(theirs.sources().len(), 1, "nobody could delete it");
    assert!(
        operator
            .metric("unstructured_operator_orphans_total")
            .await?
            > 0.0
    );
    Ok(())
}

#[tokio::test]
async fn a_404_to_a_delete_is_not_believed_while_the_connector_is_shown() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage.create_ready("contracts", json!({})).await?;
    let nothing = Fault::answer(answers::not_found());
    stage.api.inject(Route::Delete, nothing);
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert!(stage.workspace.source(&id).is_none(), "it was left behind");
    assert_eq!(stage.deletes().len(), 2);
    Ok(())
}
