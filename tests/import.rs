//! `import`: manifests for the connectors that a workspace already has.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::canary::canary;
use support::fake::unstructured::Family;
use support::stage::{API_KEY, PINECONE_KEY, Stage, kind};

use crate::OPERATOR;

mod workflows;

async fn import(stage: &Stage, arguments: &[&str]) -> Result<Output> {
    let output = tokio::process::Command::new(OPERATOR)
        .env_clear()
        .env("UNSTRUCTURED_API_URL", stage.api.url())
        .env("UNSTRUCTURED_API_KEY", API_KEY)
        .env("ALLOW_INSECURE_HTTP", "true")
        .arg("import")
        .args(arguments)
        .output()
        .await?;
    Ok(output)
}

fn config(url: &str, recursive: bool) -> Value {
    json!({
        "remote_url": url,
        "recursive": recursive,
        "app_key": "key-of-the-app-1",
        "app_secret": "secret-of-the-app-1",
        "refresh_token": "token-of-the-app-1",
    })
}

#[tokio::test]
async fn every_dropbox_connector_becomes_a_manifest_that_the_cluster_takes() -> Result<()> {
    let stage = crate::stage().await?;
    let first = stage.workspace.insert(
        "dropbox",
        "Team A: contracts",
        config("dropbox://contracts", true),
    );
    let second = stage.workspace.insert(
        "dropbox",
        "team-a-contracts",
        config("dropbox://other/", false),
    );
    let output = import(&stage, &["-n", &stage.namespace, "--secret-name", "team"]).await?;

    let yaml = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{stderr}");
    canary(&[API_KEY, "secret-of-the-app-1", "token-of-the-app-1"])
        .assert_absent("the output", &(yaml.clone() + &stderr));
    let file = stage.directory().join("import.yaml");
    std::fs::write(&file, &yaml)?;
    let applied = stage
        .plane
        .kubectl()
        .args(["apply", "-f"])
        .arg(&file)
        .output()
        .await?;
    assert!(
        applied.status.success(),
        "{}",
        String::from_utf8_lossy(&applied.stderr)
    );
    for (name, id, recursive) in [
        ("team-a-contracts", &first, true),
        ("team-a-contracts-2", &second, false),
    ] {
        let source = stage.sources().get(name).await?;
        let spec = &source.data["spec"];
        assert_eq!(spec["existingSourceId"], json!(id), "{name}");
        assert_eq!(spec["recursive"], recursive);
        assert_eq!(spec["credentials"]["secretRef"]["name"], "team");
    }
    assert_eq!(stage.writes(), 0, "nothing is written to the workspace");
    Ok(())
}

const S3_SECRET: &str = "s3-secret-in-clear-3f91";
const NEW_SECRET: &str = "hush-5d07-of-a-new-type";
const URL_SECRET: &str = "word-in-a-url-e3b8";

/// What the API server made of the manifests, without keeping anything.
async fn rehearse(stage: &Stage, yaml: &str) -> Result<Vec<Value>> {
    let file = stage.directory().join("import.yaml");
    std::fs::write(&file, yaml)?;
    let applied = stage
        .plane
        .kubectl()
        .args(["apply", "--dry-run=server", "-o", "json", "-f"])
        .arg(&file)
        .output()
        .await?;
    ensure!(
        applied.status.success(),
        "{}",
        String::from_utf8_lossy(&applied.stderr)
    );
    let list: Value = serde_json::from_slice(&applied.stdout)?;
    Ok(list["items"].as_array().context("a list")?.clone())
}

fn with_name<'a>(objects: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let mut objects = objects.iter();
    let found = objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.with_context(|| format!("there is no {kind} {name}"))
}

/// A destination of type `pinecone`; returns its id.
fn insert_pinecone(stage: &Stage, name: &str, index: &str, more: Value) -> String {
    let mut config = json!({ "index_name": index, "namespace": "default", "batch_size": 50, "api_key": PINECONE_KEY });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    let destinations = stage.workspace.of(Family::Destinations);
    destinations.insert("pinecone", name, config)
}

#[tokio::test]
async fn sources_of_every_type_are_written_without_their_secrets() -> Result<()> {
    let stage = crate::stage().await?;
    let sources = stage.workspace.of(Family::Sources);
    let long = format!("s3://archive/{}", "x".repeat(5000));
    let s3 = sources.insert(
        "s3",
        "archive",
        json!({ "remote_url": long, "recursive": true, "key": "s3-key-id-0c55", "secret": S3_SECRET }),
    );
    let new = sources.insert(
        "carrier-pigeon",
        "archive",
        json!({
            "loft": { "row": 7, "tags": ["a", "b"] },
            "secret_word": NEW_SECRET,
            "server": format!("https://user:{URL_SECRET}@pigeons.example"),
            "unset": null,
        }),
    );
    let dropbox = sources.insert("dropbox", "archive", config("dropbox://a", true));

    let output = import(&stage, &["-n", &stage.namespace]).await?;

    let yaml = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("3 of 3 connectors"), "{stderr}");
    canary(&[
        API_KEY,
        S3_SECRET,
        NEW_SECRET,
        URL_SECRET,
        "token-of-the-app-1",
    ])
    .assert_absent("the output", &(yaml.clone() + &stderr));
    assert!(!yaml.contains("****"), "{yaml}");
    assert_eq!(stage.writes(), 0, "nothing is written to the workspace");

    let objects = rehearse(&stage, &yaml).await?;
    let place = |secret: &str, key: &str| json!({ "name": secret, "key": key });
    let archive = &with_name(&objects, "UnstructuredSource", "archive")?["spec"];
    assert_eq!(archive["type"], "s3");
    assert_eq!(archive["existingSourceId"], json!(s3));
    assert_eq!(archive["config"]["remote_url"], json!(long));
    let secrets = json!({ "key": place("archive-credentials", "key"), "secret": place("archive-credentials", "secret") });
    assert_eq!(archive["secretConfig"], secrets);
    let pigeon = &with_name(&objects, "UnstructuredSource", "archive-2")?["spec"];
    assert_eq!(pigeon["existingSourceId"], json!(new));
    let loft = json!({ "loft": { "row": 7, "tags": ["a", "b"] } });
    assert_eq!(pigeon["config"], loft);
    let secrets = json!({
        "secret_word": place("archive-2-credentials", "secret_word"),
        "server": place("archive-2-credentials", "server"),
    });
    assert_eq!(pigeon["secretConfig"], secrets);
    let own = &with_name(&objects, "DropboxSource", "archive")?["spec"];
    assert_eq!(own["existingSourceId"], json!(dropbox));
    for secret in [
        "archive-credentials with the keys key, secret",
        "archive-2-credentials with the keys secret_word, server",
        "dropbox with the keys app_key, app_secret, refresh_token",
    ] {
        let line = format!("Secret {secret}\n");
        assert_eq!(stderr.matches(&line).count(), 1, "{stderr}");
    }
    Ok(())
}

#[tokio::test]
async fn a_pinecone_destination_is_one_where_that_can_say_all_of_it() -> Result<()> {
    let stage = crate::stage().await?;
    let index = insert_pinecone(&stage, "index", "contracts", json!({}));
    let made = insert_pinecone(&stage, "made", "", json!({ "batch_size": 100 }));
    let odd = insert_pinecone(&stage, "odd", "contracts", json!({ "shards": 3 }));
    let output = import(&stage, &["-n", &stage.namespace]).await?;
    let yaml = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{yaml}");
    canary(&[API_KEY, PINECONE_KEY]).assert_absent("the output", &yaml);
    let objects = rehearse(&stage, &yaml).await?;
    let named = &with_name(&objects, "PineconeDestination", "index")?["spec"];
    assert_eq!(named["existingDestinationId"], json!(index));
    assert_eq!(named["indexName"], "contracts");
    let secret = &named["credentials"]["secretRef"]["name"];
    assert_eq!(secret, "index-credentials");
    let automatic = &with_name(&objects, "PineconeDestination", "made")?["spec"];
    assert_eq!(automatic["existingDestinationId"], json!(made));
    assert_eq!(automatic["autoCreateIndex"], true);
    assert_eq!(automatic["batchSize"], 100);
    let generic = &with_name(&objects, "UnstructuredDestination", "odd")?["spec"];
    assert_eq!(generic["existingDestinationId"], json!(odd));
    assert_eq!(generic["config"]["shards"], 3);
    Ok(())
}

#[tokio::test]
async fn what_was_imported_becomes_ready_and_changes_nothing_that_anyone_may_read() -> Result<()> {
    let mut stage = crate::stage().await?;
    stage.kind = kind("UnstructuredDestination");
    let destinations = stage.workspace.of(Family::Destinations);
    let mut search = json!({ "hosts": ["https://search.example:9243"], "index_name": "a", "es_api_key": "theirs-71ac" });
    let id = destinations.insert("elasticsearch", "search", search.clone());
    let output = import(&stage, &["-n", &stage.namespace]).await?;
    let manifest: Value = serde_yaml::from_slice(&output.stdout)?;
    let entries = [("es_api_key", "ours-2c90b7")];
    stage.secret("search-credentials", &entries).await?;
    let _operator = stage.operator().await?;
    stage.create_plain("search", &manifest["spec"]).await?;
    let ready = stage.until_ready("search").await?;
    assert_eq!(ready.data["status"]["destinationId"], json!(id));
    let now = stage.workspace.destinations();
    assert_eq!(now.len(), 1);
    search["es_api_key"] = json!("ours-2c90b7");
    assert_eq!(Value::Object(now[0].config.clone()), search);
    Ok(())
}

#[tokio::test]
async fn a_connector_that_no_resource_can_stand_for_is_left_out_and_named() -> Result<()> {
    let stage = crate::stage().await?;
    stage
        .workspace
        .insert("dropbox", "root", config("dropbox://", true));
    stage
        .workspace
        .insert("dropbox", "good", config("dropbox://good", true));
    stage
        .workspace
        .insert("Odd Type", "odd", json!({ "a": "b" }));
    let output = import(&stage, &[]).await?;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr)?;
    assert!(
        stderr.contains("\"root\"") && stderr.contains("\"Odd Type\"") && stderr.contains("1 of 3"),
        "{stderr}"
    );
    let source: Value = serde_yaml::from_slice(&output.stdout)?;
    assert_eq!(source["metadata"]["name"], "good");
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_missing_or_refused_is_one_line() -> Result<()> {
    let stage = crate::stage().await?;
    stage.api.revoke_key(API_KEY);
    let output = import(&stage, &[]).await?;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr)?;
    canary(&[API_KEY]).assert_absent("standard error", &stderr);
    assert!(stderr.contains("cannot be listed"), "{stderr}");
    let output = tokio::process::Command::new(OPERATOR)
        .env_clear()
        .arg("import")
        .output()
        .await?;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr)?.contains("UNSTRUCTURED_API_KEY"));
    Ok(())
}
