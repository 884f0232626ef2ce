//! What the service's answers mean: a refusal's status, words and fields, and the objects of a success. Nothing that is read here
//! leaves without the scrubber.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::{ApiError, Commit, ErrorKind};
use super::ids::ConnectorId;
use super::kept::{Kept, LONGEST_NAME, cut};
use super::key_objection::{self, KeyObjection};
use super::retry_after::retry_after;
use super::shown_key;
use super::types::{Check, CheckStatus, Connector, Settings, is_same_type, timestamp};
use super::unknown_connector::{self, UnknownConnector};
use super::unreadable::Unreadable;
use crate::scrub::Scrubber;

/// Fields and complaints of a refusal that are read.
const MOST_COMPLAINTS: usize = 10;

/// What a path names, which decides what its 404 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Always there, wherever the API is.
    Collection,
    /// Always there, but what a create there names need not be.
    Referring,
    /// There as long as the object is.
    Object,
}

/// What a refusal's body says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Complaint {
    text: String,
    fields: Vec<String>,
    /// It breaks off: what it would have said, nobody knows.
    torn: bool,
    /// It has a `detail`, as every 404 of the API itself.
    detailed: bool,
    /// What it says of the key in a create.
    key: Option<KeyObjection>,
    /// The connector that it speaks of.
    unknown: Option<UnknownConnector>,
}

// === refusals ===

/// The error that an answer outside 2xx stands for.
pub(super) fn refusal(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    place: Place,
    longest_pause: Duration,
    scrubber: &Scrubber,
) -> ApiError {
    let complaint = Complaint::read(body, scrubber);
    let unknown = complaint.unknown.filter(|_| place != Place::Collection);
    let is_there = match place {
        Place::Collection => false,
        Place::Referring => unknown.is_some(),
        Place::Object => complaint.detailed,
    };
    let (kind, lead) = match status.as_u16() {
        300..400 | 405 => (
            ErrorKind::WrongUrl,
            "the URL does not lead to the API; check the API URL",
        ),
        404 if !is_there => (
            ErrorKind::WrongUrl,
            "the URL does not lead to the API; check the API URL",
        ),
        401 => (
            ErrorKind::Unauthorized,
            "the API does not accept the key; replace it with a valid one",
        ),
        402 => (
            ErrorKind::Forbidden,
            "the account's plan or quota does not allow this; see its billing page",
        ),
        403 => (
            ErrorKind::Forbidden,
            "the key's role does not allow this; it needs Developer or Workspace Admin",
        ),
        404 => (ErrorKind::NotFound, "the API knows no such object"),
        // More than a 404 says, and no route is ever gone.
        410 if place == Place::Object => (ErrorKind::NotFound, "the API had such an object once"),
        // 499 is a gateway's word for a client that it thought gone.
        408 | 499 => (
            ErrorKind::Timeout,
            "the API did not get the whole request in time",
        ),
        409 => (ErrorKind::Conflict, "the API reports a conflict"),
        429 => {
            let retry_after = retry_after(headers, longest_pause);
            (
                ErrorKind::RateLimited { retry_after },
                "the API asked to slow down",
            )
        }
        // It may be about the key of a create, or about nothing that the user wrote.
        400..500 if complaint.torn => (
            ErrorKind::Unexpected,
            "the API refuses the request, and its reason cannot be read",
        ),
        400..500 => (
            ErrorKind::Invalid {
                fields: complaint.fields,
            },
            "the API refuses the request",
        ),
        _ => (ErrorKind::Server, "the API failed"),
    };
    let commit = match status.as_u16() {
        408 | 499 => Commit::Unknown,
        300..500 => Commit::Never,
        _ => Commit::Unknown,
    };
    let colon = if complaint.text.is_empty() { "" } else { ": " };
    let message = format!("{lead} ({}){colon}{}", status.as_u16(), complaint.text);
    let error = ApiError::new(kind, Some(status.as_u16()), commit, &message);
    match status.as_u16() {
        404 => error.about_a_connector(unknown),
        409 | 412 | 422 => error.about_the_key(complaint.key),
        _ => error,
    }
}

impl Complaint {
    /// Reads the shapes that were seen: `{"detail": "…"}`, `{"detail": [{"loc": […], "msg": "…"}]}`, `{"errors": [{"field": "…",
    /// "message": "…"}]}`, and plain text. Everything else, an `input` that echoes the request included, is left where it is.
    fn read(body: &[u8], scrubber: &Scrubber) -> Self {
        let trimmed = body.trim_ascii();
        let mut complaint = match serde_json::from_slice::<Value>(trimmed) {
            Ok(Value::Object(answer)) => Self::of_object(&answer),
            Ok(_) => Self::of_text("a response of an unknown shape"),
            Err(_) if trimmed.starts_with(b"<") => Self::of_text("an HTML page"),
            Err(_) if trimmed.starts_with(b"{") => Self {
                torn: true,
                ..Self::of_text("a response that is not valid JSON")
            },
            Err(_) => Self::of_text(&String::from_utf8_lossy(trimmed)),
        };
        complaint.text = scrubber.scrub(&complaint.text);
        complaint
            .fields
            .retain(|field| is_path(field) && scrubber.scrub(field) == *field);
        complaint.fields.sort_unstable();
        complaint.fields.dedup();
        complaint
    }

    fn of_text(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            key: key_objection::in_words(text),
            ..Self::default()
        }
    }

    fn of_object(answer: &Map<String, Value>) -> Self {
        let detail = answer.get("detail");
        if let Some(Value::String(text)) = detail {
            return Self {
                detailed: true,
                unknown: unknown_connector::in_words(text),
                ..Self::of_text(text)
            };
        }
        let items = detail
            .or_else(|| answer.get("errors"))
            .and_then(Value::as_array);
        let mut fields = Vec::new();
        let mut texts = Vec::new();
        let mut objections = Vec::new();
        for item in items.into_iter().flatten().take(MOST_COMPLAINTS) {
            let field = match (item.get("loc"), item.get("field")) {
                (Some(Value::Array(location)), _) => path(location),
                (_, Some(Value::String(field))) => field.clone(),
                _ => String::new(),
            };
            let text = item
                .get("msg")
                .or_else(|| item.get("message"))
                .and_then(Value::as_str)
                .unwrap_or_default();
            objections.extend(key_objection::in_item(item));
            texts.push(if field.is_empty() {
                text.to_owned()
            } else {
                format!("{field}: {text}")
            });
            fields.push(field);
        }
        let text = texts.join("; ");
        let detailed = detail.is_some();
        Self {
            unknown: unknown_connector::in_words(&text).filter(|_| detailed),
            text,
            fields,
            detailed,
            key: objections.into_iter().max(),
            ..Self::default()
        }
    }
}

/// A validation error's location as a dotted path within the configuration, or within the request outside of it.
fn path(location: &[Value]) -> String {
    let mut parts: Vec<String> = location
        .iter()
        .map(|part| {
            part.as_str()
                .map_or_else(|| part.to_string(), ToOwned::to_owned)
        })
        .collect();
    for envelope in ["body", "config"] {
        if parts.len() > 1 && parts[0] == envelope {
            parts.remove(0);
        }
    }
    parts.join(".")
}

/// Whether this is a field's name and not a value in its place.
fn is_path(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

// === successes ===

/// A connector as it is written, each part unread.
#[derive(Deserialize)]
struct WireConnector<'a> {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    name: Value,
    #[serde(default, deserialize_with = "shown_key::whatever_it_is")]
    key: Option<Value>,
    #[serde(default, rename = "type")]
    connector_type: Value,
    #[serde(default, borrow)]
    config: Option<&'a RawValue>,
    #[serde(default)]
    created_at: Value,
}

#[derive(Deserialize)]
struct WireCheck {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    reason: Value,
}

impl WireConnector<'_> {
    fn read(self, kept: &Kept) -> Result<Connector, Unreadable> {
        let id = self
            .id
            .as_str()
            .and_then(|id| id.parse().ok())
            .ok_or(Unreadable("has a connector without a UUID"))?;
        let (Value::String(name), Value::String(connector_type)) = (self.name, self.connector_type)
        else {
            return Err(Unreadable("has a connector without name or type"));
        };
        Ok(Connector {
            id,
            name: cut(name, LONGEST_NAME).into(),
            key: shown_key::read(self.key),
            connector_type: cut(connector_type, LONGEST_NAME).into(),
            settings: match self.config {
                Some(config) => kept.read(config)?,
                None => Settings::default(),
            },
            created_at: timestamp(&self.created_at),
        })
    }
}

/// One connector of a list. `None`: of another type, passed over unread. One of this type that cannot be read makes the whole list
/// unreadable, because what is not in a list may be created again.
pub(super) fn listed(
    element: &[u8],
    connector_type: &str,
    kept: &Kept,
) -> Result<Option<Connector>, Unreadable> {
    let source: WireConnector<'_> = json(element)?;
    let other = source.connector_type.as_str();
    if other.is_none_or(|other| is_same_type(other, connector_type)) {
        source.read(kept).map(Some)
    } else {
        Ok(None)
    }
}

/// One connector.
pub(super) fn connector(body: &[u8], kept: &Kept) -> Result<Connector, Unreadable> {
    json::<WireConnector<'_>>(body)?.read(kept)
}

/// One connector, the one that was asked for.
pub(super) fn connector_with_id(
    body: &[u8],
    id: &ConnectorId,
    kept: &Kept,
) -> Result<Connector, Unreadable> {
    let source = connector(body, kept)?;
    if source.id == *id {
        Ok(source)
    } else {
        Err(Unreadable::ANOTHER)
    }
}

/// The connector after an update, if the answer shows it: the service's word that it took the configuration is enough. About
/// another connector, or in a page of HTML, it is not the answer to this update.
pub(super) fn updated(
    body: &[u8],
    id: &ConnectorId,
    kept: &Kept,
) -> Result<Option<Connector>, Unreadable> {
    match connector(body, kept) {
        Ok(source) if source.id == *id => Ok(Some(source)),
        Ok(_) => Err(Unreadable::ANOTHER),
        Err(_) => done(body).map(|()| None),
    }
}

/// The latest check, if the answer shows one.
pub(super) fn latest_check(body: &[u8], scrubber: &Scrubber) -> Result<Option<Check>, Unreadable> {
    done(body)?;
    Ok(check(body, scrubber).ok())
}

/// A check.
pub(super) fn check(body: &[u8], scrubber: &Scrubber) -> Result<Check, Unreadable> {
    read_check(json(body)?, scrubber)
}

/// The word that something was done, in whatever words: no body, or any JSON. A page of HTML is not the API's word.
pub(super) fn done(body: &[u8]) -> Result<(), Unreadable> {
    if body.trim_ascii().is_empty() {
        Ok(())
    } else {
        json::<serde::de::IgnoredAny>(body).map(|_| ())
    }
}

fn read_check(check: WireCheck, scrubber: &Scrubber) -> Result<Check, Unreadable> {
    let (Some(id), Value::String(status)) = (
        check.id.as_str().and_then(|id| id.parse().ok()),
        check.status,
    ) else {
        return Err(Unreadable(
            "has a connection check without a UUID or a status",
        ));
    };
    let status = match CheckStatus::from(status.as_str()) {
        CheckStatus::Other(word) => CheckStatus::Other(scrubber.scrub(&word)),
        known => known,
    };
    let reason = check
        .reason
        .as_str()
        .map(|reason| scrubber.scrub(reason))
        .filter(|reason| !reason.is_empty());
    Ok(Check { id, status, reason })
}

/// Reads a body, and says what is wrong with one that cannot be read.
pub(super) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        _ if body.trim_ascii_start().starts_with(b"<") => Unreadable::PAGE,
        Category::Eof => Unreadable::EARLY_END,
        Category::Data => Unreadable::SHAPE,
        Category::Syntax | Category::Io => Unreadable::SYNTAX,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn complaint(body: &str) -> Complaint {
        Complaint::read(body.as_bytes(), &Scrubber::new([]))
    }

    #[test]
    fn each_shape_of_a_complaint_gives_its_words_and_fields() {
        let list = json!({"detail": [
            {"loc": ["body", "config", "remote_url"], "msg": "too short", "input": "x"},
            {"loc": ["body", "items", 3], "msg": "bad"},
            {"loc": ["body"], "msg": "bad body"},
        ]});
        let errors =
            json!({"errors": [{"field": "access_config.app_key", "message": "Field is required"}]});
        let table = [
            (
                r#"{"detail": "Job not found"}"#.to_owned(),
                "Job not found",
                vec![],
            ),
            (
                list.to_string(),
                "remote_url: too short; items.3: bad; body: bad body",
                vec!["body", "items.3", "remote_url"],
            ),
            (
                errors.to_string(),
                "access_config.app_key: Field is required",
                vec!["access_config.app_key"],
            ),
            (
                "Internal Server Error".to_owned(),
                "Internal Server Error",
                vec![],
            ),
            (
                " <!doctype html><p>words".to_owned(),
                "an HTML page",
                vec![],
            ),
            (
                r#"{"detail": "#.to_owned(),
                "a response that is not valid JSON",
                vec![],
            ),
            (
                r#"["words"]"#.to_owned(),
                "a response of an unknown shape",
                vec![],
            ),
            (r#"{"input": "words"}"#.to_owned(), "", vec![]),
            (String::new(), "", vec![]),
        ];
        for (body, text, fields) in table {
            let complaint = complaint(&body);
            assert_eq!(complaint.text, text, "{body}");
            assert_eq!(complaint.fields, fields, "{body}");
        }
    }

    /// A create of a workflow names connectors; where none is blamed, its collection is not there.
    #[test]
    fn a_404_to_a_create_is_about_the_url_or_about_what_it_names() {
        let refusal = |body: &str, place| {
            let scrubber = Scrubber::new([]);
            let (code, headers) = (StatusCode::NOT_FOUND, HeaderMap::new());
            let pause = Duration::ZERO;
            let error = refusal(code, &headers, body.as_bytes(), place, pause, &scrubber);
            let unknown = error.unknown_connector();
            (error.kind, unknown)
        };
        let source = Some(UnknownConnector::Source);
        for (body, place, kind, unknown) in [
            (
                r#"{"detail": "source_id not found"}"#,
                Place::Referring,
                ErrorKind::NotFound,
                source,
            ),
            (
                r#"{"detail": "Source not found"}"#,
                Place::Object,
                ErrorKind::NotFound,
                source,
            ),
            (
                r#"{"detail": "Not Found"}"#,
                Place::Referring,
                ErrorKind::WrongUrl,
                None,
            ),
            (
                "source not found",
                Place::Referring,
                ErrorKind::WrongUrl,
                None,
            ),
            (
                r#"{"detail": "source_id not found"}"#,
                Place::Collection,
                ErrorKind::WrongUrl,
                None,
            ),
            (
                r#"{"detail": "Workflow not found"}"#,
                Place::Object,
                ErrorKind::NotFound,
                None,
            ),
        ] {
            assert_eq!(refusal(body, place), (kind, unknown), "{body} {place:?}");
        }
    }

    #[test]
    fn what_stands_in_a_fields_place_but_is_none_is_not_taken_for_one() {
        let values = json!({"errors": [{"field": "two words"}, {"field": "kP3mZq81LxT0vWb5"}, {"field": ""}, {"field": 7}, 8]});
        assert_eq!(complaint(&values.to_string()).fields, Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_body_can_be_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let scrubber = Scrubber::new([]);
            prop_assert!(Complaint::read(&body, &scrubber).text.chars().count() <= 300);
            let _ = (listed(&body, "dropbox", &Kept::All), connector(&body, &Kept::All), latest_check(&body, &scrubber), done(&body));
        }
    }
}
