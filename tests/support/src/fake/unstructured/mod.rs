//! The Unstructured platform's API: the source connectors of workspaces, and their connection checks.
//!
//! Statuses, shapes and texts follow the published `OpenAPI` document, the official SDK and recorded answers of the
//! service; what is not known for certain is a switch in [`Rules`]. Workflows, destinations and jobs are not there: their
//! paths get 404.

pub mod answers;
mod check;
mod config;
mod envelope;
mod operations;
mod routes;
mod rules;
#[cfg(test)]
mod tests;
mod workspace;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

pub use check::{CheckScript, Poll};
pub use config::{Config, MASK};
pub use routes::Route;
pub use rules::{
    ListOrder, Masking, MissingSlash, NoCheckYet, Permission, RateLimit, ReceivedMask, Rename,
    Rules, Validation,
};
pub use workspace::StoredSource;

use super::{
    Fake, Fault, On,
    journal::{Recorded, lock},
    server::Shared,
};
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
        let handle = WorkspaceHandle {
            shared: Arc::clone(&self.shared),
            index,
        };
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

/// One workspace, seen from behind the API.
#[derive(Clone)]
pub struct WorkspaceHandle {
    shared: Arc<Shared<Unstructured>>,
    index: usize,
}

impl WorkspaceHandle {
    fn with<T>(&self, act: impl FnOnce(&mut Workspace) -> T) -> T {
        act(&mut lock(&self.shared.api.state).workspaces[self.index])
    }

    /// This key opens this workspace too, and no other.
    pub fn add_key(&self, api_key: &str) {
        let mut state = lock(&self.shared.api.state);
        state.keys.insert(api_key.to_owned(), self.index);
    }

    /// Every source, oldest first, with its secrets.
    pub fn sources(&self) -> Vec<StoredSource> {
        self.with(|workspace| workspace.sources.clone())
    }

    /// The source with this id.
    pub fn source(&self, id: &str) -> Option<StoredSource> {
        self.with(|workspace| workspace.source(id).cloned())
    }

    /// Somebody else creates a source; returns its id. Nothing is validated. Panics when `config` is not an object.
    pub fn insert(&self, source_type: &str, name: &str, config: serde_json::Value) -> String {
        let serde_json::Value::Object(config) = config else {
            panic!("a configuration is an object");
        };
        self.with(|workspace| workspace.create(source_type, name, config))
    }

    /// Somebody else changes a source; panics when it is not there.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut StoredSource)) {
        self.with(|workspace| {
            let source = workspace.source(id).expect("a source with this id");
            change(source);
            source.touch();
        });
    }

    /// Somebody else deletes a source; false when it is not there.
    pub fn remove(&self, id: &str) -> bool {
        self.with(|workspace| workspace.remove(id)).is_some()
    }

    /// Decides what connection checks started from now on will show; without it, a success at the second poll.
    ///
    /// The source is there with its secrets, so a verdict can depend on them, or a reason repeat them. The rule runs
    /// inside the API: it must not ask this handle.
    pub fn set_checks(&self, rule: impl Fn(&StoredSource) -> CheckScript + Send + 'static) {
        self.with(|workspace| workspace.check_rule = Box::new(rule));
    }

    /// How many connection checks of this source were started.
    pub fn checks_started(&self, id: &str) -> usize {
        self.with(|workspace| workspace.checks.get(id).map_or(0, Vec::len))
    }

    /// Like [`Fake::inject`], for requests with a key of this workspace only.
    pub fn inject(&self, on: impl Into<On<Route>>, fault: Fault) {
        let (shared, index) = (Arc::downgrade(&self.shared), self.index);
        let ours = move |request: &Recorded| {
            shared.upgrade().is_some_and(|shared| {
                let keys = &lock(&shared.api.state).keys;
                request.api_key().and_then(|key| keys.get(key)) == Some(&index)
            })
        };
        lock(&self.shared.faults).plan(on.into(), ours, fault);
    }
}
