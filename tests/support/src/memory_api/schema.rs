//! What a definition's schema makes of an object: unknown fields are pruned, defaults filled in, and what is wrong is named.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The schema of one version in a definition.
pub(super) fn of<'a>(definition: &'a Value, version: &str) -> Option<&'a Value> {
    let versions = definition["spec"]["versions"].as_array()?;
    let version = versions.iter().find(|v| v["name"] == version)?;
    Some(&version["schema"]["openAPIV3Schema"])
}

/// The member of a list by which its items are told apart, if it is a map in truth.
pub(super) fn key_of(schema: Option<&Value>) -> Option<&str> {
    let schema = schema?;
    (schema["x-kubernetes-list-type"] == "map")
        .then(|| schema["x-kubernetes-list-map-keys"][0].as_str())?
}

/// The schema of a member.
pub(super) fn member<'a>(schema: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    schema?["properties"].get(name)
}

/// Takes out what the schema does not know, and fills in what it knows better. At the root, the metadata are nobody's business here.
pub(super) fn shape(schema: &Value, object: &mut Value) {
    let Some(members) = object.as_object_mut() else {
        return;
    };
    for part in ["spec", "status"] {
        let Some(schema) = member(Some(schema), part) else {
            members.remove(part);
            continue;
        };
        if let (None, Some(default)) = (members.get(part), schema.get("default")) {
            members.insert(part.to_owned(), default.clone());
        }
        if let Some(value) = members.get_mut(part) {
            shape_value(schema, value);
        }
    }
    members.retain(|name, _| {
        matches!(
            name.as_str(),
            "apiVersion" | "kind" | "metadata" | "spec" | "status"
        )
    });
}

fn shape_value(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            let Some(known) = schema["properties"].as_object() else {
                return;
            };
            members.retain(|name, _| known.contains_key(name));
            for (name, schema) in known {
                if let (None, Some(default)) = (members.get(name), schema.get("default")) {
                    members.insert(name.clone(), default.clone());
                }
                if let Some(value) = members.get_mut(name) {
                    shape_value(schema, value);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                shape_value(&schema["items"], item);
            }
        }
        _ => {}
    }
}

/// The first field that the schema does not know, or knows to be of another type.
pub(super) fn undeclared(schema: &Value, object: &Value) -> Option<String> {
    let members = object.as_object()?;
    members.iter().find_map(|(name, value)| {
        if matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
            return None;
        }
        match member(Some(schema), name) {
            Some(schema) => undeclared_in(schema, value, &format!(".{name}")),
            None => Some(format!(".{name}")),
        }
    })
}

fn undeclared_in(schema: &Value, value: &Value, path: &str) -> Option<String> {
    let differs = |wanted: &str| wanted != kind(value);
    if !value.is_null() && schema["type"].as_str().is_some_and(differs) {
        return Some(path.to_owned());
    }
    match value {
        Value::Object(members) => {
            let known = schema["properties"].as_object()?;
            members.iter().find_map(|(name, value)| {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => undeclared_in(schema, value, &path),
                    None => Some(path),
                }
            })
        }
        Value::Array(items) => items
            .iter()
            .find_map(|item| undeclared_in(&schema["items"], item, path)),
        _ => None,
    }
}

/// Everything that the schema has against an object, in one line; `None` if nothing.
pub(super) fn faults(schema: &Value, object: &Value) -> Option<String> {
    let mut found = Vec::new();
    for part in ["spec", "status"] {
        match (member(Some(schema), part), object.get(part)) {
            (Some(schema), Some(value)) => check(schema, value, part, &mut found),
            (Some(_), None) if requires(schema, part) => found.push(required(part)),
            _ => {}
        }
    }
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

fn requires(schema: &Value, name: &str) -> bool {
    let required = schema["required"].as_array();
    required.is_some_and(|required| required.iter().any(|known| known == name))
}

fn required(path: &str) -> String {
    format!("{path}: Required value")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Null => "null",
    }
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let kind = kind(value);
    if let Some(wanted) = schema["type"].as_str().filter(|wanted| *wanted != kind) {
        let mut text = format!("{path}: Invalid value: {kind:?}: {path} in body must be of type ");
        let _ = write!(text, "{wanted}: {kind:?}");
        return found.push(text);
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{path}: Unsupported value: {value}"));
    }
    match value {
        Value::Object(members) => {
            check_members(schema, members, path, found);
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{number}]"), found);
            }
        }
        _ => {}
    }
}

fn check_members(
    schema: &Value,
    members: &Map<String, Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    let wanted = schema["required"].as_array().into_iter().flatten();
    for name in wanted.filter_map(Value::as_str) {
        if !members.contains_key(name) {
            found.push(required(&format!("{path}.{name}")));
        }
    }
    for (name, value) in members {
        if let Some(schema) = schema["properties"].get(name) {
            check(schema, value, &format!("{path}.{name}"), found);
        }
    }
}
