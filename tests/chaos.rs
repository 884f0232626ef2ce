//! Proof by fire: users who change their minds, operators that are killed and stopped, an API server that goes away, an API that
//! fails in every way at once. Afterwards, with the faults off, everything has to come true by itself.
//!
//! What happens, and in which order, follows from a seed. `CHAOS_SEED` repeats it; `CHAOS_SECONDS` makes it last longer.

mod disasters;
mod faults;
mod pipelines;
mod soak;
mod users;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use support::controlplane::ControlPlane;
use support::fake::unstructured::{CheckScript, StoredSource, WorkspaceHandle};
use support::fake::{FakeDropbox, FakeUnstructured};
use support::operator::Settings;
use support::stage::{
    API_KEY, create_namespace, dropbox_source, environment, install_definition, manifest,
};
use tokio::time::Instant;

use crate::OPERATOR;
use disasters::{OF_ALL, Operators};

/// Every secret of this test begins with it, so that one search finds whichever gets out.
const CANARY: &str = "canary-7d1f0b93c5a2e864";
/// The key of the workspace that the tenant's resources name.
const TENANT_KEY: &str = "canary-7d1f0b93c5a2e864-tenant";
/// This namespace's resources name a workspace of their own; the others use the operator's.
const TENANT: &str = "tenant";
const NAMESPACES: [&str; 3] = ["legal", "sales", TENANT];
const RESOURCES_EACH: u32 = 12;
const SECRETS_EACH: u32 = 3;
/// A resource whose connector's name somebody else has: it must never get one.
const CONTESTED: &str = "contested";
const SYNC_INTERVAL: Duration = Duration::from_secs(2);

/// The API server that the operators work on.
struct Cluster {
    plane: ControlPlane,
    client: Client,
}

impl Cluster {
    /// One that has the definitions and these namespaces.
    async fn start(namespaces: &[&str]) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let client = plane.client()?;
        install_definition(&client).await?;
        for namespace in namespaces {
            create_namespace(&client, namespace).await?;
        }
        Ok(Self { plane, client })
    }

    /// How to start an operator on these namespaces, with these options besides.
    fn settings(
        &self,
        namespaces: &[&str],
        api: &FakeUnstructured,
        dropbox: &FakeDropbox,
        directory: &Path,
        options: &[(&str, &str)],
    ) -> Settings {
        let kubeconfig = self.plane.kubeconfig_path();
        let mut environment = environment(kubeconfig, namespaces[0], &api.url(), &dropbox.url());
        let namespaces = namespaces.join(",");
        let sync = format!("{}s", SYNC_INTERVAL.as_secs());
        let all = [
            ("WATCH_NAMESPACES", namespaces.as_str()),
            ("REQUEST_TIMEOUT", "2s"),
            ("SETTLE_TIME", "5s"),
            ("SYNC_INTERVAL", &sync),
            ("MAX_REQUESTS_PER_SECOND", "200"),
        ];
        for (name, value) in all.iter().chain(options) {
            environment.retain(|(known, _)| known != name);
            environment.push(((*name).to_owned(), (*value).to_owned()));
        }
        Settings {
            binary: OPERATOR.into(),
            directory: directory.to_owned(),
            environment,
        }
    }
}

/// What the storm blows over.
struct World {
    cluster: Cluster,
    api: FakeUnstructured,
    dropbox: FakeDropbox,
    /// By namespace.
    workspaces: BTreeMap<&'static str, WorkspaceHandle>,
    /// Connectors that nobody of us made, as they were before.
    foreign: Vec<(WorkspaceHandle, StoredSource)>,
    /// Names of connectors that a user may have asked to leave behind.
    retained: Mutex<BTreeSet<String>>,
    /// Every moment at which two connectors had one name.
    doubles: Arc<Mutex<BTreeSet<String>>>,
    directory: tempfile::TempDir,
}

#[tokio::test]
async fn after_any_storm_every_resource_has_its_one_connector_and_nothing_else_is_left()
-> Result<()> {
    play("chaos::after", "CHAOS_SECONDS", 45, storm).await
}

/// Plays for as long as a variable says, and tells how to have the same again.
async fn play(
    test: &str,
    variable: &str,
    usual: u64,
    storm: impl AsyncFnOnce(u64, Duration) -> Result<()>,
) -> Result<()> {
    let seed = number("CHAOS_SEED")?.unwrap_or_else(|| fastrand::u64(..));
    let seconds = number(variable)?.unwrap_or(usual);
    let again = format!(
        "CHAOS_SEED={seed} {variable}={seconds} cargo test --test main {test} -- --nocapture"
    );
    println!("{again}");
    storm(seed, Duration::from_secs(seconds))
        .await
        .with_context(|| format!("the same storm again: {again}"))
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = std::env::var(variable).ok();
    let number = text.map(|text| text.parse()).transpose();
    number.with_context(|| format!("{variable} is no number"))
}

async fn storm(seed: u64, duration: Duration) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let world = World::new().await?;
    let mut operators = Operators::start(world.settings(), 2).await?;
    world.api.inject_by(faults::of_unstructured(random.fork()));
    world.dropbox.inject_by(faults::of_dropbox(random.fork()));
    let end = Instant::now() + duration;
    let (users, disasters) = (random.fork(), random.fork());
    let result = async {
        tokio::try_join!(
            users::change_their_minds(&world, users, end),
            operators.suffer(&world.cluster, disasters, end, &OF_ALL),
        )?;
        world.api.clear_faults();
        world.dropbox.clear_faults();
        users::resume_everything(&world).await?;
        verdict::everything_comes_true(&world).await?;
        verdict::nothing_got_out(&world.cluster, &NAMESPACES, &operators).await
    }
    .await;
    if result.is_err() {
        println!("left for inspection: {}", world.directory.keep().display());
    }
    result
}

impl World {
    async fn new() -> Result<Self> {
        let cluster = Cluster::start(&NAMESPACES).await?;
        let api = FakeUnstructured::start();
        let dropbox = FakeDropbox::start();
        dropbox.accept_anything();
        let (own, tenant) = (api.workspace(API_KEY), api.workspace(TENANT_KEY));
        for workspace in [&own, &tenant] {
            workspace.set_checks(|_| CheckScript::success_after(0));
        }
        let workspaces = NAMESPACES
            .map(|namespace| {
                let workspace = if namespace == TENANT { &tenant } else { &own };
                (namespace, workspace.clone())
            })
            .into();
        let world = Self {
            foreign: strangers(&[own, tenant]),
            doubles: Arc::default(),
            retained: Mutex::default(),
            directory: tempfile::tempdir()?,
            cluster,
            api,
            dropbox,
            workspaces,
        };
        for namespace in NAMESPACES {
            users::move_in(&world, namespace).await?;
        }
        let spec = json!({
            "connectorName": "taken",
            "credentials": { "secretRef": { "name": "dropbox-0" } },
        });
        world
            .sources(NAMESPACES[0])
            .create(&PostParams::default(), &manifest(CONTESTED, spec))
            .await?;
        world.watch_for_doubles();
        Ok(world)
    }

    fn sources(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client.clone(), namespace, &dropbox_source())
    }

    fn settings(&self) -> Settings {
        let directory = self.directory.path();
        self.cluster
            .settings(&NAMESPACES, &self.api, &self.dropbox, directory, &[])
    }

    /// That there is one connector is to hold at every moment, not only in the end.
    fn watch_for_doubles(&self) {
        let workspaces: Vec<_> = self.workspaces.values().cloned().collect();
        let doubles = Arc::clone(&self.doubles);
        self.api.on_answer(move |request| {
            if request.method != "POST" {
                return;
            }
            for workspace in &workspaces {
                let mut seen = BTreeSet::new();
                let dropbox = |source: &StoredSource| source.connector_type == "dropbox";
                for source in workspace.sources().into_iter().filter(dropbox) {
                    if !seen.insert(source.name.clone()) {
                        doubles.lock().unwrap().insert(source.name);
                    }
                }
            }
        });
    }
}

/// Connectors of other people, some with names much like ours.
fn strangers(workspaces: &[WorkspaceHandle]) -> Vec<(WorkspaceHandle, StoredSource)> {
    let config = json!({ "remote_url": "dropbox://theirs", "recursive": true, "app_key": "k", "app_secret": "s", "refresh_token": "t" });
    let known = [
        ("dropbox", "taken", config.clone()),
        ("dropbox", "legal.r0", config.clone()),
        ("dropbox", "legal.r0.other", config.clone()),
        ("dropbox", "tenant.r1.test2", config),
        (
            "s3",
            "sales.r2.test",
            json!({ "remote_url": "s3://theirs" }),
        ),
    ];
    let mut strangers = Vec::new();
    for workspace in workspaces {
        for (source_type, name, config) in known.clone() {
            workspace.insert(source_type, name, config);
        }
        let there = workspace.sources();
        strangers.extend(there.into_iter().map(|source| (workspace.clone(), source)));
    }
    strangers
}

/// The name that a resource's connector has to have.
fn connector_name(namespace: &str, resource: &str, spec: &Value) -> String {
    spec["connectorName"]
        .as_str()
        .map_or_else(|| format!("{namespace}.{resource}.test"), str::to_owned)
}
