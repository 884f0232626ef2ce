//! A whole pipeline, from `examples` as they stand: deployed in one commit, at rest, changed, healed, and taken away in one go with a
//! run under way. Runs cost money, so they are counted all along.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::fake::unstructured::WorkspaceHandle;
use support::stage::condition;

use super::argocd::ArgoCd;
use super::flux::Flux;
use super::{Engine, World, annotate, example, gone, settles, until};
use crate::install::cluster::TEAM;

/// What the pipeline consists of, as (kind, name): what refers to something comes after it.
pub const OBJECTS: [(&str, &str); 4] = [SOURCE, DESTINATION, WORKFLOW, JOB];
const SOURCE: (&str, &str) = ("DropboxSource", "contracts");
const DESTINATION: (&str, &str) = ("PineconeDestination", "contracts-index");
const WORKFLOW: (&str, &str) = ("UnstructuredWorkflow", "contracts-to-index");
const JOB: (&str, &str) = ("UnstructuredJob", "contracts-first-load");
/// Manifests that the engines' examples name beside those of the objects.
const SECRETS: [&str; 2] = ["secret", "pinecone-secret"];
/// The API key of a workspace that the pipeline has for itself, where it has one.
const OWN_KEY: &str = "key-of-the-pipeline-5f20";
/// The Secret with it.
const KEY_SECRET: &str = "pipeline-workspace";

/// How an engine is told that a pipeline is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Every manifest of it is removed, in one commit.
    Commit,
    /// What the engine was told of it is deleted, in the engine's usual way.
    Parent,
    /// The same, in the engine's other way.
    ParentOtherwise,
}

/// How a pipeline lies in Git.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    /// It has a workspace of its own, the key of which is in Git beside it.
    pub own_key: bool,
    /// As one heap: without waves.
    pub heap: bool,
}

/// What engines do with a pipeline, each in its own way.
pub trait Pipelines: Engine {
    /// The directory of Git in which the example looks for the job.
    const RUNS: &str;
    /// The ways in which the pipeline can lie in Git: whether as a heap.
    const HEAPS: &[bool];

    /// Writes beside the manifests what else the example has in Git.
    fn lay_out(&mut self, names: &[String], layout: Layout) -> Result<()>;

    /// Gives the engine the example.
    async fn take_up(&self) -> Result<()>;

    /// Commits, and waits until the engine has applied it.
    async fn deploy(&self) -> Result<()>;

    /// Has the engine compare once more, and says whether the pipeline was in sync, as far as the engine tells.
    async fn compare(&self) -> Result<bool>;

    /// Waits until the engine says that the pipeline is well.
    async fn well(&self) -> Result<()>;

    /// Deletes what the engine was told, and waits until that is gone.
    async fn let_go(&self, how: Removal) -> Result<()>;

    /// What the engine makes of the job.
    async fn verdict_on_the_job(&self) -> Result<String>;
}

impl World {
    fn api(&self, kind: &str) -> Api<DynamicObject> {
        self.objects("connectors.unstructured.io/v1alpha1", kind, TEAM)
    }

    fn of(&self, (kind, _): (&str, &str)) -> Api<DynamicObject> {
        self.api(kind)
    }

    /// Waits until an object's condition `Ready` is so, for this reason, in its present form.
    async fn says(&self, which: (&str, &str), status: &str, reason: &str) -> Result<DynamicObject> {
        until(&self.of(which), which.1, |object| {
            let said = object.filter(|object| {
                let ready = condition(object, "Ready").cloned().unwrap_or_default();
                let observed = object.data["status"]["observedGeneration"].as_i64();
                ready["status"] == status
                    && ready["reason"] == reason
                    && observed == object.metadata.generation
            });
            Ok(said.cloned())
        })
        .await
        .with_context(|| format!("{which:?} never said {reason}"))
    }

    /// Waits until there is a job of this name in this phase.
    async fn phase(&self, job: &str, phase: &str) -> Result<DynamicObject> {
        until(&self.of(JOB), job, |object| {
            Ok(object
                .filter(|object| object.data["status"]["phase"] == phase)
                .cloned())
        })
        .await
        .with_context(|| format!("{job} was never {phase}"))
    }

    /// Waits until another object has taken an object's place.
    async fn another(&self, which: (&str, &str), before: &DynamicObject) -> Result<()> {
        until(&self.of(which), which.1, |object| {
            let other = object.filter(|object| object.uid() != before.uid());
            Ok(other.map(|_| ()))
        })
        .await
    }

    /// Requests that this method and part of a path fit.
    fn requests(&self, method: &str, path: &str) -> usize {
        let requests = self.cluster.api.requests_matching(method, "/api/v1/");
        let fit = requests.iter().filter(|r| r.path.contains(path));
        fit.count()
    }
}

/// The manifest of the examples for an object.
fn manifest_of(kind: &str) -> Result<Value> {
    let path = format!("{}.yaml", kind.to_lowercase());
    example(&path)?.pop().context("a manifest")
}

/// Writes the pipeline to where the engine's example looks for it.
fn write<E: Pipelines>(engine: &mut E, layout: Layout) -> Result<()> {
    let mut names = Vec::new();
    for name in SECRETS {
        let manifest = example(&format!("{name}.yaml"))?.pop();
        let manifest = manifest.context("a manifest")?;
        engine.world_mut().put_into("pipeline", name, &manifest)?;
        names.push(format!("{name}.yaml"));
    }
    for (kind, _) in OBJECTS {
        let mut manifest = manifest_of(kind)?;
        if layout.own_key && kind != JOB.0 {
            let reference = json!({ "apiKeySecretRef": { "name": KEY_SECRET } });
            manifest["spec"]["workspace"] = reference;
        }
        let name = kind.to_lowercase();
        let directory = if kind == JOB.0 { E::RUNS } else { "pipeline" };
        engine.world_mut().put_into(directory, &name, &manifest)?;
        if directory == "pipeline" {
            names.push(format!("{name}.yaml"));
        }
    }
    if layout.own_key {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": KEY_SECRET },
            "stringData": { "api_key": OWN_KEY },
        });
        engine
            .world_mut()
            .put_into("pipeline", "workspace", &secret)?;
        names.push("workspace.yaml".to_owned());
    }
    keep_something(engine.world_mut(), E::RUNS)?;
    names.push("about.yaml".to_owned());
    engine.lay_out(&names, layout)
}

/// Git keeps no empty directories, and Argo CD takes one without any manifest for a mistake.
fn keep_something(world: &mut World, runs: &str) -> Result<()> {
    for directory in ["pipeline", runs] {
        let about = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": format!("about-{directory}") },
        });
        world.put_into(directory, "about", &about)?;
    }
    Ok(())
}

/// Removes every manifest of the pipeline.
fn erase<E: Pipelines>(engine: &mut E, layout: Layout) -> Result<()> {
    let mine = |path: &String| path.starts_with("pipeline/") || path.starts_with(E::RUNS);
    engine.world_mut().files.retain(|path, _| !mine(path));
    keep_something(engine.world_mut(), E::RUNS)?;
    engine.lay_out(&["about.yaml".to_owned()], layout)
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_lives_the_life_of_a_pipeline() -> Result<()> {
    live(Flux::fleet().await?).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_lives_the_life_of_a_pipeline() -> Result<()> {
    live(ArgoCd::fleet().await?).await
}

async fn live<E: Pipelines>(mut engine: E) -> Result<()> {
    engine.world().cluster.accept_the_examples();
    write(&mut engine, Layout::default())?;
    engine.take_up().await?;
    engine.deploy().await?;
    one_commit_becomes_documents_in_the_index(&engine).await?;
    nothing_is_written_at_rest(&engine).await?;
    a_change_of_nodes_is_one_update(&mut engine).await?;
    a_job_that_is_made_again_runs_no_second_time(&mut engine).await?;
    a_value_of_run_at_in_git_is_one_run(&mut engine).await?;
    a_workflow_that_is_made_again_runs_what_git_asks_for(&engine).await
}

/// The workflow of a workspace, of which there is one.
fn only_workflow(workspace: &WorkspaceHandle) -> Result<String> {
    let workflows = workspace.workflows();
    ensure!(workflows.len() == 1, "not one workflow: {workflows:?}");
    Ok(workflows[0].id.clone())
}

async fn one_commit_becomes_documents_in_the_index(engine: &impl Pipelines) -> Result<()> {
    let world = engine.world();
    for which in [SOURCE, DESTINATION, WORKFLOW] {
        world.says(which, "True", "Ready").await?;
    }
    world.says(JOB, "True", "Succeeded").await?;
    engine.well().await?;
    let workspace = &world.cluster.workspace;
    let id = only_workflow(workspace)?;
    assert_eq!(workspace.sources().len(), 1);
    let destinations = workspace.destinations();
    assert_eq!(destinations.len(), 1);
    assert_eq!(workspace.runs(&id), 1);
    assert_eq!(workspace.documents_in_index(&destinations[0].id), 3);
    Ok(())
}

/// Whatever the engine compares, and the operator too.
async fn nothing_is_written_at_rest(engine: &impl Pipelines) -> Result<()> {
    const LOOKS: usize = 20;
    let world = engine.world();
    let written = || world.requests("PUT", "") + world.requests("POST", "/workflows");
    let before = written();
    for look in 0..LOOKS {
        assert!(engine.compare().await?, "something is out of sync");
        if look == LOOKS / 2 {
            for which in [SOURCE, DESTINATION, WORKFLOW] {
                let key = "connectors.unstructured.io/reconcile-at";
                annotate(&world.of(which), which.1, key, "rest").await?;
                until(&world.of(which), which.1, |object| {
                    let status = &object.context("it is there")?.data["status"];
                    Ok((status["lastHandledReconcileAt"] == "rest").then_some(()))
                })
                .await?;
            }
        }
    }
    engine.well().await?;
    assert_eq!(written(), before);
    Ok(())
}

async fn a_change_of_nodes_is_one_update(engine: &mut impl Pipelines) -> Result<()> {
    let before = engine.world().requests("PUT", "/workflows/");
    change_nodes(engine)?;
    engine.deploy().await?;
    let world = engine.world();
    world.says(WORKFLOW, "True", "Ready").await?;
    engine.well().await?;
    let workspace = &world.cluster.workspace;
    let id = only_workflow(workspace)?;
    let body = workspace.workflow_body(&id).context("it is there")?;
    let nodes = body["workflow_nodes"].to_string();
    ensure!(nodes.contains("1500"), "the old nodes: {nodes}");
    assert_eq!(world.requests("PUT", "/workflows/"), before + 1);
    assert_eq!(workspace.runs(&id), 1);
    Ok(())
}

fn change_nodes(engine: &mut impl Pipelines) -> Result<()> {
    let mut manifest = manifest_of(WORKFLOW.0)?;
    manifest["spec"]["nodes"][1]["settings"]["max_characters"] = json!(1500);
    let name = WORKFLOW.0.to_lowercase();
    engine.world_mut().put_into("pipeline", &name, &manifest)
}

/// Deleted by hand and put back by the engine; removed in Git and put back there.
async fn a_job_that_is_made_again_runs_no_second_time<E: Pipelines>(engine: &mut E) -> Result<()> {
    let path = format!("{}/{}.yaml", E::RUNS, JOB.0.to_lowercase());
    let first = engine.world().of(JOB).get(JOB.1).await?;
    engine
        .world()
        .of(JOB)
        .delete(JOB.1, &DeleteParams::default())
        .await?;
    settles("the job is there again", async || {
        engine.compare().await?;
        let now = engine.world().of(JOB).get_opt(JOB.1).await?;
        Ok(now.filter(|now| now.uid() != first.uid()))
    })
    .await?;
    engine.world().says(JOB, "False", "AlreadyRun").await?;
    println!(
        "{}: made again by hand: {}",
        E::NAME,
        engine.verdict_on_the_job().await?
    );

    let manifest = engine.world_mut().files.remove(&path).context("the job")?;
    without(engine, "unstructuredjob.yaml")?;
    engine.deploy().await?;
    gone(&engine.world().of(JOB), JOB.1).await?;
    engine.well().await?;
    engine.world_mut().files.insert(path, manifest);
    engine.lay_out(&all_names::<E>(engine.world()), Layout::default())?;
    engine.deploy().await?;
    engine.world().says(JOB, "False", "AlreadyRun").await?;
    println!(
        "{}: put back in Git: {}",
        E::NAME,
        engine.verdict_on_the_job().await?
    );
    let workspace = &engine.world().cluster.workspace;
    assert_eq!(workspace.runs(&only_workflow(workspace)?), 1);
    Ok(())
}

fn all_names<E: Pipelines>(world: &World) -> Vec<String> {
    let names = world.files.keys();
    let names = names.filter_map(|path| path.strip_prefix("pipeline/"));
    let names = names.filter(|name| *name != "kustomization.yaml");
    names.map(ToOwned::to_owned).collect()
}

fn without<E: Pipelines>(engine: &mut E, name: &str) -> Result<()> {
    let mut names = all_names::<E>(engine.world());
    names.retain(|other| other != name);
    engine.lay_out(&names, Layout::default())
}

/// The job that it makes is not in Git: nothing prunes it, and nothing is out of sync.
async fn a_value_of_run_at_in_git_is_one_run(engine: &mut impl Pipelines) -> Result<()> {
    let mut manifest = manifest_of(WORKFLOW.0)?;
    let annotations = json!({ "connectors.unstructured.io/run-at": "2026-12-01" });
    manifest["metadata"]["annotations"] = annotations;
    let name = WORKFLOW.0.to_lowercase();
    engine.world_mut().put_into("pipeline", &name, &manifest)?;
    engine.deploy().await?;
    let world = engine.world();
    let workspace = &world.cluster.workspace;
    let id = only_workflow(workspace)?;
    let made = made_by_run_at(world).await?;
    world.phase(&made, "Succeeded").await?;
    for _ in 0..5 {
        assert!(engine.compare().await?, "something is out of sync");
    }
    world.phase(&made, "Succeeded").await?;
    assert_eq!(workspace.runs(&id), 2);
    Ok(())
}

/// The name of the one job that the annotation made.
async fn made_by_run_at(world: &World) -> Result<String> {
    settles("the annotation made a job", async || {
        let label = "connectors.unstructured.io/made-by-run-at";
        let params = ListParams::default().labels(label);
        let jobs = world.of(JOB).list(&params).await?.items;
        ensure!(jobs.len() < 2, "{jobs:?}");
        Ok(jobs.first().map(ResourceExt::name_any))
    })
    .await
}

/// It has another id, and no run of the old one is told of: what the documentation says of money.
async fn a_workflow_that_is_made_again_runs_what_git_asks_for(
    engine: &impl Pipelines,
) -> Result<()> {
    let world = engine.world();
    let workspace = &world.cluster.workspace;
    let before = world.of(WORKFLOW).get(WORKFLOW.1).await?;
    let id = only_workflow(workspace)?;
    let params = DeleteParams::default();
    world.of(WORKFLOW).delete(WORKFLOW.1, &params).await?;
    settles("the workflow is there again", async || {
        engine.compare().await?;
        let now = world.of(WORKFLOW).get_opt(WORKFLOW.1).await?;
        Ok(now.filter(|now| now.uid() != before.uid()))
    })
    .await?;
    world.another(WORKFLOW, &before).await?;
    world.says(WORKFLOW, "True", "Ready").await?;
    let other = only_workflow(workspace)?;
    assert_ne!(other, id);
    let made = made_by_run_at(world).await?;
    world.phase(&made, "Succeeded").await?;
    for _ in 0..5 {
        engine.compare().await?;
    }
    assert_eq!((workspace.runs(&id), workspace.runs(&other)), (2, 1));
    Ok(())
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_takes_a_pipeline_away_with_a_run_under_way() -> Result<()> {
    let mut flux = Flux::fleet().await?;
    remove(&mut flux).await?;
    a_run_beside_its_workflow_is_waited_for(&mut flux).await?;
    a_directory_without_a_manifest_empties_the_pipeline(&mut flux).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_takes_a_pipeline_away_with_a_run_under_way() -> Result<()> {
    let mut argocd = ArgoCd::fleet().await?;
    remove(&mut argocd).await?;
    nothing_is_pruned_to_nothing(&mut argocd).await
}

/// In every order that the engine has, and each time from nothing.
async fn remove<E: Pipelines>(engine: &mut E) -> Result<()> {
    engine.world().cluster.accept_the_examples();
    for &heap in E::HEAPS {
        for own_key in [false, true] {
            for removal in [Removal::Commit, Removal::Parent, Removal::ParentOtherwise] {
                let layout = Layout { own_key, heap };
                let removed = remove_once(engine, layout, removal).await;
                removed.with_context(|| format!("{removal:?} of {layout:?}"))?;
            }
        }
    }
    Ok(())
}

async fn remove_once<E: Pipelines>(engine: &mut E, layout: Layout, removal: Removal) -> Result<()> {
    let cluster = &engine.world().cluster;
    let workspace = if layout.own_key {
        cluster.api.workspace(OWN_KEY)
    } else {
        cluster.workspace.clone()
    };
    workspace.hold_jobs(true);
    write(engine, layout)?;
    engine.take_up().await?;
    engine.deploy().await?;
    engine.world().phase(JOB.1, "Scheduled").await?;
    let id = only_workflow(&workspace)?;
    let began = std::time::Instant::now();

    if removal == Removal::Commit {
        erase(engine, layout)?;
        engine.deploy().await?;
    } else {
        engine.let_go(removal).await?;
    }
    let world = engine.world();
    for which in OBJECTS {
        gone(&world.of(which), which.1).await?;
    }
    println!(
        "{}: {removal:?} of {layout:?}: gone after {:.1} s",
        E::NAME,
        began.elapsed().as_secs_f32()
    );
    assert_eq!(workspace.workflows(), []);
    assert_eq!(workspace.sources(), []);
    assert_eq!(workspace.destinations(), []);
    let jobs = workspace.jobs(&id);
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    // Whoever cancels a run need not wait until it has stopped, and here time passes for those only who look.
    let cancelled = engine.world().cluster.api.requests().iter().any(|request| {
        request
            .path
            .ends_with(&format!("/jobs/{}/cancel", jobs[0].id))
            && request.status().is_some_and(|status| status < 300)
    });
    ensure!(cancelled, "the run goes on: {:?}", jobs[0].status);
    for which in OBJECTS {
        for (_, reason, note) in world.events(which.1).await? {
            ensure!(reason != "DeletionBlocked", "{which:?}: {note}");
        }
    }
    engine.let_go(Removal::Parent).await?;
    erase(engine, layout)?;
    engine.world().commit()?;
    Ok(())
}

/// A job where Flux waits for everything: the run holds up the next commit, and no run comes of that.
async fn a_run_beside_its_workflow_is_waited_for(flux: &mut Flux) -> Result<()> {
    let workspace = flux.world().cluster.workspace.clone();
    workspace.hold_jobs(true);
    write(flux, Layout::default())?;
    let file = format!("{}.yaml", JOB.0.to_lowercase());
    let files = &mut flux.world_mut().files;
    let job = files.remove(&format!("runs/{file}")).context("the job")?;
    files.insert(format!("pipeline/{file}"), job);
    flux.take_up().await?;
    flux.world().phase(JOB.1, "Scheduled").await?;
    let id = only_workflow(&workspace)?;

    let (held, _) = flux.attempted("pipeline").await?;
    change_nodes(flux)?;
    let next = flux.push().await?;
    flux.fetched(&next).await?;
    let (attempted, ready) = flux.attempted("pipeline").await?;
    assert_eq!(attempted, held);
    assert_eq!(ready["status"], "Unknown", "{ready}");

    workspace.hold_jobs(false);
    flux.world().phase(JOB.1, "Succeeded").await?;
    flux.applied("pipeline", &next).await?;
    flux.world().says(WORKFLOW, "True", "Ready").await?;
    assert_eq!(workspace.runs(&id), 1);
    Ok(())
}

async fn nothing_is_pruned_to_nothing(argocd: &mut ArgoCd) -> Result<()> {
    let heap = Layout {
        own_key: false,
        heap: true,
    };
    argocd.world().cluster.workspace.hold_jobs(false);
    write(argocd, heap)?;
    argocd.take_up().await?;
    argocd.deploy().await?;
    argocd.world().says(JOB, "True", "Succeeded").await?;

    let files = &mut argocd.world_mut().files;
    files.retain(|path, _| !path.starts_with("pipeline/"));
    let readme = ("pipeline/README.md".to_owned(), "Gone.".to_owned());
    files.extend([readme]);
    argocd.world().commit()?;
    argocd
        .refuses_to_sync("auto-sync will wipe out all resources")
        .await?;
    for which in OBJECTS {
        let object = argocd.world().of(which).get(which.1).await?;
        ensure!(object.metadata.deletion_timestamp.is_none(), "{which:?}");
    }
    argocd.let_go(Removal::Parent).await?;
    assert_eq!(argocd.world().cluster.workspace.workflows(), []);
    Ok(())
}

/// Unlike Argo CD, Flux takes it at its word.
async fn a_directory_without_a_manifest_empties_the_pipeline(flux: &mut Flux) -> Result<()> {
    let files = &mut flux.world_mut().files;
    files.retain(|path, _| !path.starts_with("pipeline/"));
    files.extend([("pipeline/README.md".to_owned(), "Gone.".to_owned())]);
    let commit = flux.push().await?;
    flux.fetched(&commit).await?;
    for which in OBJECTS {
        gone(&flux.world().of(which), which.1)
            .await
            .with_context(|| format!("{commit} is not applied"))?;
    }
    assert_eq!(flux.world().cluster.workspace.workflows(), []);
    Ok(())
}
