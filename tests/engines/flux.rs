//! Flux: its source-, kustomize- and helm-controller, as they are released.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use kube::api::{DeleteParams, DynamicObject};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::controlplane::unused_port;
use support::go::Recipe;
use support::stage::{condition, create_namespace, source_id};
use tokio::time::Instant;

use super::{World, annotate, built, example, settles};
use crate::install::cluster::{RELEASE, SYSTEM};

/// Where Flux is, and all of its objects.
const NAMESPACE: &str = "flux-system";
const SOURCE: &str = "source.toolkit.fluxcd.io/v1";
const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io/v1";
const HELM: &str = "helm.toolkit.fluxcd.io/v2";

const RECIPE: Recipe = Recipe {
    name: "Flux",
    directory: "engines/flux",
    packages: "tool",
    programs: &[
        "source-controller",
        "kustomize-controller",
        "helm-controller",
    ],
    effort: (2600, "ten minutes"),
    files: &[
        (
            "github.com/fluxcd/source-controller",
            "config/crd/bases",
            "definitions",
        ),
        (
            "github.com/fluxcd/kustomize-controller",
            "config/crd/bases",
            "definitions",
        ),
        (
            "github.com/fluxcd/helm-controller",
            "config/crd/bases",
            "definitions",
        ),
    ],
    ..Recipe::PLAIN
};

/// A world in which Flux runs; nothing has been given to it yet.
struct Flux(World);

impl Flux {
    async fn start() -> Result<Self> {
        let programs = built(RECIPE).await?;
        let world = World::new().await?;
        let plane = &world.cluster.plane;
        create_namespace(&world.cluster.client, NAMESPACE).await?;
        let definitions = programs.join("definitions").display().to_string();
        world
            .kubectl(&["apply", "--server-side", "-f", &definitions])
            .await?;

        let storage = world.cluster.directory.path().join("flux-storage");
        std::fs::create_dir_all(&storage)?;
        let served = format!("127.0.0.1:{}", unused_port()?);
        for program in RECIPE.programs {
            let mut command = Command::new(programs.join(program));
            command
                .arg("--metrics-addr=0")
                .arg(format!("--health-addr=127.0.0.1:{}", unused_port()?))
                .env("KUBECONFIG", plane.kubeconfig_path())
                .env("SSL_CERT_FILE", plane.authority())
                .env("RUNTIME_NAMESPACE", NAMESPACE)
                .env("TMPDIR", world.cluster.directory.path())
                .env("HOME", world.cluster.directory.path());
            if *program == "source-controller" {
                command
                    .arg(format!("--storage-path={}", storage.display()))
                    .arg(format!("--storage-addr={served}"))
                    .arg(format!("--storage-adv-addr={served}"));
            } else {
                // Half a minute passes otherwise before a dependency is looked at again.
                command.arg("--requeue-dependency=2s");
            }
            plane.companion(program, command)?;
        }
        Ok(Self(world))
    }

    /// Commits what the example says of the operator, gives Flux the rest of the example, and returns the commit.
    async fn bootstrap(&mut self) -> Result<String> {
        let world = &mut self.0;
        world.forge.push_chart(&world.cluster, "0.1.0").await?;
        let mut given = Vec::new();
        for (file, mut manifest) in manifests()? {
            let kind = manifest["kind"].as_str().unwrap_or_default().to_owned();
            match kind.as_str() {
                "GitRepository" => {
                    manifest["spec"]["url"] = json!(world.forge.repository);
                }
                "OCIRepository" => {
                    let registry = &world.forge.registry;
                    let url = manifest["spec"]["url"].as_str().context("a URL")?;
                    let url = url.replace("registry.example.com", registry);
                    manifest["spec"]["url"] = json!(url);
                }
                "HelmRelease" => {
                    let settings = world.cluster.settings();
                    manifest["spec"]["values"]["config"] = settings["config"].clone();
                }
                _ => {}
            }
            if ["OCIRepository", "HelmRelease"].contains(&kind.as_str()) {
                world.put(&format!("operator/{kind}.yaml"), &manifest)?;
            } else {
                ensure!(
                    manifest["metadata"]["namespace"] == NAMESPACE,
                    "{file}: no namespace"
                );
                given.push(manifest);
            }
        }
        let commit = world.commit()?;
        world.apply(&given).await?;
        Ok(commit)
    }

    fn kustomizations(&self) -> Result<Api<DynamicObject>> {
        self.0.objects(KUSTOMIZE, "Kustomization", NAMESPACE)
    }

    /// Commits the working tree and has Flux look at Git now, as a webhook does.
    async fn push(&self) -> Result<String> {
        let commit = self.0.commit()?;
        let repositories = self.0.objects(SOURCE, "GitRepository", NAMESPACE)?;
        ask(&repositories, "fleet").await?;
        Ok(commit)
    }

    /// Waits until a Kustomization is Ready with a commit; fails when Flux says that it failed.
    async fn applied(&self, kustomization: &str, commit: &str) -> Result<DynamicObject> {
        let all = self.kustomizations()?;
        let last = std::cell::RefCell::new(None);
        settles(&format!("{kustomization} is applied"), async || {
            let object = all.get(kustomization).await?;
            let ready = condition(&object, "Ready").cloned().unwrap_or_default();
            last.replace(Some(object.data["status"].clone()));
            let revision = |member: &str| {
                let revision = object.data["status"][member].as_str();
                revision.is_some_and(|revision| revision.ends_with(commit))
            };
            if revision("lastAttemptedRevision") && ready["reason"] == "HealthCheckFailed" {
                bail!("Flux says: {ready}");
            }
            let applied = revision("lastAppliedRevision") && ready["status"] == "True";
            Ok(applied.then_some(object))
        })
        .await
        .with_context(|| format!("{:?}", last.take()))
    }

    /// Commits, and waits until the sources are as Git says.
    async fn sync(&self) -> Result<()> {
        let commit = self.push().await?;
        self.applied("sources", &commit).await?;
        Ok(())
    }

    /// Has Flux compare a Kustomization with the cluster once more, and waits until it has.
    async fn reconcile(&self, kustomization: &str) -> Result<()> {
        let all = self.kustomizations()?;
        let token = ask(&all, kustomization).await?;
        settles(&format!("{kustomization} is reconciled"), async || {
            let object = all.get(kustomization).await?;
            let handled = &object.data["status"]["lastHandledReconcileAt"];
            let ready = condition(&object, "Ready").is_some_and(|ready| ready["status"] == "True");
            Ok((*handled == *token && ready).then_some(()))
        })
        .await
    }
}

/// What `flux reconcile` does; returns the token that will be confirmed.
async fn ask(api: &Api<DynamicObject>, name: &str) -> Result<String> {
    let token = format!("{:016x}", fastrand::u64(..));
    annotate(api, name, "reconcile.fluxcd.io/requestedAt", &token).await?;
    Ok(token)
}

/// The manifests of the example, with the file that each is from.
fn manifests() -> Result<Vec<(String, Value)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/flux");
    let mut manifests = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let file = format!("flux/{}", entry?.file_name().display());
        if file.ends_with(".yaml") {
            let documents = example(&file)?.into_iter();
            manifests.extend(documents.map(|document| (file.clone(), document)));
        }
    }
    Ok(manifests)
}

/// Flux with the example applied, and the operator at work.
async fn fleet() -> Result<Flux> {
    let mut flux = Flux::start().await?;
    let commit = flux.bootstrap().await?;
    flux.applied("operator", &commit).await?;
    Ok(flux)
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_lives_the_whole_life_of_the_example() -> Result<()> {
    let mut flux = Flux::start().await?;
    flux.0.write("contracts", json!({}))?;
    let commit = flux.bootstrap().await?;
    flux.applied("sources", &commit).await?;
    flux.0.ready("contracts").await?;
    the_release_has_the_name_that_the_documentation_uses(&flux).await?;
    a_commit_becomes_ready(&mut flux).await?;
    nothing_drifts(&flux).await?;
    what_is_changed_by_hand_is_put_back(&flux).await?;
    several_changes_come_in_one_commit(&mut flux).await?;
    a_newer_chart_is_taken_and_touches_no_connector(&flux).await?;
    deleting_the_kustomizations_deletes_the_connectors_and_keeps_the_definition(&flux).await
}

async fn the_release_has_the_name_that_the_documentation_uses(flux: &Flux) -> Result<()> {
    let releases = flux.0.objects(HELM, "HelmRelease", NAMESPACE)?;
    let release = releases.get(RELEASE).await?;
    assert_eq!(release.data["status"]["history"][0]["name"], RELEASE);
    flux.0
        .kubectl(&["-n", SYSTEM, "get", "deployment", RELEASE])
        .await?;
    Ok(())
}

async fn a_commit_becomes_ready(flux: &mut Flux) -> Result<()> {
    flux.0
        .write("invoices", json!({ "remoteUrl": "dropbox://invoices" }))?;
    let began = Instant::now();
    let commit = flux.push().await?;
    flux.0.ready("invoices").await?;
    println!(
        "Flux: from commit to Ready in {:.1} s",
        began.elapsed().as_secs_f32()
    );
    flux.applied("sources", &commit).await?;
    println!(
        "Flux: from commit to a Ready Kustomization in {:.1} s",
        began.elapsed().as_secs_f32()
    );
    Ok(())
}

async fn nothing_drifts(flux: &Flux) -> Result<()> {
    const LOOKS: usize = 10;
    let before = flux.0.cluster.sources().get("contracts").await?;
    let writes = flux
        .0
        .cluster
        .api
        .requests_matching("PUT", "/api/v1/sources/")
        .len();
    for _ in 0..LOOKS {
        flux.reconcile("sources").await?;
    }
    let after = flux.0.cluster.sources().get("contracts").await?;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(after.resource_version(), before.resource_version());
    let written = flux
        .0
        .cluster
        .api
        .requests_matching("PUT", "/api/v1/sources/");
    assert_eq!(written.len(), writes);
    Ok(())
}

async fn what_is_changed_by_hand_is_put_back(flux: &Flux) -> Result<()> {
    let world = &flux.0;
    let before = world.ready("contracts").await?;
    world
        .cluster
        .edit("contracts", json!({ "remoteUrl": "dropbox://elsewhere" }))
        .await?;
    world.ready("contracts").await?;
    flux.reconcile("sources").await?;
    let mended = world.ready("contracts").await?;
    assert_eq!(mended.data["spec"]["remoteUrl"], "dropbox://data");
    assert_eq!(source_id(&mended), source_id(&before));

    world
        .cluster
        .sources()
        .delete("contracts", &DeleteParams::default())
        .await?;
    world.gone("contracts").await?;
    flux.reconcile("sources").await?;
    world.ready("contracts").await?;
    assert_eq!(world.connectors().len(), 2);
    Ok(())
}

async fn several_changes_come_in_one_commit(flux: &mut Flux) -> Result<()> {
    flux.0.write_one_of_each()?;
    flux.sync().await?;
    let edited = flux.0.ready("edited").await?;
    flux.0.change_one_of_each()?;
    flux.sync().await?;
    flux.0.one_of_each_is_changed(source_id(&edited)).await
}

async fn a_newer_chart_is_taken_and_touches_no_connector(flux: &Flux) -> Result<()> {
    let world = &flux.0;
    let pods = world.cluster.kubelet.pods();
    let connectors = world.connectors();
    world.forge.push_chart(&world.cluster, "0.1.1").await?;
    ask(&world.objects(SOURCE, "OCIRepository", NAMESPACE)?, RELEASE).await?;
    let releases = world.objects(HELM, "HelmRelease", NAMESPACE)?;
    settles("the release is upgraded", async || {
        let release = releases.get(RELEASE).await?;
        let latest = &release.data["status"]["history"][0];
        let deployed = latest["chartVersion"]
            .as_str()
            .is_some_and(|v| v.starts_with("0.1.1"));
        Ok((deployed && latest["status"] == "deployed").then_some(()))
    })
    .await?;
    let running = world.cluster.kubelet.pods();
    assert!(
        pods.keys().all(|pod| !running.contains_key(pod)),
        "{running:?}"
    );
    world
        .cluster
        .edit("new", json!({ "recursive": true }))
        .await?;
    world.ready("new").await?;
    assert_eq!(world.connectors(), connectors);
    Ok(())
}

async fn deleting_the_kustomizations_deletes_the_connectors_and_keeps_the_definition(
    flux: &Flux,
) -> Result<()> {
    let all = flux.kustomizations()?;
    for name in ["sources", "operator"] {
        all.delete(name, &DeleteParams::default()).await?;
        settles(&format!("{name} is gone"), async || {
            Ok(all.get_opt(name).await?.is_none().then_some(()))
        })
        .await?;
        if name == "sources" {
            let left = settles("the connectors are gone", async || {
                let left = flux.0.connectors();
                Ok((left.len() == 1).then_some(left))
            })
            .await?;
            assert!(left[0].contains("retained"), "{left:?}");
        }
    }
    settles("the pods are gone", async || {
        Ok(flux.0.cluster.kubelet.pods().is_empty().then_some(()))
    })
    .await?;
    flux.0
        .cluster
        .sources()
        .list(&kube::api::ListParams::default())
        .await?;
    Ok(())
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_prunes_sources_together_with_the_keys_of_their_workspaces() -> Result<()> {
    let mut flux = fleet().await?;
    let workspaces = super::write_sources_with_keys(&mut flux.0)?;
    flux.sync().await?;
    super::remove_sources_with_keys(&mut flux.0);
    flux.sync().await?;
    super::nothing_is_left(&flux.0, &workspaces).await
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_goes_on_past_a_source_that_is_suspended_in_git() -> Result<()> {
    let mut flux = fleet().await?;
    flux.0.write("contracts", json!({}))?;
    flux.sync().await?;
    flux.0.write("contracts", json!({ "suspend": true }))?;
    flux.sync().await?;
    flux.0.write("contracts", json!({ "recursive": true }))?;
    flux.sync().await?;
    flux.0.ready("contracts").await?;
    assert_eq!(
        flux.0.cluster.workspace.sources()[0].config["recursive"],
        true
    );
    Ok(())
}

/// Suspended with a change that is not sent: Flux fails at once, and takes the commit that resumes.
#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_takes_the_next_commit_after_one_that_is_suspended_and_not_sent() -> Result<()> {
    let mut flux = fleet().await?;
    flux.0.write("contracts", json!({}))?;
    flux.sync().await?;
    flux.0
        .write("contracts", json!({ "suspend": true, "recursive": true }))?;
    let commit = flux.push().await?;
    let refused = flux.applied("sources", &commit).await;
    let refused = format!("{:#}", refused.err().context("Flux takes it for ready")?);
    ensure!(refused.contains("HealthCheckFailed"), "{refused}");
    flux.0.write("contracts", json!({ "recursive": true }))?;
    flux.sync().await
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_waits_for_a_secret_that_comes_after_its_source() -> Result<()> {
    let mut flux = fleet().await?;
    flux.0.write(
        "contracts",
        json!({ "credentials": { "secretRef": { "name": "late" } } }),
    )?;
    let commit = flux.push().await?;
    super::the_secret_comes_late(&flux.0).await?;
    flux.applied("sources", &commit).await?;
    Ok(())
}
