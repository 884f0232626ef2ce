//! The product under the real engines: Flux and Argo CD, built from their modules, pull the chart from a registry and the resources
//! from Git, from `examples` as they are but for URLs. Pods run as processes, both APIs are fakes.
//!
//! They take minutes to build and minutes to run: `cargo test --test main -- --ignored engines::`.

mod argocd;
mod flux;
mod forge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::{Value, json};
use support::fake::unstructured::WorkspaceHandle;
use support::go::{Module, Recipe};
use support::stage::{condition, manifest, source_id};
use tokio::time::Instant;

use crate::install::cluster::{Cluster, TEAM};
use forge::Forge;

/// An engine waits for intervals and backoffs of its own; nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_mins(4);

/// A cluster, and what its engine pulls from.
struct World {
    forge: Forge,
    cluster: Cluster,
    /// What is in Git, by path.
    files: BTreeMap<String, String>,
}

impl World {
    async fn new() -> Result<Self> {
        let cluster = Cluster::start().await?;
        let forge = Forge::start(&cluster).await?;
        Ok(Self {
            forge,
            cluster,
            files: BTreeMap::new(),
        })
    }

    /// Puts a source into the working tree.
    fn write(&mut self, name: &str, spec: Value) -> Result<()> {
        let mut source = serde_json::to_value(manifest(name, spec))?;
        source["metadata"]["namespace"] = json!(TEAM);
        self.put(&format!("sources/{name}.yaml"), &source)
    }

    /// Puts a Secret into the working tree, as a tool would that decrypts it there.
    fn write_secret(&mut self, name: &str, data: &Value) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "stringData": data,
            "metadata": { "name": name, "namespace": TEAM },
        });
        self.put(&format!("sources/{name}-secret.yaml"), &secret)
    }

    fn put(&mut self, path: &str, manifest: &Value) -> Result<()> {
        self.files
            .insert(path.to_owned(), serde_yaml::to_string(manifest)?);
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// Commits and pushes the working tree, and returns the commit's id.
    fn commit(&self) -> Result<String> {
        self.forge.commit(&self.files)
    }

    /// `kubectl apply -f` of these manifests.
    async fn apply(&self, manifests: &[Value]) -> Result<()> {
        let path = self.cluster.directory.path().join("applied.yaml");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
        std::fs::write(&path, list.to_string())?;
        self.kubectl(&["apply", "-f", &path.display().to_string()])
            .await?;
        Ok(())
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .cluster
            .plane
            .kubectl()
            .args(arguments)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The objects of a kind in a namespace.
    fn objects(&self, version: &str, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
        objects(&self.cluster.client, version, kind, namespace)
    }

    /// Waits until a resource is as `what` says.
    async fn source(
        &self,
        name: &str,
        what: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        let last = std::cell::RefCell::new(None);
        let found = settles(name, async || {
            let object = self.cluster.sources().get_opt(name).await?;
            let found = object.clone().filter(|object| what(object));
            last.replace(object);
            Ok(found)
        })
        .await;
        found.with_context(|| format!("{:?}", last.take().map(|object| object.data)))
    }

    async fn ready(&self, name: &str) -> Result<DynamicObject> {
        self.source(name, |object| {
            let ready = condition(object, "Ready").is_some_and(|ready| ready["status"] == "True");
            ready
                && object.data["status"]["observedGeneration"].as_i64()
                    == object.metadata.generation
        })
        .await
    }

    /// Waits until a resource is gone; says why not.
    async fn gone(&self, name: &str) -> Result<()> {
        let last = std::cell::RefCell::new(None);
        settles(&format!("{name} is gone"), async || {
            let object = self.cluster.sources().get_opt(name).await?;
            let gone = object.is_none().then_some(());
            last.replace(object);
            Ok(gone)
        })
        .await
        .with_context(|| format!("{:?}", last.take().map(|object| object.data)))
    }

    /// The events about a resource, as (type, reason, note).
    async fn events(&self, name: &str) -> Result<Vec<(String, String, String)>> {
        let events = self.objects("events.k8s.io/v1", "Event", TEAM)?;
        let all = events.list(&kube::api::ListParams::default()).await?;
        let about = all
            .items
            .iter()
            .filter(|event| event.data["regarding"]["name"] == name);
        let text = |event: &DynamicObject, member: &str| {
            event.data[member].as_str().unwrap_or_default().to_owned()
        };
        Ok(about
            .map(|event| {
                (
                    text(event, "type"),
                    text(event, "reason"),
                    text(event, "note"),
                )
            })
            .collect())
    }

    /// Writes what [`Self::change_one_of_each`] changes.
    fn write_one_of_each(&mut self) -> Result<()> {
        for name in ["edited", "renamed", "retained", "deleted"] {
            let folder = format!("dropbox://{name}");
            let policy = if name == "retained" {
                "Retain"
            } else {
                "Delete"
            };
            self.write(
                name,
                json!({ "remoteUrl": folder, "deletionPolicy": policy }),
            )?;
        }
        Ok(())
    }

    /// One is new, one is edited, one has another name, one goes and leaves its connector, one goes with it.
    fn change_one_of_each(&mut self) -> Result<()> {
        self.write("new", json!({ "remoteUrl": "dropbox://new" }))?;
        self.write(
            "edited",
            json!({ "remoteUrl": "dropbox://edited", "recursive": true }),
        )?;
        self.write("another-name", json!({ "remoteUrl": "dropbox://renamed" }))?;
        for name in ["renamed", "retained", "deleted"] {
            self.remove(&format!("sources/{name}.yaml"));
        }
        Ok(())
    }

    /// That is how it is, and the edited one kept its connector.
    async fn one_of_each_is_changed(&self, edited: Option<&str>) -> Result<()> {
        for name in ["renamed", "retained", "deleted"] {
            self.gone(name).await?;
        }
        for name in ["new", "another-name"] {
            self.ready(name).await?;
        }
        assert_eq!(source_id(&self.ready("edited").await?), edited);
        let names = [
            "another-name",
            "contracts",
            "edited",
            "invoices",
            "new",
            "retained",
        ];
        let connectors = self.connectors();
        assert_eq!(connectors.len(), names.len(), "{connectors:?}");
        for (connector, name) in connectors.iter().zip(names) {
            assert!(connector.contains(name), "{connectors:?}");
        }
        Ok(())
    }

    /// The names of the connectors that exist.
    fn connectors(&self) -> Vec<String> {
        let sources = self.cluster.workspace.sources();
        let mut names: Vec<_> = sources.into_iter().map(|source| source.name).collect();
        names.sort();
        names
    }
}

fn objects(
    client: &Client,
    version: &str,
    kind: &str,
    namespace: &str,
) -> Result<Api<DynamicObject>> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Ok(Api::namespaced_with(client.clone(), namespace, &resource))
}

/// Sets an annotation.
async fn annotate(api: &Api<DynamicObject>, name: &str, key: &str, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits, for as long as an engine may take.
async fn settles<T>(what: &str, probe: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("never happened: {what}")
}

/// The programs of a recipe, built if need be.
async fn built(recipe: Recipe) -> Result<PathBuf> {
    // The build blocks its thread.
    tokio::task::spawn_blocking(move || Module::locate(recipe)?.programs()).await?
}

/// The manifests of a file below `examples`.
fn example(path: &str) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(path);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    Ok(documents.collect::<Result<_, _>>()?)
}

/// As many as show that what depends on who comes first does not depend on it.
const PRUNED: usize = 7;

/// Writes sources, each in a workspace of its own whose key is beside it; returns the workspaces.
fn write_sources_with_keys(world: &mut World) -> Result<Vec<WorkspaceHandle>> {
    (0..PRUNED)
        .map(|n| {
            let key = format!("key-of-workspace-{n}-7d1c");
            world.write_secret(&format!("key-{n}"), &json!({ "api_key": key }))?;
            let workspace = json!({ "apiKeySecretRef": { "name": format!("key-{n}") } });
            let spec =
                json!({ "remoteUrl": format!("dropbox://data/{n}"), "workspace": workspace });
            world.write(&format!("source-{n}"), spec)?;
            Ok(world.cluster.api.workspace(&key))
        })
        .collect()
}

fn remove_sources_with_keys(world: &mut World) {
    for n in 0..PRUNED {
        world.remove(&format!("sources/source-{n}.yaml"));
        world.remove(&format!("sources/key-{n}-secret.yaml"));
    }
}

/// Every source is gone, without a complaint, and with it its connector.
async fn nothing_is_left(world: &World, workspaces: &[WorkspaceHandle]) -> Result<()> {
    for (n, workspace) in workspaces.iter().enumerate() {
        let name = format!("source-{n}");
        world.gone(&name).await?;
        ensure!(workspace.sources().is_empty(), "{name} left its connector");
        for (kind, reason, note) in world.events(&name).await? {
            ensure!(kind != "Warning", "{name}: {reason}: {note}");
        }
    }
    Ok(())
}

/// Creates the Secret `late` once `contracts` has missed it, as External Secrets does.
async fn the_secret_comes_late(world: &World) -> Result<()> {
    let misses = |object: &DynamicObject| {
        condition(object, "Ready").is_some_and(|ready| ready["reason"] == "SecretNotFound")
    };
    world.source("contracts", misses).await?;
    // A second look of the engine falls in between.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.cluster.credentials_as("late").await?;
    world.ready("contracts").await?;
    Ok(())
}
