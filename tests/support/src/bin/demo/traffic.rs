//! Requests as people read them: who asked whom for what, and how many secrets went along.

use serde_json::Value;
use support::fake::{Outcome, Recorded};
use url::form_urlencoded;

/// Members whose values are never shown.
const SECRETS: [&str; 6] = [
    "api_key",
    "app_key",
    "app_secret",
    "refresh_token",
    "client_id",
    "client_secret",
];

/// `User-Agent` of the operator's requests begins so.
const OPERATOR: &str = "unstructured-operator/";

/// Whether the operator sent it.
pub fn is_operators(request: &Recorded) -> bool {
    request
        .header("user-agent")
        .is_some_and(|agent| agent.starts_with(OPERATOR))
}

/// Whether it lists workflows or jobs, as the operator does all the time while something runs.
pub fn follows_runs(request: &Recorded) -> bool {
    let lists = ["/api/v1/workflows/", "/api/v1/jobs/"];
    request.method == "GET" && lists.contains(&request.path.as_str())
}

/// Whether the operator sent it and the API accepted it.
pub fn is_accepted(request: &Recorded, method: &str) -> bool {
    is_operators(request)
        && request.method == method
        && request.status().is_some_and(|status| status < 300)
}

/// `POST /api/v1/sources/ 200 {"name":"…","config":{"remote_url":"…",«3 secrets»}}`
pub fn line(request: &Recorded) -> String {
    let query = if request.query.is_empty() {
        String::new()
    } else {
        format!("?{}", request.query)
    };
    let outcome = match request.outcome {
        Outcome::Pending => "(no response yet)".to_owned(),
        Outcome::Answered(status) => status.to_string(),
        Outcome::Dropped => "(connection cut)".to_owned(),
    };
    let (method, path) = (&request.method, &request.path);
    format!("{method} {path}{query} {outcome} {}", body(request))
        .trim_end()
        .to_owned()
}

fn body(request: &Recorded) -> String {
    match request.json() {
        Value::Null => form(&request.body),
        json => members(&json),
    }
}

fn form(body: &[u8]) -> String {
    let (secret, shown): (Vec<_>, Vec<_>) =
        form_urlencoded::parse(body).partition(|(name, _)| SECRETS.contains(&name.as_ref()));
    let shown = shown
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"));
    shown
        .chain(counted(secret.len()))
        .collect::<Vec<_>>()
        .join("&")
}

fn members(value: &Value) -> String {
    let Value::Object(object) = value else {
        return value.to_string();
    };
    let (secret, shown): (Vec<_>, Vec<_>) = object
        .iter()
        .partition(|(name, _)| SECRETS.contains(&name.as_str()));
    let shown = shown
        .into_iter()
        .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), members(value)));
    let inside: Vec<_> = shown.chain(counted(secret.len())).collect();
    format!("{{{}}}", inside.join(","))
}

fn counted(secrets: usize) -> Option<String> {
    match secrets {
        0 => None,
        1 => Some("«1 secret»".to_owned()),
        n => Some(format!("«{n} secrets»")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_counted_and_not_shown() {
        let body = json!({ "name": "n", "config": { "app_key": "a", "app_secret": "b", "remote_url": "r" } });
        assert_eq!(
            members(&body),
            r#"{"config":{"remote_url":"r",«2 secrets»},"name":"n"}"#
        );
        assert_eq!(
            form(b"grant_type=refresh_token&refresh_token=t%2Fu"),
            "grant_type=refresh_token&«1 secret»"
        );
        assert_eq!(form(b""), "");
    }
}
