//! What tools like kstatus, Argo CD and Flux take for granted of a status, checked on every version that a test could see.

use std::collections::HashMap;

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use unstructured_operator::crd::{ConditionType, Reason};

/// Says what is wrong with these versions of resources, oldest first.
pub fn judge(versions: &[DynamicObject]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut before: HashMap<String, &DynamicObject> = HashMap::new();
    for version in versions {
        let earlier = before.insert(version.uid().unwrap_or_default(), version);
        let wrong = alone(version).into_iter();
        let wrong = wrong.chain(earlier.map_or_else(Vec::new, |earlier| after(earlier, version)));
        complaints.extend(wrong.map(|what| {
            format!(
                "{what}: {} at version {}: {:#}",
                version.name_any(),
                version.resource_version().unwrap_or_default(),
                version.data["status"]
            )
        }));
    }
    complaints
}

/// What one version has to satisfy by itself.
fn alone(version: &DynamicObject) -> Vec<String> {
    let status = &version.data["status"];
    let conditions = conditions(version);
    if conditions.is_empty() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    let is_true = |kind: &str| conditions.get(kind).is_some_and(|c| c["status"] == "True");
    let generation = version.metadata.generation;
    let observed = status["observedGeneration"].as_i64();

    demand(conditions.contains_key("Ready"), "Ready is missing");
    demand(observed.is_some(), "observedGeneration is missing");
    demand(
        observed <= generation,
        "a generation yet to come was observed",
    );
    for kind in ["Reconciling", "Stalled"] {
        demand(
            !conditions.contains_key(kind) || is_true(kind),
            "Reconciling or Stalled is there without being True",
        );
    }
    demand(
        !(is_true("Reconciling") && is_true("Stalled")),
        "Reconciling and Stalled at once",
    );
    if is_true("Ready") {
        let unfinished = is_true("Reconciling") || is_true("Stalled");
        demand(!unfinished, "Ready and Reconciling or Stalled");
        demand(is_true("Synced"), "Ready but not Synced");
        let verified = conditions.get("ConnectionVerified");
        demand(
            verified.is_none_or(|c| c["status"] != "False"),
            "Ready though the connection check failed",
        );
        demand(status["sourceId"].is_string(), "Ready without a connector");
        demand(
            version.metadata.deletion_timestamp.is_none() || observed < generation,
            "Ready while being deleted",
        );
        demand(
            conditions["Ready"]["observedGeneration"].as_i64() == observed,
            "Ready speaks of another generation than the status",
        );
    }
    demand(
        status["appliedDigest"].is_null() || status["sourceId"].is_string(),
        "a digest of what no connector has",
    );
    for (kind, condition) in &conditions {
        let known = ConditionType::ALL
            .iter()
            .any(|known| known.as_str() == *kind);
        demand(known, "an unknown condition");
        let reason = condition["reason"].as_str().unwrap_or_default();
        let known = Reason::ALL.iter().any(|known| known.as_str() == reason);
        demand(known, "an undocumented reason");
        let message = condition["message"].as_str().unwrap_or_default();
        demand(!message.trim().is_empty(), "a condition without a message");
        let own = condition["observedGeneration"].as_i64();
        demand(own.is_some(), "a condition without observedGeneration");
        demand(own <= observed, "a condition ahead of the status");
        demand(
            condition["lastTransitionTime"].is_string(),
            "a condition without lastTransitionTime",
        );
    }
    wrong
}

/// What a version has to satisfy after the one before it.
fn after(earlier: &DynamicObject, later: &DynamicObject) -> Vec<String> {
    let mut wrong = Vec::new();
    let observed = |version: &DynamicObject| version.data["status"]["observedGeneration"].as_i64();
    // -1 is what a status has that somebody erased.
    if observed(later) < observed(earlier) && observed(later) != Some(-1) {
        wrong.push("an older generation is observed again".to_owned());
    }
    let was = conditions(earlier);
    for (kind, condition) in conditions(later) {
        let Some(was) = was.get(kind) else { continue };
        let time = |condition: &Value| {
            let text = condition["lastTransitionTime"].as_str().unwrap_or_default();
            text.to_owned()
        };
        if condition["status"] == was["status"] && time(condition) != time(was) {
            wrong.push(format!(
                "{kind}'s lastTransitionTime moved without its status"
            ));
        }
        if time(condition) < time(was) {
            wrong.push(format!("{kind}'s lastTransitionTime went back"));
        }
    }
    wrong
}

fn conditions(version: &DynamicObject) -> HashMap<&str, &Value> {
    let conditions = version.data["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| Some((condition["type"].as_str()?, condition)))
        .collect()
}

mod tests {
    use kube::core::DynamicObject;
    use serde_json::{Value, json};

    use super::judge;

    fn version(status: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "v1", "kind": "X",
            "metadata": { "name": "x", "uid": "u", "generation": 2 },
            "status": status,
        });
        serde_json::from_value(object).expect("an object")
    }

    fn condition(kind: &str, status: &str, time: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": "Ready", "message": "m",
            "observedGeneration": 2, "lastTransitionTime": time,
        })
    }

    #[test]
    fn the_oracle_accepts_an_honest_status_and_names_what_is_wrong_with_others() {
        let honest = json!({
            "observedGeneration": 2, "sourceId": "s",
            "conditions": [condition("Ready", "True", "1"), condition("Synced", "True", "1")],
        });
        assert_eq!(judge(&[version(&honest)]), Vec::<String>::new());

        let mut stalled = honest.clone();
        stalled["conditions"][1] = condition("Stalled", "True", "1");
        let complaints = judge(&[version(&stalled)]).join("\n");
        assert!(complaints.contains("Ready but not Synced"), "{complaints}");
        assert!(complaints.contains("Ready and Reconciling or Stalled"));

        let mut moved = honest.clone();
        moved["conditions"][0]["lastTransitionTime"] = json!("2");
        let complaints = judge(&[version(&honest), version(&moved)]).join("\n");
        assert!(
            complaints.contains("moved without its status"),
            "{complaints}"
        );
    }
}
