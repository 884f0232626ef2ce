//! What the operator does not do: counts, which no machine's mood can change.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::json;
use support::fake::Recorded;
use support::stage::{API_KEY, APP_KEY, APP_SECRET, PATIENCE, Stage, condition, eventually};

use crate::{pipeline, stage};

/// Enough that a request too many for each, or for every second, cannot be overlooked.
const MANY: usize = 30;

async fn many_ready(stage: &Stage, verify: bool) -> Result<()> {
    stage.good_secret().await?;
    for number in 0..MANY {
        stage
            .create(&name(number), json!({ "verify": verify }))
            .await?;
    }
    for number in 0..MANY {
        stage.until_ready(&name(number)).await?;
    }
    Ok(())
}

fn name(number: usize) -> String {
    format!("source-{number}")
}

/// What reaches the API in ten intervals in which nothing is to be done: one list each.
pub async fn ten_quiet_intervals(stage: &Stage) -> Result<Vec<Recorded>> {
    let before = stage.api.requests().len();
    stage.after_sweeps(10).await?;
    let since = stage.api.requests().split_off(before);
    let others: Vec<_> = since
        .iter()
        .filter(|request| request.method != "GET" || request.path != "/api/v1/sources/")
        .collect();
    assert!(others.is_empty(), "nothing but lists: {others:?}");
    assert!(
        (10..=12).contains(&since.len()),
        "one list for all: {since:?}"
    );
    Ok(since)
}

/// How often each resource was written, its creation left out.
async fn writes(stage: &Stage) -> Result<BTreeMap<String, usize>> {
    let mut writes = BTreeMap::new();
    let mut last = BTreeMap::new();
    for version in stage.versions().await? {
        let name = version.name_any();
        if last.insert(name.clone(), version.resource_version()) != Some(version.resource_version())
        {
            *writes.entry(name).or_insert(0) += 1;
        }
    }
    Ok(writes
        .into_iter()
        .map(|(name, seen)| (name, seen - 1))
        .collect())
}

#[tokio::test]
async fn from_apply_to_ready_a_resource_costs_one_post_and_three_writes() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "10m");
    let _operator = stage.operator().await?;
    many_ready(&stage, false).await?;

    let creates = stage.creates();
    assert_eq!(creates.len(), MANY, "one POST each: {creates:?}");
    assert_eq!(stage.writes(), MANY, "and nothing else is written");
    // The finalizer, the intent, the result.
    let expected: BTreeMap<_, _> = (0..MANY).map(|number| (name(number), 3)).collect();
    assert_eq!(writes(&stage).await?, expected);
    for number in 0..MANY {
        let name = name(number);
        stage.until_event(&name, "Created").await?;
        let events = stage.events(&name).await?;
        assert_eq!(events.len(), 1, "one event each: {events:?}");
    }
    Ok(())
}

#[tokio::test]
async fn resources_that_come_one_by_one_cost_few_lists() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "10m");
    let _operator = stage.operator().await?;
    many_ready(&stage, false).await?;

    let requests = stage.api.requests();
    let lists = requests.iter().filter(|r| r.method == "GET");
    let lists: Vec<_> = lists.map(|list| list.instant).collect();
    let lasted = lists[lists.len() - 1] - lists[0];
    // The first ones follow each other within a second, the others a second apart. No list comes sooner, whatever the machine does.
    let most = 7 + lasted.as_secs();
    assert!(lists.len() as u64 <= most, "{} in {lasted:?}", lists.len());
    Ok(())
}

#[tokio::test]
async fn verification_costs_a_post_and_a_write_more() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "10m");
    let _operator = stage.operator().await?;
    many_ready(&stage, true).await?;

    assert_eq!(stage.creates().len(), MANY);
    assert_eq!(stage.checks().len(), MANY);
    assert_eq!(stage.writes(), 2 * MANY);
    // The check's result.
    let expected: BTreeMap<_, _> = (0..MANY).map(|number| (name(number), 4)).collect();
    assert_eq!(writes(&stage).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_changes_is_tried_once_for_all_who_read_it() -> Result<()> {
    const ROTATED: &str = "rotated-refresh-token-3c41d0";
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "10m");
    let _operator = stage.operator().await?;
    many_ready(&stage, false).await?;
    let grants = || {
        let asked = stage.dropbox.requests();
        asked.iter().filter(|r| r.path == "/oauth2/token").count()
    };
    let before = grants();

    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    eventually("all connectors are updated", || {
        (stage.updates().len() == MANY).then_some(())
    })
    .await?;
    assert_eq!(grants(), before + 1);
    Ok(())
}

#[tokio::test]
async fn at_rest_many_resources_cost_one_list_an_interval_and_no_write() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    many_ready(&stage, false).await?;
    stage.after_sweeps(2).await?;
    let (written, asked) = (writes(&stage).await?, stage.dropbox.requests().len());
    let since = ten_quiet_intervals(&stage).await?;
    assert!(since.iter().all(|list| list.api_key() == Some(API_KEY)));
    assert_eq!(stage.dropbox.requests().len(), asked);
    assert_eq!(writes(&stage).await?, written);
    Ok(())
}

#[tokio::test]
async fn a_restart_costs_one_list_and_no_write() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "10m");
    let operator = stage.operator().await?;
    many_ready(&stage, true).await?;
    operator.stop().await?;
    let (requests, written) = (stage.api.requests().len(), writes(&stage).await?);
    let asked = stage.dropbox.requests().len();

    let operator = stage.operator().await?;
    let passes = async || {
        operator
            .metric("unstructured_operator_reconciles_total")
            .await
    };
    let once_each = f64::from(u32::try_from(MANY)?);
    let end = tokio::time::Instant::now() + PATIENCE;
    while passes().await? < once_each {
        ensure!(tokio::time::Instant::now() < end, "not all were looked at");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let since = stage.api.requests().split_off(requests);
    assert_eq!(since.len(), 1, "one list: {since:?}");
    assert_eq!(since[0].method, "GET");
    assert_eq!(stage.dropbox.requests().len(), asked);
    assert_eq!(writes(&stage).await?, written);
    assert!(passes().await? <= once_each, "each was looked at once");
    Ok(())
}

#[tokio::test]
async fn at_rest_many_workflows_share_one_list_an_interval_and_are_not_written() -> Result<()> {
    let mut stage = pipeline::pipeline().await?;
    stage.set("SYNC_INTERVAL", "500ms");
    let operator = stage.operator().await?;
    pipeline::connectors(&stage).await?;
    let names = (0..MANY).map(|number| format!("flow-{number}"));
    for name in names.clone() {
        pipeline::create(&stage, pipeline::WORKFLOW, &name, pipeline::workflow()).await?;
    }
    let versions = async || {
        let mut versions = Vec::new();
        for name in names.clone() {
            let ready = |object: &DynamicObject| {
                condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
            };
            let workflow = pipeline::until(&stage, pipeline::WORKFLOW, &name, ready).await?;
            versions.push(workflow.resource_version());
        }
        anyhow::Ok(versions)
    };
    versions().await?;
    stage.after_sweeps(2).await?;
    let passes = async || {
        operator
            .metric("unstructured_operator_reconciles_total")
            .await
    };
    let (before, written) = (stage.api.requests().len(), versions().await?);
    let looked = passes().await?;
    stage.after_sweeps(10).await?;
    let since = stage.api.requests().split_off(before);
    let looks = passes().await? - looked;
    let others: Vec<_> = since.iter().filter(|r| r.method != "GET").collect();
    assert!(others.is_empty(), "nothing but lists: {others:?}");
    // They do not fit on a page of the size that the service may have of its own.
    let lists = since.iter().filter(|r| r.path == "/api/v1/workflows/");
    let lists = lists.filter(|r| !r.query.contains("page=2")).count();
    // The last one may not have been compared yet.
    let least = u32::try_from(lists.saturating_sub(1) * MANY)?;
    assert!(
        lists > 2 && looks >= f64::from(least),
        "{lists} lists for {looks} looks"
    );
    assert_eq!(versions().await?, written);
    Ok(())
}
