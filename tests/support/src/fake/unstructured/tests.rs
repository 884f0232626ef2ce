//! The fake against what is known of the service, and each switch once.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

mod destinations;
mod jobs;
mod keys;
mod workflow_bodies;
mod workflows;

use super::*;
use crate::fake::tests::{Caller, read};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

struct Ground {
    api: FakeUnstructured,
    workspace: WorkspaceHandle,
    caller: Caller,
}

fn ground(change: impl FnOnce(&mut Rules)) -> Ground {
    let api = FakeUnstructured::start();
    api.configure(change);
    let workspace = api.workspace("key");
    let caller = Caller::new(api.url(), "key");
    Ground {
        api,
        workspace,
        caller,
    }
}

fn config(folder: &str) -> Value {
    json!({
        "remote_url": format!("dropbox://{folder}"),
        "recursive": false,
        "refresh_token": "r",
        "app_key": "k",
        "app_secret": "s",
    })
}

fn body(name: &str, config: &Value) -> Value {
    json!({ "name": name, "type": "dropbox", "config": config })
}

impl Ground {
    /// Creates a source and returns what the service says of it.
    async fn create(&self, name: &str) -> Value {
        let body = body(name, &config("data"));
        let (status, source) = self.caller.send(POST, "/sources/", &body).await;
        assert_eq!(status, 200, "{source}");
        source
    }

    async fn list(&self) -> Vec<String> {
        let (_, list) = self.caller.call(GET, "/sources/").await;
        let sources = list.as_array().expect("a list").iter();
        sources
            .map(|s| s["name"].as_str().expect("a name").to_owned())
            .collect()
    }
}

fn path(source: &Value) -> String {
    format!("/sources/{}", source["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_source_lives_as_the_service_has_it() {
    let ground = ground(|_| {});
    let created = ground.create("a").await;
    let path = path(&created);
    let mut masked = config("data");
    for secret in ["refresh_token", "app_key", "app_secret"] {
        masked[secret] = MASK.into();
    }
    assert_eq!(created["config"], masked);
    assert_eq!(
        created["id"].as_str().map(|id| (id.len(), &id[14..15])),
        Some((36, "4"))
    );
    for time in ["created_at", "updated_at"] {
        let time = created[time].as_str().expect("a time");
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    }
    assert_eq!(ground.caller.call(GET, &path).await, (200, created.clone()));
    let (_, list) = ground
        .caller
        .call(GET, "/sources/?source_type=dropbox")
        .await;
    assert_eq!(list, json!([created]));
    let (_, list) = ground.caller.call(GET, "/sources/?source_type=s3").await;
    assert_eq!(list, json!([]));

    let change = json!({ "config": config("other") });
    let (status, updated) = ground.caller.send(PUT, &path, &change).await;
    assert_eq!((status, &updated["id"]), (200, &created["id"]));
    assert_eq!(updated["created_at"], created["created_at"]);
    assert!(updated["updated_at"].as_str() > created["updated_at"].as_str());
    let stored = &ground.workspace.sources()[0];
    assert_eq!(Value::Object(stored.config.clone()), config("other"));

    let (status, answer) = ground.caller.call(DELETE, &path).await;
    assert_eq!(status, 200);
    assert!(
        answer["detail"]
            .as_str()
            .is_some_and(|d| d.ends_with("successfully deleted."))
    );
    assert_eq!(ground.caller.call(DELETE, &path).await.0, 404);
}

#[tokio::test]
async fn a_wrong_configuration_is_refused_field_by_field() {
    let ground = ground(|_| {});
    let table = [
        (
            json!({}),
            vec![
                "remote_url",
                "access_config.refresh_token",
                "access_config.app_key",
                "access_config.app_secret",
            ],
        ),
        (
            json!({ "remote_url": "s3://x", "token": "t" }),
            vec!["remote_url"],
        ),
        (
            json!({ "remote_url": 1, "token": "t", "recursive": "no" }),
            vec!["remote_url", "recursive"],
        ),
        (
            json!({ "remote_url": "dropbox://x", "refresh_token": "r", "app_key": "", "app_secret": null }),
            vec!["access_config.app_key", "access_config.app_secret"],
        ),
    ];
    for (config, fields) in table {
        let (status, answer) = ground
            .caller
            .send(POST, "/sources/", &body("a", &config))
            .await;
        let errors = answer["errors"].as_array().expect("errors");
        let found: Vec<_> = errors
            .iter()
            .map(|e| e["field"].as_str().expect("a field"))
            .collect();
        assert_eq!((status, found), (412, fields), "{config}");
    }
    assert_eq!(ground.workspace.sources(), []);
}

#[tokio::test]
async fn a_wrong_envelope_is_refused_as_by_fastapi() {
    let ground = ground(|rules| rules.echo_input = true);
    let table = [
        (
            POST,
            "/sources/",
            json!({}),
            "missing",
            json!(["body", "name"]),
        ),
        (
            POST,
            "/sources/",
            json!([1]),
            "model_attributes_type",
            json!(["body"]),
        ),
        (
            POST,
            "/sources/",
            json!({"name": 1, "type": "s3", "config": {}}),
            "string_type",
            json!(["body", "name"]),
        ),
        (
            PUT,
            &format!("/sources/{NOBODY}")[..],
            json!({"config": "x"}),
            "dict_type",
            json!(["body", "config"]),
        ),
        (
            PUT,
            "/sources/Mine",
            json!({"config": {}}),
            "uuid_parsing",
            json!(["path", "source_id"]),
        ),
    ];
    for (method, path, body, kind, loc) in table {
        let (status, answer) = ground.caller.send(method, path, &body).await;
        let first = &answer["detail"][0];
        assert_eq!(
            (status, &first["type"], &first["loc"]),
            (422, &json!(kind), &loc)
        );
        assert!(first.get("input").is_some());
    }
    let (_, answer) = ground
        .caller
        .send(PUT, "/sources/Mine", &json!({"config": {}}))
        .await;
    let recorded = "Input should be a valid UUID, invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `M` at 1";
    assert_eq!(answer["detail"][0]["msg"], recorded);
    for (body, expected) in [("", "missing"), ("{", "json_invalid")] {
        let request = ground.caller.request(POST, "/sources/");
        let request = request.header("content-type", "application/json");
        let (status, answer) = read(request.body(body)).await;
        assert_eq!(
            (status, &answer["detail"][0]["type"]),
            (422, &json!(expected))
        );
    }
    let untyped = ground.caller.request(POST, "/sources/").body("{}");
    assert_eq!(
        read(untyped).await.1["detail"][0]["type"],
        "model_attributes_type"
    );
    let unknown = json!({"name": "a", "type": "floppy", "config": {}});
    let expected = json!({"detail": "Source Connector type floppy not supported"});
    assert_eq!(
        ground.caller.send(POST, "/sources/", &unknown).await,
        (422, expected)
    );
    assert_eq!(
        ground
            .caller
            .call(GET, "/sources/?source_type=floppy")
            .await
            .0,
        422
    );
}

#[tokio::test]
async fn only_exact_paths_and_methods_are_routes() {
    let ground = ground(|_| {});
    let table = [
        (GET, "/sources", 307, "/api/v1/sources/"),
        (
            GET,
            "/sources?source_type=dropbox",
            307,
            "/api/v1/sources/?source_type=dropbox",
        ),
        (POST, "/sources/x/", 307, "/api/v1/sources/x"),
        (
            GET,
            "/sources/x/connection-check/",
            307,
            "/api/v1/sources/x/connection-check",
        ),
        (GET, "/templates/", 404, ""),
        (GET, "/sources/x/y", 404, ""),
        (GET, "/sourcesx/", 404, ""),
        (Method::PATCH, "/sources/x", 405, ""),
        (PUT, "/sources/", 405, ""),
    ];
    for (method, path, status, to) in table {
        let answer = ground
            .caller
            .request(method, path)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), status, "{path}");
        let location = answer
            .headers()
            .get("location")
            .map(|l| l.to_str().expect("text"));
        let to = (!to.is_empty()).then(|| format!("http://{}{to}", ground.api.address()));
        assert_eq!(location, to.as_deref(), "{path}");
        assert_eq!(
            ground.api.take_violations().len(),
            1 + usize::from(path.contains('?')),
            "{path}"
        );
    }
    ground
        .api
        .configure(|rules| rules.missing_slash = MissingSlash::NotFound);
    assert_eq!(ground.caller.call(GET, "/sources").await.0, 404);
    ground.api.take_violations();
}

#[tokio::test]
async fn a_key_opens_its_workspace_and_no_other() {
    let ground = ground(|_| {});
    let source = ground.create("a").await;
    let other = ground.api.workspace("other");
    other.add_key("second");
    for (key, status, text) in [
        ("", 401, "missing"),
        ("bad key", 401, "malformed"),
        ("unknown", 401, "invalid"),
        ("other", 404, "not found"),
        ("second", 404, "not found"),
    ] {
        let caller = Caller::new(ground.api.url(), key);
        let (found, answer) = caller.call(GET, &path(&source)).await;
        assert_eq!(found, status, "{key}");
        assert!(
            answer["detail"].as_str().is_some_and(|d| d.contains(text)),
            "{answer}"
        );
    }
    // A key that moves to another workspace, and one that is revoked.
    ground.workspace.add_key("other");
    let caller = Caller::new(ground.api.url(), "other");
    assert_eq!(caller.call(GET, &path(&source)).await.0, 200);
    ground.api.revoke_key("key");
    assert_eq!(ground.caller.call(GET, &path(&source)).await.0, 401);
}

#[tokio::test]
async fn a_mask_in_a_request_is_a_violation_whatever_becomes_of_it() {
    for (rule, status, stored) in [
        (ReceivedMask::Refused, 412, "s"),
        (ReceivedMask::KeepsOld, 200, "s"),
        (ReceivedMask::Stored, 200, MASK),
    ] {
        let ground = ground(|rules| rules.received_mask = rule);
        let source = ground.create("a").await;
        let mut config = config("data");
        config["app_secret"] = MASK.into();
        let change = json!({ "config": config });
        assert_eq!(
            ground.caller.send(PUT, &path(&source), &change).await.0,
            status
        );
        assert_eq!(ground.workspace.sources()[0].text("app_secret"), stored);
        let violations = ground.api.take_violations();
        assert!(
            violations[0].ends_with("a mask in the body"),
            "{violations:?}"
        );
    }
}

#[tokio::test]
async fn what_a_careful_client_never_sends_is_told() {
    let ground = ground(|_| {});
    let source = path(&ground.create("a").await);
    let no_secrets = json!({ "remote_url": "dropbox://d", "token": "t" });
    let mut extra = body("b", &config("d"));
    extra["color"] = "red".into();
    let table = [
        (
            PUT,
            &source[..],
            json!({"config": config("d"), "name": "b"}),
            "change the name",
        ),
        (
            PUT,
            &source,
            json!({ "config": no_secrets }),
            "without the stored secret refresh_token",
        ),
        (POST, "/sources/", extra, "unknown member color"),
        (DELETE, &source, json!({}), "a body where none belongs"),
        (
            GET,
            "/sources/?name=a",
            json!({}),
            "unknown query parameter name",
        ),
    ];
    for (method, path, body, expected) in table {
        ground.caller.send(method, path, &body).await;
        let violations = ground.api.take_violations();
        assert!(
            violations.iter().any(|v| v.contains(expected)),
            "{expected}: {violations:?}"
        );
    }
}

#[tokio::test]
async fn secrets_are_shown_as_the_rule_says() {
    for (masking, shown) in [
        (Masking::Masked, json!(MASK)),
        (Masking::Clear, json!("s")),
        (Masking::Dropped, Value::Null),
        (
            Masking::Reference,
            json!({"id": "secret-app_secret", "type": "rsa"}),
        ),
    ] {
        let ground = ground(|rules| rules.masking = masking);
        assert_eq!(ground.create("a").await["config"]["app_secret"], shown);
    }
}

#[tokio::test]
async fn each_switch_changes_what_it_says() {
    let ground = ground(|_| {});
    let source = ground.create("a").await;
    let (id, path) = (source["id"].as_str().expect("an id"), path(&source));
    let rules = |change: fn(&mut Rules)| {
        ground.api.configure(|rules| {
            *rules = Rules::default();
            change(rules);
        });
    };
    let (caller, workspace) = (&ground.caller, &ground.workspace);
    let again = body("a", &config("data"));

    for status in [409, 412, 422] {
        ground
            .api
            .configure(|rules| rules.duplicate_names = Permission::Refused(status));
        assert_eq!(caller.send(POST, "/sources/", &again).await.0, status);
    }

    rules(|rules| rules.validation = Validation::Crashes);
    let answer = caller.send(POST, "/sources/", &body("b", &json!({}))).await;
    assert_eq!(answer, (500, json!("Internal Server Error")));
    rules(|rules| rules.validation = Validation::Off);
    assert_eq!(
        caller
            .send(POST, "/sources/", &body("b", &json!({})))
            .await
            .0,
        200
    );

    rules(|rules| rules.rename = Rename::Refused);
    let rename = json!({ "config": config("data"), "name": "c" });
    assert_eq!(caller.send(PUT, &path, &rename).await.0, 422);
    rules(|rules| rules.rename = Rename::Honoured);
    assert_eq!(caller.send(PUT, &path, &rename).await.1["name"], "c");

    rules(|rules| rules.put_merges = true);
    let part = json!({ "config": { "remote_url": "dropbox://part" } });
    assert_eq!(caller.send(PUT, &path, &part).await.0, 200);
    assert_eq!(workspace.source(id).expect("it").text("app_key"), "k");
    ground.api.take_violations();

    rules(|rules| (rules.extra_fields, rules.fill_defaults) = (true, false));
    workspace.edit(id, |source| drop(source.config.remove("recursive")));
    let (_, shown) = caller.call(GET, &path).await;
    assert_eq!(
        (shown.get("labels"), shown["config"].get("recursive")),
        (Some(&json!([])), None)
    );
    rules(|_| {});
    assert_eq!(caller.call(GET, &path).await.1["config"]["recursive"], true);

    rules(|rules| rules.updated_at_on_create = false);
    assert_eq!(ground.create("d").await["updated_at"], Value::Null);

    rules(|rules| {
        rules.rate_limit = Some(RateLimit {
            per_second: 0.0,
            burst: 1.0,
            retry_after: Some("soon".into()),
        });
    });
    assert_eq!(caller.call(GET, "/sources/").await.0, 200);
    let limited = caller
        .request(GET, "/sources/")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"soon".parse().expect("a value"))
    );

    rules(|rules| rules.delete_in_use = Permission::Refused(409));
    workspace.edit(id, |source| source.in_use = true);
    assert_eq!(caller.call(DELETE, &path).await.0, 409);
    rules(|rules| rules.delete_answers_204 = true);
    assert_eq!(caller.call(DELETE, &path).await, (204, json!("")));
}

#[tokio::test]
async fn a_list_can_lag_behind_and_be_in_any_order() {
    let ground = ground(|rules| rules.list_lag = 2);
    ground.create("a").await;
    ground.create("b").await;
    for expected in [0, 0, 2, 2] {
        assert_eq!(ground.list().await.len(), expected);
    }
    ground
        .api
        .configure(|rules| (rules.list_lag, rules.list_order) = (0, ListOrder::Rotating));
    ground.workspace.insert("s3", "c", json!({}));
    for expected in ["bca", "cab", "abc"] {
        assert_eq!(ground.list().await.concat(), expected);
    }
}

#[tokio::test]
async fn what_was_just_made_can_take_a_while_to_show() {
    let ground = ground(|rules| rules.item_lag = Duration::from_hours(1));
    let path = path(&ground.create("a").await);
    assert_eq!(ground.caller.call(GET, &path).await.0, 404);
    assert_eq!(ground.caller.call(DELETE, &path).await.0, 404);
    assert_eq!(ground.list().await.len(), 1);
    ground.api.configure(|rules| {
        (rules.item_lag, rules.listed_after) = (Duration::ZERO, Duration::from_hours(1));
    });
    assert_eq!(ground.caller.call(GET, &path).await.0, 200);
    assert_eq!(ground.list().await.len(), 0);
}

#[tokio::test]
async fn a_connection_check_shows_its_script() {
    let ground = ground(|_| {});
    let source = ground.create("a").await;
    let check = format!("{}/connection-check", path(&source));
    let (caller, workspace) = (&ground.caller, &ground.workspace);
    assert_eq!(caller.call(GET, &check).await.0, 404);
    ground
        .api
        .configure(|rules| rules.no_check_yet = NoCheckYet::Null);
    assert_eq!(caller.call(GET, &check).await, (200, Value::Null));

    let leaky =
        |source: &StoredSource| CheckScript::failure(format!("bad {}", source.text("app_secret")));
    let scripts: [workspace::CheckRule; 4] = [
        Box::new(|_| CheckScript::success_after(1)),
        Box::new(move |source| leaky(source).previous_first(1)),
        Box::new(|_| CheckScript::never()),
        Box::new(|_| CheckScript::new([Poll::NotFound, Poll::Status("PAUSED".into())])),
    ];
    let expected = [
        ["SCHEDULED", "SUCCESS", "SUCCESS"],
        ["SUCCESS", "FAILURE", "FAILURE"],
        ["SCHEDULED", "SCHEDULED", "SCHEDULED"],
        ["none", "PAUSED", "PAUSED"],
    ];
    for (script, statuses) in scripts.into_iter().zip(expected) {
        workspace.set_checks(script);
        let (status, started) = caller.call(POST, &check).await;
        assert_eq!(
            (status, &started["status"], &started["reported_at"]),
            (202, &json!("SCHEDULED"), &Value::Null)
        );
        for expected in statuses {
            let (_, polled) = caller.call(GET, &check).await;
            assert_eq!(polled["status"].as_str().unwrap_or("none"), expected);
            let finished = polled["reported_at"].is_string();
            assert_eq!(finished, !["SCHEDULED", "none"].contains(&expected));
            if expected == "FAILURE" {
                assert_eq!(
                    (&polled["id"], &polled["reason"]),
                    (&started["id"], &json!("bad s"))
                );
            }
        }
    }
    assert_eq!(
        workspace.checks_started(source["id"].as_str().expect("an id")),
        4
    );
    let before = workspace.sources()[0].updated_at;
    ground
        .api
        .configure(|rules| rules.check_moves_updated_at = true);
    caller.call(POST, &check).await;
    assert!(workspace.sources()[0].updated_at > before);
}
