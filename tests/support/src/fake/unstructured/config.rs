//! A connector's configuration: what an answer shows of it, and what is refused.

use serde_json::{Map, Value, json};

use super::{
    answers::FieldError,
    rules::Masking,
    types::{Field, Kind, Type},
};

/// A connector's `config` object.
pub type Config = Map<String, Value>;

/// What the service shows in place of a secret, whatever its length.
pub const MASK: &str = "**********";

/// What an answer shows of a configuration. Of a type that the service does not know, nothing is known to be secret.
pub(super) fn shown(
    known: Option<&Type>,
    config: &Config,
    masking: Masking,
    fill_defaults: bool,
) -> Config {
    let mut shown = config.clone();
    shown.retain(|_, value| !value.is_null());
    for field in known.map_or(&[][..], |known| &known.fields) {
        let name = field.name;
        if let (true, Some(default)) = (fill_defaults, &field.default) {
            shown.entry(name).or_insert_with(|| default.clone());
        }
        let Some(value) = shown.get_mut(name).filter(|_| field.secret) else {
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
pub(super) fn faults(known: &Type, config: &Config) -> Vec<FieldError> {
    let mut faults = Vec::new();
    for field in &known.fields {
        if let Some(message) = fault(field, config.get(field.name)) {
            faults.push((path(field), message));
        }
    }
    let lacks = |name: &&str| {
        let field = known.fields.iter().find(|field| field.name == *name);
        field.filter(|field| !given(field, config.get(*name)))
    };
    let complete = |all: &Vec<&str>| all.iter().all(|name| lacks(name).is_none());
    if !known.alternatives.iter().any(complete) {
        let last = known.alternatives.last().into_iter().flatten();
        let missing = last.filter_map(lacks).map(path);
        faults.extend(missing.map(|path| (path, REQUIRED.to_owned())));
    }
    faults
}

const REQUIRED: &str = "Field is required";

/// The dotted path under which the service speaks of a field.
fn path(field: &Field) -> String {
    if field.secret {
        format!("access_config.{}", field.name)
    } else {
        field.name.to_owned()
    }
}

/// Whether a value is there. An empty text can be one (a Pinecone index that is yet to be made), but no secret.
fn given(field: &Field, value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !(field.secret && text.is_empty()),
        Some(Value::Object(_)) => !field.secret || field.kind == Kind::Reference,
        Some(_) => !field.secret,
    }
}

fn fault(field: &Field, value: Option<&Value>) -> Option<String> {
    let Some(value) = value.filter(|value| given(field, Some(value))) else {
        return field.required.then(|| REQUIRED.to_owned());
    };
    let kind = match (field.kind, value) {
        (Kind::Text | Kind::Reference, Value::String(text)) => {
            let wrong = field.pattern.as_ref().filter(|p| !p.matches(text))?;
            return Some(format!(
                "String should match pattern '{}'",
                wrong.expression()
            ));
        }
        (Kind::Reference, Value::Object(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::List, Value::Array(_)) => return None,
        (Kind::Integer, Value::Number(number)) if !number.is_f64() => return None,
        // As pydantic does.
        (Kind::Integer, Value::String(digits)) if digits.parse::<i64>().is_ok() => return None,
        (Kind::Text | Kind::Reference, _) => "string",
        (Kind::Boolean, _) => "boolean",
        (Kind::List, _) => "list",
        (Kind::Integer, _) => "integer",
    };
    Some(format!("Input should be a valid {kind}"))
}

/// The members whose value is a mask.
pub(super) fn masked(config: &Config) -> Vec<String> {
    let masked = config
        .iter()
        .filter(|(_, value)| value.to_string().contains(MASK));
    masked.map(|(name, _)| name.clone()).collect()
}
