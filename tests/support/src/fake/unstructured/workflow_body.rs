//! The body of a request to create or to update a workflow, with `FastAPI`'s answers to what is wrong in it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    StoredNode, answers,
    config::Config,
    envelope::Invalid,
    nodes,
    operations::Violation,
    rules::Rules,
    schedule,
    workflow::{Change, Said},
};
use crate::fake::Answer;

const TYPES: &[&str] = &["basic", "advanced", "platinum", "custom"];
const STATES: &[&str] = &["active", "inactive"];

/// Reads a body whose members that are no part of it were taken out or complained about.
pub(super) struct Reader<'a> {
    pub(super) body: Config,
    pub(super) rules: &'a Rules,
    /// What is no UUID may be a key.
    pub(super) keys_for_ids: bool,
    pub(super) violation: Violation<'a>,
}

impl Reader<'_> {
    /// What the body says; what must be there is `required`.
    pub(super) fn read(mut self, required: &[&str]) -> Result<Change, Answer> {
        let mut items = Vec::new();
        for name in required {
            if !self.body.contains_key(*name) {
                let sent = json!(self.body);
                items.push(self.invalid("missing", &["body", name], "Field required", sent));
            }
        }
        let change = Change {
            name: self.text("name", required, &mut items),
            workflow_type: self.choice("workflow_type", TYPES, required, &mut items),
            source: self.id("source_id", &mut items),
            destination: self.id("destination_id", &mut items),
            nodes: self.nodes(&mut items),
            schedule: self.schedule(&mut items),
            reprocess_all: self.boolean("reprocess_all", &mut items),
            state: if required.is_empty() {
                self.choice("state", STATES, &[], &mut items)
            } else {
                None
            },
        };
        // Written and never shown: nothing depends on it.
        self.body.remove("template_id");
        for unknown in self.body.keys() {
            (self.violation)(&format!("an unknown member {unknown}"));
        }
        if items.is_empty() {
            Ok(change)
        } else {
            Err(answers::unprocessable(&items))
        }
    }

    fn invalid(&self, kind: &str, loc: &[&str], message: &str, input: Value) -> Value {
        let invalid = Invalid {
            kind,
            loc,
            message,
            input,
        };
        invalid.item(self.rules)
    }

    fn text(&mut self, name: &str, required: &[&str], items: &mut Vec<Value>) -> Option<String> {
        match self.body.remove(name) {
            None => None,
            Some(Value::Null) if !required.contains(&name) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                let message = "Input should be a valid string";
                items.push(self.invalid("string_type", &["body", name], message, other));
                None
            }
        }
    }

    fn choice(
        &mut self,
        name: &str,
        choices: &[&str],
        required: &[&str],
        items: &mut Vec<Value>,
    ) -> Option<String> {
        let text = self.text(name, required, items)?;
        if choices.contains(&text.as_str()) {
            return Some(text);
        }
        items.push(self.not_among(name, choices, text.into()));
        None
    }

    fn not_among(&self, name: &str, choices: &[&str], sent: Value) -> Value {
        let choices: Vec<_> = choices.iter().map(|choice| format!("'{choice}'")).collect();
        let message = format!("Input should be {}", choices.join(", "));
        self.invalid("enum", &["body", name], &message, sent)
    }

    fn boolean(&mut self, name: &str, items: &mut Vec<Value>) -> Option<bool> {
        match self.body.remove(name) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(value)) => Some(value),
            Some(other) => {
                let message = "Input should be a valid boolean";
                items.push(self.invalid("bool_type", &["body", name], message, other));
                None
            }
        }
    }

    fn clearable(&mut self, name: &str, items: &mut Vec<Value>) -> Said {
        if self.body.get(name) == Some(&Value::Null) {
            self.body.remove(name);
            return Said::Null;
        }
        self.text(name, &[], items)
            .map_or(Said::Nothing, Said::Text)
    }

    fn id(&mut self, name: &str, items: &mut Vec<Value>) -> Said {
        let said = self.clearable(name, items);
        let Said::Text(id) = said else {
            return said;
        };
        match Uuid::parse_str(&id) {
            Ok(id) => Said::Text(id.to_string()),
            Err(_) if self.keys_for_ids => Said::Text(id),
            Err(error) => {
                let message = format!("Input should be a valid UUID, {error}");
                items.push(self.invalid("uuid_parsing", &["body", name], &message, id.into()));
                Said::Nothing
            }
        }
    }

    fn schedule(&mut self, items: &mut Vec<Value>) -> Said {
        let said = self.clearable("schedule", items);
        if let Said::Text(phrase) = &said
            && schedule::cron(phrase).is_none()
        {
            let phrases: Vec<_> = schedule::phrases().collect();
            items.push(self.not_among("schedule", &phrases, phrase.as_str().into()));
        }
        said
    }

    fn nodes(&mut self, items: &mut Vec<Value>) -> Option<Vec<StoredNode>> {
        let sent = match self.body.remove("workflow_nodes") {
            None | Some(Value::Null) => return None,
            Some(Value::Array(sent)) => sent,
            Some(other) => {
                let loc = &["body", "workflow_nodes"];
                items.push(self.invalid("list_type", loc, "Input should be a valid list", other));
                return None;
            }
        };
        let nodes = sent.into_iter().enumerate();
        Some(
            nodes
                .filter_map(|(position, sent)| self.node(position, sent, items))
                .collect(),
        )
    }

    fn node(&mut self, position: usize, sent: Value, items: &mut Vec<Value>) -> Option<StoredNode> {
        let position = position.to_string();
        let at = |member| ["body", "workflow_nodes", &position, member];
        let Value::Object(mut node) = sent else {
            let message = "Input should be a valid dictionary or object to extract fields from";
            let loc = &at("")[..3];
            items.push(self.invalid("model_attributes_type", loc, message, sent));
            return None;
        };
        let wrong = items.len();
        let mut text = |member| match node.remove(member) {
            Some(Value::String(text)) => text,
            other => {
                let (kind, message) = match other {
                    None => ("missing", "Field required"),
                    Some(_) => ("string_type", "Input should be a valid string"),
                };
                let input = other.unwrap_or_default();
                items.push(self.invalid(kind, &at(member), message, input));
                String::new()
            }
        };
        let (name, node_type, subtype) = (text("name"), text("type"), text("subtype"));
        if items.len() > wrong {
            return None;
        }
        if !nodes::TYPES.contains(&node_type.as_str()) {
            let message = format!("Node type {node_type} not supported");
            items.push(self.invalid("value_error", &at("type"), &message, node_type.into()));
            return None;
        }
        let settings = match node.remove("settings") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(settings)) => settings,
            Some(other) => {
                let message = "Input should be a valid dictionary";
                items.push(self.invalid("dict_type", &at("settings"), message, other));
                return None;
            }
        };
        // Another one is given in any case.
        node.remove("id");
        for unknown in node.keys() {
            (self.violation)(&format!("an unknown member {unknown} of a node"));
        }
        Some(StoredNode::new(name, node_type, subtype).with_settings(settings))
    }
}
