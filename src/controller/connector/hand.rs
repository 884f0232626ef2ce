//! What a pass has in hand beside its situation.

use std::sync::Arc;

use kube::ResourceExt;
use tokio::time::Instant;

use super::super::workspaces::Workspace;
use crate::crd::{ConnectorStatus, RECONCILE_AT};
use crate::engine::index::strip;
use crate::engine::queue::Job;
use crate::kinds::{Credentials, Resource};
use crate::unstructured::Config;

/// What effects need beside the situation, secrets among it. It lives as long as the pass.
pub struct Hand {
    /// The resource, as our last write of this pass left it.
    pub resource: Arc<Resource>,
    /// The generation that the pass decides on. The resource may have been edited since, and read again.
    pub generation: i64,
    /// The workspace to work in.
    pub workspace: Option<Arc<Workspace>>,
    /// The credentials, if they could be read.
    pub credentials: Option<Credentials>,
    /// The complete configuration, if it could be put together.
    pub config: Option<Config>,
    /// What the pass looks at must not be older.
    pub since: Instant,
    /// Value of the annotation that forced the pass.
    pub forced: Option<String>,
    /// Keys of the Secret whose value ended in a line break.
    pub trimmed: Vec<String>,
    /// Whether the Secret has changed since the API accepted a configuration.
    pub secret_changed: bool,
    /// The resource as the last write of this pass left it.
    pub written: Option<Arc<Resource>>,
    /// A status was sent without hearing whether it was written.
    pub unsure: bool,
    /// The resource as our own last write left it, where somebody else has overwritten its status since.
    ours: Option<Arc<Resource>>,
}

impl Hand {
    /// What there is before anything was gathered. `ours` is the resource as our own last write left it, where somebody else has
    /// overwritten its status since.
    pub fn new(resource: &Arc<Resource>, ours: Option<Arc<Resource>>, job: &Job) -> Self {
        let recorded = ours.as_ref().unwrap_or(resource);
        let handled = recorded
            .status()
            .and_then(|status| status.last_handled_reconcile_at.as_ref());
        let forced = resource
            .annotations()
            .get(RECONCILE_AT)
            .filter(|at| handled != Some(at));
        Self {
            resource: resource.clone(),
            generation: resource.metadata.generation.unwrap_or_default(),
            workspace: None,
            credentials: None,
            config: None,
            since: job.since,
            forced: forced.cloned(),
            trimmed: Vec::new(),
            secret_changed: false,
            written: None,
            unsure: false,
            ours,
        }
    }

    /// Takes in the resource as the API server showed it last.
    pub fn take_in(&mut self, mut resource: Resource) {
        strip(&mut resource.metadata);
        self.resource = Arc::new(resource);
    }

    /// Takes in the resource as our own write left it.
    pub fn wrote(&mut self, resource: Resource) {
        self.take_in(resource);
        self.written = Some(self.resource.clone());
        self.unsure = false;
    }

    /// What is on record is ours.
    pub fn recorded(&mut self) {
        self.ours = None;
    }

    /// Whether somebody else's status stands where ours was.
    pub fn is_overwritten(&self) -> bool {
        self.ours.is_some()
    }

    /// The status that is on record: what the operator wrote, whoever wrote over it.
    pub fn status(&self) -> ConnectorStatus {
        let recorded = self.ours.as_ref().unwrap_or(&self.resource);
        recorded.status().cloned().unwrap_or_default()
    }
}
