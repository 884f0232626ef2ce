//! What a refusal of a create says of the key that was sent. Told apart by what the service names and how it says it: to take one
//! for the other could make a second object.

use serde_json::Value;

/// What the service has against the key in a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyObjection {
    /// It takes no key, or none of this form: the same create without one is worth sending.
    Refused,
    /// Another object has it, or may have: what was asked for may be there.
    Taken,
}

/// Words of a validator that looks at nothing but the request.
const REFUSED: [&str; 12] = [
    "extra_forbidden",
    "string_pattern_mismatch",
    "string_too_long",
    "string_too_short",
    "string_type",
    "not permitted",
    "not allowed",
    "not supported",
    "unsupported",
    "unexpected",
    "unknown field",
    "unrecognized",
];

/// Words about other objects.
const TAKEN: [&str; 7] = [
    "already",
    "exists",
    "taken",
    "in use",
    "unique",
    "duplicate",
    "conflict",
];

/// What one complaint of a list says: `{"loc": ["body", "key"], "type": …, "msg": …}` or `{"field": "key", "message": …}`. A
/// configuration may have a field of the same name, whose location has `config` before it.
pub(super) fn in_item(item: &Value) -> Option<KeyObjection> {
    let (is_located, field) = match (item.get("loc"), item.get("field")) {
        (Some(location), _) => (true, location.as_array()?.last()?),
        (None, field) => (false, field?),
    };
    let at = item.get("loc").and_then(Value::as_array);
    let is_elsewhere = at.is_some_and(|at| at.len() > 2 || at.first() != Some(&"body".into()));
    if is_elsewhere || !matches!(field.as_str(), Some("key" | "body.key")) {
        return None;
    }
    let words: Vec<_> = ["type", "msg", "message"]
        .iter()
        .filter_map(|member| item.get(member)?.as_str())
        .map(str::to_lowercase)
        .collect();
    let says = |list: &[&str]| {
        let mut said = words.iter();
        said.any(|text| list.iter().any(|word| text.contains(word)))
    };
    match (says(&TAKEN), says(&REFUSED)) {
        (true, _) => Some(KeyObjection::Taken),
        (false, true) => Some(KeyObjection::Refused),
        // Of a `key` that may be the configuration's, nothing is said that concerns ours.
        (false, false) => is_located.then_some(KeyObjection::Taken),
    }
}

/// What a text says. That the key is taken has to be in it; that keys are refused is not believed of a text, which names no field.
pub(super) fn in_words(text: &str) -> Option<KeyObjection> {
    let text = text.to_lowercase();
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    let names_it = words.any(|word| word == "key");
    let is_taken = TAKEN.iter().any(|word| text.contains(word));
    (names_it && is_taken).then_some(KeyObjection::Taken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_the_key_is_told_apart_from_what_is_said_of_anything_else() {
        use KeyObjection::{Refused, Taken};
        let table = [
            (
                json!({"loc": ["body", "key"], "type": "extra_forbidden", "msg": "Extra inputs are not permitted"}),
                Some(Refused),
            ),
            (
                json!({"loc": ["body", "key"], "type": "string_pattern_mismatch", "msg": "String should match pattern"}),
                Some(Refused),
            ),
            (
                json!({"loc": ["body", "key"], "type": "value_error", "msg": "Key a already exists"}),
                Some(Taken),
            ),
            (
                json!({"loc": ["body", "key"], "type": "value_error", "msg": "Invalid"}),
                Some(Taken),
            ),
            (
                json!({"loc": ["body", "config", "key"], "type": "extra_forbidden", "msg": "no"}),
                None,
            ),
            (
                json!({"loc": ["body", "name"], "msg": "already exists"}),
                None,
            ),
            (json!({"loc": "key", "msg": "already exists"}), None),
            (
                json!({"field": "key", "message": "Unknown field"}),
                Some(Refused),
            ),
            (
                json!({"field": "key", "message": "Key a already exists"}),
                Some(Taken),
            ),
            (
                json!({"field": "key", "message": "Field is required"}),
                None,
            ),
            (
                json!({"field": "access_config.key", "message": "not allowed"}),
                None,
            ),
            (json!({}), None),
        ];
        for (item, said) in table {
            assert_eq!(in_item(&item), said, "{item}");
        }
    }

    #[test]
    fn a_text_can_only_say_that_the_key_is_taken() {
        for (text, said) in [
            (
                "Key legal-contracts-0 already exists",
                Some(KeyObjection::Taken),
            ),
            (
                "a connector with this key exists",
                Some(KeyObjection::Taken),
            ),
            ("a connector of this name already exists", None),
            ("key: not permitted", None),
            ("monkeys already exist", None),
            ("", None),
        ] {
            assert_eq!(in_words(text), said, "{text}");
        }
    }
}
