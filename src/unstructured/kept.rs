//! What is kept of a connector's configuration: what somebody may ask for, and no more. The rest is passed over while it is read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::types::Settings;
use super::unreadable::Unreadable;

/// Bytes of a value that are kept. A longer one is cut: it can only differ from ours.
const LONGEST_VALUE: usize = 4096;

/// Bytes of a name that are kept: many times those of any name of ours, which a longer one can only differ from.
pub(super) const LONGEST_NAME: usize = 1000;

/// Which settings of a connector are kept of what is read. Clones share the names.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Every one.
    All,
    /// Those that somebody asks for.
    Only(Arc<RwLock<BTreeSet<Box<str>>>>),
}

impl Kept {
    /// These settings, and those that are added later.
    pub fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let kept = Self::Only(Arc::default());
        kept.add(names);
        kept
    }

    /// Keeps these settings too, from the next answer on.
    pub fn add<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let Self::Only(known) = self else { return };
        for name in names {
            let is_known = known
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(name);
            if !is_known {
                let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
                known.insert(name.into());
            }
        }
    }

    /// The settings of a configuration; none where it is no object.
    pub(super) fn read(&self, config: &RawValue) -> Result<Settings, Unreadable> {
        if !config.get().starts_with('{') {
            return Ok(Settings::default());
        }
        let mut json = serde_json::Deserializer::from_str(config.get());
        let settings = self.deserialize(&mut json);
        settings.map(Into::into).map_err(|_| Unreadable::SYNTAX)
    }

    fn includes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(name),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Kept {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Kept {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a configuration")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut kept = Map::new();
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if self.includes(&name) {
                let value: &RawValue = members.next_value()?;
                kept.insert(name.into_owned(), read(value).map_err(A::Error::custom)?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}

fn read(value: &RawValue) -> serde_json::Result<Value> {
    match value.get().as_bytes() {
        // Any list is another than one of ours that is so long, and this is the shortest.
        [b'[', ..] if value.get().len() > LONGEST_VALUE => Ok(Value::Array(Vec::new())),
        // An object is never looked into.
        [b'{', ..] => Ok(Value::Object(Map::new())),
        _ => serde_json::from_str(value.get()).map(|value| match value {
            Value::String(text) => Value::String(cut(text, LONGEST_VALUE)),
            value => value,
        }),
    }
}

/// At most so many bytes of a text, in no more room than that.
pub(super) fn cut(mut text: String, longest: usize) -> String {
    text.truncate(text.floor_char_boundary(longest));
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(kept: &Kept, config: &Value) -> Settings {
        let text = config.to_string();
        let raw: &RawValue = serde_json::from_str(&text).unwrap();
        kept.read(raw).unwrap()
    }

    #[test]
    fn what_nobody_asks_for_is_passed_over() {
        let config =
            json!({"remote_url": "dropbox://a", "recursive": true, "more": [[{}]], "n": 7});
        let all = kept(&Kept::All, &config);
        assert_eq!(
            (all.get("n"), all.get("more")),
            (Some(&json!(7)), Some(&json!([[{}]])))
        );
        let some = kept(&Kept::only(["recursive", "remote_url", "absent"]), &config);
        assert_eq!(some.get("remote_url"), Some(&json!("dropbox://a")));
        assert_eq!(some.get("recursive"), Some(&json!(true)));
        assert_eq!((some.get("n"), some.get("absent")), (None, None));
        for none in [json!(null), json!([1]), json!("text"), json!(7)] {
            assert_eq!(kept(&Kept::All, &none), Settings::default());
        }
    }

    #[test]
    fn a_value_that_is_longer_than_any_of_ours_takes_little_room_and_is_another_still() {
        let config = json!({
            "text": "x".repeat(1_000_000),
            "list": vec![0; 100_000],
            "object": {"a": vec![0; 100_000]},
        });
        let settings = kept(&Kept::All, &config);
        assert_eq!(
            settings.get("text"),
            Some(&json!("x".repeat(LONGEST_VALUE)))
        );
        assert_eq!(settings.get("list"), Some(&json!([])));
        assert_eq!(settings.get("object"), None);
        assert!(settings.size() < 2 * LONGEST_VALUE);
    }
}
