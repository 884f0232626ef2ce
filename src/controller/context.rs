//! What all passes share.

use std::sync::Arc;
use std::time::Duration;

use kube::api::DynamicObject;
use kube::{Api, Client};
use tokio::time::Instant;

use super::connector::memory::Memories;
use super::connector::naming::ClusterName;
use super::connector::provider::Breakers;
use super::pipeline::catalogue::Catalogue;
use super::pipeline::memory::Pipelines;
use super::unlisted::Unlisted;
use super::workspaces::Workspaces;
use crate::engine::definitions::{Definitions, Rights};
use crate::engine::index::Index;
use crate::engine::queue::Queue;
use crate::engine::secret_versions::SecretVersions;
use crate::hosts::HostPolicy;
use crate::kinds::{Kind, Providers};
use crate::own_key::OwnKey;
use crate::runtime::events::Recorder;
use crate::runtime::leader::Leadership;
use crate::runtime::metrics::Metrics;
use crate::unstructured::Endpoint;

/// Field manager of everything that the operator writes.
pub const MANAGER: &str = "unstructured-operator";

/// What the operator was told to do and not to do.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Default API URL.
    pub api_url: Endpoint,
    /// Which hosts a resource may name.
    pub hosts: HostPolicy,
    /// Whether plain `http://` is allowed.
    pub allow_insecure_http: bool,
    /// Namespaces to watch; empty for all.
    pub namespaces: Vec<String>,
    /// Label selector for resources.
    pub label_selector: Option<String>,
    /// Time between two looks at a workspace.
    pub sync_interval: Duration,
    /// Time between two looks at the runs that are under way.
    pub job_interval: Duration,
    /// How long a create may take to come about after its answer was lost.
    pub settle_time: Duration,
    /// How long a pass may take before it begins no further effect.
    pub pass_deadline: Duration,
    /// Passes at work at once, beside half as many more where one workspace has more to do than its share.
    pub max_concurrent_passes: usize,
    /// The share of one workspace.
    pub max_concurrent_passes_per_workspace: usize,
}

/// Everything that passes share. It lives as long as this process leads: a new term starts with nothing remembered.
pub struct Context {
    pub(super) client: Client,
    pub(super) recorder: Recorder,
    pub(super) metrics: Metrics,
    pub(super) own_key: Arc<OwnKey>,
    pub(super) providers: Providers,
    pub(super) breakers: Breakers,
    pub(super) cluster: ClusterName,
    pub(super) policy: Policy,
    pub(super) leadership: Leadership,
    pub(super) index: Index,
    pub(super) memories: Memories,
    /// The watch cache of workflows and jobs.
    pub(super) catalogue: Catalogue,
    /// What is remembered of them.
    pub(super) pipelines: Pipelines,
    pub(super) queue: Queue,
    pub(super) definitions: Definitions,
    pub(super) rights: Rights,
    pub(super) unlisted: Unlisted,
    pub(super) secret_versions: SecretVersions,
    pub(super) workspaces: Workspaces,
    pub(super) started: Instant,
}

impl Context {
    /// The objects of a kind in a namespace.
    pub(super) fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource())
    }

    /// Whether what a leader before this one may have sent has been carried out by now, or never will be.
    pub(super) fn has_settled(&self) -> bool {
        self.started.elapsed() >= self.policy.settle_time
    }
}
