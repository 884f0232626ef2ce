//! The key of a connector as the mark of whose it is, and services that ignore it, refuse it, or say that it is taken.

use anyhow::{Context, Result};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use support::fake::Fault;
use support::fake::unstructured::{GivenKey, Route, StoredSource, TakenKey};
use support::stage::{APP_KEY, APP_SECRET, Stage, eventually, message, source_id};
use unstructured_operator::controller::connector::naming::ClusterName;

use crate::stage;

/// What the resource calls its connector.
const CHOSEN: &str = "Contracts of 2026";

/// A stage on which lost answers are soon given up.
async fn impatient() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("SETTLE_TIME", "2s");
    stage.set("SYNC_INTERVAL", "300ms");
    stage.good_secret().await?;
    Ok(stage)
}

fn chosen() -> Value {
    json!({ "connectorName": CHOSEN, "verify": false })
}

fn key(stage: &Stage, name: &str) -> String {
    ClusterName::chosen("test").key_of("DropboxSource", &stage.namespace, name)
}

fn recorded(resource: &DynamicObject) -> Option<&str> {
    resource.data["status"]["key"].as_str()
}

/// The keys that were sent with creates, in order.
fn sent(stage: &Stage) -> Vec<Option<String>> {
    let creates = stage.creates();
    let key = |body: Value| body["key"].as_str().map(ToOwned::to_owned);
    creates.iter().map(|create| key(create.json())).collect()
}

fn only(stage: &Stage) -> Result<StoredSource> {
    let mut sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1, "{sources:#?}");
    sources.pop().context("none")
}

/// A connector that somebody else makes.
fn foreign(stage: &Stage, kind: &str, name: &str) -> String {
    let config =
        json!({ "remote_url": "dropbox://theirs", "app_key": APP_KEY, "app_secret": APP_SECRET });
    stage.workspace.insert(kind, name, config)
}

#[tokio::test]
async fn a_lost_create_under_a_chosen_name_is_found_by_its_key_and_made_once() -> Result<()> {
    let stage = impatient().await?;
    let lost = Fault::disconnect().committed();
    stage.api.inject(Route::Create, lost);
    let _operator = stage.operator().await?;
    stage.create("contracts", chosen()).await?;
    let ready = stage.until_ready("contracts").await?;
    let ours = only(&stage)?;
    let key = key(&stage, "contracts");
    assert_eq!(source_id(&ready), Some(&*ours.id));
    assert_eq!(ours.key, Some(key.clone()));
    assert_eq!(recorded(&ready), Some(&*key));
    assert_eq!(sent(&stage), [Some(key)]);
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert!(stage.workspace.sources().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_rival_of_the_chosen_name_is_not_taken_for_a_lost_create() -> Result<()> {
    let stage = impatient().await?;
    stage.api.inject(Route::Create, Fault::disconnect());
    let _operator = stage.operator().await?;
    stage.create("contracts", chosen()).await?;
    stage
        .until_reason("contracts", "CreateOutcomeUnknown")
        .await?;
    let rival = foreign(&stage, "dropbox", CHOSEN);
    let told = stage.until_reason("contracts", "NameConflict").await?;
    assert!(message(&told, "Ready").contains(&rival));
    assert_eq!(source_id(&told), None);
    assert_eq!(stage.creates().len(), 1);

    stage.workspace.remove(&rival);
    let ready = stage.until_ready("contracts").await?;
    assert_eq!(source_id(&ready), Some(&*only(&stage)?.id));
    assert!(stage.updates().is_empty() && stage.deletes().is_empty());
    Ok(())
}

/// A create that was given up and is carried out after all.
#[tokio::test]
async fn a_duplicate_of_our_key_is_deleted_under_a_chosen_name_too() -> Result<()> {
    let stage = impatient().await?;
    stage.api.inject(Route::Create, Fault::disconnect());
    let _operator = stage.operator().await?;
    let id = stage.create_ready("contracts", chosen()).await?;
    assert_eq!(stage.creates().len(), 2, "the first was given up");
    let bystander = foreign(&stage, "dropbox", CHOSEN);
    let late = foreign(&stage, "dropbox", CHOSEN);
    let ours = Some(key(&stage, "contracts"));
    stage.workspace.edit(&late, |source| source.key = ours);
    eventually("the late one is gone", || {
        stage.workspace.source(&late).is_none().then_some(())
    })
    .await?;
    stage.after_sweeps(2).await?;
    assert!(stage.workspace.source(&id).is_some());
    assert!(stage.workspace.source(&bystander).is_some());
    assert_eq!(stage.deletes().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_shows_our_key_is_taken_over_whatever_its_name() -> Result<()> {
    let stage = impatient().await?;
    let kept = foreign(&stage, "dropbox", "Restored");
    let ours = Some(key(&stage, "contracts"));
    stage.workspace.edit(&kept, |source| source.key = ours);
    let _operator = stage.operator().await?;
    let id = stage.create_ready("contracts", chosen()).await?;
    assert_eq!(id, kept);
    assert!(stage.creates().is_empty());
    let resource = stage.sources().get("contracts").await?;
    let status = &resource.data["status"];
    assert_eq!(status["connectorName"], json!("Restored"));
    assert_eq!(recorded(&resource), Some(&*key(&stage, "contracts")));
    Ok(())
}

#[tokio::test]
async fn a_service_that_ignores_keys_is_worked_with_by_name_as_before() -> Result<()> {
    let stage = impatient().await?;
    stage
        .workspace
        .configure_keys(|keys| keys.given = GivenKey::Ignored);
    stage
        .api
        .inject(Route::Create, Fault::disconnect().committed());
    let _operator = stage.operator().await?;
    for (name, spec) in [
        ("contracts", chosen()),
        ("others", json!({ "verify": false })),
    ] {
        let id = stage.create_ready(name, spec).await?;
        assert!(stage.workspace.source(&id).is_some());
        let resource = stage.sources().get(name).await?;
        assert_eq!(recorded(&resource), None, "{name}: no connector has it");
    }
    let expected = ["contracts", "others"].map(|name| Some(key(&stage, name)));
    assert_eq!(sent(&stage), expected);
    assert_eq!(stage.workspace.sources().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_service_that_refuses_keys_gets_the_same_create_without_and_is_remembered() -> Result<()>
{
    for status in [422, 412] {
        let stage = impatient().await?;
        stage
            .workspace
            .configure_keys(|keys| keys.given = GivenKey::Refused(status));
        let _operator = stage.operator().await?;
        for name in ["contracts", "others"] {
            stage.create_ready(name, json!({ "verify": false })).await?;
            let resource = stage.sources().get(name).await?;
            assert_eq!(recorded(&resource), None, "{name}");
        }
        let first = Some(key(&stage, "contracts"));
        assert_eq!(sent(&stage), [first, None, None], "{status}");
        assert_eq!(stage.workspace.sources().len(), 2);
    }
    Ok(())
}

/// What the refusal is about, nobody can know: neither the spec is blamed for it, nor is anything taken for settled.
#[tokio::test]
async fn a_refusal_of_keys_that_breaks_off_is_asked_for_again() -> Result<()> {
    for torn in [Fault::cut(), Fault::truncated()] {
        let stage = impatient().await?;
        stage
            .workspace
            .configure_keys(|keys| keys.given = GivenKey::Refused(422));
        stage.api.inject(Route::Create, torn);
        let _operator = stage.operator().await?;
        stage
            .create_ready("contracts", json!({ "verify": false }))
            .await?;
        let ours = Some(key(&stage, "contracts"));
        assert_eq!(sent(&stage), [ours.clone(), ours, None]);
        only(&stage)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_taken_key_is_told_and_nothing_is_made_in_its_place() -> Result<()> {
    for status in [409, 412, 422] {
        let stage = impatient().await?;
        stage
            .workspace
            .configure_keys(|keys| keys.taken = TakenKey::Refused(status));
        // The list of one type does not show another.
        let theirs = foreign(&stage, "s3", "theirs");
        let ours = Some(key(&stage, "contracts"));
        stage.workspace.edit(&theirs, |source| source.key = ours);
        let _operator = stage.operator().await?;
        stage.create("contracts", chosen()).await?;
        let told = stage.until_reason("contracts", "KeyTaken").await?;
        let message = message(&told, "Ready");
        assert!(message.contains(&key(&stage, "contracts")), "{message}");
        assert!(message.contains("Nothing was created"), "{message}");
        assert_eq!(recorded(&told), None);
        assert!(told.data["status"].get("create").is_none());
        stage.after_sweeps(3).await?;
        assert_eq!(stage.creates().len(), 1, "{status}: it is not sent again");
        only(&stage)?;

        stage.workspace.remove(&theirs);
        stage
            .annotate(
                "contracts",
                "connectors.unstructured.io/reconcile-at",
                "now",
            )
            .await?;
        let ready = stage.until_ready("contracts").await?;
        assert_eq!(source_id(&ready), Some(&*only(&stage)?.id));
    }
    Ok(())
}

/// A list that lags behind shows it only afterwards.
#[tokio::test]
async fn a_key_that_our_own_connector_has_leads_to_it() -> Result<()> {
    let stage = impatient().await?;
    stage
        .workspace
        .configure_keys(|keys| keys.taken = TakenKey::Refused(409));
    let kept = foreign(&stage, "s3", "Restored");
    let ours = Some(key(&stage, "contracts"));
    stage.workspace.edit(&kept, |source| source.key = ours);
    let _operator = stage.operator().await?;
    stage.create("contracts", chosen()).await?;
    stage.until_reason("contracts", "KeyTaken").await?;
    stage
        .workspace
        .edit(&kept, |source| source.connector_type = "dropbox".to_owned());
    let ready = stage.until_ready("contracts").await?;
    assert_eq!(source_id(&ready), Some(&*kept));
    assert_eq!(stage.creates().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_was_made_before_keys_is_left_as_it_is() -> Result<()> {
    let stage = impatient().await?;
    // As the version before made them: by name, with no key on record.
    stage
        .workspace
        .configure_keys(|keys| keys.given = GivenKey::Ignored);
    let operator = stage.operator().await?;
    let specs = [
        ("contracts", chosen()),
        ("others", json!({ "verify": false })),
    ];
    for (name, spec) in specs.clone() {
        stage.create_ready(name, spec).await?;
    }
    operator.stop().await?;
    stage
        .workspace
        .configure_keys(|keys| keys.given = GivenKey::Honoured);
    let versions = async || -> Result<Vec<_>> {
        let mut versions = Vec::new();
        for (name, _) in &specs {
            versions.push(stage.sources().get(name).await?.resource_version());
        }
        Ok(versions)
    };
    let before = (versions().await?, stage.writes());

    let _operator = stage.operator().await?;
    stage.after_sweeps(3).await?;

    assert_eq!((versions().await?, stage.writes()), before);
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert_eq!(
        only(&stage)?.name,
        format!("{}.others.test", stage.namespace)
    );
    Ok(())
}
