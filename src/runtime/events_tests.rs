use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::super::event_text::NOTE_LIMIT;
use super::*;
use crate::runtime::fake_api::{self, Answer};

/// What the API server was asked: each call's method, path and body.
type Calls = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// A recorder on an API server that takes everything, unless `refuse` says otherwise.
fn recorder(
    refuse: impl Fn(&Method) -> Option<Answer> + Clone + Send + 'static,
) -> (Recorder, Calls, Metrics) {
    let calls = Calls::default();
    let seen = calls.clone();
    let client = fake_api::client(move |call| {
        seen.lock()
            .unwrap()
            .push((call.method.clone(), call.path, call.body.clone()));
        refuse(&call.method).unwrap_or_else(|| {
            let mut event = call.body;
            event["metadata"]["name"] = "stored".into();
            Answer::Object(200, event)
        })
    });
    let metrics = Metrics::new();
    let recorder = Recorder::new(
        client,
        "example.com/operator",
        "pod-1",
        Some("home"),
        metrics.clone(),
    );
    (recorder, calls, metrics)
}

fn source(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("connectors.unstructured.io/v1alpha1".to_owned()),
        kind: Some("DropboxSource".to_owned()),
        namespace: Some("legal".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(format!("uid-of-{name}")),
        ..ObjectReference::default()
    }
}

fn note(text: &str) -> EventNote {
    EventNote {
        type_: EventType::Warning,
        reason: "SecretNotFound",
        action: "ReadSecret",
        note: text.to_owned(),
    }
}

/// Lets the writer work off its queue.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

fn dropped(metrics: &Metrics) -> String {
    let text = metrics.encode();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("unstructured_operator_events_dropped_total "));
    line.expect("it is always there").to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_event_is_written_with_everything_that_the_api_asks_for() {
    let (recorder, calls, _) = recorder(|_| None);
    recorder.publish(&source("contracts"), note("Secret legal/x does not exist"));
    settle().await;
    let calls = calls.lock().unwrap();
    let [(method, path, event)] = calls.as_slice() else {
        panic!("one request, not {}", calls.len())
    };
    assert_eq!(method, Method::POST);
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/legal/events");
    assert!(
        event["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("contracts.")
    );
    assert_eq!(event["reportingController"], "example.com/operator");
    assert_eq!(event["reportingInstance"], "pod-1");
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["reason"], "SecretNotFound");
    assert_eq!(event["action"], "ReadSecret");
    assert_eq!(event["note"], "Secret legal/x does not exist");
    assert_eq!(event["regarding"]["uid"], "uid-of-contracts");
    assert!(event["eventTime"].is_string());
}

#[tokio::test(start_paused = true)]
async fn the_same_event_again_is_counted_in_its_series_and_another_note_is_another_event() {
    let (recorder, calls, _) = recorder(|_| None);
    for text in ["one", "one", "two", "one"] {
        recorder.publish(&source("contracts"), note(text));
    }
    settle().await;
    let calls = calls.lock().unwrap();
    let seen: Vec<_> = calls
        .iter()
        .map(|(method, _, body)| {
            (
                method.as_str(),
                body["note"].as_str(),
                body["series"]["count"].as_i64(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("POST", Some("one"), None),
            ("PATCH", None, Some(2)),
            ("POST", Some("two"), None),
            ("PATCH", None, Some(3)),
        ]
    );
    assert_eq!(
        calls[1].1.rsplit('/').next(),
        calls[0].2["metadata"]["name"].as_str()
    );
}

#[tokio::test(start_paused = true)]
async fn a_series_ends_after_six_quiet_minutes_or_with_its_event() {
    let (recorder, calls, _) =
        recorder(|method| (method == Method::PATCH).then_some(Answer::Refusal(404, "NotFound")));
    recorder.publish(&source("contracts"), note("one"));
    sleep(Duration::from_mins(7)).await;
    recorder.publish(&source("contracts"), note("one"));
    settle().await;
    recorder.publish(&source("contracts"), note("one"));
    settle().await;
    let methods: Vec<_> = calls
        .lock()
        .unwrap()
        .iter()
        .map(|(method, ..)| method.clone())
        .collect();
    assert_eq!(
        methods,
        [Method::POST, Method::POST, Method::PATCH, Method::POST]
    );
}

#[tokio::test(start_paused = true)]
async fn one_object_may_publish_twenty_at_once_and_then_one_per_half_minute() {
    let (recorder, calls, metrics) = recorder(|_| None);
    for i in 0..50 {
        recorder.publish(&source("noisy"), note(&i.to_string()));
    }
    recorder.publish(&source("quiet"), note("heard all the same"));
    settle().await;
    assert_eq!(calls.lock().unwrap().len(), 21);
    assert_eq!(dropped(&metrics), "30");
    for i in 0..60 {
        sleep(Duration::from_secs(10)).await;
        recorder.publish(&source("noisy"), note(&format!("later {i}")));
    }
    settle().await;
    assert_eq!(calls.lock().unwrap().len(), 41);
}

#[tokio::test(start_paused = true)]
async fn repeats_that_were_held_back_are_in_the_next_count() {
    let (recorder, calls, metrics) = recorder(|_| None);
    for _ in 0..50 {
        recorder.publish(&source("noisy"), note("again"));
    }
    sleep(Duration::from_secs(31)).await;
    recorder.publish(&source("noisy"), note("again"));
    settle().await;
    assert_eq!(
        calls.lock().unwrap().last().unwrap().2["series"]["count"],
        51
    );
    assert_eq!(dropped(&metrics), "0");
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_costs_five_seconds_an_event_and_never_blocks_the_publisher() {
    let (recorder, calls, metrics) = recorder(|_| Some(Answer::Silence));
    for i in 0..3000 {
        recorder.publish(&source(&format!("object-{i}")), note("x"));
    }
    assert_eq!(dropped(&metrics), (3000 - QUEUE).to_string());
    sleep(Duration::from_secs(14)).await;
    assert_eq!(calls.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_is_dropped_and_counted_and_the_next_is_tried() {
    let (recorder, calls, metrics) = recorder(|_| Some(Answer::Refusal(403, "Forbidden")));
    recorder.publish(&source("contracts"), note("one"));
    recorder.publish(&source("contracts"), note("two"));
    settle().await;
    let calls = calls.lock().unwrap();
    let about_the_resource = calls.iter().filter(|(_, path, _)| path.contains("/legal/"));
    assert_eq!(about_the_resource.count(), 2);
    assert_eq!(dropped(&metrics), "2");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_may_not_be_written_where_it_belongs_is_written_at_home() {
    let calls = Calls::default();
    let seen = calls.clone();
    let client = fake_api::client(move |call| {
        let abroad = call.path.contains("/legal/");
        let mut event = call.body.clone();
        seen.lock()
            .unwrap()
            .push((call.method, call.path, call.body));
        event["metadata"]["name"] = "stored".into();
        if abroad {
            Answer::Refusal(403, "Forbidden")
        } else {
            Answer::Object(200, event)
        }
    });
    let metrics = Metrics::new();
    let recorder = Recorder::new(
        client,
        "example.com/operator",
        "pod-1",
        Some("home"),
        metrics.clone(),
    );
    recorder.publish(&source("contracts"), note("gone"));
    settle().await;
    let calls = calls.lock().unwrap();
    let (_, path, event) = &calls[1];
    assert!(path.contains("/namespaces/home/"), "{path}");
    assert_eq!(event["regarding"]["name"], "pod-1");
    assert_eq!(event["note"], "DropboxSource legal/contracts: gone");
    assert_eq!(dropped(&metrics), "0");
}

#[test]
fn a_long_note_is_cut_at_a_character_and_says_so() {
    for text in [
        "x".repeat(2000),
        "ä".repeat(2000),
        "€".repeat(2000),
        "🦀".repeat(2000),
    ] {
        let mut note = text.clone();
        shorten(&mut note);
        assert!((NOTE_LIMIT - 5..=NOTE_LIMIT).contains(&note.len()));
        assert!(text.starts_with(note.strip_suffix('…').unwrap()));
    }
    let mut fits = "ä".repeat(512);
    shorten(&mut fits);
    assert_eq!(fits, "ä".repeat(512));
}

#[test]
fn an_events_name_is_a_dns_subdomain_whatever_the_object_is_called() {
    let mut dotted = "a.".repeat(126);
    dotted.push('a');
    for object in [
        "contracts",
        "",
        "system:node",
        "Ünïcode",
        &"a".repeat(253),
        &dotted,
    ] {
        let name = event_name(object);
        assert!(name.len() <= 253, "{name}");
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        assert!(name.split('.').all(is_label), "{name}");
    }
}
