//! The manifest of one workflow: its connectors, its nodes with their settings, and when it runs.
//!
//! Who adopts a workflow writes all of it. So what a manifest cannot say as it is in Unstructured is said in a comment, and the
//! manifest is suspended: nothing is written before somebody has looked.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::document::{MADE, Writer, is_an_operators};
use super::secrets::{is_secret_key, shows_a_secret, sounds_like_a_secret};
use crate::crd::{MOST_PARAMETERS, WORKFLOW};
use crate::manifest::{object, unique_name, yaml};
use crate::scrub::one_line;
use crate::unstructured::{Collection, ConnectorId, Schedule, ShownNode, Workflow};

/// Nodes that a resource can have.
const MOST_NODES: usize = 32;

/// Characters of a name that a resource can give to a workflow or a node.
const LONGEST_NAME: usize = 100;

/// Characters of a type or a subtype.
const LONGEST_TYPE: usize = 63;

/// A node, its settings sorted.
struct Step<'a> {
    node: &'a ShownNode,
    settings: Map<String, Value>,
    secret: Vec<&'a str>,
}

impl Writer<'_> {
    /// The manifest of a workflow, with what cannot be said in it as a comment; or why there is none.
    pub fn workflow(&mut self, shown: &Workflow) -> Result<String, String> {
        let ends = [
            (Collection::Sources, only("source", &shown.sources)?),
            (
                Collection::Destinations,
                only("destination", &shown.destinations)?,
            ),
        ];
        let Some(nodes) = &shown.nodes else {
            return Err("the API does not show its nodes".to_owned());
        };
        if !(1..=MOST_NODES).contains(&nodes.len()) {
            let number = nodes.len();
            return Err(format!(
                "it has {number} nodes, and an {WORKFLOW} has 1 to {MOST_NODES}"
            ));
        }
        let (nodes, is_known) = in_order(nodes);
        let steps = nodes.into_iter().map(Step::of).collect::<Result<_, _>>()?;

        let mut spec = Map::new();
        for (collection, id) in ends {
            let (field, value) = self.end(collection, id);
            spec.insert(field.to_owned(), value);
        }
        let own_name = default_name(&shown.name);
        let name = self.unique(WORKFLOW, own_name.unwrap_or(&shown.name), "workflow");
        spec.insert("nodes".to_owned(), self.nodes(&name, steps));
        spec.insert("existingWorkflowId".to_owned(), shown.id.to_string().into());
        let mut doubts = Vec::new();
        if !is_known {
            doubts.push(
                "The API shows its nodes in no particular order. Put them into the right one."
                    .to_owned(),
            );
        }
        rest(shown, own_name.is_some(), &mut spec, &mut doubts);

        let mut document = heading(shown, own_name.is_some());
        if !doubts.is_empty() {
            spec.insert("suspend".to_owned(), true.into());
            document.push_str(
                "# Suspended: the operator would change it. Look at this, then take suspend away:\n",
            );
            for doubt in doubts {
                let _ = writeln!(document, "# - {doubt}");
            }
            self.suspended.push(name.clone());
        }
        let manifest = object(WORKFLOW, &name, self.namespace, &Value::Object(spec));
        document.push_str(&yaml(&manifest));
        Ok(document)
    }

    /// The field that says where documents come from or go: by the manifest of this import, where there is one, else by id.
    fn end(&self, collection: Collection, id: ConnectorId) -> (&'static str, Value) {
        let fields = match collection {
            Collection::Sources => ("sourceRef", "sourceId"),
            Collection::Destinations => ("destinationRef", "destinationId"),
        };
        match self.written.get(&id) {
            Some((kind, name)) => (fields.0, json!({ "kind": kind.name, "name": name })),
            None => (fields.1, id.to_string().into()),
        }
    }

    /// The nodes, whose secrets are keys of one Secret.
    fn nodes(&mut self, workflow: &str, steps: Vec<Step<'_>>) -> Value {
        let has_secrets = steps.iter().any(|step| !step.secret.is_empty());
        let secret = has_secrets.then(|| self.secret_of(workflow));
        let (mut keys, mut taken) = (Vec::new(), HashSet::new());
        let mut nodes = Vec::with_capacity(steps.len());
        for step in steps {
            let mut node = json!({
                "name": step.node.name, "type": step.node.node_type, "subtype": step.node.subtype,
            });
            if !step.settings.is_empty() {
                node["settings"] = step.settings.into();
            }
            for setting in step.secret {
                // Two nodes may have a setting of the same name, each with a value of its own.
                let key = unique_name(setting.to_owned(), &mut taken);
                node["secretSettings"][setting] = json!({ "name": secret, "key": key });
                keys.push(key);
            }
            nodes.push(node);
        }
        if let Some(secret) = secret {
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            self.need(&secret, &keys);
        }
        nodes.into()
    }
}

impl<'a> Step<'a> {
    /// Sorts the settings of a node; or says why no manifest can have it.
    fn of(node: &'a ShownNode) -> Result<Self, String> {
        for (what, text, longest) in [
            ("name", &node.name, LONGEST_NAME),
            ("type", &node.node_type, LONGEST_TYPE),
            ("subtype", &node.subtype, LONGEST_TYPE),
        ] {
            if !(1..=longest).contains(&text.chars().count()) {
                return Err(format!(
                    "a node of it has no {what}, or a longer one than {longest} characters"
                ));
            }
        }
        let name = one_line(&node.name);
        let (mut settings, mut secret) = (Map::new(), Vec::new());
        for (setting, value) in &node.settings {
            if value.is_null() {
                continue;
            }
            let sounds_like_it = sounds_like_a_secret(setting, value);
            if !sounds_like_it && !shows_a_secret(value) {
                settings.insert(setting.clone(), value.clone());
            } else if !sounds_like_it && !value.is_string() {
                return Err(format!(
                    "its node {name:?} has a secret inside of a setting, where no key of a Secret can be put"
                ));
            } else if is_secret_key(setting) {
                secret.push(setting.as_str());
            } else {
                return Err(format!(
                    "a secret setting of its node {name:?} has a name that no key of a Secret can have"
                ));
            }
        }
        if settings.len().max(secret.len()) > MOST_PARAMETERS {
            return Err(format!(
                "its node {name:?} has more settings than one can have: {MOST_PARAMETERS}"
            ));
        }
        Ok(Self {
            node,
            settings,
            secret,
        })
    }
}

/// What is left to say: the name, the schedule, the state. What cannot be said becomes a doubt.
fn rest(
    shown: &Workflow,
    has_default_name: bool,
    spec: &mut Map<String, Value>,
    doubts: &mut Vec<String>,
) {
    let mut set = |field: &str, value: Value| spec.insert(field.to_owned(), value);
    if is_name(&shown.name) && !has_default_name {
        set("workflowName", (*shown.name).into());
    } else if !has_default_name {
        doubts.push("Its name is none that workflowName can have. It gets another.".to_owned());
    }
    match shown.crons.as_slice() {
        [] => {}
        [cron] if Schedule::shown_as(cron).is_some() => {
            set(
                "schedule",
                Schedule::shown_as(cron).map(Schedule::phrase).into(),
            );
        }
        crons => {
            let crons = one_line(&crons.join("; "));
            doubts.push(format!(
                "Unstructured runs it by {crons:?}, which no schedule says. Choose one, or leave it without."
            ));
        }
    }
    match shown.status.to_ascii_lowercase().as_str() {
        "active" => {}
        "inactive" => {
            set("state", "Inactive".into());
        }
        _ => {
            let status = one_line(&shown.status);
            doubts.push(format!(
                "Its status is {status:?}. Say with state whether its schedule is on."
            ));
        }
    }
    match shown.reprocess_all {
        Some(false) => {}
        Some(true) => {
            set("reprocessAll", true.into());
        }
        None => doubts.push(
            "The API does not say whether each run takes in all documents again. Say so with reprocessAll."
                .to_owned(),
        ),
    }
    if !matches!(&*shown.workflow_type, "" | "custom") {
        let kind = one_line(&shown.workflow_type);
        doubts.push(format!(
            "It is of the type {kind:?}. The operator makes it one of the type custom."
        ));
    }
}

fn heading(shown: &Workflow, has_default_name: bool) -> String {
    let mut heading = format!("# Workflow {:?}\n", one_line(&shown.name));
    if has_default_name || shown.key.as_deref().is_some_and(is_an_operators) {
        heading.push_str(MADE);
    }
    if has_default_name {
        heading.push_str("# It gets the default name of the resource that adopts it.\n");
    }
    heading
}

/// The one connector that a resource can name.
fn only(what: &str, ids: &[ConnectorId]) -> Result<ConnectorId, String> {
    match ids {
        [id] => Ok(*id),
        [] => Err(format!("it has no {what}, and an {WORKFLOW} has one")),
        several => {
            let number = several.len();
            Err(format!(
                "it has {number} {what}s, and an {WORKFLOW} has one"
            ))
        }
    }
}

/// The nodes in the order in which documents pass them, as far as that follows from what they do; and whether it does for all.
fn in_order(nodes: &[ShownNode]) -> (Vec<&ShownNode>, bool) {
    let mut ordered: Vec<_> = nodes.iter().collect();
    ordered.sort_by_key(|node| place(node).unwrap_or(ENRICHMENT));
    let is_known = ordered.windows(2).all(|pair| {
        place(pair[0])
            .zip(place(pair[1]))
            .is_some_and(|(a, b)| a < b)
    });
    (ordered, is_known)
}

const ENRICHMENT: u8 = 1;

/// Where a node of this type stands. Named entities are looked for before the chunker by some, and after it by others.
fn place(node: &ShownNode) -> Option<u8> {
    match &*node.node_type {
        "partition" => Some(0),
        "prompter" if !node.subtype.ends_with("_ner") => Some(ENRICHMENT),
        "chunk" => Some(2),
        "embed" => Some(3),
        _ => None,
    }
}

/// Whether a resource can give this name.
fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.chars().count())
        && text.trim() == text
        && !text.contains(char::is_control)
}

/// The name of the resource whose default name this is: `<namespace>.<name>.UnstructuredWorkflow.<cluster>`.
fn default_name(name: &str) -> Option<&str> {
    let (owner, _) = name.rsplit_once('.')?;
    let (_, resource) = owner
        .strip_suffix(WORKFLOW)?
        .strip_suffix('.')?
        .split_once('.')?;
    Some(resource)
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn node(node_type: &str, subtype: &str) -> ShownNode {
        ShownNode {
            name: subtype.into(),
            node_type: node_type.into(),
            subtype: subtype.into(),
            settings: Map::new(),
        }
    }

    #[test]
    fn an_order_is_known_where_each_node_has_a_place_of_its_own() {
        let embed = node("embed", "azure_openai");
        let chunk = node("chunk", "chunk_by_title");
        let pictures = node("prompter", "openai_image_description");
        let tables = node("prompter", "anthropic_table2html");
        let names = node("prompter", "openai_ner");
        let partition = node("partition", "vlm");
        let new = node("new", "new");
        for (shown, order, is_known) in [
            (
                vec![&embed, &chunk, &pictures, &partition],
                vec![&partition, &pictures, &chunk, &embed],
                true,
            ),
            (vec![&new], vec![&new], true),
            (vec![&chunk, &partition], vec![&partition, &chunk], true),
            (vec![&new, &partition], vec![&partition, &new], false),
            (vec![&names, &partition], vec![&partition, &names], false),
            (vec![&tables, &pictures], vec![&tables, &pictures], false),
            (vec![&chunk, &chunk], vec![&chunk, &chunk], false),
        ] {
            let shown: Vec<_> = shown.into_iter().cloned().collect();
            assert_eq!(in_order(&shown), (order, is_known));
        }
    }

    #[test]
    fn a_default_name_gives_the_name_of_its_resource() {
        for (name, resource) in [
            ("legal.flow.UnstructuredWorkflow.prod", Some("flow")),
            (
                "legal.flow.2026.UnstructuredWorkflow.prod",
                Some("flow.2026"),
            ),
            ("legal.flow.prod", None),
            ("UnstructuredWorkflow.prod", None),
            ("Contracts", None),
        ] {
            assert_eq!(default_name(name), resource, "{name}");
        }
    }

    #[test]
    fn a_secret_is_told_by_its_mask_its_name_and_where_it_is() {
        let mut chunk = node("chunk", "chunk_by_title");
        let settings = json!({
            "unstructured_api_key": "in clear", "max_tokens": 512, "prompt": null, "host": "https://a.example",
            "other": crate::unstructured::MASK,
        });
        chunk.settings = serde_json::from_value(settings).unwrap();
        let step = Step::of(&chunk).map_err(|why| panic!("{why}")).unwrap();
        assert_eq!(step.secret, ["other", "unstructured_api_key"]);
        let plain: Vec<_> = step.settings.keys().collect();
        assert_eq!(plain, ["host", "max_tokens"]);
        chunk.settings["host"] = json!({ "user": "a", "password": "b" });
        assert!(Step::of(&chunk).is_err());
    }
}
