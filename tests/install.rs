//! The chart as it runs: installed by Helm on a control plane of its own, its pods as processes under the chart's service account.

pub mod cluster;
mod uninstall;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{DeleteParams, EvictParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::fake::Fault;
use support::fake::unstructured::Route;
use support::stage::{condition, source_id};

use crate::chart::{chart, helm};
use cluster::{CLUSTER_ROLE, Cluster, RELEASE, SYSTEM, TEAM, eventually};

const OURS: &str = "connectors.unstructured.io";

#[tokio::test]
async fn a_release_works_with_the_rights_it_has_and_has_no_others() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.create("contracts", json!({})).await?;
    cluster.ready("contracts").await?;
    assert_eq!(cluster.workspace.sources().len(), 1);
    assert_eq!(cluster.kubelet.pods().len(), 2, "one works, one stands by");

    for (verb, group, resource, name) in [
        ("list", OURS, "dropboxsources", None),
        ("update", OURS, "dropboxsources/status", None),
        ("update", OURS, "dropboxsources/finalizers", None),
        ("watch", "", "secrets", None),
        ("create", "events.k8s.io", "events", None),
        ("get", "", "namespaces", Some("kube-system")),
    ] {
        ensure!(
            cluster.may(verb, group, resource, Some(TEAM), name).await?,
            "{verb} {resource}"
        );
    }
    for (verb, group, resource, place, name) in [
        ("create", "", "secrets", Some(SYSTEM), None),
        ("update", "", "secrets", Some(TEAM), None),
        ("patch", "", "secrets", Some(TEAM), None),
        ("delete", "", "secrets", Some(TEAM), None),
        ("create", OURS, "dropboxsources", Some(TEAM), None),
        ("update", OURS, "dropboxsources", Some(TEAM), None),
        ("delete", OURS, "dropboxsources", Some(TEAM), None),
        ("get", "", "configmaps", Some(SYSTEM), None),
        ("list", "", "pods", Some(SYSTEM), None),
        ("create", "", "serviceaccounts/token", Some(SYSTEM), None),
        ("list", "", "namespaces", None, None),
        (
            "get",
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            None,
            Some("others.example.com"),
        ),
        (
            "update",
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            None,
            Some("dropboxsources.connectors.unstructured.io"),
        ),
        (
            "get",
            "coordination.k8s.io",
            "leases",
            Some(SYSTEM),
            Some("another"),
        ),
        (
            "update",
            "coordination.k8s.io",
            "leases",
            Some(TEAM),
            Some("unstructured-operator"),
        ),
        (
            "create",
            "rbac.authorization.k8s.io",
            "rolebindings",
            Some(SYSTEM),
            None,
        ),
    ] {
        ensure!(
            !cluster.may(verb, group, resource, place, name).await?,
            "{verb} {resource} in {place:?}"
        );
    }
    ensure!(
        !cluster.kubelet.logs().contains("Forbidden"),
        "{}",
        cluster.kubelet.logs()
    );
    Ok(())
}

#[tokio::test]
async fn without_its_roles_it_never_gets_ready_and_says_what_it_lacks() -> Result<()> {
    let cluster = Cluster::start().await?;
    let without = ["--set", "rbac.create=false", "--timeout", "10s"];
    let installed = cluster.install(&without).await;
    assert!(installed.is_err(), "Helm takes it for ready");
    let logs = cluster.kubelet.logs();
    assert!(
        logs.contains("grant get, create and update on leases"),
        "{logs}"
    );
    Ok(())
}

#[tokio::test]
async fn a_resource_says_that_its_secret_may_not_be_read_and_recovers_when_it_may() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    let granted = roles.get(CLUSTER_ROLE).await?.rules.unwrap_or_default();
    let grant = async |rules: &[PolicyRule]| {
        let mut role = roles.get(CLUSTER_ROLE).await?;
        role.rules = Some(rules.to_vec());
        roles
            .replace(CLUSTER_ROLE, &PostParams::default(), &role)
            .await
    };
    let about_secrets = |rule: &PolicyRule| rule.resources.iter().flatten().any(|r| r == "secrets");
    let without: Vec<_> = granted
        .iter()
        .filter(|rule| !about_secrets(rule))
        .cloned()
        .collect();
    ensure!(without.len() < granted.len(), "the role grants no Secrets");
    grant(&without).await?;

    cluster.create("contracts", json!({})).await?;
    eventually("the resource says what is missing", async || {
        let object = cluster.sources().get("contracts").await?;
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        Ok((ready["reason"] == "SecretForbidden").then_some(()))
    })
    .await?;
    assert_eq!(cluster.workspace.sources(), []);

    grant(&granted).await?;
    cluster.ready("contracts").await?;
    Ok(())
}

#[tokio::test]
async fn confined_to_a_namespace_it_works_there_and_can_do_nothing_elsewhere() -> Result<()> {
    let cluster = Cluster::start().await?;
    let confined = format!("watchNamespaces={{{TEAM}}}");
    cluster.install(&["--set", &confined]).await?;
    cluster.create("contracts", json!({})).await?;
    cluster.ready("contracts").await?;
    cluster
        .sources()
        .delete("contracts", &DeleteParams::default())
        .await?;
    eventually("the connector is gone", async || {
        Ok(cluster.workspace.sources().is_empty().then_some(()))
    })
    .await?;

    for verb in ["get", "list", "watch"] {
        ensure!(cluster.may(verb, "", "secrets", Some(TEAM), None).await?);
        for elsewhere in [Some(SYSTEM), Some("kube-system"), Some("default"), None] {
            ensure!(
                !cluster.may(verb, "", "secrets", elsewhere, None).await?,
                "{verb} secrets in {elsewhere:?}"
            );
            // A namespace that is deleted takes the Role with it, and what is there has to be found and let go.
            ensure!(
                cluster
                    .may(verb, OURS, "dropboxsources", elsewhere, None)
                    .await?,
                "{verb} in {elsewhere:?}"
            );
        }
    }
    for verb in ["create", "update", "delete"] {
        let may = cluster.may(verb, OURS, "dropboxsources", Some("default"), None);
        ensure!(!may.await?, "{verb} elsewhere");
    }
    ensure!(
        cluster
            .may("create", "events.k8s.io", "events", Some(SYSTEM), None)
            .await?
    );
    ensure!(
        cluster
            .may("get", "", "namespaces", Some(TEAM), Some(TEAM))
            .await?
    );
    ensure!(
        !cluster
            .may(
                "get",
                "",
                "namespaces",
                Some("kube-system"),
                Some("kube-system")
            )
            .await?
    );
    Ok(())
}

/// The chart as an earlier release might have been: another version, and a definition that lacks a field.
fn earlier(directory: &Path) -> Result<PathBuf> {
    let copy = directory.join("earlier");
    for part in ["", "templates", "files", "files/crds"] {
        std::fs::create_dir_all(copy.join(part))?;
        for entry in std::fs::read_dir(chart().join(part))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), copy.join(part).join(entry.file_name()))?;
            }
        }
    }
    let (file, definition) = (
        copy.join("Chart.yaml"),
        copy.join("files/crds/dropboxsources.yaml"),
    );
    let text = std::fs::read_to_string(&file)?;
    let current = format!("ersion: {}", env!("CARGO_PKG_VERSION"));
    std::fs::write(file, text.replace(&current, "ersion: 0.0.9"))?;
    let mut crd: Value = serde_yaml::from_str(&std::fs::read_to_string(&definition)?)?;
    let spec = crd
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties")
        .and_then(Value::as_object_mut)
        .context("the definition has no spec")?;
    spec.remove("verify").context("verify is gone already")?;
    std::fs::write(definition, serde_yaml::to_string(&crd)?)?;
    Ok(copy)
}

#[tokio::test]
async fn an_upgrade_under_load_brings_the_new_definition_and_loses_nothing() -> Result<()> {
    const RESOURCES: usize = 20;
    let cluster = Cluster::start().await?;
    let earlier = earlier(cluster.directory.path())?;
    cluster.deploy(&["install", RELEASE], &earlier, &[]).await?;
    cluster.create("first", json!({ "verify": false })).await?;
    let first = cluster.ready("first").await?;
    assert!(
        first.data["spec"].get("verify").is_none(),
        "the field is unknown yet"
    );
    let before = cluster.kubelet.pods();

    let load = async {
        for n in 1..RESOURCES {
            let folder = format!("dropbox://data/{n}");
            cluster
                .create(&format!("s{n}"), json!({ "remoteUrl": folder }))
                .await?;
            cluster
                .edit("first", json!({ "remoteUrl": folder }))
                .await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    let upgrade = async { cluster.deploy(&["upgrade", RELEASE], &chart(), &[]).await };
    let both: (Result<()>, Result<()>) = tokio::join!(load, upgrade);
    both.0?;
    both.1?;

    for n in 1..RESOURCES {
        cluster.ready(&format!("s{n}")).await?;
    }
    let after = cluster.ready("first").await?;
    assert_eq!(source_id(&after), source_id(&first));
    assert_eq!(cluster.workspace.sources().len(), RESOURCES);
    let creates = cluster.api.requests_matching("POST", "/api/v1/sources/");
    let creates = creates
        .iter()
        .filter(|request| request.path == "/api/v1/sources/");
    assert_eq!(creates.count(), RESOURCES);
    cluster.edit("first", json!({ "verify": false })).await?;
    assert_eq!(cluster.ready("first").await?.data["spec"]["verify"], false);
    let replaced = cluster.kubelet.pods();
    assert!(
        replaced.keys().all(|pod| !before.contains_key(pod)),
        "{replaced:?}"
    );
    Ok(())
}

/// The charts of all releases, from their tags, and one that stands for a release before this.
fn releases(directory: &Path) -> Result<Vec<PathBuf>> {
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        git.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
        git.output()
    };
    let mut charts = vec![earlier(directory)?];
    let tags = String::from_utf8(git(&["tag", "--list", "v*"])?.stdout)?;
    for tag in tags.lines() {
        let archive = directory.join(format!("{tag}.tar"));
        let output = format!("--output={}", archive.display());
        let packed = git(&["archive", &output, tag, "charts/unstructured-operator"])?;
        ensure!(packed.status.success(), "git archive {tag}");
        let unpacked = directory.join(tag);
        std::fs::create_dir(&unpacked)?;
        let mut tar = std::process::Command::new("tar");
        let tar = tar.arg("-xf").arg(&archive).arg("-C").arg(&unpacked);
        ensure!(tar.status()?.success(), "tar -xf {tag}.tar");
        charts.push(unpacked.join("charts/unstructured-operator"));
    }
    Ok(charts)
}

#[tokio::test]
async fn every_release_is_upgraded_to_this_one_with_the_values_that_it_has() -> Result<()> {
    let cluster = Cluster::start().await?;
    let upgrade = ["upgrade", RELEASE, "--reset-then-reuse-values"];
    for release in releases(cluster.directory.path())? {
        let replicas = ["--set", "replicaCount=1"];
        cluster
            .deploy(&["install", RELEASE], &release, &replicas)
            .await?;
        let digest = format!("image.digest=sha256:{}", "0".repeat(64));
        cluster
            .deploy(&upgrade, &chart(), &["--set", &digest])
            .await?;
        assert_eq!(cluster.kubelet.pods().len(), 1, "replicaCount is kept");
        let pods = cluster.pods().list(&ListParams::default()).await?.items;
        let image = pods[0]
            .spec
            .as_ref()
            .and_then(|spec| spec.containers[0].image.clone());
        let image = image.unwrap_or_default();
        ensure!(image.contains("@sha256:000"), "{image} is not the new one");
        helm(
            &cluster.plane,
            &["uninstall", RELEASE, "-n", SYSTEM, "--wait"],
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn neither_an_uninstalled_release_nor_a_deleted_definition_harms_connectors() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.create("contracts", json!({})).await?;
    let created = cluster.ready("contracts").await?;

    helm(
        &cluster.plane,
        &["uninstall", RELEASE, "-n", SYSTEM, "--wait"],
    )
    .await?;
    eventually("the pods are gone", async || {
        Ok(cluster.kubelet.pods().is_empty().then_some(()))
    })
    .await?;
    let kept = cluster.sources().get("contracts").await?;
    assert!(kept.metadata.deletion_timestamp.is_none());
    assert_eq!(cluster.workspace.sources().len(), 1);

    let another = ["install", "another", "--take-ownership"];
    cluster.deploy(&another, &chart(), &[]).await?;
    cluster
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    let updated = cluster.ready("contracts").await?;
    assert_eq!(source_id(&updated), source_id(&created));
    let sources = cluster.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].config["recursive"], true);

    cluster.delete_definition().await?;
    assert_eq!(cluster.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn evictions_leave_one_replica_at_work() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.install(&[]).await?;
    cluster.create("contracts", json!({})).await?;
    cluster.ready("contracts").await?;

    let leader = cluster.leader().await?;
    let names: Vec<_> = cluster
        .pods()
        .list(&ListParams::default())
        .await?
        .items
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let standby = names
        .iter()
        .find(|name| **name != leader)
        .context("no standby")?;
    let params = EvictParams::default();
    eventually("the leader may be evicted", async || {
        Ok(cluster.pods().evict(&leader, &params).await.ok())
    })
    .await?;
    let refused = cluster.pods().evict(standby, &params).await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 429),
        "{refused:?}"
    );
    eventually("another one leads", async || {
        let holder = cluster.leader().await.ok();
        Ok(holder.filter(|holder| *holder != leader))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn shards_in_one_namespace_work_at_the_same_time_each_on_its_own() -> Result<()> {
    const SECOND: &str = "second-unstructured-operator";
    let cluster = Cluster::start().await?;
    let shard = |name: &str| format!("config.watchLabelSelector=shard={name}");
    cluster
        .install(&["--set", &shard("a"), "--set", "replicaCount=1"])
        .await?;
    let more = [
        "--set",
        &shard("b"),
        "--set",
        "crds.install=false,replicaCount=1",
    ];
    let second = ["install", "second"];
    cluster.deploy(&second, &chart(), &more).await?;
    for n in 0..8 {
        let (name, folder) = (format!("s{n}"), format!("dropbox://data/{n}"));
        cluster
            .create(&name, json!({ "remoteUrl": folder }))
            .await?;
        let shard = if n % 2 == 0 { "a" } else { "b" };
        cluster.assign(&name, shard).await?;
    }
    for n in 0..8 {
        cluster.ready(&format!("s{n}")).await?;
    }
    let log = async |release| -> Result<String> {
        let leader = cluster.leader_of(release).await?;
        let pods = cluster.kubelet.pods();
        let pod = pods.get(&leader).context("the leader runs")?;
        Ok(std::fs::read_to_string(&pod.log)?)
    };
    let works_on = |log: &str, name: &str| {
        log.contains(&format!("\"resource\":\"DropboxSource {TEAM}/{name}\""))
    };
    let (first_log, second_log) = (log(RELEASE).await?, log(SECOND).await?);
    for n in 0..8 {
        let name = format!("s{n}");
        assert_eq!(works_on(&first_log, &name), n % 2 == 0, "{name}");
        assert_eq!(works_on(&second_log, &name), n % 2 == 1, "{name}");
    }

    let before = cluster.ready("s0").await?;
    cluster.assign("s0", "b").await?;
    cluster.edit("s0", json!({ "recursive": true })).await?;
    let after = cluster.ready("s0").await?;
    assert_eq!(source_id(&after), source_id(&before));
    assert_eq!(cluster.workspace.sources().len(), 8);
    assert!(works_on(&log(SECOND).await?, "s0"));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_hangs_in_mid_create_is_succeeded_and_writes_nothing_more_when_it_wakes()
-> Result<()> {
    let cluster = Cluster::start().await?;
    let times = "config.requestTimeout=2s,config.settleTime=3s";
    cluster.install(&["--set", times]).await?;
    let hung = cluster.leader().await?;
    let pod = cluster.kubelet.pods().remove(&hung).context("it runs")?;
    let held_back = Fault::none().held_back(Duration::from_millis(500));
    cluster.api.inject(Route::Create, held_back);
    cluster.create("contracts", json!({})).await?;
    let creates = || {
        let requests = cluster.api.requests_matching("POST", "/api/v1/sources/");
        let creates = requests.iter().filter(|it| it.path == "/api/v1/sources/");
        creates.count()
    };
    eventually("the create is under way", async || {
        Ok((creates() == 1).then_some(()))
    })
    .await?;

    pod.pause()?;
    let ready = cluster.ready("contracts").await?;
    let successor = cluster.leader().await?;
    assert_ne!(successor, hung);
    let writes = || {
        let requests = cluster.api.requests();
        let writes = requests.iter().filter(|it| it.method != "GET");
        writes.count()
    };
    let (written, version) = (writes(), ready.resource_version());
    pod.resume()?;
    eventually("it knows that it does not lead", async || {
        let log = std::fs::read_to_string(&pod.log)?;
        Ok(log.contains("leadership lost").then_some(()))
    })
    .await?;

    let sources = cluster.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.as_str()));
    assert_eq!(creates(), 1);
    assert_eq!(writes(), written, "nothing more to Unstructured");
    let now = cluster.sources().get("contracts").await?;
    assert_eq!(
        now.resource_version(),
        version,
        "nothing more to Kubernetes"
    );
    assert_eq!(cluster.leader().await?, successor);

    // And the one that leads now goes on leading.
    cluster
        .edit("contracts", json!({ "recursive": true }))
        .await?;
    cluster.ready("contracts").await?;
    assert_eq!(cluster.workspace.sources()[0].config["recursive"], true);
    Ok(())
}
