//! Kinds beside `DropboxSource`: what one of them can do, all can.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use support::fake::unstructured::{Family, StoredSource, WorkspaceHandle};
use support::stage::{
    PATIENCE, PINECONE_KEY, Stage, condition, eventually, install_definition, kind, message,
    source_id,
};

use crate::{stage, stage_apart};

const S3_SECRET: &str = "s3-secret-0b7f2d9e41";

/// A stage on which sources of any type are played with.
async fn any_source() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.kind = kind("UnstructuredSource");
    let entries = [("id", "s3-key-id-77c1a0"), ("secret", S3_SECRET)];
    stage.secret("s3", &entries).await?;
    Ok(stage)
}

fn s3() -> Value {
    json!({
        "type": "s3",
        "config": { "remote_url": "s3://contracts", "recursive": true },
        "secretConfig": {
            "key": { "name": "s3", "key": "id" },
            "secret": { "name": "s3", "key": "secret" },
        },
    })
}

/// Waits until a connector is as it should be.
async fn becomes(stage: &Stage, id: &str, is: impl Fn(&StoredSource) -> bool) -> Result<()> {
    eventually("the connector is as it should be", || {
        stage.workspace.source(id).filter(&is).map(drop)
    })
    .await
}

fn only_of_type(workspace: &WorkspaceHandle, wanted: &str) -> Result<StoredSource> {
    let mut sources = workspace.sources();
    sources.retain(|source| source.connector_type == wanted);
    assert_eq!(sources.len(), 1, "{sources:#?}");
    sources.pop().context("none")
}

#[tokio::test]
async fn a_source_of_any_type_is_made_kept_true_rotated_and_deleted() -> Result<()> {
    let stage = any_source().await?;
    let _operator = stage.operator().await?;
    stage.create_plain("bucket", &s3()).await?;
    let ready = stage.until_ready("bucket").await?;
    let made = only_of_type(&stage.workspace, "s3")?;
    assert_eq!(source_id(&ready), Some(made.id.as_str()));
    assert_eq!(
        made.name,
        format!("{}.bucket.UnstructuredSource.test", stage.namespace)
    );
    assert_eq!(made.config["remote_url"], json!("s3://contracts"));
    assert_eq!(made.config["secret"], json!(S3_SECRET));

    stage.rotate("s3", "secret", "s3-secret-rotated-66").await?;
    becomes(&stage, &made.id, |source| {
        source.config["secret"] == json!("s3-secret-rotated-66")
    })
    .await?;
    stage
        .workspace
        .edit(&made.id, |source| source.config["recursive"] = json!(false));
    stage
        .annotate("bucket", "connectors.unstructured.io/reconcile-at", "now")
        .await?;
    becomes(&stage, &made.id, |source| {
        source.config["recursive"] == json!(true)
    })
    .await?;
    stage.delete("bucket").await?;
    stage.gone("bucket").await?;
    assert!(stage.workspace.source(&made.id).is_none());
    Ok(())
}

#[tokio::test]
async fn two_kinds_of_one_name_in_one_namespace_have_a_connector_each() -> Result<()> {
    let mut stage = any_source().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let dropbox = json!({
        "type": "dropbox",
        "config": { "remote_url": "dropbox://elsewhere", "recursive": false },
        "secretConfig": {
            "app_key": { "name": "dropbox", "key": "app_key" },
            "app_secret": { "name": "dropbox", "key": "app_secret" },
            "refresh_token": { "name": "dropbox", "key": "refresh_token" },
        },
    });
    stage.create_plain("contracts", &dropbox).await?;
    let generic = stage.until_ready("contracts").await?;
    stage.kind = kind("DropboxSource");
    stage.create("contracts", json!({})).await?;
    let particular = stage.until_ready("contracts").await?;
    let ids = [source_id(&generic), source_id(&particular)];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(stage.workspace.sources().len(), 2);

    // Nor does either take what the other holds.
    let held = ids[0].context("an id")?;
    stage
        .create("thief", json!({ "existingSourceId": held }))
        .await?;
    let refused = stage.until_reason("thief", "ConnectorInUse").await?;
    assert!(message(&refused, "Ready").contains("UnstructuredSource \"contracts\""));
    stage.delete("contracts").await?;
    stage.gone("contracts").await?;
    assert_eq!(stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_secret_in_the_config_is_never_sent_nor_shown() -> Result<()> {
    let stage = any_source().await?;
    let operator = stage.operator().await?;
    let mut spec = s3();
    spec["config"]["token"] = json!("in-clear-text-19fd03");
    stage.create_plain("bucket", &spec).await?;
    let refused = stage.until_reason("bucket", "SecretInConfig").await?;
    assert_eq!(
        condition(&refused, "Stalled").context("Stalled")?["status"],
        "True"
    );
    assert!(!refused.data["status"].to_string().contains("in-clear-text"));
    assert!(!operator.output().contains("in-clear-text"));
    let creates = stage.api.requests_matching("POST", "/api/v1/sources");
    assert_eq!(creates.len(), 0);

    stage
        .edit(
            "bucket",
            json!({ "config": { "token": null, "remote_url": null } }),
        )
        .await?;
    let refused = stage.until_reason("bucket", "InvalidConfiguration").await?;
    assert!(message(&refused, "Ready").contains("needs remote_url"));
    stage
        .edit(
            "bucket",
            json!({ "config": { "remote_url": "s3://contracts" } }),
        )
        .await?;
    stage.until_ready("bucket").await?;
    Ok(())
}

/// A stage on which Pinecone indexes are played with.
async fn pinecone() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.kind = kind("PineconeDestination");
    stage
        .secret("pinecone", &[("api_key", PINECONE_KEY)])
        .await?;
    Ok(stage)
}

fn index(name: &str) -> Value {
    json!({ "indexName": name, "credentials": { "secretRef": { "name": "pinecone" } } })
}

#[tokio::test]
async fn a_pinecone_index_is_a_destination_from_apply_to_delete() -> Result<()> {
    let stage = pinecone().await?;
    let _operator = stage.operator().await?;
    stage.create_plain("vectors", &index("contracts")).await?;
    let ready = stage.until_ready("vectors").await?;
    assert_eq!(
        condition(&ready, "CredentialsValid").context("a verdict")?["status"],
        "True"
    );
    let made = stage.workspace.destinations();
    assert_eq!(made.len(), 1);
    assert_eq!(ready.data["status"]["destinationId"], json!(made[0].id));
    assert_eq!(source_id(&ready), None, "a destination has no source id");
    assert_eq!(made[0].connector_type, "pinecone");
    assert_eq!(
        made[0].config,
        json!({ "index_name": "contracts", "namespace": "default", "batch_size": 50, "api_key": PINECONE_KEY })
            .as_object()
            .cloned()
            .unwrap_or_default()
    );

    stage.edit("vectors", json!({ "batchSize": 100 })).await?;
    stage.until_ready("vectors").await?;
    let now = stage.workspace.destinations();
    assert_eq!((now.len(), &now[0].config["batch_size"]), (1, &json!(100)));
    stage.delete("vectors").await?;
    stage.gone("vectors").await?;
    assert_eq!(stage.workspace.destinations(), []);
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn what_pinecone_definitely_denies_is_said_and_anything_else_blocks_nothing() -> Result<()> {
    let stage = pinecone().await?;
    let _operator = stage.operator().await?;
    stage.create_plain("lost", &index("nowhere")).await?;
    let denied = stage
        .until("lost", |object| {
            condition(object, "CredentialsValid")
                .is_some_and(|verdict| verdict["reason"] == "IndexNotFound")
        })
        .await?;
    assert!(message(&denied, "CredentialsValid").contains("\"nowhere\""));
    stage.until_ready("lost").await?;

    stage
        .rotate("pinecone", "api_key", "pcsk-revoked-00c4")
        .await?;
    stage.create_plain("refused", &index("contracts")).await?;
    let refused = stage.until_reason("refused", "CredentialsRejected").await?;
    assert!(message(&refused, "Ready").contains("Pinecone refuses the API key"));
    assert_eq!(refused.data["status"]["destinationId"], Value::Null);

    stage.pinecone.stop();
    stage
        .rotate("pinecone", "api_key", "pcsk-untried-9a31")
        .await?;
    stage.until_ready("refused").await?;
    Ok(())
}

#[tokio::test]
async fn an_index_is_named_or_made_by_unstructured_and_never_both() -> Result<()> {
    let stage = pinecone().await?;
    let mut both = index("contracts");
    both["autoCreateIndex"] = json!(true);
    let mut neither = index("contracts");
    neither["indexName"] = Value::Null;
    for wrong in [both, neither.clone()] {
        let error = stage
            .create_plain("wrong", &wrong)
            .await
            .expect_err("it is refused");
        assert!(
            error
                .to_string()
                .contains("either indexName or autoCreateIndex"),
            "{error}"
        );
    }
    let _operator = stage.operator().await?;
    neither["autoCreateIndex"] = json!(true);
    stage.create_plain("automatic", &neither).await?;
    stage.until_ready("automatic").await?;
    assert_eq!(
        stage.workspace.destinations()[0].config["index_name"],
        json!("")
    );
    Ok(())
}

#[tokio::test]
async fn a_destination_of_any_type_takes_over_exactly_the_one_it_names() -> Result<()> {
    let mut stage = stage().await?;
    stage.kind = kind("UnstructuredDestination");
    stage
        .secret("weaviate", &[("key", "weaviate-key-41d7")])
        .await?;
    let theirs = json!({ "cluster_url": "https://a.example", "api_key": "theirs-weaviate-2b" });
    let destinations = stage.workspace.of(Family::Destinations);
    let id = destinations.insert("weaviate-cloud", "made by hand", theirs);
    let _operator = stage.operator().await?;
    let spec = |existing: &str| {
        json!({
            "type": "weaviate-cloud",
            "config": { "cluster_url": "https://b.example" },
            "secretConfig": { "api_key": { "name": "weaviate", "key": "key" } },
            "existingDestinationId": existing,
        })
    };
    stage.create_plain("taken", &spec(&id)).await?;
    let ready = stage.until_ready("taken").await?;
    assert_eq!(ready.data["status"]["destinationId"], json!(id));
    let now = stage.workspace.destinations();
    assert_eq!(
        (now.len(), &now[0].config["cluster_url"]),
        (1, &json!("https://b.example"))
    );

    stage
        .create_plain("absent", &spec("7cf30ead-cf54-479f-a897-b5fbe8790b76"))
        .await?;
    let stalled = stage.until_reason("absent", "DestinationNotFound").await?;
    assert!(message(&stalled, "Ready").contains("existingDestinationId 7cf30ead"));
    Ok(())
}

#[tokio::test]
async fn a_type_that_the_service_does_not_know_is_a_fault_of_the_spec() -> Result<()> {
    let mut stage = stage().await?;
    stage.kind = kind("UnstructuredSource");
    let _operator = stage.operator().await?;
    let spec = json!({ "type": "dropboks", "config": { "remote_url": "dropbox://a" } });
    stage.create_plain("misspelt", &spec).await?;
    let stalled = stage
        .until_reason("misspelt", "InvalidConfiguration")
        .await?;
    let said = message(&stalled, "Ready");
    assert!(
        said.contains("does not know the type in spec.type"),
        "{said}"
    );
    assert!(!said.contains("API URL"), "{said}");
    assert!(condition(&stalled, "Stalled").is_some());
    stage.delete("misspelt").await?;
    stage.gone("misspelt").await?;
    assert!(stage.creates().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_said_once_and_holds_up_no_other() -> Result<()> {
    let stage = stage_apart().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    let missing = "pineconedestinations.connectors.unstructured.io";
    definitions
        .delete(missing, &DeleteParams::default())
        .await?;
    until_gone(&definitions, missing).await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let said = operator.output();
    assert_eq!(
        said.matches("PineconeDestination is not installed").count(),
        1,
        "{said}"
    );

    install_definition(&stage.client).await?;
    let mut stage = stage;
    stage.kind = kind("PineconeDestination");
    stage
        .secret("pinecone", &[("api_key", PINECONE_KEY)])
        .await?;
    stage.create_plain("vectors", &index("contracts")).await?;
    stage.until_ready("vectors").await?;
    Ok(())
}

async fn until_gone(definitions: &Api<CustomResourceDefinition>, name: &str) -> Result<()> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while definitions.get_opt(name).await?.is_some() {
        ensure!(tokio::time::Instant::now() < end, "{name} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_key_file_of_many_lines_is_sent_as_it_is() -> Result<()> {
    let mut stage = stage().await?;
    stage.kind = kind("UnstructuredSource");
    let file = "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN KEY-----\\nabc d\\n\"\n}\n";
    stage.secret("gcs", &[("key.json", file)]).await?;
    let operator = stage.operator().await?;
    let spec = json!({
        "type": "gcs",
        "config": { "remote_url": "gs://contracts" },
        "secretConfig": { "service_account_key": { "name": "gcs", "key": "key.json" } },
    });
    stage.create_plain("bucket", &spec).await?;
    stage.until_ready("bucket").await?;
    let made = only_of_type(&stage.workspace, "gcs")?;
    assert_eq!(made.config["service_account_key"], json!(file.trim_end()));
    assert!(!operator.output().contains("BEGIN KEY"));
    Ok(())
}
