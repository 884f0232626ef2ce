//! Connectors that carry a default name of this cluster and belong to no resource: what a deletion that took the finalizer away by
//! force, or a lost record, has left. They are told and never touched, since what was retained on purpose looks the same.

use std::collections::{BTreeSet, HashSet};

use super::super::context::Context;
use super::super::workspaces::Workspace;
use super::naming::ClusterName;
use super::tell::warn_lasting;
use crate::crd::EventReason;
use crate::kinds::Resource;
use crate::unstructured::{Connector, ConnectorId, Snapshot};

/// As many are named in one event.
const NAMED: usize = 5;

/// The resources that are seen, as far as they have a say in which connectors belong to nobody.
pub struct Seen<'a> {
    cluster: &'a ClusterName,
    /// Where every resource is seen; empty: everywhere.
    namespaces: &'a [String],
    /// The default names of those that have no connector on record: they may be about to make or to find it.
    underway: HashSet<String>,
}

impl<'a> Seen<'a> {
    /// Nothing yet, of a cluster of which all resources in these namespaces (everywhere, if there are none) will be shown.
    pub fn new(cluster: &'a ClusterName, namespaces: &'a [String]) -> Self {
        Self {
            cluster,
            namespaces,
            underway: HashSet::new(),
        }
    }

    /// Takes in a resource.
    pub fn see(&mut self, resource: &Resource) {
        let bound = resource.status().and_then(|status| status.id.as_ref());
        if bound.is_none() {
            let name = self.cluster.connector_name(resource.kind, &resource.key());
            self.underway.insert(name.value);
        }
    }

    /// Those that belong to nobody, where `is_held` says which connectors the resources hold.
    pub fn unclaimed<'s>(
        &self,
        sources: impl Iterator<Item = &'s Connector>,
        is_held: impl Fn(ConnectorId) -> bool,
    ) -> Vec<&'s Connector> {
        let is_unclaimed = |source: &&Connector| {
            self.cluster.reserves(&source.name)
                && self.shows(&source.name)
                && !self.underway.contains(&*source.name)
                && !is_held(source.id)
        };
        sources.filter(is_unclaimed).collect()
    }

    /// Whether the resource with this default name would be seen.
    fn shows(&self, name: &str) -> bool {
        let namespace = name.split('.').next().unwrap_or_default();
        self.namespaces.is_empty() || self.namespaces.iter().any(|seen| seen == namespace)
    }
}

/// Tells of those that are news, and keeps their number for the metric.
pub fn report(context: &Context, workspace: &Workspace, snapshot: &Snapshot) {
    // What the resources of another shard are called, nobody here knows.
    if context.policy.label_selector.is_some() || !context.unlisted.none() {
        return;
    }
    let mut seen = Seen::new(&context.cluster, &context.policy.namespaces);
    context.index.for_each(|_, resource| seen.see(resource));
    let found = seen.unclaimed(snapshot.sources(), |id| context.index.holder(id).is_some());
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
        "Connectors in the workspace at {} have default names of this cluster and belong to no resource ({}): {}{}. They were retained, or \
         the finalizer of their resource was removed by hand. Delete them there by hand, or adopt each.",
        workspace.session.client.endpoint(),
        news.len(),
        named.join(", "),
        if news.len() > NAMED { ", …" } else { "" }
    );
    warn_lasting(context, EventReason::Unclaimed, "Sweep", text);
}
