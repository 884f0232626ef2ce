//! Argo CD's core, its application-controller and repo-server, as they are released.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use kube::api::{DeleteParams, DynamicObject};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::controlplane::unused_port;
use support::go::Recipe;
use support::stage::create_namespace;

use super::pipelines::{Layout, Pipelines, Removal};
use super::{Engine, World, annotate, built, example, gone, settles, until};
use crate::install::cluster::{RELEASE, TEAM};

/// Where Argo CD is, and all of its objects.
const NAMESPACE: &str = "argocd";
const VERSION: &str = "argoproj.io/v1alpha1";
/// The Application of the resources.
const SOURCES: &str = "sources";
/// The Application of a pipeline, and its directory in Git.
const PIPELINE: &str = "pipeline";
/// What makes the deletion of an Application delete what is in it.
const CASCADE: &str = "resources-finalizer.argocd.argoproj.io";

/// The annotation that has Argo CD look at Git at once.
const REFRESH: &str = "argocd.argoproj.io/refresh";

const RECIPE: Recipe = Recipe {
    name: "Argo CD",
    directory: "engines/argocd",
    programs: &["argocd"],
    effort: (1700, "ten minutes"),
    files: &[
        (MODULE, "manifests/crds", "definitions"),
        (MODULE, "manifests/base/config", "config"),
    ],
    ..Recipe::PLAIN
};
/// Argo CD calls a program of this name; kubectl has Kustomize in it.
const KUSTOMIZE: &str = r#"[ "$1" = build ] && shift && exec kubectl kustomize "$@"
echo "no kustomize $*" >&2
exit 1
"#;
const MODULE: &str = "github.com/argoproj/argo-cd/v3";

/// A world in which Argo CD runs, with the health check of the example.
pub struct ArgoCd(World);

impl ArgoCd {
    /// With the example applied, and the operator at work.
    pub async fn fleet() -> Result<Self> {
        let argocd = Self::start().await?;
        argocd.bootstrap().await?;
        // On a busy machine, Argo CD does not always notice by itself that the pods have become ready.
        settles("the operator is Healthy", async || {
            let looked = argocd.refresh(RELEASE).await?;
            let healthy = looked.data["status"]["health"]["status"] == "Healthy";
            Ok(healthy.then_some(()))
        })
        .await?;
        Ok(argocd)
    }

    async fn start() -> Result<Self> {
        let programs = built(RECIPE).await?;
        let argocd = Self(World::new().await?);
        argocd.install(&programs).await?;
        let repositories = format!("127.0.0.1:{}", unused_port()?);
        let (host, port) = repositories.split_once(':').context("an address")?;
        // Without TLS, Argo CD refuses the path of a client's authority, which it has by default.
        let options = format!("--address={host} --port={port} --disable-tls --client-ca-path=");
        argocd.run(&programs, "argocd-repo-server", &options)?;
        settles("Argo CD's repo-server answers", async || {
            Ok(TcpStream::connect(&repositories).ok())
        })
        .await?;
        let options =
            format!("--repo-server={repositories} --repo-server-plaintext --namespace={NAMESPACE}");
        argocd.run(&programs, "argocd-application-controller", &options)?;
        Ok(argocd)
    }

    /// Its own manifests, the command of the documentation, and what its web server makes when it starts for the first time.
    async fn install(&self, programs: &Path) -> Result<()> {
        let world = &self.0;
        create_namespace(&world.cluster.client, NAMESPACE).await?;
        let files = programs.display();
        for arguments in [
            format!("apply --server-side -k {files}/definitions"),
            format!("apply -n {NAMESPACE} -k {files}/config"),
            format!(
                "patch configmap argocd-cm -n argocd --patch-file {}/examples/argocd/argocd-cm.yaml",
                env!("CARGO_MANIFEST_DIR")
            ),
            format!(
                r#"patch secret argocd-secret -n {NAMESPACE} -p {{"stringData":{{"server.secretkey":"signs-nothing"}}}}"#
            ),
        ] {
            world.kubectl(&arguments).await?;
        }
        let anything = json!([{ "group": "*", "kind": "*" }]);
        let project = json!({
            "apiVersion": VERSION, "kind": "AppProject",
            "metadata": { "name": "default", "namespace": NAMESPACE },
            "spec": {
                "sourceRepos": ["*"], "destinations": [{ "server": "*", "namespace": "*" }],
                "clusterResourceWhitelist": anything,
            },
        });
        world.apply(&[project]).await
    }

    /// Runs one of its components.
    fn run(&self, programs: &Path, component: &str, arguments: &str) -> Result<()> {
        let plane = &self.0.cluster.plane;
        let home = self.0.cluster.directory.path().join(component);
        let part = |name: &str| -> Result<PathBuf> {
            let directory = home.join(name);
            std::fs::create_dir_all(&directory)?;
            Ok(directory)
        };
        let bin = part("bin")?;
        symlink(plane.helm_program(), bin.join("helm"))?;
        symlink(plane.helm_program(), bin.join("kubectl"))?;
        script(&bin, "kustomize", KUSTOMIZE)?;
        // It is in Argo CD's image, asks gpg about each commit, and says nothing of one that is not signed.
        script(&bin, "git-verify-wrapper.sh", "exit 0\n")?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(programs.join("argocd"));
        command
            .arg(component)
            .args(arguments.split_whitespace())
            .arg(format!("--redis={}", self.0.forge.redis))
            .arg(format!("--metrics-port={}", unused_port()?))
            .env("ARGOCD_FAKE_IN_CLUSTER", "true")
            .env("ARGOCD_GPG_ENABLED", "false")
            .env("ARGOCD_TLS_DATA_PATH", part("tls")?)
            .env("ARGOCD_SSH_DATA_PATH", part("ssh")?)
            .env("ARGOCD_GNUPGHOME", part("gpg")?)
            .env("ARGOCD_PLUGINSOCKFILEPATH", part("plugins")?)
            .env("KUBECONFIG", plane.kubeconfig_path())
            .env("SSL_CERT_FILE", plane.authority())
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", &home)
            .env("TMPDIR", part("tmp")?);
        plane.companion(component, command)?;
        Ok(())
    }

    /// Applies the example, and an Application for the resources, as the documentation asks for one.
    async fn bootstrap(&self) -> Result<()> {
        let world = &self.0;
        world.forge.push_chart(&world.cluster, "0.1.0").await?;
        world.commit()?;
        let mut given = example("argocd/application.yaml")?;
        for manifest in &mut given {
            let source = &mut manifest["spec"]["source"];
            let url = source["repoURL"].as_str().context("a URL")?;
            source["repoURL"] = json!(url.replace("registry.example.com", &world.forge.registry));
            let values = &mut source["helm"]["valuesObject"];
            values["config"] = world.cluster.settings()["config"].clone();
        }
        given.push(json!({
            "apiVersion": VERSION, "kind": "Application",
            "metadata": { "name": SOURCES, "namespace": NAMESPACE, "finalizers": [CASCADE] },
            "spec": {
                "project": "default",
                "source": { "repoURL": world.forge.repository, "path": "sources", "targetRevision": "main" },
                "destination": { "server": "https://kubernetes.default.svc", "namespace": TEAM },
                "syncPolicy": {
                    "automated": { "prune": true, "selfHeal": true },
                    "retry": { "limit": 5, "refresh": true },
                },
            },
        }));
        world.apply(&given).await
    }

    fn applications(&self) -> Api<DynamicObject> {
        self.0.objects(VERSION, "Application", NAMESPACE)
    }

    /// Has Argo CD look at an Application now, as a webhook does, and waits until it has.
    async fn refresh(&self, application: &str) -> Result<DynamicObject> {
        let all = self.applications();
        annotate(&all, application, REFRESH, "normal").await?;
        self.refreshed(application).await
    }

    /// Waits until it has looked, where it was told to.
    async fn refreshed(&self, application: &str) -> Result<DynamicObject> {
        until(&self.applications(), application, |object| {
            let refreshed = object.filter(|object| !object.annotations().contains_key(REFRESH));
            Ok(refreshed.cloned())
        })
        .await
    }

    /// Waits until `what` finds in the status of an Application what it looks for.
    async fn until<T>(
        &self,
        application: &str,
        what: impl Fn(&Value) -> Result<Option<T>>,
    ) -> Result<T> {
        until(&self.applications(), application, |object| {
            what(&object.context("there is none")?.data["status"])
        })
        .await
    }

    /// Waits until the last operation of an Application has brought about this commit.
    async fn synced_application(&self, application: &str, commit: &str) -> Result<()> {
        self.until(application, |status| {
            let operation = &status["operationState"];
            if operation["syncResult"]["revision"] != *commit {
                return Ok(None);
            }
            match operation["phase"].as_str() {
                Some("Succeeded") => Ok(Some(())),
                Some("Failed" | "Error") => bail!("the engine says: {operation}"),
                // It has failed, and is tried again five times, in which minutes pass.
                Some("Running") if operation["message"].to_string().contains("Retrying") => {
                    bail!("the engine says: {operation}")
                }
                _ => Ok(None),
            }
        })
        .await
    }

    async fn patch(&self, application: &str, patch: &Value) -> Result<()> {
        let patch =
            format!("patch application {application} -n {NAMESPACE} --type=merge -p {patch}");
        self.0.kubectl(&patch).await?;
        Ok(())
    }

    /// Waits until Argo CD says of the pipeline's Application why it does not sync it.
    pub async fn refuses_to_sync(&self, why: &str) -> Result<()> {
        self.refresh(PIPELINE).await?;
        self.until(PIPELINE, |status| {
            Ok(status["conditions"].to_string().contains(why).then_some(()))
        })
        .await
    }

    /// Takes the operator's Application away and leaves the operator: nobody puts back what is changed by hand.
    pub async fn let_go_of_the_operator(&self) -> Result<()> {
        let all = self.applications();
        all.delete(RELEASE, &DeleteParams::default()).await?;
        gone(&all, RELEASE).await
    }
}

impl Engine for ArgoCd {
    const NAME: &str = "Argo CD";

    fn world(&self) -> &World {
        &self.0
    }

    fn world_mut(&mut self) -> &mut World {
        &mut self.0
    }

    async fn push(&self) -> Result<String> {
        let commit = self.0.commit()?;
        self.refresh(SOURCES).await?;
        Ok(commit)
    }

    async fn synced(&self, commit: &str) -> Result<()> {
        self.synced_application(SOURCES, commit).await
    }

    async fn look(&self) -> Result<bool> {
        let mut synced = true;
        for application in [SOURCES, RELEASE] {
            let looked = self.refresh(application).await?;
            synced &= looked.data["status"]["sync"]["status"] == "Synced";
        }
        Ok(synced)
    }

    async fn upgrade(&self, version: &str) -> Result<()> {
        let newer = json!({ "spec": { "source": { "targetRevision": version } } });
        self.patch(RELEASE, &newer).await?;
        self.until(RELEASE, |status| {
            let operation = &status["operationState"];
            let done = operation["syncResult"]["revision"] == *version
                && operation["phase"] == "Succeeded"
                && status["health"]["status"] == "Healthy";
            Ok(done.then_some(()))
        })
        .await
    }

    async fn delete_sources(&self) -> Result<()> {
        let all = self.applications();
        all.delete(SOURCES, &DeleteParams::default()).await?;
        gone(&all, SOURCES).await
    }

    async fn delete_operator(&self) -> Result<()> {
        let cascade = json!({ "metadata": { "finalizers": [CASCADE] } });
        self.patch(RELEASE, &cascade).await?;
        self.let_go_of_the_operator().await
    }
}

/// Writes a script that is called by its name.
fn script(bin: &Path, name: &str, text: &str) -> Result<()> {
    let program = bin.join(name);
    fs::write(&program, format!("#!/bin/sh\n{text}"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

impl Pipelines for ArgoCd {
    const RUNS: &str = PIPELINE;
    const HEAPS: &[bool] = &[false, true];

    /// The waves of the example; without it, all manifests of the directory are of one wave.
    fn lay_out(&mut self, names: &[String], layout: Layout) -> Result<()> {
        const FILE: &str = "kustomization";
        if layout.heap {
            let path = format!("{PIPELINE}/{FILE}.yaml");
            self.0.files.remove(&path);
            return Ok(());
        }
        let mut waves = example("argocd/kustomization.yaml")?.pop();
        let waves = waves.as_mut().context("a file")?;
        waves["resources"] = json!(names);
        self.0.put_into(PIPELINE, FILE, waves)
    }

    async fn take_up(&self) -> Result<()> {
        let mut given = example("argocd/pipeline.yaml")?;
        given[0]["spec"]["source"]["repoURL"] = json!(self.0.forge.repository);
        // What Argo CD remembers of the branch is not for this pipeline.
        given[0]["metadata"]["annotations"] = json!({ REFRESH: "normal" });
        self.0.apply(&given).await?;
        self.refreshed(PIPELINE).await?;
        Ok(())
    }

    async fn deploy(&self) -> Result<()> {
        let commit = self.0.commit()?;
        self.refresh(PIPELINE).await?;
        self.synced_application(PIPELINE, &commit).await
    }

    async fn compare(&self) -> Result<bool> {
        let looked = self.refresh(PIPELINE).await?;
        Ok(looked.data["status"]["sync"]["status"] == "Synced")
    }

    async fn well(&self) -> Result<()> {
        self.refresh(PIPELINE).await?;
        self.until(PIPELINE, |status| {
            let well =
                status["health"]["status"] == "Healthy" && status["sync"]["status"] == "Synced";
            Ok(well.then_some(()))
        })
        .await
    }

    async fn let_go(&self, how: Removal) -> Result<()> {
        let all = self.applications();
        if all.get_opt(PIPELINE).await?.is_none() {
            return Ok(());
        }
        if how == Removal::ParentOtherwise {
            let background = format!("{CASCADE}/background");
            let finalizers = json!({ "metadata": { "finalizers": [background] } });
            self.patch(PIPELINE, &finalizers).await?;
        }
        all.delete(PIPELINE, &DeleteParams::default()).await?;
        gone(&all, PIPELINE).await
    }

    async fn verdict_on_the_job(&self) -> Result<String> {
        let looked = self.refresh(PIPELINE).await?;
        let status = &looked.data["status"];
        Ok(format!("{} {}", status["sync"]["status"], status["health"]))
    }
}
