use std::num::NonZeroU32;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::super::config::Config;
use super::super::jobs::JobState;
use super::super::{ApiKey, Client, Endpoint, MASK, Options};
use super::*;
use crate::loopback::Server;

const KEY: &str = "wk-2f9A7c31e8b04d65";
const NODE_SECRET: &str = "n0de/s3cret+odd=chars";
const ID: &str = "4d894467-6a0c-4c36-8a0f-2a5b1c0f7e11";
const SOURCE: &str = "37775d55-0d3c-4a8c-9f5e-8f1b2c3d4e5f";
const DESTINATION: &str = "73a12807-5b1e-4c2d-8e9f-0a1b2c3d4e5f";
const JOB: &str = "667e4fb9-2c1d-4b6a-9f7e-0d3c5a8b1e22";

fn workflows(server: &Server) -> Workflows {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = Endpoint::parse(&server.url(), true).unwrap();
    let key = ApiKey::new(SecretString::from(KEY)).unwrap();
    let options = Options {
        request_timeout: Duration::from_secs(20),
        max_requests_per_second: NonZeroU32::new(1000).unwrap(),
        ..Options::default()
    };
    Client::new(endpoint, key, &options).unwrap().workflows()
}

fn id() -> WorkflowId {
    ID.parse().unwrap()
}

fn spec() -> WorkflowSpec {
    let settings = Config::builder()
        .plain("strategy", "hi_res")
        .secret("provider_api_key", SecretString::from(NODE_SECRET))
        .build();
    WorkflowSpec {
        name: "contracts".to_owned(),
        source: SOURCE.parse().ok(),
        destination: DESTINATION.parse().ok(),
        nodes: vec![Node {
            name: "Partitioner".to_owned(),
            node_type: "partition".to_owned(),
            subtype: "vlm".to_owned(),
            settings,
        }],
        schedule: Some(Schedule::Every2Hours),
        reprocess_all: false,
        state: WorkflowState::Inactive,
    }
}

/// Without anything secret.
fn plain_spec() -> WorkflowSpec {
    WorkflowSpec {
        nodes: Vec::new(),
        ..spec()
    }
}

fn sent(spec: &WorkflowSpec) -> Value {
    json!({"name": "contracts", "workflow_type": "custom", "source_id": spec.source, "destination_id": spec.destination,
        "workflow_nodes": [{"name": "Partitioner", "type": "partition", "subtype": "vlm",
            "settings": {"strategy": "hi_res", "provider_api_key": NODE_SECRET}}],
        "schedule": spec.schedule.map(Schedule::phrase), "reprocess_all": false})
}

fn shown(id: &str) -> Value {
    json!({"id": id, "name": "contracts", "key": "contracts-1", "sources": [SOURCE], "destinations": [DESTINATION],
        "workflow_nodes": [], "schedule": {"crontab_entries": [{"cron_expression": "0 */2 * * *"}]}, "status": "inactive",
        "created_at": "2025-11-25T19:27:39.205722", "reprocess_all": false})
}

fn parts(request: &str) -> (&str, Value) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let line = head.lines().next().unwrap();
    (line, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn a_create_sends_everything_but_the_state() {
    for key in [Some("contracts-1"), None] {
        let server = Server::answering("200 OK", "", &shown(ID).to_string()).await;
        let workflow = workflows(&server).create(&spec(), key).await.unwrap();
        assert_eq!(
            (workflow.id, workflow.key.as_deref()),
            (id(), Some("contracts-1"))
        );
        let requests = server.requests();
        let (line, body) = parts(&requests[0]);
        assert_eq!(line, "POST /api/v1/workflows/ HTTP/1.1");
        let mut expected = sent(&spec());
        if let Some(key) = key {
            expected["key"] = json!(key);
        }
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn an_update_sends_everything_and_spells_out_what_is_not_set() {
    let bare = WorkflowSpec {
        source: None,
        destination: None,
        schedule: None,
        ..spec()
    };
    for spec in [spec(), bare] {
        let server = Server::answering("200 OK", "", &shown(ID).to_string()).await;
        let workflow = workflows(&server).update(&id(), &spec).await.unwrap();
        assert!(workflow.is_some_and(|workflow| workflow.created_at.is_some()));
        let requests = server.requests();
        let (line, body) = parts(&requests[0]);
        assert_eq!(line, format!("PUT /api/v1/workflows/{ID} HTTP/1.1"));
        let mut expected = sent(&spec);
        expected["state"] = json!("inactive");
        assert_eq!(body, expected);
        assert!(body.get("schedule").is_some() && body.get("source_id").is_some());
    }
}

#[tokio::test]
async fn an_update_that_the_service_took_is_done_whatever_it_says_of_it() {
    for (status, body) in [
        ("200 OK", "null"),
        ("202 Accepted", "{}"),
        ("204 No Content", ""),
    ] {
        let server = Server::answering(status, "", body).await;
        assert_eq!(workflows(&server).update(&id(), &spec()).await, Ok(None));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_to_an_update_that_may_not_be_its_own_is_believed_where_a_look_can_tell() {
    let other = shown(SOURCE).to_string();
    for odd in [other.as_str(), "<html>Sign in</html>", "OK"] {
        for (spec, name, is_done, requests) in [
            (plain_spec(), "contracts", true, 2),
            (plain_spec(), "changed", false, 2),
            (spec(), "contracts", false, 1),
        ] {
            let mut found = shown(ID);
            found["name"] = json!(name);
            let (odd, found) = (odd.to_owned(), found.to_string());
            let server = Server::start(move |exchange| {
                let body = if exchange.number == 0 { &odd } else { &found }.clone();
                async move { exchange.answer("200 OK", "", &body).await }
            })
            .await;
            match workflows(&server).update(&id(), &spec).await {
                Ok(shown) => assert!(is_done && shown.is_some()),
                Err(error) => {
                    assert!(!is_done, "{error}");
                    assert_eq!(error.commit(), Commit::Unknown);
                }
            }
            assert_eq!(server.requests().len(), requests);
        }
    }
}

#[tokio::test]
async fn the_mask_is_never_sent_and_its_place_is_named() {
    let server = Server::answering("200 OK", "", "{}").await;
    let mut masked = spec();
    masked.nodes[0].settings = Config::builder()
        .secret("provider_api_key", SecretString::from(MASK))
        .build();
    let created = workflows(&server).create(&masked, None).await.unwrap_err();
    let updated = workflows(&server).update(&id(), &masked).await.unwrap_err();
    for error in [created, updated] {
        let fields = vec!["nodes[Partitioner].provider_api_key".to_owned()];
        assert_eq!(error.kind, ErrorKind::Invalid { fields });
        assert_eq!(error.commit(), Commit::Never);
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_refusal_shows_no_secret_of_a_node() {
    let body = json!({"detail": [{"loc": ["body", "workflow_nodes", 0, "settings", "model"], "msg": format!("bad {NODE_SECRET}"),
        "input": NODE_SECRET}]});
    let server = Server::answering("422 Unprocessable Entity", "", &body.to_string()).await;
    let error = workflows(&server).create(&spec(), None).await.unwrap_err();
    let fields = vec!["workflow_nodes.0.settings.model".to_owned()];
    assert_eq!(error.kind, ErrorKind::Invalid { fields });
    assert!(error.message().ends_with("bad [redacted]"), "{error}");
    assert_eq!(spec().scrub(NODE_SECRET), "[redacted]");
}

#[tokio::test]
async fn one_workflow_is_got_and_no_other() {
    let server = Server::answering("200 OK", "", &shown(ID).to_string()).await;
    assert_eq!(workflows(&server).get(&id()).await.unwrap().id, id());
    let other = SOURCE.parse().unwrap();
    let error = workflows(&server).get(&other).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
    let requests = server.requests();
    assert_eq!(
        parts(&requests[0]).0,
        format!("GET /api/v1/workflows/{ID} HTTP/1.1")
    );
}

#[tokio::test]
async fn a_workflow_is_read_whatever_else_is_odd() {
    let mut odd = json!({"id": ID, "name": "contracts", "key": 7, "sources": {}, "destinations": [7, "x"], "schedule": [1],
        "workflow_nodes": [null, {"name": 1, "settings": []}], "status": null, "created_at": "yesterday", "new": [[]]});
    for bare in [odd.clone(), json!({"id": ID, "name": "contracts"})] {
        let server = Server::answering("200 OK", "", &bare.to_string()).await;
        let workflow = workflows(&server).get(&id()).await.unwrap();
        assert!(workflow.sources.is_empty() && workflow.destinations.is_empty());
        assert!(workflow.crons.is_empty() && workflow.key.is_none());
        assert_eq!((workflow.created_at, workflow.reprocess_all), (None, None));
    }
    for needed in ["id", "name"] {
        let was = odd[needed].take();
        let server = Server::answering("200 OK", "", &odd.to_string()).await;
        let error = workflows(&server).get(&id()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unexpected, "{needed}");
        odd[needed] = was;
    }
}

#[tokio::test]
async fn a_delete_is_done_when_the_service_says_so() {
    let server = Server::answering("200 OK", "", r#"{"detail": "gone"}"#).await;
    workflows(&server).delete(&id()).await.unwrap();
    let requests = server.requests();
    assert_eq!(
        parts(&requests[0]).0,
        format!("DELETE /api/v1/workflows/{ID} HTTP/1.1")
    );

    let gone = r#"{"detail": "Workflow not found"}"#;
    let server = Server::start(move |exchange| async move {
        match exchange.number {
            0 => exchange.answer("200 OK", "", "Deleted").await,
            _ => exchange.answer("404 Not Found", "", gone).await,
        }
    })
    .await;
    let error = workflows(&server).delete(&id()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

/// As many workflows, the first with this number.
fn page(first: usize, length: usize) -> Value {
    let ids = (first..first + length).map(|n| format!("00000000-0000-4000-8000-{n:012}"));
    ids.map(|id| shown(&id)).collect()
}

#[tokio::test]
async fn a_list_is_read_page_by_page_until_a_short_one() {
    let server = Server::start(|exchange| async move {
        // One went away in the meantime, so each page begins with the last of the one before.
        let body = match exchange.number {
            0 => page(0, 100),
            1 => page(99, 100),
            _ => page(198, 7),
        };
        exchange.answer("200 OK", "", &body.to_string()).await;
    })
    .await;
    let found = workflows(&server).list().await.unwrap();
    let ids: BTreeSet<_> = found.iter().map(|workflow| workflow.id).collect();
    assert_eq!((found.len(), ids.len()), (205, 205));
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|request| parts(request).0).collect();
    let line = |page| format!("GET /api/v1/workflows/?page={page}&page_size=100 HTTP/1.1");
    assert_eq!(lines, [line(1), line(2), line(3)]);
}

#[tokio::test]
async fn a_service_that_shows_fewer_on_a_page_than_it_was_asked_for_is_read_to_the_end() {
    let server = Server::start(|exchange| async move {
        let length = [20, 20, 5, 0][exchange.number.min(3)];
        let body = page(exchange.number * 20, length);
        exchange.answer("200 OK", "", &body.to_string()).await;
    })
    .await;
    assert_eq!(workflows(&server).list().await.unwrap().len(), 45);
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_service_that_knows_no_pages_is_asked_twice_and_one_without_end_is_no_list() {
    let server = Server::answering("200 OK", "", &page(0, 250).to_string()).await;
    assert_eq!(workflows(&server).list().await.unwrap().len(), 250);
    assert_eq!(server.requests().len(), 2);

    let server = Server::start(|exchange| async move {
        let ids = (0..100).map(|n| format!("00000000-0000-4000-{:04}-{n:012}", exchange.number));
        let body: Value = ids.map(|id| json!({"id": id, "name": "n"})).collect();
        exchange.answer("200 OK", "", &body.to_string()).await;
    })
    .await;
    let error = workflows(&server).list().await.unwrap_err();
    assert_eq!(
        (error.kind, server.requests().len()),
        (ErrorKind::Unexpected, MOST_PAGES)
    );
}

#[tokio::test]
async fn a_list_with_an_unreadable_workflow_is_no_list() {
    let body = json!([shown(ID), {"id": "x", "name": "n"}]).to_string();
    let server = Server::answering("200 OK", "", &body).await;
    let error = workflows(&server).list().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
}

#[tokio::test]
async fn those_that_use_a_connector_are_checked_again() {
    let mut unrelated = shown(SOURCE);
    unrelated["sources"] = json!([]);
    unrelated["destinations"] = json!([]);
    let body = json!([shown(ID), unrelated]).to_string();
    for (collection, connector, filter) in [
        (Collection::Sources, SOURCE, "source_id"),
        (Collection::Destinations, DESTINATION, "destination_id"),
    ] {
        let server = Server::answering("200 OK", "", &body).await;
        let connector_id = connector.parse().unwrap();
        let found = workflows(&server).using(collection, &connector_id).await;
        let ids: Vec<_> = found.unwrap().iter().map(|workflow| workflow.id).collect();
        assert_eq!(ids, [id()]);
        let query = format!("{filter}={connector}&page=1&page_size=100");
        let requests = server.requests();
        let line = format!("GET /api/v1/workflows/?{query} HTTP/1.1");
        assert_eq!(parts(&requests[0]).0, line);
    }
}

#[tokio::test]
async fn a_run_is_sent_without_a_body_and_starts_a_job() {
    let body = json!({"created_at": "2025-09-10T21:34:39.811955Z", "id": JOB, "status": "SCHEDULED", "workflow_id": ID,
        "workflow_name": "contracts", "job_type": "ephemeral"});
    let server = Server::answering("202 Accepted", "", &body.to_string()).await;
    let job = workflows(&server).run(&id()).await.unwrap().unwrap();
    assert_eq!((job.id.to_string(), job.workflow), (JOB.to_owned(), id()));
    assert_eq!((job.state, job.is_scheduled), (JobState::Scheduled, false));
    assert!(job.created_at.is_some());
    let request = server.requests().remove(0);
    assert!(request.starts_with(&format!("POST /api/v1/workflows/{ID}/run HTTP/1.1")));
    assert!(request.contains("content-length: 0"), "{request}");
    assert!(request.ends_with("\r\n\r\n"), "{request}");
}

#[tokio::test]
async fn a_run_whose_answer_names_no_job_is_one_that_is_under_way() {
    for body in [
        r#"{"detail": "Workflow already has a job scheduled or in progress"}"#,
        r#"{"id": "not a UUID", "status": "SCHEDULED"}"#,
        "null",
        "[]",
        "",
    ] {
        let server = Server::answering("202 Accepted", "", body).await;
        assert_eq!(workflows(&server).run(&id()).await, Ok(None), "{body}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_run_that_may_have_started_is_not_repeated() {
    let other = json!({"id": JOB, "status": "SCHEDULED", "workflow_id": SOURCE}).to_string();
    for body in ["<html>Sign in</html>", "{", other.as_str()] {
        let server = Server::answering("202 Accepted", "", body).await;
        let error = workflows(&server).run(&id()).await.unwrap_err();
        assert_eq!(error.commit(), Commit::Unknown, "{body}");
        assert_eq!(server.requests().len(), 1);
    }
    // The answer is lost.
    let server = Server::start(|exchange| async move { drop(exchange) }).await;
    let ran = workflows(&server).run(&id()).await.unwrap_err();
    let created = workflows(&server).create(&spec(), None).await.unwrap_err();
    for error in [ran, created] {
        assert_eq!(
            (&error.kind, error.commit()),
            (&ErrorKind::Interrupted, Commit::Unknown)
        );
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_digest_depends_on_everything_that_is_managed_and_on_the_key() {
    type Change = fn(&mut WorkflowSpec);
    let changes: [Change; 12] = [
        |spec| spec.name.push('x'),
        |spec| spec.source = None,
        |spec| spec.destination = None,
        |spec| std::mem::swap(&mut spec.source, &mut spec.destination),
        |spec| spec.schedule = None,
        |spec| spec.reprocess_all = true,
        |spec| spec.state = WorkflowState::Active,
        |spec| spec.nodes.reverse(),
        |spec| spec.nodes[0].name.push('x'),
        |spec| spec.nodes[0].subtype.push('x'),
        |spec| spec.nodes[0].settings = Config::default(),
        |spec| drop(spec.nodes.pop()),
    ];
    let base = || {
        let mut spec = spec();
        let mut second = spec.nodes[0].clone();
        second.name = "Second".to_owned();
        spec.nodes.push(second);
        spec
    };
    let mut digests = BTreeSet::from([base().digest(b"uid"), base().digest(b"other uid")]);
    assert_eq!(base().digest(b"uid"), base().digest(b"uid"));
    for change in changes {
        let mut other = base();
        change(&mut other);
        digests.insert(other.digest(b"uid"));
    }
    assert_eq!(digests.len(), 2 + changes.len());
}

#[tokio::test]
async fn no_debug_shows_a_secret() {
    let mut clear = shown(ID);
    clear["workflow_nodes"] = json!([{"name": "Partitioner", "type": "partition", "subtype": "vlm",
        "settings": {"provider_api_key": NODE_SECRET}}]);
    let server = Server::answering("200 OK", "", &clear.to_string()).await;
    let workflows = workflows(&server);
    let workflow = workflows.get(&id()).await.unwrap();
    let debug = format!("{:?} {workflow:?} {workflows:?}", spec());
    assert!(debug.contains("provider_api_key"), "{debug}");
    assert!(
        !debug.contains(NODE_SECRET) && !debug.contains(KEY),
        "{debug}"
    );
    assert!(workflow.size() > NODE_SECRET.len());
}
