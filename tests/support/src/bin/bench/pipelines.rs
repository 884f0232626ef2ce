//! What whole pipelines cost: two connectors and the workflow between them, and a run of each.

use std::time::Duration;

use anyhow::Result;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use serde_json::{Value, json};
use support::fake::unstructured::{JobEnd, StoredJob};
use support::stage::condition;

use crate::Options;
use crate::ground::Ground;
use crate::measure::{Cost, Reading};
use crate::phases::{SOURCE, source};
use crate::table::Row;
use crate::tracker::{Tracker, is_ready, wait};

const DESTINATION: &str = "PineconeDestination";
const WORKFLOW: &str = "UnstructuredWorkflow";
const JOB: &str = "UnstructuredJob";

/// As the option is by default.
const JOB_INTERVAL: Duration = Duration::from_secs(15);

/// Makes all phases with this many pipelines.
pub async fn all(ground: &mut Ground, options: &Options, count: usize) -> Result<Vec<Row>> {
    ground.enter(&format!("pipelines-{count}")).await?;
    ground.api.configure(|rules| rules.latency = Duration::ZERO);
    ground.credentials("dropbox", "first").await?;
    ground
        .secret("pinecone", &json!({ "api_key": "key" }))
        .await?;
    let interval = Duration::from_millis(options.sync_interval);
    ground.start(interval).await?;
    ground.ready().await?;
    let mut run = Run {
        ground,
        count,
        rows: Vec::new(),
    };
    run.apply().await?;
    run.rest(options.intervals, interval).await?;
    run.start().await?;
    run.follow(3).await?;
    run.end().await?;
    run.delete().await?;
    run.ground.stop().await?;
    Ok(run.rows)
}

struct Run<'a> {
    ground: &'a mut Ground,
    count: usize,
    rows: Vec<Row>,
}

impl Run<'_> {
    async fn apply(&mut self) -> Result<()> {
        let before = self.ground.read().await?;
        self.create(SOURCE, |_| source("dropbox", false)).await?;
        self.create(DESTINATION, |_| {
            json!({ "verify": false, "indexName": "contracts", "credentials": { "secretRef": { "name": "pinecone" } } })
        })
        .await?;
        self.create(WORKFLOW, workflow).await?;
        let applied = before.at.elapsed();
        for kind in [SOURCE, DESTINATION, WORKFLOW] {
            let tracker = Tracker::of(self.ground.objects(kind), is_ready);
            tracker.until_ready(self.count).await?;
        }
        let cost = self.settled(&before).await?;
        self.note("pipelines: apply to all Ready", cost, |row| {
            row.applied(applied);
        });
        Ok(())
    }

    async fn rest(&mut self, intervals: usize, interval: Duration) -> Result<()> {
        let before = self.ground.read().await?;
        // Nothing tells when everything was looked at: workflows have passes of their own.
        tokio::time::sleep(interval * u32::try_from(intervals)?).await;
        let cost = self.ground.read().await?.since(&before);
        let phase = format!("pipelines at rest, {intervals} intervals");
        self.note(&phase, cost, |_| {});
        Ok(())
    }

    async fn start(&mut self) -> Result<()> {
        self.ground.workspace.hold_jobs(true);
        let before = self.ground.read().await?;
        self.create(
            JOB,
            |number| json!({ "workflowRef": { "name": name(number) } }),
        )
        .await?;
        let applied = before.at.elapsed();
        let begun = |job: &DynamicObject| job.data["status"]["jobId"].is_string();
        let tracker = Tracker::of(self.ground.objects(JOB), begun);
        tracker.until_ready(self.count).await?;
        let cost = self.ground.read().await?.since(&before);
        self.note("pipelines: a run of each, to all started", cost, |row| {
            row.applied(applied);
        });
        Ok(())
    }

    async fn follow(&mut self, intervals: u32) -> Result<()> {
        tokio::time::sleep(JOB_INTERVAL).await;
        let before = self.ground.read().await?;
        tokio::time::sleep(JOB_INTERVAL * intervals).await;
        let cost = self.ground.read().await?.since(&before);
        let phase = format!("pipelines: all runs followed, {intervals} × 15 s");
        self.note(&phase, cost, |_| {});
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        let before = self.ground.read().await?;
        let workspace = &self.ground.workspace;
        let runs = workspace
            .all_jobs()
            .into_iter()
            .filter(StoredJob::is_active);
        for run in runs {
            workspace.finish_job(&run.id, JobEnd::all(3));
        }
        let succeeded = |job: &DynamicObject| {
            condition(job, "Complete").is_some_and(|complete| complete["status"] == "True")
        };
        let tracker = Tracker::of(self.ground.objects(JOB), succeeded);
        tracker.until_ready(self.count).await?;
        let cost = self.settled(&before).await?;
        self.note("pipelines: all runs end", cost, |_| {});
        self.ground.workspace.hold_jobs(false);
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        let before = self.ground.read().await?;
        let kinds = [JOB, WORKFLOW, DESTINATION, SOURCE];
        for kind in kinds {
            let objects = self.ground.objects(kind);
            objects
                .delete_collection(&DeleteParams::default(), &ListParams::default())
                .await?;
        }
        for kind in kinds {
            let tracker = Tracker::of(self.ground.objects(kind), is_ready);
            tracker.until_empty().await?;
        }
        wait("nothing is left in the workspace", || {
            let workspace = &self.ground.workspace;
            workspace.workflows().is_empty() && workspace.destinations().is_empty()
        })
        .await?;
        let cost = self.settled(&before).await?;
        self.note("pipelines: delete everything at once", cost, |_| {});
        Ok(())
    }

    async fn create(&self, kind: &str, spec: impl Fn(usize) -> Value) -> Result<()> {
        let manifests = (0..self.count).map(|number| (name(number), spec(number)));
        self.ground.create(kind, manifests).await
    }

    /// What it has cost until the last thing that was waited for, and what still came of it afterwards.
    async fn settled(&self, before: &Reading) -> Result<Cost> {
        let cost = self.ground.read().await?.since(before);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after = self.ground.read().await?.since(before);
        Ok(Cost {
            wall: cost.wall,
            ..after
        })
    }

    fn note(&mut self, phase: &str, cost: Cost, more: impl FnOnce(&mut Row)) {
        let mut row = Row::new(phase, self.count, Duration::ZERO, cost);
        more(&mut row);
        eprintln!("{}", row.summary());
        self.rows.push(row);
    }
}

fn name(number: usize) -> String {
    format!("pipeline-{number}")
}

fn workflow(number: usize) -> Value {
    json!({
        "sourceRef": { "kind": SOURCE, "name": name(number) },
        "destinationRef": { "kind": DESTINATION, "name": name(number) },
        "nodes": [
            { "name": "Partitioner", "type": "partition", "subtype": "vlm", "settings": { "is_dynamic": true } },
            { "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max_characters": 2048 } },
            { "name": "Embedder", "type": "embed", "subtype": "azure_openai", "settings": { "model_name": "text-embedding-3-small" } },
        ],
    })
}
