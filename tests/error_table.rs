//! Every way in which a call to Unstructured can fail, from the bytes on the wire to what the resource says and does about it.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::Result;
use futures::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use support::fake::unstructured::answers;
use support::fake::{Answer, FakeUnstructured, Fault, On};
use unstructured_operator::crd::Reason;
use unstructured_operator::engine::outcome::{Class, Failure, Outcome, Requeue};
use unstructured_operator::unstructured::{
    ApiError, ApiKey, Budget, Client, Collection, Commit, Config, ConnectorId, Connectors,
    Endpoint, ErrorKind, Kept, MASK, Options, UnknownConnector,
};

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Call {
    List,
    Get,
    Create,
    /// A create whose configuration holds the mask.
    CreateMasked,
}

/// Why.
enum Cause {
    /// The API's answer, or what becomes of it on its way.
    Fault(Fault),
    /// The URL.
    Url(String),
    /// This fault so many times, and then a call that nothing is wrong with.
    After(u32, Fault),
    /// Nothing on the wire.
    Nothing,
}

/// What the resource does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It tries again by itself.
    Retry,
    /// It is stalled; what stands in the way may be mended where nobody tells, so it looks every few minutes.
    Stop,
    /// It is stalled until the spec or the Secret changes.
    AwaitChange,
}

/// A row: what fails, why, and what is expected: the error's kind, what follows, under which reason, and whether a create may have
/// been carried out.
struct Row(
    &'static str,
    Call,
    Cause,
    &'static str,
    Then,
    Reason,
    Commit,
);

/// All that the service is known to answer, and all that can happen on the way.
fn table(api: &FakeUnstructured) -> Vec<Row> {
    use Call::{Create, CreateMasked, Get, List};
    use Cause::{After, Nothing, Url};
    use Commit::{Never, Unknown};
    use Reason::{
        ApiUnavailable, Forbidden, InvalidConfiguration, NameConflict, RateLimited, Unauthorized,
        UnexpectedResponse,
    };
    use Then::{AwaitChange, Retry, Stop};

    let answer = |answer| Cause::Fault(Fault::answer(answer));
    let text = |status| answer(Answer::text(status, ""));
    let page = |status| answer(Answer::html(status, "<html>Log in</html>"));
    let json = |body: &str| answer(Answer::typed(200, "application/json", body));
    let fault = Cause::Fault;
    let field = ("remote_url".to_owned(), "Field is required".to_owned());
    let item = json!({ "type": "missing", "loc": ["body", "config"], "msg": "Field required" });
    let unknown =
        json!({ "type": "enum", "loc": ["query", "source_type"], "msg": "Input should be 's3'" });
    let limited = || Fault::answer(answers::too_many_requests(Some("60")));
    let away = || Fault::answer(answers::unavailable());
    let plain = format!("https://{}", api.address());
    let moved = "https://elsewhere.example/api/v1/sources/";
    let minute = Duration::from_mins(1);

    #[rustfmt::skip]
    let rows = vec![
        // Refusals.
        Row("400", Create, answer(answers::detail(400, "no")), "invalid", AwaitChange, InvalidConfiguration, Never),
        Row("401 without a key", Create, answer(answers::key_missing()), "unauthorized", Stop, Unauthorized, Never),
        Row("401, malformed", Create, answer(answers::key_malformed()), "unauthorized", Stop, Unauthorized, Never),
        Row("401, not valid", List, answer(answers::key_invalid()), "unauthorized", Stop, Unauthorized, Never),
        Row("402", Create, answer(answers::payment_required()), "forbidden", Stop, Forbidden, Never),
        Row("403", Create, answer(answers::forbidden()), "forbidden", Stop, Forbidden, Never),
        Row("404 of a connector", Get, answer(answers::no_such_source("x")), "not_found", Retry, UnexpectedResponse, Never),
        Row("404 of the collection", List, answer(answers::not_found()), "wrong_url", Retry, UnexpectedResponse, Never),
        Row("404 of a create", Create, answer(answers::not_found()), "wrong_url", Retry, UnexpectedResponse, Never),
        Row("404 of something else", Get, page(404), "wrong_url", Retry, UnexpectedResponse, Never),
        Row("404 that breaks off", Get, fault(Fault::cut()), "interrupted", Retry, ApiUnavailable, Never),
        Row("405", Create, answer(answers::detail(405, "Method Not Allowed")), "wrong_url", Retry, UnexpectedResponse, Never),
        Row("307", Create, fault(Fault::redirect(moved)), "wrong_url", Retry, UnexpectedResponse, Never),
        Row("302 to a login page", List, fault(Fault::redirect(moved)), "wrong_url", Retry, UnexpectedResponse, Never),
        Row("408", Create, text(408), "timeout", Retry, ApiUnavailable, Unknown),
        Row("409", Create, answer(answers::detail(409, "exists")), "conflict", Retry, NameConflict, Never),
        Row("410 of a connector", Get, answer(answers::detail(410, "gone")), "not_found", Retry, UnexpectedResponse, Never),
        Row("412", Create, answer(answers::invalid_configuration(&[field])), "invalid", AwaitChange, InvalidConfiguration, Never),
        Row("413", Create, text(413), "invalid", AwaitChange, InvalidConfiguration, Never),
        Row("422, a list", Create, answer(answers::unprocessable(&[item])), "invalid", AwaitChange, InvalidConfiguration, Never),
        Row("422, a sentence", Create, answer(answers::detail(422, "not supported")), "invalid", AwaitChange, InvalidConfiguration, Never),
        Row("422 of a type", List, answer(answers::unprocessable(&[unknown])), "unknown_type", Stop, InvalidConfiguration, Never),
        Row("422 that breaks off", Create, answer(Answer::typed(422, "application/json", r#"{"detail": [{"loc": "#)), "unexpected", Retry, UnexpectedResponse, Never),
        Row("422 that echoes", Create, fault(Fault::echo()), "invalid", AwaitChange, InvalidConfiguration, Never),
        Row("429", Create, fault(limited()), "rate_limited", Retry, RateLimited, Never),
        Row("a pause after a 429", Create, After(1, limited()), "paused", Retry, RateLimited, Never),
        Row("499 of a gateway", Create, text(499), "timeout", Retry, ApiUnavailable, Unknown),
        Row("the mask", CreateMasked, Nothing, "invalid", AwaitChange, InvalidConfiguration, Never),
        // Failures.
        Row("500 in plain text", Create, answer(answers::internal_server_error()), "server", Retry, ApiUnavailable, Unknown),
        Row("500 with a detail", Create, answer(answers::detail(500, "oh")), "server", Retry, ApiUnavailable, Unknown),
        Row("502", Create, text(502), "server", Retry, ApiUnavailable, Unknown),
        Row("503", Create, answer(answers::unavailable()), "server", Retry, ApiUnavailable, Unknown),
        Row("504, a page", Create, page(504), "server", Retry, ApiUnavailable, Unknown),
        Row("a pause after failures", Create, After(5, away()), "paused", Retry, ApiUnavailable, Never),
        // The transport.
        Row("no such host", Create, Url("https://does-not-exist.invalid".to_owned()), "connect", Retry, ApiUnavailable, Never),
        Row("nobody listens", Create, Url("http://127.0.0.1:1".to_owned()), "connect", Retry, ApiUnavailable, Never),
        Row("no TLS there", Create, Url(plain), "connect", Retry, ApiUnavailable, Never),
        Row("closed without an answer", Create, fault(Fault::disconnect()), "interrupted", Retry, ApiUnavailable, Unknown),
        Row("closed within the answer", Create, fault(Fault::cut()), "interrupted", Retry, ApiUnavailable, Unknown),
        Row("silence", Create, fault(Fault::hang()), "timeout", Retry, ApiUnavailable, Unknown),
        Row("an answer too late", Create, fault(Fault::none().held_back(minute)), "timeout", Retry, ApiUnavailable, Unknown),
        Row("dripping", Create, fault(Fault::drip(minute)), "timeout", Retry, ApiUnavailable, Unknown),
        // Successes that cannot be understood.
        Row("half of the JSON", Create, fault(Fault::truncated()), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("nothing in it", Create, answer(Answer::empty(200)), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("another shape", Create, json("{\"sources\": []}"), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("no UUID", Create, json("{\"id\": 7, \"name\": \"n\", \"type\": \"dropbox\"}"), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("no list", List, json("{}"), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("another connector", Get, json("{\"id\": \"00000000-0000-4000-8000-000000000001\", \"name\": \"n\", \"type\": \"dropbox\"}"), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("a page", Create, page(200), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("too large", Create, fault(Fault::huge(4 << 20)), "unexpected", Retry, UnexpectedResponse, Unknown),
        Row("no room", List, Cause::Nothing, "no_room", Retry, UnexpectedResponse, Unknown),
        Row("too deep", Create, fault(Fault::nested(100_000)), "unexpected", Retry, UnexpectedResponse, Unknown),
    ];
    rows
}

#[tokio::test]
async fn each_way_to_fail_is_told_and_met_as_the_table_says() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = FakeUnstructured::start();
    let rows = table(&api);
    let errors = join_all(rows.iter().zip(0..).map(|(row, n)| fail(&api, row, n))).await;
    for (Row(how, call, _, kind, then, reason, commit), error) in rows.iter().zip(&errors) {
        let failure = match call {
            Call::Create | Call::CreateMasked => Failure::of_configuration(error),
            Call::List | Call::Get => Failure::from(error),
        };
        let row = Outcome::Failed(failure.clone()).row();
        assert_eq!(error.kind.as_str(), *kind, "{how}: {error:?}");
        assert_eq!(failure.commit(), *commit, "{how}: {error:?}");
        assert_eq!(row.reason, *reason, "{how}: {row:?}");
        let follows = match (row.class, row.requeue) {
            (Class::InProgress, Requeue::Backoff | Requeue::Resumed(_)) => Then::Retry,
            (Class::Stalled, Requeue::Slowly) => Then::Stop,
            (Class::Stalled, Requeue::OnChange) => Then::AwaitChange,
            other => panic!("{how}: {other:?} is none of the three"),
        };
        assert_eq!(follows, *then, "{how}: {row:?}");
        // What happened, in the words of whoever says it but for a capital letter, then what to do.
        let said = error.message().trim_end_matches('.');
        let advice = row.message[1..].strip_prefix(&said[1..]);
        assert!(
            advice.is_some_and(|advice| advice.len() > ". ".len()),
            "{how}: {row:?}"
        );
    }
    let kinds: Vec<_> = errors.iter().map(|error| error.kind.as_str()).collect();
    for kind in all(next_kind) {
        assert!(kinds.contains(&kind.as_str()), "{kind:?} has no row");
    }
    api.take_violations();
    Ok(())
}

#[test]
fn what_fails_in_the_cluster_is_tried_again_and_blames_nobody() {
    use Class::{InProgress, Stalled};
    for failure in all(next_failure) {
        let row = Outcome::Failed(failure.clone()).row();
        let expected = match &failure {
            // The tests above are about these.
            Failure::Api { .. } => continue,
            Failure::Conflict | Failure::Busy => (InProgress, Reason::Progressing, Requeue::AtOnce),
            Failure::Kubernetes(_) | Failure::NotLeading | Failure::Overrun(_) => {
                (InProgress, Reason::Progressing, Requeue::Backoff)
            }
            Failure::UnknownConnector { by_id: false, .. } => {
                (InProgress, Reason::SourceNotFound, Requeue::Backoff)
            }
            // Only the user can correct an id, or give the workspace that has it.
            Failure::UnknownConnector { .. } => {
                (Stalled, Reason::DestinationNotFound, Requeue::NextInventory)
            }
            Failure::Forbidden(_) => (InProgress, Reason::KubernetesForbidden, Requeue::Backoff),
            Failure::Definition(_) => (Stalled, Reason::DefinitionOutdated, Requeue::Backoff),
        };
        assert_eq!(
            (row.class, row.reason, row.requeue),
            expected,
            "{failure:?}"
        );
        assert_eq!(
            failure.commit(),
            Commit::Never,
            "{failure:?}: only calls to the API can have been carried out"
        );
    }
}

/// Makes the call of a row with a key of its own, and so with flow control of its own.
async fn fail(api: &FakeUnstructured, row: &Row, n: usize) -> ApiError {
    let Row(how, call, cause, ..) = row;
    let key = format!("table-key-{n:04}");
    let workspace = api.workspace(&key);
    workspace.insert("dropbox", "another", json!({}));
    let (url, before) = match cause {
        Cause::Fault(fault) => {
            workspace.inject(On::Every, fault.clone());
            (api.url(), 0)
        }
        Cause::After(times, fault) => {
            workspace.inject(On::Every, fault.clone().times(*times));
            (api.url(), *times)
        }
        Cause::Url(url) => (url.clone(), 0),
        Cause::Nothing => (api.url(), 0),
    };
    let options = Options {
        request_timeout: Duration::from_secs(5),
        budget: Budget::new(0),
        ..Options::default()
    };
    let endpoint = Endpoint::parse(&url, true).expect("a URL");
    let key = ApiKey::new(SecretString::from(key)).expect("a key");
    let client = Client::new(endpoint, key, &options).expect("a client");
    let client = client.connectors(Collection::Sources, "dropbox", Kept::All);
    for _ in 0..before {
        make(&client, *call).await.expect_err(how);
    }
    make(&client, *call).await.expect_err(how)
}

async fn make(connectors: &Connectors, call: Call) -> Result<(), ApiError> {
    let id: ConnectorId = "7cf30ead-cf54-479f-a897-b5fbe8790b76"
        .parse()
        .expect("an id");
    let secret = |value: &str| SecretString::from(value.to_owned());
    let config = |token: &str| {
        Config::builder()
            .plain("remote_url", "dropbox://data")
            .plain("recursive", false)
            .secret("refresh_token", secret(token))
            .secret("app_key", secret("table-app-key"))
            .secret("app_secret", secret("table-app-secret"))
            .build()
    };
    match call {
        Call::List => connectors.list().await.map(drop),
        Call::Get => connectors.get(&id).await.map(drop),
        Call::Create => connectors
            .create("contracts", None, &config("table-refresh-token"))
            .await
            .map(drop),
        Call::CreateMasked => connectors
            .create("contracts", None, &config(MASK))
            .await
            .map(drop),
    }
}

/// Every variant, by way of a function that names the one after each: a new one does not compile until it is named there, and then
/// fails until it has a row.
fn all<T: Clone + Debug>(next: impl Fn(Option<&T>) -> Option<T>) -> Vec<T> {
    std::iter::successors(next(None), |last| next(Some(last))).collect()
}

fn next_kind(last: Option<&ErrorKind>) -> Option<ErrorKind> {
    let Some(last) = last else {
        return Some(ErrorKind::Unauthorized);
    };
    Some(match last {
        ErrorKind::Unauthorized => ErrorKind::Forbidden,
        ErrorKind::Forbidden => ErrorKind::NotFound,
        ErrorKind::NotFound => ErrorKind::WrongUrl,
        ErrorKind::WrongUrl => ErrorKind::Invalid { fields: Vec::new() },
        ErrorKind::Invalid { .. } => ErrorKind::UnknownType,
        ErrorKind::UnknownType => ErrorKind::Conflict,
        ErrorKind::Conflict => ErrorKind::RateLimited { retry_after: None },
        ErrorKind::RateLimited { .. } => ErrorKind::Server,
        ErrorKind::Server => ErrorKind::Timeout,
        ErrorKind::Timeout => ErrorKind::Connect,
        ErrorKind::Connect => ErrorKind::Interrupted,
        ErrorKind::Interrupted => ErrorKind::Unexpected,
        ErrorKind::Unexpected => ErrorKind::NoRoom,
        ErrorKind::NoRoom => ErrorKind::Paused {
            until: tokio::time::Instant::now(),
        },
        ErrorKind::Paused { .. } => return None,
    })
}

fn next_failure(last: Option<&Failure>) -> Option<Failure> {
    let Some(last) = last else {
        return Some(Failure::Conflict);
    };
    Some(match last {
        Failure::Conflict => Failure::Busy,
        Failure::Busy => Failure::Kubernetes("it failed".to_owned()),
        Failure::Kubernetes(_) => Failure::Forbidden("no".to_owned()),
        Failure::Forbidden(_) => Failure::Definition("no".to_owned()),
        Failure::Definition(_) => Failure::NotLeading,
        Failure::NotLeading => Failure::Overrun("it took too long"),
        Failure::Overrun(_) => Failure::UnknownConnector {
            which: UnknownConnector::Source,
            by_id: false,
            message: "no".to_owned(),
            advice: "Wait.".to_owned(),
        },
        Failure::UnknownConnector { by_id: false, .. } => Failure::UnknownConnector {
            which: UnknownConnector::Destination,
            by_id: true,
            message: "no".to_owned(),
            advice: "Correct it.".to_owned(),
        },
        Failure::UnknownConnector { .. } => Failure::Api {
            kind: ErrorKind::Server,
            rate_limited: false,
            message: String::new(),
            commit: Commit::Unknown,
            sent_configuration: false,
        },
        Failure::Api { .. } => return None,
    })
}
