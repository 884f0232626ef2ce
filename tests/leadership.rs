//! Two operators, one Lease: whoever has lost it writes nothing more.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::fake::Fault;
use support::fake::unstructured::Route;
use support::stage::{eventually, source_id};

use crate::stage;

#[tokio::test]
async fn a_leader_stopped_in_mid_create_finds_its_successor_at_work_and_writes_nothing_more()
-> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "2s");
    stage.set("SETTLE_TIME", "3s");
    let first = stage.operator().await?;
    let second = stage.operator().await?;
    let leads = "unstructured_operator_leader";
    assert!(
        first.metric(&format!("{leads} ")).await? > 0.5,
        "the first leads"
    );
    assert!(
        second.metric(&format!("{leads} ")).await? < 0.5,
        "the second stands by, ready"
    );
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_millis(500)),
    );
    stage.create("contracts", json!({})).await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 1).then_some(())
    })
    .await?;

    first.pause()?;
    let ready = stage.until_ready("contracts").await?;
    let (writes, versions) = (stage.writes(), stage.versions().await?.len());
    first.resume()?;
    let end = tokio::time::Instant::now() + support::stage::PATIENCE;
    while first.metric(&format!("{leads} ")).await? > 0.5 {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "the first still thinks that it leads"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.as_str()));
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.writes(), writes, "nothing more to Unstructured");
    assert_eq!(
        stage.versions().await?.len(),
        versions,
        "nothing more to Kubernetes"
    );
    assert!(second.metric(&format!("{leads} ")).await? > 0.5);

    // And the one that leads now goes on leading.
    let updates = stage.updates().len();
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.updates().len(), updates + 1);
    Ok(())
}

#[tokio::test]
async fn a_standby_takes_over_at_once_from_a_leader_that_steps_down() -> Result<()> {
    let stage = stage().await?;
    let first = stage.operator().await?;
    let second = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;

    assert!(first.stop().await?.success());
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    let after = stage.until_ready("contracts").await?;

    assert_eq!(source_id(&after), source_id(&before));
    assert_eq!(stage.updates().len(), 1);
    assert_eq!(second.get("/readyz").await?.0, 200);
    Ok(())
}
