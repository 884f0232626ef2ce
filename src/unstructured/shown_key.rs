//! How the key of a connector is read from an answer.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::kept::cut;
use super::types::Key;

/// Characters of a key that are kept: one more than any key of ours has.
const LONGEST: usize = 64;

/// A member that is there, null included.
pub(super) fn whatever_it_is<'de, D: Deserializer<'de>>(
    json: D,
) -> Result<Option<Value>, D::Error> {
    Value::deserialize(json).map(Some)
}

/// What is no text is no key of ours.
pub(super) fn read(member: Option<Value>) -> Key {
    match member {
        None => Key::Unshown,
        Some(Value::String(key)) => Key::Given(cut(key, LONGEST).into()),
        Some(_) => Key::Absent,
    }
}
