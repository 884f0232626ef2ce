//! Changes of the spec, and changes behind the operator's back.

use anyhow::Result;
use serde_json::json;
use support::fake::unstructured::Masking;
use support::stage::{APP_KEY, APP_SECRET, REFRESH_TOKEN, condition, eventually, source_id};

use crate::stage;

#[tokio::test]
async fn a_changed_folder_is_one_put_with_the_whole_configuration_and_the_same_id() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;

    stage
        .edit(
            "contracts",
            json!({ "remoteUrl": "dropbox://contracts/2027", "recursive": true }),
        )
        .await?;
    let after = stage.until_ready("contracts").await?;

    let updates = stage.updates();
    assert_eq!(updates.len(), 1, "{updates:?}");
    let id = source_id(&before).unwrap_or_default();
    assert_eq!(updates[0].path, format!("/api/v1/sources/{id}"));
    assert_eq!(
        updates[0].json(),
        json!({ "config": {
            "remote_url": "dropbox://contracts/2027",
            "recursive": true,
            "app_key": APP_KEY,
            "app_secret": APP_SECRET,
            "refresh_token": REFRESH_TOKEN,
        } })
    );
    assert_eq!(source_id(&after), Some(id));
    assert_eq!(after.data["status"]["observedGeneration"], 2);
    assert_ne!(
        after.data["status"]["appliedDigest"],
        before.data["status"]["appliedDigest"]
    );
    assert_eq!(stage.checks().len(), 2, "what was accepted is checked");
    assert_eq!(stage.creates().len(), 1);
    stage.until_event("contracts", "Updated").await?;
    Ok(())
}

#[tokio::test]
async fn a_configuration_changed_behind_our_back_is_restored_by_one_put() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage
        .create_ready("contracts", json!({ "remoteUrl": "dropbox://contracts" }))
        .await?;

    stage.workspace.edit(&id, |source| {
        source
            .config
            .insert("remote_url".into(), json!("dropbox://stolen"));
    });
    let note = stage.until_event("contracts", "DriftCorrected").await?;
    stage.until_ready("contracts").await?;
    stage.after_sweeps(3).await?;

    assert!(note.contains("remote_url"), "the field: {note}");
    assert!(
        !note.contains("stolen") && !note.contains("dropbox://"),
        "no value: {note}"
    );
    assert_eq!(stage.updates().len(), 1);
    let source = stage.workspace.source(&id).expect("it is there");
    assert_eq!(source.text("remote_url"), "dropbox://contracts");
    assert_eq!(source.text("app_secret"), APP_SECRET);
    let corrected = operator
        .metric("unstructured_operator_drift_corrected_total")
        .await?;
    assert!((corrected - 1.0).abs() < f64::EPSILON, "{corrected}");
    Ok(())
}

#[tokio::test]
async fn a_connector_deleted_behind_our_back_is_made_anew_once() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;
    let id = source_id(&before).unwrap_or_default().to_owned();

    assert!(stage.workspace.remove(&id));
    let note = stage.until_event("contracts", "Recreated").await?;
    let after = stage.until_ready("contracts").await?;
    stage.after_sweeps(3).await?;

    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_ne!(sources[0].id, id);
    assert_eq!(source_id(&after), Some(sources[0].id.as_str()));
    assert!(note.contains(&sources[0].id), "{note}");
    assert_eq!(
        sources[0].name,
        format!("{}.contracts.test", stage.namespace)
    );
    assert_eq!(stage.creates().len(), 2);
    assert_eq!(stage.updates().len(), 0);
    let gets = stage
        .api
        .requests_matching("GET", &format!("/api/v1/sources/{id}"));
    assert!(
        gets.iter().any(|get| get.status() == Some(404)),
        "a 404 on the id came before the new create"
    );
    Ok(())
}

#[tokio::test]
async fn masked_absent_or_clear_secrets_and_added_defaults_are_no_drift() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "25ms");
    stage.set("MAX_REQUESTS_PER_SECOND", "1000");
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let writes = stage.writes();

    for masking in [
        Masking::Masked,
        Masking::Reference,
        Masking::Dropped,
        Masking::Clear,
    ] {
        stage.api.configure(|rules| {
            rules.masking = masking;
            rules.fill_defaults = true;
            rules.extra_fields = true;
        });
        stage.after_sweeps(25).await?;
    }

    assert_eq!(stage.writes(), writes, "a hundred looks, no write");
    Ok(())
}

#[tokio::test]
async fn a_secret_shown_in_clear_that_differs_is_restored() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("SYNC_INTERVAL", "200ms");
    stage.api.configure(|rules| rules.masking = Masking::Clear);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let id = stage.create_ready("contracts", json!({})).await?;

    stage.workspace.edit(&id, |source| {
        source.config.insert("recursive".into(), json!(true));
        source
            .config
            .insert("app_secret".into(), json!("somebody-elses-secret"));
    });
    stage.keep_secret("somebody-elses-secret");
    stage.until_event("contracts", "DriftCorrected").await?;
    stage.until_ready("contracts").await?;

    let source = stage.workspace.source(&id).expect("it is there");
    assert_eq!(source.text("app_secret"), APP_SECRET);
    assert_eq!(source.config["recursive"], json!(false));
    assert_eq!(stage.updates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_changed_while_the_operator_was_away_is_found_when_it_comes_back() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("LEADER_ELECT", "false");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    for name in ["edited", "drifted", "deleted", "untouched"] {
        stage.create(name, json!({})).await?;
    }
    let mut ids = std::collections::BTreeMap::new();
    for name in ["edited", "drifted", "deleted", "untouched"] {
        let ready = stage.until_ready(name).await?;
        ids.insert(name, source_id(&ready).unwrap_or_default().to_owned());
    }
    operator.kill()?;
    let writes = stage.writes();

    stage
        .edit("edited", json!({ "remoteUrl": "dropbox://edited" }))
        .await?;
    stage.workspace.edit(&ids["drifted"], |source| {
        source.config.insert("recursive".into(), json!(true));
    });
    stage.workspace.remove(&ids["deleted"]);
    let _operator = stage.operator().await?;

    stage.until_ready("edited").await?;
    stage.until_event("drifted", "DriftCorrected").await?;
    stage.until_event("deleted", "Recreated").await?;
    for name in ["edited", "drifted", "deleted", "untouched"] {
        stage.until_ready(name).await?;
    }
    assert_eq!(stage.workspace.sources().len(), 4);
    let kept = stage.until_ready("untouched").await?;
    assert_eq!(source_id(&kept), Some(ids["untouched"].as_str()));
    let untouched = stage
        .updates()
        .into_iter()
        .filter(|r| r.path.ends_with(&ids["untouched"]));
    assert_eq!(untouched.count(), 0);
    // Two updates, one create, and a check after each.
    assert_eq!(stage.writes() - writes, 6);
    Ok(())
}

#[tokio::test]
async fn a_status_that_somebody_erased_is_told_again_without_a_second_connector() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    let id = source_id(&ready).unwrap_or_default().to_owned();

    let nothing = json!([{ "op": "remove", "path": "/status" }]);
    let patch: kube::api::Patch<()> = kube::api::Patch::Json(serde_json::from_value(nothing)?);
    stage
        .sources()
        .patch_status("contracts", &kube::api::PatchParams::default(), &patch)
        .await?;
    let again = stage
        .until("contracts", |object| {
            source_id(object).is_some()
                && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
        })
        .await?;

    assert_eq!(source_id(&again), Some(id.as_str()));
    assert_eq!(stage.creates().len(), 1);
    eventually("one connector", || {
        (stage.workspace.sources().len() == 1).then_some(())
    })
    .await
}
