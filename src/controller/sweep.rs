//! The drift check: one list for each workspace and interval, compared with all of its resources at once. Only those that differ
//! are queued; there is no periodic pass for each resource.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span};

use super::connector::recall::Awaits;
use super::connector::{recall, unclaimed};
use super::context::Context;
use super::key::Key;
use super::pipeline::board::Board;
use super::queue::Priority;
use super::recovery::wake_recovered;
use super::session::Session;
use super::wake::lane_of;
use super::workspaces::Workspace;
use crate::kinds::{Credentials, Resource};
use crate::spans;
use crate::unstructured::{ApiError, Snapshot};

/// Sweeps a workspace at every interval for as long as any resource uses it, and more often while somebody waits for its API.
pub async fn workspace(context: Arc<Context>, workspace: Weak<Workspace>) {
    let Some(ailing) = workspace.upgrade().map(|open| open.session.ailing()) else {
        return;
    };
    let interval = context.policy.sync_interval;
    let next = || Instant::now() + interval.mul_f64(0.95 + fastrand::f64() / 10.0);
    let mut due = next();
    loop {
        let is_due = tokio::select! {
            () = tokio::time::sleep_until(due) => true,
            () = ailing.probe_due() => false,
        };
        let Some(workspace) = workspace.upgrade() else {
            return;
        };
        if !is_due {
            let look = workspace.inventory.at_least(Instant::now());
            probe(&context, &workspace.session, look).await;
            continue;
        }
        due = next();
        // One that breaks down is logged, and must not be the last.
        let looking = AssertUnwindSafe(look_and_compare(&context, &workspace)).catch_unwind();
        if looking.instrument(spans::sweep()).await.is_err() {
            tracing::error!("sweep panicked; retrying later");
        }
    }
}

/// Finds out by a look whether the API works again. What that shows is compared at the next interval: a resource whose own request
/// fails is not to be retried sooner for it.
async fn probe<T>(
    context: &Context,
    session: &Session,
    look: impl Future<Output = Result<T, ApiError>>,
) {
    session.client.invite_probe();
    match look.await {
        Ok(_) => wake_recovered(context, session),
        Err(error) => {
            tracing::debug!(%error, "the API does not work yet; retrying");
            session.fails();
        }
    }
}

/// Looks at a workspace's workflows for as long as anybody waits for its API.
pub async fn board(context: Arc<Context>, board: Weak<Board>) {
    let Some(ailing) = board.upgrade().map(|open| open.session.ailing()) else {
        return;
    };
    loop {
        let waited = timeout(context.policy.sync_interval, ailing.probe_due()).await;
        let is_due = waited.is_ok();
        let Some(board) = board.upgrade() else {
            return;
        };
        if is_due {
            let look = board.all_workflows(Instant::now());
            probe(&context, &board.session, look).await;
        }
    }
}

async fn look_and_compare(context: &Context, workspace: &Workspace) {
    match workspace.inventory.at_least(Instant::now()).await {
        Ok(snapshot) => {
            compare(context, workspace, &snapshot);
            unclaimed::report(context, workspace, &snapshot);
            wake_recovered(context, &workspace.session);
        }
        Err(error) => {
            spans::failed(&Span::current(), error.kind.as_str(), error.message());
            tracing::warn!(%error, "could not read the inventory; retrying");
            workspace.session.fails();
        }
    }
}

fn compare(context: &Context, workspace: &Workspace, snapshot: &Snapshot) {
    let mut differing = 0_usize;
    for key in workspace.members() {
        let Some(resource) = context.index.get(&key) else {
            continue;
        };
        if context.memories.awaits(&key) == Awaits::Inventory
            || differs(context, workspace, &key, &resource, snapshot)
        {
            differing += 1;
            context.queue.add(
                &key,
                lane_of(&resource),
                Priority::Drift,
                snapshot.asked_at(),
            );
        }
    }
    spans::compared(&Span::current(), snapshot.len(), differing);
    tracing::debug!(
        connectors = snapshot.len(),
        differing,
        "compared the inventory"
    );
}

/// Whether the inventory shows anything else than one connector with the readable settings of the resource.
fn differs(
    context: &Context,
    workspace: &Workspace,
    key: &Key,
    resource: &Resource,
    snapshot: &Snapshot,
) -> bool {
    let Some(status) = resource.status() else {
        return false;
    };
    let settings = resource.spec.config(&Credentials::default());
    let drifts = |id| {
        let source = snapshot.by_id(&id)?;
        Some(!workspace.drift(&settings, source).is_empty())
    };
    let namesakes = || {
        let held = |id| context.index.holder(id).is_some();
        let cluster = &context.cluster;
        let mark = cluster.key_of(resource.kind.name, &key.namespace, &key.name);
        let found = if resource.spec.options().connector_name.is_some() {
            snapshot.by_key(&mark)
        } else {
            let name = resource.kind.name_of(&key.name);
            snapshot.called(&cluster.default_name(&key.namespace, &name).value, &mark)
        };
        found
            .into_iter()
            .map(move |source| (source.id, held(source.id)))
    };
    recall::differs(status, drifts, namesakes)
}
