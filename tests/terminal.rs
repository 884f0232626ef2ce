//! The command line where it is awkward: keys that end a dialogue, answers that cannot be right, colours, no browser, and rights
//! that a user does not have.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use support::fake::FakeDropbox;
use support::stage::{APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage};
use support::typist::{Finished, Typist};

use crate::{OPERATOR, stage};

const CODE: &str = "authorization-code-7d20e4";
const RED: &str = "\u{1b}[31mwrong\u{1b}[0m: ";

/// The questions in their order. One is the first to be asked when everything before it is given.
const QUESTIONS: [&str; 5] = [
    "App key: ",
    "App secret (not shown): ",
    "Code (not shown): ",
    "Folder to read (number or path): ",
    "Directory to write",
];

/// What answers the first three.
const GIVEN: [(&str, &str); 3] = [
    ("DROPBOX_APP_KEY", APP_KEY),
    ("DROPBOX_APP_SECRET", APP_SECRET),
    ("DROPBOX_CODE", CODE),
];

fn dropbox() -> FakeDropbox {
    let dropbox = FakeDropbox::start();
    dropbox.offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    dropbox.add_folder("/contracts");
    dropbox
}

/// `login dropbox` with the first `given` questions answered.
fn login(program: &str, dropbox: &FakeDropbox, given: usize) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("DROPBOX_API_URL", dropbox.url())
        .env("ALLOW_INSECURE_HTTP", "true")
        .envs(GIVEN.into_iter().take(given));
    if program != OPERATOR {
        command.args(["--ctty", OPERATOR]);
    }
    command.args(["login", "dropbox"]);
    if given > GIVEN.len() {
        command.args(["--folder", "contracts"]);
    }
    command
}

/// What is left when these keys are typed at a question.
async fn typed_at(number: usize, keys: &str) -> Result<Finished> {
    let (question, dropbox) = (QUESTIONS[number], dropbox());
    let directory = tempfile::tempdir()?;
    // Ctrl-C is a signal only at a terminal that is the process's own.
    let mut command = login("setsid", &dropbox, number);
    command.current_dir(directory.path());
    let mut person = Typist::start_on_screen(command)?;
    person.sees(question).await?;
    person.keys(keys)?;
    let finished = person.finishes().await?;
    let left = std::fs::read_dir(directory.path())?.count();
    ensure!(left == 0, "{keys:?} at {question:?} leaves files");
    ensure!(
        finished.echoes,
        "{keys:?} at {question:?} leaves a terminal that shows nothing"
    );
    Ok(finished)
}

#[tokio::test]
async fn ctrl_c_at_any_question_ends_it_and_leaves_nothing_behind() -> Result<()> {
    for (number, question) in QUESTIONS.into_iter().enumerate() {
        let finished = typed_at(number, "\u{3}").await?;
        let interrupted =
            finished.status.code() == Some(130) || finished.status.signal() == Some(2);
        assert!(interrupted, "{question}: {finished:?}");
    }
    Ok(())
}

#[tokio::test]
async fn ctrl_d_at_any_question_ends_it_and_says_that_nothing_was_written() -> Result<()> {
    for (number, question) in QUESTIONS.into_iter().enumerate() {
        let finished = typed_at(number, "\u{4}").await?;
        assert_eq!(finished.status.code(), Some(1), "{question}: {finished:?}");
        assert!(
            finished.screen.contains("nothing was written"),
            "{question}: {finished:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn three_answers_that_cannot_be_right_are_enough() -> Result<()> {
    let wrong = [
        ("", "is empty"),
        ("sl.access-token", "this is an access token"),
        ("two words", "has a space inside it"),
    ];
    for (number, question) in QUESTIONS.into_iter().take(3).enumerate() {
        let dropbox = dropbox();
        let mut person = Typist::start(login(OPERATOR, &dropbox, number))?;
        for (answer, reason) in wrong {
            person.answers(question, answer).await?;
            person.sees(reason).await?;
        }
        let finished = person.finishes().await?;
        assert_eq!(finished.status.code(), Some(2), "{}", finished.screen);
        assert!(dropbox.requests().is_empty(), "Dropbox is not bothered");
    }
    Ok(())
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() -> Result<()> {
    let shown = async |environment: &[(&str, &str)]| -> Result<String> {
        let dropbox = dropbox();
        let mut command = login(OPERATOR, &dropbox, 0);
        command.envs(environment.iter().copied());
        let mut person = Typist::start(command)?;
        person.answers(QUESTIONS[0], "").await?;
        person.sees("the app key is empty").await?;
        Ok(person.screen())
    };
    assert!(shown(&[("TERM", "xterm")]).await?.contains(RED));
    assert!(
        shown(&[("NO_COLOR", "")]).await?.contains(RED),
        "set to nothing"
    );
    for environment in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        let screen = shown(&environment).await?;
        assert!(!screen.contains('\u{1b}'), "{environment:?}: {screen:?}");
    }
    let dropbox = dropbox();
    let piped = login(OPERATOR, &dropbox, 4)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()?;
    let all = format!("{piped:?}");
    assert!(piped.status.success() && !all.contains("u{1b}"), "{all}");
    Ok(())
}

#[tokio::test]
async fn without_a_browser_the_page_is_opened_by_hand() -> Result<()> {
    let dropbox = dropbox();
    let mut command = login(OPERATOR, &dropbox, 2);
    command.arg("--open").env("PATH", "/nowhere");
    let mut person = Typist::start(command)?;
    person.sees("/oauth2/authorize?client_id=").await?;
    person.sees("open the page yourself").await?;
    person.answers(QUESTIONS[2], CODE).await?;
    person.answers(QUESTIONS[3], "1").await?;
    assert!(person.finishes().await?.status.success());
    Ok(())
}

/// The kubeconfig of a user who may do what is `allowed` in the stage's namespace, and nothing else.
pub async fn user(stage: &Stage, name: &str, allowed: Value) -> Result<PathBuf> {
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    let params = PatchParams::apply("tests").force();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": name }, "rules": allowed,
    });
    let roles: kube::Api<Role> = kube::Api::namespaced(stage.client.clone(), &stage.namespace);
    roles.patch(name, &params, &Patch::Apply(role)).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name }],
    });
    let bindings: kube::Api<RoleBinding> =
        kube::Api::namespaced(stage.client.clone(), &stage.namespace);
    bindings
        .patch(name, &params, &Patch::Apply(binding))
        .await?;

    let text = std::fs::read_to_string(stage.plane.kubeconfig_path())?;
    let mut config: Value = serde_yaml::from_str(&text)?;
    config["users"][0]["user"]["as"] = json!(name);
    let path = stage.directory().join(format!("{name}.kubeconfig"));
    std::fs::write(&path, serde_yaml::to_string(&config)?)?;
    Ok(path)
}

/// A login that asks nothing.
const LOGIN: [&str; 5] = ["login", "dropbox", "--apply", "--folder", "contracts"];

/// Runs a command of ours as this user, everything given.
async fn as_user(stage: &Stage, kubeconfig: PathBuf, arguments: &[&str]) -> Result<Output> {
    let output = tokio::process::Command::new(OPERATOR)
        .args(arguments)
        .args(["--namespace", &stage.namespace])
        .env_clear()
        .envs([
            ("DROPBOX_API_URL", stage.dropbox.url()),
            ("UNSTRUCTURED_API_URL", stage.api.url()),
        ])
        .envs(GIVEN)
        .env("ALLOW_INSECURE_HTTP", "true")
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .output();
    Ok(output.await?)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn who_may_not_write_there_is_told_before_the_code_is_used_up() -> Result<()> {
    let stage = stage().await?;
    stage
        .dropbox
        .offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    let sources = json!({
        "apiGroups": ["connectors.unstructured.io"], "resources": ["dropboxsources"], "verbs": ["*"],
    });
    let secrets = json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["*"] });
    for (name, rules, what) in [
        ("writes-sources", json!([sources]), "write Secrets in"),
        ("writes-secrets", json!([secrets]), "read DropboxSources in"),
    ] {
        let user = user(&stage, name, rules).await?;
        let output = as_user(&stage, user, &LOGIN).await?;
        let line = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(
            line.contains(&format!("you lack the permission to {what}")),
            "{line}"
        );
        assert!(line.contains("ask an administrator"), "{line}");
    }
    assert!(stage.dropbox.requests().is_empty());

    // A name alone says nothing of the folder yet; the right is missing all the same.
    let reads = json!([
        { "apiGroups": ["connectors.unstructured.io"], "resources": ["dropboxsources"], "verbs": ["get"] },
        { "apiGroups": [""], "resources": ["secrets"], "verbs": ["*"] },
    ]);
    let kubeconfig = user(&stage, "reads-sources", reads).await?;
    let mut command = Command::new(OPERATOR);
    command
        .args([
            "login",
            "dropbox",
            "--apply",
            "--name",
            "new",
            "--namespace",
        ])
        .arg(&stage.namespace)
        .env_clear()
        .env("DROPBOX_API_URL", stage.dropbox.url())
        .env("ALLOW_INSECURE_HTTP", "true")
        .env("KUBECONFIG", kubeconfig)
        .envs(GIVEN);
    let finished = Typist::start(command)?.finishes().await?;
    let refusal = "you lack the permission to write DropboxSources in";
    assert!(finished.screen.contains(refusal), "{}", finished.screen);
    assert!(stage.dropbox.requests().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_resource_that_another_tool_manages_is_left_to_it() -> Result<()> {
    let stage = stage().await?;
    stage
        .dropbox
        .offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    let theirs = json!({
        "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "DropboxSource",
        "metadata": { "name": "contracts" },
        "spec": {
            "remoteUrl": "dropbox://elsewhere",
            "credentials": { "secretRef": { "name": "contracts-dropbox" } },
        },
    });
    let params = PatchParams::apply("argocd-controller");
    let applied = stage.sources();
    applied
        .patch("contracts", &params, &Patch::Apply(theirs))
        .await?;

    let forced = [&LOGIN[..], &["--force"]].concat();
    for (arguments, code, words) in [
        (
            &LOGIN[..],
            2,
            ["exists and reads dropbox://elsewhere", "--force"],
        ),
        (
            &forced,
            1,
            ["another tool manages this object", "argocd-controller"],
        ),
    ] {
        let admin = stage.plane.kubeconfig_path().to_owned();
        let output = as_user(&stage, admin, arguments).await?;
        let line = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{line}");
        for word in words {
            assert!(line.contains(word), "{line}");
        }
    }
    let secret = stage.secrets().get_opt("contracts-dropbox").await?;
    assert!(secret.is_none(), "nothing is written first");
    assert!(
        stage.dropbox.requests().is_empty(),
        "the code, good only once, is not used up"
    );
    let source = stage.sources().get("contracts").await?;
    assert_eq!(source.data["spec"]["remoteUrl"], "dropbox://elsewhere");
    Ok(())
}

#[tokio::test]
async fn doctor_names_the_rights_that_its_user_lacks_and_takes_nothing_hidden_for_wrong()
-> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;

    let sees = json!([{
        "apiGroups": ["connectors.unstructured.io"], "resources": ["dropboxsources"], "verbs": ["get", "list"],
    }]);
    let reader = user(&stage, "reader", sees).await?;
    let output = as_user(&stage, reader, &["doctor", "contracts", "-o", "json"]).await?;
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| stderr(&output))?;
    let findings = report["findings"].as_array().context("a list")?;
    let told = |check: &str| {
        let found = findings.iter().find(|finding| finding["check"] == check);
        found.with_context(|| format!("nothing is said of {check}: {report:#}"))
    };
    assert_eq!(told("secret")?["verdict"], "unknown", "{report:#}");
    assert_eq!(told("permissions")?["verdict"], "wrong", "{report:#}");
    let message = told("permissions")?["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("get secrets") && message.contains("list pineconedestinations"),
        "{message}"
    );
    let wrong = findings.iter().filter(|f| f["verdict"] == "wrong");
    assert_eq!(wrong.count(), 1, "{report:#}");

    let nobody = user(&stage, "nobody", json!([])).await?;
    let output = as_user(&stage, nobody, &["doctor", "contracts"]).await?;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("you lack the permission to get dropboxsources"),
        "{told}"
    );
    Ok(())
}
