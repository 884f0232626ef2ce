//! Lost answers, and operators killed at the worst moment: one connector, and no human needed.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::fake::unstructured::{Permission, Route, answers};
use support::fake::{Answer, Fault};
use support::stage::{Stage, eventually, message, source_id};

use crate::stage;

/// A stage on which a create without an answer settles soon, and a killed operator leaves no Lease to wait for.
async fn hasty() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    stage.set("LEADER_ELECT", "false");
    Ok(stage)
}

/// Between any two creates of one name, the workspace was listed.
fn assert_listed_between_creates(stage: &Stage) {
    let requests = stage.api.requests();
    let mut unlisted = std::collections::BTreeSet::new();
    for request in requests {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/api/v1/sources/") if request.status() == Some(200) => unlisted.clear(),
            ("POST", "/api/v1/sources/") => {
                let name = request.json()["name"].to_string();
                assert!(
                    unlisted.insert(name),
                    "two creates without a look: {request}"
                );
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_makes_one_connector() -> Result<()> {
    let stage = hasty().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let losses = [
        ("reset", Fault::disconnect().committed()),
        ("timeout", Fault::hang().committed()),
        (
            "gateway",
            Fault::answer(Answer::html(502, "<h1>Bad Gateway</h1>")).committed(),
        ),
        (
            "failing",
            Fault::answer(answers::internal_server_error()).committed(),
        ),
        ("cut", Fault::cut()),
        ("truncated", Fault::truncated()),
        (
            "page",
            Fault::answer(Answer::html(200, "<h1>Welcome</h1>")).committed(),
        ),
        ("empty", Fault::answer(Answer::empty(200)).committed()),
    ];
    for (name, loss) in losses {
        stage.api.inject(Route::Create, loss);
        stage.create(name, json!({ "verify": false })).await?;
        let ready = stage.until_ready(name).await?;
        let own = format!("{}.{name}.test", stage.namespace);
        let mut made = stage.workspace.sources();
        made.retain(|source| source.name == own);
        assert_eq!(made.len(), 1, "{name}");
        assert_eq!(source_id(&ready), Some(made[0].id.as_str()), "{name}");
        let sent = stage
            .creates()
            .into_iter()
            .filter(|post| post.json()["name"] == own.as_str());
        assert_eq!(sent.count(), 1, "{name}: found, not made again");
        stage.until_event(name, "Recovered").await?;
    }
    assert_listed_between_creates(&stage);
    Ok(())
}

#[tokio::test]
async fn a_create_that_fails_again_and_again_is_told_and_repeated_ever_more_slowly() -> Result<()> {
    let stage = hasty().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::answer(answers::internal_server_error()).times(2),
    );
    stage.create("contracts", json!({})).await?;
    let waiting = stage
        .until_reason("contracts", "CreateOutcomeUnknown")
        .await?;
    let told = message(&waiting, "Ready");
    assert!(told.contains("(500): Internal Server Error"), "{told}");
    stage.until_ready("contracts").await?;

    let at: Vec<_> = stage.creates().iter().map(|post| post.instant).collect();
    for (n, shortest) in [2.0, 4.0].into_iter().enumerate() {
        let gap = (at[n + 1] - at[n]).as_secs_f64();
        assert!(gap >= shortest, "gap {n} is {gap} s");
    }
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_create_that_came_to_nothing_is_repeated_after_a_look_and_no_sooner() -> Result<()> {
    let stage = hasty().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(Route::Create, Fault::disconnect());
    stage.create("contracts", json!({})).await?;

    let waiting = stage
        .until_reason("contracts", "CreateOutcomeUnknown")
        .await?;
    let name = format!("{}.contracts.test", stage.namespace);
    assert_eq!(waiting.data["status"]["create"]["name"], name.as_str());
    let ready = stage.until_ready("contracts").await?;

    assert!(ready.data["status"]["create"].is_null());
    let creates = stage.creates();
    assert_eq!(creates.len(), 2);
    let waited = creates[1].instant - creates[0].instant;
    assert!(
        waited >= Duration::from_secs(2),
        "the settle time: {waited:?}"
    );
    assert_eq!(stage.workspace.sources().len(), 1);
    assert_listed_between_creates(&stage);
    Ok(())
}

#[tokio::test]
async fn a_create_that_is_carried_out_late_is_waited_for() -> Result<()> {
    let stage = hasty().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::disconnect().committed_late(Duration::from_millis(1200)),
    );
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.workspace.sources().len(), 1);
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_create_that_is_carried_out_after_all_hope_leaves_one_connector_in_the_end() -> Result<()>
{
    let mut stage = hasty().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::disconnect().committed_late(Duration::from_secs(4)),
    );
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    stage.until_event("contracts", "DuplicateDeleted").await?;
    let ready = stage.until_ready("contracts").await?;
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.as_str()));
    assert_eq!(sources[0].text("remote_url"), "dropbox://data");
    Ok(())
}

#[tokio::test]
async fn an_explicit_name_is_recovered_by_its_recorded_intent() -> Result<()> {
    let stage = hasty().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .api
        .inject(Route::Create, Fault::disconnect().committed());
    stage
        .create("contracts", json!({ "connectorName": "our contracts" }))
        .await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_refused_create_leaves_no_intent_behind() -> Result<()> {
    let stage = hasty().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let refusal = ("remote_url".to_owned(), "Folder is reserved".to_owned());
    stage.api.inject(
        Route::Create,
        Fault::answer(answers::invalid_configuration(&[refusal])),
    );
    stage.create("contracts", json!({})).await?;
    let refused = stage
        .until_reason("contracts", "InvalidConfiguration")
        .await?;
    assert!(refused.data["status"]["create"].is_null());

    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(stage.deletes().len(), 0);
    Ok(())
}

#[tokio::test]
async fn an_operator_killed_before_the_answer_finds_its_connector_again() -> Result<()> {
    let stage = hasty().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_secs(30)),
    );
    stage.create("contracts", json!({})).await?;
    eventually("the connector exists", || {
        (stage.workspace.sources().len() == 1).then_some(())
    })
    .await?;
    operator.kill()?;
    stage.api.clear_faults();

    let _operator = stage.operator().await?;
    let ready = stage.until_ready("contracts").await?;

    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.as_str()));
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_operator_killed_before_its_create_arrives_makes_one_connector_after_all() -> Result<()>
{
    let stage = hasty().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(Route::Create, Fault::hang());
    stage.create("contracts", json!({})).await?;
    eventually("the create is sent", || {
        (stage.creates().len() == 1).then_some(())
    })
    .await?;
    operator.kill()?;
    stage.api.clear_faults();
    let stuck = stage.sources().get("contracts").await?;
    assert!(
        stuck.data["status"]["create"].is_object(),
        "the intent is on record"
    );

    let _operator = stage.operator().await?;
    let ready = stage.until_ready("contracts").await?;

    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.as_str()));
    assert_eq!(stage.creates().len(), 2);
    assert_listed_between_creates(&stage);
    Ok(())
}

#[tokio::test]
async fn operators_killed_at_any_moment_leave_one_connector_for_each_resource() -> Result<()> {
    let stage = hasty().await?;
    stage.good_secret().await?;
    stage
        .api
        .configure(|rules| rules.latency = Duration::from_millis(40));
    let names: Vec<_> = (0..6).map(|n| format!("many-{n}")).collect();
    for name in &names {
        stage.create(name, json!({})).await?;
    }
    // Each is killed a few requests later than the one before it.
    for requests in [2, 4, 7, 11, 16] {
        let operator = stage.operator().await?;
        let before = stage.api.requests().len();
        eventually("some requests", || {
            let sent = stage.api.requests().len() - before;
            (sent >= requests || stage.workspace.sources().len() == names.len()).then_some(())
        })
        .await?;
        operator.kill()?;
    }
    let _operator = stage.operator().await?;
    let mut ids = std::collections::BTreeSet::new();
    for name in &names {
        let ready = stage.until_ready(name).await?;
        ids.insert(source_id(&ready).unwrap_or_default().to_owned());
    }
    let made: std::collections::BTreeSet<_> = stage
        .workspace
        .sources()
        .into_iter()
        .map(|s| s.id)
        .collect();
    assert_eq!(made, ids);
    assert_eq!(ids.len(), names.len());
    for name in &names {
        stage.delete(name).await?;
    }
    for name in &names {
        stage.gone(name).await?;
    }
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn a_restarted_operator_leaves_a_settled_world_alone() -> Result<()> {
    let mut stage = hasty().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    operator.kill()?;
    let (writes, versions) = (stage.writes(), stage.versions().await?.len());
    let asked = stage.dropbox.requests().len();

    let _operator = stage.operator().await?;
    stage.after_sweeps(4).await?;

    assert_eq!(stage.writes(), writes);
    assert_eq!(stage.versions().await?.len(), versions);
    assert_eq!(
        stage.dropbox.requests().len(),
        asked,
        "nothing is sent, so nothing is asked"
    );
    Ok(())
}

#[tokio::test]
async fn a_delete_whose_answer_is_lost_is_finished_after_a_restart() -> Result<()> {
    let stage = hasty().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    stage.api.inject(Route::Delete, Fault::hang().committed());
    stage.delete("contracts").await?;
    eventually("the connector is gone", || {
        stage.workspace.sources().is_empty().then_some(())
    })
    .await?;
    operator.kill()?;

    let _operator = stage.operator().await?;
    stage.gone("contracts").await?;
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn lists_that_lag_behind_make_nothing_twice_and_bind_no_ghost() -> Result<()> {
    let mut stage = hasty().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    stage.api.configure(|rules| rules.list_lag = 3);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for round in 0..3 {
        stage
            .create("contracts", json!({ "verify": false }))
            .await?;
        let ready = stage.until_ready("contracts").await?;
        let sources = stage.workspace.sources();
        assert_eq!(sources.len(), 1, "round {round}");
        assert_eq!(source_id(&ready), Some(sources[0].id.as_str()));
        stage.delete("contracts").await?;
        stage.gone("contracts").await?;
        assert_eq!(stage.workspace.sources(), []);
    }
    assert_eq!(stage.creates().len(), 3);
    assert!(stage.updates().len() <= 3, "{:?}", stage.updates());
    Ok(())
}

#[tokio::test]
async fn an_api_that_refuses_second_names_changes_nothing_about_recovery() -> Result<()> {
    let stage = hasty().await?;
    stage
        .api
        .configure(|rules| rules.duplicate_names = Permission::Refused(409));
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .api
        .inject(Route::Create, Fault::disconnect().committed());
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.workspace.sources().len(), 1);
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}
