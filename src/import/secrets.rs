//! What nobody may read, told by its name and by how the API shows it. In doubt it is a secret.

use serde_json::Value;
use url::Url;

use crate::unstructured::MASK;

/// Words in the name of a parameter or setting that is not known, after which it is taken for a secret.
const SECRETIVE: [&str; 6] = [
    "password",
    "secret",
    "token",
    "credential",
    "api_key",
    "private_key",
];

/// Whether it is called like a secret, and can be one: a text, or what the service shows in the place of a text.
pub(super) fn sounds_like_a_secret(name: &str, value: &Value) -> bool {
    let can_be = value.is_string() || value.is_object();
    can_be && SECRETIVE.iter().any(|word| name.contains(word))
}

/// Whether a value is masked, or a URL with a password in it, or has a member that is or is called like a secret.
pub(super) fn shows_a_secret(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            text.contains(MASK) || Url::parse(text).is_ok_and(|url| url.password().is_some())
        }
        Value::Array(items) => items.iter().any(shows_a_secret),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| sounds_like_a_secret(name, value) || shows_a_secret(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a Secret can have such a key.
pub(super) fn is_secret_key(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}
