//! Argo CD: application-controller, repo-server and server, as they are released.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kube::Api;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use serde_json::{Value, json};
use support::controlplane::unused_port;
use support::go::Recipe;
use support::stage::{create_namespace, source_id};
use tokio::time::Instant;

use super::{World, annotate, built, example, settles};
use crate::install::cluster::{RELEASE, SYSTEM, TEAM};

/// Where Argo CD is, and all of its objects.
const NAMESPACE: &str = "argocd";
const VERSION: &str = "argoproj.io/v1alpha1";
/// The Application of the resources.
const SOURCES: &str = "sources";

const RECIPE: Recipe = Recipe {
    name: "Argo CD",
    directory: "engines/argocd",
    packages: "tool",
    programs: &["cmd"],
    effort: (2300, "ten minutes"),
    files: &[
        (
            "github.com/argoproj/argo-cd/v3",
            "manifests/crds",
            "definitions",
        ),
        (
            "github.com/argoproj/argo-cd/v3",
            "manifests/base/config",
            "config",
        ),
    ],
    ..Recipe::PLAIN
};

/// A world in which Argo CD runs, with the health check of the example.
struct ArgoCd(World, PathBuf);

impl ArgoCd {
    async fn start() -> Result<Self> {
        let programs = built(RECIPE).await?;
        let world = World::new().await?;
        create_namespace(&world.cluster.client, NAMESPACE).await?;
        for (part, more) in [
            ("definitions", "--server-side"),
            ("config", "--namespace=argocd"),
        ] {
            let directory = programs.join(part).display().to_string();
            world.kubectl(&["apply", "-k", &directory, more]).await?;
        }
        let patch = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/examples/argocd/argocd-cm.yaml"
        );
        let patch = [
            "patch",
            "configmap",
            "argocd-cm",
            "-n",
            NAMESPACE,
            "--patch-file",
            patch,
        ];
        world.kubectl(&patch).await?;

        let argocd = Self(world, programs.join("cmd"));
        let repositories = unused_port()?.to_string();
        let server = format!("127.0.0.1:{repositories}");
        argocd.run(
            "argocd-repo-server",
            &[
                "--address=127.0.0.1",
                "--port",
                &repositories,
                "--disable-tls",
            ],
        )?;
        let client = ["--repo-server", &server, "--repo-server-plaintext"];
        let address = unused_port()?.to_string();
        let own = ["--address=127.0.0.1", "--port", &address, "--insecure"];
        argocd.run("argocd-server", &[&client[..], &own[..]].concat())?;
        // The server makes it, and the secrets that the others wait for.
        let projects = argocd.0.objects(VERSION, "AppProject", NAMESPACE)?;
        settles("the default project exists", async || {
            Ok(projects.get_opt("default").await?)
        })
        .await?;
        argocd.run("argocd-application-controller", &client)?;
        Ok(argocd)
    }

    /// Runs one of its components: they are one program, which is told which to be.
    fn run(&self, component: &str, arguments: &[&str]) -> Result<()> {
        let plane = &self.0.cluster.plane;
        let home = self.0.cluster.directory.path().join(component);
        let bin = home.join("bin");
        for part in ["bin", "tls", "ssh", "gpg"] {
            std::fs::create_dir_all(home.join(part))?;
        }
        symlink(plane.helm_program(), bin.join("helm"))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(&self.1);
        command
            .args(arguments)
            .args(["--redis", &self.0.forge.redis, "--metrics-port"])
            .arg(unused_port()?.to_string())
            .env("ARGOCD_BINARY_NAME", component)
            .env("ARGOCD_FAKE_IN_CLUSTER", "true")
            .env("ARGOCD_GPG_ENABLED", "false")
            .env("ARGOCD_TLS_DATA_PATH", home.join("tls"))
            .env("ARGOCD_SSH_DATA_PATH", home.join("ssh"))
            .env("ARGOCD_GNUPGHOME", home.join("gpg"))
            .env("ARGOCD_PLUGINSOCKFILEPATH", &home)
            .env("KUBECONFIG", plane.kubeconfig_path())
            .env("SSL_CERT_FILE", plane.authority())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", &home)
            .env("TMPDIR", &home);
        if component != "argocd-repo-server" {
            command.arg(format!("--namespace={NAMESPACE}"));
        }
        plane.companion(component, command)?;
        Ok(())
    }

    /// Applies the example, and an Application for what is below `sources` in Git.
    async fn bootstrap(&mut self) -> Result<String> {
        let world = &mut self.0;
        world.forge.push_chart(&world.cluster, "0.1.0").await?;
        let commit = world.commit()?;
        let mut given = vec![world.sources_application()];
        for mut manifest in example("argocd/application.yaml")? {
            let source = &mut manifest["spec"]["source"];
            if source["chart"].is_string() {
                let url = source["repoURL"].as_str().context("a URL")?;
                source["repoURL"] =
                    json!(url.replace("registry.example.com", &world.forge.registry));
                source["helm"]["valuesObject"]["config"] =
                    world.cluster.settings()["config"].clone();
            }
            given.push(manifest);
        }
        world.apply(&given).await?;
        Ok(commit)
    }

    fn applications(&self) -> Result<Api<DynamicObject>> {
        self.0.objects(VERSION, "Application", NAMESPACE)
    }

    /// Has Argo CD look at an Application now, as a webhook does, and waits until it has.
    async fn refresh(&self, application: &str) -> Result<DynamicObject> {
        const KEY: &str = "argocd.argoproj.io/refresh";
        let all = self.applications()?;
        annotate(&all, application, KEY, "normal").await?;
        settles(&format!("{application} is refreshed"), async || {
            let object = all.get(application).await?;
            Ok((!object.annotations().contains_key(KEY)).then_some(object))
        })
        .await
    }

    /// Waits until an Application is what `what` says; fails when Argo CD has given up on the commit.
    async fn until(
        &self,
        application: &str,
        what: impl Fn(&Value) -> bool,
    ) -> Result<DynamicObject> {
        let all = self.applications()?;
        let last = std::cell::RefCell::new(None);
        settles(application, async || {
            let object = all.get(application).await?;
            last.replace(Some(object.data["status"].clone()));
            Ok(what(&object.data["status"]).then_some(object))
        })
        .await
        .with_context(|| format!("{:?}", last.take()))
    }

    /// Commits, and waits until the sources are as Git says, and the operation has ended well.
    async fn sync(&self) -> Result<()> {
        let commit = self.0.commit()?;
        self.refresh(SOURCES).await?;
        self.synced(&commit).await
    }

    async fn synced(&self, commit: &str) -> Result<()> {
        let synced = self
            .until(SOURCES, |status| {
                let operation = &status["operationState"];
                let over =
                    ["Succeeded", "Failed", "Error"].map(|phase| operation["phase"] == phase);
                operation["syncResult"]["revision"] == *commit && over.contains(&true)
            })
            .await?;
        let operation = &synced.data["status"]["operationState"];
        ensure!(
            operation["phase"] == "Succeeded",
            "Argo CD says: {operation}"
        );
        Ok(())
    }

    async fn health(&self, health: &str) -> Result<()> {
        self.until(SOURCES, |status| status["health"]["status"] == health)
            .await?;
        Ok(())
    }
}

impl World {
    fn sources_application(&self) -> Value {
        json!({
            "apiVersion": VERSION,
            "kind": "Application",
            "metadata": {
                "name": SOURCES, "namespace": NAMESPACE,
                "finalizers": ["resources-finalizer.argocd.argoproj.io"],
            },
            "spec": {
                "project": "default",
                "source": { "repoURL": self.forge.repository, "path": "sources", "targetRevision": "main" },
                "destination": { "server": "https://kubernetes.default.svc", "namespace": TEAM },
                "syncPolicy": { "automated": { "prune": true, "selfHeal": true, "allowEmpty": true } },
            },
        })
    }
}

/// Argo CD with the example applied, and the operator at work.
async fn fleet() -> Result<ArgoCd> {
    let mut argocd = ArgoCd::start().await?;
    argocd.0.put("sources/README.yaml", &json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "about", "namespace": TEAM },
    }))?;
    argocd.bootstrap().await?;
    argocd
        .until(RELEASE, |status| status["health"]["status"] == "Healthy")
        .await?;
    Ok(argocd)
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_lives_the_whole_life_of_the_example() -> Result<()> {
    let mut argocd = fleet().await?;
    argocd.0.write("contracts", json!({}))?;
    argocd.sync().await?;
    argocd.0.ready("contracts").await?;
    argocd.health("Healthy").await?;
    a_commit_becomes_ready(&mut argocd).await?;
    nothing_is_ever_out_of_sync(&argocd).await?;
    what_is_changed_by_hand_is_put_back(&argocd).await?;
    several_changes_come_in_one_commit(&mut argocd).await?;
    a_newer_chart_is_taken_and_touches_no_connector(&argocd).await?;
    deleting_the_applications_deletes_the_connectors_and_keeps_the_definition(&argocd).await
}

async fn a_commit_becomes_ready(argocd: &mut ArgoCd) -> Result<()> {
    argocd
        .0
        .write("invoices", json!({ "remoteUrl": "dropbox://invoices" }))?;
    let began = Instant::now();
    argocd.0.commit()?;
    argocd.refresh(SOURCES).await?;
    argocd.0.ready("invoices").await?;
    println!(
        "Argo CD: from commit to Ready in {:.1} s",
        began.elapsed().as_secs_f32()
    );
    argocd.health("Healthy").await
}

async fn nothing_is_ever_out_of_sync(argocd: &ArgoCd) -> Result<()> {
    const LOOKS: usize = 20;
    let before = argocd.0.cluster.sources().get("contracts").await?;
    for _ in 0..LOOKS {
        for application in [SOURCES, RELEASE] {
            let object = argocd.refresh(application).await?;
            assert_eq!(
                object.data["status"]["sync"]["status"], "Synced",
                "{:?}",
                object.data
            );
        }
    }
    let after = argocd.0.cluster.sources().get("contracts").await?;
    assert_eq!(after.resource_version(), before.resource_version());
    Ok(())
}

async fn what_is_changed_by_hand_is_put_back(argocd: &ArgoCd) -> Result<()> {
    let world = &argocd.0;
    let before = world.ready("contracts").await?;
    world
        .cluster
        .edit("contracts", json!({ "remoteUrl": "dropbox://elsewhere" }))
        .await?;
    let mended = world
        .source("contracts", |object| {
            object.data["spec"]["remoteUrl"] == "dropbox://data"
                && object.metadata.generation > before.metadata.generation
        })
        .await?;
    assert_eq!(source_id(&mended), source_id(&before));
    world.ready("contracts").await?;

    world
        .cluster
        .sources()
        .delete("contracts", &DeleteParams::default())
        .await?;
    world
        .source("contracts", |object| {
            object.metadata.uid != before.metadata.uid
        })
        .await?;
    world.ready("contracts").await?;
    assert_eq!(world.connectors().len(), 2);
    Ok(())
}

async fn several_changes_come_in_one_commit(argocd: &mut ArgoCd) -> Result<()> {
    argocd.0.write_one_of_each()?;
    argocd.sync().await?;
    let edited = argocd.0.ready("edited").await?;
    argocd.0.change_one_of_each()?;
    argocd.sync().await?;
    argocd.0.one_of_each_is_changed(source_id(&edited)).await
}

async fn a_newer_chart_is_taken_and_touches_no_connector(argocd: &ArgoCd) -> Result<()> {
    let world = &argocd.0;
    let pods = world.cluster.kubelet.pods();
    let connectors = world.connectors();
    world.forge.push_chart(&world.cluster, "0.1.1").await?;
    let newer = r#"{"spec":{"source":{"targetRevision":"0.1.1"}}}"#;
    let patch = [
        "patch",
        "application",
        RELEASE,
        "-n",
        NAMESPACE,
        "--type=merge",
        "-p",
        newer,
    ];
    world.kubectl(&patch).await?;
    argocd
        .until(RELEASE, |status| {
            let operation = &status["operationState"];
            operation["syncResult"]["revision"] == "0.1.1"
                && operation["phase"] == "Succeeded"
                && status["health"]["status"] == "Healthy"
        })
        .await?;
    settles("the pods are new", async || {
        let running = world.cluster.kubelet.pods();
        Ok(pods
            .keys()
            .all(|pod| !running.contains_key(pod))
            .then_some(()))
    })
    .await?;
    assert_eq!(world.connectors(), connectors);
    Ok(())
}

async fn deleting_the_applications_deletes_the_connectors_and_keeps_the_definition(
    argocd: &ArgoCd,
) -> Result<()> {
    let all = argocd.applications()?;
    all.delete(SOURCES, &DeleteParams::default()).await?;
    settles("the sources are gone", async || {
        Ok(all.get_opt(SOURCES).await?.is_none().then_some(()))
    })
    .await?;
    let left = argocd.0.connectors();
    assert!(left.len() == 1 && left[0].contains("retained"), "{left:?}");

    let cascade = r#"{"metadata":{"finalizers":["resources-finalizer.argocd.argoproj.io"]}}"#;
    let patch = [
        "patch",
        "application",
        RELEASE,
        "-n",
        NAMESPACE,
        "--type=merge",
        "-p",
        cascade,
    ];
    argocd.0.kubectl(&patch).await?;
    all.delete(RELEASE, &DeleteParams::default()).await?;
    settles("the operator is gone", async || {
        let gone = all.get_opt(RELEASE).await?.is_none();
        Ok((gone && argocd.0.cluster.kubelet.pods().is_empty()).then_some(()))
    })
    .await?;
    argocd
        .0
        .cluster
        .sources()
        .list(&ListParams::default())
        .await?;
    Ok(())
}

/// Argo CD deletes in the foreground, so its cluster's garbage collector touches a resource while its deletion is under way.
#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_prunes_sources_together_with_the_keys_of_their_workspaces() -> Result<()> {
    let mut argocd = fleet().await?;
    let workspaces = super::write_sources_with_keys(&mut argocd.0)?;
    argocd.sync().await?;
    for n in 0..workspaces.len() {
        argocd.0.ready(&format!("source-{n}")).await?;
    }
    super::remove_sources_with_keys(&mut argocd.0);
    argocd.sync().await?;
    super::nothing_is_left(&argocd.0, &workspaces).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_prunes_what_is_retained_without_a_warning() -> Result<()> {
    const SOURCES: usize = 5;
    let mut argocd = fleet().await?;
    for n in 0..SOURCES {
        let folder = format!("dropbox://data/{n}");
        let spec = json!({ "remoteUrl": folder, "deletionPolicy": "Retain" });
        argocd.0.write(&format!("source-{n}"), spec)?;
    }
    argocd.sync().await?;
    for n in 0..SOURCES {
        argocd.0.ready(&format!("source-{n}")).await?;
    }
    for n in 0..SOURCES {
        argocd.0.remove(&format!("sources/source-{n}.yaml"));
    }
    argocd.sync().await?;
    for n in 0..SOURCES {
        let name = format!("source-{n}");
        argocd.0.gone(&name).await?;
        for (kind, reason, note) in argocd.0.events(&name).await? {
            ensure!(kind != "Warning", "{name}: {reason}: {note}");
        }
    }
    assert_eq!(argocd.0.connectors().len(), SOURCES);
    Ok(())
}

/// A source that the next wave waits for.
fn in_the_first_wave(world: &mut World, spec: Value) -> Result<()> {
    world.write("contracts", spec)?;
    world.put(
        "sources/second.yaml",
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "second", "namespace": TEAM,
                "annotations": { "argocd.argoproj.io/sync-wave": "1" },
            },
            "data": { "of": fastrand::u64(..).to_string() },
        }),
    )
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_goes_on_past_a_source_that_is_suspended_in_git() -> Result<()> {
    let mut argocd = fleet().await?;
    in_the_first_wave(&mut argocd.0, json!({}))?;
    argocd.sync().await?;
    in_the_first_wave(&mut argocd.0, json!({ "suspend": true }))?;
    argocd.sync().await?;
    in_the_first_wave(&mut argocd.0, json!({ "recursive": true }))?;
    argocd.sync().await?;
    argocd.0.ready("contracts").await?;
    assert_eq!(
        argocd.0.cluster.workspace.sources()[0].config["recursive"],
        true
    );
    Ok(())
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_waits_for_a_secret_that_comes_after_its_source() -> Result<()> {
    let mut argocd = fleet().await?;
    let late = json!({ "credentials": { "secretRef": { "name": "late" } } });
    in_the_first_wave(&mut argocd.0, late)?;
    let commit = argocd.0.commit()?;
    argocd.refresh(SOURCES).await?;
    super::the_secret_comes_late(&argocd.0).await?;
    argocd.synced(&commit).await
}

/// `Replace=true` takes the finalizer off. What is then deleted while no operator runs leaves its connector, and that is told.
#[tokio::test]
#[ignore = "builds Argo CD"]
async fn a_connector_that_was_orphaned_while_no_operator_ran_is_told_of() -> Result<()> {
    let mut argocd = fleet().await?;
    argocd.0.write("contracts", json!({}))?;
    argocd.sync().await?;
    let connector = argocd.0.ready("contracts").await?;
    // Not in a cascade: what it deployed stays, and nobody puts it back.
    argocd
        .applications()?
        .delete(RELEASE, &DeleteParams::default())
        .await?;
    argocd
        .0
        .kubectl(&["-n", SYSTEM, "scale", "deployment", RELEASE, "--replicas=0"])
        .await?;
    settles("no operator runs", async || {
        Ok(argocd.0.cluster.kubelet.pods().is_empty().then_some(()))
    })
    .await?;

    argocd.0.write("contracts", json!({ "recursive": true }))?;
    let path = "sources/contracts.yaml";
    let mut manifest: Value = serde_yaml::from_str(&argocd.0.files[path])?;
    manifest["metadata"]["annotations"] =
        json!({ "argocd.argoproj.io/sync-options": "Replace=true" });
    argocd.0.put(path, &manifest)?;
    argocd.sync().await?;
    let replaced = argocd.0.cluster.sources().get("contracts").await?;
    if !replaced.finalizers().is_empty() {
        bail!(
            "Replace=true left the finalizer: {:?}",
            replaced.finalizers()
        );
    }
    argocd.0.remove(path);
    argocd.sync().await?;
    argocd.0.gone("contracts").await?;
    argocd
        .0
        .kubectl(&["-n", SYSTEM, "scale", "deployment", RELEASE, "--replicas=1"])
        .await?;
    let id = source_id(&connector).context("an id")?;
    settles("the connector is told of", async || {
        let told = argocd.0.kubectl(&["get", "events", "-A"]).await?;
        Ok(told.contains(id).then_some(()))
    })
    .await?;
    assert_eq!(argocd.0.connectors().len(), 1);
    Ok(())
}
