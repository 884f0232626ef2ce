//! What `GitOps` tools make of a resource: Argo CD by the health check that is shipped, Flux and Helm by kstatus, which is run
//! for real: it is what `helm --wait` asks.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib};
use serde_json::{Value, json};
use support::controlplane::ControlPlane;
use support::stage::{Stage, condition, manifest};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use unstructured_operator::crd;

fn argocd() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/argocd")
}

fn customization() -> PathBuf {
    argocd().join("resource_customizations/connectors.unstructured.io/DropboxSource")
}

fn yaml(path: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_yaml::from_str(&text)?)
}

/// Argo CD's verdict: status and message. Its interpreter offers the basic functions, `package` and `table` to a health check.
fn health(object: &Value) -> Result<(String, String)> {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::PACKAGE, LuaOptions::default())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let verdict: mlua::Result<Value> = (|| {
        let without_null = SerializeOptions::new()
            .serialize_none_to_null(false)
            .serialize_unit_to_null(false);
        lua.globals()
            .set("obj", lua.to_value_with(object, without_null)?)?;
        let script = std::fs::read_to_string(customization().join("health.lua"))
            .map_err(mlua::Error::external)?;
        let health: mlua::Value = lua.load(script).eval()?;
        lua.from_value(health)
    })();
    let verdict = verdict.map_err(|error| anyhow::anyhow!("{error}"))?;
    let text = |member: &str| verdict[member].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("message")))
}

#[test]
fn argocds_own_tests_of_the_health_check_pass() -> Result<()> {
    let tests = yaml(&customization().join("health_test.yaml"))?;
    let tests = tests["tests"].as_array().context("tests")?;
    assert!(tests.len() >= 7);
    for test in tests {
        let input = test["inputPath"].as_str().context("inputPath")?;
        let expected = &test["healthStatus"];
        let (status, message) = health(&yaml(&customization().join(input))?)?;
        assert_eq!(status, expected["status"], "{input}");
        assert_eq!(message, expected["message"], "{input}");
    }
    Ok(())
}

#[test]
fn the_config_map_holds_the_same_health_check_for_every_kind() -> Result<()> {
    let map = yaml(&argocd().join("argocd-cm.yaml"))?;
    let script = std::fs::read_to_string(customization().join("health.lua"))?;
    for kind in &crd::ALL {
        let key = format!(
            "resource.customizations.health.{}_{}",
            crd::GROUP,
            kind.name
        );
        assert_eq!(map["data"][&key], script, "{key}");
    }
    let keys = map["data"].as_object().context("data")?.len();
    assert_eq!(keys, crd::ALL.len());
    Ok(())
}

/// Every state of the stage's resources that the API server announced.
struct History {
    states: Arc<Mutex<Vec<DynamicObject>>>,
    task: JoinHandle<()>,
}

impl History {
    fn begin(stage: &Stage) -> Self {
        let states = Arc::<Mutex<Vec<_>>>::default();
        let announced = states.clone();
        let watch = watcher(stage.sources(), watcher::Config::default()).applied_objects();
        let task = tokio::spawn(watch.for_each(move |object| {
            if let (Ok(object), Ok(mut states)) = (object, announced.lock()) {
                states.push(object);
            }
            std::future::ready(())
        }));
        Self { states, task }
    }

    fn of(&self, name: &str) -> Vec<DynamicObject> {
        let states = self.states.lock().map(|states| states.clone());
        let states = states.unwrap_or_default();
        states
            .into_iter()
            .filter(|state| state.name_any() == name)
            .collect()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The verdicts on a history, each once as long as it lasts.
fn verdicts(history: &[DynamicObject]) -> Result<Vec<String>> {
    let mut verdicts = Vec::new();
    for state in history {
        verdicts.push(health(&serde_json::to_value(state)?)?.0);
    }
    verdicts.dedup();
    Ok(verdicts)
}

#[tokio::test]
async fn argocd_sees_progress_first_and_then_the_truth() -> Result<()> {
    let stage = crate::stage().await?;
    let history = History::begin(&stage);
    stage.good_secret().await?;
    stage.create("good", json!({})).await?;
    unusable(&stage).await?;
    let secret = json!({ "credentials": { "secretRef": { "name": "unusable" } } });
    stage.create("bad", secret).await?;
    let _operator = stage.operator().await?;
    stage.until_ready("good").await?;
    stage.until_reason("bad", "SecretInvalid").await?;
    assert_eq!(verdicts(&history.of("good"))?, ["Progressing", "Healthy"]);
    assert_eq!(verdicts(&history.of("bad"))?, ["Progressing", "Degraded"]);

    stage.edit("good", json!({ "suspend": true })).await?;
    let suspended = stage.until_reason("good", "Suspended").await?;
    let (status, message) = health(&serde_json::to_value(&suspended)?)?;
    assert_eq!(status, "Healthy", "{message}");
    stage.edit("good", json!({ "recursive": true })).await?;
    let unsent = stage
        .until("good", |object| condition(object, "Stalled").is_some())
        .await?;
    let (status, message) = health(&serde_json::to_value(&unsent)?)?;
    assert_eq!(status, "Degraded");
    assert!(message.contains("spec.suspend"), "{message}");
    Ok(())
}

/// A Secret that no waiting makes right.
async fn unusable(stage: &Stage) -> Result<()> {
    let values = [("app_key", ""), ("app_secret", ""), ("refresh_token", "")];
    stage.secret("unusable", &values).await
}

/// Installs a chart with one resource and waits as Helm does, which is as Flux does.
async fn helm_waits(stage: &Stage, name: &str, spec: Value, patience: &str) -> Result<()> {
    let chart = stage.directory().join(name);
    std::fs::create_dir_all(chart.join("templates"))?;
    let source = serde_json::to_string(&manifest(name, spec))?;
    std::fs::write(chart.join("templates/source.yaml"), source)?;
    let about = json!({ "apiVersion": "v2", "name": name, "version": "0.1.0" });
    std::fs::write(chart.join("Chart.yaml"), about.to_string())?;
    let output = stage
        .plane
        .helm()
        .args(["install", name, "-n", &stage.namespace])
        .arg(&chart)
        .args(["--wait", "--timeout", patience])
        .output()
        .await?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[tokio::test]
async fn kstatus_waits_for_the_truth_and_fails_what_is_stalled() -> Result<()> {
    let stage = crate::stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    helm_waits(&stage, "good", json!({}), "60s").await?;
    let installed = stage.sources().get("good").await?;
    let ready = condition(&installed, "Ready").context("no Ready")?;
    assert_eq!(ready["status"], "True", "Helm did not wait: {ready}");

    unusable(&stage).await?;
    let spec = json!({ "credentials": { "secretRef": { "name": "unusable" } } });
    let error = helm_waits(&stage, "bad", spec, "10s")
        .await
        .err()
        .context("Helm took a stalled resource for ready")?
        .to_string();
    assert!(
        error.contains("Failed") && error.contains("unusable"),
        "{error}"
    );
    Ok(())
}

/// Runs `kubectl` on a manifest; returns its exit code and what it printed.
async fn kubectl(stage: &Stage, arguments: &[&str], manifest: &Value) -> Result<(i32, String)> {
    let mut child = stage
        .plane
        .kubectl()
        .args(arguments)
        .args(["-n", &stage.namespace, "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("a pipe")?;
    input.write_all(&serde_json::to_vec(manifest)?).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    let printed = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&printed).into_owned(),
    ))
}

#[tokio::test]
async fn what_was_applied_is_never_out_of_sync() -> Result<()> {
    let stage = crate::stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    for (name, flags) in [
        (
            "flux",
            &["--server-side", "--field-manager=kustomize-controller"][..],
        ),
        (
            "argocd",
            &["--server-side", "--field-manager=argocd-controller"],
        ),
        ("client-side", &[]),
    ] {
        let folder = format!("dropbox://{name}");
        let wanted = serde_json::to_value(manifest(name, json!({ "remoteUrl": folder })))?;
        let (code, printed) = kubectl(&stage, &[&["apply"], flags].concat(), &wanted).await?;
        ensure!(code == 0, "{printed}");
        let ready = stage.until_ready(name).await?;

        let (code, printed) = kubectl(&stage, &[&["diff"], flags].concat(), &wanted).await?;
        assert_eq!(code, 0, "{name}: kubectl diff sees: {printed}");
        assert_eq!(
            ready.metadata.generation,
            Some(1),
            "{name}: the spec was written"
        );
        for entry in ready.managed_fields() {
            let fields = serde_json::to_string(&entry.fields_v1)?;
            let manager = entry.manager.as_deref().unwrap_or_default();
            if manager.starts_with("unstructured") {
                assert!(!fields.contains("f:spec"), "{manager} owns {fields}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn with_the_kustomize_configuration_every_name_follows_a_prefix_and_a_hash() -> Result<()> {
    const PIPELINE: &str = "
apiVersion: v1
kind: Secret
metadata: {name: kept}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: DropboxSource
metadata: {name: folder}
spec:
  credentials: {secretRef: {name: generated}}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: UnstructuredSource
metadata: {name: bucket}
spec:
  workspace: {apiKeySecretRef: {name: kept}}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: PineconeDestination
metadata: {name: index}
spec:
  credentials: {secretRef: {name: generated}}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: UnstructuredDestination
metadata: {name: table}
spec:
  workspace: {apiKeySecretRef: {name: kept}}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: UnstructuredWorkflow
metadata: {name: from-folder}
spec:
  sourceRef: {kind: DropboxSource, name: folder}
  destinationRef: {kind: PineconeDestination, name: index}
  nodes:
    - name: Partitioner
    - name: Embedder
      secretSettings:
        provider_api_key: {name: generated, key: api_key}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: UnstructuredWorkflow
metadata: {name: from-bucket}
spec:
  sourceRef: {kind: UnstructuredSource, name: bucket}
  destinationRef: {kind: UnstructuredDestination, name: table}
  workspace: {apiKeySecretRef: {name: kept}}
---
apiVersion: connectors.unstructured.io/v1alpha1
kind: UnstructuredJob
metadata: {name: once}
spec:
  workflowRef: {name: from-folder}
";
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kustomizeconfig.yaml");
    let directory = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
    std::fs::copy(configuration, directory.path().join("kustomizeconfig.yaml"))?;
    write("pipeline.yaml", PIPELINE)?;
    write("api_key", "key")?;
    write(
        "kustomization.yaml",
        "namePrefix: team-\nresources: [pipeline.yaml]\nconfigurations: [kustomizeconfig.yaml]\n\
         secretGenerator: [{name: generated, files: [api_key]}]\n",
    )?;
    let plane = ControlPlane::shared().await?;
    let mut kubectl = plane.kubectl();
    let output = kubectl
        .arg("kustomize")
        .arg(directory.path())
        .output()
        .await?;
    let rendered = String::from_utf8(output.stdout)?;
    let names: Vec<_> = rendered
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("name: "))
        .filter(|name| !matches!(*name, "Partitioner" | "Embedder"))
        .collect();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(names.len(), 20, "{rendered}{complaints}");
    for name in names {
        assert!(name.starts_with("team-"), "{name}: {rendered}");
        let hashed = name.strip_prefix("team-generated");
        assert!(hashed.is_none_or(|hash| hash.starts_with('-')), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_kustomize_overlay_of_the_operations_page_puts_the_image_into_every_object()
-> Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(repository.join("docs/operations.md"))?;
    let overlay = page
        .split("```yaml\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains("kind: Kustomization"))
        .context("the page shows no overlay")?;
    let directory = tempfile::tempdir()?;
    let beside = directory.path().join("overlay");
    std::fs::create_dir(&beside)?;
    std::fs::write(beside.join("kustomization.yaml"), overlay)?;
    std::os::unix::fs::symlink(repository, directory.path().join("unstructured-operator"))?;
    let plane = ControlPlane::shared().await?;
    let mut kubectl = plane.kubectl();
    let output = kubectl.arg("kustomize").arg(&beside).output().await?;
    let rendered = String::from_utf8(output.stdout)?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    let expected = std::fs::read_to_string(repository.join("examples/install.yaml"))?;
    let kinds = |text: &str| {
        let mut kinds: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("kind:"))
            .map(str::to_owned)
            .collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&rendered), kinds(&expected), "{complaints}");
    let image = "image: registry.your.company/unstructured-operator@sha256:";
    assert!(rendered.contains(image), "{rendered}");
    Ok(())
}
