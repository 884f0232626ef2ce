//! Workspaces, seen from behind the API.

use std::sync::Arc;

use serde_json::Value;

use super::{
    CheckScript, Family, Keys, Route, Rules, StoredConnector, Unstructured, workspace::Workspace,
};
use crate::fake::{
    Fault, On,
    journal::{Recorded, lock},
    server::Shared,
};

/// One workspace, seen from behind the API. What names no family is about its sources.
#[derive(Clone)]
pub struct WorkspaceHandle {
    shared: Arc<Shared<Unstructured>>,
    index: usize,
}

impl WorkspaceHandle {
    pub(super) fn new(shared: Arc<Shared<Unstructured>>, index: usize) -> Self {
        Self { shared, index }
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Workspace) -> T) -> T {
        act(&mut lock(&self.shared.api.state).workspaces[self.index])
    }

    /// How the API behaves now.
    pub(super) fn rules(&self) -> Rules {
        lock(&self.shared.api.state).rules.clone()
    }

    /// This key opens this workspace too, and no other.
    pub fn add_key(&self, api_key: &str) {
        let mut state = lock(&self.shared.api.state);
        state.keys.insert(api_key.to_owned(), self.index);
    }

    /// Changes what this workspace makes of the keys of objects from the next request on.
    pub fn configure_keys(&self, change: impl FnOnce(&mut Keys)) {
        self.with(|workspace| change(&mut workspace.keys));
    }

    /// Its connectors of one family.
    pub fn of(&self, family: Family) -> Connectors {
        Connectors {
            workspace: self.clone(),
            family,
        }
    }

    /// Every source, oldest first, with its secrets.
    pub fn sources(&self) -> Vec<StoredConnector> {
        self.of(Family::Sources).all()
    }

    /// Every destination, oldest first, with its secrets.
    pub fn destinations(&self) -> Vec<StoredConnector> {
        self.of(Family::Destinations).all()
    }

    /// The source with this id.
    pub fn source(&self, id: &str) -> Option<StoredConnector> {
        self.of(Family::Sources).get(id)
    }

    /// [`Connectors::insert`] for a source.
    pub fn insert(&self, source_type: &str, name: &str, config: Value) -> String {
        self.of(Family::Sources).insert(source_type, name, config)
    }

    /// [`Connectors::edit`] for a source.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut StoredConnector)) {
        self.of(Family::Sources).edit(id, change);
    }

    /// [`Connectors::remove`] for a source.
    pub fn remove(&self, id: &str) -> bool {
        self.of(Family::Sources).remove(id)
    }

    /// [`Connectors::set_checks`] for sources.
    pub fn set_checks(&self, rule: impl Fn(&StoredConnector) -> CheckScript + Send + 'static) {
        self.of(Family::Sources).set_checks(rule);
    }

    /// [`Connectors::checks_started`] for a source.
    pub fn checks_started(&self, id: &str) -> usize {
        self.of(Family::Sources).checks_started(id)
    }

    /// Like [`Fake::inject`](crate::fake::Fake::inject), for requests with a key of this workspace only, whichever family they are about.
    pub fn inject(&self, on: impl Into<On<Route>>, fault: Fault) {
        self.plan(on.into(), |_| true, fault);
    }

    fn plan(
        &self,
        on: On<Route>,
        which: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        let (shared, index) = (Arc::downgrade(&self.shared), self.index);
        let ours = move |request: &Recorded| {
            which(request)
                && shared.upgrade().is_some_and(|shared| {
                    let keys = &lock(&shared.api.state).keys;
                    request.api_key().and_then(|key| keys.get(key)) == Some(&index)
                })
        };
        lock(&self.shared.faults).plan(on, ours, fault);
    }
}

/// The connectors of one family in a workspace, seen from behind the API.
#[derive(Clone)]
pub struct Connectors {
    workspace: WorkspaceHandle,
    family: Family,
}

impl Connectors {
    /// Every one, oldest first, with its secrets.
    pub fn all(&self) -> Vec<StoredConnector> {
        let family = self.family;
        self.workspace.with(|w| w.of(family).connectors.clone())
    }

    /// The one with this id.
    pub fn get(&self, id: &str) -> Option<StoredConnector> {
        let family = self.family;
        self.workspace.with(|w| w.of(family).connector(id).cloned())
    }

    /// Somebody else creates one; returns its id. Nothing is validated. Panics when `config` is not an object.
    pub fn insert(&self, connector_type: &str, name: &str, config: Value) -> String {
        let Value::Object(config) = config else {
            panic!("a configuration is an object");
        };
        let family = self.family;
        self.workspace
            .with(|w| w.create(family, connector_type, name, None, config))
    }

    /// Somebody else changes one; panics when it is not there.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut StoredConnector)) {
        self.workspace.with(|w| {
            let connectors = w.of(self.family);
            let connector = connectors.connector(id).expect("a connector with this id");
            change(connector);
            connector.touch();
        });
    }

    /// Somebody else deletes one; false when it is not there.
    pub fn remove(&self, id: &str) -> bool {
        self.workspace.with(|w| w.remove(self.family, id)).is_some()
    }

    /// Decides what connection checks started from now on will show; without it, a success at the second poll.
    ///
    /// The connector is there with its secrets, so a verdict can depend on them, or a reason repeat them. The rule runs
    /// inside the API: it must not ask this handle.
    pub fn set_checks(&self, rule: impl Fn(&StoredConnector) -> CheckScript + Send + 'static) {
        let family = self.family;
        self.workspace
            .with(|w| w.of(family).check_rule = Box::new(rule));
    }

    /// How many connection checks of this connector were started.
    pub fn checks_started(&self, id: &str) -> usize {
        let family = self.family;
        self.workspace
            .with(|w| w.of(family).checks.get(id).map_or(0, Vec::len))
    }

    /// Like [`WorkspaceHandle::inject`], for requests about this family only.
    pub fn inject(&self, on: impl Into<On<Route>>, fault: Fault) {
        let family = self.family;
        let ours = move |request: &Recorded| Family::of(request) == Some(family);
        self.workspace.plan(on.into(), ours, fault);
    }
}
