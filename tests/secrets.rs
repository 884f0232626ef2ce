//! The Secret with the credentials, and the one with the API key.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use support::fake::Fault;
use support::fake::unstructured::{Route, answers};
use support::stage::{
    APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage, condition, eventually, message, source_id,
};

use crate::stage;

const ROTATED: &str = "rotated-refresh-token-77aa01";

async fn until_sent(stage: &Stage, count: usize) -> Result<()> {
    eventually("the rotated value is sent", || {
        let sent = stage.updates();
        let fresh = sent
            .iter()
            .filter(|put| put.json()["config"]["refresh_token"] == ROTATED);
        (fresh.count() >= count).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_rotated_value_is_one_put_and_the_digest_follows_the_answer() -> Result<()> {
    let stage = stage().await?;
    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;
    // The answer is held back until this test has looked at the status.
    stage.api.inject(
        Route::Update,
        Fault::none().held_back(std::time::Duration::from_secs(1)),
    );

    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    until_sent(&stage, 1).await?;
    let during = stage.sources().get("contracts").await?;
    let after = stage.until_ready("contracts").await?;
    let told = |object: &kube::api::DynamicObject| object.data["status"]["appliedDigest"].clone();
    assert_ne!(told(&during), told(&after), "not accepted, not told");
    assert_ne!(told(&before), told(&after));

    assert_eq!(source_id(&after), source_id(&before));
    let told = stage.until_event("contracts", "Updated").await?;
    assert!(
        told.contains("because Secret \"dropbox\" changed"),
        "{told}"
    );
    let updates = stage.updates();
    assert_eq!(updates.len(), 1);
    assert_eq!(
        updates[0].json()["config"],
        json!({
            "remote_url": "dropbox://data",
            "recursive": false,
            "app_key": APP_KEY,
            "app_secret": APP_SECRET,
            "refresh_token": ROTATED,
        })
    );
    let measured = "unstructured_operator_secret_to_update_seconds_count";
    let measured = operator.metric(measured).await?;
    assert!((measured - 1.0).abs() < f64::EPSILON, "{measured}");
    Ok(())
}

#[tokio::test]
async fn a_rotation_that_failed_before_a_restart_still_arrives() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("LEADER_ELECT", "false");
    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    stage.api.inject(
        Route::Update,
        Fault::answer(answers::internal_server_error()).always(),
    );

    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    let failing = stage.until_reason("contracts", "ApiUnavailable").await?;
    assert_eq!(
        condition(&failing, "Synced").map(|c| c["status"].clone()),
        Some(json!("False")),
        "nobody is told that the new value is in place"
    );
    operator.kill()?;
    stage.api.clear_faults();
    let sent = stage.updates().len();
    let _operator = stage.operator().await?;

    until_sent(&stage, sent + 1).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.updates().len(), sent + 1);
    assert_eq!(stage.workspace.sources()[0].text("refresh_token"), ROTATED);
    Ok(())
}

#[tokio::test]
async fn resources_that_share_a_secret_are_all_updated() -> Result<()> {
    let stage = stage().await?;
    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let names = ["one", "two", "three"];
    for name in names {
        stage
            .create(name, json!({ "remoteUrl": format!("dropbox://{name}") }))
            .await?;
    }
    for name in names {
        stage.until_ready(name).await?;
    }

    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    until_sent(&stage, 3).await?;
    for name in names {
        stage.until_ready(name).await?;
    }

    let sources = stage.workspace.sources();
    assert!(
        sources
            .iter()
            .all(|source| source.text("refresh_token") == ROTATED)
    );
    assert_eq!(stage.updates().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_secret_relabelled_or_rewritten_unchanged_causes_no_put() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let writes = stage.writes();

    let label = json!({ "metadata": { "labels": { "team": "legal" } } });
    stage
        .secrets()
        .patch("dropbox", &PatchParams::default(), &Patch::Merge(label))
        .await?;
    stage.good_secret().await?;
    stage
        .rotate("dropbox", "unrelated", "a-value-nobody-reads")
        .await?;
    stage.after_sweeps(3).await?;
    assert_eq!(stage.writes(), writes);

    // The watch is alive: a change that matters does arrive.
    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    until_sent(&stage, 1).await?;
    Ok(())
}

/// Name of the Secret, its entries, the reason, and words of the message.
type Defect = (
    &'static str,
    Vec<(&'static str, &'static str)>,
    &'static str,
    &'static str,
);

#[expect(
    clippy::too_many_lines,
    reason = "a table of defects and what is said of each"
)]
#[tokio::test]
async fn a_defect_of_the_secret_is_named_without_any_call_and_mends_itself() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let good = [
        ("app_key", APP_KEY),
        ("app_secret", APP_SECRET),
        ("refresh_token", REFRESH_TOKEN),
    ];
    let with = |key: &'static str, value: &'static str| {
        good.map(|(name, good)| (name, if name == key { value } else { good }))
    };
    let invalid = "SecretInvalid";
    let access = "AccessTokenInsteadOfRefreshToken";
    let mut defects: Vec<Defect> = vec![
        (
            "missing",
            vec![],
            "SecretNotFound",
            "Secret \"missing\" does not exist",
        ),
        (
            "lacking",
            good[..2].to_vec(),
            "SecretKeyMissing",
            "no key \"refresh_token\"",
        ),
    ];
    for (name, key, value, reason, words) in [
        ("empty", "app_key", "", invalid, "is empty"),
        ("blank", "app_secret", " \n", invalid, "is empty"),
        (
            "lines",
            "app_secret",
            "one\ntwo-lines-are-no-secret",
            invalid,
            "a line break inside it",
        ),
        ("masked", "app_secret", "**********", invalid, "mask"),
        (
            "before",
            "app_key",
            " leading-space-key",
            invalid,
            "a space at its start",
        ),
        (
            "after",
            "app_key",
            "trailing-space-key \n",
            invalid,
            "a space at its end",
        ),
        (
            "mark",
            "app_secret",
            "\u{feff}secret-behind-a-mark",
            invalid,
            "a byte order mark at its start",
        ),
        (
            "no-break",
            "refresh_token",
            "token-before-a-blank\u{a0}",
            invalid,
            "a no-break space at its end",
        ),
        (
            "unseen",
            "refresh_token",
            "token-before\u{200b}-and-after",
            invalid,
            "an invisible character inside it",
        ),
        (
            "accent",
            "app_secret",
            "sécret-with-an-accent",
            invalid,
            "not ASCII inside it",
        ),
        (
            "quoted",
            "refresh_token",
            "\"refresh-token-in-quotes\"",
            invalid,
            "quotation marks around it",
        ),
        (
            "header",
            "refresh_token",
            "Bearer refresh-token-of-a-header",
            invalid,
            "the word Bearer",
        ),
        (
            "access",
            "refresh_token",
            "sl.u.AbCdEfGh-access-token",
            access,
            "\"refresh_token\"",
        ),
        (
            "access-blank",
            "refresh_token",
            " sl.u.AbCdEfGh-access-token",
            access,
            "four hours",
        ),
        (
            "access-header",
            "refresh_token",
            "\"Bearer sl.u.AbCdEfGh-access-token\"",
            access,
            "four hours",
        ),
    ] {
        defects.push((name, with(key, value).to_vec(), reason, words));
    }

    for (name, entries, _, _) in &defects {
        if !entries.is_empty() {
            stage.secret(name, entries).await?;
        }
        let spec = json!({ "credentials": { "secretRef": { "name": name } } });
        stage.create(name, spec).await?;
    }
    for (name, _, reason, words) in &defects {
        let blocked = stage.until_reason(name, reason).await?;
        let told = message(&blocked, "Ready");
        assert!(told.contains(words), "{name}: {told}");
        assert!(told.contains(name), "the Secret's name: {told}");
        // What is missing may come a moment later, with another tool.
        let missing = ["SecretNotFound", "SecretKeyMissing"].contains(reason);
        let progress = if missing { "Reconciling" } else { "Stalled" };
        for (kind, status) in [
            (progress, "True"),
            ("CredentialsValid", "False"),
            ("Synced", "False"),
        ] {
            let found = condition(&blocked, kind).map(|c| c["status"].clone());
            assert_eq!(found, Some(json!(status)), "{name}: {kind}");
        }
    }
    assert_eq!(stage.api.requests().len(), 0, "nobody was asked");
    assert_eq!(stage.dropbox.requests().len(), 0);

    for (name, _, _, _) in &defects {
        stage.secret(name, &good).await?;
    }
    for (name, _, _, _) in &defects {
        stage.until_ready(name).await?;
    }
    assert_eq!(stage.creates().len(), defects.len());
    Ok(())
}

#[tokio::test]
async fn a_line_break_at_the_end_of_a_value_is_ignored_and_told() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let (key, token) = (format!("{APP_KEY}\n"), format!("{REFRESH_TOKEN}\r\n"));
    stage
        .secret(
            "dropbox",
            &[
                ("app_key", key.as_str()),
                ("app_secret", APP_SECRET),
                ("refresh_token", &token),
            ],
        )
        .await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;

    let config = &stage.creates()[0].json()["config"];
    assert_eq!(config["app_key"], APP_KEY);
    assert_eq!(config["refresh_token"], REFRESH_TOKEN);
    let note = stage.until_event("contracts", "SecretTrimmed").await?;
    assert!(
        note.contains("app_key") && note.contains("refresh_token"),
        "{note}"
    );

    stage.good_secret().await?;
    stage
        .annotate(
            "contracts",
            "connectors.unstructured.io/reconcile-at",
            "now",
        )
        .await?;
    stage
        .until("contracts", |object| {
            object.data["status"]["lastHandledReconcileAt"] == "now"
        })
        .await?;
    assert_eq!(
        stage.updates().len(),
        0,
        "the same value without the line break is no change"
    );
    Ok(())
}

#[tokio::test]
async fn the_keys_inside_the_secret_can_have_other_names() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage
        .secret(
            "own",
            &[("K", APP_KEY), ("S.x", APP_SECRET), ("t_1", REFRESH_TOKEN)],
        )
        .await?;
    let keys = json!({ "appKey": "K", "appSecret": "S.x", "refreshToken": "t_1" });
    let spec = json!({ "credentials": { "secretRef": { "name": "own" }, "keys": keys } });
    stage.create("contracts", spec).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.workspace.sources()[0].text("app_secret"), APP_SECRET);
    Ok(())
}

#[tokio::test]
async fn credentials_that_dropbox_refuses_never_reach_unstructured() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let revoked = "revoked-refresh-token-31";
    stage
        .secret(
            "dropbox",
            &[
                ("app_key", APP_KEY),
                ("app_secret", APP_SECRET),
                ("refresh_token", revoked),
            ],
        )
        .await?;
    stage.create("contracts", json!({})).await?;

    let refused = stage
        .until_reason("contracts", "CredentialsRejected")
        .await?;
    assert!(
        message(&refused, "Ready").contains("invalid_grant"),
        "{}",
        message(&refused, "Ready")
    );
    assert_eq!(
        condition(&refused, "CredentialsValid").map(|c| c["status"].clone()),
        Some(json!("False"))
    );
    assert_eq!(stage.writes(), 0);
    assert_eq!(stage.dropbox.requests().len(), 1, "asked once");

    stage
        .rotate("dropbox", "refresh_token", REFRESH_TOKEN)
        .await?;
    stage.until_ready("contracts").await?;
    assert_eq!(
        stage
            .dropbox
            .requests_matching("POST", "/2/auth/token/revoke")
            .len(),
        0
    );
    Ok(())
}

#[tokio::test]
async fn dropbox_is_not_asked_when_that_is_switched_off() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("VALIDATE_DROPBOX_CREDENTIALS", "false");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.dropbox.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_missing_api_key_is_named_without_any_call_and_mends_itself() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let theirs = stage.api.workspace("tenant-key-0001");
    stage
        .secret("keyless", &[("other", "nothing-of-use")])
        .await?;
    let spec = |secret: &str| json!({ "workspace": { "apiKeySecretRef": { "name": secret } } });
    stage.create("absent", spec("absent")).await?;
    stage.create("keyless", spec("keyless")).await?;
    for name in ["absent", "keyless"] {
        let blocked = stage.until_reason(name, "WorkspaceKeyMissing").await?;
        assert!(
            message(&blocked, "Ready").contains(name),
            "{}",
            message(&blocked, "Ready")
        );
    }
    assert_eq!(stage.api.requests().len(), 0);

    for name in ["absent", "keyless"] {
        stage
            .secret(name, &[("api_key", "tenant-key-0001")])
            .await?;
    }
    for name in ["absent", "keyless"] {
        stage.until_ready(name).await?;
    }
    assert_eq!(theirs.sources().len(), 2);
    assert_eq!(
        stage.workspace.sources().len(),
        0,
        "never with the operator's own key"
    );
    assert!(
        stage
            .api
            .requests()
            .iter()
            .all(|r| r.api_key() == Some("tenant-key-0001"))
    );
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_refused_stalls_and_its_replacement_mends() -> Result<()> {
    let stage = stage().await?;
    let theirs = stage.api.workspace("tenant-key-good1");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-wrong")])
        .await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("contracts", spec).await?;

    let refused = stage.until_reason("contracts", "Unauthorized").await?;
    assert!(condition(&refused, "Stalled").is_some());
    let told = message(&refused, "Ready");
    assert!(
        told.contains("\"api_key\" of Secret \"workspace\""),
        "{told}"
    );
    stage
        .rotate("workspace", "api_key", "tenant-key-good1")
        .await?;
    stage.until_ready("contracts").await?;
    assert_eq!(theirs.sources().len(), 1);

    theirs.inject(Route::Update, Fault::answer(answers::forbidden()));
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    stage.until_reason("contracts", "Forbidden").await?;
    stage
        .edit("contracts", json!({ "recursive": false }))
        .await?;
    stage.until_ready("contracts").await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_without_a_key_serves_those_who_bring_one() -> Result<()> {
    let mut stage = stage().await?;
    stage
        .settings
        .environment
        .retain(|(name, _)| name != "UNSTRUCTURED_API_KEY");
    stage.set("CLUSTER_NAME", "test");
    let theirs = stage.api.workspace("tenant-key-0002");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0002")])
        .await?;
    stage.create("without", json!({})).await?;
    let spec = json!({ "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("with", spec).await?;

    let blocked = stage.until_reason("without", "WorkspaceKeyMissing").await?;
    assert!(message(&blocked, "Ready").contains("UNSTRUCTURED_API_KEY"));
    stage.until_ready("with").await?;
    assert_eq!(theirs.sources().len(), 1);
    stage.delete("without").await?;
    stage.gone("without").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_file_is_read_again_when_it_changes() -> Result<()> {
    let mut stage = stage().await?;
    let file = stage.directory().join("api-key");
    std::fs::write(&file, "key-from-file-1111\n")?;
    stage.keep_secret("key-from-file-1111");
    stage.keep_secret("key-from-file-2222");
    stage
        .settings
        .environment
        .retain(|(name, _)| name != "UNSTRUCTURED_API_KEY");
    stage.set("UNSTRUCTURED_API_KEY_FILE", &file.display().to_string());
    let workspace = stage.api.workspace("key-from-file-1111");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;

    workspace.add_key("key-from-file-2222");
    stage.api.revoke_key("key-from-file-1111");
    std::fs::write(&file, "key-from-file-2222\n")?;
    eventually("the new key is in use", || {
        let requests = stage.api.requests();
        requests
            .iter()
            .any(|r| r.api_key() == Some("key-from-file-2222"))
            .then_some(())
    })
    .await?;
    stage
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    stage.until_ready("contracts").await?;
    assert_eq!(workspace.sources().len(), 1, "rotation is no move");
    assert_eq!(stage.updates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_resource_pointed_at_another_secret_follows_that_one_only() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let other = "other-refresh-token-66bb02";
    stage.dropbox.accept(APP_KEY, APP_SECRET, other);
    stage.dropbox.accept(APP_KEY, APP_SECRET, ROTATED);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let entries = [
        ("app_key", APP_KEY),
        ("app_secret", APP_SECRET),
        ("refresh_token", other),
    ];
    stage.secret("other", &entries).await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;

    let spec = json!({ "credentials": { "secretRef": { "name": "other" } } });
    stage.edit("contracts", spec).await?;
    stage.until_ready("contracts").await?;
    assert_eq!(stage.workspace.sources()[0].text("refresh_token"), other);
    stage.rotate("dropbox", "refresh_token", ROTATED).await?;
    stage.after_sweeps(2).await?;
    assert_eq!(
        stage.updates().len(),
        1,
        "the former Secret is none of its business"
    );
    stage.rotate("other", "refresh_token", ROTATED).await?;
    until_sent(&stage, 1).await
}
