//! Destinations, and what the table of types makes of configurations.

use super::*;
use crate::fake::{Api, Fault};

const HERE: &str = "/destinations/";

fn pinecone(index: &str) -> Value {
    json!({ "index_name": index, "namespace": "default", "api_key": "pc-secret" })
}

fn named(kind: &str, config: &Value) -> Value {
    json!({ "name": "d", "type": kind, "config": config })
}

fn item(destination: &Value) -> String {
    format!("{HERE}{}", destination["id"].as_str().expect("an id"))
}

impl Ground {
    async fn destination(&self, index: &str) -> Value {
        let body = named("pinecone", &pinecone(index));
        let (status, destination) = self.caller.send(POST, HERE, &body).await;
        assert_eq!(status, 200, "{destination}");
        destination
    }
}

#[tokio::test]
async fn a_destination_lives_as_the_service_has_it() {
    let ground = ground(|_| {});
    let (caller, destinations) = (&ground.caller, ground.workspace.of(Family::Destinations));
    let created = ground.destination("").await;
    // As recorded.
    let shown =
        json!({ "api_key": MASK, "batch_size": 50, "index_name": "", "namespace": "default" });
    assert_eq!(created["config"], shown);
    assert_eq!(created["key"], Value::Null);
    let path = item(&created);
    assert_eq!(caller.call(GET, &path).await, (200, created.clone()));
    for (query, expected) in [
        ("", json!([created])),
        ("?destination_type=pinecone", json!([created])),
        ("?destination_type=s3", json!([])),
    ] {
        let listed = caller.call(GET, &format!("{HERE}{query}")).await;
        assert_eq!(listed, (200, expected), "{query}");
    }

    let (status, updated) = caller
        .send(PUT, &path, &json!({ "config": pinecone("i") }))
        .await;
    assert_eq!((status, &updated["id"]), (200, &created["id"]));
    assert_eq!(ground.workspace.destinations()[0].text("index_name"), "i");

    let check = format!("{path}/connection-check");
    assert_eq!(caller.call(GET, &check).await.0, 404);
    destinations.set_checks(|destination| match destination.text("index_name") {
        "" => CheckScript::success_after(0),
        index => CheckScript::failure(format!("index {index} does not exist")),
    });
    let (status, started) = caller.call(POST, &check).await;
    assert_eq!((status, &started["status"]), (202, &json!("SCHEDULED")));
    let (_, latest) = caller.call(GET, &check).await;
    assert_eq!(latest["reason"], "index i does not exist");
    let id = created["id"].as_str().expect("an id");
    assert_eq!(
        (
            destinations.checks_started(id),
            ground.workspace.checks_started(id)
        ),
        (1, 0)
    );

    let (status, answer) = caller.call(DELETE, &path).await;
    let text = format!("Destination with id {id} successfully deleted.");
    assert_eq!((status, &answer["detail"]), (200, &json!(text)));
    let text = format!("Destination with id {id} not found");
    assert_eq!(
        caller.call(DELETE, &path).await,
        (404, json!({ "detail": text }))
    );
}

#[tokio::test]
async fn the_families_do_not_see_each_other() {
    let ground = ground(|rules| rules.duplicate_names = Permission::Refused(409));
    let caller = &ground.caller;
    let source = ground.create("d").await;
    let destination = ground.destination("i").await;
    for (path, of) in [
        (path(&destination), "Source"),
        (item(&source), "Destination"),
    ] {
        let path = match of {
            "Source" => path,
            _ => path.replace("/sources/", HERE),
        };
        let (status, answer) = caller.call(GET, &path).await;
        let text = answer["detail"].as_str().expect("a text");
        assert!(status == 404 && text.starts_with(of), "{path}: {answer}");
    }
    let (sources, destinations) = (ground.workspace.sources(), ground.workspace.destinations());
    assert_eq!((sources.len(), destinations.len()), (1, 1));
    assert_eq!(
        (sources[0].family, destinations[0].family),
        (Family::Sources, Family::Destinations)
    );

    let refused = caller.call(GET, &format!("{HERE}nope")).await.1;
    assert_eq!(
        refused["detail"][0]["loc"],
        json!(["path", "destination_id"])
    );
    for (path, location) in [
        ("/destinations", "/api/v1/destinations/"),
        ("/destinations/x/", "/api/v1/destinations/x"),
    ] {
        let answer = caller.request(GET, path).send().await.expect("an answer");
        let location = format!("http://{}{location}", ground.api.address());
        assert_eq!(answer.headers()["location"], &*location);
    }
    assert_eq!(caller.call(PUT, HERE).await.0, 405);
    assert_eq!(
        caller
            .call(GET, "/destinations/?source_type=dropbox")
            .await
            .0,
        200
    );
    let violations = ground.api.take_violations();
    assert_eq!(violations.len(), 4, "{violations:?}");
}

#[tokio::test]
async fn somebody_else_can_do_to_destinations_what_he_does_to_sources() {
    let ground = ground(|rules| rules.delete_in_use = Permission::Refused(409));
    let destinations = ground.workspace.of(Family::Destinations);
    let id = destinations.insert("pinecone", "theirs", pinecone("i"));
    destinations.edit(&id, |destination| destination.in_use = true);
    assert!(
        destinations
            .get(&id)
            .is_some_and(|d| d.updated_at > Some(d.created_at))
    );
    let (status, answer) = ground.caller.call(DELETE, &format!("{HERE}{id}")).await;
    let text = format!("Destination with id {id} is used by a workflow");
    assert_eq!((status, answer), (409, json!({ "detail": text })));
    assert!(!ground.workspace.remove(&id) && destinations.remove(&id));
    assert_eq!(destinations.all(), []);
}

#[tokio::test]
async fn a_fault_is_for_both_families_or_for_one() {
    let ground = ground(|_| {});
    let fault = || Fault::answer(answers::unavailable());
    ground.api.inject(Route::List, fault());
    ground.workspace.inject(Route::List, fault());
    ground
        .workspace
        .of(Family::Destinations)
        .inject(Route::List, fault());
    for (path, status) in [
        (HERE, 503),
        ("/sources/", 503),
        ("/sources/", 200),
        (HERE, 503),
        (HERE, 200),
    ] {
        assert_eq!(ground.caller.call(GET, path).await.0, status, "{path}");
    }
    let requests = ground.api.requests();
    let route = <Unstructured as Api>::route;
    assert!(
        requests
            .iter()
            .all(|request| route(request) == Some(Route::List))
    );
    let families: Vec<_> = requests.iter().filter_map(Family::of).collect();
    let (from, to) = (Family::Sources, Family::Destinations);
    assert_eq!(families, [to, from, from, to, to]);
}

#[tokio::test]
async fn each_type_is_validated_by_its_row() {
    let ground = ground(|_| {});
    let table = [
        ("/sources/", "s3", json!({}), vec!["remote_url"]),
        (
            "/sources/",
            "s3",
            json!({ "remote_url": "dropbox://x" }),
            vec!["remote_url"],
        ),
        (
            "/sources/",
            "google_drive",
            json!({ "drive_id": "d", "service_account_key": {} }),
            vec![],
        ),
        (
            "/sources/",
            "gcs",
            json!({ "remote_url": "gs://b", "service_account_key": {} }),
            vec!["access_config.service_account_key"],
        ),
        (
            HERE,
            "pinecone",
            json!({}),
            vec!["index_name", "access_config.api_key", "namespace"],
        ),
        (
            HERE,
            "pinecone",
            json!({ "index_name": null, "namespace": "", "api_key": "" }),
            vec!["index_name", "access_config.api_key"],
        ),
        (
            HERE,
            "elasticsearch",
            json!({ "hosts": "h", "index_name": "i", "es_api_key": "k" }),
            vec!["hosts"],
        ),
        (
            HERE,
            "kafka-cloud",
            json!({ "topic": "t", "kafka_api_key": "k", "secret": "s" }),
            vec!["bootstrap_server"],
        ),
        (
            HERE,
            "kafka-cloud",
            json!({ "topic": "t", "kafka_api_key": "k", "secret": "s", "bootstrap_servers": "b" }),
            vec![],
        ),
        (
            HERE,
            "databricks_volumes",
            json!({ "host": "h", "catalog": "c", "volume": "v", "volume_path": "p", "client_id": "i" }),
            vec!["access_config.client_secret"],
        ),
        (
            HERE,
            "mongodb",
            json!({ "database": "d", "collection": "c", "uri": "http://h" }),
            vec!["access_config.uri"],
        ),
        (
            HERE,
            "redis",
            json!({ "host": "h", "port": "6380", "ssl": "maybe", "database": 1.5 }),
            vec!["database", "ssl"],
        ),
        (
            HERE,
            "astradb",
            json!({ "collection_name": "a b", "api_endpoint": "e", "token": "t" }),
            vec!["collection_name"],
        ),
    ];
    for (path, kind, config, fields) in table {
        let (status, answer) = ground.caller.send(POST, path, &named(kind, &config)).await;
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = errors.iter().filter_map(|e| e["field"].as_str()).collect();
        let expected = if fields.is_empty() { 200 } else { 412 };
        assert_eq!((status, found), (expected, fields), "{kind} {config}");
    }
}

#[tokio::test]
async fn an_answer_masks_the_secrets_of_its_type_and_fills_its_defaults() {
    let ground = ground(|_| {});
    let table = [
        (
            "s3",
            json!({ "remote_url": "s3://b", "key": "k", "secret": "s" }),
            vec!["key", "secret"],
            json!({ "anonymous": false, "ambient_credentials": false }),
        ),
        (
            "mongodb",
            json!({ "database": "d", "collection": "c", "uri": "mongodb://u:p@h" }),
            vec!["uri"],
            json!({}),
        ),
        (
            "astradb",
            json!({ "collection_name": "c", "api_endpoint": "e", "token": "t" }),
            vec!["api_endpoint", "token"],
            json!({ "keyspace": "default_keyspace", "batch_size": 20, "binary_encode_vectors": true, "flatten_metadata": false }),
        ),
        (
            "redis",
            json!({ "host": "h", "username": "u", "password": "p", "port": 1 }),
            vec!["password"],
            json!({ "database": 0, "ssl": true, "batch_size": 100 }),
        ),
    ];
    for (kind, config, secrets, defaults) in table {
        let mut expected = config.clone();
        for secret in secrets {
            expected[secret] = MASK.into();
        }
        for (name, value) in defaults.as_object().expect("members") {
            expected[name] = value.clone();
        }
        let (status, answer) = ground.caller.send(POST, HERE, &named(kind, &config)).await;
        assert_eq!((status, &answer["config"]), (200, &expected), "{kind}");
    }
}

#[tokio::test]
async fn a_type_that_nobody_knows_is_refused_unless_it_is_taken() {
    let ground = ground(|_| {});
    let caller = &ground.caller;
    for kind in ["floppy", "dropbox"] {
        let text = format!("Destination Connector type {kind} not supported");
        let answer = caller.send(POST, HERE, &named(kind, &json!({}))).await;
        assert_eq!(answer, (422, json!({ "detail": text })));
    }
    let filtered = format!("{HERE}?destination_type=floppy");
    let (status, answer) = caller.call(GET, &filtered).await;
    let loc = json!(["query", "destination_type"]);
    assert_eq!((status, &answer["detail"][0]["loc"]), (422, &loc));

    ground
        .api
        .configure(|rules| rules.unknown_types = Permission::Allowed);
    let config = json!({ "drive": "A:" });
    let (status, created) = caller.send(POST, HERE, &named("floppy", &config)).await;
    assert_eq!((status, &created["config"]), (200, &config));
    assert_eq!(caller.call(GET, &filtered).await.1, json!([created]));
    let refused = caller
        .send(POST, HERE, &named("pinecone", &json!({})))
        .await;
    assert_eq!(refused.0, 412, "a known type stays known");
}

#[tokio::test]
async fn a_printed_line_hides_the_secrets_of_every_type_and_shows_the_key() {
    let ground = ground(|_| {});
    let mut body = named(
        "s3",
        &json!({ "remote_url": "s3://b", "key": "id-1", "secret": "s-1" }),
    );
    body["key"] = "my-key".into();
    assert_eq!(ground.caller.send(POST, HERE, &body).await.0, 200);
    ground.destination("i").await;
    let lines: Vec<_> = ground
        .api
        .requests()
        .iter()
        .map(ToString::to_string)
        .collect();
    let lines = lines.concat();
    for hidden in ["id-1", "s-1", "pc-secret"] {
        assert!(!lines.contains(hidden), "{lines}");
    }
    assert!(
        lines.contains("my-key") && lines.contains("s3://b"),
        "{lines}"
    );
}
