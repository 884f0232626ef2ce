//! What both fakes have in common: faults, the journal, dying and coming back.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::{
    Answer, FakeUnstructured, Fault, On, Outcome,
    unstructured::{Route, answers},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A client that follows nothing and repeats nothing.
pub(super) struct Caller {
    http: reqwest::Client,
    url: String,
    key: &'static str,
}

impl Caller {
    pub(super) fn new(url: String, key: &'static str) -> Self {
        // Fails when another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .expect("a client");
        Self { http, url, key }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match self.key {
            "" => request,
            key => request.header("unstructured-api-key", key),
        }
    }

    pub(super) async fn call(&self, method: Method, path: &str) -> (u16, Value) {
        read(self.request(method, path)).await
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .request(method, path)
            .header("content-type", "application/json");
        read(request.body(body.to_string())).await
    }
}

/// Status and body; a body that is not JSON is a string.
pub(super) async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a whole body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

fn source(name: &str) -> Value {
    let config = json!({ "remote_url": "dropbox://d", "token": "a-token" });
    json!({ "name": name, "type": "dropbox", "config": config })
}

#[tokio::test]
async fn a_fault_decides_what_the_client_sees_and_what_takes_effect() {
    let millisecond = Duration::from_millis(1);
    // The fault; the status and how the body reads, or none when no answer comes; the sources made.
    let table = [
        (Fault::none(), Some((200, Ok("{\"config\""))), 1),
        (
            Fault::answer(Answer::html(200, "<p>")),
            Some((200, Ok("<p>"))),
            0,
        ),
        (
            Fault::answer(answers::unavailable()).committed(),
            Some((503, Ok("upstream"))),
            1,
        ),
        (Fault::redirect("http://elsewhere/"), Some((307, Ok(""))), 0),
        (Fault::nested(3), Some((200, Ok("[[[]]]"))), 0),
        (
            Fault::echo(),
            Some((422, Ok("{\"detail\":[{\"input\":{\"config\""))),
            0,
        ),
        (Fault::huge(1 << 20), Some((200, Ok("[{\"id\":\"aaaa"))), 0),
        (Fault::disconnect(), None, 0),
        (Fault::disconnect().committed(), None, 1),
        (Fault::truncated(), Some((200, Ok("{\"config\""))), 1),
        (Fault::cut(), Some((200, Err(()))), 1),
        (Fault::drip(millisecond), Some((200, Ok("{\"config\""))), 1),
        (
            Fault::none().after(millisecond),
            Some((200, Ok("{\"config\""))),
            1,
        ),
        (
            Fault::none().held_back(millisecond),
            Some((200, Ok("{\"config\""))),
            1,
        ),
    ];
    for (fault, seen, made) in table {
        let name = format!("{fault:?}");
        let api = FakeUnstructured::start();
        let workspace = api.workspace("key");
        let caller = Caller::new(api.url(), "key");
        api.inject(Route::Create, fault);
        let request = caller
            .request(Method::POST, "/sources/")
            .header("content-type", "application/json")
            .body(source("a").to_string());
        let answer = request.send().await.ok();
        assert_eq!(
            answer.as_ref().map(|a| a.status().as_u16()),
            seen.map(|s| s.0),
            "{name}"
        );
        if let (Some(answer), Some((_, body))) = (answer, seen) {
            match (answer.text().await, body) {
                (Ok(text), Ok(start)) => assert!(text.starts_with(start), "{name}: {text:.80}"),
                (Err(_), Err(())) => {}
                (text, _) => panic!("{name}: {text:?}"),
            }
        }
        assert_eq!(workspace.sources().len(), made, "{name}");
        let expected = seen.map_or(Outcome::Dropped, |s| Outcome::Answered(s.0));
        assert_eq!(api.requests()[0].outcome, expected, "{name}");
    }
}

#[tokio::test]
async fn a_late_effect_comes_after_the_client_was_told_otherwise() {
    let api = FakeUnstructured::start();
    let workspace = api.workspace("key");
    let caller = Caller::new(api.url(), "key");
    let late = Duration::from_millis(50);
    api.inject(Route::Create, Fault::disconnect().committed_late(late));
    let request = caller.request(Method::POST, "/sources/");
    let request = request.header("content-type", "application/json");
    assert!(request.body(source("a").to_string()).send().await.is_err());
    api.wait_for(|_| workspace.sources().len() == 1, PATIENCE)
        .await
        .expect("the late effect");
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_undo_its_request() {
    let api = FakeUnstructured::start();
    let workspace = api.workspace("key");
    let caller = Caller::new(api.url(), "key");
    api.inject(
        Route::Create,
        Fault::none().after(Duration::from_millis(50)),
    );
    let request = caller.request(Method::POST, "/sources/");
    let request = request.header("content-type", "application/json");
    let request = request.body(source("a").to_string());
    let call = tokio::spawn(request.send());
    api.wait_for(|requests| requests.len() == 1, PATIENCE)
        .await
        .expect("the request");
    call.abort();
    api.wait_for(|_| workspace.sources().len() == 1, PATIENCE)
        .await
        .expect("the effect");
}

#[tokio::test]
async fn a_hanging_request_is_seen_though_it_never_ends() {
    let api = FakeUnstructured::start();
    api.workspace("key");
    let caller = Caller::new(api.url(), "key");
    api.inject(On::Every, Fault::hang().always());
    let hanging = tokio::spawn(caller.request(Method::GET, "/sources/").send());
    api.wait_for(|seen| seen.len() == 1, PATIENCE)
        .await
        .expect("the request");
    assert_eq!(api.requests()[0].outcome, Outcome::Pending);
    hanging.abort();
}

#[tokio::test]
async fn faults_are_met_in_order_as_often_as_planned_by_whom_they_are_for() {
    let api = FakeUnstructured::start();
    let (one, _two) = (api.workspace("one"), api.workspace("two"));
    let (first, second) = (Caller::new(api.url(), "one"), Caller::new(api.url(), "two"));
    let status = |code| Fault::answer(Answer::empty(code));
    one.inject(Route::List, status(500).times(2));
    api.inject(Route::List, status(502));
    api.inject(Route::Create, status(503));
    let table = [
        (&second, 502),
        (&second, 200),
        (&first, 500),
        (&first, 500),
        (&first, 200),
    ];
    for (caller, expected) in table {
        assert_eq!(caller.call(Method::GET, "/sources/").await.0, expected);
    }
    let mut left = 1;
    api.inject_by(move |route, _| {
        (route == Some(Route::List) && std::mem::take(&mut left) > 0).then(|| status(504))
    });
    assert_eq!(first.call(Method::GET, "/sources/").await.0, 504);
    api.inject(On::Every, status(418).always());
    assert_eq!(first.call(Method::GET, "/sources/").await.0, 418);
    api.clear_faults();
    assert_eq!(first.call(Method::GET, "/sources/").await.0, 200);
}

#[tokio::test]
async fn a_dead_api_comes_back_on_its_port_with_its_state() {
    let api = FakeUnstructured::start();
    api.workspace("key");
    let caller = Caller::new(api.url(), "key");
    caller.send(Method::POST, "/sources/", &source("a")).await;
    api.stop();
    api.stop();
    let stranger = Caller::new(api.url(), "key");
    let refused = stranger.request(Method::GET, "/sources/").send().await;
    assert!(refused.expect_err("nobody is there").is_connect());
    api.restart();
    api.restart();
    let (status, list) = caller.call(Method::GET, "/sources/").await;
    assert_eq!((status, list[0]["name"].as_str()), (200, Some("a")));
}

#[tokio::test]
async fn a_request_is_recorded_whole_and_told_without_its_secrets() {
    let api = FakeUnstructured::start();
    api.workspace("key");
    let (told, lines) = std::sync::mpsc::channel();
    api.on_answer(move |request| told.send(request.to_string()).expect("a listener"));
    let caller = Caller::new(api.url(), "key");
    caller.send(Method::POST, "/sources/", &source("a")).await;
    caller.call(Method::GET, "/sources/?source_type=s3").await;

    let [create, list] = &api.requests()[..] else {
        panic!("two requests");
    };
    assert_eq!((create.number, create.api_key()), (0, Some("key")));
    assert_eq!((create.json(), create.status()), (source("a"), Some(200)));
    assert_eq!(
        (list.path.as_str(), list.query.as_str()),
        ("/api/v1/sources/", "source_type=s3")
    );
    assert!(list.instant >= create.instant && list.at >= create.at);
    assert_eq!(api.requests_matching("POST", "/api/v1/sources").len(), 1);
    let line = lines.recv().expect("a line");
    assert!(line.starts_with("POST /api/v1/sources/ 200 {"), "{line}");
    assert!(
        line.contains("dropbox://d") && !line.contains("a-token"),
        "{line}"
    );
}

#[tokio::test]
async fn waiting_in_vain_says_what_was_asked_instead() {
    let api = FakeUnstructured::start();
    api.workspace("key");
    let caller = Caller::new(api.url(), "key");
    caller.call(Method::GET, "/sources/").await;
    let error = api.wait_for(|seen| seen.len() == 2, Duration::from_millis(1));
    let error = error.await.expect_err("one request").to_string();
    assert!(
        error.ends_with("its 1 requests:\n  GET /api/v1/sources/ 200"),
        "{error}"
    );
}

#[test]
#[should_panic(expected = "an authorization header")]
fn a_violation_that_nobody_took_fails_the_test() {
    let api = FakeUnstructured::start();
    let url = api.url();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let caller = Caller::new(url, "key");
        let request = caller.request(Method::GET, "/sources/");
        request.bearer_auth("key").send().await.expect("an answer");
    });
}
