//! A workspace: its connectors, as they are stored, and what its next answers depend on.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Family, StoredWorkflow,
    check::{Check, CheckScript, timestamp},
    config::{Config, shown},
    keys::{self, AbsentKey, GivenKey, Keys},
    lag::Lag,
    pipelines::Pipelines,
    rules::{ListOrder, RateLimit, Rules},
};
use crate::wall;

/// A connector as the service stores it: secrets in clear.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredConnector {
    /// Which of the two it is.
    pub family: Family,
    /// UUID, hyphenated, lower case.
    pub id: String,
    /// Name, not necessarily unique.
    pub name: String,
    /// What its creator calls it for good, not necessarily unique either; see [`Keys`].
    pub key: Option<String>,
    /// `dropbox`, `s3`…
    pub connector_type: String,
    /// Exactly what was last stored.
    pub config: Config,
    /// Set once.
    pub created_at: Timestamp,
    /// Moves with every change.
    pub updated_at: Option<Timestamp>,
    /// A workflow that is not in the workspace refers to it; see [`Rules::delete_in_use`].
    pub in_use: bool,
}

/// A source; what most tests are about.
pub type StoredSource = StoredConnector;

impl StoredConnector {
    /// A member of the configuration that is a string, or the empty string.
    pub fn text(&self, member: &str) -> &str {
        self.config
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// Marks a change: later than any before it, even within one tick of the clock.
    pub(super) fn touch(&mut self) {
        let least = self.updated_at.unwrap_or(self.created_at) + SignedDuration::from_micros(1);
        self.updated_at = Some(wall::now().max(least));
    }

    pub(super) fn body(&self, rules: &Rules, keys: &Keys) -> Value {
        let known = self.family.known(&self.connector_type);
        let config = shown(
            known.as_ref(),
            &self.config,
            rules.masking,
            rules.fill_defaults,
        );
        let mut body = json!({
            "id": self.id,
            "name": self.name,
            "type": self.connector_type,
            "config": config,
            "created_at": timestamp(self.created_at),
            "updated_at": self.updated_at.map(timestamp),
        });
        if keys.given == GivenKey::Honoured {
            body["key"] = json!(self.key);
        }
        if rules.extra_fields {
            body["labels"] = json!([]);
        }
        body
    }
}

/// Decides what a new connection check of a connector will show.
pub(super) type CheckRule = Box<dyn Fn(&StoredConnector) -> CheckScript + Send>;

/// What one API key opens.
#[derive(Default)]
pub(super) struct Workspace {
    pub(super) keys: Keys,
    sources: Collection,
    destinations: Collection,
    pub(super) pipelines: Pipelines,
    /// The keys of what was deleted.
    former_keys: HashSet<String>,
    bucket: Option<(f64, Instant)>,
}

/// The connectors of one family.
pub(super) struct Collection {
    /// Oldest first.
    pub(super) connectors: Vec<StoredConnector>,
    /// By connector, oldest first.
    pub(super) checks: HashMap<String, Vec<Check>>,
    pub(super) check_rule: CheckRule,
    lag: Lag<StoredConnector>,
    rotation: usize,
}

impl Default for Collection {
    fn default() -> Self {
        Self {
            connectors: Vec::new(),
            checks: HashMap::new(),
            check_rule: Box::new(|_| CheckScript::success_after(1)),
            lag: Lag::default(),
            rotation: 0,
        }
    }
}

impl Workspace {
    pub(super) fn of(&mut self, family: Family) -> &mut Collection {
        match family {
            Family::Sources => &mut self.sources,
            Family::Destinations => &mut self.destinations,
        }
    }

    /// Stores a new connector and returns its id.
    pub(super) fn create(
        &mut self,
        family: Family,
        connector_type: &str,
        name: &str,
        key: Option<String>,
        config: Config,
    ) -> String {
        let id = wall::uuid().to_string();
        let created_at = wall::now();
        let derived = self.keys.absent == AbsentKey::Derived;
        self.of(family).connectors.push(StoredConnector {
            family,
            id: id.clone(),
            name: name.to_owned(),
            key: key.or_else(|| derived.then(|| keys::derive(name, &id))),
            connector_type: connector_type.to_owned(),
            config,
            created_at,
            updated_at: Some(created_at + SignedDuration::from_millis(100)),
            in_use: false,
        });
        id
    }

    pub(super) fn remove(&mut self, family: Family, id: &str) -> Option<StoredConnector> {
        let removed = self.of(family).remove(id)?;
        self.former_keys.extend(removed.key.clone());
        Some(removed)
    }

    /// Stores a new workflow under this key, or under one of the service's own where it gives them.
    pub(super) fn add_workflow(&mut self, mut workflow: StoredWorkflow, key: Option<String>) {
        let derived = self.keys.absent == AbsentKey::Derived;
        let derive = || keys::derive_for_workflow(&workflow.name, &workflow.id);
        workflow.key = key.or_else(|| derived.then(derive));
        self.pipelines.workflows.push(workflow);
    }

    pub(super) fn remove_workflow(&mut self, id: &str) -> Option<StoredWorkflow> {
        let workflows = &mut self.pipelines.workflows;
        let position = workflows.iter().position(|w| w.id == id)?;
        let removed = workflows.remove(position);
        self.former_keys.extend(removed.key.clone());
        Some(removed)
    }

    /// Whether a connector of either family, or a workflow, has this key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        let mut all = [&self.sources, &self.destinations].into_iter();
        let of_connector = all.any(|collection| collection.with_key(key).is_some());
        of_connector || self.pipelines.with_key(key).is_some()
    }

    /// Like [`has_key`](Self::has_key), or had it when it was deleted.
    pub(super) fn ever_had_key(&self, key: &str) -> bool {
        self.has_key(key) || self.former_keys.contains(key)
    }

    /// Takes a token from the bucket, when there is one.
    pub(super) fn admit(&mut self, limit: &RateLimit) -> bool {
        let now = Instant::now();
        let (tokens, since) = self.bucket.unwrap_or((limit.burst, now));
        let refilled = tokens + now.duration_since(since).as_secs_f64() * limit.per_second;
        let tokens = refilled.min(limit.burst);
        let admitted = tokens >= 1.0;
        self.bucket = Some((tokens - f64::from(u8::from(admitted)), now));
        admitted
    }
}

impl Collection {
    pub(super) fn connector(&mut self, id: &str) -> Option<&mut StoredConnector> {
        self.connectors.iter_mut().find(|c| c.id == id)
    }

    pub(super) fn with_key(&self, key: &str) -> Option<&StoredConnector> {
        let mut connectors = self.connectors.iter();
        connectors.find(|c| c.key.as_deref() == Some(key))
    }

    fn remove(&mut self, id: &str) -> Option<StoredConnector> {
        let position = self.connectors.iter().position(|c| c.id == id)?;
        self.checks.remove(id);
        Some(self.connectors.remove(position))
    }

    /// To be called before a write: the next `lag` lists show what is there now.
    pub(super) fn freeze_list(&mut self, lag: u32) {
        self.lag.freeze(&self.connectors, lag);
    }

    pub(super) fn listed(&mut self, order: ListOrder) -> Vec<StoredConnector> {
        let mut listed = self.lag.listed(&self.connectors);
        if order == ListOrder::Rotating && !listed.is_empty() {
            self.rotation += 1;
            let first = self.rotation % listed.len();
            listed.rotate_left(first);
        }
        listed
    }
}
