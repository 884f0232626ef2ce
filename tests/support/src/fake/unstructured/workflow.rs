//! A workflow, as it is stored and as answers show it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    GivenKey, Keys, NodeOrder, Rules, StoredNode, check::timestamp, nodes::Drift, schedule,
};
use crate::wall;

/// A workflow as the service stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredWorkflow {
    /// UUID, hyphenated, lower case.
    pub id: String,
    /// Name, not necessarily unique.
    pub name: String,
    /// What its creator calls it for good; see [`Keys`].
    pub key: Option<String>,
    /// `custom`…
    pub workflow_type: String,
    /// The ids of its sources, at most one; they need not be there any more.
    pub sources: Vec<String>,
    /// The ids of its destinations, at most one; they need not be there any more.
    pub destinations: Vec<String>,
    /// In the order in which documents pass them.
    pub nodes: Vec<StoredNode>,
    /// A cron expression.
    pub schedule: Option<String>,
    /// `active` or `inactive`; `paused` is in the documentation.
    pub status: String,
    /// Every run takes every document, not only what is new.
    pub reprocess_all: bool,
    /// Set once.
    pub created_at: Timestamp,
    /// Moves with every change.
    pub updated_at: Option<Timestamp>,
    /// How often it was written, which settles the order that its nodes are shown in.
    pub(super) writes: u64,
}

impl StoredWorkflow {
    pub(super) fn new(name: String, workflow_type: String) -> Self {
        let created_at = wall::now();
        Self {
            id: wall::uuid().to_string(),
            name,
            key: None,
            workflow_type,
            sources: Vec::new(),
            destinations: Vec::new(),
            nodes: Vec::new(),
            schedule: None,
            status: "active".to_owned(),
            reprocess_all: false,
            created_at,
            updated_at: Some(created_at + SignedDuration::from_millis(12)),
            writes: 0,
        }
    }

    /// Marks a change: later than any before it, even within one tick of the clock.
    pub(super) fn touch(&mut self) {
        let least = self.updated_at.unwrap_or(self.created_at) + SignedDuration::from_micros(1);
        self.updated_at = Some(wall::now().max(least));
        self.writes += 1;
    }

    /// Whether one of its nodes makes vectors.
    pub fn embeds(&self) -> bool {
        self.nodes.iter().any(|node| node.node_type == "embed")
    }

    /// Takes what a create or an update says.
    pub(super) fn take(&mut self, change: Change) {
        let Change {
            name,
            workflow_type,
            source,
            destination,
            nodes,
            schedule,
            reprocess_all,
            state,
        } = change;
        self.name = name.unwrap_or_else(|| self.name.clone());
        self.workflow_type = workflow_type.unwrap_or_else(|| self.workflow_type.clone());
        for (end, said) in [
            (&mut self.sources, source),
            (&mut self.destinations, destination),
        ] {
            match said {
                Said::Nothing => {}
                Said::Null => end.clear(),
                Said::Text(id) => *end = vec![id],
            }
        }
        self.nodes = nodes.unwrap_or_else(|| self.nodes.clone());
        match schedule {
            Said::Nothing => {}
            Said::Null => self.schedule = None,
            Said::Text(phrase) => self.schedule = schedule::cron(&phrase),
        }
        self.reprocess_all = reprocess_all.unwrap_or(self.reprocess_all);
        self.status = state.unwrap_or_else(|| self.status.clone());
    }

    pub(super) fn body(&self, rules: &Rules, keys: &Keys, drift: &Drift) -> Value {
        let entries = self.schedule.iter();
        let entries: Vec<_> = entries
            .map(|cron| json!({ "cron_expression": cron }))
            .collect();
        let masked = rules.pipelines.masked_settings;
        let nodes = self.nodes.iter().map(|node| node.body(drift, masked));
        let nodes: Vec<_> = nodes.collect();
        let mut body = json!({
            "id": self.id,
            "name": self.name,
            "workflow_type": self.workflow_type,
            "status": self.status,
            "reprocess_all": self.reprocess_all,
            "sources": self.sources,
            "destinations": self.destinations,
            "schedule": { "crontab_entries": entries },
            "created_at": timestamp(self.created_at),
            "updated_at": self.updated_at.map(timestamp),
            "workflow_nodes": self.ordered(nodes, rules.pipelines.node_order),
        });
        if keys.given == GivenKey::Honoured {
            body["key"] = json!(self.key);
        }
        if rules.extra_fields {
            body["labels"] = json!([]);
        }
        body
    }

    /// Two nodes or more never come as they were sent, when they are shuffled.
    fn ordered(&self, mut nodes: Vec<Value>, order: NodeOrder) -> Vec<Value> {
        let NodeOrder::Shuffled(seed) = order else {
            return nodes;
        };
        let sent = nodes.clone();
        fastrand::Rng::with_seed(seed.wrapping_add(self.writes)).shuffle(&mut nodes);
        if nodes == sent && !nodes.is_empty() {
            nodes.rotate_left(1);
        }
        nodes
    }
}

/// What a body says of a member that null ends.
pub(super) enum Said {
    /// It is left out.
    Nothing,
    /// Null.
    Null,
    /// A text.
    Text(String),
}

/// What a create or an update says; nothing of what it leaves out.
pub(super) struct Change {
    pub(super) name: Option<String>,
    pub(super) workflow_type: Option<String>,
    pub(super) source: Said,
    pub(super) destination: Said,
    pub(super) nodes: Option<Vec<StoredNode>>,
    /// The phrase.
    pub(super) schedule: Said,
    pub(super) reprocess_all: Option<bool>,
    pub(super) state: Option<String>,
}
