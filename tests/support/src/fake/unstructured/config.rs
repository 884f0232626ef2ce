//! A connector's configuration: which types there are, what is secret in them, what is refused.

use serde_json::{Map, Value, json};

use super::{answers::FieldError, rules::Masking};

/// A connector's `config` object.
pub type Config = Map<String, Value>;

/// What the service shows in place of a secret, whatever its length.
pub const MASK: &str = "**********";

/// The one type whose configuration the fake checks; others are stored as they come.
pub(super) const DROPBOX: &str = "dropbox";

/// The documented way to sign in to Dropbox; all three together.
const TRIO: [&str; 3] = ["refresh_token", "app_key", "app_secret"];

/// The members that the service masks in a source of this type; none when it does not know the type.
///
/// They are those of the connector's `AccessConfig` class in `unstructured-ingest`.
pub(super) fn secrets(source_type: &str) -> Option<&'static [&'static str]> {
    Some(match source_type {
        DROPBOX => &["token", "refresh_token", "app_key", "app_secret"],
        "azure" => &[
            "account_name",
            "account_key",
            "connection_string",
            "sas_token",
        ],
        "box" => &["box_app_config"],
        "confluence" => &["password", "api_token", "token"],
        "couchbase" | "postgres" | "snowflake" | "teradata" => &["password"],
        "databricks_volumes" => &["client_id", "client_secret", "token"],
        "elasticsearch" => &["es_api_key"],
        "gcs" | "google_drive" => &["service_account_key"],
        "jira" => &["password", "token"],
        "kafka-cloud" => &["kafka_api_key", "secret"],
        "mongodb" => &["uri"],
        "onedrive" | "outlook" | "sharepoint" => &["client_cred", "password"],
        "opensearch" => &[
            "password",
            "aws_access_key_id",
            "aws_secret_access_key",
            "aws_session_token",
        ],
        "s3" => &["key", "secret", "token"],
        "salesforce" => &["consumer_key", "private_key"],
        "slack" => &["token"],
        "zendesk" => &["api_token"],
        _ => return None,
    })
}

/// What an answer shows of a configuration.
pub(super) fn shown(
    source_type: &str,
    config: &Config,
    masking: Masking,
    fill_defaults: bool,
) -> Config {
    let secrets = secrets(source_type).unwrap_or_default();
    let mut shown = config.clone();
    shown.retain(|_, value| !value.is_null());
    if fill_defaults && source_type == DROPBOX {
        shown.entry("recursive").or_insert(Value::Bool(true));
    }
    for &name in secrets {
        let Some(value) = shown.get_mut(name) else {
            continue;
        };
        match masking {
            Masking::Masked => *value = MASK.into(),
            Masking::Clear => {}
            Masking::Dropped => {
                shown.remove(name);
            }
            Masking::Reference => *value = json!({ "id": format!("secret-{name}"), "type": "rsa" }),
        }
    }
    shown
}

/// What the connector's schema has against a configuration.
pub(super) fn faults(source_type: &str, config: &Config) -> Vec<FieldError> {
    if source_type != DROPBOX {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let mut fault =
        |field: &str, message: &str| faults.push((field.to_owned(), message.to_owned()));
    match config.get("remote_url") {
        None | Some(Value::Null) => fault("remote_url", "Field is required"),
        Some(Value::String(url)) if url.starts_with("dropbox://") => {}
        Some(Value::String(_)) => {
            fault("remote_url", "String should match pattern '^dropbox://'");
        }
        Some(_) => fault("remote_url", "Input should be a valid string"),
    }
    if !matches!(
        config.get("recursive"),
        None | Some(Value::Null | Value::Bool(_))
    ) {
        fault("recursive", "Input should be a valid boolean");
    }
    let given = |name: &str| matches!(config.get(name), Some(Value::String(s)) if !s.is_empty());
    if !given("token") {
        for name in TRIO.into_iter().filter(|name| !given(name)) {
            fault(&format!("access_config.{name}"), "Field is required");
        }
    }
    faults
}

/// The members whose value is a mask.
pub(super) fn masked(config: &Config) -> Vec<String> {
    let masked = config
        .iter()
        .filter(|(_, value)| value.to_string().contains(MASK));
    masked.map(|(name, _)| name.clone()).collect()
}
