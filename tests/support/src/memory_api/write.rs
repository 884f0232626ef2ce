//! Creates, changes and deletions, with the checks that the real server makes, in its order.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::checks::{
    check_finalizers, check_preconditions, merge, prune_empty, prune_null, settle,
};
use super::fields::{Manager, Owners};
use super::refusal::Refusal;
use super::schema;
use super::store::{Definition, Store, is_going, is_held};
use super::target::{DEFINITIONS, Place, Target};

/// The finalizer with which the server cleans up the instances of a definition.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
/// The finalizer of a foreground deletion.
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// A change that a client asks for.
pub(super) enum Write {
    Create(Value),
    Replace(Value),
    Merge(Value),
    Apply { config: Value, force: bool },
    Delete(Value),
}

/// What a write came to.
pub(super) enum Written {
    Created(Arc<Value>),
    Changed(Arc<Value>),
    Removed(Arc<Value>),
}

impl Write {
    pub fn of(
        method: &Method,
        content_type: &[u8],
        force: bool,
        body: &[u8],
    ) -> serde_json::Result<Self> {
        let body: Value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body)?
        };
        Ok(match (method.as_str(), content_type) {
            ("DELETE", _) => Self::Delete(body),
            ("POST", _) => Self::Create(body),
            ("PUT", _) => Self::Replace(body),
            (_, b"application/merge-patch+json") => Self::Merge(body),
            _ => Self::Apply {
                config: body,
                force,
            },
        })
    }
}

impl Store {
    pub fn write(
        &mut self,
        target: &Target,
        manager: &str,
        write: Write,
    ) -> Result<Written, Refusal> {
        match write {
            Write::Create(object) => self.create(target, &updater(manager, false), object),
            Write::Delete(options) => self.delete(target, &options),
            Write::Apply { config, .. } if self.is_new(target, &config)? => {
                let manager = Manager {
                    applies: true,
                    ..updater(manager, false)
                };
                self.create(target, &manager, config)
            }
            other => self.change(target, manager, other).map(|object| {
                let removed = is_going(&object) && !is_held(&object);
                if removed {
                    Written::Removed(object)
                } else {
                    Written::Changed(object)
                }
            }),
        }
    }

    /// Whether applying this makes an object. Whoever applies has to know the definition: what it does not have is refused, not
    /// pruned.
    fn is_new(&self, target: &Target, config: &Value) -> Result<bool, Refusal> {
        let definition = self.definition_of(target)?.ok_or_else(not_implemented)?;
        let place = target.place().ok_or_else(Refusal::no_such_path)?;
        let missing = self.stored(&place).is_none();
        if missing && target.status {
            return Err(Refusal::not_found(target, &place.name));
        }
        let Some(path) = schema::undeclared(definition.schema(), config) else {
            return Ok(missing);
        };
        let message = format!(
            "failed to create typed patch object ({}/{}; {}, Kind={}): {path}: field not declared in schema",
            target.namespace.as_deref().unwrap_or_default(),
            target.name.as_deref().unwrap_or_default(),
            config["apiVersion"].as_str().unwrap_or_default(),
            config["kind"].as_str().unwrap_or_default(),
        );
        Err(Refusal::new(500, "", message))
    }

    /// Whether the definition has every field of a replacement: a client that asks for strict validation is refused then, and nothing
    /// is pruned.
    pub fn knows_all_of(&self, target: &Target, write: &Write) -> Result<(), Refusal> {
        let (Some(definition), Write::Replace(body)) = (self.definition_of(target)?, write) else {
            return Ok(());
        };
        match schema::undeclared(definition.schema(), body) {
            None => Ok(()),
            Some(path) => Err(Refusal::undecodable(body, path.trim_start_matches('.'))),
        }
    }

    fn create(
        &mut self,
        target: &Target,
        manager: &Manager,
        mut object: Value,
    ) -> Result<Written, Refusal> {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let definition = self.definition_of(target)?;
        let schema = definition.as_ref().map(Definition::schema);
        if definition.as_ref().is_some_and(Definition::is_going) {
            let message = "create not allowed while custom resource definition is terminating";
            return Err(Refusal::new(405, "MethodNotAllowed", message));
        }
        if let Some(namespace) = &target.namespace {
            match self.get(&Place::namespace_object(namespace)) {
                None => {
                    let message = format!("namespaces {namespace:?} not found");
                    return Err(Refusal::new(404, "NotFound", message));
                }
                Some(home) if is_going(home) => {
                    return Err(Refusal::terminating_namespace(target, &name, namespace));
                }
                Some(_) => {}
            }
        }
        let place = target.named(&name);
        let metadata = &mut object["metadata"];
        for given in [
            "deletionTimestamp",
            "resourceVersion",
            "managedFields",
            "selfLink",
        ] {
            metadata[given] = Value::Null;
        }
        metadata["uid"] = json!(crate::wall::uuid().to_string());
        metadata["creationTimestamp"] = now();
        metadata["namespace"] = json!(target.namespace);
        if has_generation(target) {
            metadata["generation"] = json!(1);
        }
        if place.is_namespace() {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({ "phase": "Active" });
        }
        if place.is_definition() {
            object["metadata"]["finalizers"] = json!([CLEANUP]);
        }
        if let Some(schema) = schema {
            object["status"] = Value::Null;
            prune_null(&mut object);
            settle(target, &name, schema, &mut object)?;
        }
        prune_null(&mut object);
        if self.get(&place).is_some() {
            return Err(Refusal::exists(target, &name));
        }
        let mut owners = Owners::default();
        if schema.is_some() {
            // Nobody owns a status that is nothing but defaults.
            let mut given = object.clone();
            given["status"] = Value::Null;
            owners.updated(manager, schema, &Value::Null, &given);
        }
        Ok(Written::Created(self.commit(&place, object, owners)))
    }

    fn change(
        &mut self,
        target: &Target,
        manager: &str,
        write: Write,
    ) -> Result<Arc<Value>, Refusal> {
        let definition = self.definition_of(target)?;
        let schema = definition.as_ref().map(Definition::schema);
        let place = target.place().ok_or_else(Refusal::no_such_path)?;
        let name = &place.name;
        let stored = self
            .stored(&place)
            .ok_or_else(|| Refusal::not_found(target, name))?;
        let (current, mut owners) = (stored.object.clone(), stored.owners.clone());
        let (replaces, stored_fresh) = (matches!(write, Write::Replace(_)), stored.fresh);
        let (applies, body) = match write {
            Write::Create(_) | Write::Delete(_) => unreachable!("handled by the caller"),
            Write::Replace(body) => {
                let version = &body["metadata"]["resourceVersion"];
                if schema.is_some() && version.as_str().is_none_or(str::is_empty) {
                    let why = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
                    return Err(Refusal::invalid(target, name, why));
                }
                if let Some(uid) = body["metadata"]["uid"].as_str()
                    && current["metadata"]["uid"] != uid
                {
                    let why = format!(
                        "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                        current["metadata"]["uid"].as_str().unwrap_or_default()
                    );
                    return Err(Refusal::conflict(target, name, &why));
                }
                (false, body)
            }
            Write::Merge(patch) => {
                let mut merged = (*current).clone();
                merge(&mut merged, patch);
                (false, merged)
            }
            Write::Apply { config, force } => {
                let manager = Manager {
                    name: manager.to_owned(),
                    applies: true,
                    status: target.status,
                };
                let next = owners
                    .applied(&manager, schema, &current, &config, force)
                    .map_err(|contested| Refusal::new(409, "Conflict", contested.0))?;
                (true, next)
            }
        };
        check_preconditions(target, name, &current, &body)?;
        let mut next = if target.status {
            let mut next = (*current).clone();
            next["status"] = body["status"].clone();
            next
        } else {
            let mut next = body;
            if schema.is_some() {
                next["status"] = current["status"].clone();
            }
            next
        };
        prune_null(&mut next);
        if let Some(schema) = schema {
            settle(target, name, schema, &mut next)?;
        }
        for kept in [
            "name",
            "namespace",
            "uid",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "resourceVersion",
        ] {
            next["metadata"][kept] = current["metadata"][kept].clone();
        }
        if let Some(metadata) = next["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        prune_null(&mut next);
        prune_empty(&mut next["metadata"]);
        check_finalizers(target, name, &current, &next)?;
        if has_generation(target) && next["spec"] != current["spec"] {
            next["metadata"]["generation"] = generation_after(&current);
        }
        if schema.is_some() && !applies {
            let manager = updater(manager, target.status);
            owners.updated(&manager, schema, &current, &next);
        }
        if replaces && stored_fresh && !is_going(&next) {
            return Ok(self.announce("MODIFIED", &place, next, owners));
        }
        Ok(self.commit(&place, next, owners))
    }

    fn delete(&mut self, target: &Target, options: &Value) -> Result<Written, Refusal> {
        self.definition_of(target)?;
        let place = target.place().ok_or_else(Refusal::no_such_path)?;
        let name = &place.name;
        let stored = self
            .stored(&place)
            .ok_or_else(|| Refusal::not_found(target, name))?
            .clone();
        for field in ["uid", "resourceVersion"] {
            let asked = &options["preconditions"][field];
            let known = &stored.object["metadata"][field];
            if !asked.is_null() && asked != known {
                let what = if field == "uid" {
                    "UID"
                } else {
                    "ResourceVersion"
                };
                let why = format!(
                    "Precondition failed: {what} in precondition: {}, {what} in object meta: {}",
                    asked.as_str().unwrap_or_default(),
                    known.as_str().unwrap_or_default()
                );
                return Err(Refusal::conflict(target, name, &why));
            }
        }
        let mut next = (*stored.object).clone();
        if options["propagationPolicy"] == "Foreground" {
            let metadata = &mut next["metadata"];
            let mut finalizers = metadata["finalizers"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if !finalizers.iter().any(|f| f == FOREGROUND) {
                finalizers.push(json!(FOREGROUND));
            }
            metadata["finalizers"] = json!(finalizers);
        }
        if !is_going(&next) {
            next["metadata"]["deletionTimestamp"] = now();
            if has_generation(target) {
                next["metadata"]["generation"] = generation_after(&next);
            }
            if place.is_namespace() {
                next["status"]["phase"] = json!("Terminating");
            }
        }
        let held = is_held(&next);
        let object = self.commit(&place, next, stored.owners);
        Ok(if held {
            Written::Changed(object)
        } else {
            Written::Removed(object)
        })
    }
}

fn not_implemented() -> Refusal {
    Refusal::new(
        501,
        "NotImplemented",
        "only custom resources can be applied here",
    )
}

fn updater(name: &str, status: bool) -> Manager {
    Manager {
        name: name.to_owned(),
        applies: false,
        status,
    }
}

fn has_generation(target: &Target) -> bool {
    target.is_custom() || target.collection == DEFINITIONS
}

fn generation_after(current: &Value) -> Value {
    json!(
        current["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default()
            + 1
    )
}

fn now() -> Value {
    let second = crate::wall::now().as_second();
    json!(
        jiff::Timestamp::from_second(second)
            .unwrap_or_default()
            .to_string()
    )
}
