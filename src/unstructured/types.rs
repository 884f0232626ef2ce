//! What the API speaks of: source connectors and their connection checks. Read leniently, because real answers differ from the
//! published schema; identity and name alone must be there.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::ids::ConnectorId;

/// What the service shows in place of a secret, whatever its length.
pub const MASK: &str = "**********";

/// What an allocation takes beside what is asked for, at most.
pub(super) const PER_ALLOCATION: usize = 16;

/// The key of a connector as the service shows it: a name that its creator chose, which nobody can change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// Answers have no such member: the service knows no keys, or ignores those that it is given.
    #[default]
    Unshown,
    /// None.
    Absent,
    /// This one.
    Given(Box<str>),
}

/// A source connector as the service shows it. Thousands are held at a time, so none has room to spare.
#[derive(Clone, PartialEq)]
pub struct Connector {
    /// Its identity, for life.
    pub id: ConnectorId,
    /// Its name, for life. Nothing says that names are unique.
    pub name: Box<str>,
    /// Its key, for life. Not every service has keys, and nothing says that they are unique.
    pub key: Key,
    /// Which kind of source, for example `dropbox`.
    pub connector_type: Box<str>,
    /// What can be read of its configuration.
    pub settings: Settings,
    /// When it was created, where the answer says so readably.
    pub created_at: Option<Timestamp>,
}

/// Whether two names stand for one type. The service's filter took ours; how an answer spells it is not for certain.
pub(super) fn is_same_type(one: &str, other: &str) -> bool {
    let plain = |byte: u8| {
        if byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    one == other || one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// The fields of a connector's configuration whose value the service shows, those included that it filled in itself.
///
/// A value that is masked, null or an object (a reference to a secret) is unknown, and is as if it were absent.
#[derive(Clone, Default, PartialEq)]
pub struct Settings(Box<[(Box<str>, Value)]>);

/// Where a connection check stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// Not finished.
    Scheduled,
    /// The service reached the source with the connector's credentials.
    Success,
    /// It did not.
    Failure,
    /// A word that is not documented. Treat as not finished.
    Other(String),
}

/// The service's own test of a connector against the system it reads from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Tells this check from earlier ones: the service only ever returns the latest.
    pub id: Uuid,
    /// Where it stands.
    pub status: CheckStatus,
    /// Why it failed, in the service's words: one line, bounded, without the API key or anything that looks like a credential.
    /// Pass it through [`Config::scrub`](super::Config::scrub) before showing it, which knows the values that were sent.
    pub reason: Option<String>,
}

// === impl Connector ===

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            name,
            key,
            connector_type,
            settings,
            created_at,
        } = self;
        f.debug_struct("Connector")
            .field("id", id)
            .field("name", name)
            .field("key", key)
            .field("connector_type", connector_type)
            .field("settings", settings)
            .field("created_at", created_at)
            .finish()
    }
}

impl Connector {
    /// Whether it is of this type, however the service spells it.
    pub fn is_of_type(&self, connector_type: &str) -> bool {
        is_same_type(&self.connector_type, connector_type)
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let Self {
            name,
            key,
            connector_type,
            settings,
            ..
        } = self;
        size_of::<Self>()
            + size_of_val(&**name)
            + key.get().map_or(0, size_of_val)
            + size_of_val(&**connector_type)
            + settings.size()
            + 4 * PER_ALLOCATION
    }
}

// === impl Key ===

impl Key {
    /// The key itself, if there is one.
    pub fn get(&self) -> Option<&str> {
        match self {
            Self::Unshown | Self::Absent => None,
            Self::Given(key) => Some(key),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// The value of a field, if it is known.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(known, _)| **known == *name)?;
        Some(value)
    }
}

impl Settings {
    /// Bytes that they take.
    pub(super) fn size(&self) -> usize {
        let heap = |(name, value): &(Box<str>, Value)| {
            size_of_val(&**name) + size_of::<(Box<str>, Value)>() + heap(value) + PER_ALLOCATION
        };
        self.0.iter().map(heap).sum()
    }
}

/// Bytes behind a value, at most.
pub(super) fn heap(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.capacity() + PER_ALLOCATION,
        Value::Array(items) => {
            items.iter().map(heap).sum::<usize>()
                + items.capacity() * size_of::<Value>()
                + PER_ALLOCATION
        }
        // Only of a list is it kept; a node of the map has room for eleven.
        Value::Object(members) => {
            let heap = |(name, value): (&String, &Value)| name.capacity() + heap(value);
            members.iter().map(heap).sum::<usize>() + (members.len() + 11) * 64
        }
    }
}

impl From<Map<String, Value>> for Settings {
    fn from(config: Map<String, Value>) -> Self {
        let known = config.into_iter().filter(|(_, value)| match value {
            Value::Null | Value::Object(_) => false,
            Value::String(text) => text != MASK,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) => true,
        });
        Self(known.map(|(name, value)| (name.into(), value)).collect())
    }
}

/// The names of the fields, never their values: the service is expected to mask secrets, but that is its promise.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// Reads RFC 3339, and a time without a zone as UTC: the service writes both. Anything else is no time.
pub(super) fn timestamp(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    text.parse().ok().or_else(|| {
        let naive: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(naive).ok()
    })
}

// === impl CheckStatus ===

impl CheckStatus {
    /// Whether the check has ended.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}

impl From<&str> for CheckStatus {
    fn from(word: &str) -> Self {
        match word {
            "SCHEDULED" => Self::Scheduled,
            "SUCCESS" => Self::Success,
            "FAILURE" => Self::Failure,
            other => Self::Other(other.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_without_a_zone_is_utc_and_an_odd_one_is_none() {
        let time = timestamp(&json!("2025-09-10T21:34:39.811955Z"));
        assert!(time.is_some());
        assert_eq!(timestamp(&json!("2025-09-10T21:34:39.811955")), time);
        assert_eq!(timestamp(&json!("2025-09-10T23:34:39.811955+02:00")), time);
        for odd in [
            json!(null),
            json!(17),
            json!("yesterday"),
            json!("2025-13-40T00:00:00Z"),
            json!({}),
        ] {
            assert_eq!(timestamp(&odd), None, "{odd}");
        }
    }

    #[test]
    fn a_connectors_debug_shows_no_value_of_its_configuration() {
        let source = Connector {
            id: "7cf30ead-cf54-479f-a897-b5fbe8790b76".parse().unwrap(),
            name: "contracts".into(),
            key: Key::Absent,
            connector_type: "dropbox".into(),
            settings: Map::from_iter([("app_key".into(), json!("in clear"))]).into(),
            created_at: None,
        };
        let shown = format!("{source:?}");
        assert!(
            shown.contains("app_key") && !shown.contains("in clear"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn no_time_panics(text in "\\PC{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{0,20}(Z|[+-][0-9:]{2,6})?") {
            let _ = timestamp(&json!(text));
        }
    }
}
