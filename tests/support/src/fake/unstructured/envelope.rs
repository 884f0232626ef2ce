//! The outer validation of a request, with `FastAPI`'s answers: 422 and a list of what is wrong where.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{answers, config::Config, rules::Rules};
use crate::fake::{Answer, Recorded};

/// One item of a 422: what is wrong (`FastAPI`'s name for it), where, in words, and what was there.
pub(super) struct Invalid<'a> {
    pub(super) kind: &'a str,
    pub(super) loc: &'a [&'a str],
    pub(super) message: &'a str,
    pub(super) input: Value,
}

impl Invalid<'_> {
    pub(super) fn refused(self, rules: &Rules) -> Answer {
        answers::unprocessable(&[self.item(rules)])
    }

    pub(super) fn item(self, rules: &Rules) -> Value {
        let mut item = json!({ "type": self.kind, "loc": self.loc, "msg": self.message });
        if rules.echo_input {
            item["input"] = self.input;
        }
        item
    }
}

/// A parameter of the path or the query that must be a UUID, in its usual form.
pub(super) fn uuid(id: &str, loc: &[&str], rules: &Rules) -> Result<String, Answer> {
    let parsed = Uuid::parse_str(id).map_err(|error| {
        let strange = |c: char| !c.is_ascii_hexdigit() && c != '-';
        let why = match id.chars().zip(1..).find(|(c, _)| strange(*c)) {
            // As recorded; the crate behind it words it otherwise today.
            Some((c, position)) => format!(
                "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], \
                 found `{c}` at {position}"
            ),
            None => error.to_string(),
        };
        Invalid {
            kind: "uuid_parsing",
            loc,
            message: &format!("Input should be a valid UUID, {why}"),
            input: id.into(),
        }
        .refused(rules)
    })?;
    Ok(parsed.to_string())
}

/// The body as an object, whatever its members.
pub(super) fn object(request: &Recorded, rules: &Rules) -> Result<Config, Answer> {
    let as_sent = || Value::from(String::from_utf8_lossy(&request.body));
    if request.body.is_empty() {
        let missing = Invalid {
            kind: "missing",
            loc: &["body"],
            message: "Field required",
            input: Value::Null,
        };
        return Err(missing.refused(rules));
    }
    let no_object = |input| Invalid {
        kind: "model_attributes_type",
        loc: &["body"],
        message: "Input should be a valid dictionary or object to extract fields from",
        input,
    };
    let is_json = request.header("content-type").is_some_and(|content_type| {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if !is_json {
        return Err(no_object(as_sent()).refused(rules));
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| {
        Invalid {
            kind: "json_invalid",
            loc: &["body"],
            message: "JSON decode error",
            input: json!({}),
        }
        .refused(rules)
    })?;
    match body {
        Value::Object(members) => Ok(members),
        other => Err(no_object(other).refused(rules)),
    }
}

/// The body as an object in which `texts` are strings and `config` is an object; other members are let through.
pub(super) fn body(request: &Recorded, texts: &[&str], rules: &Rules) -> Result<Config, Answer> {
    let members = object(request, rules)?;
    let item = |name: &str, kind, message, input: &Value| {
        let (loc, input) = (&["body", name][..], input.clone());
        let invalid = Invalid {
            kind,
            loc,
            message,
            input,
        };
        invalid.item(rules)
    };
    let wanted = texts.iter().copied().chain(["config"]);
    let items: Vec<_> = wanted
        .filter_map(|name| match members.get(name) {
            None => Some(item(name, "missing", "Field required", &json!(members))),
            Some(Value::Object(_)) if name == "config" => None,
            Some(other) if name == "config" => {
                let message = "Input should be a valid dictionary";
                Some(item(name, "dict_type", message, other))
            }
            Some(Value::String(_)) => None,
            Some(other) => {
                let message = "Input should be a valid string";
                Some(item(name, "string_type", message, other))
            }
        })
        .collect();
    if items.is_empty() {
        Ok(members)
    } else {
        Err(answers::unprocessable(&items))
    }
}
