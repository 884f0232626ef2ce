//! The product under the real engines: Flux and Argo CD, built from their modules, pull the chart from a registry and the resources
//! from Git, from `examples` as they are but for URLs. Pods run as processes, both APIs are fakes.
//!
//! They take minutes to build and minutes to run: `.ci/engines`.

mod argocd;
mod flux;
mod forge;
mod life;
mod orders;
mod pipelines;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde::Deserialize;
use serde_json::{Value, json};
use support::go::{Module, Recipe};
use support::stage::{condition, manifest};
use tokio::time::Instant;

use crate::install::cluster::{Cluster, TEAM};
use forge::Forge;

/// An engine waits for intervals and backoffs of its own; nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_mins(4);

/// What both engines do, each in its own way.
trait Engine {
    const NAME: &str;

    fn world(&self) -> &World;

    fn world_mut(&mut self) -> &mut World;

    /// Commits what was written, and has the engine look at Git now, as a webhook does; returns the commit.
    async fn push(&self) -> Result<String>;

    /// Waits until the resources are as this commit says; fails when the engine says that it has failed.
    async fn synced(&self, commit: &str) -> Result<()>;

    /// Has the engine compare once more, and says whether all was in sync, as far as the engine tells.
    async fn look(&self) -> Result<bool>;

    /// Has the engine install this version of the chart, which is in the registry, and waits until it has.
    async fn upgrade(&self, version: &str) -> Result<()>;

    /// Deletes what the engine was told of the resources, and with it those.
    async fn delete_sources(&self) -> Result<()>;

    /// Deletes what the engine was told of the operator, and with it the operator.
    async fn delete_operator(&self) -> Result<()>;

    /// Commits, and waits until the resources are as Git says.
    async fn sync(&self) -> Result<()> {
        let commit = self.push().await?;
        self.synced(&commit).await
    }
}

/// A cluster, and what its engine pulls from.
struct World {
    forge: Forge,
    cluster: Cluster,
    /// What is to be in Git, by path.
    files: BTreeMap<String, String>,
}

impl World {
    async fn new() -> Result<Self> {
        let cluster = Cluster::start().await?;
        let forge = Forge::start(&cluster).await?;
        let mut world = Self {
            forge,
            cluster,
            files: BTreeMap::new(),
        };
        // Git keeps no empty directories, and engines complain of one that is missing.
        let about = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "about", "namespace": TEAM },
        });
        world.put("about", &about)?;
        Ok(world)
    }

    /// Writes a source.
    fn write(&mut self, name: &str, spec: Value) -> Result<()> {
        self.put(name, &source_manifest(name, spec)?)
    }

    /// Writes a manifest beside the sources.
    fn put(&mut self, name: &str, manifest: &Value) -> Result<()> {
        self.put_into("sources", name, manifest)
    }

    fn put_into(&mut self, directory: &str, name: &str, manifest: &Value) -> Result<()> {
        let content = serde_yaml::to_string(manifest)?;
        let path = format!("{directory}/{name}.yaml");
        self.files.insert(path, content);
        Ok(())
    }

    /// Takes away what is beside the sources under this name.
    fn remove(&mut self, name: &str) {
        self.files.remove(&format!("sources/{name}.yaml"));
    }

    /// Commits and pushes what was written, and returns the commit's id.
    fn commit(&self) -> Result<String> {
        self.forge.commit(&self.files)
    }

    /// `kubectl apply -f` of these manifests. The definitions of some may be so new that discovery does not show them yet.
    async fn apply(&self, manifests: &[Value]) -> Result<()> {
        let path = self.cluster.directory.path().join("applied.yaml");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
        std::fs::write(&path, list.to_string())?;
        let apply = format!("apply -f {}", path.display());
        settles("the kinds are served", async || {
            match self.kubectl(&apply).await {
                Ok(_) => Ok(Some(())),
                Err(error) if error.to_string().contains("no matches for kind") => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Runs `kubectl` with arguments of which none has a space in it, and returns what it printed.
    async fn kubectl(&self, arguments: &str) -> Result<String> {
        let mut kubectl = self.cluster.plane.kubectl();
        let output = kubectl.args(arguments.split_whitespace()).output().await?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {arguments}: {complaints}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The objects of a kind in a namespace.
    fn objects(&self, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.cluster.client.clone(), namespace, &resource)
    }

    /// Waits until a resource is as `what` says.
    async fn source(
        &self,
        name: &str,
        what: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        until(&self.cluster.sources(), name, |object| {
            Ok(object.filter(|object| what(object)).cloned())
        })
        .await
    }

    async fn ready(&self, name: &str) -> Result<DynamicObject> {
        self.source(name, |object| {
            let ready = condition(object, "Ready").is_some_and(|ready| ready["status"] == "True");
            let observed = object.data["status"]["observedGeneration"].as_i64();
            ready && observed == object.metadata.generation
        })
        .await
    }

    async fn gone(&self, name: &str) -> Result<()> {
        gone(&self.cluster.sources(), name).await
    }

    /// The events about a resource, as (type, reason, note).
    async fn events(&self, name: &str) -> Result<Vec<(String, String, String)>> {
        let events = self.objects("events.k8s.io/v1", "Event", TEAM);
        let events = events.list(&ListParams::default()).await?.items;
        let about = events
            .iter()
            .map(|event| &event.data)
            .filter(|event| event["regarding"]["name"] == name);
        let text = |text: &Value| text.as_str().unwrap_or_default().to_owned();
        Ok(about
            .map(|event| {
                (
                    text(&event["type"]),
                    text(&event["reason"]),
                    text(&event["note"]),
                )
            })
            .collect())
    }

    /// The names of the connectors that exist.
    fn connectors(&self) -> Vec<String> {
        let sources = self.cluster.workspace.sources();
        let mut names: Vec<_> = sources.into_iter().map(|source| source.name).collect();
        names.sort();
        names
    }
}

/// A source as it is in Git.
fn source_manifest(name: &str, spec: Value) -> Result<Value> {
    let mut source = serde_json::to_value(manifest(name, spec))?;
    source["metadata"]["namespace"] = json!(TEAM);
    Ok(source)
}

/// Sets an annotation.
async fn annotate(api: &Api<DynamicObject>, name: &str, key: &str, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits until `what` finds in an object what it looks for; says how it was in the end.
async fn until<T>(
    api: &Api<DynamicObject>,
    name: &str,
    what: impl Fn(Option<&DynamicObject>) -> Result<Option<T>>,
) -> Result<T> {
    let last = RefCell::new(None);
    let found = settles(name, async || {
        let object = api.get_opt(name).await?;
        let found = what(object.as_ref());
        last.replace(object);
        found
    })
    .await;
    found.with_context(|| match last.take() {
        Some(object) => format!(
            "{name} is {} {}",
            json!(object.metadata.finalizers),
            object.data
        ),
        None => format!("there is no {name}"),
    })
}

async fn gone(api: &Api<DynamicObject>, name: &str) -> Result<()> {
    until(api, name, |object| Ok(object.is_none().then_some(()))).await
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
