//! Wall clocks that are ten minutes off: nothing is decided by them.

use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use serde_json::json;
use support::clock::skew;
use support::fake::unstructured::{Route, answers};
use support::fake::{Fault, On};
use support::stage::{PATIENCE, Stage, eventually, source_id};

use crate::stage;

const FAST: i64 = 600;
const SLOW: i64 = -600;

/// What the operator wrote as the time, less the time.
fn off_by(time: &serde_json::Value) -> Result<i64> {
    let time: Timestamp = time.as_str().unwrap_or_default().parse()?;
    Ok(time.duration_since(Timestamp::now()).as_secs())
}

/// A life from create to delete, by an operator whose clock is off, killed in mid-create and followed by one that is off the other way.
async fn live(first: i64, second: i64) -> Result<()> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "3s");
    stage.set("LEADER_ELECT", "false");
    stage.good_secret().await?;
    skew(&mut stage, first)?;
    let operator = stage.operator().await?;
    stage.create("settled", json!({})).await?;
    let settled = stage.until_ready("settled").await?;
    let synced = off_by(&settled.data["status"]["lastSyncTime"])?;
    assert!(
        synced.abs() > FAST / 2 && synced.signum() == first.signum(),
        "its clock is wrong: {synced}"
    );
    stage.edit("settled", json!({ "recursive": true })).await?;
    stage.until_ready("settled").await?;
    assert_eq!(stage.updates().len(), 1);

    // The answer is lost, and with it the process: only the intent is left, begun at a time that is not the successor's.
    stage.api.inject(
        Route::Create,
        Fault::hang().committed_late(Duration::from_millis(1500)),
    );
    stage.create("caught", json!({})).await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 2).then_some(())
    })
    .await?;
    operator.kill()?;
    skew(&mut stage, second)?;
    let _operator = stage.operator().await?;
    let caught = stage.until_ready("caught").await?;
    assert_eq!(stage.creates().len(), 2, "it was waited for");
    assert!(source_id(&caught).is_some());

    // A date by the API's clock, which is right.
    let date = Timestamp::now() + SignedDuration::from_secs(6);
    let text = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    stage.workspace.inject(
        On::Every,
        Fault::answer(answers::too_many_requests(Some(&text))),
    );
    let before = stage.api.requests().len();
    stage.edit("caught", json!({ "recursive": true })).await?;
    stage.until_ready("caught").await?;
    let requests = stage.api.requests();
    assert_eq!(requests[before].status(), Some(429));
    // HTTP dates have whole seconds, the answer's own date too.
    let slack = SignedDuration::from_secs(2);
    assert!(requests[before + 1].at >= date - slack, "not before");

    for name in ["settled", "caught"] {
        stage.delete(name).await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn an_operator_whose_clock_is_fast_is_followed_by_one_whose_clock_is_slow() -> Result<()> {
    live(FAST, SLOW).await
}

#[tokio::test]
async fn an_operator_whose_clock_is_slow_is_followed_by_one_whose_clock_is_fast() -> Result<()> {
    live(SLOW, FAST).await
}

async fn lease(stage: &Stage) -> Result<LeaseSpec> {
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let lease = leases.get("unstructured-operator").await?;
    Ok(lease.spec.unwrap_or_default())
}

/// The one who leads goes on leading for longer than a Lease lasts, and is then followed by the other.
async fn elect(leader: i64, standby: i64) -> Result<()> {
    const RENEWALS: usize = 9;
    let leads = "unstructured_operator_leader ";
    let mut stage = stage().await?;
    skew(&mut stage, leader)?;
    let first = stage.operator().await?;
    skew(&mut stage, standby)?;
    let second = stage.operator().await?;
    let held = lease(&stage).await?;
    let mut last = held.renew_time.clone();
    let mut renewals = 0;
    let end = tokio::time::Instant::now() + PATIENCE;
    while renewals < RENEWALS {
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "{renewals} renewals only"
        );
        let now = lease(&stage).await?;
        assert_eq!(now.holder_identity, held.holder_identity);
        if now.renew_time != last {
            renewals += 1;
            last = now.renew_time;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(first.metric(leads).await? > 0.5, "it leads");
    assert!(second.metric(leads).await? < 0.5, "it stands by");

    first.kill()?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert!(second.metric(leads).await? > 0.5, "it leads now");
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_standby_whose_clock_is_twenty_minutes_ahead_waits_its_turn() -> Result<()> {
    elect(SLOW, FAST).await
}

#[tokio::test]
async fn a_standby_whose_clock_is_twenty_minutes_behind_comes_to_its_turn() -> Result<()> {
    elect(FAST, SLOW).await
}
