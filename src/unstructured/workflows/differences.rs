//! How a workflow that should be is compared with the one that the service shows.
//!
//! The service shows the steps in any order and with ids of its own, fills in settings (other ones from month to month), and drops in
//! silence those that it does not know. So only what we set is compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::config::Field;
use super::super::ids::ConnectorId;
use super::super::types::MASK;
use super::shown::{ShownNode, Workflow};
use super::spec::{Node, WorkflowSpec, WorkflowState};

/// What tells a workflow from what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What readably differs, in words such as `name`, `schedule`, `sources`, `state`, `nodes[Chunker].max_characters`, `nodes`.
    pub drift: BTreeSet<String>,
    /// Settings that were given and that the service does not show: it drops in silence those that it does not know.
    pub ignored: BTreeSet<String>,
}

/// What tells steps apart.
type Identity<'a> = (&'a str, &'a str, &'a str);

/// Steps of one identity: those that should be, and those that are shown.
type Alike<'a> = (Vec<&'a Node>, Vec<&'a ShownNode>);

impl WorkflowSpec {
    /// Compares with what is shown. What cannot be read is no difference, and what the service added is its own business.
    pub fn differences(&self, shown: &Workflow) -> Differences {
        let mut found = Differences::default();
        let scheduled = match (&self.schedule, shown.crons.as_slice()) {
            (None, []) => true,
            (Some(schedule), [cron]) => schedule.is_shown_as(cron),
            _ => false,
        };
        let other_state = [WorkflowState::Active, WorkflowState::Inactive]
            .into_iter()
            .find(|state| shown.status.eq_ignore_ascii_case(state.as_str()))
            .is_some_and(|state| state != self.state);
        let reprocess = shown.reprocess_all.unwrap_or(self.reprocess_all);
        for (what, differs) in [
            ("name", *self.name != *shown.name),
            ("sources", differs(self.source, &shown.sources)),
            (
                "destinations",
                differs(self.destination, &shown.destinations),
            ),
            ("schedule", !scheduled),
            ("state", other_state),
            ("reprocess_all", reprocess != self.reprocess_all),
        ] {
            if differs {
                found.drift.insert(what.to_owned());
            }
        }
        // A list may show less of a workflow than the workflow itself.
        let Some(shown_nodes) = &shown.nodes else {
            return found;
        };
        let mut by_identity: BTreeMap<Identity<'_>, Alike<'_>> = BTreeMap::new();
        for node in &self.nodes {
            let identity = (&*node.node_type, &*node.subtype, &*node.name);
            by_identity.entry(identity).or_default().0.push(node);
        }
        for node in shown_nodes {
            let identity = (&*node.node_type, &*node.subtype, &*node.name);
            by_identity.entry(identity).or_default().1.push(node);
        }
        for (ours, theirs) in by_identity.into_values() {
            if ours.len() != theirs.len() {
                found.drift.insert("nodes".to_owned());
            }
            for (our, their) in paired(&ours, &theirs) {
                compare(our, their, &mut found);
            }
        }
        found
    }
}

fn differs(should_be: Option<ConnectorId>, shown: &[ConnectorId]) -> bool {
    !should_be.iter().eq(shown)
}

/// Which of ours is which of theirs, where several are called the same: as many pairs as can be of which nothing has been changed, of these
/// as many as can be without a dropped setting, and the rest in an order that is not the answer's, which may be another each time. Those
/// left over have no counterpart.
fn paired<'a>(ours: &[&'a Node], theirs: &[&'a ShownNode]) -> Vec<(&'a Node, &'a ShownNode)> {
    let mut theirs = theirs.to_vec();
    if theirs.len() > 1 {
        theirs.sort_by_cached_key(|their| Value::Object(their.settings.clone()).to_string());
    }
    let compared = |our: usize, their: usize| {
        let mut found = Differences::default();
        compare(ours[our], theirs[their], &mut found);
        found
    };
    let is_same = |our: usize, their: usize| compared(our, their) == Differences::default();
    let is_unchanged = |our: usize, their: usize| compared(our, their).drift.is_empty();
    // Whose each of theirs is.
    let mut taken: Vec<Option<usize>> = vec![None; theirs.len()];
    let fits: [&dyn Fn(usize, usize) -> bool; 2] = [&is_same, &is_unchanged];
    for fits in fits {
        for our in 0..ours.len() {
            if !taken.contains(&Some(our)) {
                give(our, &fits, &mut taken, &mut vec![false; theirs.len()]);
            }
        }
    }
    let mut rest = (0..ours.len())
        .filter(|our| !taken.contains(&Some(*our)))
        .collect::<Vec<_>>()
        .into_iter();
    for place in &mut taken {
        *place = place.or_else(|| rest.next());
    }
    let pairs = taken.iter().zip(theirs);
    pairs
        .filter_map(|(our, their)| our.map(|our| (ours[our], their)))
        .collect()
}

/// Gives one of ours one of theirs that fits it; whoever had that gets another, and so on.
fn give(
    our: usize,
    fits: &impl Fn(usize, usize) -> bool,
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for their in 0..taken.len() {
        if tried[their] || !fits(our, their) {
            continue;
        }
        tried[their] = true;
        if taken[their].is_none_or(|holder| give(holder, fits, taken, tried)) {
            taken[their] = Some(our);
            return true;
        }
    }
    false
}

fn compare(ours: &Node, theirs: &ShownNode, found: &mut Differences) {
    for (name, field) in ours.settings.fields() {
        let path = format!("nodes[{}].{name}", ours.name);
        let shown = theirs.settings.get(name).unwrap_or(&Value::Null);
        match field {
            Field::Plain(value) => compare_value(path, value, shown, found),
            Field::Secret(_) if shown.is_null() => {
                found.ignored.insert(path);
            }
            // A reference to a secret, like a masked one, cannot be read.
            Field::Secret(_) if shown.is_object() || is_masked(shown) => {}
            Field::Secret(_) => {
                if field.differs(shown) {
                    found.drift.insert(path);
                }
            }
        }
    }
}

/// An object counts by its members: the service fills in those too.
fn compare_value(path: String, ours: &Value, theirs: &Value, found: &mut Differences) {
    match (ours, theirs) {
        // Whoever writes null leaves it to the service.
        (Value::Null, _) => {}
        (_, Value::Null) => {
            found.ignored.insert(path);
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            for (name, ours) in ours {
                let theirs = theirs.get(name).unwrap_or(&Value::Null);
                compare_value(format!("{path}.{name}"), ours, theirs, found);
            }
        }
        _ if is_masked(theirs) || same(ours, theirs) => {}
        _ => {
            found.drift.insert(path);
        }
    }
}

fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => {
            ours == theirs || ours.as_f64() == theirs.as_f64()
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(our, their)| same(our, their))
        }
        (Value::Object(ours), Value::Object(theirs)) => ours.iter().all(|(name, our)| {
            let their = theirs.get(name).unwrap_or(&Value::Null);
            our.is_null() || same(our, their)
        }),
        _ => ours == theirs,
    }
}

fn is_masked(shown: &Value) -> bool {
    shown.as_str() == Some(MASK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::SecretString;
    use serde_json::{Map, json};

    use super::super::super::config::Config;
    use super::super::schedule::Schedule;
    use super::*;

    const ID: &str = "4d894467-6a0c-4c36-8a0f-2a5b1c0f7e11";
    const SOURCE: &str = "37775d55-0d3c-4a8c-9f5e-8f1b2c3d4e5f";
    const DESTINATION: &str = "73a12807-5b1e-4c2d-8e9f-0a1b2c3d4e5f";

    fn node(name: &str, node_type: &str, subtype: &str, settings: Config) -> Node {
        Node {
            name: name.to_owned(),
            node_type: node_type.to_owned(),
            subtype: subtype.to_owned(),
            settings,
        }
    }

    fn spec() -> WorkflowSpec {
        let partition = Config::builder()
            .plain("provider", "anthropic")
            .plain("is_dynamic", true)
            .secret("provider_api_key", SecretString::from("pk-1"))
            .build();
        let chunk = Config::builder()
            .plain("max_characters", 2048)
            .plain("overlap", 50);
        let embed = Config::builder().plain("model_name", "text-embedding-3-large");
        WorkflowSpec {
            name: "contracts".to_owned(),
            source: SOURCE.parse().ok(),
            destination: DESTINATION.parse().ok(),
            nodes: vec![
                node("Partitioner", "partition", "vlm", partition),
                node("Chunker", "chunk", "chunk_by_title", chunk.build()),
                node("Embedder", "embed", "azure_openai", embed.build()),
            ],
            schedule: None,
            reprocess_all: false,
            state: WorkflowState::Active,
        }
    }

    /// As it was recorded on the real service, whose order was partition, chunk, embed.
    fn recorded() -> Value {
        json!({"id": ID, "name": "contracts", "workflow_type": "custom", "status": "active", "reprocess_all": false,
            "sources": [SOURCE], "destinations": [DESTINATION], "schedule": {"crontab_entries": []},
            "created_at": "2025-11-25T19:27:39.205722Z", "updated_at": "2025-11-25T19:27:39.217380Z",
            "workflow_nodes": [
                {"id": "5cd54e52-0000-4000-8000-000000000001", "name": "Partitioner", "type": "partition", "subtype": "vlm",
                 "settings": {"provider": "anthropic", "provider_api_key": MASK, "model": "claude-sonnet-4-20250514",
                    "output_format": "text/html", "prompt": null, "format_html": true, "unique_element_ids": true,
                    "is_dynamic": true, "allow_fast": true, "custom_host_config": null}},
                {"id": "52fa287d-0000-4000-8000-000000000002", "name": "Embedder", "type": "embed", "subtype": "azure_openai",
                 "settings": {"model_name": "text-embedding-3-large"}},
                {"id": "0ededf9b-0000-4000-8000-000000000003", "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title",
                 "settings": {"unstructured_api_url": null, "unstructured_api_key": null, "multipage_sections": true,
                    "combine_text_under_n_chars": 200, "include_orig_elements": true, "new_after_n_chars": 200,
                    "max_characters": 2048, "overlap": 50, "overlap_all": false, "contextual_chunking_strategy": null}}]})
    }

    fn read(body: &Value) -> Workflow {
        Workflow::read(body.to_string().as_bytes()).unwrap()
    }

    fn after(change: impl FnOnce(&mut Value)) -> Differences {
        let mut body = recorded();
        change(&mut body);
        spec().differences(&read(&body))
    }

    fn drift(words: &[&str]) -> Differences {
        Differences {
            drift: words.iter().map(ToString::to_string).collect(),
            ignored: BTreeSet::new(),
        }
    }

    #[test]
    fn what_was_recorded_in_another_order_and_with_defaults_does_not_differ() {
        assert_eq!(after(|_| {}), drift(&[]));
        assert_eq!(after(|body| body["schedule"] = json!(null)), drift(&[]));
        let model = "/workflow_nodes/0/settings/model";
        assert_eq!(
            after(|body| *body.pointer_mut(model).unwrap() = json!("claude-9")),
            drift(&[]),
            "a default of the service's own"
        );
        assert_eq!(
            after(|body| body["workflow_nodes"][2]["settings"]["overlap"] = json!(50.0)),
            drift(&[])
        );
    }

    /// Steps that are called the same, and a setting that the service drops.
    #[test]
    fn no_order_of_twins_turns_a_dropped_setting_into_a_changed_one() {
        let twin = |most: i32| {
            let settings = Config::builder().plain("max", most).plain("typo", 1);
            node("Chunker", "chunk", "chunk_by_title", settings.build())
        };
        let mut asked = spec();
        asked.nodes = vec![twin(100), twin(200)];
        let shown = |most: i32| json!({ "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max": most } });
        for order in [[100, 200], [200, 100]] {
            let mut body = recorded();
            body["workflow_nodes"] = order.map(shown).to_vec().into();
            let found = asked.differences(&read(&body));
            assert_eq!(found.drift, BTreeSet::new(), "{order:?}");
            assert!(found.ignored.contains("nodes[Chunker].typo"));
        }
    }

    #[test]
    fn every_readable_difference_is_named() {
        type Change = fn(&mut Value);
        let table: [(Change, &[&str]); 15] = [
            (|body| body["name"] = json!("x"), &["name"]),
            (|body| body["sources"] = json!([]), &["sources"]),
            (
                |body| body["sources"] = json!([SOURCE, DESTINATION]),
                &["sources"],
            ),
            (
                |body| body["destinations"] = json!([SOURCE]),
                &["destinations"],
            ),
            (
                |body| {
                    body["schedule"]["crontab_entries"] = json!([{"cron_expression": "0 0 * * *"}]);
                },
                &["schedule"],
            ),
            (|body| body["status"] = json!("INACTIVE"), &["state"]),
            (|body| body["status"] = json!("paused"), &[]),
            (
                |body| body["reprocess_all"] = json!(true),
                &["reprocess_all"],
            ),
            (|body| body["reprocess_all"] = json!(null), &[]),
            (|body| body["workflow_nodes"] = json!([]), &["nodes"]),
            (|body| body["workflow_nodes"] = json!(null), &[]),
            (
                |body| body["workflow_nodes"][1]["name"] = json!("x"),
                &["nodes"],
            ),
            (
                |body| {
                    let more = body["workflow_nodes"][1].clone();
                    body["workflow_nodes"].as_array_mut().unwrap().push(more);
                },
                &["nodes"],
            ),
            (
                |body| body["workflow_nodes"][2]["settings"]["overlap"] = json!("50"),
                &["nodes[Chunker].overlap"],
            ),
            (
                |body| body["workflow_nodes"][0]["settings"]["provider_api_key"] = json!("pk-2"),
                &["nodes[Partitioner].provider_api_key"],
            ),
        ];
        for (change, words) in table {
            assert_eq!(after(change), drift(words), "{words:?}");
        }
    }

    #[test]
    fn a_setting_that_the_service_drops_is_ignored_and_no_drift() {
        let found = after(|body| {
            let nodes = &mut body["workflow_nodes"];
            nodes[0]["settings"]
                .as_object_mut()
                .unwrap()
                .remove("is_dynamic");
            nodes[2]["settings"]["overlap"] = json!(null);
        });
        let ignored = ["nodes[Chunker].overlap", "nodes[Partitioner].is_dynamic"];
        assert_eq!(found.drift, BTreeSet::new());
        assert_eq!(found.ignored, ignored.map(ToOwned::to_owned).into());
    }

    #[test]
    fn a_schedule_is_compared_with_its_cron_expression() {
        let weekly = WorkflowSpec {
            schedule: Some(Schedule::Weekly),
            ..spec()
        };
        let mut body = recorded();
        assert_eq!(weekly.differences(&read(&body)), drift(&["schedule"]));
        for shown in [
            json!({"crontab_entries": [{"cron_expression": "0 0 * * 0"}]}),
            json!("weekly"),
        ] {
            body["schedule"] = shown;
            assert_eq!(weekly.differences(&read(&body)), drift(&[]));
        }
        body["schedule"] = json!({"crontab_entries": [{"cron_expression": "0 0 * * 0"}, {"cron_expression": "0 0 * * *"}]});
        assert_eq!(weekly.differences(&read(&body)), drift(&["schedule"]));
    }

    #[test]
    fn an_object_is_compared_by_the_members_that_we_set() {
        let prompt = json!({"prompt": {"user": "Who?", "none": null, "list": [{"a": 1}]}});
        let settings = Config::builder().plain("overrides", prompt).build();
        let spec = WorkflowSpec {
            nodes: vec![node("NER", "prompter", "openai_ner", settings)],
            ..spec()
        };
        let mut body = recorded();
        for (shown, drifted, ignored) in [
            (
                json!({"prompt": {"user": "Who?", "list": [{"a": 1.0, "b": 2}], "system": "x"}}),
                None,
                None,
            ),
            (
                json!({"prompt": {"user": "What?", "list": [{"a": 1}]}}),
                Some("user"),
                None,
            ),
            (
                json!({"prompt": {"user": "Who?", "list": [{"a": 2}]}}),
                Some("list"),
                None,
            ),
            (json!({"prompt": {"list": [{"a": 1}]}}), None, Some("user")),
        ] {
            body["workflow_nodes"] = json!([{"name": "NER", "type": "prompter", "subtype": "openai_ner",
                "settings": {"overrides": shown}}]);
            let found = spec.differences(&read(&body));
            let path = |word: Option<&str>| -> BTreeSet<String> {
                let path = word.map(|word| format!("nodes[NER].overrides.prompt.{word}"));
                path.into_iter().collect()
            };
            assert_eq!((found.drift, found.ignored), (path(drifted), path(ignored)));
        }
    }

    proptest! {
        #[test]
        fn our_own_nodes_in_any_order_with_ids_and_more_settings_do_not_differ(
            (ours, shuffled) in proptest::collection::vec(
                // Few names, so that some are called the same.
                ("[AB]", "[ab]", proptest::collection::btree_map("[a-c]", -2_i64..3, 0..4)),
                0..6,
            ).prop_flat_map(|nodes| {
                let order = Just((0..nodes.len()).collect::<Vec<_>>()).prop_shuffle();
                (Just(nodes), order)
            }),
            more in proptest::collection::btree_map("[a-e]", 3_i64..6, 0..4),
        ) {
            let nodes = ours.iter().map(|(name, subtype, settings)| {
                let config = settings.iter().fold(Config::builder(), |config, (name, value)| config.plain(name, *value));
                node(name, "chunk", subtype, config.build())
            });
            let spec = WorkflowSpec { nodes: nodes.collect(), ..spec() };
            let shown = shuffled.iter().map(|place| {
                let (name, subtype, settings) = &ours[*place];
                let mut shown: Map<String, Value> = more.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                shown.extend(settings.iter().map(|(name, value)| (name.clone(), json!(value))));
                json!({"id": ID, "name": name, "type": "chunk", "subtype": subtype, "settings": shown})
            });
            let mut body = recorded();
            body["workflow_nodes"] = shown.collect();
            prop_assert_eq!(spec.differences(&read(&body)), Differences::default());
        }
    }
}
