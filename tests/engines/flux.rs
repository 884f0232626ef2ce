//! Flux: its source-, kustomize- and helm-controller, as they are released.

use std::process::Command;

use anyhow::{Context, Result, bail};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use support::controlplane::unused_port;
use support::go::Recipe;
use support::stage::{condition, create_namespace};

use super::pipelines::{Layout, Pipelines, Removal};
use super::{Engine, World, annotate, built, example, gone, until};
use crate::install::cluster::RELEASE;

/// Where Flux is, and all of its objects.
const NAMESPACE: &str = "flux-system";
/// The Kustomizations of a pipeline, what others wait for first.
const PIPELINE: [&str; 2] = ["pipeline", "runs"];
const SOURCE: &str = "source.toolkit.fluxcd.io/v1";

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
            DEFINITIONS,
            "definitions",
        ),
        (
            "github.com/fluxcd/kustomize-controller",
            DEFINITIONS,
            "definitions",
        ),
        (
            "github.com/fluxcd/helm-controller",
            DEFINITIONS,
            "definitions",
        ),
    ],
    ..Recipe::PLAIN
};
const DEFINITIONS: &str = "config/crd/bases";

/// A world in which Flux runs.
pub struct Flux(World);

impl Flux {
    /// With the example applied, and the operator at work.
    pub async fn fleet() -> Result<Self> {
        let mut flux = Self::start().await?;
        let commit = flux.bootstrap().await?;
        flux.applied("operator", &commit).await?;
        Ok(flux)
    }

    async fn start() -> Result<Self> {
        let programs = built(RECIPE).await?;
        let world = World::new().await?;
        let (plane, home) = (&world.cluster.plane, world.cluster.directory.path());
        create_namespace(&world.cluster.client, NAMESPACE).await?;
        let definitions = programs.join("definitions");
        let apply = format!("apply --server-side -f {}", definitions.display());
        world.kubectl(&apply).await?;

        let storage = home.join("flux-storage");
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
                .env("TMPDIR", home)
                .env("HOME", home);
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

    /// Commits the operator of the example, gives Flux the rest of it, and returns the commit.
    async fn bootstrap(&mut self) -> Result<String> {
        let world = &mut self.0;
        world.forge.push_chart(&world.cluster, "0.1.0").await?;
        for mut manifest in example("flux/operator.yaml")? {
            let name = manifest["kind"].as_str().unwrap_or_default().to_owned();
            let spec = &mut manifest["spec"];
            match name.as_str() {
                "OCIRepository" => {
                    let url = spec["url"].as_str().context("a URL")?;
                    spec["url"] = json!(url.replace("registry.example.com", &world.forge.registry));
                }
                "HelmRelease" => {
                    spec["values"]["config"] = world.cluster.settings()["config"].clone();
                }
                _ => {}
            }
            world.put_into("operator", &name, &manifest)?;
        }
        let commit = world.commit()?;
        let mut given = [example("flux/fleet.yaml")?, example("flux/sources.yaml")?].concat();
        for manifest in &mut given {
            if manifest["kind"] == "GitRepository" {
                manifest["spec"]["url"] = json!(world.forge.repository);
            }
        }
        world.apply(&given).await?;
        Ok(commit)
    }

    fn kustomizations(&self) -> Api<DynamicObject> {
        let version = "kustomize.toolkit.fluxcd.io/v1";
        self.0.objects(version, "Kustomization", NAMESPACE)
    }

    /// Waits until a Kustomization is Ready with a commit; fails when Flux says that it failed.
    pub async fn applied(&self, kustomization: &str, commit: &str) -> Result<()> {
        until(&self.kustomizations(), kustomization, |object| {
            let object = object.context("there is none")?;
            let ready = condition(object, "Ready").cloned().unwrap_or_default();
            let is = |member: &str| {
                let revision = object.data["status"][member].as_str();
                revision.is_some_and(|revision| revision.ends_with(commit))
            };
            if is("lastAttemptedRevision") && ready["reason"] == "HealthCheckFailed" {
                bail!("the engine says: {ready}");
            }
            let applied = is("lastAppliedRevision") && ready["status"] == "True";
            Ok(applied.then_some(()))
        })
        .await
    }

    /// Has a Kustomization applied once more, and waits until it is Ready again.
    async fn reconciled(&self, kustomization: &str) -> Result<()> {
        let all = self.kustomizations();
        let token = ask(&all, kustomization).await?;
        until(&all, kustomization, |object| {
            let object = object.context("there is none")?;
            let ready = condition(object, "Ready").is_some_and(|ready| ready["status"] == "True");
            let handled = object.data["status"]["lastHandledReconcileAt"] == token;
            Ok((ready && handled).then_some(()))
        })
        .await
    }

    /// Waits until Flux has a commit at hand.
    pub async fn fetched(&self, commit: &str) -> Result<()> {
        let repositories = self.0.objects(SOURCE, "GitRepository", NAMESPACE);
        until(&repositories, "fleet", |object| {
            let artifact = object.map(|object| &object.data["status"]["artifact"]["revision"]);
            let revision = artifact.and_then(Value::as_str).unwrap_or_default();
            Ok(revision.ends_with(commit).then_some(()))
        })
        .await
    }

    /// The commit that Flux tried last for a Kustomization, and what it says of it.
    pub async fn attempted(&self, kustomization: &str) -> Result<(String, Value)> {
        let object = self.kustomizations().get(kustomization).await?;
        let revision = object.data["status"]["lastAttemptedRevision"].as_str();
        let commit = revision.unwrap_or_default().rsplit(':').next();
        let ready = condition(&object, "Ready").cloned().unwrap_or_default();
        Ok((commit.unwrap_or_default().to_owned(), ready))
    }

    async fn delete(&self, kustomization: &str) -> Result<()> {
        let all = self.kustomizations();
        all.delete(kustomization, &DeleteParams::default()).await?;
        gone(&all, kustomization).await
    }
}

impl Engine for Flux {
    const NAME: &str = "Flux";

    fn world(&self) -> &World {
        &self.0
    }

    fn world_mut(&mut self) -> &mut World {
        &mut self.0
    }

    async fn push(&self) -> Result<String> {
        let commit = self.0.commit()?;
        let repositories = self.0.objects(SOURCE, "GitRepository", NAMESPACE);
        ask(&repositories, "fleet").await?;
        Ok(commit)
    }

    async fn synced(&self, commit: &str) -> Result<()> {
        self.applied("sources", commit).await
    }

    async fn look(&self) -> Result<bool> {
        self.reconciled("sources").await?;
        Ok(true)
    }

    /// Nothing but the registry has to change: the example takes every version of its range.
    async fn upgrade(&self, version: &str) -> Result<()> {
        let charts = self.0.objects(SOURCE, "OCIRepository", NAMESPACE);
        ask(&charts, RELEASE).await?;
        let kind = ("helm.toolkit.fluxcd.io/v2", "HelmRelease");
        let releases = self.0.objects(kind.0, kind.1, NAMESPACE);
        until(&releases, RELEASE, |object| {
            let latest = object.map(|object| &object.data["status"]["history"][0]);
            let deployed = latest.is_some_and(|latest| {
                let installed = latest["chartVersion"].as_str().unwrap_or_default();
                installed.starts_with(version) && latest["status"] == "deployed"
            });
            Ok(deployed.then_some(()))
        })
        .await
    }

    async fn delete_sources(&self) -> Result<()> {
        self.delete("sources").await
    }

    async fn delete_operator(&self) -> Result<()> {
        self.delete("operator").await
    }
}

impl Pipelines for Flux {
    const RUNS: &str = "runs";
    const HEAPS: &[bool] = &[false];

    /// Flux takes every manifest of a directory.
    fn lay_out(&mut self, _names: &[String], _layout: Layout) -> Result<()> {
        Ok(())
    }

    async fn take_up(&self) -> Result<()> {
        // What is still there of an earlier commit is not for this pipeline.
        let commit = self.push().await?;
        self.fetched(&commit).await?;
        self.0.apply(&example("flux/pipeline.yaml")?).await
    }

    async fn deploy(&self) -> Result<()> {
        let commit = self.push().await?;
        for kustomization in PIPELINE {
            self.applied(kustomization, &commit).await?;
        }
        Ok(())
    }

    async fn compare(&self) -> Result<bool> {
        for kustomization in PIPELINE {
            self.reconciled(kustomization).await?;
        }
        Ok(true)
    }

    async fn well(&self) -> Result<()> {
        self.compare().await?;
        Ok(())
    }

    async fn let_go(&self, how: Removal) -> Result<()> {
        let all = self.kustomizations();
        let mut order = PIPELINE;
        if how == Removal::ParentOtherwise {
            order.reverse();
            for kustomization in order {
                let policy = json!({ "spec": { "deletionPolicy": "WaitForTermination" } });
                let patch = Patch::Merge(policy);
                all.patch(kustomization, &PatchParams::default(), &patch)
                    .await?;
            }
        }
        for kustomization in order {
            if all.get_opt(kustomization).await?.is_some() {
                all.delete(kustomization, &DeleteParams::default()).await?;
            }
        }
        for kustomization in order {
            gone(&all, kustomization).await?;
        }
        Ok(())
    }

    async fn verdict_on_the_job(&self) -> Result<String> {
        let runs = self.kustomizations().get("runs").await?;
        Ok(condition(&runs, "Ready")
            .unwrap_or(&Value::Null)
            .to_string())
    }
}

/// What `flux reconcile` does; returns the token that will be confirmed.
async fn ask(api: &Api<DynamicObject>, name: &str) -> Result<Value> {
    let token = format!("{:016x}", fastrand::u64(..));
    annotate(api, name, "reconcile.fluxcd.io/requestedAt", &token).await?;
    Ok(json!(token))
}
