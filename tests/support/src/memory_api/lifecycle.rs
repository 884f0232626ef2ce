//! What the built-in controllers do, one step at a time, so that a test can decide when and in which order.

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::store::is_going;
use super::target::Place;
use super::write::{FOREGROUND, Write};
use super::{MemoryApi, lock};

impl MemoryApi {
    /// The paths of what is in a namespace.
    pub fn contents(&self, namespace: &str) -> Vec<String> {
        self.paths(|place, _| place.namespace.as_deref() == Some(namespace))
    }

    /// The paths of all instances of a definition.
    pub fn instances(&self, definition: &str) -> Vec<String> {
        self.paths(|place, _| {
            let (head, plural) = place.collection.rsplit_once('/').unwrap_or_default();
            let group = head.split('/').nth(1).unwrap_or_default();
            format!("{plural}.{group}") == definition
        })
    }

    /// Lets a terminating namespace go if nothing is left in it, and a terminating definition if it has no instance left.
    pub fn let_go(&self, path: &str) -> bool {
        let Some(place) = super::Target::parse(path).and_then(|target| target.place()) else {
            return false;
        };
        let going = self.is_going(path);
        let left = if place.is_namespace() {
            self.contents(&place.name)
        } else {
            self.instances(&place.name)
        };
        if !going || !left.is_empty() {
            return false;
        }
        self.admin(
            path,
            Write::Merge(
                json!({ "metadata": { "finalizers": null }, "spec": { "finalizers": null } }),
            ),
        )
        .is_ok()
    }

    /// The garbage collector's part in a foreground deletion: it finds no dependents and takes its finalizer off.
    pub fn collect_garbage(&self) -> Vec<String> {
        let waiting = self.paths(|_, object| {
            is_going(object)
                && finalizers(object)
                    .iter()
                    .any(|finalizer| finalizer == FOREGROUND)
        });
        for path in &waiting {
            let mut left = self
                .get(path)
                .map(|object| finalizers(&object))
                .unwrap_or_default();
            left.retain(|finalizer| finalizer != FOREGROUND);
            // Whoever changed it meanwhile, there is a next time.
            let _ = self.admin(
                path,
                Write::Merge(json!({ "metadata": { "finalizers": left } })),
            );
        }
        waiting
    }

    /// Whether anything waits for what the built-in controllers do.
    pub fn waits_to_go(&self) -> bool {
        let waits = |place: &Place, object: &Value| {
            is_going(object)
                && (place.is_namespace()
                    || place.is_definition()
                    || finalizers(object)
                        .iter()
                        .any(|finalizer| finalizer == FOREGROUND))
        };
        lock(&self.0.store)
            .places()
            .any(|(place, object)| waits(place, object))
    }

    /// Deletes the object at `path` in the foreground, as Argo CD does.
    pub fn delete_in_foreground(&self, path: &str) -> Result<Value, Refusal> {
        self.admin(
            path,
            Write::Delete(json!({ "propagationPolicy": "Foreground" })),
        )
    }

    fn paths(&self, wanted: impl Fn(&Place, &Value) -> bool) -> Vec<String> {
        let store = lock(&self.0.store);
        let places = store
            .places()
            .filter(|(place, object)| wanted(place, object));
        places.map(|(place, _)| place.path()).collect()
    }
}

fn finalizers(object: &Value) -> Vec<Value> {
    object["metadata"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}
