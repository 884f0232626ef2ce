//! The service's refusals, in the shapes that it is known to use. A [`Fault`](crate::fake::Fault) can send them too.

use serde_json::{Value, json};

use super::Family;
use crate::fake::Answer;

/// `{"detail": text}`: 400 to 409 and one form of 422.
pub fn detail(status: u16, text: &str) -> Answer {
    Answer::json(status, &json!({ "detail": text }))
}

/// 401 as for a key that is unknown, disabled or deleted.
pub fn key_invalid() -> Answer {
    detail(
        401,
        "API key is invalid, please provide a valid API key in the header.",
    )
}

/// 401 as for a request without the header.
pub fn key_missing() -> Answer {
    detail(
        401,
        "API key is missing, please provide an API key in the header.",
    )
}

/// 401 as for a key that cannot be one.
pub fn key_malformed() -> Answer {
    detail(
        401,
        "API key is malformed, please type the API key correctly in the header.",
    )
}

/// 402: the text is a guess.
pub fn payment_required() -> Answer {
    detail(402, "Your plan's limit is reached.")
}

/// 403 as for a role that may only read: the text is a guess.
pub fn forbidden() -> Answer {
    detail(403, "You do not have permission to perform this action.")
}

/// 404 of the router: a path that is no route.
pub fn not_found() -> Answer {
    detail(404, "Not Found")
}

/// 404 for a connector that is not in the key's workspace: the text is a guess.
pub fn no_such(family: Family, id: &str) -> Answer {
    detail(404, &missing_connector(family, id))
}

/// The text of [`no_such`].
pub(super) fn missing_connector(family: Family, id: &str) -> String {
    format!("{} with id {id} not found", family.title())
}

/// 404 for a workflow that is not in the key's workspace: the text is a guess.
pub fn no_such_workflow(id: &str) -> Answer {
    detail(404, &format!("Workflow with id {id} not found"))
}

/// 404 for a job that is not in the key's workspace.
pub fn no_such_job() -> Answer {
    detail(404, "Job not found")
}

/// [`no_such`] for a source.
pub fn no_such_source(id: &str) -> Answer {
    no_such(Family::Sources, id)
}

/// 412: the connector's schema refuses fields.
pub fn invalid_configuration(errors: &[FieldError]) -> Answer {
    let errors: Vec<_> = errors
        .iter()
        .map(|(field, message)| json!({ "field": field, "message": message }))
        .collect();
    Answer::json(412, &json!({ "errors": errors }))
}

/// A dotted path and what is wrong there.
pub type FieldError = (String, String);

/// 422: the envelope is not what `FastAPI` expects. An item is `{type, loc, msg}` and may have `input` and `ctx`.
pub fn unprocessable(items: &[Value]) -> Answer {
    Answer::json(422, &json!({ "detail": items }))
}

/// 429, with or without `Retry-After`. No body of it was ever published.
pub fn too_many_requests(retry_after: Option<&str>) -> Answer {
    let answer = detail(429, "Too Many Requests");
    match retry_after {
        Some(value) => answer.with_header("retry-after", value),
        None => answer,
    }
}

/// 500 in plain text, also seen for configurations that lack something.
pub fn internal_server_error() -> Answer {
    Answer::text(500, "Internal Server Error")
}

/// 503 of the gateway in front of a backend that is away.
pub fn unavailable() -> Answer {
    Answer::text(
        503,
        "upstream connect error or disconnect/reset before headers",
    )
}
