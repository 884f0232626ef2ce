//! The same storms over whole pipelines. Each run costs money: however often the operators are killed, there are never more of them
//! than were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use fastrand::Rng;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::fake::unstructured::{CheckScript, JobEnd, StoredJob, WorkspaceHandle};
use support::fake::{FakeDropbox, FakeUnstructured};
use support::stage::{API_KEY, condition, eventually, kind};
use tokio::time::{Instant, sleep};

use super::disasters::{OF_ALL, Operators};
use super::users::surely;
use super::verdict::{KINDS, PATIENCE, nothing_got_out};
use super::{CANARY, Cluster, NAMESPACES, faults, play};
use crate::pipeline::{JOB, WORKFLOW, workflow};

const SOURCE: &str = "DropboxSource";
const DESTINATION: &str = "PineconeDestination";
/// Here nobody deletes anything, so every run can be counted to its job.
const STEADY: &str = NAMESPACES[0];
/// Here everybody deletes everything.
const RESTLESS: &str = NAMESPACES[1];
const FLOWS: [&str; 3] = ["flow-0", "flow-1", "flow-2"];

/// What the storm blows over.
struct Pipelines {
    cluster: Cluster,
    api: FakeUnstructured,
    dropbox: FakeDropbox,
    workspace: WorkspaceHandle,
    /// How many runs were asked for, by namespace and workflow.
    asked: Mutex<BTreeMap<(&'static str, &'static str), usize>>,
    /// Every moment at which two workflows had one name.
    doubles: Arc<Mutex<BTreeSet<String>>>,
}

#[tokio::test]
async fn after_any_storm_no_run_was_paid_for_twice_and_pipelines_go_without_a_trace() -> Result<()>
{
    play("chaos::pipelines", "CHAOS_SECONDS", 30, storm).await
}

async fn storm(seed: u64, duration: Duration) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let directory = tempfile::tempdir()?;
    let world = Pipelines::new().await?;
    let settings = world.cluster.settings(
        &[STEADY, RESTLESS],
        &world.api,
        &world.dropbox,
        directory.path(),
        &[("JOB_INTERVAL", "200ms")],
    );
    let mut operators = Operators::start(settings, 2).await?;
    world.api.inject_by(faults::of_unstructured(random.fork()));
    world.dropbox.inject_by(faults::of_dropbox(random.fork()));
    let end = Instant::now() + duration;
    let (users, disasters) = (random.fork(), random.fork());
    let result = async {
        tokio::try_join!(
            world.suffer_users(users, end),
            operators.suffer(&world.cluster, disasters, end, &OF_ALL),
        )?;
        world.api.clear_faults();
        world.dropbox.clear_faults();
        // A connector that somebody deleted waits for those that refer to it.
        for flow in FLOWS {
            world.delete(RESTLESS, WORKFLOW, flow).await?;
        }
        world.move_in(RESTLESS).await?;
        until("everything is right", async || world.first_wrongs().await).await?;
        world.count_runs().await?;
        nothing_got_out(&world.cluster, &[STEADY, RESTLESS], &operators).await?;
        world.move_out(&mut random).await?;
        until("nothing is left", async || world.left().await).await?;
        let violations = world.api.take_violations();
        ensure!(
            violations.is_empty(),
            "no careful client sends {violations:?}"
        );
        let doubles = world.doubles.lock().unwrap();
        ensure!(
            doubles.is_empty(),
            "two workflows had one name at some moment: {doubles:?}"
        );
        Ok(())
    }
    .await;
    if result.is_err() {
        println!("left for inspection: {}", directory.keep().display());
    }
    result
}

/// Waits until nobody has anything to say any more.
async fn until(what: &str, wrongs: impl AsyncFn() -> Result<Vec<String>>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let wrongs = wrongs().await?;
        if wrongs.is_empty() {
            println!("{what} after {:?}", begun.elapsed());
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "not true after {PATIENCE:?}: {what}:\n{}",
                wrongs.join("\n")
            );
        }
        sleep(Duration::from_millis(250)).await;
    }
}

impl Pipelines {
    async fn new() -> Result<Self> {
        let api = FakeUnstructured::start();
        let dropbox = FakeDropbox::start();
        dropbox.accept_anything();
        let workspace = api.workspace(API_KEY);
        workspace.set_checks(|_| CheckScript::success_after(0));
        // What goes wrong in a run is told with what the connector sent.
        let failing = JobEnd::some_failed(1, 3, format!("bad token {CANARY}-token"));
        workspace.set_jobs(move |flow| match flow.nodes.len() {
            2 => failing.clone(),
            _ => JobEnd::all(3),
        });
        let world = Self {
            cluster: Cluster::start(&[STEADY, RESTLESS]).await?,
            api,
            dropbox,
            workspace,
            asked: Mutex::default(),
            doubles: Arc::default(),
        };
        world.watch_for_doubles();
        for namespace in [STEADY, RESTLESS] {
            world.put_secrets(namespace).await?;
            world.move_in(namespace).await?;
        }
        Ok(world)
    }

    fn objects(&self, namespace: &str, name: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client.clone(), namespace, &kind(name))
    }

    async fn put_secrets(&self, namespace: &str) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.cluster.client.clone(), namespace);
        let dropbox = ["app_key", "app_secret", "refresh_token"].map(|key| {
            let value = format!("{CANARY}-{}", key.rsplit('_').next().unwrap_or_default());
            (key.to_owned(), Value::from(value))
        });
        let pinecone = [("api_key".to_owned(), json!(format!("{CANARY}-pinecone")))];
        for (name, entries) in [
            ("dropbox", Value::from_iter(dropbox)),
            ("pinecone", Value::from_iter(pinecone)),
        ] {
            let secret = json!({ "metadata": { "name": name }, "stringData": entries });
            let secret = serde_json::from_value(secret)?;
            secrets.create(&PostParams::default(), &secret).await?;
        }
        Ok(())
    }

    /// Both connectors and all workflows, as far as they are not there.
    async fn move_in(&self, namespace: &str) -> Result<()> {
        let wanted = [(SOURCE, "contracts"), (DESTINATION, "index")].into_iter();
        for (of, name) in wanted.chain(FLOWS.map(|flow| (WORKFLOW, flow))) {
            until(&format!("{of} {name} is there"), async || {
                let known = self.objects(namespace, of).get_opt(name).await?;
                let stays = known.is_some_and(|o| o.metadata.deletion_timestamp.is_none());
                let there = stays || self.create(namespace, of, name).await?;
                Ok((!there).then(|| "it goes".to_owned()).into_iter().collect())
            })
            .await?;
        }
        Ok(())
    }

    /// Whether it was not there.
    async fn create(&self, namespace: &str, of: &str, name: &str) -> Result<bool> {
        let spec = match of {
            SOURCE => json!({
                "remoteUrl": "dropbox://contracts",
                "credentials": { "secretRef": { "name": "dropbox" } },
            }),
            DESTINATION => json!({
                "indexName": "contracts",
                "credentials": { "secretRef": { "name": "pinecone" } },
            }),
            _ => {
                let mut spec = workflow();
                spec["jobHistoryLimit"] = json!(100);
                spec
            }
        };
        self.put(namespace, of, name, spec).await
    }

    async fn put(&self, namespace: &str, of: &str, name: &str, spec: Value) -> Result<bool> {
        let object = DynamicObject::new(name, &kind(of)).data(json!({ "spec": spec }));
        let objects = self.objects(namespace, of);
        let created = surely(async || objects.create(&PostParams::default(), &object).await);
        Ok(created.await?.is_some())
    }

    async fn change(&self, namespace: &str, of: &str, name: &str, patch: &Value) -> Result<bool> {
        let objects = self.objects(namespace, of);
        let params = PatchParams::default();
        let changed = surely(async || objects.patch(name, &params, &Patch::Merge(patch)).await);
        Ok(changed.await?.is_some())
    }

    async fn delete(&self, namespace: &str, of: &str, name: &str) -> Result<()> {
        let objects = self.objects(namespace, of);
        surely(async || objects.delete(name, &DeleteParams::default()).await).await?;
        Ok(())
    }

    /// One change after the other, until the end.
    async fn suffer_users(&self, mut random: Rng, end: Instant) -> Result<()> {
        let mut serial = 0;
        while Instant::now() < end {
            serial += 1;
            let namespace = [STEADY, RESTLESS][random.usize(..2)];
            let flow = FLOWS[random.usize(..FLOWS.len())];
            let job = format!("j{}", random.u32(..=serial));
            match random.u32(..20) {
                0..8 => {
                    let spec = json!({ "workflowRef": { "name": flow } });
                    self.ask(namespace, flow);
                    self.put(namespace, JOB, &format!("j{serial}"), spec)
                        .await?;
                }
                8..11 => {
                    let run = json!({ "connectors.unstructured.io/run-at": serial.to_string() });
                    let patch = json!({ "metadata": { "annotations": run } });
                    self.ask(namespace, flow);
                    self.change(namespace, WORKFLOW, flow, &patch).await?;
                }
                11..13 => {
                    let mut nodes = workflow()["nodes"].clone();
                    nodes[1]["settings"]["max_characters"] = json!(1_000 + serial);
                    if let Some(nodes) = nodes.as_array_mut().filter(|_| random.bool()) {
                        nodes.pop();
                    }
                    let patch = json!({ "spec": { "nodes": nodes } });
                    self.change(namespace, WORKFLOW, flow, &patch).await?;
                }
                13 => {
                    let patch = json!({ "spec": { "cancel": true } });
                    self.change(namespace, JOB, &job, &patch).await?;
                }
                14 => self.delete(RESTLESS, JOB, &job).await?,
                15 => self.delete(RESTLESS, WORKFLOW, flow).await?,
                16 => self.delete(RESTLESS, SOURCE, "contracts").await?,
                17 => self.delete(RESTLESS, DESTINATION, "index").await?,
                _ => {
                    for (of, name) in [
                        (SOURCE, "contracts"),
                        (DESTINATION, "index"),
                        (WORKFLOW, flow),
                    ] {
                        self.create(RESTLESS, of, name).await?;
                    }
                }
            }
            sleep(Duration::from_millis(random.u64(50..400))).await;
        }
        println!("{serial} changes by users");
        Ok(())
    }

    /// Counted before it is sent: a request whose answer is lost may have been carried out.
    fn ask(&self, namespace: &'static str, flow: &'static str) {
        *self
            .asked
            .lock()
            .unwrap()
            .entry((namespace, flow))
            .or_default() += 1;
    }

    /// Everything is deleted at once, in any order, with runs under way.
    async fn move_out(&self, random: &mut Rng) -> Result<()> {
        self.workspace.hold_jobs(true);
        for namespace in [STEADY, RESTLESS] {
            for flow in FLOWS {
                let spec = json!({ "workflowRef": { "name": flow } });
                self.put(namespace, JOB, &format!("last-of-{flow}"), spec)
                    .await?;
            }
        }
        let all = 2 * FLOWS.len();
        eventually("a run of each workflow is under way", || {
            let runs = self.workspace.all_jobs().into_iter();
            (runs.filter(StoredJob::is_active).count() == all).then_some(())
        })
        .await?;
        let mut kinds = KINDS;
        random.shuffle(&mut kinds);
        for of in kinds {
            for namespace in [STEADY, RESTLESS] {
                self.objects(namespace, of)
                    .delete_collection(&DeleteParams::default(), &ListParams::default())
                    .await?;
            }
        }
        Ok(())
    }

    /// Runs that the service accepted for a workflow, whichever of that name it was.
    fn runs(&self, namespace: &str, flow: &str) -> Vec<StoredJob> {
        let mut runs = self.workspace.all_jobs();
        runs.retain(|run| {
            run.workflow_name
                .starts_with(&format!("{namespace}.{flow}."))
        });
        runs
    }

    async fn count_runs(&self) -> Result<()> {
        for (&(namespace, flow), &asked) in &*self.asked.lock().unwrap() {
            let runs = self.runs(namespace, flow).len();
            println!("{namespace}/{flow}: {runs} runs, {asked} asked for");
            ensure!(
                runs <= asked,
                "{namespace}/{flow} ran {runs} times, and {asked} runs were asked for"
            );
        }
        let mut counted = BTreeSet::new();
        for job in self
            .objects(STEADY, JOB)
            .list(&ListParams::default())
            .await?
        {
            let name = job.metadata.name.clone().unwrap_or_default();
            let status = &job.data["status"];
            let Some(id) = status["jobId"].as_str() else {
                ensure!(
                    status["phase"] == "Stopped",
                    "{name} has ended without a run: {status}"
                );
                continue;
            };
            ensure!(
                counted.insert(id.to_owned()),
                "run {id} is also that of {name}"
            );
        }
        let flows = FLOWS.iter().flat_map(|flow| self.runs(STEADY, flow));
        let unknown: Vec<_> = flows.filter(|run| !counted.contains(&run.id)).collect();
        ensure!(unknown.is_empty(), "runs that no job has: {unknown:?}");
        Ok(())
    }

    /// What differs from the truth.
    async fn first_wrongs(&self) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut held = BTreeSet::new();
        for namespace in [STEADY, RESTLESS] {
            for of in KINDS {
                let objects = self.objects(namespace, of);
                for object in objects.list(&ListParams::default()).await? {
                    let name = object.metadata.name.clone().unwrap_or_default();
                    let status = &object.data["status"];
                    let ids = ["sourceId", "destinationId", "workflowId"];
                    held.extend(
                        ids.iter()
                            .filter_map(|id| status[id].as_str())
                            .map(str::to_owned),
                    );
                    let going = object.metadata.deletion_timestamp.is_some();
                    let condition = |name: &str| condition(&object, name).cloned();
                    let right = match of {
                        JOB => ["Complete", "Failed"]
                            .iter()
                            .any(|name| condition(name).is_some_and(|c| c["status"] == "True")),
                        _ => condition("Ready").is_some_and(|c| c["status"] == "True"),
                    };
                    if going || !right {
                        let ready = condition("Ready").unwrap_or_default();
                        wrong.push(format!(
                            "{of} {namespace}/{name} (going: {going}): {} {ready}",
                            status["phase"]
                        ));
                    }
                }
            }
        }
        let connectors = self.workspace.sources().into_iter();
        let connectors = connectors.chain(self.workspace.destinations());
        let there = connectors.map(|connector| (connector.id, connector.name));
        let flows = self.workspace.workflows().into_iter();
        for (id, name) in there.chain(flows.map(|flow| (flow.id, flow.name))) {
            if !held.contains(&id) {
                wrong.push(format!("{name} ({id}) belongs to nobody"));
            }
        }
        Ok(wrong)
    }

    /// What is there that should be gone.
    async fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for namespace in [STEADY, RESTLESS] {
            for of in KINDS {
                let objects = self.objects(namespace, of);
                let objects = objects.list(&ListParams::default()).await?;
                left.extend(objects.into_iter().map(|object| {
                    let ready = condition(&object, "Ready").cloned().unwrap_or_default();
                    format!("{of} {:?}: {ready}", object.metadata.name)
                }));
            }
        }
        let connectors = self.workspace.sources().into_iter();
        let connectors = connectors.chain(self.workspace.destinations());
        left.extend(connectors.map(|connector| connector.name));
        left.extend(self.workspace.workflows().into_iter().map(|flow| flow.name));
        // One that was told to stop does so when somebody looks at it.
        let requests = self.api.requests();
        let is_told = |run: &StoredJob| {
            let cancel = format!("/jobs/{}/cancel", run.id);
            requests.iter().any(|r| r.path.ends_with(&cancel))
        };
        let runs = self.workspace.all_jobs().into_iter();
        let going = runs.filter(|run| run.is_active() && !is_told(run));
        left.extend(going.map(|run| format!("run {}", run.id)));
        Ok(left)
    }

    /// That there is one workflow is to hold at every moment, not only in the end.
    fn watch_for_doubles(&self) {
        let (workspace, doubles) = (self.workspace.clone(), Arc::clone(&self.doubles));
        self.api.on_answer(move |request| {
            if request.method != "POST" {
                return;
            }
            let mut seen = BTreeSet::new();
            for flow in workspace.workflows() {
                if !seen.insert(flow.name.clone()) {
                    doubles.lock().unwrap().insert(flow.name);
                }
            }
        });
    }
}
