use std::io::Read;
use std::sync::Mutex;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::super::limits::{Exchange, Observer};
use super::super::{
    ApiKey, CheckStatus, Client, Commit, Endpoint, Key, KeyObjection, MASK, Options,
};
use super::*;
use crate::loopback::Server;

const KEY: &str = "wk-2f9A7c31e8b04d65";
const APP_SECRET: &str = "s3cr3t/with+odd=chars&more";
const ID: &str = "7cf30ead-cf54-479f-a897-b5fbe8790b76";

fn options() -> Options {
    Options {
        request_timeout: Duration::from_secs(20),
        ..Options::default()
    }
}

fn client_with(url: &str, options: &Options) -> Connectors {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = Endpoint::parse(url, true).unwrap();
    let key = ApiKey::new(SecretString::from(KEY)).unwrap();
    let client = Client::new(endpoint, key, options).unwrap();
    client.connectors(Collection::Sources, "dropbox", Kept::All)
}

fn client(server: &Server) -> Connectors {
    client_with(&server.url(), &options())
}

fn id() -> ConnectorId {
    ID.parse().unwrap()
}

fn config() -> Config {
    Config::builder()
        .plain("remote_url", "dropbox://contracts")
        .plain("recursive", false)
        .secret("app_secret", SecretString::from(APP_SECRET))
        .build()
}

fn connector() -> String {
    json!({"id": ID, "name": "contracts", "type": "dropbox", "key": null, "config": {"remote_url": "dropbox://contracts",
        "app_secret": MASK}, "created_at": "2025-09-10T21:32:51.247766Z", "updated_at": null})
    .to_string()
}

#[tokio::test]
async fn a_create_sends_the_objects_key_and_a_refusal_says_what_is_wrong_with_it() {
    let shown = connector().replace(r#""key":null"#, r#""key":"our-key""#);
    let server = Server::answering("200 OK", "", &shown).await;
    let made = client(&server)
        .create("contracts", Some("our-key"), &config())
        .await
        .unwrap();
    assert_eq!(made.key, Key::Given("our-key".into()));
    let request = server.requests().remove(0);
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let sent: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(sent["key"], json!("our-key"));

    let list = |text| json!({"detail": [{"loc": ["body", "key"], "msg": text}]}).to_string();
    let errors = |text| json!({"errors": [{"field": "key", "message": text}]}).to_string();
    let table = [
        (
            "422 ",
            list("Extra inputs are not permitted"),
            Some(KeyObjection::Refused),
        ),
        (
            "412 ",
            errors("Extra inputs are not permitted"),
            Some(KeyObjection::Refused),
        ),
        (
            "422 ",
            list("Key our-key already exists"),
            Some(KeyObjection::Taken),
        ),
        (
            "412 ",
            errors("Key our-key already exists"),
            Some(KeyObjection::Taken),
        ),
        (
            "409 ",
            json!({"detail": "Key our-key already exists"}).to_string(),
            Some(KeyObjection::Taken),
        ),
        (
            "409 ",
            json!({"detail": "it exists already"}).to_string(),
            None,
        ),
        ("500 ", list("Key our-key already exists"), None),
        (
            "422 ",
            json!({"detail": [{"loc": ["body", "config", "key"], "msg": "not permitted"}]})
                .to_string(),
            None,
        ),
    ];
    for (status, body, said) in table {
        assert_eq!(
            refused(status, "", &body).await.key_objection(),
            said,
            "{status}{body}"
        );
    }
}

async fn refused(status: &str, headers: &str, body: &str) -> ApiError {
    let server = Server::answering(status, headers, body).await;
    client(&server)
        .create("contracts", None, &config())
        .await
        .unwrap_err()
}

async fn not_got(status: &str, body: &str) -> ApiError {
    let server = Server::answering(status, "", body).await;
    client(&server).get(&id()).await.unwrap_err()
}

#[tokio::test]
async fn what_a_key_was_told_to_wait_for_outlives_the_client() {
    let server = Server::answering("429 Too Many Requests", "Retry-After: 60\r\n", "").await;
    let options = options();
    let told = client_with(&server.url(), &options).list().await;
    assert!(told.unwrap_err().is_rate_limited());

    let error = client_with(&server.url(), &options)
        .list()
        .await
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Paused { .. }), "{error:?}");
    assert!(error.is_rate_limited());
    assert_eq!(server.requests().len(), 1);

    let briefly = Options {
        longest_pause: Duration::ZERO,
        ..options
    };
    let error = client_with(&server.url(), &briefly)
        .list()
        .await
        .unwrap_err();
    assert_eq!(error.status, Some(429), "the cap holds for what was noted");
}

// === requests ===

#[tokio::test]
async fn a_create_sends_the_whole_configuration_and_the_key_to_the_canonical_path() {
    let server = Server::answering("200 OK", "", &connector()).await;
    let source = client(&server)
        .create("contracts", None, &config())
        .await
        .unwrap();

    assert_eq!(source.id, id());
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /api/v1/sources/ HTTP/1.1"), "{head}");
    assert!(
        head.contains(&format!("unstructured-api-key: {KEY}")),
        "{head}"
    );
    let sent: serde_json::Value = serde_json::from_str(body).unwrap();
    let config =
        json!({"remote_url": "dropbox://contracts", "recursive": false, "app_secret": APP_SECRET});
    assert_eq!(
        sent,
        json!({"name": "contracts", "type": "dropbox", "config": config})
    );
}

#[tokio::test]
async fn an_update_sends_the_configuration_only() {
    let server = Server::answering("200 OK", "", &connector()).await;
    client(&server)
        .update(&id(), &config(), true)
        .await
        .unwrap();

    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with(&format!("PUT /api/v1/sources/{ID} HTTP/1.1")),
        "{head}"
    );
    let sent: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        sent,
        json!({"config": {"remote_url": "dropbox://contracts", "recursive": false, "app_secret": APP_SECRET}})
    );
}

#[tokio::test]
async fn an_update_that_the_service_took_is_done_whatever_it_says_of_it() {
    for (status, body) in [
        ("200 OK", "null"),
        ("202 Accepted", "{}"),
        ("204 No Content", ""),
        ("200 OK", r#"{"detail": "accepted"}"#),
    ] {
        let server = Server::answering(status, "", body).await;
        let shown = client(&server).update(&id(), &config(), true).await;
        assert_eq!(shown.unwrap(), None, "{status} {body}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_to_an_update_that_may_not_be_its_own_is_believed_where_the_connector_agrees() {
    let other = connector().replace(ID, "00000000-0000-4000-8000-000000000000");
    let changed = connector().replace("dropbox://contracts", "dropbox://other");
    for odd in [&other, "<html>Sign in</html>", "OK", "{"] {
        for (found, is_done) in [(connector(), true), (changed.clone(), false)] {
            let odd = odd.to_owned();
            let server = Server::start(move |exchange| {
                let body = if exchange.number == 0 {
                    odd.clone()
                } else {
                    found.clone()
                };
                async move { exchange.answer("200 OK", "", &body).await }
            })
            .await;
            let result = client(&server).update(&id(), &config(), true).await;
            let sent = server.requests();
            assert_eq!(sent.len(), 2);
            assert!(sent[1].starts_with(&format!("GET /api/v1/sources/{ID} ")));
            match result {
                Ok(shown) => assert!(is_done && shown.is_some_and(|shown| shown.id == id())),
                Err(error) => {
                    assert!(!is_done, "{error}");
                    assert_eq!(error.commit(), Commit::Unknown);
                }
            }
        }
    }
}

#[tokio::test]
async fn where_only_secrets_changed_no_look_at_the_connector_says_that_they_arrived() {
    for odd in ["<html>Sign in</html>", "OK", "{"] {
        let server = Server::answering("200 OK", "", odd).await;
        let result = client(&server).update(&id(), &config(), false).await;
        assert_eq!(result.unwrap_err().commit(), Commit::Unknown);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_configuration_with_the_mask_in_it_is_never_sent() {
    let server = Server::answering("200 OK", "", &connector()).await;
    let masked = Config::builder()
        .secret("app_key", SecretString::from(MASK))
        .plain("nested", json!({"a": [MASK]}))
        .build();
    let error = client(&server)
        .update(&id(), &masked, true)
        .await
        .unwrap_err();

    assert_eq!(
        error.kind,
        ErrorKind::Invalid {
            fields: vec!["app_key".into(), "nested".into()]
        }
    );
    assert_eq!(error.commit(), Commit::Never);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_list_asks_for_its_type_and_passes_over_the_others() {
    let body = json!([
        {"id": "no uuid", "name": 7, "type": "s3"},
        {"id": ID.to_uppercase(), "name": "a", "type": "dropbox", "config": [], "created_at": "yesterday", "new": {}},
        {"id": "00000000-0000-4000-8000-000000000001", "name": "b", "type": "DropBox", "config": {}},
    ]);
    let server = Server::answering("200 OK", "", &body.to_string()).await;
    let sources = client(&server).list().await.unwrap();

    assert_eq!(sources.len(), 2);
    assert!(sources.iter().all(|source| source.is_of_type("dropbox")));
    assert_eq!(sources[0].id.to_string(), ID);
    assert_eq!(sources[0].created_at, None);
    assert!(server.requests()[0].starts_with("GET /api/v1/sources/?source_type=dropbox HTTP/1.1"));
}

#[tokio::test]
async fn a_list_with_an_unreadable_connector_of_its_type_is_no_list() {
    let server = Server::answering(
        "200 OK",
        "",
        r#"[{"id": "x", "name": "a", "type": "dropbox"}]"#,
    )
    .await;
    assert_eq!(
        client(&server).list().await.unwrap_err().kind,
        ErrorKind::Unexpected
    );
}

#[tokio::test]
async fn a_delete_is_done_with_any_json_or_none() {
    for (status, body) in [
        ("200 OK", r#"{"detail": "gone"}"#),
        ("202 Accepted", "null"),
        ("204 No Content", ""),
    ] {
        let server = Server::answering(status, "", body).await;
        client(&server).delete(&id()).await.unwrap();
    }
}

#[tokio::test]
async fn a_page_of_html_does_not_make_a_delete_done() {
    let server = Server::answering("200 OK", "", "<html>Sign in</html>").await;
    assert_eq!(
        client(&server).delete(&id()).await.unwrap_err().kind,
        ErrorKind::Unexpected
    );
}

#[tokio::test]
async fn a_delete_is_done_when_the_service_says_so_in_vain_and_the_connector_is_gone() {
    let server = Server::start(|exchange| async move {
        let (status, body) = match exchange.number {
            0 => ("200 OK", "Deleted"),
            _ => ("404 Not Found", r#"{"detail": "Connector not found"}"#),
        };
        exchange.answer(status, "", body).await;
    })
    .await;
    let error = client(&server).delete(&id()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_check_that_was_started_without_a_word_is_the_latest_unless_that_has_ended() {
    for (status, is_ours) in [("SCHEDULED", true), ("SUCCESS", false)] {
        let latest = json!({"id": ID, "status": status}).to_string();
        let server = Server::start(move |exchange| {
            let latest = latest.clone();
            async move {
                match exchange.number {
                    0 => exchange.answer("202 Accepted", "", "{}").await,
                    _ => exchange.answer("200 OK", "", &latest).await,
                }
            }
        })
        .await;
        let check = client(&server).start_check(&id()).await;
        assert_eq!(check.is_ok(), is_ours, "{check:?}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_no_check() {
    for hostile in [KEY, "", "x", "../..", &"7".repeat(1_000_000)] {
        let check = json!({"id": hostile, "status": "SCHEDULED"}).to_string();
        let server = Server::answering("200 OK", "", &check).await;
        let error = client(&server).start_check(&id()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unexpected);
        assert!(!format!("{error:?}").contains(KEY));
        assert_eq!(client(&server).latest_check(&id()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_check_that_was_never_run_is_none() {
    for (status, body) in [
        ("404 Not Found", r#"{"detail": "No check"}"#),
        ("200 OK", "null"),
        ("200 OK", "{}"),
        ("204 No Content", ""),
    ] {
        let server = Server::answering(status, "", body).await;
        assert_eq!(client(&server).latest_check(&id()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_reason_of_a_failed_check_shows_neither_key_nor_token() {
    let body = json!({"id": ID, "status": "FAILURE", "reason": format!("401 for {KEY}\nwith kP3mZq81LxT0vWb5 at dropbox://contracts")});
    let server = Server::answering("202 Accepted", "", &body.to_string()).await;
    let check = client(&server).start_check(&id()).await.unwrap();

    assert_eq!(check.status, CheckStatus::Failure);
    assert_eq!(
        check.reason.unwrap(),
        "401 for [redacted] with [redacted] at dropbox://contracts"
    );
    assert!(
        server.requests()[0].contains("content-length: 0"),
        "a POST without a body says so"
    );
}

// === refusals ===

#[tokio::test]
async fn every_status_has_its_meaning() {
    let invalid = |fields: &[&str]| ErrorKind::Invalid {
        fields: fields.iter().map(ToString::to_string).collect(),
    };
    let missing = r#"{"errors": [{"field": "remote_url", "message": "Field is required"}]}"#;
    let wrong =
        r#"{"detail": [{"loc": ["body", "config", "remote_url"], "msg": "bad", "input": "s"}]}"#;
    let table = [
        ("307 Temporary Redirect", "", ErrorKind::WrongUrl),
        ("400 Bad Request", "no", invalid(&[])),
        (
            "401 Unauthorized",
            r#"{"detail": "API key is invalid"}"#,
            ErrorKind::Unauthorized,
        ),
        ("402 Payment Required", "", ErrorKind::Forbidden),
        ("403 Forbidden", "", ErrorKind::Forbidden),
        (
            "404 Not Found",
            r#"{"detail": "Not Found"}"#,
            ErrorKind::WrongUrl,
        ),
        ("405 Method Not Allowed", "", ErrorKind::WrongUrl),
        ("408 Request Timeout", "", ErrorKind::Timeout),
        ("409 Conflict", "", ErrorKind::Conflict),
        ("412 Precondition Failed", missing, invalid(&["remote_url"])),
        ("413 Payload Too Large", "", invalid(&[])),
        ("422 Unprocessable Entity", wrong, invalid(&["remote_url"])),
        (
            "422 Unprocessable Entity",
            r#"{"detail": "type x not supported"}"#,
            invalid(&[]),
        ),
        (
            "500 Internal Server Error",
            "Internal Server Error",
            ErrorKind::Server,
        ),
        ("503 Service Unavailable", "", ErrorKind::Server),
        ("599 Whatever", "", ErrorKind::Server),
    ];
    for (status, body, kind) in table {
        let error = refused(status, "", body).await;
        assert_eq!(error.kind, kind, "{status}");
        assert_eq!(error.status, status[..3].parse().ok());
    }
}

#[tokio::test]
async fn a_refusal_was_never_carried_out_and_a_failure_may_have_been() {
    for status in [
        "307 a", "400 b", "401 c", "403 d", "404 e", "409 f", "412 g", "422 h", "429 i",
    ] {
        assert_eq!(
            refused(status, "", "").await.commit(),
            Commit::Never,
            "{status}"
        );
    }
    for status in ["408 a", "499 b", "500 c", "502 d", "503 e", "504 f"] {
        assert_eq!(
            refused(status, "", "").await.commit(),
            Commit::Unknown,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_rate_limit_says_how_long() {
    let table = [
        ("retry-after: 30", Some(30)),
        ("retry-after: 1000000000", Some(900)),
        ("retry-after: soon", None),
        ("x: y", None),
        (
            "date: Sun, 06 Nov 1994 08:49:00 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT",
            Some(37),
        ),
    ];
    for (headers, seconds) in table {
        let error = refused("429 Too Many Requests", &format!("{headers}\r\n"), "").await;
        assert_eq!(
            error.kind,
            ErrorKind::RateLimited {
                retry_after: seconds.map(Duration::from_secs)
            },
            "{headers}"
        );
    }
}

#[tokio::test]
async fn only_the_api_itself_can_say_that_an_object_is_gone() {
    assert_eq!(
        not_got("404 Not Found", r#"{"detail": "Connector not found"}"#)
            .await
            .kind,
        ErrorKind::NotFound
    );
    for body in [
        "",
        "<h1>404</h1>",
        "default backend - 404",
        r#"{"message": "no route"}"#,
    ] {
        assert_eq!(
            not_got("404 Not Found", body).await.kind,
            ErrorKind::WrongUrl,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_refusal_that_echoes_the_request_shows_no_secret() {
    let echo = json!({"detail": [{"loc": ["body", APP_SECRET], "msg": format!("bad {APP_SECRET} of {KEY}"), "input": {"app_secret": APP_SECRET}}]});
    let error = refused("422 Unprocessable Entity", "", &echo.to_string()).await;
    assert_eq!(error.kind, ErrorKind::Invalid { fields: vec![] });
    assert_eq!(
        error.message(),
        "the API refuses the request (422): [redacted]: bad [redacted] of [redacted]"
    );
    assert!(!format!("{error:?}").contains(APP_SECRET));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering("200 OK", "", &connector()).await;
    let server = Server::answering(
        "308 Permanent Redirect",
        &format!("location: {}/x\r\n", elsewhere.url()),
        "",
    )
    .await;
    assert_eq!(
        client(&server).get(&id()).await.unwrap_err().kind,
        ErrorKind::WrongUrl
    );
    assert!(elsewhere.requests().is_empty());
}

// === answers that cannot be understood ===

#[tokio::test]
async fn a_success_that_cannot_be_understood_may_have_been_carried_out() {
    let deep = "[".repeat(100_000);
    let deep_config = format!(r#"{{"id": "{ID}", "name": "a", "type": "b", "config": {deep}}}"#);
    let long = " ".repeat(1024 * 1024 + 1);
    for body in [
        "<html></html>",
        "",
        "{",
        "[]",
        "7",
        r#"{"id": "x"}"#,
        &deep,
        &deep_config,
        &long,
    ] {
        let error = refused("200 OK", "", body).await;
        assert_eq!(
            (&error.kind, error.commit()),
            (&ErrorKind::Unexpected, Commit::Unknown),
            "{body:.40}"
        );
    }
}

#[tokio::test]
async fn an_answer_about_another_connector_is_not_believed() {
    let server = Server::answering("200 OK", "", &connector()).await;
    let other = "00000000-0000-4000-8000-000000000000".parse().unwrap();
    assert_eq!(
        client(&server).get(&other).await.unwrap_err().kind,
        ErrorKind::Unexpected
    );
}

#[tokio::test]
async fn an_endless_answer_is_read_to_its_bound_only() {
    let server = Server::start(|mut exchange| async move {
        exchange
            .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        while exchange.send(&chunk).await {}
    })
    .await;
    let options = Options {
        max_response_bytes: 256 * 1024,
        ..options()
    };
    let error = client_with(&server.url(), &options)
        .list()
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unexpected);
    assert!(error.message().contains("262144"), "{error}");
}

// === broken connections ===

#[tokio::test]
async fn an_answer_that_is_cut_off_may_have_been_carried_out() {
    let server = Server::start(|mut exchange| async move {
        exchange
            .send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":")
            .await;
    })
    .await;
    let error = client(&server)
        .create("a", None, &config())
        .await
        .unwrap_err();
    assert_eq!(
        (&error.kind, error.commit()),
        (&ErrorKind::Interrupted, Commit::Unknown)
    );
    assert_eq!(error.status, Some(200));
}

#[tokio::test]
async fn a_create_whose_connection_fails_is_sent_once() {
    let server = Server::start(|exchange| async move { drop(exchange) }).await;
    let error = client(&server)
        .create("a", None, &config())
        .await
        .unwrap_err();
    assert_eq!(
        (&error.kind, error.commit()),
        (&ErrorKind::Interrupted, Commit::Unknown)
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn no_answer_and_a_dripping_one_end_with_the_deadline() {
    let silent = Server::start(crate::loopback::Exchange::hang).await;
    let dripping = Server::start(|mut exchange| async move {
        exchange
            .send("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            .await;
        while exchange.send(" ").await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let options = Options {
        request_timeout: Duration::from_millis(300),
        ..options()
    };
    for (server, status) in [(silent, None), (dripping, Some(200))] {
        let error = client_with(&server.url(), &options)
            .create("a", None, &config())
            .await
            .unwrap_err();
        assert_eq!(
            (&error.kind, error.commit(), error.status),
            (&ErrorKind::Timeout, Commit::Unknown, status)
        );
    }
}

#[tokio::test]
async fn a_refusal_whose_words_never_come_made_nothing_and_blames_nobody() {
    let server = Server::start(|mut exchange| async move {
        exchange
            .send("HTTP/1.1 412 Precondition Failed\r\ncontent-length: 100\r\n\r\n{")
            .await;
        exchange.hang().await;
    })
    .await;
    let options = Options {
        request_timeout: Duration::from_millis(300),
        ..options()
    };
    let client = client_with(&server.url(), &options);
    let error = client.create("a", None, &config()).await.unwrap_err();
    assert_eq!(
        (&error.kind, error.commit()),
        (&ErrorKind::Timeout, Commit::Never)
    );
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_has_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let no_tls = Server::answering("200 OK", "", &connector()).await;
    for url in [
        format!("http://{address}"),
        "https://unknown.invalid".to_owned(),
        format!("https://{}", no_tls.address),
    ] {
        let error = client_with(&url, &options())
            .create("a", None, &config())
            .await
            .unwrap_err();
        assert_eq!(
            (&error.kind, error.commit()),
            (&ErrorKind::Connect, Commit::Never),
            "{error}"
        );
    }
    assert!(no_tls.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_request() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder().with_no_client_auth();
    let tls = Arc::new(
        tls.with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap(),
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut session = rustls::ServerConnection::new(tls).unwrap();
        let mut received = Vec::new();
        let _ = rustls::Stream::new(&mut session, &mut socket).read_to_end(&mut received);
        received
    });

    let error = client_with(&url, &options())
        .create("a", None, &config())
        .await
        .unwrap_err();
    assert_eq!(
        (&error.kind, error.commit()),
        (&ErrorKind::Connect, Commit::Never)
    );
    assert!(error.message().contains("certificate"), "{error}");
    assert_eq!(server.join().unwrap(), Vec::<u8>::new());
}

// === flow control and metrics ===

#[tokio::test]
async fn a_429_holds_back_every_clone_until_its_time() {
    let server = Server::answering("429 Too Many Requests", "retry-after: 30\r\n", "").await;
    let client = client(&server);
    let before = Instant::now();
    client.get(&id()).await.unwrap_err();

    let error = client.clone().list().await.unwrap_err();
    let ErrorKind::Paused { until } = error.kind else {
        panic!("{error}")
    };
    assert!(until >= before + Duration::from_secs(30));
    assert_eq!(client.transport.paused_until(), Some(until));
    assert!(error.is_rate_limited());
    assert_eq!(error.commit(), Commit::Never);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn five_failures_in_a_row_hold_back_the_sixth_call() {
    let server = Server::answering("503 Service Unavailable", "", "").await;
    let client = client(&server);
    for _ in 0..5 {
        assert_eq!(client.get(&id()).await.unwrap_err().kind, ErrorKind::Server);
    }
    let error = client.get(&id()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Paused { .. }), "{error}");
    assert!(!error.is_rate_limited());
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn the_observer_sees_what_was_called_and_what_came_of_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let observer: Observer = Arc::new(move |exchange: &Exchange| {
        sink.lock()
            .unwrap()
            .push((exchange.operation, exchange.outcome, exchange.status));
    });
    let server = Server::start(|exchange| async move {
        match exchange.number {
            0 => exchange.answer("200 OK", "", "[]").await,
            _ => exchange.answer("401 Unauthorized", "", "").await,
        }
    })
    .await;
    let client = client_with(
        &server.url(),
        &Options {
            observer: Some(observer),
            ..options()
        },
    );
    client.list().await.unwrap();
    client.delete(&id()).await.unwrap_err();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("list", "ok", Some(200)),
            ("delete", "unauthorized", Some(401))
        ]
    );
}
