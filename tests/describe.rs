//! What `kubectl describe` tells of a resource: its story, in order, each thing once.

use anyhow::{Context, Result};
use serde_json::json;
use support::fake::unstructured::{Route, answers};
use support::fake::{Fault, On};
use support::stage::{APP_KEY, APP_SECRET, PATIENCE, Stage};

use crate::stage;

/// The reasons of the events, from the top of the table to its end.
async fn described(stage: &Stage, name: &str) -> Result<Vec<String>> {
    let mut describe = stage.plane.kubectl();
    describe.args(["describe", "dropboxsource", name, "-n", &stage.namespace]);
    let text = String::from_utf8(describe.output().await?.stdout)?;
    let (_, events) = text.split_once("\nEvents:\n").context("no events")?;
    // Two lines of head.
    let reasons = events
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().nth(1));
    Ok(reasons.map(ToOwned::to_owned).collect())
}

#[tokio::test]
async fn kubectl_describe_tells_the_story_of_a_resource_in_order_and_without_repeating_itself()
-> Result<()> {
    const NEXT: &str = "refresh-token-of-the-next-quarter";
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "2s");
    let operator = stage.operator().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_event("contracts", "SecretNotFound").await?;
    stage.good_secret().await?;
    stage.until_ready("contracts").await?;
    stage.until_event("contracts", "Ready").await?;

    stage.dropbox.accept(APP_KEY, APP_SECRET, NEXT);
    stage.rotate("dropbox", "refresh_token", NEXT).await?;
    stage.until_event("contracts", "Updated").await?;
    stage.until_ready("contracts").await?;

    let outage = Fault::answer(answers::internal_server_error()).always();
    stage.api.inject(On::Every, outage);
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    let tried = |seen: &[support::fake::Recorded]| {
        seen.iter().filter(|it| it.status() == Some(500)).count() >= 4
    };
    stage.api.wait_for(tried, PATIENCE).await?;
    stage.until_event("contracts", "ApiUnavailable").await?;
    stage.api.clear_faults();
    stage.until_ready("contracts").await?;

    assert_eq!(
        described(&stage, "contracts").await?,
        [
            "SecretNotFound",
            "Created",
            "Ready",
            "Updated",
            "ApiUnavailable",
            // Another cause, so another sentence than that of the rotation.
            "Updated"
        ]
    );
    // One rotation, whose time is known; an edit of the spec is none, however long it took.
    let rotations = operator
        .metric("unstructured_operator_secret_to_update_seconds_count")
        .await?;
    assert!((rotations - 1.0).abs() < f64::EPSILON, "{rotations}");

    stage
        .api
        .inject(Route::Delete, Fault::answer(answers::detail(403, "no")));
    stage.delete("contracts").await?;
    stage.until_event("contracts", "DeletionBlocked").await?;
    stage
        .annotate(
            "contracts",
            "connectors.unstructured.io/reconcile-at",
            "now",
        )
        .await?;
    stage.gone("contracts").await?;
    stage.until_event("contracts", "Deleted").await?;
    Ok(())
}
