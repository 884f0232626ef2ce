use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::super::{ApiKey, Client, Commit, Endpoint, Options};
use super::*;
use crate::loopback::Server;

const KEY: &str = "wk-2f9A7c31e8b04d65";
const ID: &str = "667e4fb9-2c1d-4b6a-9f7e-0d3c5a8b1e22";
const WORKFLOW: &str = "4d894467-6a0c-4c36-8a0f-2a5b1c0f7e11";
const OTHER: &str = "37775d55-0d3c-4a8c-9f5e-8f1b2c3d4e5f";

fn jobs_with(server: &Server, options: &Options) -> Jobs {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = Endpoint::parse(&server.url(), true).unwrap();
    let key = ApiKey::new(SecretString::from(KEY)).unwrap();
    Client::new(endpoint, key, options).unwrap().jobs()
}

fn jobs(server: &Server) -> Jobs {
    let options = Options {
        request_timeout: Duration::from_secs(20),
        ..Options::default()
    };
    jobs_with(server, &options)
}

fn id() -> JobId {
    ID.parse().unwrap()
}

fn workflow() -> WorkflowId {
    WORKFLOW.parse().unwrap()
}

fn job(id: &str, workflow: &str, status: &str) -> Value {
    json!({"id": id, "workflow_id": workflow, "workflow_name": "contracts", "status": status, "runtime": "PT0S",
        "created_at": "2025-09-10T21:34:39.811955", "job_type": "SCHEDULED", "output_node_files": [{"file_id": "x"}]})
}

fn asked(server: &Server) -> String {
    let request = server.requests().remove(0);
    request.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_list_asks_for_what_it_wants_and_filters_again() {
    let body = json!([
        job(ID, WORKFLOW, "in_progress"),
        job(OTHER, OTHER, "IN_PROGRESS"),
        job(WORKFLOW, WORKFLOW, "COMPLETED"),
        {"id": "unread", "workflow_id": OTHER},
    ]);
    let server = Server::answering("200 OK", "", &body.to_string()).await;
    let found = jobs(&server)
        .list(Some(&workflow()), Some(&JobState::InProgress))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id, &found[0].state),
        (id(), &JobState::InProgress)
    );
    assert!(found[0].is_scheduled && found[0].created_at.is_some());
    let query = format!("workflow_id={WORKFLOW}&status=IN_PROGRESS");
    assert_eq!(
        asked(&server),
        format!("GET /api/v1/jobs/?{query} HTTP/1.1")
    );
}

#[tokio::test]
async fn a_list_of_thousands_of_jobs_is_read_within_its_bounds() {
    let ids = (0..5000).map(|n| format!("00000000-0000-4000-8000-{n:012}"));
    let body: Value = ids.map(|id| job(&id, WORKFLOW, "COMPLETED")).collect();
    let server = Server::answering("200 OK", "", &body.to_string()).await;
    assert_eq!(jobs(&server).list(None, None).await.unwrap().len(), 5000);
    assert_eq!(asked(&server), "GET /api/v1/jobs/ HTTP/1.1");
    let none = jobs(&server).list(None, Some(&JobState::Scheduled)).await;
    assert_eq!(none, Ok(Vec::new()));

    let short = Options {
        max_response_bytes: 100_000,
        ..Options::default()
    };
    let error = jobs_with(&server, &short)
        .list(None, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
    let poor = Options {
        budget: super::super::Budget::new(10_000),
        ..Options::default()
    };
    let error = jobs_with(&server, &poor)
        .list(None, None)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoRoom);
}

#[tokio::test]
async fn a_list_with_an_unreadable_job_is_no_list() {
    for odd in [
        json!({"id": "x", "workflow_id": WORKFLOW, "status": "COMPLETED"}),
        json!({"id": ID, "workflow_id": WORKFLOW}),
        json!({"id": ID, "status": "COMPLETED"}),
    ] {
        let server = Server::answering("200 OK", "", &json!([odd]).to_string()).await;
        let error = jobs(&server)
            .list(Some(&workflow()), None)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unexpected, "{odd}");
    }
    // What somebody runs without a workflow is nobody's.
    let mine = job(ID, WORKFLOW, "COMPLETED");
    let body = json!([{"id": OTHER, "workflow_id": null, "status": "COMPLETED"}, mine]);
    let server = Server::answering("200 OK", "", &body.to_string()).await;
    let found = jobs(&server).list(None, None).await.unwrap();
    assert_eq!(found.iter().map(|job| job.id).collect::<Vec<_>>(), [id()]);
}

#[tokio::test]
async fn each_word_for_a_jobs_state_is_known_in_either_case() {
    for (word, state, is_final) in [
        ("SCHEDULED", JobState::Scheduled, false),
        ("in_progress", JobState::InProgress, false),
        ("Completed", JobState::Completed, true),
        ("FAILED", JobState::Failed, true),
        ("stopped", JobState::Stopped, true),
        ("PAUSED", JobState::Other("PAUSED".to_owned()), false),
    ] {
        let server = Server::answering("200 OK", "", &job(ID, WORKFLOW, word).to_string()).await;
        let found = jobs(&server).get(&id()).await.unwrap();
        assert_eq!((&found.state, found.state.is_final()), (&state, is_final));
        assert_eq!(found.workflow, workflow());
        assert_eq!(asked(&server), format!("GET /api/v1/jobs/{ID} HTTP/1.1"));
    }
    let hostile = format!("{KEY} {}", "x".repeat(10_000));
    let server = Server::answering("200 OK", "", &job(ID, WORKFLOW, &hostile).to_string()).await;
    let state = jobs(&server).get(&id()).await.unwrap().state;
    assert!(!state.as_str().contains(KEY) && state.as_str().len() < 1000);
}

#[tokio::test]
async fn another_job_than_was_asked_for_is_none() {
    let server = Server::answering("200 OK", "", &job(OTHER, WORKFLOW, "FAILED").to_string()).await;
    let error = jobs(&server).get(&id()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
    let details = json!({"id": OTHER, "processing_status": "FAILED"}).to_string();
    let server = Server::answering("200 OK", "", &details).await;
    let error = jobs(&server).details(&id()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
}

#[tokio::test]
async fn details_tell_what_came_of_the_documents() {
    let node = json!({"node_name": "Chunker", "node_type": "chunk", "node_subtype": null, "ready": 1, "in_progress": 2,
        "success": 3, "failure": 4});
    let body = json!({"id": ID, "processing_status": "completed_with_errors", "node_stats": vec![node; 100],
        "summary": {"total_docs": 10, "total_docs_succeeded": 7, "total_docs_failed": 3},
        "message": format!("failed\nwith {KEY} {}", "and so on ".repeat(10_000))});
    let server = Server::answering("200 OK", "", &body.to_string()).await;
    let details = jobs(&server).details(&id()).await.unwrap();
    assert_eq!(details.processing, Processing::CompletedWithErrors);
    let (total, succeeded, failed) = (10, 7, 3);
    let documents = Documents {
        total,
        succeeded,
        failed,
    };
    assert_eq!(details.documents, Some(documents));
    let node = NodeStats {
        name: "Chunker".to_owned(),
        node_type: "chunk".to_owned(),
        subtype: String::new(),
        ready: 1,
        in_progress: 2,
        success: 3,
        failure: 4,
    };
    assert_eq!((details.nodes.len(), &details.nodes[0]), (64, &node));
    let message = details.message.unwrap();
    assert!(
        message.starts_with("failed with [redacted] and"),
        "{message}"
    );
    assert!(message.chars().count() <= 300);
    let path = format!("GET /api/v1/jobs/{ID}/details HTTP/1.1");
    assert_eq!(asked(&server), path);
}

#[tokio::test]
async fn the_steps_tell_what_no_summary_does() {
    let nodes = json!([
        {"node_name": "Partitioner", "success": 4, "failure": 1},
        {"node_name": "Embedder", "ready": 1, "success": 2, "failure": 1},
    ]);
    let documents = |total, succeeded, failed| {
        Some(Documents {
            total,
            succeeded,
            failed,
        })
    };
    let counts = |total: u64| json!({"total_docs": total, "total_docs_succeeded": total, "total_docs_failed": 0});
    for (summary, nodes, expected) in [
        (json!(null), nodes.clone(), documents(5, 3, 2)),
        (counts(0), nodes.clone(), documents(5, 3, 2)),
        (counts(9), nodes, documents(9, 9, 0)),
        (counts(0), json!([]), documents(0, 0, 0)),
    ] {
        let body = json!({"processing_status": "SUCCESS", "node_stats": nodes, "summary": summary});
        let server = Server::answering("200 OK", "", &body.to_string()).await;
        let details = jobs(&server).details(&id()).await.unwrap();
        assert_eq!(details.documents, expected, "{body}");
    }
}

#[tokio::test]
async fn details_are_read_whatever_else_is_odd_and_none_are_no_details() {
    let odd = json!({"processing_status": "HALTED", "node_stats": [null, {"ready": -1, "success": "x"}], "summary": null,
        "message": {}});
    let server = Server::answering("200 OK", "", &odd.to_string()).await;
    let details = jobs(&server).details(&id()).await.unwrap();
    assert_eq!(details.processing, Processing::Other("HALTED".to_owned()));
    assert_eq!(
        (details.documents, details.message),
        (Some(Documents::default()), None)
    );
    assert_eq!((details.nodes.len(), details.nodes[1].ready), (2, 0));
    for none in ["{}", "null", "[]", "<html>", ""] {
        let server = Server::answering("200 OK", "", none).await;
        let error = jobs(&server).details(&id()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unexpected, "{none}");
    }
}

#[tokio::test]
async fn failed_files_are_counted_and_the_first_shown_scrubbed_and_cut() {
    let file = json!({"document": format!("a/{}", "b/".repeat(1000)), "error": format!("refused {KEY} {}", "so ".repeat(1000))});
    let body = json!({"failed_files": vec![file; 700]}).to_string();
    assert!(body.len() > 3 * 1024 * 1024, "more than other answers");
    let server = Server::answering("200 OK", "", &body).await;
    let failed = jobs(&server).failed_files(&id()).await.unwrap();
    assert_eq!((failed.total, failed.files.len()), (700, 20));
    for file in &failed.files {
        assert!(file.document.starts_with("a/b/"), "{file:?}");
        assert!(file.error.starts_with("refused [redacted] so"), "{file:?}");
        assert!(file.error.chars().count() <= 256 && file.document.chars().count() <= 256);
    }
    let path = format!("GET /api/v1/jobs/{ID}/failed-files HTTP/1.1");
    assert_eq!(asked(&server), path);

    for (body, total) in [
        (json!({"failed_files": []}), Some(0)),
        (json!({"failed_files": null}), Some(0)),
        (json!({"failed_files": [null, {"document": 7}]}), Some(2)),
        (json!({}), None),
        (json!({"failed_files": "x"}), None),
    ] {
        let server = Server::answering("200 OK", "", &body.to_string()).await;
        let failed = jobs(&server).failed_files(&id()).await;
        assert_eq!(failed.ok().map(|failed| failed.total), total, "{body}");
    }
}

#[tokio::test]
async fn a_cancel_is_sent_without_a_body_and_done_with_any_json() {
    for body in [r#"{"status": "cancelled"}"#, "null", ""] {
        let server = Server::answering("200 OK", "", body).await;
        jobs(&server).cancel(&id()).await.unwrap();
        let request = server.requests().remove(0);
        assert!(request.starts_with(&format!("POST /api/v1/jobs/{ID}/cancel HTTP/1.1")));
        assert!(request.contains("content-length: 0"), "{request}");
    }
    let server = Server::start(|exchange| async move { drop(exchange) }).await;
    let error = jobs(&server).cancel(&id()).await.unwrap_err();
    assert_eq!(error.commit(), Commit::Unknown);
}

#[tokio::test]
async fn a_cancel_that_comes_too_late_is_done() {
    let not_found = r#"{"detail": "Job not found"}"#;
    let ended = job(ID, WORKFLOW, "STOPPED").to_string();
    let active = job(ID, WORKFLOW, "IN_PROGRESS").to_string();
    let table = [
        ("404 Not Found", "404 Not Found", not_found, true),
        ("404 Not Found", "200 OK", ended.as_str(), true),
        ("409 Conflict", "200 OK", ended.as_str(), true),
        ("422 Unprocessable Entity", "200 OK", ended.as_str(), true),
        ("409 Conflict", "404 Not Found", not_found, true),
        ("404 Not Found", "200 OK", active.as_str(), false),
        ("422 Unprocessable Entity", "200 OK", active.as_str(), false),
        ("409 Conflict", "503 Service Unavailable", "", false),
        ("403 Forbidden", "200 OK", ended.as_str(), false),
    ];
    for (refusal, status, found, is_done) in table {
        let (refusal, status, found) = (refusal.to_owned(), status.to_owned(), found.to_owned());
        let case = format!("{refusal}, then {status} {found}");
        let server = Server::start(move |exchange| {
            let (status, body) = match exchange.number {
                0 => (refusal.clone(), not_found.to_owned()),
                _ => (status.clone(), found.clone()),
            };
            async move { exchange.answer(&status, "", &body).await }
        })
        .await;
        let result = jobs(&server).cancel(&id()).await;
        assert_eq!(result.is_ok(), is_done, "{case}: {result:?}");
    }
}

#[tokio::test]
async fn no_debug_shows_the_key() {
    let server = Server::answering("200 OK", "", "[]").await;
    let debug = format!("{:?}", jobs(&server));
    assert_eq!(debug, format!("Jobs({}/api/v1)", server.url()));
}
