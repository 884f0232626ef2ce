//! Every way in which tools take the operator away: each ends, and each leaves the connectors where they are.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, RELEASE, SYSTEM, TEAM, eventually};
use crate::OPERATOR;
use crate::chart::{chart, documents, helm, read};

const DEFINITION: &str = "dropboxsources.connectors.unstructured.io";
const RESOURCES: usize = 30;

impl Cluster {
    /// As many resources as an operator that loses its rights in the midst of them cannot have let go yet.
    async fn with_resources(&self) -> Result<()> {
        for n in 0..RESOURCES {
            let folder = format!("dropbox://data/{n}");
            self.create(&format!("s{n}"), json!({ "remoteUrl": folder }))
                .await?;
        }
        for n in 0..RESOURCES {
            self.ready(&format!("s{n}")).await?;
        }
        assert_eq!(self.workspace.sources().len(), RESOURCES);
        Ok(())
    }

    async fn is_defined(&self) -> Result<bool> {
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        Ok(definitions.get_opt(DEFINITION).await?.is_some())
    }

    /// The operator is gone, and what it made is not.
    async fn is_left_in_peace(&self) -> Result<()> {
        eventually("the pods are gone", async || {
            Ok(self.kubelet.pods().is_empty().then_some(()))
        })
        .await?;
        assert_eq!(self.workspace.sources().len(), RESOURCES);
        let deletes = self.api.requests_matching("DELETE", "/api/v1/sources/");
        ensure!(deletes.is_empty(), "connectors were deleted: {deletes:?}");
        Ok(())
    }

    /// The resources are untouched and wait for an operator.
    async fn keeps_its_resources(&self) -> Result<()> {
        let resources = self.sources().list(&ListParams::default()).await?.items;
        assert_eq!(resources.len(), RESOURCES);
        let going = resources
            .iter()
            .find(|resource| resource.metadata.deletion_timestamp.is_some());
        ensure!(going.is_none(), "{going:?}");
        Ok(())
    }

    /// One `kubectl delete`, which waits until all is gone.
    async fn delete(&self, manifest: &str) -> Result<()> {
        let delete = ["delete", "-f", manifest, "--timeout=120s"];
        done(&self.kubectl(&delete).await?).with_context(|| self.kubelet.logs())
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let kubectl = self.plane.kubectl().args(arguments).output().await?;
        Ok(kubectl)
    }

    /// What a page says, to the letter, where the operator is installed from its plain manifests.
    async fn install_plainly(&self) -> Result<()> {
        let definition = root("crds");
        done(
            &self
                .kubectl(&["apply", "--server-side", "-f", &definition])
                .await?,
        )?;
        let manifest = self.plain_manifest()?;
        done(
            &self
                .kubectl(&[
                    "apply",
                    "--server-side",
                    "--force-conflicts",
                    "-f",
                    &manifest,
                ])
                .await?,
        )?;
        Ok(())
    }

    /// `examples/install.yaml`, pointed at the fakes.
    fn plain_manifest(&self) -> Result<String> {
        let mut objects = documents(&read("examples/install.yaml")?)?;
        let deployment = objects
            .iter_mut()
            .find(|object| object["kind"] == "Deployment")
            .context("no Deployment")?;
        let variables = deployment
            .pointer_mut("/spec/template/spec/containers/0/env")
            .and_then(Value::as_array_mut)
            .context("no environment")?;
        let ours = self.variables();
        variables.retain(|variable| ours.iter().all(|own| own["name"] != variable["name"]));
        variables.extend(ours);
        let path = self.directory.path().join("install.yaml");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        std::fs::write(&path, list.to_string())?;
        Ok(path.display().to_string())
    }
}

fn root(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

fn done(output: &Output) -> Result<()> {
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{complaints}");
    Ok(())
}

#[tokio::test]
async fn helm_deletes_the_definition_first_where_it_is_not_kept() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&["--set", "crds.keep=false"]).await?;
    cluster.with_resources().await?;

    let uninstall = ["uninstall", RELEASE, "-n", SYSTEM, "--wait"];
    helm(&cluster.plane, &uninstall)
        .await
        .with_context(|| cluster.kubelet.logs())?;
    ensure!(!cluster.is_defined().await?);
    cluster.is_left_in_peace().await?;
    let told = cluster.kubelet.logs();
    for source in cluster.workspace.sources() {
        let line = format!("leaves {}", source.id);
        ensure!(told.contains(&line), "the hook does not say that {line}");
    }
    for kind in ["clusterrole", "clusterrolebinding"] {
        let left = cluster.kubectl(&["get", kind, "-o", "name"]).await?;
        let left = String::from_utf8_lossy(&left.stdout).into_owned();
        ensure!(!left.contains(RELEASE), "{left}");
    }
    Ok(())
}

#[tokio::test]
async fn helm_needs_no_operator_for_it() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&["--set", "crds.keep=false"]).await?;
    cluster.with_resources().await?;
    cluster
        .deploy(
            &["upgrade", RELEASE],
            &chart(),
            &["--set", "crds.keep=false,replicaCount=0"],
        )
        .await?;
    let uninstall = ["uninstall", RELEASE, "-n", SYSTEM, "--wait"];
    helm(&cluster.plane, &uninstall)
        .await
        .with_context(|| cluster.kubelet.logs())?;
    ensure!(!cluster.is_defined().await?);
    cluster.is_left_in_peace().await
}

#[tokio::test]
async fn helm_keeps_the_definition_and_all_resources_by_default() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.with_resources().await?;
    helm(
        &cluster.plane,
        &["uninstall", RELEASE, "-n", SYSTEM, "--wait"],
    )
    .await?;
    cluster.is_left_in_peace().await?;
    cluster.keeps_its_resources().await
}

#[tokio::test]
async fn one_kubectl_delete_of_the_plain_manifest_ends_and_keeps_all_resources() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install_plainly().await?;
    cluster.with_resources().await?;

    let manifest = cluster.plain_manifest()?;
    cluster.delete(&manifest).await?;
    cluster.is_left_in_peace().await?;
    cluster.keeps_its_resources().await?;

    // And back: nothing is created again, and the resources are in the operator's hands as before.
    cluster.install_plainly().await?;
    cluster.own_key().await?;
    cluster.edit("s0", json!({ "recursive": true })).await?;
    cluster.ready("s0").await?;
    assert_eq!(cluster.workspace.sources().len(), RESOURCES);
    Ok(())
}

#[tokio::test]
async fn kubectl_deletes_the_definition_first_and_the_rest_after_it() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install_plainly().await?;
    cluster.with_resources().await?;
    for manifest in [root("crds"), cluster.plain_manifest()?] {
        cluster.delete(&manifest).await?;
    }
    ensure!(!cluster.is_defined().await?);
    cluster.is_left_in_peace().await
}

#[tokio::test]
async fn a_definition_that_goes_last_is_let_go_by_the_command() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.with_resources().await?;
    helm(
        &cluster.plane,
        &["uninstall", RELEASE, "-n", SYSTEM, "--wait"],
    )
    .await?;
    let delete = ["delete", "crd", DEFINITION, "--wait=false"];
    done(&cluster.kubectl(&delete).await?)?;

    let uninstall = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(OPERATOR);
        command
            .arg("uninstall")
            .args(arguments)
            .env("KUBECONFIG", cluster.plane.kubeconfig_path());
        command
    };
    let unsure = uninstall(&[]).output().await?;
    let complaints = String::from_utf8_lossy(&unsure.stderr).into_owned();
    assert_eq!(unsure.status.code(), Some(2), "{complaints}");
    ensure!(complaints.contains("--yes"), "{complaints}");
    ensure!(cluster.is_defined().await?);

    done(&uninstall(&["--yes"]).output().await?)?;
    ensure!(!cluster.is_defined().await?);
    cluster.is_left_in_peace().await?;
    let again = uninstall(&["--yes"]).output().await?;
    done(&again)?;
    ensure!(String::from_utf8_lossy(&again.stdout).contains("nothing to delete"));
    Ok(())
}

/// Waits until the deleted namespace is gone; then no connector is left.
async fn ends_with_nothing(cluster: &Cluster, namespaces: &Api<Namespace>) -> Result<()> {
    eventually("the namespace is gone", async || {
        Ok(namespaces.get_opt(TEAM).await?.is_none().then_some(()))
    })
    .await
    .with_context(|| cluster.kubelet.logs())?;
    assert_eq!(cluster.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn a_confined_operator_lets_the_resources_of_a_deleted_namespace_go() -> Result<()> {
    let cluster = Cluster::start().await?;
    let confined = format!("watchNamespaces={{{TEAM}}}");
    cluster.install(&["--set", &confined]).await?;
    for n in 0..3 {
        let folder = format!("dropbox://data/{n}");
        cluster
            .create(&format!("s{n}"), json!({ "remoteUrl": folder }))
            .await?;
        cluster.ready(&format!("s{n}")).await?;
    }
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete(TEAM, &DeleteParams::default()).await?;
    ends_with_nothing(&cluster, &namespaces).await
}

#[tokio::test]
async fn one_that_starts_when_the_role_is_gone_with_the_namespace_lets_them_go_too() -> Result<()> {
    let cluster = Cluster::start().await?;
    let confined = format!("watchNamespaces={{{TEAM}}}");
    cluster.install(&["--set", &confined]).await?;
    // What has a name of its own needs the word of all others before its connector is deleted.
    let plain = json!({ "remoteUrl": "dropbox://plain" });
    let named = json!({ "remoteUrl": "dropbox://named", "connectorName": "contracts" });
    for (name, spec) in [("plain", plain), ("named", named)] {
        cluster.create(name, spec).await?;
        cluster.ready(name).await?;
    }
    let scale = async |replicas: &str| {
        let deployment = format!("deployment/{RELEASE}");
        done(
            &cluster
                .kubectl(&["scale", &deployment, "-n", SYSTEM, "--replicas", replicas])
                .await?,
        )
    };
    scale("0").await?;
    eventually("no operator runs", async || {
        Ok(cluster.kubelet.pods().is_empty().then_some(()))
    })
    .await?;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.delete(TEAM, &DeleteParams::default()).await?;
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.client.clone(), TEAM);
    eventually("the Role is gone", async || {
        let left = bindings.list(&ListParams::default()).await?.items;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    assert_eq!(cluster.workspace.sources().len(), 2);

    scale("1").await?;
    ends_with_nothing(&cluster, &namespaces).await
}
