//! What Dropbox says of credentials, does not say, or says no longer; and a Dropbox that says nothing at all.

use std::time::Duration;

use anyhow::Result;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use support::fake::unstructured::{CheckScript, Poll};
use support::fake::{Answer, Fault, On, dropbox};
use support::stage::{
    APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage, condition, eventually, message, source_id,
};

use crate::incarnation::{Incarnation, World};
use crate::stage;
use crate::virtual_time::at_once;

const ROTATED: &str = "rotated-refresh-token-77aa01";
const HOUR: Duration = Duration::from_hours(1);

/// More than may be looked at at once.
const MANY: usize = 48;

#[tokio::test]
async fn a_dropbox_that_cannot_answer_blocks_nothing() -> Result<()> {
    let stage = stage().await?;
    stage.dropbox.inject(
        dropbox::Route::Token,
        Fault::answer(Answer::text(503, "Service Unavailable")).always(),
    );
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    assert_eq!(stage.creates().len(), 1);
    let said = condition(&ready, "CredentialsValid").unwrap_or(&Value::Null);
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&json!("Unknown"), &json!("CredentialsUnverified"))
    );
    let told = message(&ready, "CredentialsValid");
    assert!(told.contains("503"), "{told}");

    stage.dropbox.clear_faults();
    let accepted = stage
        .until("contracts", |object| {
            condition(object, "CredentialsValid").is_some_and(|c| c["status"] == "True")
        })
        .await?;
    assert_eq!(source_id(&accepted), source_id(&ready));
    assert_eq!(stage.writes(), 2, "a create and its check");
    Ok(())
}

async fn force(stage: &Stage, value: &str) -> Result<()> {
    let now = "connectors.unstructured.io/reconcile-at";
    stage.annotate("contracts", now, value).await
}

/// What Dropbox answers to the look into the folder, and what `CredentialsValid` says then.
#[tokio::test]
async fn what_dropbox_definitely_denies_is_told_by_its_own_word_and_blocks_nothing() -> Result<()> {
    let stage = stage().await?;
    let team = "Error in call to API function \"files/list_folder\": This API function operates on a single Dropbox account, \
                but the OAuth 2 access token you provided is for an entire Dropbox Business team.";
    let path = |tag: &str| {
        let error = json!({ ".tag": "path", "path": { ".tag": tag } });
        Answer::json(409, &json!({ "error_summary": "path/..", "error": error }))
    };
    let cases = [
        (
            "malformed",
            path("malformed_path"),
            "False",
            "FolderUnreadable",
            "malformed_path",
        ),
        (
            "restricted",
            path("restricted_content"),
            "False",
            "FolderUnreadable",
            "restricted_content",
        ),
        (
            "suspended",
            dropbox::unauthorized("user_suspended"),
            "False",
            "AccessDenied",
            "user_suspended",
        ),
        (
            "team",
            Answer::text(400, team),
            "False",
            "AccessDenied",
            "whole team",
        ),
        (
            "page",
            Answer::html(200, "<html>Sign in</html>"),
            "Unknown",
            "CredentialsUnverified",
            "web page",
        ),
        (
            "expired",
            dropbox::unauthorized("expired_access_token"),
            "Unknown",
            "CredentialsUnverified",
            "expired_access_token",
        ),
    ];
    let answers = cases.clone();
    stage.dropbox.inject_by(move |route, request| {
        let path =
            (route == Some(dropbox::Route::ListFolder)).then(|| request.json()["path"].clone())?;
        let (_, answer, ..) = answers
            .iter()
            .find(|(name, ..)| path == format!("/{name}"))?;
        Some(Fault::answer(answer.clone()))
    });
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for (name, ..) in &cases {
        let spec = json!({ "remoteUrl": format!("dropbox://{name}") });
        stage.create(name, spec).await?;
    }
    for (name, _, status, reason, word) in &cases {
        let ready = stage
            .until(name, |object| {
                condition(object, "Ready").is_some_and(|c| c["status"] == "True")
            })
            .await?;
        let said = condition(&ready, "CredentialsValid").unwrap_or(&Value::Null);
        assert_eq!(
            (&said["status"], &said["reason"]),
            (&json!(status), &json!(reason)),
            "{name}"
        );
        let told = message(&ready, "CredentialsValid");
        assert!(told.contains(word), "{name}: {told}");
    }
    assert_eq!(stage.creates().len(), cases.len());
    Ok(())
}

#[tokio::test]
async fn a_token_revoked_after_ready_is_noticed_by_a_forced_look_and_by_a_failed_check()
-> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let refused = |object: &DynamicObject| {
        condition(object, "CredentialsValid").is_some_and(|c| c["reason"] == "CredentialsRejected")
    };

    stage.dropbox.revoke(REFRESH_TOKEN);
    force(&stage, "1").await?;
    stage.until("contracts", refused).await?;

    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    stage.until_ready("contracts").await?;
    // It is revoked while Unstructured checks the connection, which is how Unstructured finds out.
    let polls = [
        Poll::Scheduled,
        Poll::Scheduled,
        Poll::Failure("401".to_owned()),
    ];
    stage
        .workspace
        .set_checks(move |_| CheckScript::new(polls.clone()));
    force(&stage, "2").await?;
    stage.until_reason("contracts", "Checking").await?;
    let asked = stage.dropbox.requests().len();
    stage.dropbox.revoke(ROTATED);
    let told = stage.until("contracts", refused).await?;
    assert!(stage.dropbox.requests().len() > asked);
    assert_eq!(
        condition(&told, "Synced").map(|c| c["status"].clone()),
        Some(json!("True"))
    );
    Ok(())
}

#[tokio::test]
async fn a_dropbox_that_hangs_holds_up_no_deletion() -> Result<()> {
    let mut stage = stage().await?;
    // Longer than this test: no ask comes to its end.
    stage.set("REQUEST_TIMEOUT", "15m");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("old", json!({})).await?;
    stage.until_ready("old").await?;
    stage.dropbox.inject(On::Every, Fault::hang().always());
    let asked = stage.dropbox.requests().len();
    for number in 0..MANY {
        // Credentials of their own: nobody waits for the answer to another.
        let name = format!("new-{number}");
        let token = format!("refresh-token-of-{number}");
        let entries = [
            ("app_key", APP_KEY),
            ("app_secret", APP_SECRET),
            ("refresh_token", token.as_str()),
        ];
        stage.secret(&name, &entries).await?;
        let spec = json!({ "credentials": { "secretRef": { "name": name } } });
        stage.create(&name, spec).await?;
    }
    // The share of a workspace.
    eventually("as many ask as may", || {
        (stage.dropbox.requests().len() == asked + 16).then_some(())
    })
    .await?;

    stage.delete("old").await?;
    stage.gone("old").await?;

    assert_eq!(stage.dropbox.requests().len(), asked + 16);
    assert_eq!(stage.creates().len(), 1, "none of the others has an answer");
    Ok(())
}

#[test]
fn a_dropbox_that_hangs_delays_others_once_and_is_asked_seldom_until_it_answers() {
    let world = World::with_dropbox();
    world.put_secret("1");
    world.create("old");
    let life = Incarnation::begin(&world);
    assert!(life.until(HOUR, || world.wrong("old", "1").is_none()));
    world.hang_dropbox(true);
    let asked = || world.dropbox().requests().len();
    let before = asked();
    let names: Vec<_> = (0..MANY).map(|number| format!("new-{number}")).collect();
    for name in &names {
        world.create(name);
    }
    assert!(life.until(HOUR, || asked() > before));

    world.delete("old");
    assert!(life.until(HOUR, || world.resource("old").is_none()));
    let created = names.iter().any(|name| !world.connectors(name).is_empty());
    assert!(!created, "none of the others has an answer");

    let all = |status: &str| {
        names.iter().all(|name| {
            let resource = world.resource(name).unwrap_or_default();
            let conditions = resource["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            world.wrong(name, "1").is_none()
                && conditions.any(|c| c["type"] == "CredentialsValid" && c["status"] == status)
        })
    };
    assert!(life.until(HOUR, || all("Unknown")), "it blocks nothing");
    life.pass(HOUR);
    let probes = asked() - before;
    assert!(
        probes <= 8 + 12 * 60,
        "{probes} requests in an hour of silence: one scout after the other, none sooner than the pause between two"
    );

    world.hang_dropbox(false);
    // An ask that hangs has to be given up first.
    assert!(at_once(&life, || all("True")), "all are right at once");
}
