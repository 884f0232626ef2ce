//! A service that takes a while to show what it has just made: one of each all the same, and what somebody deletes is made anew as
//! promptly as ever.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use support::fake::unstructured::Family;
use support::stage::{Stage, eventually, message, source_id};
use tokio::time::{Instant, sleep};

use crate::pipeline::{WORKFLOW, connectors, create, objects, pipeline, ready, requests, workflow};
use crate::stage;

/// How long the service takes.
const LAG: Duration = Duration::from_secs(2);

/// No list shows it either, or every list does.
const LISTED_AFTER: [Duration; 2] = [Duration::ZERO, LAG];

/// A stage that looks often, and whose operators wait this long before they believe that what they made is gone.
fn patient(stage: &mut Stage, settle_time: &str) {
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", settle_time);
    stage.set("SYNC_INTERVAL", "300ms");
    stage.set("LEADER_ELECT", "false");
}

async fn lagging(settle_time: &str, listed_after: Duration) -> Result<Stage> {
    let mut stage = stage().await?;
    patient(&mut stage, settle_time);
    lag(&stage, LAG, listed_after);
    stage.good_secret().await?;
    Ok(stage)
}

fn lag(stage: &Stage, item: Duration, listed_after: Duration) {
    stage
        .api
        .configure(|rules| (rules.item_lag, rules.listed_after) = (item, listed_after));
}

/// The reasons of the events about a resource.
async fn told(stage: &Stage, name: &str) -> Result<Vec<String>> {
    let events = stage.events(name).await?;
    Ok(events.into_iter().map(|(_, reason, _)| reason).collect())
}

/// Waits until what is there by now shows.
async fn after_the_lag() {
    sleep(LAG * 2).await;
}

#[tokio::test]
async fn a_connector_that_does_not_show_at_once_is_made_once() -> Result<()> {
    for listed_after in LISTED_AFTER {
        let stage = lagging("20s", listed_after).await?;
        let _operator = stage.operator().await?;
        stage.create("contracts", json!({})).await?;
        let waiting = stage
            .until("contracts", |o| {
                message(o, "Ready").contains("does not show it yet")
            })
            .await?;
        let id = source_id(&waiting).unwrap_or_default().to_owned();
        assert!(
            message(&waiting, "Reconciling").contains(&id),
            "{waiting:?}"
        );

        let ready = stage.until_ready("contracts").await?;

        assert_eq!(source_id(&ready), Some(id.as_str()));
        after_the_lag().await;
        assert_eq!(stage.creates().len(), 1);
        assert_eq!(stage.workspace.sources().len(), 1);
        stage.until_ready("contracts").await?;
        let told = told(&stage, "contracts").await?;
        assert!(told.contains(&"Created".to_owned()), "{told:?}");
        assert!(!told.contains(&"Recreated".to_owned()), "{told:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_whole_pipeline_that_does_not_show_at_once_is_made_once() -> Result<()> {
    for listed_after in LISTED_AFTER {
        let mut stage = pipeline().await?;
        patient(&mut stage, "20s");
        lag(&stage, LAG, listed_after);
        connectors(&stage).await?;
        create(&stage, WORKFLOW, "flow", workflow()).await?;
        let _operator = stage.operator().await?;

        ready(&stage).await?;

        // An edit meets a workflow that does not show yet, too.
        let edit = json!({ "spec": { "nodes": nodes() } });
        crate::pipeline::patch(&stage, WORKFLOW, "flow", &edit).await?;
        after_the_lag().await;
        ready(&stage).await?;
        for of in ["/sources/", "/destinations/", "/workflows/"] {
            let path = format!("/api/v1{of}");
            let posts = stage.api.requests();
            let posts = posts
                .iter()
                .filter(|r| r.method == "POST" && r.path == path);
            assert_eq!(posts.count(), 1, "{of} listed after {listed_after:?}");
        }
        assert_eq!(stage.workspace.workflows().len(), 1);
        assert_eq!(stage.workspace.of(Family::Destinations).all().len(), 1);
        let told = told(&stage, "flow").await?;
        assert!(!told.contains(&"Recreated".to_owned()), "{told:?}");
    }
    Ok(())
}

fn nodes() -> Value {
    let mut spec = workflow();
    spec["nodes"][1]["settings"]["max_characters"] = json!(1024);
    spec["nodes"].take()
}

#[tokio::test]
async fn what_is_deleted_before_it_shows_leaves_nothing() -> Result<()> {
    for listed_after in LISTED_AFTER {
        let mut stage = pipeline().await?;
        patient(&mut stage, "20s");
        connectors(&stage).await?;
        let _operator = stage.operator().await?;
        stage.until_ready("contracts").await?;
        // What is there already stays to be seen.
        sleep(LAG).await;
        lag(&stage, LAG, listed_after);
        create(&stage, WORKFLOW, "flow", workflow()).await?;
        stage.create("letters", json!({})).await?;
        ready(&stage).await?;
        stage
            .until("letters", |letters| source_id(letters).is_some())
            .await?;

        stage.delete("letters").await?;
        objects(&stage, WORKFLOW)
            .delete("flow", &kube::api::DeleteParams::default())
            .await?;

        stage.gone("letters").await?;
        eventually("no workflow is left", || {
            stage.workspace.workflows().is_empty().then_some(())
        })
        .await?;
        assert_eq!(stage.workspace.sources().len(), 1, "only the other one");
        assert_eq!(stage.creates().len(), 2);
        assert_eq!(requests(&stage, "POST", "/workflows/"), 1);
        let tries = requests(&stage, "DELETE", "/workflows/");
        assert!(tries <= 6, "{tries} times");
    }
    Ok(())
}

#[tokio::test]
async fn what_never_shows_is_made_anew_after_the_settle_time_and_does_not_hold_its_resource()
-> Result<()> {
    let stage = lagging("3s", Duration::from_hours(1)).await?;
    lag(&stage, Duration::from_hours(1), Duration::from_hours(1));
    let _operator = stage.operator().await?;
    let begun = Instant::now();
    stage.create("contracts", json!({})).await?;
    eventually("a second one is made", || {
        (stage.creates().len() == 2).then_some(())
    })
    .await?;
    assert!(begun.elapsed() >= Duration::from_secs(3));
    let note = stage.until_event("contracts", "Recreated").await?;
    assert!(!note.contains("Somebody"), "{note}");

    stage.delete("contracts").await?;

    stage.gone("contracts").await
}

#[tokio::test]
async fn what_somebody_deletes_is_made_anew_at_once_after_a_restart_too() -> Result<()> {
    let mut stage = pipeline().await?;
    patient(&mut stage, "10m");
    connectors(&stage).await?;
    stage.create("letters", json!({ "verify": false })).await?;
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let operator = stage.operator().await?;
    ready(&stage).await?;
    let letters = stage.until_ready("letters").await?;
    let letters = source_id(&letters).unwrap_or_default().to_owned();
    let contracts = stage.until_ready("contracts").await?;
    let contracts = source_id(&contracts).unwrap_or_default().to_owned();
    let flow = stage.workspace.workflows()[0].id.clone();
    // A list has shown each.
    stage.after_sweeps(3).await?;
    sleep(Duration::from_secs(1)).await;

    assert!(stage.workspace.remove_workflow(&flow));
    assert!(stage.workspace.remove(&letters));
    eventually("both are made anew", || {
        let anew = stage.workspace.workflows().iter().any(|w| w.id != flow);
        (anew && stage.creates().len() == 3).then_some(())
    })
    .await?;

    stage.until_ready("letters").await?;
    drop(operator);
    assert!(stage.workspace.remove(&contracts));
    let _operator = stage.operator().await?;
    stage
        .until("contracts", |o| {
            source_id(o).is_some_and(|id| id != contracts)
        })
        .await?;
    stage.until_ready("contracts").await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_killed_before_a_connector_shows_does_not_make_it_again() -> Result<()> {
    for listed_after in LISTED_AFTER {
        let stage = lagging("20s", listed_after).await?;
        let operator = stage.operator().await?;
        stage.create("contracts", json!({})).await?;
        stage.until("contracts", |o| source_id(o).is_some()).await?;
        operator.kill()?;
        let _operator = stage.operator().await?;
        stage.until_ready("contracts").await?;
        assert_eq!(stage.creates().len(), 1);
        assert_eq!(stage.workspace.sources().len(), 1);
    }
    Ok(())
}
