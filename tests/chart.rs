//! The chart as it is written: what it renders, refuses and must agree with. How it runs is in `install.rs`.

mod monitoring;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};
use support::controlplane::ControlPlane;
use support::stage::Stage;
use tokio::io::AsyncWriteExt;
use unstructured_operator::crd::definitions;

pub use monitoring::exposition;

const NAMESPACE: &str = "unstructured-operator";

/// The chart's directory.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/unstructured-operator")
}

/// Runs `helm` and returns what it printed.
pub async fn helm(plane: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let output = plane.helm().args(arguments).output().await?;
    if !output.status.success() {
        bail!(
            "helm {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// What the chart renders with an image that it takes for published.
async fn template(plane: &ControlPlane, namespace: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let chart = chart().display().to_string();
    let published = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/chart/published-values.yaml"
    );
    let fixed = [
        "template",
        "unstructured-operator",
        &chart,
        "-n",
        namespace,
        "-f",
        published,
    ];
    let rendered = helm(plane, &[&fixed, arguments].concat()).await?;
    documents(&rendered)
}

/// The documents of a rendered chart.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(yaml).map(Value::deserialize);
    let documents: Vec<_> = documents.collect::<Result<_, _>>()?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

pub fn read(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Puts an object into a namespace, unless it names one or belongs to the cluster.
fn place(object: &mut Value, namespace: &str) {
    const CLUSTER_SCOPED: [&str; 4] = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Namespace",
    ];
    let metadata = &mut object["metadata"];
    if metadata["namespace"].is_null() {
        metadata["namespace"] = json!(namespace);
    }
    if CLUSTER_SCOPED.iter().any(|kind| object["kind"] == *kind)
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
}

/// The names of the values files that CI renders, with their paths.
pub fn examples() -> Result<Vec<String>> {
    let entries = std::fs::read_dir(chart().join("ci"))?;
    let paths = entries.map(|entry| Ok(entry?.path().display().to_string()));
    let paths: Vec<_> = paths.collect::<Result<_>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.ends_with("-values.yaml"))
        .collect())
}

#[tokio::test]
async fn helm_finds_nothing_to_complain_about() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let chart = chart().display().to_string();
    helm(plane, &["lint", "--strict", &chart]).await?;
    for values in examples()? {
        helm(plane, &["lint", "--strict", &chart, "-f", &values]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn everything_it_can_render_is_accepted_under_the_restricted_standard() -> Result<()> {
    let stage = crate::stage().await?;
    let namespace = stage.namespace.as_str();
    restrict(&stage).await?;
    for (kind, plural) in [
        ("ServiceMonitor", "servicemonitors"),
        ("PrometheusRule", "prometheusrules"),
    ] {
        define(&stage, kind, plural).await?;
    }
    for values in examples()? {
        let mut rendered = template(stage.plane, namespace, &["-f", &values]).await?;
        ensure!(!rendered.is_empty(), "{values} renders nothing");
        let pods: Vec<_> = rendered
            .iter()
            .filter(|object| object["kind"] == "Deployment")
            .map(pod)
            .collect();
        ensure!(pods.len() == 1, "{values}: {} workloads", pods.len());
        rendered.extend(pods);
        for object in &mut rendered {
            place(object, namespace);
        }
        dry_run(stage.plane, &rendered)
            .await
            .with_context(|| values.clone())?;
    }
    Ok(())
}

/// The pod that a Deployment would make, under an account that exists: the standard is enforced on pods only.
fn pod(deployment: &Value) -> Value {
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("probe");
    pod["spec"]["serviceAccountName"] = json!("default");
    pod
}

async fn restrict(stage: &Stage) -> Result<()> {
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(stage.client.clone());
    let labels =
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    namespaces
        .patch(
            &stage.namespace,
            &PatchParams::default(),
            &Patch::Merge(labels),
        )
        .await?;
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(stage.client.clone(), &stage.namespace);
    while accounts.get_opt("default").await?.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Stands for a definition of the Prometheus operator.
async fn define(stage: &Stage, kind: &str, plural: &str) -> Result<()> {
    let api = Api::<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition>::all(
        stage.client.clone(),
    );
    let name = format!("{plural}.monitoring.coreos.com");
    let definition = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": {
            "group": "monitoring.coreos.com",
            "names": { "kind": kind, "plural": plural },
            "scope": "Namespaced",
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    }))?;
    match api.create(&PostParams::default(), &definition).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        answer => drop(answer?),
    }
    let established = kube::runtime::wait::conditions::is_crd_established();
    kube::runtime::wait::await_condition(api, &name, established).await?;
    Ok(())
}

async fn dry_run(plane: &ControlPlane, objects: &[Value]) -> Result<()> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let mut kubectl = plane
        .kubectl()
        .args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
        ])
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = kubectl.stdin.take().context("a pipe")?;
    input.write_all(&serde_json::to_vec(&list)?).await?;
    drop(input);
    let output = kubectl.wait_with_output().await?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && !complaints.contains("Warning"),
        "{complaints}"
    );
    Ok(())
}

#[tokio::test]
async fn confined_to_namespaces_it_can_do_without_anything_cluster_scoped() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let values = chart().join("ci/confined-values.yaml");
    let rendered = template(plane, NAMESPACE, &["-f", &values.display().to_string()]).await?;
    let kinds: BTreeSet<_> = rendered
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect();
    let scoped = BTreeSet::from([
        "Deployment",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    ]);
    assert_eq!(kinds, scoped);
    Ok(())
}

#[tokio::test]
async fn the_definition_it_installs_is_the_one_that_the_operator_knows() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let rendered = template(plane, NAMESPACE, &[]).await?;
    for definition in definitions() {
        let name = definition.metadata.name.as_deref().unwrap_or_default();
        let mut installed = rendered.iter().filter(|object| {
            object["kind"] == "CustomResourceDefinition" && object["metadata"]["name"] == name
        });
        let mut installed = installed
            .next()
            .with_context(|| format!("the chart does not render {name}"))?
            .clone();
        let metadata = installed["metadata"].as_object_mut().context("metadata")?;
        metadata.remove("labels");
        let installed: CustomResourceDefinition = serde_json::from_value(installed)?;
        assert_eq!(installed, definition);
    }
    Ok(())
}

#[test]
fn its_versions_are_those_of_the_operator() -> Result<()> {
    let chart: Value = serde_yaml::from_str(&read("charts/unstructured-operator/Chart.yaml")?)?;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(chart["version"], version);
    assert_eq!(chart["appVersion"], version);
    let images = chart["annotations"]["artifacthub.io/images"]
        .as_str()
        .unwrap_or_default();
    assert!(images.contains(&format!(":{version}\n")), "{images}");
    Ok(())
}

/// `UPDATE=1` writes the manifest instead.
#[tokio::test]
async fn the_plain_manifest_is_what_the_chart_renders() -> Result<()> {
    const MANIFEST: &str = "examples/install.yaml";
    let plane = ControlPlane::shared().await?;
    let without = ["--set", "crds.install=false"];
    let fresh = plain(template(plane, NAMESPACE, &without).await?)?;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(MANIFEST), &fresh)?;
    }
    assert_eq!(
        read(MANIFEST)?,
        fresh,
        "run the test again with UPDATE=1 and commit {MANIFEST}"
    );
    Ok(())
}

/// The objects as one file for those who do not use Helm: with a namespace of their own and without Helm's marks.
fn plain(objects: Vec<Value>) -> Result<String> {
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
    });
    let mut text = String::from(
        "# unstructured-operator for all namespaces, rendered from its chart. Apply the CRDs first:\n#\n\
         #   kubectl apply --server-side -f crds/\n\
         #   kubectl apply --server-side -f examples/install.yaml\n#\n\
         # Deleting what this file installs keeps the CRDs, every resource and every connector. Name your own image, as\n\
         # docs/operations.md explains under \"Build and push the image\". Every resource must then name its workspace under\n\
         # spec.workspace. All other choices are in the chart.\n",
    );
    for mut object in std::iter::once(namespace).chain(objects) {
        place(&mut object, NAMESPACE);
        for metadata in ["/metadata", "/spec/template/metadata"] {
            if let Some(labels) = object
                .pointer_mut(&format!("{metadata}/labels"))
                .and_then(Value::as_object_mut)
            {
                labels.retain(|name, _| {
                    name != "helm.sh/chart" && name != "app.kubernetes.io/managed-by"
                });
            }
        }
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(&object)?);
    }
    Ok(text)
}
