//! The drift check: one list for each workspace and interval, compared with all of its resources at once. Only those that differ
//! are queued; there is no periodic pass for each resource.

use std::sync::{Arc, Weak};

use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::index::Key;
use super::queue::Priority;
use super::workspaces::Workspace;
use super::{Context, lane_of};
use crate::crd::SourceStatus;
use crate::kinds::{Credentials, SourceKind};
use crate::spans;
use crate::unstructured::{Snapshot, SourceId};

/// Sweeps a workspace at every interval for as long as any resource uses it.
pub async fn workspace<K: SourceKind>(context: Arc<Context<K>>, workspace: Weak<Workspace>) {
    loop {
        let interval = context.policy.sync_interval;
        tokio::time::sleep(interval.mul_f64(0.95 + fastrand::f64() / 10.0)).await;
        let Some(workspace) = workspace.upgrade() else {
            return;
        };
        look_and_compare(&context, &workspace)
            .instrument(spans::sweep())
            .await;
    }
}

async fn look_and_compare<K: SourceKind>(context: &Context<K>, workspace: &Workspace) {
    match workspace.inventory.at_least(Instant::now()).await {
        Ok(snapshot) => compare(context, workspace, &snapshot),
        Err(error) => {
            spans::failed(&Span::current(), error.kind.as_str(), error.message());
            tracing::warn!(%error, "the inventory could not be read; trying again at the next interval");
        }
    }
}

fn compare<K: SourceKind>(context: &Context<K>, workspace: &Workspace, snapshot: &Snapshot) {
    let mut differing = 0_usize;
    for key in workspace.members() {
        let Some(resource) = context.index.get(&key) else {
            continue;
        };
        if context.memories.awaits_inventory(&key)
            || differs(context, workspace, &key, &*resource, snapshot)
        {
            differing += 1;
            context.queue.add(
                &key,
                lane_of(&*resource),
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
fn differs<K: SourceKind>(
    context: &Context<K>,
    workspace: &Workspace,
    key: &Key,
    resource: &K,
    snapshot: &Snapshot,
) -> bool {
    let Some(id) = resource.status().and_then(bound) else {
        return false;
    };
    let Some(source) = snapshot.by_id(&id) else {
        return true;
    };
    let settings = Credentials::default().complete(resource.settings());
    let name = context.cluster.default_name(&key.namespace, &key.name);
    let doubled = || {
        resource.options().connector_name.is_none()
            && snapshot
                .by_name(&name.value)
                .iter()
                .any(|other| other.id != id && context.index.holder(other.id).is_none())
    };
    !workspace.drift(&settings, source).is_empty() || doubled()
}

fn bound(status: &SourceStatus) -> Option<SourceId> {
    status.source_id.as_deref()?.parse().ok()
}
