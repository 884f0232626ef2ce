//! What is measured, phase by phase.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::Options;
use crate::ground::{Ground, WRITERS};
use crate::measure::{Cost, Reading};
use crate::table::Row;
use crate::tracker::{Tracker, is_ready, wait};

/// The kind that is measured.
pub const SOURCE: &str = "DropboxSource";

/// Long enough to have no part in what is measured.
const NO_SYNC: Duration = Duration::from_hours(1);

/// How many times the phases that look at one resource do so.
const SAMPLES: usize = 20;

/// The operator's memory while it has nothing to do, without and with Secrets that are none of its business.
pub async fn memory(ground: &mut Ground, options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let idle = async |ground: &mut Ground, phase: &str| {
        let before = ground.read().await?;
        ground.start(NO_SYNC).await?;
        ground.ready().await?;
        ground.settle().await?;
        let cost = ground.read().await?.since(&before);
        ground.stop().await?;
        anyhow::Ok(Row::new(phase, 0, Duration::ZERO, cost))
    };
    rows.push(idle(ground, "start, nothing there").await?);
    let (small, large) = (options.foreign_secrets, options.large_foreign_secrets);
    if small + large > 0 {
        ground.foreign_secrets("small", small, 1_000).await?;
        ground.foreign_secrets("large", large, 1_000_000).await?;
        let phase = format!("start, {small} foreign Secrets of 1 kB and {large} of 1 MB");
        rows.push(idle(ground, &phase).await?);
    }
    Ok(rows)
}

/// One run: a number of resources, and a latency.
pub struct Run<'a> {
    ground: &'a mut Ground,
    options: &'a Options,
    tracker: Tracker,
    resources: usize,
    latency: Duration,
    rows: Vec<Row>,
}

impl<'a> Run<'a> {
    /// Prepares a namespace and starts a new operator.
    pub async fn begin(
        ground: &'a mut Ground,
        options: &'a Options,
        resources: usize,
        latency: Duration,
    ) -> Result<Self> {
        let namespace = format!("run-{resources}-{}", latency.as_millis());
        ground.enter(&namespace).await?;
        ground.api.configure(|rules| rules.latency = latency);
        ground.credentials("dropbox", "first").await?;
        for sample in 0..SAMPLES {
            ground.credentials(&own_secret(sample), "first").await?;
        }
        ground.start(NO_SYNC).await?;
        ground.ready().await?;
        ground.settle().await?;
        let tracker = Tracker::of(ground.objects(SOURCE), is_ready);
        Ok(Self {
            ground,
            options,
            tracker,
            resources,
            latency,
            rows: Vec::new(),
        })
    }

    /// Makes all phases.
    pub async fn all(mut self) -> Result<Vec<Row>> {
        self.apply("apply to all Ready, unverified", false).await?;
        self.rotate_one().await?;
        self.rotate_all().await?;
        self.restart().await?;
        self.rest().await?;
        self.backlog().await?;
        self.delete("delete all").await?;
        self.ground.start(NO_SYNC).await?;
        self.ground.ready().await?;
        self.apply("apply to all Ready, verified", true).await?;
        self.delete("delete all, verified").await?;
        self.ground.stop().await?;
        Ok(self.rows)
    }

    async fn apply(&mut self, phase: &str, verify: bool) -> Result<()> {
        let before = self.ground.read().await?;
        let spec = |number: usize| {
            let secret = if number < SAMPLES {
                own_secret(number)
            } else {
                "dropbox".to_owned()
            };
            source(&secret, verify)
        };
        let manifests = (0..self.resources).map(|number| (name(number), spec(number)));
        self.ground.create(SOURCE, manifests).await?;
        let applied = before.at.elapsed();
        self.tracker.until_ready(self.resources).await?;
        let cost = self.settled(&before).await?;
        // One POST; verified, also the start of a check and two looks at its result, a second apart.
        let (requests, wait) = if verify {
            (4, Duration::from_secs(1))
        } else {
            (1, Duration::ZERO)
        };
        let limit = self.limit(self.resources * requests) + wait;
        self.note(phase, cost, |row| {
            row.limited(limit);
            row.applied(applied);
        });
        Ok(())
    }

    async fn rotate_one(&mut self) -> Result<()> {
        let before = self.ground.read().await?;
        let mut times = Vec::new();
        for sample in 0..SAMPLES.min(self.resources) {
            let updates = self.ground.tally.count("PUT");
            let began = Instant::now();
            let secret = own_secret(sample);
            self.ground.credentials(&secret, "second").await?;
            let accepted = || self.ground.tally.count("PUT") > updates;
            wait("the update is accepted", accepted).await?;
            let accepted = self.ground.tally.updates(updates);
            times.extend(accepted.first().map(|at| *at - began));
        }
        let cost = self.settled(&before).await?;
        self.note("rotate a Secret, one reader", cost, |row| row.times(times));
        Ok(())
    }

    async fn rotate_all(&mut self) -> Result<()> {
        let readers = self.resources.saturating_sub(SAMPLES);
        let before = self.ground.read().await?;
        let updates = self.ground.tally.count("PUT");
        let began = Instant::now();
        self.ground.credentials("dropbox", "second").await?;
        let all = || self.ground.tally.count("PUT") >= updates + readers as u64;
        wait("all updates are accepted", all).await?;
        let accepted = self.ground.tally.updates(updates);
        let times = accepted.iter().map(|at| *at - began).collect();
        let cost = self.settled(&before).await?;
        let limit = self.limit(readers);
        self.note("rotate a Secret, all others read it", cost, |row| {
            row.limited(limit);
            row.times(times);
        });
        Ok(())
    }

    /// How long a new resource waits for a restarted operator, and what the restart costs in all.
    async fn restart(&mut self) -> Result<()> {
        self.ground.stop().await?;
        let before = self.ground.read().await?;
        let began = Instant::now();
        self.ground.start(NO_SYNC).await?;
        self.ground
            .create(SOURCE, [("late".to_owned(), source("dropbox", false))])
            .await?;
        self.tracker.until_this_is_ready("late").await?;
        let times = vec![began.elapsed()];
        let cost = self.settled(&before).await?;
        self.note("restart, and a new resource", cost, |row| row.times(times));
        Ok(())
    }

    async fn rest(&mut self) -> Result<()> {
        let interval = Duration::from_millis(self.options.sync_interval);
        self.ground.start(interval).await?;
        self.ground.ready().await?;
        let sweeps = async |count: usize| {
            let lists = self.ground.tally.count("LIST") + count as u64;
            let listed = || self.ground.tally.count("LIST") >= lists;
            wait("the workspace is listed", listed).await
        };
        // The first belongs to the start, the second may find it still under way.
        sweeps(3).await?;
        let before = self.ground.read().await?;
        sweeps(self.options.intervals).await?;
        let cost = self.ground.read().await?.since(&before);
        let phase = format!("at rest, {} intervals", self.options.intervals);
        self.note(&phase, cost, |_| {});
        Ok(())
    }

    /// How long new resources take while every connector has to be put right.
    async fn backlog(&mut self) -> Result<()> {
        let before = self.ground.read().await?;
        let updates = self.ground.tally.count("PUT");
        for source in self.ground.workspace.sources() {
            let drift = |source: &mut support::fake::unstructured::StoredSource| {
                source.config.insert("recursive".into(), Value::Bool(true));
            };
            self.ground.workspace.edit(&source.id, drift);
        }
        let first = || self.ground.tally.count("PUT") > updates;
        wait("the first is put right", first).await?;
        let mut times = Vec::new();
        let last = updates + self.resources as u64;
        while times.len() < SAMPLES && self.ground.tally.count("PUT") < last {
            let name = format!("new-{}", times.len());
            let began = Instant::now();
            let spec = source("dropbox", false);
            self.ground.create(SOURCE, [(name.clone(), spec)]).await?;
            self.tracker.until_this_is_ready(&name).await?;
            times.push(began.elapsed());
        }
        wait("all are put right", || {
            self.ground.tally.count("PUT") >= last
        })
        .await?;
        let cost = self.ground.read().await?.since(&before);
        let limit = self.limit(self.resources);
        self.note(
            "all connectors drift; new resources meanwhile",
            cost,
            |row| {
                row.limited(limit);
                row.times(times);
            },
        );
        Ok(())
    }

    async fn delete(&mut self, phase: &str) -> Result<()> {
        let before = self.ground.read().await?;
        let api = &self.ground.objects(SOURCE);
        let all = api.list_metadata(&kube::api::ListParams::default()).await?;
        let count = all.items.len();
        stream::iter(all.items)
            .map(|object| async move {
                let name = object.metadata.name.unwrap_or_default();
                api.delete(&name, &DeleteParams::default()).await
            })
            .buffer_unordered(WRITERS)
            .try_for_each(async |_| Ok(()))
            .await?;
        self.tracker.until_empty().await?;
        let cost = self.ground.read().await?.since(&before);
        let limit = self.limit(count);
        self.note(phase, cost, |row| row.limited(limit));
        Ok(())
    }

    /// What it has cost until the last thing that was waited for, and what still came of it afterwards.
    async fn settled(&self, before: &Reading) -> Result<Cost> {
        let wall = before.at.elapsed();
        self.ground.settle().await?;
        let cost = self.ground.read().await?.since(before);
        Ok(Cost { wall, ..cost })
    }

    /// No operator could be faster: so many requests take so long at this latency, this many at once and at this rate.
    fn limit(&self, requests: usize) -> Duration {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        let waiting = self.latency * requests / self.options.concurrency;
        waiting.max(Duration::from_secs(1) * requests / self.options.rate)
    }

    fn note(&mut self, phase: &str, cost: Cost, more: impl FnOnce(&mut Row)) {
        let mut row = Row::new(phase, self.resources, self.latency, cost);
        more(&mut row);
        eprintln!("{}", row.summary());
        self.rows.push(row);
    }
}

/// The spec of a source with the credentials in this Secret.
pub fn source(secret: &str, verify: bool) -> Value {
    json!({
        "remoteUrl": "dropbox://contracts",
        "verify": verify,
        "credentials": { "secretRef": { "name": secret } },
    })
}

fn name(number: usize) -> String {
    format!("source-{number}")
}

fn own_secret(number: usize) -> String {
    format!("dropbox-{number}")
}
