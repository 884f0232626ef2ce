//! Create, update, delete: what every user does.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::fake::Fault;
use support::fake::unstructured::{CheckScript, Poll, Route, answers};
use support::stage::{
    API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN, condition, eventually, message, source_id,
};
use unstructured_operator::controller::connector::naming::ClusterName;

use crate::economy::ten_quiet_intervals;
use crate::stage;

#[tokio::test]
async fn a_resource_becomes_one_connector_and_is_ready() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create(
            "contracts",
            json!({ "remoteUrl": "dropbox://contracts/2026" }),
        )
        .await?;

    let ready = stage.until_ready("contracts").await?;

    let creates = stage.creates();
    assert_eq!(creates.len(), 1, "one POST: {creates:?}");
    assert_eq!(
        creates[0].json(),
        json!({
            "name": format!("{}.contracts.test", stage.namespace),
            "key": ClusterName::chosen("test").key_of("DropboxSource", &stage.namespace, "contracts"),
            "type": "dropbox",
            "config": {
                "remote_url": "dropbox://contracts/2026",
                "recursive": false,
                "app_key": APP_KEY,
                "app_secret": APP_SECRET,
                "refresh_token": REFRESH_TOKEN,
            },
        })
    );
    assert_eq!(creates[0].api_key(), Some(API_KEY));
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.clone().as_str()));
    assert_eq!(
        ready.data["status"]["connectorName"],
        format!("{}.contracts.test", stage.namespace)
    );
    assert_eq!(
        condition(&ready, "ConnectionVerified").map(|c| c["status"].clone()),
        Some(json!("True"))
    );
    assert!(condition(&ready, "Reconciling").is_none());
    Ok(())
}

#[tokio::test]
async fn at_rest_nothing_is_written_and_each_interval_costs_one_list() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let names = ["one", "two", "three"];
    for name in names {
        stage.create(name, json!({})).await?;
    }
    for name in names {
        stage.until_ready(name).await?;
    }
    stage.after_sweeps(2).await?;
    let seen = stage.versions().await?.len();
    let since = ten_quiet_intervals(&stage).await?;
    assert!(
        since.iter().all(|list| list.query == "source_type=dropbox"),
        "{since:?}"
    );
    assert_eq!(
        stage.versions().await?.len(),
        seen,
        "no status was rewritten"
    );
    Ok(())
}

#[tokio::test]
async fn resources_of_one_name_in_two_namespaces_and_clusters_have_connectors_of_their_own()
-> Result<()> {
    let (mut here, mut there) = (stage().await?, stage().await?);
    here.set("SYNC_INTERVAL", "300ms");
    there.set("SYNC_INTERVAL", "300ms");
    there.set("UNSTRUCTURED_API_URL", &here.api.url());
    there.set("CLUSTER_NAME", "elsewhere");
    let _operators = (here.operator().await?, there.operator().await?);
    for stage in [&here, &there] {
        stage.good_secret().await?;
        stage.create("contracts", json!({})).await?;
    }
    let mine = here.until_ready("contracts").await?;
    let theirs = there.until_ready("contracts").await?;
    assert_ne!(source_id(&mine), source_id(&theirs));
    let mut names: Vec<_> = here
        .workspace
        .sources()
        .into_iter()
        .map(|s| s.name)
        .collect();
    let mut expected = vec![
        format!("{}.contracts.test", here.namespace),
        format!("{}.contracts.elsewhere", there.namespace),
    ];
    names.sort();
    expected.sort();
    assert_eq!(names, expected);

    here.delete("contracts").await?;
    here.gone("contracts").await?;
    here.after_sweeps(3).await?;

    let left = here.workspace.sources();
    assert_eq!(left.len(), 1);
    assert_eq!(Some(left[0].id.as_str()), source_id(&theirs));
    assert_eq!(here.updates().len(), 0);
    assert_eq!(here.creates().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_new_value_of_the_annotation_forces_a_pass_and_a_check_and_is_acknowledged() -> Result<()>
{
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let (lists, writes) = (stage.lists().len(), stage.writes());

    let at = "connectors.unstructured.io/reconcile-at";
    stage
        .annotate("contracts", at, "2026-01-01T00:00:00Z")
        .await?;
    stage
        .until("contracts", |object| {
            object.data["status"]["lastHandledReconcileAt"] == "2026-01-01T00:00:00Z"
                && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
        })
        .await?;

    assert!(
        stage.lists().len() > lists,
        "the workspace was looked at anew"
    );
    assert_eq!(stage.checks().len(), 2, "the connection was checked again");
    assert_eq!(stage.writes(), writes + 1, "and nothing else was sent");
    Ok(())
}

#[tokio::test]
async fn a_suspended_resource_writes_nothing_and_catches_up_at_once_when_resumed() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage.create_ready("contracts", json!({})).await?;
    stage.edit("contracts", json!({ "suspend": true })).await?;
    stage.until_reason("contracts", "Suspended").await?;
    let writes = stage.writes();

    stage
        .edit("contracts", json!({ "remoteUrl": "dropbox://other" }))
        .await?;
    stage
        .rotate("dropbox", "app_secret", "rotated-app-secret-1")
        .await?;
    stage
        .dropbox
        .accept(APP_KEY, "rotated-app-secret-1", REFRESH_TOKEN);
    stage.workspace.edit(&id, |source| {
        source.config.insert("recursive".into(), json!(true));
    });
    let suspended = stage.until_reason("contracts", "Suspended").await?;
    stage.after_sweeps(3).await?;
    assert_eq!(stage.writes(), writes, "nothing is written while suspended");
    assert_eq!(
        source_id(&suspended),
        Some(id.as_str()),
        "and nothing forgotten"
    );

    stage.edit("contracts", json!({ "suspend": false })).await?;
    stage.until_ready("contracts").await?;
    let updates = stage.updates();
    assert_eq!(updates.len(), 1);
    let config = &updates[0].json()["config"];
    assert_eq!(config["remote_url"], "dropbox://other");
    assert_eq!(config["app_secret"], "rotated-app-secret-1");
    assert_eq!(config["recursive"], false);
    Ok(())
}

#[tokio::test]
async fn a_suspended_resource_speaks_of_what_was_applied_last_and_mends_the_rest_when_resumed()
-> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    let id = source_id(&ready).unwrap_or_default().to_owned();
    stage.edit("contracts", json!({ "suspend": true })).await?;
    stage.until_reason("contracts", "Suspended").await?;

    stage.workspace.remove(&id);
    stage.after_sweeps(3).await?;
    let suspended = stage.sources().get("contracts").await?;
    let ready = condition(&suspended, "Ready").expect("it is told");
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("True"), &json!("Suspended"))
    );
    let told = message(&suspended, "Ready");
    assert!(
        told.starts_with("The last applied configuration") && !told.contains("has the desired"),
        "nobody has looked at the connector: {told}"
    );
    assert_eq!(stage.creates().len(), 1);

    stage.edit("contracts", json!({ "suspend": false })).await?;
    stage.until_event("contracts", "Recreated").await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.creates().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_suspended_resource_can_be_deleted_with_its_connector() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    stage.edit("contracts", json!({ "suspend": true })).await?;
    stage.until_reason("contracts", "Suspended").await?;

    stage.delete("contracts").await?;
    stage.gone("contracts").await?;

    assert_eq!(stage.deletes().len(), 1);
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn a_failed_connection_check_is_told_with_its_reason_and_checked_again_after_a_change()
-> Result<()> {
    let stage = stage().await?;
    stage.workspace.set_checks(|source| {
        if source.text("remote_url") == "dropbox://missing" {
            CheckScript::failure("The folder does not exist")
        } else {
            CheckScript::new([Poll::Previous, Poll::Success])
        }
    });
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "remoteUrl": "dropbox://missing" }))
        .await?;

    let failed = stage
        .until_reason("contracts", "VerificationFailed")
        .await?;
    let told = message(&failed, "Ready");
    assert!(told.contains("The folder does not exist"), "{told}");
    let status = |kind| condition(&failed, kind).map(|c| c["status"].clone());
    assert_eq!(status("Stalled"), Some(json!("True")));
    assert_eq!(status("Synced"), Some(json!("True")));
    assert_eq!(status("ConnectionVerified"), Some(json!("False")));
    assert_eq!(
        failed.data["status"]["connectionCheck"]["status"],
        "FAILURE"
    );

    stage
        .edit("contracts", json!({ "remoteUrl": "dropbox://there" }))
        .await?;
    let mended = stage.until_ready("contracts").await?;
    assert_eq!(
        condition(&mended, "ConnectionVerified").map(|c| c["status"].clone()),
        Some(json!("True")),
        "the answer about the earlier check was not taken for the new one's"
    );
    assert_eq!(stage.checks().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_resource_that_is_not_to_be_verified_is_ready_without_a_check() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "verify": false }))
        .await?;
    let ready = stage.until_ready("contracts").await?;
    assert_eq!(stage.checks().len(), 0);
    assert!(condition(&ready, "ConnectionVerified").is_none());
    Ok(())
}

#[tokio::test]
async fn a_create_an_edit_and_a_delete_in_one_breath_leave_nothing_anywhere() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let names: Vec<_> = (0..5).map(|n| format!("breath-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        stage.create(name, json!({})).await?;
        // Later ones get a little further before they go.
        if n > 0 {
            let creates = stage.creates().len();
            eventually("an effect, or none", || {
                (stage.creates().len() >= creates.min(n)).then_some(())
            })
            .await?;
        }
        stage
            .edit(name, json!({ "remoteUrl": "dropbox://renamed" }))
            .await?;
        stage.delete(name).await?;
    }
    for name in &names {
        stage.gone(name).await?;
    }
    assert_eq!(stage.workspace.sources(), []);
    assert_eq!(
        stage.creates().len(),
        stage.deletes().len(),
        "what was made was unmade"
    );
    Ok(())
}

#[tokio::test]
async fn an_edit_during_a_create_is_not_reported_as_applied_before_it_is() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::none().held_back(Duration::from_millis(500)),
    );
    stage
        .create("contracts", json!({ "verify": false }))
        .await?;
    eventually("the create is under way", || {
        (stage.creates().len() == 1).then_some(())
    })
    .await?;

    stage
        .edit("contracts", json!({ "remoteUrl": "dropbox://edited" }))
        .await?;
    let last = stage.until_ready("contracts").await?;

    assert_eq!(
        stage.workspace.sources()[0].text("remote_url"),
        "dropbox://edited"
    );
    for version in stage.versions().await? {
        let ready = condition(&version, "Ready").is_some_and(|c| c["status"] == "True");
        let status = &version.data["status"];
        if ready && status["observedGeneration"] == 2 {
            assert_eq!(
                status["appliedDigest"], last.data["status"]["appliedDigest"],
                "Ready for an edit that was not sent: {status}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_shows_what_a_user_looks_for() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create(
            "contracts",
            json!({ "remoteUrl": "dropbox://contracts/2026" }),
        )
        .await?;
    let ready = stage.until_ready("contracts").await?;

    let get = |what: &str, format: &str| {
        let mut kubectl = stage.plane.kubectl();
        kubectl.args(["get", what, "-n", &stage.namespace, "-o", format]);
        async move { anyhow::Ok(String::from_utf8(kubectl.output().await?.stdout)?) }
    };
    let narrow = get("dbxsrc", "custom-columns=NAME:.metadata.name").await?;
    assert!(narrow.contains("contracts"), "the short name: {narrow}");
    let wide = get("unstructured", "wide").await?;
    let header: Vec<_> = wide
        .lines()
        .next()
        .unwrap_or_default()
        .split("  ")
        .collect();
    let header: Vec<_> = header
        .iter()
        .map(|h| h.trim())
        .filter(|h| !h.is_empty())
        .collect();
    let columns = [
        "NAME",
        "REMOTE URL",
        "READY",
        "REASON",
        "AGE",
        "SOURCE ID",
        "MESSAGE",
    ];
    assert_eq!(header, columns);
    for shown in [
        "dropbox://contracts/2026",
        "True",
        source_id(&ready).unwrap_or_default(),
        message(&ready, "Ready"),
    ] {
        assert!(wide.contains(shown), "{shown} in {wide}");
    }
    Ok(())
}

#[tokio::test]
async fn an_api_without_a_connection_check_is_no_reason_to_wait() -> Result<()> {
    let stage = stage().await?;
    stage.api.inject(
        Route::StartCheck,
        Fault::answer(answers::not_found()).always(),
    );
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    let verified = condition(&ready, "ConnectionVerified").expect("it is told");
    assert_eq!(verified["status"], "Unknown");
    assert_eq!(verified["reason"], "CheckUnavailable");
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_check_that_cannot_be_started_or_read_at_first_is_tried_again() -> Result<()> {
    let stage = stage().await?;
    let failure = || Fault::answer(answers::internal_server_error());
    stage.api.inject(Route::StartCheck, failure());
    stage.api.inject(Route::LatestCheck, failure());
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.checks().len(), 2);
    assert_eq!(stage.creates().len(), 1);
    assert_eq!(
        stage.updates().len(),
        0,
        "the configuration is not sent again for it"
    );
    Ok(())
}

#[tokio::test]
async fn verification_can_be_switched_on_and_off_without_a_put() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "verify": false }))
        .await?;
    stage.until_ready("contracts").await?;
    stage.edit("contracts", json!({ "verify": true })).await?;
    let ready = stage.until_ready("contracts").await?;
    assert!(condition(&ready, "ConnectionVerified").is_some());
    stage.edit("contracts", json!({ "verify": false })).await?;
    let ready = stage.until_ready("contracts").await?;
    assert!(condition(&ready, "ConnectionVerified").is_none());
    assert_eq!((stage.checks().len(), stage.updates().len()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn a_long_name_is_shortened_and_found_again() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("LEADER_ELECT", "false");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let (one, two) = (
        format!("{}1", "x".repeat(120)),
        format!("{}2", "x".repeat(120)),
    );
    for name in [&one, &two] {
        stage.create(name, json!({ "verify": false })).await?;
        stage.until_ready(name).await?;
    }
    let names: Vec<_> = stage
        .workspace
        .sources()
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert!(names.iter().all(|name| name.len() <= 100), "{names:?}");
    assert_ne!(names[0], names[1]);
    operator.kill()?;
    let _operator = stage.operator().await?;
    for name in [&one, &two] {
        stage.delete(name).await?;
        stage.gone(name).await?;
    }
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}
