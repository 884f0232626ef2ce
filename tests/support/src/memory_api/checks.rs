//! What a change has to pass before it is stored, and the shape that it takes.

use serde_json::{Map, Value, json};

use super::refusal::Refusal;
use super::schema;
use super::store::is_going;
use super::target::Target;

/// Brings an instance into the shape that its definition wants, or says why it cannot be.
pub(super) fn settle(
    target: &Target,
    name: &str,
    schema: &Value,
    object: &mut Value,
) -> Result<(), Refusal> {
    schema::shape(schema, object);
    match schema::faults(schema, object) {
        Some(why) => Err(Refusal::invalid(target, name, &why)),
        None => Ok(()),
    }
}

pub(super) fn check_preconditions(
    target: &Target,
    name: &str,
    current: &Value,
    body: &Value,
) -> Result<(), Refusal> {
    let asked = |field: &str| {
        let asked = body["metadata"][field]
            .as_str()
            .filter(|asked| !asked.is_empty());
        asked.filter(|asked| current["metadata"][field] != **asked)
    };
    if asked("resourceVersion").is_some() {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Refusal::conflict(target, name, why));
    }
    if let Some(uid) = asked("uid") {
        let why = format!("metadata.uid: Invalid value: {uid:?}: field is immutable");
        return Err(Refusal::invalid(target, name, &why));
    }
    Ok(())
}

pub(super) fn check_finalizers(
    target: &Target,
    name: &str,
    current: &Value,
    next: &Value,
) -> Result<(), Refusal> {
    let list = |object: &Value| {
        object["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let known = list(current);
    if is_going(current)
        && list(next)
            .iter()
            .any(|finalizer| !known.contains(finalizer))
    {
        let why = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted";
        return Err(Refusal::invalid(target, name, why));
    }
    Ok(())
}

/// RFC 7386.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in patch {
        if value.is_null() {
            if let Some(members) = target.as_object_mut() {
                members.remove(&name);
            }
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Metadata that hold nothing are not there either.
pub(super) fn prune_empty(metadata: &mut Value) {
    let is_empty = |value: &Value| {
        value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
    };
    if let Some(members) = metadata.as_object_mut() {
        members.retain(|_, value| !is_empty(value));
    }
}

/// Takes out members that are null: they are not there.
pub(super) fn prune_null(object: &mut Value) {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(prune_null);
    }
}
