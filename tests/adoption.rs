//! Connectors that exist already: whose are they?

use anyhow::Result;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use support::stage::{PATIENCE, REFRESH_TOKEN, Stage, condition, eventually, message, source_id};

use crate::pipeline::{self, WORKFLOW};
use crate::stage;

fn foreign() -> Value {
    json!({
        "remote_url": "dropbox://theirs",
        "recursive": true,
        "app_key": "their-app-key",
        "app_secret": "their-app-secret",
        "refresh_token": "their-refresh-token",
    })
}

/// Everything about the connectors that nobody may change.
fn picture(stage: &Stage) -> Vec<support::fake::unstructured::StoredSource> {
    stage.workspace.sources()
}

#[tokio::test]
async fn a_foreign_connector_of_the_explicit_name_is_left_alone_even_when_the_resource_goes()
-> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let id = stage.workspace.insert("dropbox", "contracts", foreign());
    let before = picture(&stage);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("mine", json!({ "connectorName": "contracts" }))
        .await?;

    let stalled = stage.until_reason("mine", "NameConflict").await?;
    assert!(condition(&stalled, "Stalled").is_some());
    assert!(
        message(&stalled, "Ready").contains(&id),
        "{}",
        message(&stalled, "Ready")
    );
    assert_eq!(source_id(&stalled), None);
    stage.after_sweeps(3).await?;
    stage.delete("mine").await?;
    stage.gone("mine").await?;

    assert_eq!(stage.writes(), 0);
    assert_eq!(picture(&stage), before);
    Ok(())
}

#[tokio::test]
async fn a_name_conflict_ends_by_itself_when_the_foreign_connector_goes() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let id = stage.workspace.insert("dropbox", "contracts", foreign());
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("mine", json!({ "connectorName": "contracts" }))
        .await?;
    stage.until_reason("mine", "NameConflict").await?;

    stage.workspace.remove(&id);
    stage.until_ready("mine").await?;

    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.creates()[0].json()["name"], "contracts");
    Ok(())
}

#[tokio::test]
async fn a_connector_named_by_its_id_is_taken_over_and_shared_with_nobody() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let id = stage.workspace.insert("dropbox", "made by hand", foreign());
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("first", json!({ "existingSourceId": id }))
        .await?;

    let ready = stage.until_ready("first").await?;
    assert_eq!(source_id(&ready), Some(id.as_str()));
    assert_eq!(ready.data["status"]["connectorName"], "made by hand");
    stage.until_event("first", "Adopted").await?;
    assert_eq!((stage.creates().len(), stage.updates().len()), (0, 1));
    assert_eq!(
        stage.workspace.sources()[0].text("remote_url"),
        "dropbox://data"
    );
    assert_eq!(
        stage.workspace.sources()[0].text("refresh_token"),
        REFRESH_TOKEN
    );

    stage
        .create(
            "second",
            json!({ "existingSourceId": id, "remoteUrl": "dropbox://second" }),
        )
        .await?;
    let refused = stage.until_reason("second", "ConnectorInUse").await?;
    assert!(
        message(&refused, "Ready").contains("first"),
        "{}",
        message(&refused, "Ready")
    );
    stage.after_sweeps(2).await?;
    stage.delete("second").await?;
    stage.gone("second").await?;
    assert_eq!((stage.updates().len(), stage.deletes().len()), (1, 0));

    stage.delete("first").await?;
    stage.gone("first").await?;
    assert_eq!(
        stage.workspace.sources(),
        [],
        "what was taken over goes with its resource"
    );
    Ok(())
}

#[tokio::test]
async fn two_resources_that_claim_one_id_at_once_never_both_write_to_it() -> Result<()> {
    let stage = stage().await?;
    let id = stage.workspace.insert("dropbox", "made by hand", foreign());
    stage.good_secret().await?;
    for name in ["first", "second"] {
        let spec = json!({ "existingSourceId": id, "remoteUrl": format!("dropbox://{name}") });
        stage.create(name, spec).await?;
    }
    let _operator = stage.operator().await?;

    let settled = |object: &kube::api::DynamicObject| {
        condition(object, "Ready")
            .is_some_and(|c| c["status"] == "True" || c["reason"] == "ConnectorInUse")
    };
    let first = stage.until("first", settled).await?;
    let second = stage.until("second", settled).await?;

    let reason = |object| condition(object, "Ready").map(|c| c["reason"].clone());
    let mut reasons = [reason(&first), reason(&second)].map(|r| r.unwrap_or_default().to_string());
    reasons.sort();
    assert_eq!(reasons, ["\"ConnectorInUse\"", "\"Ready\""]);
    assert_eq!(stage.updates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_id_that_is_not_there_or_of_another_type_is_told() -> Result<()> {
    let stage = stage().await?;
    let bucket = stage
        .workspace
        .insert("s3", "bucket", json!({ "remote_url": "s3://b" }));
    let before = picture(&stage);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let absent = "5f0c1d2e-3b4a-4c5d-8e6f-708192a3b4c5";
    stage
        .create("absent", json!({ "existingSourceId": absent }))
        .await?;
    stage
        .create("other", json!({ "existingSourceId": bucket }))
        .await?;

    let told = stage.until_reason("absent", "SourceNotFound").await?;
    assert!(message(&told, "Ready").contains(absent));
    let told = stage.until_reason("other", "InvalidConfiguration").await?;
    assert!(
        message(&told, "Ready").contains("another type"),
        "{}",
        message(&told, "Ready")
    );
    for name in ["absent", "other"] {
        stage.delete(name).await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.writes(), 0);
    assert_eq!(picture(&stage), before);
    Ok(())
}

#[tokio::test]
async fn a_connector_is_taken_over_by_name_when_that_is_asked_for_and_once_only() -> Result<()> {
    let stage = stage().await?;
    let id = stage.workspace.insert("dropbox", "contracts", foreign());
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let spec = json!({ "connectorName": "contracts", "adoptionPolicy": "ByName" });
    stage.create("first", spec.clone()).await?;
    let ready = stage.until_ready("first").await?;
    assert_eq!(source_id(&ready), Some(id.as_str()));
    stage.until_event("first", "Adopted").await?;

    stage.create("second", spec).await?;
    let refused = stage.until_reason("second", "NameConflict").await?;
    assert_eq!(source_id(&refused), None);
    let told = message(&refused, "Ready");
    assert!(
        told.contains("the DropboxSource \"first\"") && !told.contains("adopt it"),
        "it is told to do what cannot help: {told}"
    );
    assert_eq!((stage.creates().len(), stage.updates().len()), (0, 1));
    Ok(())
}

#[tokio::test]
async fn the_policy_can_be_changed_to_take_over_what_was_in_conflict() -> Result<()> {
    let stage = stage().await?;
    let id = stage.workspace.insert("dropbox", "contracts", foreign());
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("mine", json!({ "connectorName": "contracts" }))
        .await?;
    stage.until_reason("mine", "NameConflict").await?;

    stage
        .edit("mine", json!({ "adoptionPolicy": "ByName" }))
        .await?;
    let ready = stage.until_ready("mine").await?;
    assert_eq!(source_id(&ready), Some(id.as_str()));
    Ok(())
}

#[tokio::test]
async fn several_connectors_of_the_explicit_name_are_listed_and_none_is_touched() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let one = stage.workspace.insert("dropbox", "contracts", foreign());
    let two = stage.workspace.insert("dropbox", "contracts", foreign());
    let before = picture(&stage);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for (name, policy) in [("by-name", "ByName"), ("never", "Never")] {
        let spec = json!({ "connectorName": "contracts", "adoptionPolicy": policy });
        stage.create(name, spec).await?;
        let stalled = stage.until_reason(name, "AmbiguousConnector").await?;
        let told = message(&stalled, "Ready");
        assert!(told.contains(&one) && told.contains(&two), "{told}");
        assert!(condition(&stalled, "Stalled").is_some());
    }
    stage.after_sweeps(2).await?;
    assert_eq!(stage.writes(), 0);
    assert_eq!(picture(&stage), before);

    stage.workspace.remove(&one);
    let ready = stage.until_ready("by-name").await?;
    assert_eq!(source_id(&ready), Some(two.as_str()));
    stage.until_reason("never", "NameConflict").await?;
    Ok(())
}

#[tokio::test]
async fn of_several_connectors_of_the_reserved_name_the_oldest_is_taken_and_the_others_are_told()
-> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let name = format!("{}.contracts.test", stage.namespace);
    let oldest = stage.workspace.insert("dropbox", &name, foreign());
    let others = [0, 1].map(|_| stage.workspace.insert("dropbox", &name, foreign()));
    let bystander = stage
        .workspace
        .insert("dropbox", &format!("{name}.x"), foreign());
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;

    let ready = stage.until_ready("contracts").await?;
    assert_eq!(source_id(&ready), Some(oldest.as_str()));
    let left: Vec<_> = stage
        .workspace
        .sources()
        .into_iter()
        .map(|s| s.id)
        .collect();
    // Nothing says that they came of a create of ours: they may have been retained.
    assert_eq!(left, [&[oldest], &others[..], &[bystander]].concat());
    assert_eq!(stage.creates().len(), 0);
    stage.until_event("contracts", "Adopted").await?;
    for other in &others {
        eventually("they are told", || {
            operator.output().contains(other.as_str()).then_some(())
        })
        .await?;
    }
    let end = tokio::time::Instant::now() + PATIENCE;
    while operator
        .metric("unstructured_operator_unclaimed_connectors")
        .await?
        < 1.5
    {
        anyhow::ensure!(tokio::time::Instant::now() < end, "nobody counts them");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_resource_restored_without_its_status_finds_its_connector_again() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("LEADER_ELECT", "false");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;
    // The cluster is lost: nobody is there to finalize anything.
    operator.kill()?;
    let none = json!({ "metadata": { "finalizers": null } });
    stage
        .sources()
        .patch("contracts", &PatchParams::default(), &Patch::Merge(none))
        .await?;
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;

    stage.create("contracts", json!({})).await?;
    let _operator = stage.operator().await?;
    let after = stage.until_ready("contracts").await?;

    assert_ne!(after.metadata.uid, before.metadata.uid);
    assert_eq!(source_id(&after), source_id(&before));
    assert_eq!(stage.creates().len(), 1, "none was added");
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_chosen_name_in_the_reserved_scheme_is_refused_without_any_call() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create(
            "thief",
            json!({ "connectorName": "victims-namespace.contracts.test" }),
        )
        .await?;
    let refused = stage.until_reason("thief", "InvalidConfiguration").await?;
    let told = message(&refused, "Ready");
    assert!(
        told.contains("connectorName") && told.contains("reserved"),
        "{told}"
    );
    assert_eq!(stage.writes(), 0);
    Ok(())
}

#[tokio::test]
async fn of_two_resources_that_choose_one_name_at_once_one_gets_it() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    stage.good_secret().await?;
    for name in ["first", "second"] {
        stage
            .create(
                name,
                json!({ "connectorName": "contracts", "adoptionPolicy": "ByName" }),
            )
            .await?;
    }
    let _operator = stage.operator().await?;
    let settled = |object: &kube::api::DynamicObject| {
        condition(object, "Ready")
            .is_some_and(|c| c["status"] == "True" || c["reason"] == "NameConflict")
    };
    let first = stage.until("first", settled).await?;
    let second = stage.until("second", settled).await?;
    stage.after_sweeps(3).await?;

    assert_eq!(
        [&first, &second]
            .iter()
            .filter(|r| source_id(r).is_some())
            .count(),
        1
    );
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.workspace.sources().len(), 1);
    let (winner, loser) = if source_id(&first).is_some() {
        ("first", "second")
    } else {
        ("second", "first")
    };
    stage.delete(loser).await?;
    stage.gone(loser).await?;
    assert_eq!(stage.deletes().len(), 0);
    stage.until_ready(winner).await?;
    Ok(())
}

/// Passes over both are made at once, and neither sees the other's record.
#[tokio::test]
async fn of_two_resources_that_adopt_one_workflow_by_name_one_gets_it() -> Result<()> {
    let (stage, _operator, _) = pipeline::begin().await?;
    let names: Vec<_> = (0..8).map(|number| format!("theirs-{number}")).collect();
    for name in &names {
        let body = json!({ "name": name, "workflow_type": "custom", "workflow_nodes": [] });
        stage.workspace.insert_workflow(body);
    }
    for name in &names {
        let mut spec = pipeline::workflow();
        spec["workflowName"] = json!(name);
        spec["adoptionPolicy"] = json!("ByName");
        let both = ["a", "b"].map(|rival| format!("{rival}-{name}"));
        let [a, b] = &both;
        tokio::try_join!(
            pipeline::create(&stage, WORKFLOW, a, spec.clone()),
            pipeline::create(&stage, WORKFLOW, b, spec.clone()),
        )?;
    }
    for name in &names {
        let mut bound = Vec::new();
        for rival in ["a", "b"] {
            let settled = |object: &DynamicObject| {
                condition(object, "Ready").is_some_and(|ready| {
                    ready["status"] == "True" || ready["reason"] == "NameConflict"
                })
            };
            let name = format!("{rival}-{name}");
            let object = pipeline::until(&stage, WORKFLOW, &name, settled).await?;
            bound.extend(
                object.data["status"]["workflowId"]
                    .as_str()
                    .map(str::to_owned),
            );
        }
        let theirs = stage.workspace.workflows();
        let theirs: Vec<_> = theirs.iter().filter(|one| one.name == *name).collect();
        assert_eq!(theirs.len(), 1, "{name}");
        assert_eq!(bound, [theirs[0].id.clone()], "{name}");
    }
    Ok(())
}
