//! The Unstructured platform's API: the connectors of workspaces, sources and destinations, and their connection checks;
//! the workflows between them, and the jobs that run these.
//!
//! Statuses, shapes and texts follow the published `OpenAPI` document, the official SDK and recorded answers of the
//! service; what is not known for certain is a switch in [`Rules`] or, for the keys of objects, in a workspace's [`Keys`].
//! Templates, notifications and jobs without a workflow are not there: their paths get 404.

pub mod answers;
mod check;
mod config;
mod dispatch;
mod envelope;
mod family;
mod handle;
mod job;
mod job_operations;
mod keys;
mod lag;
mod nodes;
mod operations;
mod pipeline_handle;
mod pipeline_rules;
mod pipelines;
mod routes;
mod rules;
mod schedule;
mod target;
#[cfg(test)]
mod tests;
mod types;
mod workflow;
mod workflow_body;
mod workflow_operations;
mod workflow_query;
mod workspace;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

pub use check::{CheckScript, Poll};
pub use config::{Config, MASK};
pub use family::Family;
pub use handle::{Connectors, WorkspaceHandle};
pub use job::{JobEnd, JobStatus, StoredJob};
pub use keys::{AbsentKey, GivenKey, Keys, TakenKey};
pub use nodes::StoredNode;
pub use pipeline_handle::Tick;
pub use pipeline_rules::{Cancel, DeleteWhileActive, NodeOrder, PipelineRules};
pub use routes::Route;
pub use rules::{
    ListOrder, Masking, MissingSlash, NoCheckYet, Permission, RateLimit, ReceivedMask, Rename,
    Rules, Validation,
};
pub(in crate::fake) use types::is_secret;
pub use workflow::StoredWorkflow;
pub use workspace::{StoredConnector, StoredSource};

use super::{Fake, journal::lock};
use workspace::Workspace;

/// The Unstructured API on loopback.
pub type FakeUnstructured = Fake<Unstructured>;

/// The rules of the API over its state.
#[derive(Default)]
pub struct Unstructured {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Rules,
    /// Which workspace a key opens.
    keys: HashMap<String, usize>,
    workspaces: Vec<Workspace>,
}

impl FakeUnstructured {
    /// A new, empty workspace that this key opens from now on, whatever it opened before.
    pub fn workspace(&self, api_key: &str) -> WorkspaceHandle {
        let index = {
            let mut state = lock(&self.shared.api.state);
            state.workspaces.push(Workspace::default());
            state.workspaces.len() - 1
        };
        let handle = WorkspaceHandle::new(Arc::clone(&self.shared), index);
        handle.add_key(api_key);
        handle
    }

    /// The key opens nothing any more: 401.
    pub fn revoke_key(&self, api_key: &str) {
        lock(&self.shared.api.state).keys.remove(api_key);
    }

    /// Changes how the API behaves from the next request on.
    pub fn configure(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut lock(&self.shared.api.state).rules);
    }
}
