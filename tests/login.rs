//! `login dropbox`, as a person at a terminal and as a script.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use support::canary::{Canary, canary};
use support::fake::FakeDropbox;
use support::stage::{APP_KEY, APP_SECRET, REFRESH_TOKEN};
use support::typist::Typist;

use crate::OPERATOR;

const CODE: &str = "authorization-code-7d20e4";

fn dropbox() -> FakeDropbox {
    let dropbox = FakeDropbox::start();
    dropbox.offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    for folder in [
        "/invoices",
        "/contracts",
        "/contracts/2026",
        "/Board minutes",
    ] {
        dropbox.add_folder(folder);
    }
    dropbox
}

fn login(dropbox: &FakeDropbox, arguments: &[&str]) -> Command {
    let mut command = Command::new(OPERATOR);
    command
        .env_clear()
        .env("DROPBOX_API_URL", dropbox.url())
        .env("ALLOW_INSECURE_HTTP", "true")
        .args(["login", "dropbox"])
        .args(arguments);
    command
}

fn script(
    dropbox: &FakeDropbox,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Output> {
    let mut command = login(dropbox, arguments);
    command.envs(environment.iter().copied());
    Ok(command.stdin(std::process::Stdio::null()).output()?)
}

fn secrets() -> Canary {
    canary(&[APP_SECRET, REFRESH_TOKEN, CODE])
}

fn documents(yaml: &str) -> Result<Vec<Value>> {
    yaml.split("---\n")
        .map(|document| serde_yaml::from_str(document).context("not YAML"))
        .collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_person_answers_and_gets_both_manifests_and_no_secret_is_shown() -> Result<()> {
    let dropbox = dropbox();
    let mut person = Typist::start(login(&dropbox, &["--namespace", "legal"]))?;
    person.answers("App key: ", APP_KEY).await?;
    person
        .answers("App secret (not shown): ", APP_SECRET)
        .await?;
    let page = format!(
        "https://www.dropbox.com/oauth2/authorize?client_id={APP_KEY}&response_type=code&token_access_type=offline"
    );
    person.sees(&page).await?;
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", person.id()))?;
    secrets().assert_absent("the process list", &arguments);
    person.answers("Code (not shown): ", CODE).await?;
    person.sees("Dropbox gave a refresh token").await?;
    person.sees("1  Board minutes").await?;
    person.sees("2  contracts").await?;
    person.sees("3  invoices").await?;
    person.answers("Folder to read", "2").await?;
    let finished = person.finishes().await?;

    assert!(finished.status.success(), "{}", finished.screen);
    secrets().assert_absent("the terminal", &finished.screen);
    assert!(!finished.screen.contains("sl."), "{}", finished.screen);
    assert_eq!(
        documents(&finished.stdout)?,
        [
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "Opaque",
                "metadata": { "name": "contracts-dropbox", "namespace": "legal" },
                "stringData": { "app_key": APP_KEY, "app_secret": APP_SECRET, "refresh_token": REFRESH_TOKEN },
            }),
            json!({
                "apiVersion": "connectors.unstructured.io/v1alpha1",
                "kind": "DropboxSource",
                "metadata": { "name": "contracts", "namespace": "legal" },
                "spec": {
                    "remoteUrl": "dropbox://contracts",
                    "credentials": { "secretRef": { "name": "contracts-dropbox" } },
                },
            }),
        ]
    );
    assert_eq!(dropbox.take_violations(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn wrong_answers_are_explained_and_asked_for_again() -> Result<()> {
    let dropbox = dropbox();
    let mut person = Typist::start(login(&dropbox, &[]))?;
    person.answers("App key: ", "").await?;
    person.sees("the app key is empty").await?;
    person.answers("App key: ", APP_KEY).await?;
    person
        .answers("App secret", "\"pasted-with-quotes\"")
        .await?;
    person
        .sees("the app secret has quotation marks around it")
        .await?;
    person.answers("App secret", "not-the-app-secret").await?;
    person.answers("Code", "sl.an-access-token-1234").await?;
    person.sees("this is an access token").await?;
    person.answers("Code", CODE).await?;
    person.sees("invalid_client").await?;
    person.answers("App key: ", APP_KEY).await?;
    // A slip of the finger, taken back; and a line begun anew.
    person
        .answers("App secret", &format!("xx\u{15}{APP_SECRET}y\u{7f}"))
        .await?;
    person.answers("Code", "an-old-code-123").await?;
    person.sees("it has expired, was used before").await?;
    // The app was right: only the code is asked for again.
    person.answers("Code", CODE).await?;
    dropbox.remove_folder("/missing");
    for (answer, reason) in [
        ("/", "root of the app folder"),
        (
            "https://www.dropbox.com/home/Apps/x/contracts",
            "web address",
        ),
        ("99", "no such number"),
        ("missing", "there is no such folder"),
    ] {
        person.answers("Folder to read", answer).await?;
        person.sees(reason).await?;
    }
    person.answers("Folder to read", "contracts/2026").await?;
    let finished = person.finishes().await?;
    assert!(finished.status.success(), "{}", finished.screen);
    secrets().assert_absent("the terminal", &finished.screen);
    canary(&[
        "pasted-with-quotes",
        "not-the-app-secret",
        "an-access-token-1234",
        "an-old-code-123",
    ])
    .assert_absent("the terminal", &finished.screen);
    assert_eq!(
        documents(&finished.stdout)?[1]["spec"]["remoteUrl"],
        "dropbox://contracts/2026"
    );
    Ok(())
}

#[tokio::test]
async fn ctrl_c_at_a_hidden_prompt_ends_it_and_the_terminal_echoes_again() -> Result<()> {
    let dropbox = dropbox();
    let mut person = Typist::start(login(&dropbox, &["--app-key", APP_KEY]))?;
    person.sees("App secret").await?;
    person.keys("half-a-secret\u{3}")?;
    let finished = person.finishes().await?;
    assert_eq!(finished.status.code(), Some(130));
    assert!(finished.echoes);
    assert!(!finished.screen.contains("half"), "{}", finished.screen);
    assert_eq!(finished.stdout, "");
    assert_eq!(dropbox.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn an_app_without_a_folder_is_told_to_make_one_and_looked_at_again() -> Result<()> {
    let dropbox = FakeDropbox::start();
    dropbox.offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    let mut command = login(&dropbox, &["--app-key", APP_KEY]);
    command.env("DROPBOX_APP_SECRET", APP_SECRET);
    let mut person = Typist::start(command)?;
    person.answers("Code", CODE).await?;
    person.sees("create a folder in Dropbox").await?;
    person.sees("Enter to look again").await?;
    dropbox.add_folder("/New one");
    person.keys("\n")?;
    person.answers("Folder to read", "1").await?;
    let finished = person.finishes().await?;
    let source = &documents(&finished.stdout)?[1];
    assert_eq!(source["spec"]["remoteUrl"], "dropbox://New one");
    assert_eq!(source["metadata"]["name"], "new-one");
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_the_manifests_are_not_shown_but_written_to_files() -> Result<()> {
    let dropbox = dropbox();
    let directory = tempfile::tempdir()?;
    let mut command = login(&dropbox, &["--app-key", APP_KEY, "--folder", "contracts"]);
    command
        .env("DROPBOX_APP_SECRET", APP_SECRET)
        .env("DROPBOX_CODE", CODE);
    let mut person = Typist::start_on_screen(command)?;
    let path = directory.path().join("new");
    person
        .answers("Directory to write", &path.display().to_string())
        .await?;
    let finished = person.finishes().await?;
    assert!(finished.status.success(), "{}", finished.screen);
    secrets().assert_absent("the terminal", &finished.screen);
    let mode = std::fs::metadata(path.join("contracts-secret.yaml"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(path.join("contracts.yaml").exists());
    assert_eq!(std::fs::read_dir(&path)?.count(), 2, "nothing else is left");
    Ok(())
}

#[test]
fn a_script_gives_everything_by_files_and_a_secret_file_that_was_open_to_others_is_closed()
-> Result<()> {
    let dropbox = dropbox();
    let directory = tempfile::tempdir()?;
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("secret"), format!("{APP_SECRET}\n"))?;
    std::fs::write(file("code"), format!("{CODE}\n"))?;
    std::fs::write(file("x-secret.yaml"), "old")?;
    let (secret, code) = (
        file("secret").display().to_string(),
        file("code").display().to_string(),
    );
    let into = directory.path().display().to_string();
    let output = script(
        &dropbox,
        &[("DROPBOX_APP_KEY", APP_KEY)],
        &[
            "--app-secret-file",
            &secret,
            "--code-file",
            &code,
            "--folder",
            "dropbox://contracts/2026/",
            "--recursive",
            "--name",
            "x",
            "--secret-name",
            "y",
            "--output",
            &into,
        ],
    )?;
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    secrets().assert_absent("standard error", &stderr(&output));
    let mode = std::fs::metadata(file("x-secret.yaml"))?
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let source: Value = serde_yaml::from_str(&std::fs::read_to_string(file("x.yaml"))?)?;
    assert_eq!(source["spec"]["recursive"], true);
    assert_eq!(source["spec"]["credentials"]["secretRef"]["name"], "y");
    Ok(())
}

#[test]
fn without_a_terminal_everything_that_is_missing_is_named_before_dropbox_is_asked() -> Result<()> {
    let dropbox = dropbox();
    let output = script(&dropbox, &[], &[])?;
    assert_eq!(output.status.code(), Some(2));
    for name in [
        "--app-key (DROPBOX_APP_KEY)",
        "DROPBOX_APP_SECRET",
        "--app-secret-file",
        "DROPBOX_CODE",
        "--folder",
    ] {
        assert!(
            stderr(&output).contains(name),
            "{name}: {}",
            stderr(&output)
        );
    }
    let output = script(
        &dropbox,
        &[("DROPBOX_APP_SECRET", APP_SECRET)],
        &["--app-key", APP_KEY, "--folder", "x"],
    )?;
    assert!(
        stderr(&output).contains("/oauth2/authorize?client_id="),
        "{}",
        stderr(&output)
    );
    assert_eq!(dropbox.requests().len(), 0);
    Ok(())
}

#[test]
fn every_wrong_input_of_a_script_is_one_line_with_the_next_step() -> Result<()> {
    let good = [
        ("DROPBOX_APP_KEY", APP_KEY),
        ("DROPBOX_APP_SECRET", APP_SECRET),
        ("DROPBOX_CODE", CODE),
    ];
    let table: [(&str, &str, &str, i32, &str); 6] = [
        (
            "DROPBOX_APP_KEY",
            "sl.abcdefgh",
            "contracts",
            2,
            "not the app key",
        ),
        (
            "DROPBOX_APP_SECRET",
            "wrong-secret-1",
            "contracts",
            1,
            "copy both again",
        ),
        (
            "DROPBOX_CODE",
            "expired-code-1",
            "contracts",
            1,
            "copy the new code",
        ),
        (
            "DROPBOX_CODE",
            "sl.access-token",
            "contracts",
            2,
            "press Allow",
        ),
        ("DROPBOX_CODE", CODE, "/", 2, "name a folder inside"),
        ("DROPBOX_CODE", CODE, "missing", 1, "create it in Dropbox"),
    ];
    for (name, value, folder, status, expected) in table {
        let dropbox = dropbox();
        dropbox.remove_folder("/missing");
        let mut environment = good.to_vec();
        environment.push((name, value));
        let output = script(&dropbox, &environment, &["--folder", folder])?;
        let line = stderr(&output);
        let last = line.lines().last().unwrap_or_default();
        assert_eq!(output.status.code(), Some(status), "{line}");
        assert!(
            last.starts_with("error: ") && last.contains(expected),
            "{line}"
        );
        assert!(output.stdout.is_empty());
        secrets().assert_absent("standard error", &line);
    }
    Ok(())
}

/// In the words of the reason `SecretInvalid`, and before the code, which is good only once, is used.
#[test]
fn what_the_operator_refuses_in_a_secret_is_refused_here_in_its_words() -> Result<()> {
    let flaws = [
        ("'pasted-value-5d1e0042'", "has quotation marks around it"),
        ("pasted value-5d1e0042", "has a space inside it"),
        (
            "\u{feff}pasted-value-5d1e0042",
            "has a byte order mark at its start",
        ),
        (
            "pasted\u{200b}value-5d1e0042",
            "has an invisible character inside it",
        ),
        (
            "Bearer pasted-value-5d1e0042",
            "begins with the word Bearer",
        ),
        ("**********", "holds the mask that Unstructured shows"),
        (" \n", "is empty"),
    ];
    let variables = [
        ("DROPBOX_APP_KEY", "app key"),
        ("DROPBOX_APP_SECRET", "app secret"),
        ("DROPBOX_CODE", "code"),
    ];
    let dropbox = dropbox();
    let refused = |environment: &[(&str, &str)], arguments: &[&str], expected: &str| {
        let output = script(&dropbox, environment, arguments)?;
        let line = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(line.contains(expected), "{expected}: {line}");
        canary(&["value-5d1e0042"]).assert_absent("standard error", &line);
        anyhow::Ok(())
    };
    for (variable, name) in variables {
        for (value, flaw) in flaws {
            let given = [APP_KEY, APP_SECRET, CODE];
            let given = std::iter::zip(variables, given).map(|((known, _), good)| {
                let value = if known == variable { value } else { good };
                (known, value)
            });
            let given: Vec<_> = given.collect();
            refused(&given, &["--folder", "x"], &format!("the {name} {flaw}"))?;
        }
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), b"\xff\xfep\0a\0")?;
    let path = file.path().display().to_string();
    let given = [("DROPBOX_APP_KEY", APP_KEY), ("DROPBOX_CODE", CODE)];
    let arguments = ["--app-secret-file", &path, "--folder", "x"];
    refused(&given, &arguments, "is text in UTF-16, not in UTF-8")?;
    assert_eq!(dropbox.requests().len(), 0);
    Ok(())
}

#[test]
fn a_missing_permission_is_named_with_the_tab_where_to_tick_it() -> Result<()> {
    let dropbox = dropbox();
    dropbox.remove_scope("files.metadata.read");
    let environment = [
        ("DROPBOX_APP_KEY", APP_KEY),
        ("DROPBOX_APP_SECRET", APP_SECRET),
        ("DROPBOX_CODE", CODE),
    ];
    let output = script(&dropbox, &environment, &["--folder", "contracts"])?;
    assert_eq!(output.status.code(), Some(1));
    let line = stderr(&output);
    assert!(
        line.contains("files.metadata.read") && line.contains("Permissions tab"),
        "{line}"
    );
    Ok(())
}

#[tokio::test]
async fn applied_to_the_cluster_both_objects_are_there_and_a_second_login_rotates() -> Result<()> {
    let stage = crate::stage().await?;
    for (code, token) in [
        (CODE, REFRESH_TOKEN),
        ("second-code-55", "second-refresh-token-8a"),
    ] {
        stage.dropbox.offer_code(APP_KEY, APP_SECRET, code, token);
        let mut command = login(
            &stage.dropbox,
            &["--folder", "contracts", "--apply", "-n", &stage.namespace],
        );
        command
            .env("KUBECONFIG", stage.plane.kubeconfig_path())
            .env("DROPBOX_APP_KEY", APP_KEY)
            .env("DROPBOX_APP_SECRET", APP_SECRET)
            .env("DROPBOX_CODE", code);
        let output = tokio::process::Command::from(command)
            .stdin(std::process::Stdio::null())
            .output()
            .await?;
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
        secrets().assert_absent("standard error", &stderr(&output));
        let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
        let data = secrets
            .get("contracts-dropbox")
            .await?
            .data
            .context("data")?;
        assert_eq!(data["refresh_token"].0, token.as_bytes());
    }
    let source = stage.sources().get("contracts").await?;
    assert_eq!(source.data["spec"]["remoteUrl"], "dropbox://contracts");
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_one_line() -> Result<()> {
    let stage = crate::stage().await?;
    stage
        .dropbox
        .offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    let mut command = login(
        &stage.dropbox,
        &["--folder", "contracts", "--apply", "-n", "nowhere"],
    );
    command
        .env("KUBECONFIG", stage.plane.kubeconfig_path())
        .env("DROPBOX_APP_KEY", APP_KEY)
        .env("DROPBOX_APP_SECRET", APP_SECRET)
        .env("DROPBOX_CODE", CODE);
    let output = tokio::process::Command::from(command)
        .stdin(std::process::Stdio::null())
        .output()
        .await?;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("kubectl create namespace"),
        "{}",
        stderr(&output)
    );
    assert!(
        stage.dropbox.requests().is_empty(),
        "the code, good only once, is not used up"
    );
    Ok(())
}
