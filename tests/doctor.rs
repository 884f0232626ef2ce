//! `doctor`: says of everything whether it is right, and changes nothing.

use std::process::Output;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use support::canary::canary;
use support::stage::{API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage};

use crate::OPERATOR;

async fn doctor(stage: &Stage, arguments: &[&str]) -> Result<Output> {
    let environment = stage.settings.environment.iter();
    let output = tokio::process::Command::new(OPERATOR)
        .env_clear()
        .envs(environment.map(|(name, value)| (name, value)))
        .args(["doctor", "-n", &stage.namespace])
        .args(arguments)
        .output()
        .await?;
    let all = format!("{output:?}");
    canary(&[API_KEY, APP_SECRET, REFRESH_TOKEN]).assert_absent("the diagnosis", &all);
    Ok(output)
}

/// The findings, as check → (verdict, message).
async fn findings(
    stage: &Stage,
    name: &str,
) -> Result<(Option<i32>, Vec<(String, String, String)>)> {
    let output = doctor(stage, &[name, "-o", "json"]).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_str(&text).with_context(|| format!("{text}{stderr}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings: Vec<_> = report["findings"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|finding| {
            (
                text(&finding["check"]),
                text(&finding["verdict"]),
                text(&finding["message"]),
            )
        })
        .collect();
    assert_eq!(report["ok"], json!(output.status.success()));
    Ok((output.status.code(), findings))
}

fn wrong(findings: &[(String, String, String)]) -> Vec<&str> {
    let wrong = findings.iter().filter(|(_, verdict, _)| verdict == "wrong");
    wrong.map(|(check, _, _)| check.as_str()).collect()
}

#[tokio::test]
async fn of_a_resource_that_is_ready_everything_is_right_and_nothing_is_changed() -> Result<()> {
    let stage = crate::stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let writes = stage.writes();

    let (code, findings) = findings(&stage, "contracts").await?;

    assert_eq!(code, Some(0), "{findings:#?}");
    for check in [
        "crd",
        "operator",
        "permissions",
        "status",
        "secret",
        "dropbox",
        "folder",
        "clock",
        "workspace",
        "connector",
        "connection",
    ] {
        let verdict = findings
            .iter()
            .find(|(known, _, _)| known == check)
            .map(|f| f.1.as_str());
        assert_eq!(verdict, Some("right"), "{check}: {findings:#?}");
    }
    assert_eq!(stage.writes(), writes);

    let output = doctor(&stage, &[]).await?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains(&format!("{}/contracts", stage.namespace)),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colour off a terminal: {text}");
    Ok(())
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_named() -> Result<()> {
    let stage = crate::stage().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let ready = stage.until_ready("contracts").await?;
    let id = support::stage::source_id(&ready)
        .context("an id")?
        .to_owned();
    assert!(operator.stop().await?.success());

    stage.dropbox.remove_folder("/data");
    let (code, found) = findings(&stage, "contracts").await?;
    assert_eq!(
        (code, wrong(&found)),
        (Some(1), vec!["operator", "folder"]),
        "{found:#?}"
    );

    stage.dropbox.remove_scope("files.metadata.read");
    let (_, found) = findings(&stage, "contracts").await?;
    assert!(
        found
            .iter()
            .any(|(_, _, message)| message.contains("Permissions tab")),
        "{found:#?}"
    );

    stage
        .rotate("dropbox", "refresh_token", "sl.u.an-access-token")
        .await?;
    let (_, found) = findings(&stage, "contracts").await?;
    assert_eq!(wrong(&found), ["operator", "secret"], "{found:#?}");

    stage
        .secret(
            "dropbox",
            &[
                ("app_key", APP_KEY),
                ("app_secret", APP_SECRET),
                ("refresh_token", "revoked-token"),
            ],
        )
        .await?;
    stage.workspace.edit(&id, |source| {
        source.config["remote_url"] = json!("dropbox://elsewhere");
    });
    let (_, found) = findings(&stage, "contracts").await?;
    assert_eq!(
        wrong(&found),
        ["operator", "dropbox", "connector"],
        "{found:#?}"
    );

    stage.workspace.remove(&id);
    let (_, found) = findings(&stage, "contracts").await?;
    assert!(
        found
            .iter()
            .any(|(_, _, message)| message.contains("is gone")),
        "{found:#?}"
    );

    stage.api.revoke_key(API_KEY);
    let (_, found) = findings(&stage, "contracts").await?;
    assert_eq!(
        wrong(&found),
        ["operator", "dropbox", "workspace"],
        "{found:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_host_that_the_operator_would_not_call_is_not_called_here_either() -> Result<()> {
    let mut stage = crate::stage().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0042")])
        .await?;
    let elsewhere = support::fake::FakeUnstructured::start();
    elsewhere.workspace("tenant-key-0042");
    let port = elsewhere.address().port();
    for (name, url) in [
        ("metadata", "https://169.254.169.254/latest".to_owned()),
        ("elsewhere", format!("http://localhost:{port}")),
    ] {
        let spec =
            json!({ "workspace": { "apiUrl": url, "apiKeySecretRef": { "name": "workspace" } } });
        stage.create(name, spec).await?;
    }
    let about = |found: &[(String, String, String)]| {
        let of = found.iter().find(|(check, _, _)| check == "workspace");
        of.map(|(_, verdict, message)| (verdict.clone(), message.clone()))
            .unwrap_or_default()
    };
    let (_, found) = findings(&stage, "metadata").await?;
    let (verdict, message) = about(&found);
    assert!(
        verdict == "wrong" && message.contains("--allowed-api-hosts"),
        "{found:#?}"
    );

    stage.set("ALLOWED_API_HOSTS", "api.example.com");
    let (_, found) = findings(&stage, "elsewhere").await?;
    let (verdict, message) = about(&found);
    assert!(
        verdict == "wrong" && message.contains("not among those"),
        "{found:#?}"
    );
    assert_eq!(elsewhere.requests().len(), 0);

    stage.set("ALLOWED_API_HOSTS", "api.example.com,localhost");
    let (_, found) = findings(&stage, "elsewhere").await?;
    assert_eq!(about(&found).0, "right", "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn a_resource_that_is_not_there_and_a_cluster_that_does_not_answer_are_told() -> Result<()> {
    let mut stage = crate::stage().await?;
    let (code, found) = findings(&stage, "nothing").await?;
    assert_eq!(
        (code, wrong(&found)),
        (Some(1), vec!["operator", "resource"]),
        "{found:#?}"
    );
    stage.set("KUBECONFIG", "/nowhere");
    let output = doctor(&stage, &[]).await?;
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr)?;
    assert!(
        line.starts_with("error: no Kubernetes cluster found"),
        "{line}"
    );
    Ok(())
}
