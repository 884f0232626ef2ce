//! Answers of success that do not say what is documented: what was done counts, and is neither done again for ever nor taken for
//! undone.

use anyhow::Result;
use serde_json::json;
use support::fake::unstructured::{Route, answers};
use support::fake::{Answer, Fault};
use support::stage::{APP_KEY, APP_SECRET, condition, eventually};

use crate::stage;

/// Each way in which a success can say less than it should, all of them carried out.
fn odd_successes() -> Vec<(&'static str, Fault)> {
    let other =
        json!({ "id": "00000000-0000-4000-8000-000000000001", "name": "n", "type": "dropbox" });
    vec![
        (
            "an empty object",
            Fault::answer(Answer::json(202, &json!({}))),
        ),
        ("no content", Fault::answer(Answer::empty(204))),
        ("null", Fault::answer(Answer::json(200, &json!(null)))),
        ("a word", Fault::answer(Answer::text(200, "OK"))),
        (
            "a sentence",
            Fault::answer(answers::detail(200, "accepted")),
        ),
        (
            "another connector",
            Fault::answer(Answer::json(200, &other)),
        ),
        (
            "a page",
            Fault::answer(Answer::html(200, "<html>Thanks</html>")),
        ),
        ("too much", Fault::huge(4 << 20)),
        ("half of it", Fault::truncated()),
        ("broken off", Fault::cut()),
    ]
    .into_iter()
    .map(|(how, fault)| (how, fault.committed().always()))
    .collect()
}

#[tokio::test]
async fn an_update_that_was_taken_is_sent_once_whatever_the_answer() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage
        .create_ready("contracts", json!({ "verify": false }))
        .await?;
    for (n, (how, fault)) in odd_successes().into_iter().enumerate() {
        stage.api.inject(Route::Update, fault);
        let folder = format!("dropbox://contracts/{n}");
        stage
            .edit("contracts", json!({ "remoteUrl": folder }))
            .await?;
        let told = stage.until_ready("contracts").await?;
        stage.after_sweeps(2).await?;
        assert_eq!(stage.updates().len(), n + 1, "{how}");
        let source = stage.workspace.source(&id).expect("it is there");
        assert_eq!(source.text("remote_url"), folder, "{how}");
        assert!(condition(&told, "Synced").is_some_and(|synced| synced["status"] == "True"));
        stage.api.clear_faults();
    }
    Ok(())
}

#[tokio::test]
async fn an_update_that_was_not_taken_is_sent_again_whatever_the_answer_says() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage
        .create_ready("contracts", json!({ "verify": false }))
        .await?;
    let answers = [
        Answer::json(202, &json!({})),
        Answer::html(200, "<html>Log in</html>"),
    ];
    for (n, answer) in answers.into_iter().enumerate() {
        stage.api.inject(Route::Update, Fault::answer(answer));
        let folder = format!("dropbox://contracts/{n}");
        stage
            .edit("contracts", json!({ "remoteUrl": folder }))
            .await?;
        eventually("the folder is the one that was asked for", || {
            let source = stage.workspace.source(&id)?;
            (source.text("remote_url") == folder).then_some(())
        })
        .await?;
        stage.until_ready("contracts").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rotation_counts_as_applied_only_where_an_answer_says_so() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "300ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage
        .create_ready("contracts", json!({ "verify": false }))
        .await?;
    // A look at the connector shows the folder that it had all along, and no secret.
    let page = Fault::answer(Answer::html(200, "<html>Log in</html>"));
    stage.api.inject(Route::Update, page.always());
    stage
        .dropbox
        .accept(APP_KEY, APP_SECRET, "rotated-refresh-token-5d20c4");
    stage
        .rotate("dropbox", "refresh_token", "rotated-refresh-token-5d20c4")
        .await?;
    stage
        .until_reason("contracts", "UnexpectedResponse")
        .await?;
    stage.after_sweeps(2).await?;
    let told = stage.sources().get("contracts").await?;
    assert!(condition(&told, "Synced").is_some_and(|synced| synced["status"] != "True"));
    stage.api.clear_faults();
    stage.until_ready("contracts").await?;
    let source = stage.workspace.source(&id).expect("it is there");
    assert_eq!(source.text("refresh_token"), "rotated-refresh-token-5d20c4");
    Ok(())
}

#[tokio::test]
async fn a_check_that_was_started_is_followed_whatever_the_answer() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for (n, (how, fault)) in odd_successes().into_iter().enumerate() {
        stage.api.inject(Route::StartCheck, fault);
        let name = format!("checked-{n}");
        stage.create(&name, json!({})).await?;
        let ready = stage.until_ready(&name).await?;
        let verified = condition(&ready, "ConnectionVerified").expect("it is told");
        assert_eq!(verified["status"], "True", "{how}");
        assert_eq!(stage.checks().len(), n + 1, "{how}");
        stage.api.clear_faults();
    }
    Ok(())
}

#[tokio::test]
async fn a_delete_that_was_carried_out_ends_whatever_the_answer() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for (n, (how, fault)) in odd_successes().into_iter().enumerate() {
        let name = format!("gone-{n}");
        // The check has seen it, so that a 404 is believed.
        stage.create(&name, json!({})).await?;
        stage.until_ready(&name).await?;
        stage.api.inject(Route::Delete, fault);
        stage.delete(&name).await?;
        stage.gone(&name).await?;
        assert_eq!(stage.workspace.sources(), [], "{how}");
        assert_eq!(stage.deletes().len(), n + 1, "{how}");
        stage.api.clear_faults();
    }
    Ok(())
}

#[tokio::test]
async fn a_create_that_is_answered_with_another_connector_is_looked_for() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SETTLE_TIME", "2s");
    stage.set("REQUEST_TIMEOUT", "1s");
    let theirs = json!({ "remote_url": "dropbox://theirs", "recursive": false });
    let foreign = stage.workspace.insert("dropbox", "somebody's", theirs);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let shown = |id: &str, name: &str| json!({ "id": id, "name": name, "type": "dropbox", "config": {}, "created_at": "2026-01-01T00:00:00Z" });
    // What a cache on the way has kept, whole or with our name in it.
    let own = format!("{}.contracts-1.test", stage.namespace);
    for (n, answer) in [shown(&foreign, "somebody's"), shown(&foreign, &own)]
        .into_iter()
        .enumerate()
    {
        let fault = Fault::answer(Answer::json(200, &answer));
        stage.api.inject(Route::Create, fault.committed());
        let name = format!("contracts-{n}");
        let id = stage.create_ready(&name, json!({})).await?;
        assert_ne!(id, foreign);
        assert_eq!(stage.creates().len(), n + 1);
    }
    let left = stage.workspace.source(&foreign).expect("it is there");
    assert_eq!(left.text("remote_url"), "dropbox://theirs");
    assert!(
        stage
            .updates()
            .iter()
            .all(|update| !update.path.contains(&foreign))
    );
    Ok(())
}
