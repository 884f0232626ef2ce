//! A workflow on its way out.

use secrecy::SecretString;
use serde::ser::{SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use super::super::body::Carried;
use super::super::config::Exposed;
use super::schedule::Schedule;
use super::spec::{Node, WorkflowSpec};

/// The body of a create or an update. What is not set is spelled out as null: an update may keep what it does not mention.
pub(super) struct Body<'a> {
    spec: &'a WorkflowSpec,
    purpose: Purpose<'a>,
}

enum Purpose<'a> {
    Create { key: Option<&'a str> },
    Update,
}

/// The steps, with their secrets.
struct Nodes<'a>(&'a [Node]);

#[derive(Serialize)]
struct WireNode<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    node_type: &'a str,
    subtype: &'a str,
    settings: Exposed<'a>,
}

impl<'a> Body<'a> {
    pub fn create(spec: &'a WorkflowSpec, key: Option<&'a str>) -> Self {
        let purpose = Purpose::Create { key };
        Self { spec, purpose }
    }

    pub fn update(spec: &'a WorkflowSpec) -> Self {
        let purpose = Purpose::Update;
        Self { spec, purpose }
    }
}

impl<'a> Carried<'a> for Body<'a> {
    fn masked(&self) -> Vec<String> {
        let named = |node: &Node| {
            let name = node.name.clone();
            let masked = node.settings.masked().into_iter();
            masked.map(move |setting| format!("nodes[{name}].{setting}"))
        };
        self.spec.nodes.iter().flat_map(named).collect()
    }

    fn secrets(&self) -> Vec<&'a SecretString> {
        self.spec.secrets().collect()
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let WorkflowSpec {
            name,
            source,
            destination,
            nodes,
            schedule,
            reprocess_all,
            state,
        } = self.spec;
        let mut body = serializer.serialize_struct("Workflow", 8)?;
        body.serialize_field("name", name)?;
        body.serialize_field("workflow_type", "custom")?;
        body.serialize_field("source_id", source)?;
        body.serialize_field("destination_id", destination)?;
        body.serialize_field("workflow_nodes", &Nodes(nodes))?;
        body.serialize_field("schedule", &schedule.map(Schedule::phrase))?;
        body.serialize_field("reprocess_all", reprocess_all)?;
        match self.purpose {
            Purpose::Create { key: Some(key) } => body.serialize_field("key", key)?,
            Purpose::Create { key: None } => {}
            Purpose::Update => body.serialize_field("state", state.as_str())?,
        }
        body.end()
    }
}

impl Serialize for Nodes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut nodes = serializer.serialize_seq(Some(self.0.len()))?;
        for node in self.0 {
            nodes.serialize_element(&WireNode {
                name: &node.name,
                node_type: &node.node_type,
                subtype: &node.subtype,
                settings: Exposed(&node.settings),
            })?;
        }
        nodes.end()
    }
}
