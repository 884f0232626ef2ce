//! `start` and `follow`, off a terminal and on one. Each run costs money, so they are counted.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::fake::unstructured::JobEnd;
use support::stage::{Stage, eventually};
use support::typist::Typist;

use crate::OPERATOR;
use crate::pipeline::{JOB, begin, create, job, objects, phase, requests, until};

const FOLLOWED_UNTIL: &str = "connectors.unstructured.io/followed-until";

fn command(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(OPERATOR);
    command
        .env_clear()
        .env("KUBECONFIG", stage.plane.kubeconfig_path())
        .env("TERM", "xterm")
        .args(arguments)
        .args(["-n", &stage.namespace]);
    command
}

async fn run(stage: &Stage, arguments: &[&str]) -> Result<Output> {
    finish(command(stage, arguments)).await
}

async fn finish(command: Command) -> Result<Output> {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_mins(1), command.output()).await;
    Ok(output.context("the command does not end")??)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn jobs(stage: &Stage) -> Result<usize> {
    let jobs = objects(stage, JOB).list(&ListParams::default()).await?;
    Ok(jobs.items.len())
}

/// A run of the job `held` that is under way and stays so; the id of the run.
async fn under_way(stage: &Stage, workflow: &str) -> Result<String> {
    stage.workspace.hold_jobs(true);
    create(stage, JOB, "held", job()).await?;
    phase(stage, "held", "Scheduled").await?;
    let run = stage.workspace.jobs(workflow)[0].id.clone();
    stage.workspace.advance_job(&run);
    phase(stage, "held", "Running").await?;
    Ok(run)
}

#[tokio::test]
async fn start_makes_one_job_and_prints_its_name() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let output = run(
        &stage,
        &["start", "flow", "--on-active", "Fail", "--timeout", "2h"],
    )
    .await?;
    ensure!(output.status.success(), "{}", stderr(&output));
    let name = stdout(&output).trim_end().to_owned();
    ensure!(name.starts_with("flow-"), "{name}");
    ensure!(
        stderr(&output).contains(&format!("follow {name}")),
        "{}",
        stderr(&output)
    );
    let made = phase(&stage, &name, "Succeeded").await?;
    assert_eq!(
        made.data["spec"],
        json!({ "workflowRef": { "name": "flow" }, "onActive": "Fail", "timeout": "2h", "cancel": false })
    );
    assert_eq!((jobs(&stage).await?, stage.workspace.runs(&id)), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_name_that_cannot_be_printed_is_told_all_the_same() -> Result<()> {
    let (stage, _operator, _id) = begin().await?;
    let mut start = tokio::process::Command::from(command(&stage, &["start", "flow"]));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    start.stdout(full).stderr(Stdio::piped()).kill_on_drop(true);
    let output = start.spawn()?.wait_with_output().await?;
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    ensure!(said.contains("The job flow-"), "{said}");
    ensure!(said.contains("follow flow-"), "{said}");
    assert_eq!(jobs(&stage).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_timeout_is_longer_than_zero_and_stays_as_it_was() -> Result<()> {
    let (stage, _operator, _id) = begin().await?;
    let output = run(&stage, &["start", "flow", "--timeout", "0m0s"]).await?;
    assert_eq!(output.status.code(), Some(2));
    ensure!(stderr(&output).contains("longer than zero"));
    let spec = |timeout: &str| json!({ "workflowRef": { "name": "flow" }, "timeout": timeout });
    let refused = create(&stage, JOB, "none", spec("0s")).await;
    let refused = refused.map_or_else(|error| format!("{error:#}"), |()| String::new());
    ensure!(
        refused.contains("timeout must be longer than zero"),
        "{refused}"
    );
    create(&stage, JOB, "some", spec("2h")).await?;
    let patch = Patch::Merge(json!({ "spec": { "timeout": null } }));
    let jobs = objects(&stage, JOB);
    let removed = jobs.patch("some", &PatchParams::default(), &patch).await;
    let removed = removed.map_or_else(|error| error.to_string(), |_| String::new());
    ensure!(removed.contains("cannot be added or removed"), "{removed}");
    Ok(())
}

#[tokio::test]
async fn off_a_terminal_phases_are_lines_and_the_exit_code_is_the_result() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let ends = [
        JobEnd::all(3),
        JobEnd::some_failed(2, 5, "the file is encrypted"),
        JobEnd::all(0),
        JobEnd::Failed("no credits".to_owned()),
    ];
    stage.workspace.script_jobs(&id, ends);
    let table: [(i32, &[&str]); 4] = [
        (0, &["Scheduled: ", "ok: Succeeded: 3 documents"]),
        (
            1,
            &[
                "wrong: PartiallyFailed: ",
                "5 of 5 documents done, 2 failed; Partitioner 5/5, 2 failed",
                "Failed documents:\n  document-1.pdf: the file is encrypted\n  document-2.pdf: ",
            ],
        ),
        (0, &["warning: Succeeded: The run processed no document"]),
        (1, &["wrong: Failed: ", "no credits"]),
    ];
    for (n, (code, expected)) in table.into_iter().enumerate() {
        let output = run(&stage, &["start", "flow", "--follow"]).await?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        for text in expected {
            ensure!(said.contains(text), "{text:?} is not in:\n{said}");
        }
        ensure!(!said.contains('\u{1b}'), "{said}");
        ensure!(!said.contains("lost"), "nothing was lost:\n{said}");
        assert_eq!(stdout(&output).lines().count(), 1);
        assert_eq!(stage.workspace.runs(&id), n + 1);
        // What has ended is told the same way.
        let again = run(&stage, &["follow", stdout(&output).trim_end()]).await?;
        assert_eq!(again.status.code(), Some(code), "{}", stderr(&again));
    }
    Ok(())
}

#[tokio::test]
async fn counts_are_asked_for_while_somebody_follows_and_not_before() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let run = under_way(&stage, &id).await?;
    let polls = requests(&stage, "GET", "/jobs/");
    eventually("polls", || {
        (requests(&stage, "GET", "/jobs/") >= polls + 4).then_some(())
    })
    .await?;
    assert_eq!(requests(&stage, "GET", "/details"), 0);
    let unfollowed = phase(&stage, "held", "Running").await?;
    ensure!(unfollowed.data["status"].get("nodes").is_none());

    let watcher = command(&stage, &["follow", "held"]);
    let watcher = tokio::spawn(finish(watcher));
    let followed = until(&stage, JOB, "held", |o| {
        o.data["status"]["nodes"].is_array()
    })
    .await?;
    assert_eq!(followed.data["status"]["phase"], "Running");
    assert_eq!(followed.data["status"]["documents"]["total"], json!(3));
    let until = &followed.metadata.annotations.context("annotations")?[FOLLOWED_UNTIL];
    let left = until.parse::<jiff::Timestamp>()?.as_second() - jiff::Timestamp::now().as_second();
    ensure!((1..=120).contains(&left), "{until}");
    stage.workspace.finish_job(&run, JobEnd::all(3));
    let output = watcher.await??;
    let said = stderr(&output);
    ensure!(output.status.success(), "{said}");
    let counts = "0 of 3 documents done; Partitioner 0/3, 3 under way; ";
    ensure!(said.contains(counts), "{said}");
    ensure!(said.contains("3 of 3 documents done; "), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_does_not_exist_is_one_line_with_the_next_step() -> Result<()> {
    let stage = crate::stage().await?;
    for (arguments, expected) in [
        (&["start", "nowhere", "--follow"][..], "kubectl get uwf -n"),
        (&["follow", "nowhere"], "kubectl get ujob -n"),
    ] {
        let output = run(&stage, arguments).await?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        ensure!(
            said.starts_with("error: there is no") && said.contains(expected),
            "{said}"
        );
        assert_eq!((said.lines().count(), stdout(&output).as_str()), (1, ""));
    }
    assert_eq!(jobs(&stage).await?, 0);
    Ok(())
}

/// On a control plane of its own, as the others need the kind.
#[tokio::test]
async fn without_the_kind_both_say_how_to_install_it() -> Result<()> {
    let stage = crate::stage_apart().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    let definition = "unstructuredjobs.connectors.unstructured.io";
    definitions
        .delete(definition, &DeleteParams::default())
        .await?;
    for arguments in [&["start", "flow"][..], &["follow", "held"]] {
        // The API server shows what it serves with a delay.
        let end = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let output = run(&stage, arguments).await?;
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            if said.contains("UnstructuredJob is not installed: ") {
                break;
            }
            ensure!(tokio::time::Instant::now() < end, "{said}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

/// A kubeconfig of an account that may do this in the stage's namespace.
async fn account(stage: &Stage, name: &str, granted: Value) -> Result<String> {
    let params = PostParams::default();
    let namespace = &stage.namespace;
    let metadata = json!({ "name": name });
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), namespace);
    let account = serde_json::from_value(json!({ "metadata": metadata }))?;
    accounts.create(&params, &account).await?;
    let roles: Api<Role> = Api::namespaced(stage.client.clone(), namespace);
    let role = serde_json::from_value(json!({ "metadata": metadata, "rules": granted }))?;
    roles.create(&params, &role).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(stage.client.clone(), namespace);
    let binding = serde_json::from_value(json!({
        "metadata": metadata,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
    }))?;
    bindings.create(&params, &binding).await?;
    let request = serde_json::from_value(json!({ "spec": { "audiences": [] } }))?;
    let token = accounts
        .create_token_request(name, &params, &request)
        .await?;
    let token = token.status.context("a token")?.token;
    let text = std::fs::read_to_string(stage.plane.kubeconfig_path())?;
    let mut kubeconfig: Value = serde_json::from_str(&text)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    let path = stage.directory().join(name);
    std::fs::write(&path, kubeconfig.to_string())?;
    Ok(path.display().to_string())
}

#[tokio::test]
async fn a_missing_right_is_named_and_without_that_to_patch_there_are_no_counts() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let rule = |resource: &str, verbs: &[&str]| json!({ "apiGroups": ["connectors.unstructured.io"], "resources": [resource], "verbs": verbs });
    let reads = [
        rule("unstructuredworkflows", &["get"]),
        rule("unstructuredjobs", &["get", "list", "watch"]),
    ];
    let reader = account(&stage, "reader", json!(reads)).await?;
    let stranger = account(&stage, "stranger", json!([])).await?;
    for (kubeconfig, arguments, expected) in [
        (
            &stranger,
            &["start", "flow"][..],
            "cannot be read: you lack the permission",
        ),
        (&reader, &["start", "flow"], "cannot be created in"),
        (
            &stranger,
            &["follow", "held"],
            "cannot be watched: you lack the permission",
        ),
    ] {
        let mut command = command(&stage, arguments);
        command.args(["--kubeconfig", kubeconfig]);
        let output = finish(command).await?;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        ensure!(
            said.contains(expected) && said.lines().count() == 1,
            "{said}"
        );
    }
    assert_eq!(jobs(&stage).await?, 0);

    under_way(&stage, &id).await?;
    let mut command = command(&stage, &["follow", "held"]);
    command.args(["--kubeconfig", &reader]);
    let mut person = Typist::start(command)?;
    person.sees("followed without counts").await?;
    stage.workspace.hold_jobs(false);
    let finished = person.finishes().await?;
    ensure!(finished.status.success(), "{}", finished.screen);
    assert_eq!(finished.screen.matches("without counts").count(), 1);
    Ok(())
}

#[tokio::test]
async fn on_a_terminal_each_node_has_a_bar_and_ctrl_c_leaves_the_run_going() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let run = under_way(&stage, &id).await?;
    let mut person = Typist::start(command(&stage, &["follow", "held"]))?;
    person.sees("Running: ").await?;
    for node in ["Partitioner ", "Chunker ", "Embedder "] {
        person.sees(node).await?;
    }
    person.interrupts()?;
    let finished = person.finishes().await?;
    assert_eq!(finished.status.code(), Some(130), "{}", finished.screen);
    ensure!(finished.echoes, "the terminal is left in disorder");
    for text in [
        "[",
        "0/3, 3 under way",
        "kubectl patch ujob held",
        "Nothing was cancelled.",
    ] {
        ensure!(
            finished.screen.contains(text),
            "{text}: {}",
            finished.screen
        );
    }
    let left = stage.workspace.job(&run).context("the run is there")?;
    ensure!(left.is_active());
    assert_eq!(requests(&stage, "POST", "/cancel"), 0);

    // Whoever comes back sees it end.
    let mut person = Typist::start(command(&stage, &["follow", "held"]))?;
    person.sees("Partitioner ").await?;
    let end = JobEnd::some_failed(1, 3, "too large");
    stage.workspace.finish_job(&run, end);
    let finished = person.finishes().await?;
    assert_eq!(finished.status.code(), Some(1), "{}", finished.screen);
    ensure!(
        finished.screen.contains("document-1.pdf: too large"),
        "{}",
        finished.screen
    );
    assert_eq!((jobs(&stage).await?, stage.workspace.runs(&id)), (1, 1));
    Ok(())
}
