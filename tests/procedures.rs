//! The procedures of `docs/operations.md`, carried out to the letter on an installed chart.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use support::stage::{API_KEY, source_id};
use unstructured_operator::crd::UnstructuredJob;

use crate::install::cluster::{Cluster, TEAM, eventually};

/// Runs a command of the page in a shell, with the cluster's kubectl.
async fn follow(cluster: &Cluster, command: &str) -> Result<String> {
    follow_with(cluster, command, ("<>", "")).await
}

/// The same, with a value in the place of a `<placeholder>`.
async fn follow_with(
    cluster: &Cluster,
    command: &str,
    (placeholder, value): (&str, &str),
) -> Result<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = std::fs::read_to_string(page)?;
    ensure!(
        page.lines().any(|line| line.trim() == command),
        "docs/operations.md does not say: {command}"
    );
    let tools = tempfile::tempdir()?;
    let kubectl = cluster.plane.kubectl();
    let kubectl = kubectl.as_std();
    let words: Vec<_> = std::iter::once(kubectl.get_program())
        .chain(kubectl.get_args())
        .map(|word| format!("'{}'", word.display()))
        .collect();
    let wrapper = tools.path().join("kubectl");
    std::fs::write(
        &wrapper,
        format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
    )?;
    std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(tools.path().to_owned()).chain(std::env::split_paths(&path));
    let variables = kubectl.get_envs();
    let output = tokio::process::Command::new("sh")
        .args(["-c", &command.replace(placeholder, value)])
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", std::env::join_paths(path)?)
        .output()
        .await?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {complaints}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The ids of the connectors, by their names.
fn connectors(cluster: &Cluster) -> BTreeMap<String, String> {
    let sources = cluster.workspace.sources().into_iter();
    sources.map(|source| (source.name, source.id)).collect()
}

fn creates(cluster: &Cluster) -> usize {
    let posts = cluster.api.requests_matching("POST", "/api/v1/sources/");
    let created = posts.iter().filter(|post| post.path == "/api/v1/sources/");
    created.count()
}

#[tokio::test]
async fn a_backup_without_status_is_restored_to_the_connectors_that_were_there() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.create("contracts", json!({})).await?;
    cluster
        .create("invoices", json!({ "connectorName": "invoices" }))
        .await?;
    cluster.create("lost", json!({})).await?;
    let contracts = cluster.ready("contracts").await?;
    cluster.ready("invoices").await?;
    let lost = cluster.ready("lost").await?;
    let before = connectors(&cluster);
    let mut backup = cluster.sources().list(&ListParams::default()).await?.items;
    for resource in &mut backup {
        let name = resource.name_any();
        resource.metadata = serde_json::from_value(json!({ "name": name }))?;
        if let Some(data) = resource.data.as_object_mut() {
            data.remove("status");
        }
    }

    follow(
        &cluster,
        "kubectl scale deployment -n unstructured-operator unstructured-operator --replicas=0",
    )
    .await?;
    eventually("the pods are gone", async || {
        Ok(cluster.kubelet.pods().is_empty().then_some(()))
    })
    .await?;
    // The cluster is lost: nobody is there to finalize anything.
    let sources = cluster.sources();
    for resource in &backup {
        let name = resource.name_any();
        let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        sources.patch(&name, &PatchParams::default(), &none).await?;
        sources.delete(&name, &DeleteParams::default()).await?;
    }
    let deleted = source_id(&lost).context("an id")?.to_owned();
    assert!(cluster.workspace.remove(&deleted));

    cluster.credentials().await?;
    for resource in &mut backup {
        if resource.data["spec"]["connectorName"].is_string() {
            resource.data["spec"]["adoptionPolicy"] = json!("ByName");
        }
        sources.create(&PostParams::default(), resource).await?;
    }
    follow(
        &cluster,
        "kubectl scale deployment -n unstructured-operator unstructured-operator --replicas=2",
    )
    .await?;

    let restored = cluster.ready("contracts").await?;
    assert_ne!(restored.uid(), contracts.uid());
    assert_eq!(source_id(&restored), source_id(&contracts));
    cluster.ready("invoices").await?;
    let again = cluster.ready("lost").await?;
    let mut expected = before;
    let id = source_id(&again).context("an id")?.to_owned();
    assert_ne!(id, deleted);
    expected.insert("legal.lost.test".to_owned(), id);
    assert_eq!(connectors(&cluster), expected);
    assert_eq!(creates(&cluster), 4, "three, and the one that was deleted");
    Ok(())
}

#[tokio::test]
async fn a_move_to_another_cluster_keeps_every_connector_and_makes_none() -> Result<()> {
    const CHOSEN: &str = "invoices";
    let old = Cluster::start().await?;
    old.install(&["--set", "clusterName="]).await?;
    old.create("contracts", json!({})).await?;
    old.create("invoices", json!({ "connectorName": CHOSEN }))
        .await?;
    old.ready("contracts").await?;
    old.ready("invoices").await?;
    let before = connectors(&old);
    // It has no field to retain or to suspend, and nothing to wait for.
    let job: UnstructuredJob = serde_json::from_value(json!({
        "metadata": { "name": "once" },
        "spec": { "workflowRef": { "name": "elsewhere" } },
    }))?;
    let jobs: Api<UnstructuredJob> = Api::namespaced(old.client.clone(), TEAM);
    jobs.create(&PostParams::default(), &job).await?;

    follow(&old, r#"kubectl get dropboxsources,unstructuredsources,unstructureddestinations,pineconedestinations,unstructuredworkflows -n legal -o name | xargs -I{} kubectl patch -n legal {} --type merge -p '{"spec":{"deletionPolicy":"Retain","suspend":true}}'"#).await?;
    follow(&old, r#"kubectl wait -n legal dropboxsources,unstructuredsources,unstructureddestinations,pineconedestinations,unstructuredworkflows --all --for=jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'=Suspended"#).await?;
    let name = follow(
        &old,
        "kubectl get dropboxsource -n legal contracts -o jsonpath='{.status.connectorName}'",
    )
    .await?;
    let (_, name) = name.rsplit_once('.').context("no dot")?;

    let new = Cluster::beside(&old).await?;
    let name = format!("clusterName={name}");
    new.install(&["--set-string", &name]).await?;
    new.create("contracts", json!({})).await?;
    let chosen = json!({ "connectorName": CHOSEN, "adoptionPolicy": "ByName" });
    new.create("invoices", chosen).await?;
    new.ready("contracts").await?;
    new.ready("invoices").await?;
    follow(&old, "kubectl delete unstructuredjobs,dropboxsources,unstructuredsources,unstructureddestinations,pineconedestinations,unstructuredworkflows -n legal --all").await?;

    assert_eq!(connectors(&new), before);
    assert_eq!(creates(&new), 2);
    assert!(
        old.sources()
            .list(&ListParams::default())
            .await?
            .items
            .is_empty()
    );

    // They are the new cluster's now, with all that this means.
    let sources = new.sources();
    sources
        .delete("contracts", &DeleteParams::default())
        .await?;
    eventually("the connector is gone", async || {
        Ok((connectors(&new).len() == 1).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn the_operators_own_key_is_rotated_without_a_restart_and_without_a_refusal() -> Result<()> {
    const NEXT: &str = "operator-key-of-the-next-quarter";
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.create("contracts", json!({})).await?;
    cluster.ready("contracts").await?;

    cluster.workspace.add_key(NEXT);
    let change = "kubectl create secret generic unstructured -n unstructured-operator --from-literal=api_key='<new key>' --dry-run=client -o yaml | kubectl apply --server-side --force-conflicts -f -";
    follow_with(&cluster, change, ("<new key>", NEXT)).await?;
    eventually("the new key is used", async || {
        let requests = cluster.api.requests();
        let used = requests
            .iter()
            .any(|request| request.api_key() == Some(NEXT));
        Ok(used.then_some(()))
    })
    .await
    .with_context(|| cluster.kubelet.logs())?;
    cluster.api.revoke_key(API_KEY);
    let another = json!({ "remoteUrl": "dropbox://invoices" });
    cluster.create("invoices", another).await?;
    cluster.ready("invoices").await?;

    assert_eq!(cluster.workspace.sources().len(), 2);
    let pods = cluster.kubelet.pods();
    assert_eq!(pods.len(), 2);
    for pod in pods.values() {
        let metrics = reqwest::get(format!("http://{}:8080/metrics", pod.address)).await?;
        let metrics = metrics.text().await?;
        let refused = metrics
            .lines()
            .any(|line| line.contains(r#"class="unauthorized""#) && !line.ends_with(" 0"));
        assert!(!refused, "{metrics}");
    }
    Ok(())
}
