//! `import`: manifests for the connectors that a workspace already has.

use std::process::Output;

use anyhow::Result;
use serde_json::{Value, json};
use support::canary::canary;
use support::stage::{API_KEY, Stage};

use crate::OPERATOR;

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
    stage
        .workspace
        .insert("s3", "not for us", json!({ "remote_url": "s3://bucket" }));

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

#[tokio::test]
async fn a_connector_that_no_resource_can_stand_for_is_left_out_and_named() -> Result<()> {
    let stage = crate::stage().await?;
    stage
        .workspace
        .insert("dropbox", "root", config("dropbox://", true));
    stage
        .workspace
        .insert("dropbox", "good", config("dropbox://good", true));
    let output = import(&stage, &[]).await?;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr)?;
    assert!(
        stderr.contains("\"root\"") && stderr.contains("1 of 2"),
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
