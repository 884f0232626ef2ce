//! Who owns which field: what server-side apply may take away, and what it may not.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::schema::{key_of, member};

/// A field's place: names, and for an item of a keyed list its key, each behind a slash.
type Path = String;

/// Who wrote: the manager, whether by apply, and to which subresource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub name: String,
    pub applies: bool,
    pub status: bool,
}

/// The owners of an object's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Owners(BTreeMap<Manager, BTreeSet<Path>>);

/// Fields that somebody else owns with another value.
pub(super) struct Contested(pub String);

impl Owners {
    /// A write of the whole object: whoever changed a field owns it, and nobody owns what is gone.
    pub fn updated(
        &mut self,
        manager: &Manager,
        schema: Option<&Value>,
        before: &Value,
        after: &Value,
    ) {
        let (before, after) = (leaves(schema, before), leaves(schema, after));
        let changed: BTreeSet<_> = after
            .iter()
            .filter(|(path, value)| before.get(*path) != Some(value))
            .map(|(path, _)| path.clone())
            .collect();
        for (other, paths) in &mut self.0 {
            paths.retain(|path| {
                after.contains_key(path) && (other == manager || !changed.contains(path))
            });
        }
        if !changed.is_empty() {
            self.0.entry(manager.clone()).or_default().extend(changed);
        }
        self.0.retain(|_, paths| !paths.is_empty());
    }

    /// What becomes of an object to which somebody applies this configuration.
    pub fn applied(
        &mut self,
        manager: &Manager,
        schema: Option<&Value>,
        live: &Value,
        config: &Value,
        force: bool,
    ) -> Result<Value, Contested> {
        let wanted = leaves(schema, config);
        let found = leaves(schema, live);
        for (other, paths) in &mut self.0 {
            if other == manager {
                continue;
            }
            let differs = |path: &Path| {
                wanted
                    .get(path)
                    .is_some_and(|value| found.get(path) != Some(value))
            };
            if !force && let Some(path) = paths.iter().find(|path| differs(path)) {
                return Err(Contested(format!(
                    "Apply failed with 1 conflict: conflict with {:?}: {}",
                    other.name,
                    path.replace('/', ".")
                )));
            }
            paths.retain(|path| !differs(path));
        }
        let mine: BTreeSet<Path> = wanted.into_keys().collect();
        let last = self.0.insert(manager.clone(), mine).unwrap_or_default();
        let gone: BTreeSet<Path> = last
            .into_iter()
            .filter(|path| !self.0.values().any(|paths| paths.contains(path)))
            .collect();
        self.0.retain(|_, paths| !paths.is_empty());
        let mut next = live.clone();
        merge(schema, &mut next, config);
        remove(schema, &mut next, "", &gone);
        Ok(next)
    }
}

/// Every field that can be owned, with its value.
fn leaves(schema: Option<&Value>, object: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    for part in ["spec", "status"] {
        if let Some(value) = object.get(part) {
            collect(member(schema, part), value, &format!("/{part}"), &mut found);
        }
    }
    for part in ["labels", "annotations", "finalizers"] {
        if let Some(value) = object["metadata"].get(part) {
            collect(None, value, &format!("/metadata/{part}"), &mut found);
        }
    }
    found
}

fn collect(schema: Option<&Value>, value: &Value, path: &str, found: &mut BTreeMap<Path, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                collect(
                    member(schema, name),
                    value,
                    &format!("{path}/{name}"),
                    found,
                );
            }
        }
        Value::Array(items) => match key_of(schema) {
            None => {
                found.insert(path.to_owned(), value.clone());
            }
            Some(key) => {
                for item in items {
                    let path = item_path(path, key, item);
                    found.insert(path.clone(), Value::Null);
                    collect(schema.map(|schema| &schema["items"]), item, &path, found);
                }
            }
        },
        _ => {
            found.insert(path.to_owned(), value.clone());
        }
    }
}

fn item_path(path: &str, key: &str, item: &Value) -> Path {
    format!("{path}/[{key}={}]", item[key].as_str().unwrap_or_default())
}

/// Puts a configuration over an object: keyed lists item by item, everything else as in a merge patch.
fn merge(schema: Option<&Value>, target: &mut Value, config: &Value) {
    match config {
        Value::Object(config) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            for (name, value) in config {
                merge(member(schema, name), &mut target[name], value);
            }
        }
        Value::Array(items) => {
            let (Some(key), Some(known)) = (key_of(schema), target.as_array_mut()) else {
                target.clone_from(config);
                return;
            };
            for item in items {
                match known.iter_mut().find(|known| known[key] == item[key]) {
                    Some(known) => merge(schema.map(|schema| &schema["items"]), known, item),
                    None => known.push(item.clone()),
                }
            }
        }
        _ => target.clone_from(config),
    }
}

/// Takes these fields out, and what holds nothing any more. True if nothing is left.
fn remove(schema: Option<&Value>, value: &mut Value, path: &str, gone: &BTreeSet<Path>) -> bool {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.retain(|name, value| {
                let path = format!("{path}/{name}");
                !remove(member(schema, name), value, &path, gone)
            });
            members.is_empty()
        }
        Value::Array(items) if key_of(schema).is_some() && !items.is_empty() => {
            let key = key_of(schema).unwrap_or_default().to_owned();
            items.retain_mut(|item| {
                let path = item_path(path, &key, item);
                !remove(schema.map(|schema| &schema["items"]), item, &path, gone)
            });
            items.is_empty()
        }
        _ => gone.contains(path),
    }
}
