//! Credentials that are good, and the folder that they do not open: it is said, it blocks nothing, and it is noticed when it is mended.

use std::time::Duration;

use anyhow::Result;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use support::fake::unstructured::CheckScript;
use support::stage::{APP_KEY, APP_SECRET, Stage, condition, message};

use crate::incarnation::{Incarnation, World};
use crate::stage;

const FOLDER: &str = "/data";
const SCOPE: &str = "files.metadata.read";

fn says(object: &DynamicObject, status: &str, reason: &str) -> bool {
    condition(object, "CredentialsValid")
        .is_some_and(|c| c["status"] == status && c["reason"] == reason)
}

/// How often the folder was looked at.
fn looks(stage: &Stage) -> usize {
    let looks = stage
        .dropbox
        .requests_matching("POST", "/2/files/list_folder");
    looks.len()
}

#[tokio::test]
async fn a_missing_folder_is_named_blocks_nothing_and_is_looked_for_again_on_demand() -> Result<()>
{
    let stage = stage().await?;
    stage.dropbox.remove_folder(FOLDER);
    stage
        .workspace
        .set_checks(|_| CheckScript::failure("path/not_found"));
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;

    let failed = stage.until_reason("contracts", "FolderNotFound").await?;
    let verified = condition(&failed, "ConnectionVerified").map(|c| c["reason"].clone());
    assert_eq!(verified, Some(json!("VerificationFailed")));
    assert_eq!(
        stage.creates().len(),
        1,
        "only Unstructured says what it can read"
    );
    assert!(says(&failed, "False", "FolderNotFound"), "{failed:?}");
    let advice = message(&failed, "CredentialsValid");
    assert!(advice.contains("no folder dropbox://data"), "{advice}");
    assert_eq!(
        stage.until_event("contracts", "FolderNotFound").await?,
        advice
    );
    assert!(message(&failed, "Ready").ends_with(advice), "{failed:?}");
    assert_eq!(
        looks(&stage),
        2,
        "before the create, and when the check failed"
    );

    stage.dropbox.add_folder(FOLDER);
    stage
        .workspace
        .set_checks(|_| CheckScript::success_after(0));
    let now = "connectors.unstructured.io/reconcile-at";
    stage.annotate("contracts", now, "1").await?;
    let ready = stage.until_ready("contracts").await?;
    assert!(says(&ready, "True", "CredentialsAccepted"), "{ready:?}");
    assert_eq!(looks(&stage), 3);
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_named_until_there_is_a_token_that_has_it() -> Result<()> {
    let stage = stage().await?;
    stage.dropbox.remove_scope(SCOPE);
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create("contracts", json!({ "verify": false }))
        .await?;

    let ready = stage.until_ready("contracts").await?;
    assert!(says(&ready, "False", "PermissionMissing"), "{ready:?}");
    let first = condition(&ready, "Ready").map(|c| c["reason"].clone());
    assert_eq!(
        first,
        Some(json!("PermissionMissing")),
        "`kubectl get` shows it"
    );
    let advice = message(&ready, "CredentialsValid");
    for part in [SCOPE, "Permissions tab", "new refresh token"] {
        assert!(advice.contains(part), "{advice}");
    }

    let lasting = "refresh-token-with-the-permission";
    stage.dropbox.accept(APP_KEY, APP_SECRET, lasting);
    stage.dropbox.restore_scope(SCOPE);
    stage.rotate("dropbox", "refresh_token", lasting).await?;
    // Before the token is sent on, the status forgets what the connector has.
    let mended = |object: &DynamicObject| {
        let synced = condition(object, "Synced").is_some_and(|c| c["status"] == "True");
        synced && says(object, "True", "CredentialsAccepted")
    };
    stage.until("contracts", mended).await?;
    assert_eq!(stage.updates().len(), 1, "the new token was sent on");
    Ok(())
}

#[test]
fn a_folder_that_is_made_later_is_noticed_within_minutes_by_a_dropbox_that_is_asked_seldom() {
    const HOUR: Duration = Duration::from_hours(1);
    let world = World::with_dropbox();
    world.dropbox().remove_folder(FOLDER);
    world
        .workspace
        .set_checks(|_| CheckScript::failure("path/not_found"));
    world.put_secret("1");
    world.create("contracts");
    let life = Incarnation::begin(&world);
    let reason = |kind: &str| -> Value {
        let resource = world.resource("contracts").unwrap_or_default();
        let conditions = resource["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        let condition = conditions.find(|condition| condition["type"] == kind);
        condition.map_or(Value::Null, |condition| condition["reason"].clone())
    };
    assert!(life.until(HOUR, || reason("Ready") == "FolderNotFound"));
    life.pass(Duration::from_mins(1));
    assert_eq!(reason("CredentialsValid"), "FolderNotFound");
    world.fuse.disarm();
    let asked = world.dropbox().requests().len();

    life.pass(HOUR);
    let grants_and_looks = world.dropbox().requests().len() - asked;
    assert!(
        (2 * 15..=2 * 40).contains(&grants_and_looks),
        "{grants_and_looks}"
    );
    assert_eq!(
        world.fuse.effects(),
        Vec::<String>::new(),
        "nothing is written meanwhile"
    );

    world.dropbox().add_folder(FOLDER);
    world
        .workspace
        .set_checks(|_| CheckScript::success_after(1));
    assert!(life.until(Duration::from_mins(15), || reason("Ready") == "Ready"));
    assert_eq!(reason("CredentialsValid"), "CredentialsAccepted");
    let asked = world.dropbox().requests().len();
    life.pass(HOUR);
    assert_eq!(
        world.dropbox().requests().len(),
        asked,
        "at rest nobody asks"
    );
}
