//! Workflows: how they live, and each switch once.

use super::*;
use crate::fake::Fault;

pub(super) const HERE: &str = "/workflows/";

/// A workflow between a source and a destination.
pub(super) struct Pipeline {
    pub(super) ground: Ground,
    pub(super) source: String,
    pub(super) destination: String,
}

pub(super) fn pipeline(change: impl FnOnce(&mut Rules)) -> Pipeline {
    let ground = ground(change);
    let source = ground.workspace.insert("dropbox", "s", config("data"));
    let index = json!({ "index_name": "i", "namespace": "default", "api_key": "k" });
    let destinations = ground.workspace.of(Family::Destinations);
    let destination = destinations.insert("pinecone", "d", index);
    Pipeline {
        ground,
        source,
        destination,
    }
}

impl Pipeline {
    pub(super) fn body(&self) -> Value {
        json!({
            "name": "w",
            "workflow_type": "custom",
            "source_id": self.source,
            "destination_id": self.destination,
            "schedule": "daily",
            "reprocess_all": false,
            "workflow_nodes": [
                { "name": "P", "type": "partition", "subtype": "vlm",
                  "settings": { "is_dynamic": true, "strategy": "auto" } },
                { "name": "C", "type": "chunk", "subtype": "chunk_by_title",
                  "settings": { "max_characters": 2048 } },
                { "name": "E", "type": "embed", "subtype": "azure_openai",
                  "settings": { "model_name": "text-embedding-3-small" } },
            ],
        })
    }

    /// Creates a workflow with these changes to the body, and returns what the service says of it.
    pub(super) async fn create(&self, changes: &Value) -> Value {
        let (status, workflow) = self.try_create(changes).await;
        assert_eq!(status, 200, "{workflow}");
        workflow
    }

    pub(super) async fn try_create(&self, changes: &Value) -> (u16, Value) {
        let body = with(self.body(), changes);
        self.ground.caller.send(POST, HERE, &body).await
    }

    async fn ids(&self, query: &str) -> Vec<Value> {
        let path = format!("{HERE}{query}");
        let (status, list) = self.ground.caller.call(GET, &path).await;
        assert_eq!(status, 200, "{list}");
        let list = list.as_array().expect("a list").iter();
        list.map(|workflow| workflow["id"].clone()).collect()
    }
}

/// The body with these members in place of its own.
pub(super) fn with(mut body: Value, changes: &Value) -> Value {
    let changes = changes.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(changes);
    body
}

pub(super) fn id(object: &Value) -> &str {
    object["id"].as_str().expect("an id")
}

pub(super) fn item(workflow: &Value) -> String {
    format!("{HERE}{}", id(workflow))
}

fn node<'a>(workflow: &'a Value, node_type: &str) -> &'a Value {
    let mut nodes = workflow["workflow_nodes"].as_array().expect("nodes").iter();
    nodes.find(|n| n["type"] == node_type).expect("the node")
}

#[tokio::test]
async fn a_workflow_lives_as_the_service_has_it() {
    let pipeline = pipeline(|_| {});
    let (caller, workspace) = (&pipeline.ground.caller, &pipeline.ground.workspace);
    let created = pipeline.create(&json!({})).await;
    let path = item(&created);
    assert_eq!(created["sources"], json!([pipeline.source]));
    assert_eq!(created["destinations"], json!([pipeline.destination]));
    let daily = json!({ "crontab_entries": [{ "cron_expression": "0 0 * * *" }] });
    assert_eq!(created["schedule"], daily);
    assert_eq!(
        (&created["status"], &created["key"]),
        (&json!("active"), &Value::Null)
    );
    // As recorded: defaults and nulls are filled in, and what is unknown is dropped.
    let recorded = json!({
        "provider": "anthropic", "provider_api_key": null, "model": "claude-sonnet-4-20250514",
        "output_format": "text/html", "prompt": null, "format_html": true, "unique_element_ids": true,
        "is_dynamic": true, "allow_fast": true, "custom_host_config": null,
    });
    assert_eq!(node(&created, "partition")["settings"], recorded);
    let first = &created["workflow_nodes"][0];
    assert_ne!(first["type"], "partition", "the order is another one");
    assert_eq!(caller.call(GET, &path).await, (200, created.clone()));
    assert_eq!(
        caller.call(GET, HERE).await,
        (200, json!([created.clone()]))
    );
    assert_eq!(
        workspace.workflow_body(id(&created)),
        Some(created.clone()),
        "the handle shows the same"
    );

    let change = with(
        pipeline.body(),
        &json!({ "name": "w2", "schedule": null, "state": "inactive" }),
    );
    let (status, updated) = caller.send(PUT, &path, &change).await;
    assert_eq!((status, &updated["name"]), (200, &json!("w2")));
    assert_eq!(updated["schedule"], json!({ "crontab_entries": [] }));
    assert_eq!(updated["status"], "inactive");
    assert!(updated["updated_at"].as_str() > created["updated_at"].as_str());
    assert_ne!(
        node(&updated, "embed")["id"],
        node(&created, "embed")["id"],
        "nodes get new ids"
    );

    assert_eq!(caller.call(DELETE, &path).await.0, 200);
    assert_eq!(caller.call(GET, &path).await.0, 404);
    assert_eq!(caller.call(DELETE, &path).await.0, 404);
    assert_eq!(caller.call(GET, HERE).await, (200, json!([])));
}

#[tokio::test]
async fn a_list_of_workflows_has_filters_and_pages() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    for number in 0..23 {
        workspace
            .insert_workflow(json!({ "name": format!("n{number}"), "workflow_type": "basic" }));
    }
    let ours = pipeline.create(&json!({})).await;
    workspace.set_workflow(id(&ours), json!({ "state": "inactive" }));
    let pages = [
        pipeline.ids("").await,
        pipeline.ids("?page=2").await,
        pipeline.ids("?page=3").await,
    ];
    assert_eq!(pages.each_ref().map(Vec::len), [20, 4, 0]);
    assert!(pages.concat().contains(&ours["id"]));
    assert_eq!(pipeline.ids("?page=1&page_size=100").await.len(), 24);
    for query in [
        format!("?source_id={}", pipeline.source),
        format!("?destination_id={}", pipeline.destination),
        "?name=w".to_owned(),
        "?status=inactive&sort_by=id&sort_direction=desc".to_owned(),
    ] {
        assert_eq!(pipeline.ids(&query).await, [ours["id"].clone()], "{query}");
    }
    assert_eq!(pipeline.ids("?name=n").await.len(), 0);
    pipeline
        .ground
        .api
        .configure(|rules| rules.pipelines.name_is_part = true);
    assert_eq!(pipeline.ids("?name=n&page_size=100").await.len(), 23);
    for query in [
        "page=0",
        "page_size=101",
        "page=x",
        "status=paused",
        "sort_by=created_at",
        "source_id=x",
    ] {
        let answer = pipeline
            .ground
            .caller
            .call(GET, &format!("{HERE}?{query}"))
            .await;
        assert_eq!(answer.0, 422, "{query}");
    }
    pipeline.ground.api.configure(|rules| rules.list_lag = 1);
    pipeline.create(&json!({ "name": "late" })).await;
    assert_eq!(pipeline.ids("?name=late").await.len(), 0);
    assert_eq!(pipeline.ids("?name=late").await.len(), 1);
}

#[tokio::test]
async fn what_an_update_leaves_out_stays() {
    let pipeline = pipeline(|_| {});
    let (api, caller) = (&pipeline.ground.api, &pipeline.ground.caller);
    let created = pipeline.create(&json!({})).await;
    let path = item(&created);
    let name = json!({ "name": "n" });
    let (_, updated) = caller.send(PUT, &path, &name).await;
    for member in ["schedule", "sources", "destinations", "status"] {
        assert_eq!(updated[member], created[member], "{member}");
    }
    assert_eq!(node(&updated, "chunk"), node(&created, "chunk"));
    api.configure(|rules| rules.pipelines.omitted_schedule_clears = true);
    let (_, updated) = caller.send(PUT, &path, &name).await;
    assert_eq!(updated["schedule"], json!({ "crontab_entries": [] }));
    assert_eq!(api.take_violations().len(), 2);
    api.configure(|rules| rules.pipelines.state_ignored = true);
    let pause = json!({ "state": "inactive", "schedule": "weekly", "source_id": null });
    let (_, updated) = caller.send(PUT, &path, &pause).await;
    assert_eq!(
        (&updated["status"], &updated["sources"]),
        (&json!("active"), &json!([]))
    );
    let wrong = json!({ "schedule": null, "state": "paused" });
    assert_eq!(caller.send(PUT, &path, &wrong).await.0, 422);
}

#[tokio::test]
async fn a_workflow_has_a_key_as_connectors_have() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    let keyed = json!({ "key": "k" });
    workspace.configure_keys(|keys| {
        keys.absent = AbsentKey::Derived;
        keys.taken = TakenKey::RefusedForEver(409);
        keys.in_paths = true;
    });
    let created = pipeline.create(&keyed).await;
    assert_eq!(created["key"], "k");
    let caller = &pipeline.ground.caller;
    assert_eq!(caller.call(GET, "/workflows/k").await, (200, created));
    assert_eq!(caller.call(GET, "/workflows/other").await.0, 404);
    assert_eq!(pipeline.try_create(&keyed).await.0, 409);
    assert_eq!(caller.call(DELETE, "/workflows/k").await.0, 200);
    assert_eq!(pipeline.try_create(&keyed).await.0, 409);
    assert_eq!(
        pipeline.create(&json!({ "name": "A b" })).await["key"],
        "a-b"
    );

    let source = workspace.source(&pipeline.source).expect("the source");
    workspace.edit(&source.id, |source| source.key = Some("s".to_owned()));
    let by_key = json!({ "source_id": "s" });
    assert_eq!(
        pipeline.create(&by_key).await["sources"],
        json!([source.id])
    );
    assert_eq!(pipeline.ids("?source_id=s&name=w").await.len(), 1);
    assert_eq!(pipeline.ids("?source_id=other").await.len(), 0);
    assert_eq!(
        pipeline
            .try_create(&json!({ "source_id": "other" }))
            .await
            .0,
        404
    );

    workspace.configure_keys(|keys| keys.given = GivenKey::Refused(422));
    assert_eq!(pipeline.try_create(&keyed).await.0, 422);
    workspace.configure_keys(|keys| keys.given = GivenKey::Ignored);
    assert_eq!(pipeline.create(&keyed).await.get("key"), None);
}

#[tokio::test]
async fn a_connector_in_use_can_be_deleted_or_not() {
    let pipeline = pipeline(|rules| rules.delete_in_use = Permission::Refused(409));
    let (api, caller) = (&pipeline.ground.api, &pipeline.ground.caller);
    let created = pipeline.create(&json!({})).await;
    let source = format!("/sources/{}", pipeline.source);
    assert_eq!(caller.call(DELETE, &source).await.0, 409);
    api.configure(|rules| rules.delete_in_use = Permission::Allowed);
    assert_eq!(caller.call(DELETE, &source).await.0, 200);
    let (_, dangling) = caller.call(GET, &item(&created)).await;
    assert_eq!(dangling["sources"], created["sources"]);

    for (rule, status) in [(Permission::Refused(422), 422), (Permission::Allowed, 200)] {
        api.configure(|rules| rules.pipelines.missing_connector = rule);
        assert_eq!(pipeline.try_create(&json!({})).await.0, status);
    }
}

#[tokio::test]
async fn others_change_workflows_too() {
    let pipeline = pipeline(|rules| rules.pipelines.node_order = NodeOrder::Kept);
    let (workspace, caller) = (&pipeline.ground.workspace, &pipeline.ground.caller);
    let created = pipeline.create(&json!({})).await;
    let path = item(&created);
    assert_eq!(created["workflow_nodes"][0]["type"], "partition");
    workspace.drift_default("vlm", "model", "claude-next".into());
    let (_, drifted) = caller.call(GET, &path).await;
    assert_eq!(
        node(&drifted, "partition")["settings"]["model"],
        "claude-next"
    );
    assert_eq!(drifted["updated_at"], created["updated_at"]);
    workspace.edit_workflow(id(&created), |workflow| {
        workflow.status = "paused".to_owned();
    });
    workspace.set_workflow(id(&created), json!({ "schedule": "every 15 minutes" }));
    let (_, edited) = caller.call(GET, &path).await;
    assert_eq!(edited["status"], "paused");
    let stored = workspace.workflow(id(&created)).expect("the workflow");
    assert_eq!(stored.schedule.as_deref(), Some("*/15 * * * *"));
    assert!(workspace.remove_workflow(id(&created)));
    assert_eq!(caller.call(GET, &path).await.0, 404);
}

#[tokio::test]
async fn a_create_can_lose_its_answer() {
    let pipeline = pipeline(|_| {});
    let api = &pipeline.ground.api;
    let gone = Fault::answer(answers::unavailable()).committed();
    api.inject(Route::CreateWorkflow, gone);
    assert_eq!(pipeline.try_create(&json!({})).await.0, 503);
    assert_eq!(pipeline.ids("?name=w").await.len(), 1);
}
