//! The controller: watch → observe → plan → act → report.
//!
//! [`triggers`] fill the queue of the [`engine`](crate::engine), a worker makes a pass over one object at a time, and [`sweep`]
//! compares whole workspaces. What a pass does is the protocol of the kind: [`connector`] for sources and destinations of every
//! type, [`pipeline::workflow`] and [`pipeline::job`]. Each has the same words: `observe` gathers a `situation`, `plan` decides the
//! one next effect, `act` performs it, and so on until the plan rests; then `report` turns the outcome into status and events.

pub mod connector;
pub mod context;
pub mod definition;
pub mod deletion;
pub mod listing;
pub mod open;
pub mod pipeline;
pub mod record;
pub mod recovery;
pub mod secret_sweep;
pub mod secrets;
pub mod sweep;
pub mod triggers;
pub mod unlisted;
pub mod wake;
pub mod watching;
pub mod workspaces;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::crd::{self, UnstructuredJob, UnstructuredWorkflow};
use crate::engine::definitions::{Definitions, Rights};
use crate::engine::index::Index;
use crate::engine::key::Key;
use crate::engine::queue::{Job, Queue};
use crate::engine::room::Room;
use crate::engine::secret_versions::SecretVersions;
use crate::kinds::{self, Provider, Providers};
use crate::runtime::events::Recorder;
use crate::runtime::http::{Gate, Vitals};
use crate::runtime::leader::Leadership;
use crate::runtime::metrics::Metrics;
use crate::spans;
use crate::unstructured::Options;
pub use context::{MANAGER, Policy};

use crate::own_key::OwnKey;
use connector::memory::Memories;
use connector::naming::ClusterName;
use connector::provider::Breakers;
use context::Context;
use listing::Listing;
use pipeline::catalogue::Catalogue;
use pipeline::memory::Pipelines;
use pipeline::object::Object;
use unlisted::{Place, Unlisted};
use workspaces::{Lists, Workspaces};

/// What the controller is made of, given once at the start.
#[derive(Clone)]
pub struct Parts {
    /// Talks to Kubernetes.
    pub client: Client,
    /// Publishes events.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Metrics,
    /// The operator's own key.
    pub own_key: Arc<OwnKey>,
    /// Limits for the calls to Unstructured.
    pub options: Options,
    /// The systems that credentials belong to.
    pub providers: Providers,
    /// Name of this cluster.
    pub cluster: ClusterName,
    /// What to do.
    pub policy: Policy,
    /// Hears when the work has come to a standstill.
    pub vitals: Vitals,
}

/// One of the tasks that should never end did, by a panic that is logged: without it changes would go unnoticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of the operator broke down; see the log above, and start it again")]
pub struct BrokenDown;

/// Works until `shutdown`, or until the future is dropped because another instance leads.
///
/// # Errors
///
/// [`BrokenDown`], after the passes under way have come to their end.
pub async fn run(
    parts: Parts,
    leadership: Leadership,
    filled: Gate,
    shutdown: CancellationToken,
) -> Result<(), BrokenDown> {
    let (opened, workspaces) = mpsc::unbounded_channel();
    for kind in &crd::ALL {
        parts.metrics.reconciles_of(kind.name);
    }
    let namespaces = scopes(&parts.policy.namespaces);
    let share = parts.policy.max_concurrent_passes_per_workspace;
    let room = Room::new(parts.policy.max_concurrent_passes, share);
    let context = Arc::new(Context {
        workspaces: Workspaces::new(parts.options, opened),
        queue: Queue::new(room),
        // Passes that wait for a provider that hangs leave room for those that do not need it.
        breakers: Breakers::new(share),
        client: parts.client,
        recorder: parts.recorder,
        metrics: parts.metrics,
        own_key: parts.own_key,
        providers: parts.providers,
        cluster: parts.cluster,
        policy: parts.policy,
        leadership,
        definitions: Definitions::default(),
        rights: Rights::default(),
        unlisted: Unlisted::new(filled),
        index: Index::default(),
        memories: Memories::default(),
        catalogue: Catalogue::default(),
        pipelines: Pipelines::default(),
        secret_versions: SecretVersions::default(),
        started: Instant::now(),
    });
    parts.vitals.ask({
        let context = Arc::downgrade(&context);
        move || standstill(&*context.upgrade()?)
    });
    let mut tasks = JoinSet::new();
    let (listing, listed) = mpsc::channel(1);
    watch_all(&context, &namespaces, &listing, &mut tasks);
    drop(listing);
    if matches!(*context.own_key, OwnKey::File { .. }) {
        tasks.spawn(triggers::key_file(context.clone()));
    }
    tasks.spawn(sweeps(context.clone(), workspaces));
    for provider in Provider::ALL {
        tasks.spawn(recovery::scouts(context.clone(), provider));
    }
    tasks.spawn(secret_sweep::follow(context.clone()));
    tasks.spawn(measure(context.clone()));
    tokio::select! {
        () = all_listed(listed) => {}
        () = shutdown.cancelled() => {}
    }
    let ending = shutdown.child_token();
    let result = supervised(work(context, ending.clone()), &mut tasks, &ending).await;
    tasks.shutdown().await;
    result
}

/// Begins all watches. Each drops its end of `listing` when it has listed what there is.
fn watch_all(
    context: &Arc<Context>,
    namespaces: &[Option<String>],
    listing: &mpsc::Sender<()>,
    tasks: &mut JoinSet<()>,
) {
    let sharded = context.policy.label_selector.is_some();
    let place = |kind, namespace: &Option<String>| Place {
        kind,
        namespace: namespace.clone(),
    };
    // Before the first of them begins, or all would seem to be known once it has listed its own.
    for namespace in namespaces {
        for kind in kinds::ALL {
            let watches = if sharded { 2 } else { 1 };
            for _ in 0..watches {
                context.unlisted.expect(&place(kind.name, namespace));
            }
        }
        for kind in [UnstructuredWorkflow::KIND, UnstructuredJob::KIND] {
            context.unlisted.expect(&place(kind, namespace));
        }
    }
    for namespace in namespaces {
        let listing_of =
            |kind| Listing::new(context.clone(), place(kind, namespace), listing.clone());
        for kind in kinds::ALL {
            let listing = || listing_of(kind.name);
            if sharded {
                tasks.spawn(triggers::holdings(
                    context.clone(),
                    kind,
                    namespace.clone(),
                    listing(),
                ));
            }
            tasks.spawn(triggers::resources(
                context.clone(),
                kind,
                namespace.clone(),
                listing(),
            ));
        }
        tasks.spawn(pipeline::triggers::workflows(
            context.clone(),
            namespace.clone(),
            listing_of(UnstructuredWorkflow::KIND),
        ));
        tasks.spawn(pipeline::triggers::jobs(
            context.clone(),
            namespace.clone(),
            listing_of(UnstructuredJob::KIND),
        ));
        tasks.spawn(triggers::secrets(
            context.clone(),
            namespace.clone(),
            listing.clone(),
        ));
    }
}

/// Works for as long as none of `tasks` ends, none of which ever should; then lets the work come to its end.
async fn supervised(
    work: impl Future<Output = ()>,
    tasks: &mut JoinSet<()>,
    ending: &CancellationToken,
) -> Result<(), BrokenDown> {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => Ok(()),
        Some(_) = tasks.join_next() => {
            ending.cancel();
            work.await;
            Err(BrokenDown)
        }
    }
}

/// Longer than any pass: twice the time in which it may begin an effect, and as long as writing down a new connector's id may take.
const WRITING_DOWN: Duration = Duration::from_mins(10);

/// What `/healthz` says of a pass that will not come to an end.
fn standstill(context: &Context) -> Option<String> {
    let age = context.queue.longest_at_work()?.elapsed();
    let limit = context.policy.pass_deadline * 2 + WRITING_DOWN;
    (age > limit).then(|| {
        format!(
            "a reconcile has not come to an end for {} seconds",
            age.as_secs()
        )
    })
}

fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().cloned().map(Some).collect()
    }
}

/// How long the work waits at the start for the watches to show what there is. One that is not allowed, or fails, must not stop
/// it for good.
const LISTING_PATIENCE: Duration = Duration::from_secs(10);

/// Waits until every watch has listed what there is, and so dropped its end of the channel. A Secret that a pass reads after that
/// cannot change unseen; if work began earlier, every Secret that is listed later would have to be taken for a changed one, and
/// each resource looked at twice.
async fn all_listed(mut listed: mpsc::Receiver<()>) {
    if tokio::time::timeout(LISTING_PATIENCE, listed.recv())
        .await
        .is_err()
    {
        tracing::warn!("not every watch has listed its objects yet; starting anyway");
    }
}

/// Gives jobs to workers until the shutdown, then lets the passes under way end.
async fn work(context: Arc<Context>, shutdown: CancellationToken) {
    let mut passes = JoinSet::new();
    loop {
        let job = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = passes.join_next() => continue,
            job = context.queue.next() => job,
        };
        let context = context.clone();
        passes.spawn(async move {
            make(&context, &job).await;
            context.queue.done(&job.key);
        });
    }
    while passes.join_next().await.is_some() {}
}

/// Makes the pass that the queue asked for, by the protocol of the kind, in a span of its own.
async fn make(context: &Context, job: &Job) {
    let Key {
        kind,
        namespace,
        name,
    } = &job.key;
    let span = spans::reconcile(kind, namespace, name, job.priority.as_str());
    let pass = async {
        if pipeline::is_ours(&job.key) {
            pipeline::make(context, job).await;
        } else {
            connector::pass::make(context, job).await;
        }
    };
    pass.instrument(span).await;
}

async fn sweeps(context: Arc<Context>, mut opened: mpsc::UnboundedReceiver<Lists>) {
    let mut sweeps = JoinSet::new();
    while let Some(lists) = opened.recv().await {
        while sweeps.try_join_next().is_some() {}
        match lists {
            Lists::Connectors(workspace) => {
                sweeps.spawn(sweep::sweep(context.clone(), workspace));
            }
            Lists::Pipelines(board) => {
                sweeps.spawn(sweep::sweep(context.clone(), board));
            }
        }
    }
}

/// How often gauges are set that nobody changes by an event.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

async fn measure(context: Arc<Context>) {
    loop {
        for (priority, depth, oldest) in context.queue.depths() {
            context.metrics.queue(
                priority.as_str(),
                depth,
                oldest.map(|since| since.elapsed()).unwrap_or_default(),
            );
        }
        context
            .metrics
            .paused_workspaces(context.workspaces.paused());
        context.metrics.stuck_deletions(context.memories.stuck());
        context
            .metrics
            .unclaimed_connectors(context.workspaces.unclaimed());
        context
            .metrics
            .resources(&connector::report::census(&context.index));
        tokio::time::sleep(MEASURE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_in_order_when_a_task_breaks_down_that_it_needs() {
        let ending = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(std::future::pending());
        let calm = supervised(async {}, &mut tasks, &ending).await;
        assert_eq!(calm, Ok(()));
        assert!(!ending.is_cancelled());

        tasks.spawn(async { panic!("a bug") });
        let mut ended = false;
        let work = async {
            ending.cancelled().await;
            tokio::task::yield_now().await;
            ended = true;
        };
        assert_eq!(supervised(work, &mut tasks, &ending).await, Err(BrokenDown));
        assert!(ended);
    }
}
