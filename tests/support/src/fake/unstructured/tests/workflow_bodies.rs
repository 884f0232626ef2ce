//! What a request about a workflow must not say: what the service refuses, and what a careful client never sends.

use super::{
    workflows::{HERE, item, pipeline, with},
    *,
};

#[tokio::test]
async fn what_is_wrong_in_a_workflow_is_told_where_it_is() {
    let pipeline = pipeline(|_| {});
    let node = |member: &str, value: Value| {
        let mut body = pipeline.body();
        body["workflow_nodes"][1][member] = value;
        json!({ "workflow_nodes": body["workflow_nodes"] })
    };
    let table = [
        (json!({ "name": null }), json!(["body", "name"])),
        (
            json!({ "workflow_type": "best" }),
            json!(["body", "workflow_type"]),
        ),
        (
            json!({ "schedule": "0 0 * * *" }),
            json!(["body", "schedule"]),
        ),
        (
            json!({ "schedule": "every 3 hours" }),
            json!(["body", "schedule"]),
        ),
        (json!({ "source_id": "s" }), json!(["body", "source_id"])),
        (
            json!({ "reprocess_all": "no" }),
            json!(["body", "reprocess_all"]),
        ),
        (
            json!({ "workflow_nodes": {} }),
            json!(["body", "workflow_nodes"]),
        ),
        (
            node("subtype", Value::Null),
            json!(["body", "workflow_nodes", "1", "subtype"]),
        ),
        (
            node("type", json!("chunk_by_title")),
            json!(["body", "workflow_nodes", "1", "type"]),
        ),
        (
            node("settings", json!([])),
            json!(["body", "workflow_nodes", "1", "settings"]),
        ),
    ];
    for (changes, loc) in table {
        let (status, answer) = pipeline.try_create(&changes).await;
        assert_eq!(
            (status, &answer["detail"][0]["loc"]),
            (422, &loc),
            "{changes}"
        );
    }
    let missing = pipeline.ground.caller.send(POST, HERE, &json!({})).await;
    assert_eq!(missing.0, 422);
    assert_eq!(missing.1["detail"].as_array().map(Vec::len), Some(2));
    let nobody = json!({ "destination_id": NOBODY });
    assert_eq!(pipeline.try_create(&nobody).await.0, 404);
    assert!(pipeline.ground.workspace.workflows().is_empty());
}

#[tokio::test]
async fn what_a_careful_client_never_sends_of_a_workflow_is_a_violation() {
    let pipeline = pipeline(|_| {});
    let (api, caller) = (&pipeline.ground.api, &pipeline.ground.caller);
    let created = pipeline.create(&json!({})).await;
    let path = item(&created);
    let schedule = json!({ "schedule": null, "key": "k" });
    let mut strange = pipeline.body();
    strange["workflow_nodes"][0]["color"] = "red".into();
    let table = [
        (
            POST,
            HERE.to_owned(),
            with(pipeline.body(), &json!({ "color": "red" })),
            "unknown member color",
        ),
        (
            POST,
            HERE.to_owned(),
            with(pipeline.body(), &json!({ "state": "active" })),
            "unknown member state",
        ),
        (
            POST,
            HERE.to_owned(),
            strange,
            "unknown member color of a node",
        ),
        (
            PUT,
            path.clone(),
            json!({ "name": "n" }),
            "leaves open what becomes of the schedule",
        ),
        (PUT, path.clone(), schedule, "attempt to change the key"),
        (
            POST,
            format!("{path}/run"),
            json!({}),
            "body where none belongs",
        ),
    ];
    for (method, path, body, expected) in table {
        caller.send(method, &path, &body).await;
        let violations = api.take_violations();
        assert!(
            violations.len() == 1 && violations[0].contains(expected),
            "{expected}: {violations:?}"
        );
    }
    caller.call(GET, "/workflows/?color=red").await;
    caller.call(GET, "/jobs/?page=1").await;
    assert_eq!(api.take_violations().len(), 2);
    assert_eq!(caller.call(GET, "/workflows").await.0, 307);
    assert_eq!(caller.call(GET, &format!("{path}/")).await.0, 307);
    assert_eq!(caller.call(Method::PATCH, &path).await.0, 405);
    assert_eq!(api.take_violations().len(), 3);
}

#[tokio::test]
async fn a_printed_line_hides_the_keys_of_others_in_settings() {
    let pipeline = pipeline(|_| {});
    let mut nodes = pipeline.body()["workflow_nodes"].clone();
    nodes[0]["settings"]["provider_api_key"] = "sk-1".into();
    pipeline.create(&json!({ "workflow_nodes": nodes })).await;
    let line = pipeline.ground.api.requests()[0].to_string();
    assert!(
        line.contains("(hidden)") && !line.contains("sk-1"),
        "{line}"
    );
}
