//! Whose a connector is: what other resources hold, what was retained, and what a status says that was written by somebody else.

use anyhow::{Context, Result};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::stage::{
    APP_KEY, REFRESH_TOKEN, Stage, condition, eventually, manifest, message, source_id,
};

use crate::{stage, stage_apart};

async fn create_labelled(stage: &Stage, name: &str, shard: &str, spec: Value) -> Result<()> {
    let mut object = manifest(name, spec);
    object.metadata.labels = Some([("shard".to_owned(), shard.to_owned())].into());
    stage
        .sources()
        .create(&PostParams::default(), &object)
        .await?;
    Ok(())
}

fn own_name(stage: &Stage, name: &str) -> String {
    format!("{}.{name}.test", stage.namespace)
}

#[tokio::test]
async fn a_shard_takes_nothing_that_a_resource_of_another_shard_holds() -> Result<()> {
    let mut stage = stage().await?;
    stage.good_secret().await?;
    stage.set("SYNC_INTERVAL", "500ms");
    stage.set("WATCH_LABEL_SELECTOR", "shard=a");
    stage.set("LEASE_NAME", "shard-a");
    let holders = stage.operator().await?;
    stage.set("WATCH_LABEL_SELECTOR", "shard=b");
    stage.set("LEASE_NAME", "shard-b");
    let thieves = stage.operator().await?;
    create_labelled(&stage, "holder", "a", json!({ "connectorName": "shared" })).await?;
    let held = stage.until_ready("holder").await?;
    let id = source_id(&held).context("an id")?.to_owned();
    let by_name = json!({ "connectorName": "shared", "adoptionPolicy": "ByName" });
    create_labelled(&stage, "by-name", "b", by_name).await?;
    create_labelled(&stage, "by-id", "b", json!({ "existingSourceId": id })).await?;
    stage.until_reason("by-name", "NameConflict").await?;
    stage.until_reason("by-id", "ConnectorInUse").await?;

    // A restart of the would-be thieves changes nothing, nor does one of the holders while they look on.
    thieves.stop().await?;
    let _thieves = stage.operator().await?;
    stage.set("WATCH_LABEL_SELECTOR", "shard=a");
    stage.set("LEASE_NAME", "shard-a");
    holders.stop().await?;
    let _holders = stage.operator().await?;
    stage.after_sweeps(3).await?;
    for (name, reason) in [("by-name", "NameConflict"), ("by-id", "ConnectorInUse")] {
        stage.until_reason(name, reason).await?;
        stage.delete(name).await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.deletes().len(), 0);
    let kept = stage.until_ready("holder").await?;
    assert_eq!(source_id(&kept), Some(id.as_str()));
    Ok(())
}

#[tokio::test]
async fn of_two_that_have_one_connector_on_record_the_older_keeps_it_over_every_restart()
-> Result<()> {
    let stage = stage().await?;
    stage.good_secret().await?;
    let operator = stage.operator().await?;
    stage
        .create("elder", json!({ "connectorName": "shared" }))
        .await?;
    let elder = stage.until_ready("elder").await?;
    let id = source_id(&elder).context("an id")?.to_owned();
    operator.stop().await?;
    // Creation times are whole seconds; the younger one must not share the elder's.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let younger = json!({ "connectorName": "shared", "adoptionPolicy": "ByName" });
    stage.create("a-younger", younger).await?;
    stage
        .overwrite_status("a-younger", &elder.data["status"])
        .await?;

    for _ in 0..2 {
        let operator = stage.operator().await?;
        stage.until_reason("a-younger", "ConnectorInUse").await?;
        let elder = stage.until_ready("elder").await?;
        assert_eq!(source_id(&elder), Some(id.as_str()));
        operator.stop().await?;
    }
    let _operator = stage.operator().await?;
    stage.delete("a-younger").await?;
    stage.gone("a-younger").await?;
    assert_eq!(stage.deletes().len(), 0);
    assert!(stage.workspace.source(&id).is_some());
    Ok(())
}

#[tokio::test]
async fn what_was_retained_under_the_default_name_is_no_duplicate() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "deletionPolicy": "Retain" }))
        .await?;
    let first = stage.until_ready("contracts").await?;
    let retained = source_id(&first).context("an id")?.to_owned();
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    let other = stage.workspace.insert(
        "dropbox",
        "somebody's",
        json!({ "remote_url": "dropbox://data", "recursive": false }),
    );

    stage
        .create("contracts", json!({ "existingSourceId": other }))
        .await?;
    stage.until_ready("contracts").await?;
    stage.after_sweeps(3).await?;

    assert!(stage.workspace.source(&retained).is_some(), "it is gone");
    assert_eq!(stage.deletes().len(), 0);
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert!(stage.workspace.source(&retained).is_some(), "it is gone");
    Ok(())
}

#[tokio::test]
async fn a_claim_goes_with_its_resource_whatever_the_watch_still_shows() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let mut ids = Vec::new();
    for n in 0..12 {
        let secret = format!("dropbox-{n}");
        stage
            .secret(
                &secret,
                &[
                    ("app_key", support::stage::APP_KEY),
                    ("app_secret", support::stage::APP_SECRET),
                    ("refresh_token", support::stage::REFRESH_TOKEN),
                ],
            )
            .await?;
        let spec = json!({
            "deletionPolicy": "Retain", "verify": false,
            "credentials": { "secretRef": { "name": secret } },
        });
        stage.create(&format!("old-{n}"), spec).await?;
    }
    for n in 0..12 {
        let ready = stage.until_ready(&format!("old-{n}")).await?;
        ids.push(source_id(&ready).context("an id")?.to_owned());
    }
    stage.good_secret().await?;
    for n in 0..12 {
        stage.delete(&format!("old-{n}")).await?;
        stage
            .secrets()
            .delete(&format!("dropbox-{n}"), &DeleteParams::default())
            .await?;
    }
    for (n, id) in ids.iter().enumerate() {
        stage.gone(&format!("old-{n}")).await?;
        let spec = json!({ "existingSourceId": id, "verify": false });
        stage.create(&format!("new-{n}"), spec).await?;
    }
    for (n, id) in ids.iter().enumerate() {
        let ready = stage.until_ready(&format!("new-{n}")).await?;
        assert_eq!(source_id(&ready), Some(id.as_str()));
    }
    assert_eq!(stage.deletes().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_status_that_was_copied_from_another_cluster_is_neither_believed_nor_replaced()
-> Result<()> {
    let mut stage = stage_apart().await?;
    stage.good_secret().await?;
    let production = stage.operator().await?;
    for name in ["contracts", "invoices"] {
        stage.create(name, json!({})).await?;
    }
    let mut copied = Vec::new();
    for name in ["contracts", "invoices"] {
        copied.push(stage.until_ready(name).await?);
    }
    production.stop().await?;

    // The same objects, seen by the operator of another cluster.
    stage.set("CLUSTER_NAME", "staging");
    stage.set("SYNC_INTERVAL", "500ms");
    let writes = stage.writes();
    let staging = stage.operator().await?;
    for (name, copy) in ["contracts", "invoices"].into_iter().zip(&copied) {
        let told = stage.until_reason(name, "ForeignRecord").await?;
        assert_eq!(source_id(&told), source_id(copy), "the record stays");
        let message = message(&told, "Ready");
        for way in ["--cluster-name", "accept-record=staging"] {
            assert!(message.contains(way), "{message}");
        }
        assert!(condition(&told, "Stalled").is_some());
    }
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    stage
        .dropbox
        .accept(APP_KEY, "another-app-secret", REFRESH_TOKEN);
    stage
        .rotate("dropbox", "app_secret", "another-app-secret")
        .await?;
    stage.after_sweeps(2).await?;
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert_eq!(
        stage.writes(),
        writes,
        "nothing of production's was touched"
    );
    assert_eq!(stage.workspace.sources().len(), 2);

    stage
        .annotate(
            "invoices",
            "connectors.unstructured.io/accept-record",
            "staging",
        )
        .await?;
    let taken = stage.until_ready("invoices").await?;
    assert_eq!(source_id(&taken), source_id(&copied[1]));
    staging.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_backup_that_is_written_over_a_living_resource_costs_no_connector() -> Result<()> {
    let mut stage = stage().await?;
    // What a backup says of times is not the operator's.
    stage.judge = |_| Vec::new();
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("other", json!({})).await?;
    let other = stage.until_ready("other").await?;
    stage.create("restored", json!({})).await?;
    let mine = stage.until_ready("restored").await?;
    let id = source_id(&mine).context("an id")?.to_owned();

    stage
        .overwrite_status("restored", &other.data["status"])
        .await?;
    let name = own_name(&stage, "restored");
    let righted = stage
        .until("restored", |object| {
            source_id(object) == Some(id.as_str())
                && object.data["status"]["connectorName"] == name.as_str()
        })
        .await?;
    assert_eq!(source_id(&righted), Some(id.as_str()));
    stage
        .overwrite_status("restored", &other.data["status"])
        .await?;
    stage.delete("restored").await?;
    stage.gone("restored").await?;

    assert!(stage.workspace.source(&id).is_none(), "it is left behind");
    assert_eq!(stage.workspace.sources().len(), 1);
    stage.until_ready("other").await?;
    Ok(())
}

#[tokio::test]
async fn a_record_written_over_while_nobody_looked_leaves_nothing_of_ones_own_behind() -> Result<()>
{
    let mut stage = stage().await?;
    // What a backup says of times is not the operator's.
    stage.judge = |_| Vec::new();
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("other", json!({ "connectorName": "other" }))
        .await?;
    let other = stage.until_ready("other").await?;
    stage.create("restored", json!({})).await?;
    let mine = stage.until_ready("restored").await?;
    let id = source_id(&mine).context("an id")?.to_owned();
    operator.stop().await?;
    let mut status = other.data["status"].clone();
    status["connectorName"] = json!(own_name(&stage, "restored"));
    stage.overwrite_status("restored", &status).await?;

    let _operator = stage.operator().await?;
    stage.until_reason("restored", "ConnectorInUse").await?;
    stage.delete("restored").await?;
    stage.gone("restored").await?;

    assert!(stage.workspace.source(&id).is_none(), "it is left behind");
    let left: Vec<_> = stage
        .workspace
        .sources()
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(left, ["other"]);
    Ok(())
}

#[tokio::test]
async fn a_status_that_others_keep_changing_is_answered_ever_more_slowly_and_told_once()
-> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage.create_ready("contracts", json!({})).await?;

    let params = PatchParams {
        field_manager: Some("rival".to_owned()),
        ..PatchParams::default()
    };
    let rival = async {
        loop {
            let stolen =
                json!({ "status": { "sourceId": "00000000-0000-4000-8000-000000000001" } });
            let answer = stage
                .sources()
                .patch_status("contracts", &params, &Patch::Merge(stolen))
                .await;
            // Answers at once whatever the operator writes, as a second operator does.
            drop(answer);
            let righted = stage.until("contracts", |o| source_id(o) == Some(id.as_str()));
            drop(righted.await);
        }
    };
    let told = stage.until_event("contracts", "StatusContested");
    let told = tokio::select! { told = told => told?, () = rival => String::new() };
    assert!(told.contains("rival"), "{told}");

    let written = stage.versions().await?.len();
    assert!(written < 60, "{written} versions until somebody was told");
    let righted = stage
        .until("contracts", |o| source_id(o) == Some(id.as_str()))
        .await?;
    assert_eq!(source_id(&righted), Some(id.as_str()));
    assert_eq!(stage.creates().len(), 1);
    eventually("one connector", || {
        (stage.workspace.sources().len() == 1).then_some(())
    })
    .await
}

#[tokio::test]
async fn what_a_resource_may_be_about_to_find_is_not_taken_by_its_id() -> Result<()> {
    let stage = stage().await?;
    stage.good_secret().await?;
    let operator = stage.operator().await?;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(stage.create_ready(&format!("own-{n}"), json!({})).await?);
    }
    operator.stop().await?;
    // As a backup without status restores them, beside others that name what theirs were.
    for (n, id) in ids.iter().enumerate() {
        stage
            .overwrite_status(&format!("own-{n}"), &json!({}))
            .await?;
        let spec = json!({ "existingSourceId": id, "remoteUrl": "dropbox://stolen" });
        stage.create(&format!("a-thief-{n}"), spec).await?;
    }
    let _operator = stage.operator().await?;
    for (n, id) in ids.iter().enumerate() {
        let own = stage.until_ready(&format!("own-{n}")).await?;
        assert_eq!(source_id(&own), Some(id.as_str()));
        stage
            .until_reason(&format!("a-thief-{n}"), "ConnectorInUse")
            .await?;
    }
    assert_eq!(stage.creates().len(), ids.len());
    Ok(())
}
