//! Backup tools and other clients of the API server, by the calls that they make.
//!
//! Velero creates what it restores namespace by namespace, Secrets before custom resources, without the status, the owners and all
//! that the server sets; writes the status after that if it was asked to; and puts the field managers of the backup back last.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::stage::{
    PATIENCE, Stage, condition, create_namespace, dropbox_source, manifest, source_id,
};
use tokio::io::AsyncWriteExt;

use crate::stage;

/// What Velero keeps of one namespace.
struct Backup {
    secrets: Vec<Secret>,
    sources: Vec<DynamicObject>,
}

#[derive(Clone, Copy)]
enum Status {
    /// What Velero does unless it is told otherwise.
    Dropped,
    /// `--status-include-resources=dropboxsources.connectors.unstructured.io`
    Restored,
}

impl Backup {
    async fn take(stage: &Stage) -> Result<Self> {
        let all = kube::api::ListParams::default();
        Ok(Self {
            secrets: stage.secrets().list(&all).await?.items,
            sources: stage.sources().list(&all).await?.items,
        })
    }

    /// Restores into a namespace that exists.
    async fn restore(&self, stage: &Stage, namespace: &str, status: Status) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), namespace);
        for secret in &self.secrets {
            let mut secret = secret.clone();
            reset(&mut secret.metadata, namespace);
            secrets.create(&restorer(), &secret).await?;
        }
        let sources: Api<DynamicObject> =
            Api::namespaced_with(stage.client.clone(), namespace, &dropbox_source());
        for source in &self.sources {
            let name = source.name_any();
            let mut created = source.clone();
            reset(&mut created.metadata, namespace);
            let kept = created.data.as_object_mut().context("an object")?;
            let kept = kept.remove("status");
            let made = sources.create(&restorer(), &created).await?;
            if let (Status::Restored, Some(kept)) = (status, kept) {
                let mut made = made;
                made.data["status"] = kept;
                // The operator may have been faster; Velero tries no second time either.
                let _ = sources.replace_status(&name, &restorer(), &made).await;
            }
            let managers = json!({ "metadata": { "managedFields": source.managed_fields() } });
            let params = PatchParams {
                field_manager: restorer().field_manager,
                ..PatchParams::default()
            };
            sources
                .patch(&name, &params, &Patch::Merge(managers))
                .await?;
        }
        Ok(())
    }
}

fn restorer() -> PostParams {
    PostParams {
        field_manager: Some("velero-server".to_owned()),
        ..PostParams::default()
    }
}

/// Takes away what Velero takes away before it creates an object, and adds its labels. Finalizers stay.
fn reset(metadata: &mut kube::core::ObjectMeta, namespace: &str) {
    let kept = std::mem::take(metadata);
    let mut labels = kept.labels.unwrap_or_default();
    labels.insert("velero.io/backup-name".to_owned(), "nightly".to_owned());
    labels.insert("velero.io/restore-name".to_owned(), "nightly-1".to_owned());
    *metadata = kube::core::ObjectMeta {
        name: kept.name,
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        annotations: kept.annotations,
        finalizers: kept.finalizers,
        ..Default::default()
    };
}

/// Deletes all resources of the namespace without anybody who could finalize them, as a lost cluster does.
async fn lose(stage: &Stage) -> Result<()> {
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    for source in stage
        .sources()
        .list(&kube::api::ListParams::default())
        .await?
    {
        let name = source.name_any();
        stage
            .sources()
            .patch(&name, &PatchParams::default(), &none)
            .await?;
        stage.delete(&name).await?;
        stage.gone(&name).await?;
    }
    let secrets = stage.secrets();
    for secret in secrets.list(&kube::api::ListParams::default()).await? {
        secrets
            .delete(&secret.name_any(), &DeleteParams::default())
            .await?;
    }
    Ok(())
}

/// A resource as users have them: applied, and owned by something.
async fn owned_resource(stage: &Stage) -> Result<()> {
    let owners: Api<ConfigMap> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let owner = serde_json::from_value(json!({ "metadata": { "name": "owner" } }))?;
    let owner = owners.create(&PostParams::default(), &owner).await?;
    let mut source = manifest("contracts", json!({}));
    source.metadata.owner_references = Some(vec![serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(),
    }))?]);
    let params = PatchParams::apply("kubectl");
    stage
        .sources()
        .patch("contracts", &params, &Patch::Apply(&source))
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_lost_namespace_comes_back_to_the_connectors_that_were_there() -> Result<()> {
    for status in [Status::Dropped, Status::Restored] {
        let mut stage = stage().await?;
        stage.set("LEADER_ELECT", "false");
        let operator = stage.operator().await?;
        stage.good_secret().await?;
        owned_resource(&stage).await?;
        let before = stage.until_ready("contracts").await?;
        let backup = Backup::take(&stage).await?;
        operator.kill()?;
        lose(&stage).await?;

        let _operator = stage.operator().await?;
        backup.restore(&stage, &stage.namespace, status).await?;
        let after = stage.until_ready("contracts").await?;
        assert_ne!(after.uid(), before.uid());
        assert_eq!(source_id(&after), source_id(&before));
        assert_eq!(stage.creates().len(), 1, "none was added");
        assert_eq!(stage.workspace.sources().len(), 1);

        stage.delete("contracts").await?;
        stage.gone("contracts").await?;
        assert_eq!(stage.workspace.sources(), []);
    }
    Ok(())
}

/// `--namespace-mappings`: a copy beside the original gets a connector of its own, or is told that the one in its status belongs to
/// the original; it leaves that one alone to its end.
#[tokio::test]
async fn a_copy_in_another_namespace_never_touches_the_connector_of_the_original() -> Result<()> {
    for (status, reason, connectors) in [
        (Status::Dropped, "Ready", 2),
        (Status::Restored, "ConnectorInUse", 1),
    ] {
        let mut stage = stage().await?;
        let copy = format!("{}-copy", stage.namespace);
        create_namespace(&stage.client, &copy).await?;
        let watched = format!("{},{copy}", stage.namespace);
        stage.set("WATCH_NAMESPACES", &watched);
        let _operator = stage.operator().await?;
        stage.good_secret().await?;
        stage.create("contracts", json!({})).await?;
        let original = stage.until_ready("contracts").await?;
        let writes = stage.writes();
        Backup::take(&stage)
            .await?
            .restore(&stage, &copy, status)
            .await?;

        let copies: Api<DynamicObject> =
            Api::namespaced_with(stage.client.clone(), &copy, &dropbox_source());
        let settled = |object: Option<&DynamicObject>| {
            let ready = object.and_then(|object| condition(object, "Ready"));
            ready.is_some_and(|ready| ready["reason"] == reason)
        };
        let settles = await_condition(copies.clone(), "contracts", settled);
        if tokio::time::timeout(PATIENCE, settles).await.is_err() {
            bail!(
                "the copy says {}",
                copies.get("contracts").await?.data["status"]
            );
        }
        assert_eq!(stage.workspace.sources().len(), connectors);

        copies.delete("contracts", &DeleteParams::default()).await?;
        let gone = await_condition(copies, "contracts", |object: Option<&DynamicObject>| {
            object.is_none()
        });
        tokio::time::timeout(PATIENCE, gone)
            .await
            .context("the copy stays")??;
        let left = stage.workspace.sources();
        assert_eq!(left.len(), 1);
        assert_eq!(source_id(&original), Some(left[0].id.as_str()));
        if connectors == 1 {
            assert_eq!(
                stage.writes(),
                writes,
                "the original's connector was written to"
            );
        }
    }
    Ok(())
}

/// Runs `kubectl` on a manifest.
async fn kubectl(stage: &Stage, arguments: &[&str], manifest: &Value) -> Result<()> {
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
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "kubectl {}: {complaints}",
        arguments.join(" ")
    );
    Ok(())
}

#[tokio::test]
async fn kubectl_replace_by_force_leaves_one_connector() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    let before = stage.until_ready("contracts").await?;
    let wanted = serde_json::to_value(manifest("contracts", json!({ "recursive": true })))?;
    kubectl(&stage, &["replace", "--force"], &wanted).await?;
    let after = stage.until_ready("contracts").await?;
    assert_ne!(after.uid(), before.uid());
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&after), Some(sources[0].id.as_str()));
    assert_eq!(sources[0].config["recursive"], true);
    Ok(())
}

#[tokio::test]
async fn three_field_managers_at_once_make_one_connector_of_what_all_of_them_say() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let base = serde_json::to_value(manifest("contracts", json!({})))?;
    let of = |spec: Value| {
        let mut wanted = base.clone();
        wanted["spec"] = spec;
        wanted
    };
    let whole = base["spec"].clone();
    let (mut recursive, mut policy) = (whole.clone(), whole.clone());
    recursive["recursive"] = json!(true);
    policy["deletionPolicy"] = json!("Retain");
    let (whole, recursive, policy) = (of(whole), of(recursive), of(policy));
    let apply = async |manager: &str, wanted: &Value| {
        let manager = format!("--field-manager={manager}");
        kubectl(&stage, &["apply", "--server-side", &manager], wanted).await
    };
    for _ in 0..3 {
        let (first, second, third) = tokio::join!(
            apply("first", &whole),
            apply("second", &recursive),
            apply("third", &policy)
        );
        first.and(second).and(third)?;
    }
    let ready = stage.until_ready("contracts").await?;
    assert_eq!(ready.data["spec"]["recursive"], true);
    assert_eq!(ready.data["spec"]["deletionPolicy"], "Retain");
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].config["recursive"], true);
    let managers: Vec<_> = ready
        .managed_fields()
        .iter()
        .filter_map(|entry| entry.manager.as_deref())
        .collect();
    for manager in ["first", "second", "third"] {
        assert!(managers.contains(&manager), "{managers:?}");
    }
    Ok(())
}
