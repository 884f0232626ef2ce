//! Connectors that carry a default name of this cluster and belong to no resource: what a deletion that took the finalizer away by
//! force, or a lost record, has left. They are told and never touched, since what was retained on purpose looks the same.

use std::collections::{BTreeSet, HashSet};

use super::Context;
use super::pass::warn_lasting;
use super::workspaces::Workspace;
use crate::crd::EventReason;
use crate::unstructured::{Connector, Snapshot};

/// As many are named in one event.
const NAMED: usize = 5;

/// Tells of those that are news, and keeps their number for the metric.
pub fn report(context: &Context, workspace: &Workspace, snapshot: &Snapshot) {
    // What the resources of another shard are called, nobody here knows.
    if context.policy.label_selector.is_some() || !context.unlisted.none() {
        return;
    }
    let mut underway = HashSet::new();
    context.index.for_each(|key, resource| {
        let bound = resource.status().and_then(|s| s.id.as_ref());
        if bound.is_none() {
            let name = context
                .cluster
                .default_name(&key.namespace, &resource.kind.name_of(&key.name));
            underway.insert(name.value);
        }
    });
    let is_unclaimed = |source: &&Connector| {
        context.cluster.reserves(&source.name)
            && watches(context, &source.name)
            && !underway.contains(&*source.name)
            && context.index.holder(source.id).is_none()
    };
    let found: Vec<&Connector> = snapshot.sources().filter(is_unclaimed).collect();
    let ids: BTreeSet<_> = found.iter().map(|source| source.id).collect();
    let news = workspace.found_unclaimed(ids);
    if news.is_empty() {
        return;
    }
    let named: Vec<_> = found
        .iter()
        .filter(|source| news.contains(&source.id))
        .take(NAMED)
        .map(|source| format!("{} ({})", source.id, source.name))
        .collect();
    let text = format!(
        "{} of the connectors in the workspace at {} carry default names of this cluster and belong to no resource: {}{}. They were \
         retained, or their resource went without the operator. Delete them there by hand, or take each over with a resource of \
         its name.",
        news.len(),
        workspace.client.endpoint(),
        named.join(", "),
        if news.len() > NAMED { ", …" } else { "" }
    );
    warn_lasting(context, EventReason::Unclaimed, "Sweep", text);
}

/// Whether resources with this default name are seen here.
fn watches(context: &Context, name: &str) -> bool {
    let namespaces = &context.policy.namespaces;
    let namespace = name.split('.').next().unwrap_or_default();
    namespaces.is_empty() || namespaces.iter().any(|watched| watched == namespace)
}
