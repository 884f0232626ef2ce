//! The drift check: one list for each workspace and interval, compared with all of its resources at once. Only those that differ
//! are queued; there is no periodic pass for each resource.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::context::Context;
use super::key::Key;
use super::queue::Priority;
use super::recall::Awaits;
use super::wake::lane_of;
use super::wake::look_again;
use super::workspaces::Workspace;
use super::{recall, unclaimed};
use crate::kinds::{Credentials, Resource};
use crate::spans;
use crate::unstructured::Snapshot;

/// Sweeps a workspace at every interval for as long as any resource uses it, and more often while somebody waits for its API.
pub async fn workspace(context: Arc<Context>, workspace: Weak<Workspace>) {
    let Some(ailing) = workspace.upgrade().map(|open| open.ailing.clone()) else {
        return;
    };
    loop {
        let interval = context.policy.sync_interval;
        let due = Instant::now() + interval.mul_f64(0.95 + fastrand::f64() / 10.0);
        let mut probes = 0;
        loop {
            let is_due = tokio::select! {
                () = tokio::time::sleep_until(due) => true,
                () = ailing.probe_due(probes + 1) => false,
            };
            let Some(workspace) = workspace.upgrade() else {
                return;
            };
            // One that breaks down is logged, and must not be the last.
            let looking = AssertUnwindSafe(look_and_compare(&context, &workspace)).catch_unwind();
            if looking.instrument(spans::sweep()).await.is_err() {
                tracing::error!("the comparison with the inventory panicked; trying again later");
            }
            if is_due {
                break;
            }
            probes += 1;
        }
    }
}

async fn look_and_compare(context: &Context, workspace: &Workspace) {
    match workspace.inventory.at_least(Instant::now()).await {
        Ok(snapshot) => {
            compare(context, workspace, &snapshot);
            unclaimed::report(context, workspace, &snapshot);
            wake_if_recovered(context, workspace);
        }
        Err(error) => {
            spans::failed(&Span::current(), error.kind.as_str(), error.message());
            tracing::warn!(%error, "the inventory could not be read; trying again");
            workspace.ails();
        }
    }
}

/// Wakes everybody who waits for the API, where it has answered anybody since it began to ail.
pub fn wake_if_recovered(context: &Context, workspace: &Workspace) {
    if !workspace.ailing.has_ended(workspace.client.answers()) {
        return;
    }
    for key in workspace.members() {
        if context.memories.awaits(&key) == Awaits::Api {
            look_again(context, &key, Priority::Retry);
        }
    }
}

fn compare(context: &Context, workspace: &Workspace, snapshot: &Snapshot) {
    let mut differing = 0_usize;
    for key in workspace.members() {
        let Some(resource) = context.index.get(&key) else {
            continue;
        };
        if context.memories.awaits(&key) != Awaits::Nothing
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
        "the inventory was compared"
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
