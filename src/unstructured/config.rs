//! The configuration that a connector should have: plain fields and secret ones, how it goes over the wire, how it is told apart
//! from another, and how it is compared with what the service shows.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::body::Carried;
use super::digest::{Digest, Digester};
use super::types::{MASK, Settings};
use crate::scrub::Scrubber;

/// A connector's complete configuration, fields in the order in which they were given.
///
/// It cannot be serialised by accident, and its `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Config {
    fields: Vec<(String, Field)>,
}

/// Collects the fields of a [`Config`]; a name given twice keeps the later value.
#[derive(Default)]
pub struct ConfigBuilder(Config);

/// One field's value.
#[derive(Clone)]
pub(super) enum Field {
    Plain(Value),
    Secret(SecretString),
}

// === impl ConfigBuilder ===

impl ConfigBuilder {
    /// Adds a field that anyone may read.
    #[must_use]
    pub fn plain(self, name: &str, value: impl Into<Value>) -> Self {
        self.field(name, Field::Plain(value.into()))
    }

    /// Adds a field that nobody may read.
    #[must_use]
    pub fn secret(self, name: &str, value: SecretString) -> Self {
        self.field(name, Field::Secret(value))
    }

    /// The configuration.
    pub fn build(self) -> Config {
        self.0
    }

    fn field(mut self, name: &str, field: Field) -> Self {
        let fields = &mut self.0.fields;
        match fields.iter_mut().find(|(existing, _)| existing == name) {
            Some((_, existing)) => *existing = field,
            None => fields.push((name.to_owned(), field)),
        }
        self
    }
}

// === impl Config ===

impl Config {
    /// An empty configuration to add fields to.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }

    /// The fields that anyone may read.
    pub fn plain(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().filter_map(|(name, field)| match field {
            Field::Plain(value) => Some((name.as_str(), value)),
            Field::Secret(_) => None,
        })
    }

    /// What the service may show of this configuration.
    pub(super) fn settings(&self) -> Settings {
        let plain = self.plain();
        plain
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect::<Map<_, _>>()
            .into()
    }

    /// All fields, in their order.
    pub(super) fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &Field)> {
        self.fields
            .iter()
            .map(|(name, field)| (name.as_str(), field))
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        self.fields.iter().filter_map(|(_, field)| match field {
            Field::Plain(_) => None,
            Field::Secret(secret) => Some(secret),
        })
    }

    /// HMAC-SHA-256 over every field's name, kind and value, each preceded by its length, in the order of their names.
    ///
    /// With a key of its owner's own (a resource's UID), equal secrets of two owners have different digests.
    pub fn digest(&self, key: &[u8]) -> Digest {
        let mut digester = Digester::new(key, "unstructured connector configuration v1");
        self.digest_into(&mut digester);
        digester.finish()
    }

    /// Takes in each field as three parts, in the order of their names.
    pub(super) fn digest_into(&self, digester: &mut Digester) {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| name);
        for (name, field) in fields {
            digester.part(name.as_bytes());
            match field {
                Field::Plain(value) => {
                    let mut canonical = value.clone();
                    canonical.sort_all_objects();
                    digester.part(b"plain");
                    digester.part(canonical.to_string().as_bytes());
                }
                Field::Secret(secret) => {
                    digester.part(b"secret");
                    digester.part(secret.expose_secret().as_bytes());
                }
            }
        }
    }

    /// The names of our fields of which the service readably shows another value. One that it does not show is no difference;
    /// fields that the service added are its own business.
    pub fn drift(&self, observed: &Settings) -> Vec<String> {
        self.fields
            .iter()
            .filter(|(name, field)| observed.get(name).is_some_and(|value| field.differs(value)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// A foreign text made fit to be shown: one bounded line, without this configuration's secrets in any common encoding.
    pub fn scrub(&self, text: &str) -> String {
        Scrubber::new(self.secrets()).scrub(text)
    }

    /// The names of the fields whose value is or contains [`MASK`]: sent back, it might replace the secret that it stands for.
    pub(super) fn masked(&self) -> Vec<String> {
        let masked = |field: &Field| match field {
            Field::Plain(value) => contains_mask(value),
            Field::Secret(secret) => secret.expose_secret() == MASK,
        };
        self.fields
            .iter()
            .filter(|(_, field)| masked(field))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.fields.iter().map(|(name, _)| name))
            .finish()
    }
}

impl Field {
    /// Whether a value that is shown is readably another one.
    pub(super) fn differs(&self, observed: &Value) -> bool {
        match (self, observed) {
            (Self::Plain(Value::Number(ours)), Value::Number(theirs)) => {
                ours.as_f64() != theirs.as_f64()
            }
            (Self::Plain(ours), theirs) => ours != theirs,
            (Self::Secret(ours), Value::String(theirs)) => {
                !bool::from(ours.expose_secret().as_bytes().ct_eq(theirs.as_bytes()))
            }
            (Self::Secret(_), _) => true,
        }
    }
}

fn contains_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text == MASK,
        Value::Array(items) => items.iter().any(contains_mask),
        Value::Object(members) => members.values().any(contains_mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

// === the wire ===

/// The body of a create (`name` and `type` given) or an update.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    connector_type: Option<&'a str>,
    config: Exposed<'a>,
}

/// A configuration on its way out: the one form of it that can be serialised.
pub(super) struct Exposed<'a>(pub &'a Config);

impl<'a> Body<'a> {
    pub(super) fn create(
        name: &'a str,
        key: Option<&'a str>,
        connector_type: &'a str,
        config: &'a Config,
    ) -> Self {
        Self {
            name: Some(name),
            key,
            connector_type: Some(connector_type),
            config: Exposed(config),
        }
    }

    pub(super) fn update(config: &'a Config) -> Self {
        Self {
            name: None,
            key: None,
            connector_type: None,
            config: Exposed(config),
        }
    }
}

impl<'a> Carried<'a> for Body<'a> {
    fn masked(&self) -> Vec<String> {
        self.config.0.masked()
    }

    fn secrets(&self) -> Vec<&'a SecretString> {
        self.config.0.secrets().collect()
    }
}

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = &self.0.fields;
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, field) in fields {
            match field {
                Field::Plain(value) => map.serialize_entry(name, value)?,
                Field::Secret(secret) => map.serialize_entry(name, secret.expose_secret())?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::body::to_json;
    use super::*;

    fn observed(value: Value) -> Settings {
        match value {
            Value::Object(members) => members.into(),
            _ => panic!("a configuration is an object"),
        }
    }

    fn config() -> Config {
        Config::builder()
            .plain("remote_url", "dropbox://a")
            .plain("batch", 50)
            .plain("recursive", false)
            .secret("app_key", SecretString::from("k1"))
            .build()
    }

    #[test]
    fn a_configuration_that_shows_as_it_was_sent_has_not_drifted() {
        let shown = json!({"remote_url": "dropbox://a", "batch": 50.0, "recursive": false, "app_key": "k1", "added": 1});
        assert_eq!(config().drift(&observed(shown)), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_no_difference() {
        for unknown in [json!(MASK), json!(null), json!({"id": "x", "type": "rsa"})] {
            let shown = json!({"remote_url": unknown, "batch": unknown, "app_key": unknown});
            assert_eq!(config().drift(&observed(shown)), Vec::<String>::new());
        }
    }

    #[test]
    fn every_readable_difference_is_named() {
        let shown =
            json!({"remote_url": "dropbox://b", "batch": "50", "recursive": true, "app_key": "k2"});
        assert_eq!(
            config().drift(&observed(shown)),
            ["remote_url", "batch", "recursive", "app_key"]
        );
        assert_eq!(
            config().drift(&observed(json!({"app_key": 7}))),
            ["app_key"]
        );
    }

    #[test]
    fn a_digest_depends_on_every_value_and_on_the_key_but_not_on_the_order_of_fields() {
        let digest = config().digest(b"uid");
        let reordered = Config::builder()
            .secret("app_key", SecretString::from("k1"))
            .plain("recursive", false)
            .plain("batch", 50)
            .plain("remote_url", "dropbox://a")
            .build();
        assert_eq!(reordered.digest(b"uid"), digest);
        assert_ne!(config().digest(b"other uid"), digest);
        let rotated = Config::builder().secret("app_key", SecretString::from("k2"));
        let other = rotated
            .plain("recursive", false)
            .plain("batch", 50)
            .plain("remote_url", "dropbox://a")
            .build();
        assert_ne!(other.digest(b"uid"), digest);
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }

    #[test]
    fn a_name_given_twice_keeps_the_later_value_and_its_place() {
        let config = Config::builder()
            .plain("a", 1)
            .plain("b", 2)
            .plain("a", 3)
            .build();
        assert_eq!(
            config.plain().collect::<Vec<_>>(),
            [("a", &json!(3)), ("b", &json!(2))]
        );
    }

    #[test]
    fn a_configurations_debug_shows_names_only() {
        assert_eq!(
            format!("{:?}", config()),
            r#"["remote_url", "batch", "recursive", "app_key"]"#
        );
    }

    proptest! {
        #[test]
        fn different_configurations_have_different_digests(
            one in proptest::collection::btree_map("[ab]{0,3}", ("[ab]{0,3}", any::<bool>()), 0..4),
            other in proptest::collection::btree_map("[ab]{0,3}", ("[ab]{0,3}", any::<bool>()), 0..4),
        ) {
            let digest = |fields: &std::collections::BTreeMap<String, (String, bool)>| {
                let config = fields.iter().fold(Config::builder(), |config, (name, (value, secret))| match secret {
                    true => config.secret(name, SecretString::from(value.as_str())),
                    false => config.plain(name, value.as_str()),
                });
                config.build().digest(b"uid")
            };
            prop_assert_eq!(digest(&one) == digest(&other), one == other);
        }

        #[test]
        fn a_body_holds_every_value_in_a_buffer_of_its_size(secret in "\\PC{0,40}", plain in "\\PC{0,40}") {
            let config = Config::builder().secret("s", SecretString::from(secret.as_str())).plain("p", plain.as_str()).build();
            let body = to_json(&Body::update(&config));
            prop_assert_eq!(body.len(), body.capacity());
            prop_assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"config": {"s": secret, "p": plain}}));
        }
    }
}
