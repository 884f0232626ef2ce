//! What is printed to be typed is typed: the `next` of each finding of `doctor` repairs what it is about, the wait of the page on
//! rotation waits, and manifests are read by `kubectl`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::fake::Fault;
use support::fake::unstructured::{CheckScript, Route, answers};
use support::stage::{
    API_KEY, APP_KEY, APP_SECRET, PATIENCE, PINECONE_KEY, REFRESH_TOKEN, Stage, condition,
    eventually, kind, source_id,
};

use crate::{OPERATOR, stage, stage_apart};

mod pipeline;

const RECONCILE_AT: &str = "connectors.unstructured.io/reconcile-at";
const CODE: &str = "authorization-code-7d20e4";
const DEFINITION: &str = "dropboxsources.connectors.unstructured.io";

/// Types a line into a shell that has `kubectl`, the operator's binary and what answers a login.
async fn types(stage: &Stage, line: &str) -> Result<Output> {
    let bin = stage.directory().join("bin");
    if !bin.exists() {
        fs::create_dir(&bin)?;
        symlink(OPERATOR, bin.join("unstructured-operator"))?;
        let kubectl = stage.plane.kubectl();
        let kubectl = kubectl.as_std();
        let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args());
        let words: Vec<_> = words.map(|word| format!("'{}'", word.display())).collect();
        let script = bin.join("kubectl");
        fs::write(
            &script,
            format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
        )?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    stage
        .dropbox
        .offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    let environment = stage.settings.environment.iter();
    let output = tokio::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", line])
        .current_dir(stage.directory())
        .env_clear()
        .env("KUBE_EDITOR", "sed -i s,dropbox://gone,dropbox://data,")
        .envs(environment.map(|(name, value)| (name, value)))
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("DROPBOX_APP_KEY", APP_KEY)
        .env("DROPBOX_APP_SECRET", APP_SECRET)
        .env("DROPBOX_CODE", CODE)
        .stdin(Stdio::null())
        .output();
    Ok(output.await?)
}

/// Types a line that has to work.
async fn succeeds(stage: &Stage, line: &str) -> Result<String> {
    let output = types(stage, line).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{line}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
}

/// What doctor finds: its exit code, and the findings.
async fn doctor(stage: &Stage, arguments: &str) -> Result<(Option<i32>, Vec<Value>)> {
    let output = types(
        stage,
        &format!("unstructured-operator doctor -o json {arguments}"),
    )
    .await?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let findings = report["findings"].as_array().context("a list")?.clone();
    Ok((output.status.code(), findings))
}

fn about<'a>(findings: &'a [Value], check: &str) -> Option<&'a Value> {
    findings.iter().find(|finding| finding["check"] == check)
}

/// Waits until the clock shows another second than a line that was typed before has taken from it with `date +%s`.
async fn another_second() -> Result<()> {
    let second = || jiff::Timestamp::now().as_second();
    let now = second();
    eventually("another second", || (second() != now).then_some(())).await
}

/// Types what doctor says to do about a finding that is not right, and waits until it is.
async fn is_repaired(stage: &Stage, arguments: &str, check: &str) -> Result<()> {
    let (_, findings) = doctor(stage, arguments).await?;
    let finding = about(&findings, check).with_context(|| format!("{check}: {findings:#?}"))?;
    ensure!(finding["verdict"] != "right", "{finding:#}");
    let next = finding["next"].as_str().context("no next")?;
    another_second().await?;
    succeeds(stage, next).await?;
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (_, findings) = doctor(stage, arguments).await?;
        let now = about(&findings, check);
        if now.is_none_or(|finding| finding["verdict"] == "right") {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            bail!("{next} does not repair {check}: {now:#?}");
        }
    }
}

/// Without the operator's own key, doctor says how to be given it.
async fn is_repaired_by_the_key(stage: &Stage, arguments: &str) -> Result<()> {
    fs::write(stage.directory().join("key"), API_KEY)?;
    let blind = format!("UNSTRUCTURED_API_KEY= unstructured-operator doctor -o json {arguments}");
    let report: Value = serde_json::from_slice(&types(stage, &blind).await?.stdout)?;
    let findings = report["findings"].as_array().context("a list")?;
    let workspace = about(findings, "workspace").context("nothing of the workspace")?;
    assert_eq!(workspace["verdict"], "unknown");
    let next = workspace["next"].as_str().context("no next")?;
    let told = succeeds(stage, &format!("UNSTRUCTURED_API_KEY= {next}")).await?;
    ensure!(told.contains("accepts the API key"), "{told}");
    Ok(())
}

#[tokio::test]
async fn what_doctor_says_to_do_about_a_resource_repairs_it() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let tenant = "tenant-key-5d1e0042";
    stage.api.workspace(tenant);
    stage.keep_secret(tenant);
    stage.dropbox.add_folder("/data");
    stage.good_secret().await?;
    let id = stage.create_ready("contracts", json!({})).await?;
    let arguments = format!("-n {} contracts", stage.namespace);

    stage
        .secrets()
        .delete("dropbox", &DeleteParams::default())
        .await?;
    is_repaired(&stage, &arguments, "secret").await?;
    stage
        .rotate("dropbox", "refresh_token", "sl.u.an-access-token")
        .await?;
    is_repaired(&stage, &arguments, "secret").await?;
    stage
        .rotate("dropbox", "refresh_token", "a-revoked-token")
        .await?;
    is_repaired(&stage, &arguments, "dropbox").await?;
    stage.until_ready("contracts").await?;

    stage
        .workspace
        .edit(&id, |source| source.config["recursive"] = json!(true));
    is_repaired(&stage, &arguments, "connector").await?;
    stage.workspace.remove(&id);
    is_repaired(&stage, &arguments, "connector").await?;
    stage.edit("contracts", json!({ "suspend": true })).await?;
    stage.until_reason("contracts", "Suspended").await?;
    is_repaired(&stage, &arguments, "suspend").await?;
    stage.dropbox.remove_folder("/gone");
    stage
        .edit("contracts", json!({ "remoteUrl": "dropbox://gone" }))
        .await?;
    is_repaired(&stage, &arguments, "folder").await?;
    let refuses = |_: &_| CheckScript::failure("the folder cannot be read");
    stage.workspace.set_checks(refuses);
    stage.annotate("contracts", RECONCILE_AT, "once").await?;
    stage
        .until_reason("contracts", "VerificationFailed")
        .await?;
    stage
        .workspace
        .set_checks(|_| CheckScript::success_after(0));
    is_repaired(&stage, &arguments, "connection").await?;
    is_repaired_by_the_key(&stage, &arguments).await?;

    stage
        .secret("workspace", &[("other", "nothing-of-use")])
        .await?;
    fs::write(stage.directory().join("key"), tenant)?;
    let workspace = json!({
        "workspace": { "apiUrl": stage.api.url(), "apiKeySecretRef": { "name": "workspace" } },
    });
    stage.create("tenant", workspace).await?;
    let arguments = format!("-n {} tenant", stage.namespace);
    is_repaired(&stage, &arguments, "workspace").await?;
    stage
        .rotate("workspace", "api_key", "a-key-of-nobody-77")
        .await?;
    is_repaired(&stage, &arguments, "workspace").await
}

/// The findings about connectors that no resource holds, or that there is none.
pub async fn unclaimed(stage: &Stage, arguments: &str) -> Result<Vec<Value>> {
    let (_, mut findings) = doctor(stage, arguments).await?;
    findings.retain(|finding| finding["check"] == "unclaimed");
    Ok(findings)
}

#[tokio::test]
async fn a_connector_that_no_resource_holds_is_told_with_the_line_that_adopts_it() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let tenant = "tenant-key-61b20042";
    let theirs = stage.api.workspace(tenant);
    stage.keep_secret(tenant);
    let namespace = &stage.namespace;
    let credentials = [
        ("app_key", APP_KEY),
        ("app_secret", APP_SECRET),
        ("refresh_token", REFRESH_TOKEN),
    ];
    stage.good_secret().await?;
    for secret in ["left-dropbox", "leased-dropbox"] {
        stage.secret(secret, &credentials).await?;
    }
    stage.secret("workspace", &[("api_key", tenant)]).await?;
    let workspace = json!({
        "apiUrl": stage.api.url(), "apiKeySecretRef": { "name": "workspace", "key": "api_key" },
    });
    stage.create("contracts", json!({})).await?;
    stage
        .create("tenant", json!({ "workspace": workspace }))
        .await?;
    stage.until_ready("contracts").await?;
    stage.until_ready("tenant").await?;
    let arguments = format!("-n {namespace}");
    let all_right = async || -> Result<()> {
        let findings = unclaimed(&stage, &arguments).await?;
        let right = |finding: &Value| finding["verdict"] == "right";
        ensure!(
            findings.len() == 2 && findings.iter().all(right),
            "{findings:#?}"
        );
        Ok(())
    };
    all_right().await?;

    // Of another namespace, and of no resource's default name.
    for name in [
        format!("{namespace}-2.left.test"),
        format!("{namespace}.left.test.x"),
        format!("{namespace}.left.other"),
    ] {
        let config = json!({ "remote_url": "dropbox://data", "recursive": false });
        stage.workspace.insert("dropbox", &name, config);
    }
    all_right().await?;
    let config = json!({ "remote_url": "dropbox://O'Brien $(id)/2026", "recursive": true });
    let left = format!("{namespace}.left.test");
    let left = stage.workspace.insert("dropbox", &left, config);
    let config = json!({ "remote_url": "dropbox://data", "recursive": false });
    let leased = format!("{namespace}.leased.test");
    let leased = theirs.insert("dropbox", &leased, config);
    let creates = stage.creates().len();

    let findings = unclaimed(&stage, &arguments).await?;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    for id in [&left, &leased] {
        let about = |finding: &&Value| finding["message"].as_str().is_some_and(|m| m.contains(id));
        let finding = findings.iter().find(about).context("it is not told")?;
        // What was retained on purpose looks the same.
        assert_eq!(finding["verdict"], "unknown");
        succeeds(&stage, finding["next"].as_str().context("no next")?).await?;
    }

    for (name, id) in [("left", &left), ("leased", &leased)] {
        let ready = stage.until_ready(name).await?;
        assert_eq!(source_id(&ready), Some(id.as_str()));
    }
    let adopted = stage.sources().get("left").await?;
    assert_eq!(
        adopted.data["spec"]["remoteUrl"],
        "dropbox://O'Brien $(id)/2026"
    );
    assert_eq!(adopted.data["spec"]["recursive"], true);
    let adopted = stage.sources().get("leased").await?;
    assert_eq!(adopted.data["spec"]["workspace"], workspace);
    assert_eq!(stage.creates().len(), creates, "none was added");
    all_right().await
}

#[tokio::test]
async fn who_may_not_see_other_namespaces_is_told_so_of_what_no_resource_holds() -> Result<()> {
    let mut stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let held = stage.create_ready("contracts", json!({})).await?;
    let left = format!("{}.left.test", stage.namespace);
    let config = json!({ "remote_url": "dropbox://data", "recursive": false });
    let left = stage.workspace.insert("dropbox", &left, config);
    let rules = json!([
        { "apiGroups": ["connectors.unstructured.io"], "resources": ["*"], "verbs": ["get", "list"] },
        { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] },
    ]);
    let kubeconfig = crate::terminal::user(&stage, "reads-here", rules).await?;
    stage.set("KUBECONFIG", kubeconfig.to_str().context("a path")?);

    let findings = unclaimed(&stage, &format!("-n {}", stage.namespace)).await?;
    let told: Vec<_> = findings
        .iter()
        .filter_map(|finding| finding["message"].as_str())
        .collect();
    assert!(
        matches!(told.as_slice(), [one] if one.contains(&left) && one.contains("that you may see")),
        "{told:#?}"
    );
    assert!(!told[0].contains(&held), "{told:#?}");
    Ok(())
}

#[tokio::test]
async fn who_is_told_to_delete_a_resource_is_told_what_becomes_of_its_connector() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0042")])
        .await?;
    let workspace = json!({
        "apiUrl": "https://169.254.169.254/latest", "apiKeySecretRef": { "name": "workspace" },
    });
    stage
        .create("contracts", json!({ "workspace": workspace }))
        .await?;
    let arguments = format!("-n {} contracts", stage.namespace);
    let next = async || -> Result<String> {
        let (_, findings) = doctor(&stage, &arguments).await?;
        let finding = about(&findings, "workspace").context("nothing of the workspace")?;
        Ok(finding["next"].as_str().context("no next")?.to_owned())
    };
    let said = next().await?;
    let (said, line) = said
        .split_once("before you delete: ")
        .context(said.clone())?;
    ensure!(said.contains("That deletes its connector too"), "{said}");
    succeeds(&stage, line).await?;
    let said = next().await?;
    ensure!(said.contains("its connector stays"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_doctor_says_to_do_about_the_definition_repairs_it_and_a_missing_one_is_said_once()
-> Result<()> {
    let stage = stage_apart().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    let arguments = format!("-n {}", stage.namespace);
    definitions
        .delete(DEFINITION, &DeleteParams::default())
        .await?;
    while definitions.get_opt(DEFINITION).await?.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let mut operator = support::operator::Operator::start(&stage.settings).await?;
    let watched = "unstructured_operator_watch_errors_total{watch=\"resources\"}";
    while operator.metric(watched).await? < 4.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = operator.output();
    assert_eq!(
        said.matches("DropboxSource is not installed: ").count(),
        1,
        "{said}"
    );
    let login = "unstructured-operator login dropbox --apply --folder data";
    let refused = types(&stage, login).await?;
    let line = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(1), "{line}");
    assert!(
        line.starts_with("error: DropboxSource is not installed: "),
        "{line}"
    );

    is_repaired(&stage, &arguments, "crd").await?;
    operator.ready().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;

    let old = json!([{ "op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/suspend" }]);
    let patch: Patch<Value> = Patch::Json(serde_json::from_value(old)?);
    definitions
        .patch(DEFINITION, &PatchParams::default(), &patch)
        .await?;
    is_repaired(&stage, &arguments, "crd").await?;

    // All namespaces, too, while this cluster is ours alone.
    let (_, findings) = doctor(&stage, "--all-namespaces").await?;
    let subject = format!("DropboxSource {}/contracts", stage.namespace);
    assert!(
        findings.iter().any(|f| f["subject"] == subject.as_str()),
        "{findings:#?}"
    );
    Ok(())
}

/// A Lease of an operator that works on this namespace, renewed so long ago.
fn lease(name: &str, holder: &str, namespace: &str, ago: Duration) -> Result<Lease> {
    let renewed = jiff::Timestamp::now() - ago;
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "labels": { "app.kubernetes.io/name": "unstructured-operator" },
            "annotations": { "connectors.unstructured.io/watches": namespace },
        },
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 15,
            "renewTime": format!("{renewed:.6}"), "acquireTime": format!("{renewed:.6}"),
        },
    }))?)
}

#[tokio::test]
async fn an_operator_that_does_not_work_and_one_too_many_are_told() -> Result<()> {
    let stage = stage().await?;
    let arguments = format!("-n {}", stage.namespace);
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let told = async |words: &str| -> Result<()> {
        let (code, findings) = doctor(&stage, &arguments).await?;
        let operator = about(&findings, "operator").context("nothing of the operator")?;
        let message = operator["message"].as_str().unwrap_or_default();
        ensure!(
            code == Some(1) && operator["verdict"] == "wrong",
            "{operator:#}"
        );
        ensure!(message.contains(words), "{words}: {message}");
        succeeds(&stage, operator["next"].as_str().context("no next")?).await?;
        Ok(())
    };
    let params = PostParams::default();
    told("no operator has a Lease").await?;
    let killed = lease("killed", "pod-1", &stage.namespace, Duration::from_mins(1))?;
    leases.create(&params, &killed).await?;
    told(&format!(
        "nobody renews the Lease {}/killed",
        stage.namespace
    ))
    .await?;
    for name in ["one", "two"] {
        let lease = lease(name, name, &stage.namespace, Duration::ZERO)?;
        leases.create(&params, &lease).await?;
    }
    told("several operators work on the same resources: ").await?;

    let (code, findings) = doctor(&stage, "-n nowhere").await?;
    assert_eq!(code, Some(1));
    let namespace = about(&findings, "namespace").context("nothing of the namespace")?;
    assert_eq!(namespace["message"], "the namespace nowhere does not exist");
    assert_eq!(namespace["next"], "kubectl create namespace nowhere");
    Ok(())
}

#[tokio::test]
async fn work_under_way_is_not_wrong_and_a_failure_before_the_first_look_is_json_too() -> Result<()>
{
    let mut stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.dropbox.add_folder("/data");
    stage.workspace.set_checks(|_| CheckScript::never());
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_reason("contracts", "Checking").await?;
    let (code, findings) = doctor(&stage, &format!("-n {} contracts", stage.namespace)).await?;
    let status = about(&findings, "status").context("no status")?;
    assert_eq!(status["verdict"], "unknown", "{findings:#?}");
    assert_eq!(code, Some(0), "{findings:#?}");

    let kubeconfig = stage.plane.kubeconfig_path().display().to_string();
    stage.set("KUBECONFIG", "/nowhere");
    let (code, findings) = doctor(&stage, "").await?;
    assert_eq!(code, Some(1));
    let start = about(&findings, "start").context("no start")?;
    assert!(
        start["message"]
            .as_str()
            .is_some_and(|m| m.starts_with("no Kubernetes cluster found"))
    );
    let named = format!("--kubeconfig {kubeconfig} -n {} contracts", stage.namespace);
    let (_, findings) = doctor(&stage, &named).await?;
    assert!(about(&findings, "connector").is_some(), "{findings:#?}");
    Ok(())
}

/// A laptop, or a second installation: where neither stands by for the other, the second does not start.
#[tokio::test]
async fn an_operator_does_not_start_beside_one_that_works_on_the_same_resources() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let elsewhere = types(&stage, "POD_NAMESPACE=default unstructured-operator run").await?;
    let said = String::from_utf8(elsewhere.stderr)?;
    assert_eq!(elsewhere.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains("works on the same resources already"),
        "{said}"
    );
    assert!(
        last.contains(&format!("POD_NAMESPACE={}", stage.namespace)),
        "{said}"
    );
    Ok(())
}

/// The commands of the page on rotation that wait, for this namespace.
fn waits(namespace: &str, timeout: &str) -> Result<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/rotate.md");
    let page = fs::read_to_string(page)?;
    let mut blocks = page
        .split("```sh\n")
        .filter_map(|rest| rest.split_once("```"));
    let (block, _) = blocks
        .find(|(block, _)| block.contains("lastHandledReconcileAt"))
        .context("the page does not wait")?;
    Ok(block
        .replace("legal", namespace)
        .replace("--timeout=2m", &format!("--timeout={timeout}")))
}

#[tokio::test]
async fn the_wait_of_a_rotation_ends_when_it_is_sent_and_not_before() -> Result<()> {
    let stage = stage().await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let slow = Fault::none().after(Duration::from_millis(700)).always();
    for route in [
        Route::List,
        Route::Get,
        Route::Update,
        Route::StartCheck,
        Route::LatestCheck,
    ] {
        stage.api.inject(route, slow.clone());
    }
    for token in ["rotated-token-1", "rotated-token-2"] {
        stage.dropbox.accept(APP_KEY, APP_SECRET, token);
        stage.rotate("dropbox", "refresh_token", token).await?;
        succeeds(&stage, &waits(&stage.namespace, "1m")?).await?;
        let sources = stage.workspace.sources();
        assert_eq!(sources[0].config["refresh_token"], token);
    }
    assert!(operator.stop().await?.success());
    stage
        .rotate("dropbox", "refresh_token", "rotated-token-3")
        .await?;
    let waited = types(&stage, &waits(&stage.namespace, "2s")?).await?;
    assert!(!waited.status.success(), "{waited:?}");
    Ok(())
}

/// What YAML 1.1, which `kubectl` reads, takes for a truth, a number, a date or nothing.
#[tokio::test]
async fn kubectl_reads_what_is_written_as_what_was_meant() -> Result<()> {
    let stage = stage().await?;
    let words = [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "null",
        "true",
        "0x1f",
        "0b11",
        "010",
        "1e3",
        "2026-01-01",
        "12",
    ];
    for word in words {
        let config = json!({ "remote_url": format!("dropbox://{word}"), "recursive": false });
        stage.workspace.insert("dropbox", word, config);
    }
    let import = "unstructured-operator import --secret-name 0x1f";
    succeeds(
        &stage,
        &format!("{import} | kubectl apply -n {} -f -", stage.namespace),
    )
    .await?;
    for word in words {
        let source = stage.sources().get(word).await?;
        assert_eq!(
            source.data["spec"]["remoteUrl"],
            format!("dropbox://{word}")
        );
        assert_eq!(
            source.data["spec"]["credentials"]["secretRef"]["name"],
            "0x1f"
        );
    }
    for (number, folder) in ["on", "0o17", "1_000", "~", "a: b #c", "- x"]
        .into_iter()
        .enumerate()
    {
        let token = ["no", "1e3", "0x1F", "010", "~", "2026-01-01"][number];
        stage.dropbox.add_folder(&format!("/{folder}"));
        stage.dropbox.offer_code("0777", "1e9", "code", token);
        let login = format!(
            "DROPBOX_CODE=code DROPBOX_APP_SECRET=1e9 unstructured-operator login dropbox --app-key 0777 --folder='{folder}' \
             --name written-{number} --output - | kubectl apply -n {} -f -",
            stage.namespace
        );
        succeeds(&stage, &login).await?;
        let source = stage.sources().get(&format!("written-{number}")).await?;
        assert_eq!(
            source.data["spec"]["remoteUrl"],
            format!("dropbox://{folder}")
        );
        let secret = stage
            .secrets()
            .get(&format!("written-{number}-dropbox"))
            .await?;
        let data = secret.data.context("data")?;
        assert_eq!(data["refresh_token"].0, token.as_bytes());
        assert_eq!(data["app_key"].0, b"0777");
    }
    Ok(())
}

/// Logs are queried by fields. What Rust prints for its programmers is no field.
#[tokio::test]
async fn a_log_names_effects_and_failures_by_words() -> Result<()> {
    let mut stage = stage().await?;
    stage.set("LOG_LEVEL", "info");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.api.inject(
        Route::Create,
        Fault::answer(answers::too_many_requests(Some("1"))).times(1),
    );
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let output = operator.output();
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed: Vec<_> = lines
        .clone()
        .filter(|line| line["message"] == "an effect failed")
        .collect();
    let first = failed.first().with_context(|| output.clone())?;
    assert_eq!(first["effect"], "create");
    assert_eq!(first["error"], "rate_limited");
    assert!(
        first["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    for line in lines {
        let debug = ["{ ", "Some(", "Instant", "Api {"];
        let values = line.as_object().context("an object")?.values();
        let shown = values.filter_map(Value::as_str);
        for value in shown {
            assert!(!debug.iter().any(|mark| value.contains(mark)), "{value}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_changed_is_created_anew_and_a_misspelt_name_is_looked_up() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let nowhere = "7cf30ead-cf54-479f-a897-b5fbe8790b76";
    for (name, spec, reason) in [
        (
            "reserved",
            json!({ "connectorName": "a.b.test" }),
            "InvalidConfiguration",
        ),
        (
            "absent",
            json!({ "existingSourceId": nowhere }),
            "SourceNotFound",
        ),
    ] {
        stage.create(name, spec).await?;
        stage.until_reason(name, reason).await?;
        let (_, findings) = doctor(&stage, &format!("-n {} {name}", stage.namespace)).await?;
        let next = about(&findings, "status").context("the status")?["next"].to_string();
        ensure!(next.contains("a new resource with"), "{next}");
    }
    let (_, findings) = doctor(&stage, &format!("-n {} absnet", stage.namespace)).await?;
    let next = about(&findings, "resource").context("the resource")?["next"].as_str();
    let listed = succeeds(&stage, next.context("a line")?).await?;
    ensure!(listed.contains("absent"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn pinecone_is_asked_and_commands_keep_the_cluster_that_was_given() -> Result<()> {
    let mut stage = stage().await?;
    stage.kind = kind("PineconeDestination");
    let _operator = stage.operator().await?;
    stage
        .secret("pinecone", &[("api_key", PINECONE_KEY)])
        .await?;
    let spec = json!({
        "indexName": "nosuchindex",
        "credentials": { "secretRef": { "name": "pinecone" } },
    });
    stage.create_plain("index", &spec).await?;
    stage
        .until("index", |index| {
            condition(index, "Ready").is_some_and(|ready| ready["status"] == "True")
        })
        .await?;
    let config = stage.plane.kubeconfig_path().display().to_string();
    let (code, findings) = doctor(
        &stage,
        &format!("-n {} index --kubeconfig {config}", stage.namespace),
    )
    .await?;
    assert_eq!(code, Some(1));
    let index = about(&findings, "pinecone").context("what Pinecone says")?;
    ensure!(
        index["message"].to_string().contains("nosuchindex"),
        "{index}"
    );
    let next = index["next"].to_string();
    ensure!(
        next.contains(&format!("kubectl --kubeconfig {config} ")),
        "{next}"
    );
    Ok(())
}
