//! A workflow as the service shows it, read leniently: identity and name alone must be there.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::answer::{done, json};
use super::super::ids::{ConnectorId, WorkflowId};
use super::super::kept::{LONGEST_NAME, cut};
use super::super::types::{PER_ALLOCATION, heap, timestamp};
use super::super::unreadable::Unreadable;

/// A workflow as the service shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its identity, for life.
    pub id: WorkflowId,
    /// Its name. Nothing says that names are unique.
    pub name: Box<str>,
    /// Its key, for life; `None` where the service knows no keys.
    pub key: Option<Box<str>>,
    /// Which kind of workflow, for example `custom`; empty where none is shown.
    pub workflow_type: Box<str>,
    /// Where its documents come from: one in practice, none where they are given to each run.
    pub sources: Vec<ConnectorId>,
    /// Where the elements go.
    pub destinations: Vec<ConnectorId>,
    /// Its steps, in no particular order; `None` where the answer shows no list of them.
    pub nodes: Option<Vec<ShownNode>>,
    /// When the service runs it, as cron expressions; empty: not by itself.
    pub crons: Vec<String>,
    /// `active` or `inactive`, or a word that is not documented; empty where none is shown.
    pub status: String,
    /// Whether a run takes in again what has not changed, where the answer says so.
    pub reprocess_all: Option<bool>,
    /// When it was created, where the answer says so readably.
    pub created_at: Option<Timestamp>,
}

/// One step of a workflow as the service shows it.
#[derive(Clone, PartialEq)]
pub struct ShownNode {
    /// Its name; empty where none is shown, like the two that follow.
    pub name: Box<str>,
    /// What it does.
    pub node_type: Box<str>,
    /// How it does that.
    pub subtype: Box<str>,
    /// Its settings, those included that the service filled in; a secret among them is usually masked.
    pub settings: Map<String, Value>,
}

/// A workflow as it is written, each part unread.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    name: Value,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    workflow_type: Value,
    #[serde(default)]
    sources: Value,
    #[serde(default)]
    destinations: Value,
    #[serde(default)]
    workflow_nodes: Value,
    #[serde(default)]
    schedule: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    reprocess_all: Value,
    #[serde(default)]
    created_at: Value,
}

impl Workflow {
    /// Reads one.
    pub(in super::super) fn read(body: &[u8]) -> Result<Self, Unreadable> {
        let wire: Wire = json(body)?;
        let id = wire
            .id
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or(Unreadable("has a workflow without a UUID"))?;
        let Value::String(name) = wire.name else {
            return Err(Unreadable("has a workflow without a name"));
        };
        Ok(Self {
            id,
            name: cut(name, LONGEST_NAME).into(),
            key: match wire.key {
                Value::String(key) => Some(cut(key, LONGEST_NAME).into()),
                _ => None,
            },
            workflow_type: text(wire.workflow_type).into(),
            sources: connectors(&wire.sources),
            destinations: connectors(&wire.destinations),
            nodes: match wire.workflow_nodes {
                Value::Array(nodes) => Some(nodes.into_iter().map(ShownNode::from_value).collect()),
                _ => None,
            },
            crons: crons(wire.schedule),
            status: text(wire.status),
            reprocess_all: wire.reprocess_all.as_bool(),
            created_at: timestamp(&wire.created_at),
        })
    }

    /// Reads the one that was asked for.
    pub(in super::super) fn read_with_id(body: &[u8], id: &WorkflowId) -> Result<Self, Unreadable> {
        let workflow = Self::read(body)?;
        if workflow.id == *id {
            Ok(workflow)
        } else {
            Err(Unreadable::ANOTHER)
        }
    }

    /// The workflow after an update, if the answer shows it: the service's word that it took the update is enough. About another
    /// workflow, or in a page of HTML, it is not the answer to this update.
    pub(in super::super) fn updated(
        body: &[u8],
        id: &WorkflowId,
    ) -> Result<Option<Self>, Unreadable> {
        match Self::read_with_id(body, id) {
            Ok(workflow) => Ok(Some(workflow)),
            Err(Unreadable::ANOTHER) => Err(Unreadable::ANOTHER),
            Err(_) => done(body).map(|()| None),
        }
    }

    /// Bytes that it takes, at most.
    pub(in super::super) fn size(&self) -> usize {
        let texts = self.crons.iter().chain([&self.status]);
        let texts: usize = texts
            .map(|text| size_of::<String>() + text.capacity() + PER_ALLOCATION)
            .sum();
        let ids =
            (self.sources.capacity() + self.destinations.capacity()) * size_of::<ConnectorId>();
        let nodes = self.nodes.iter().flatten();
        let nodes: usize = nodes.map(ShownNode::size).sum();
        let key = self.key.as_deref().map_or(0, str::len);
        let names = self.name.len() + key + self.workflow_type.len();
        size_of::<Self>() + names + texts + ids + nodes + 7 * PER_ALLOCATION
    }
}

impl ShownNode {
    fn from_value(node: Value) -> Self {
        let Value::Object(mut members) = node else {
            return Self {
                name: Box::default(),
                node_type: Box::default(),
                subtype: Box::default(),
                settings: Map::new(),
            };
        };
        let mut member = |name| members.remove(name).unwrap_or_default();
        Self {
            name: text(member("name")).into(),
            node_type: text(member("type")).into(),
            subtype: text(member("subtype")).into(),
            settings: match member("settings") {
                Value::Object(settings) => settings,
                _ => Map::new(),
            },
        }
    }

    fn size(&self) -> usize {
        let texts = self.name.len() + self.node_type.len() + self.subtype.len();
        let settings = self.settings.iter();
        let settings: usize = settings
            .map(|(name, value)| name.capacity() + heap(value) + 64)
            .sum();
        // A vector that grows has room for as many again.
        2 * size_of::<Self>() + texts + settings + 4 * PER_ALLOCATION
    }
}

/// The names of the settings, never their values: the service is expected to mask secrets, but that is its promise.
impl fmt::Debug for ShownNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<_> = self.settings.keys().collect();
        f.debug_struct("ShownNode")
            .field("name", &self.name)
            .field("node_type", &self.node_type)
            .field("subtype", &self.subtype)
            .field("settings", &settings)
            .finish()
    }
}

/// What is no list is an empty one.
fn items(value: Value) -> impl Iterator<Item = Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
    .into_iter()
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => cut(text, LONGEST_NAME),
        _ => String::new(),
    }
}

fn connectors(value: &Value) -> Vec<ConnectorId> {
    let items = value.as_array().into_iter().flatten();
    items
        .filter_map(|item| item.as_str()?.parse().ok())
        .collect()
}

/// `{"crontab_entries": [{"cron_expression": "…"}]}`, where nothing is set also null. A bare text is as documentation shows it.
fn crons(schedule: Value) -> Vec<String> {
    let entries = match schedule {
        Value::Object(mut schedule) => schedule.remove("crontab_entries").unwrap_or_default(),
        Value::String(phrase) => return vec![cut(phrase, LONGEST_NAME)],
        _ => Value::Null,
    };
    let expression = |entry| match entry {
        Value::Object(mut entry) => entry.remove("cron_expression").map(text),
        entry => Some(text(entry)),
    };
    items(entries)
        .filter_map(expression)
        .filter(|expression| !expression.is_empty())
        .collect()
}
