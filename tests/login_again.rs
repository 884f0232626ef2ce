//! `login dropbox` where something is there already: it is looked at first, and what was not given is not written.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use support::canary::canary;
use support::stage::{APP_KEY, APP_SECRET, Stage, manifest};
use support::typist::Typist;

use crate::{OPERATOR, stage};

/// A login with everything given but the folder; each has a code and a token of its own, by number.
fn command(stage: &Stage, number: u32, arguments: &[&str]) -> Command {
    let (code, token) = (code(number), token(number));
    stage.dropbox.offer_code(APP_KEY, APP_SECRET, &code, &token);
    let mut command = Command::new(OPERATOR);
    command
        .args(["login", "dropbox", "--namespace", &stage.namespace])
        .args(arguments)
        .env_clear()
        .env("DROPBOX_API_URL", stage.dropbox.url())
        .env("ALLOW_INSECURE_HTTP", "true")
        .env("KUBECONFIG", stage.plane.kubeconfig_path())
        .env("DROPBOX_APP_KEY", APP_KEY)
        .env("DROPBOX_APP_SECRET", APP_SECRET)
        .env("DROPBOX_CODE", code);
    command
}

fn code(number: u32) -> String {
    format!("authorization-code-{number:04}")
}

fn token(number: u32) -> String {
    format!("refresh-token-{number:04}")
}

/// A login of a script: the exit code, and what was said.
async fn script(stage: &Stage, number: u32, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let command = command(stage, number, arguments);
    let output: Output = tokio::process::Command::from(command)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = String::from_utf8(output.stderr)?;
    canary(&[APP_SECRET, &code(number), &token(number)]).assert_absent("standard error", &said);
    Ok((output.status.code(), said))
}

/// The stage, with folders.
async fn prepared() -> Result<Stage> {
    let stage = stage().await?;
    for folder in ["/data", "/invoices", "/archive", "/archive/invoices"] {
        stage.dropbox.add_folder(folder);
    }
    Ok(stage)
}

async fn data(stage: &Stage, secret: &str, key: &str) -> Result<Option<String>> {
    let secret = stage.secrets().get_opt(secret).await?;
    let data = secret.and_then(|secret| secret.data);
    let value = data.and_then(|mut data| data.remove(key));
    Ok(value.map(|value| String::from_utf8(value.0)).transpose()?)
}

async fn spec(stage: &Stage, name: &str) -> Result<Value> {
    Ok(stage.sources().get(name).await?.data["spec"].clone())
}

#[tokio::test]
async fn what_was_not_given_stays_and_another_folder_needs_a_word() -> Result<()> {
    let stage = prepared().await?;
    let (code, said) = script(
        &stage,
        1,
        &["--apply", "--folder", "invoices", "--recursive"],
    )
    .await?;
    assert_eq!(code, Some(0), "{said}");
    let theirs = json!({ "spec": { "deletionPolicy": "Retain" } });
    stage
        .sources()
        .patch("invoices", &PatchParams::default(), &Patch::Merge(theirs))
        .await?;
    let before = spec(&stage, "invoices").await?;
    let requests = stage.dropbox.requests().len();

    let other = ["--apply", "--folder", "archive/invoices"];
    let (code, said) = script(&stage, 2, &other).await?;
    assert_eq!(code, Some(2), "{said}");
    for word in ["dropbox://invoices", "--force", "--name"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(
        stage.dropbox.requests().len(),
        requests,
        "the code is still good"
    );
    assert_eq!(spec(&stage, "invoices").await?, before);
    let kept = data(&stage, "invoices-dropbox", "refresh_token").await?;
    assert_eq!(kept, Some(token(1)));

    let (code, said) = script(&stage, 3, &[&other[..], &["--force"]].concat()).await?;
    assert_eq!(code, Some(0), "{said}");
    let mut expected = before;
    expected["remoteUrl"] = json!("dropbox://archive/invoices");
    assert_eq!(spec(&stage, "invoices").await?, expected);

    let generation = stage.sources().get("invoices").await?.metadata.generation;
    let (code, said) = script(&stage, 4, &other).await?;
    assert_eq!(code, Some(0), "{said}");
    let source = stage.sources().get("invoices").await?;
    assert_eq!(
        source.metadata.generation, generation,
        "nothing was given anew"
    );
    let rotated = data(&stage, "invoices-dropbox", "refresh_token").await?;
    assert_eq!(rotated, Some(token(4)));

    let (code, said) = script(&stage, 5, &[&other[..], &["--recursive=false"]].concat()).await?;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(spec(&stage, "invoices").await?["recursive"], false);
    Ok(())
}

#[tokio::test]
async fn a_person_is_asked_about_another_folder_and_may_choose_another_name() -> Result<()> {
    let stage = prepared().await?;
    let (code, said) = script(&stage, 1, &["--apply", "--folder", "invoices"]).await?;
    assert_eq!(code, Some(0), "{said}");

    let mut person = Typist::start(command(&stage, 2, &["--apply"]))?;
    person.answers("Folder to read", "archive/invoices").await?;
    person.sees("exists and reads dropbox://invoices").await?;
    person
        .answers("Have it read dropbox://archive/invoices instead?", "")
        .await?;
    person
        .answers(
            "Name of a new DropboxSource [archive-invoices]: ",
            "Not A Name",
        )
        .await?;
    person
        .answers("Name of a new DropboxSource [archive-invoices]: ", "")
        .await?;
    let finished = person.finishes().await?;
    assert!(finished.status.success(), "{}", finished.screen);
    assert_eq!(
        spec(&stage, "invoices").await?["remoteUrl"],
        "dropbox://invoices"
    );
    let new = spec(&stage, "archive-invoices").await?;
    assert_eq!(new["remoteUrl"], "dropbox://archive/invoices");
    assert_eq!(
        new["credentials"]["secretRef"]["name"],
        "archive-invoices-dropbox"
    );

    let arguments = ["--apply", "--folder", "archive/invoices"];
    let mut person = Typist::start(command(&stage, 3, &arguments))?;
    person.answers("instead? (yes or no) [no]: ", "yes").await?;
    let finished = person.finishes().await?;
    assert!(finished.status.success(), "{}", finished.screen);
    assert_eq!(
        spec(&stage, "invoices").await?["remoteUrl"],
        "dropbox://archive/invoices"
    );
    Ok(())
}

/// Whoever manages the resource: by its name, or with `--secret-only`, the Secret alone is written, under the keys that are read.
#[tokio::test]
async fn a_resource_that_is_named_gets_new_credentials_and_nothing_else() -> Result<()> {
    let stage = prepared().await?;
    let spec = json!({
        "recursive": true, "deletionPolicy": "Retain",
        "credentials": { "secretRef": { "name": "team" }, "keys": { "refreshToken": "TOKEN" } },
    });
    let theirs = manifest("contracts", spec);
    stage
        .sources()
        .patch(
            "contracts",
            &PatchParams::apply("argocd-controller"),
            &Patch::Apply(theirs),
        )
        .await?;
    let before = stage.sources().get("contracts").await?;
    for (number, arguments) in [
        (1, &["--apply", "--name", "contracts"][..]),
        (2, &["--apply", "--name", "contracts", "--secret-only"]),
    ] {
        let (code, said) = script(&stage, number, arguments).await?;
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(data(&stage, "team", "TOKEN").await?, Some(token(number)));
        assert_eq!(
            data(&stage, "team", "app_key").await?.as_deref(),
            Some(APP_KEY)
        );
        let after = stage.sources().get("contracts").await?;
        assert_eq!(
            after.metadata.resource_version,
            before.metadata.resource_version
        );
        assert!(said.contains("lastHandledReconcileAt"), "{said}");
    }

    // A folder that the new token does not see: of another app, most likely.
    stage.dropbox.remove_folder("/data");
    let (code, said) = script(&stage, 3, &["--apply", "--name", "contracts"]).await?;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("no such folder") && said.contains("nothing was written"),
        "{said}"
    );
    assert_eq!(data(&stage, "team", "TOKEN").await?, Some(token(2)));
    Ok(())
}

#[tokio::test]
async fn a_resource_that_is_not_there_leaves_no_stray_secret() -> Result<()> {
    let stage = prepared().await?;
    for (arguments, code, word) in [
        (
            &["--apply", "--name", "contarcts", "--secret-only"][..],
            1,
            "there is no DropboxSource contarcts",
        ),
        (&["--apply", "--name", "contarcts"], 2, "give --folder"),
        (&["--apply", "--secret-only"], 2, "--name"),
        (
            &[
                "--apply",
                "--secret-only",
                "--name",
                "x",
                "--folder",
                "data",
            ],
            2,
            "--secret-only",
        ),
    ] {
        let (status, said) = script(&stage, 1, arguments).await?;
        assert_eq!(status, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    assert!(
        stage.dropbox.requests().is_empty(),
        "the code is still good"
    );
    assert_eq!(
        stage
            .secrets()
            .list(&kube::api::ListParams::default())
            .await?
            .items
            .len(),
        0
    );
    Ok(())
}

/// In Git lives what a login never heard of.
#[tokio::test]
async fn a_file_keeps_what_was_not_given() -> Result<()> {
    let stage = prepared().await?;
    let directory = stage.directory().join("git");
    let into = directory.display().to_string();
    let output = ["--folder", "invoices", "--output", &into];
    let (code, said) = script(&stage, 1, &output).await?;
    assert_eq!(code, Some(0), "{said}");
    let text = "# For the auditors.\n".to_owned()
        + &std::fs::read_to_string(directory.join("invoices.yaml"))?
        + "  deletionPolicy: Retain\n  workspace: {apiKeySecretRef: {name: legal, key: api_key}}\n";
    let file = directory.join("invoices.yaml");
    std::fs::write(&file, &text)?;

    let (code, said) = script(&stage, 2, &output).await?;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        std::fs::read_to_string(&file)?,
        text,
        "nothing was given anew"
    );
    let secret = std::fs::read_to_string(directory.join("invoices-secret.yaml"))?;
    assert!(secret.contains(&token(2)));

    let other = ["--folder", "archive/invoices", "--output", &into];
    let (code, said) = script(&stage, 3, &other).await?;
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(std::fs::read_to_string(&file)?, text);
    let (code, said) = script(&stage, 4, &[&other[..], &["--force"]].concat()).await?;
    assert_eq!(code, Some(0), "{said}");
    let spec = |path: &Path| -> Result<Value> {
        let manifest: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
        manifest.get("spec").cloned().context("no spec")
    };
    let spec = spec(&file)?;
    assert_eq!(spec["remoteUrl"], "dropbox://archive/invoices");
    assert_eq!(spec["deletionPolicy"], "Retain");
    assert_eq!(spec["workspace"]["apiKeySecretRef"]["name"], "legal");

    std::fs::write(&file, "kind: ConfigMap\n")?;
    let (code, said) = script(&stage, 5, &output).await?;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("is not the manifest of a DropboxSource"),
        "{said}"
    );
    Ok(())
}
