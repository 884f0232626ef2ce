//! Asking for passes over resources, and forgetting those that are gone.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::time::Instant;

use super::context::Context;
use super::pipeline::wake::secret_changed;
use crate::engine::key::{Key, SecretKey};
use crate::engine::queue::{Lane, Priority};
use crate::kinds::Resource;

/// The lane of a resource: all that name the same workspace share one.
pub fn lane_of(resource: &Resource) -> Lane {
    let mut hasher = DefaultHasher::new();
    if let Some(workspace) = resource.spec.options().workspace {
        resource.metadata.namespace.hash(&mut hasher);
        workspace.hash(&mut hasher);
    }
    hasher.finish()
}

/// Asks for a pass over a resource, if there is such a one here.
pub fn look_again(context: &Context, key: &Key, priority: Priority) {
    if let Some(resource) = context.index.get(key) {
        let lane = lane_of(&resource);
        context.queue.add(key, lane, priority, Instant::now());
    }
}

/// The Secrets that anything here reads.
pub fn secrets_in_use(context: &Context) -> HashSet<SecretKey> {
    let mut secrets = context.index.secrets();
    secrets.extend(context.catalogue.secrets());
    secrets
}

/// Asks for passes over the resources that read a Secret.
pub fn queue_readers(context: &Context, secret: &SecretKey, priority: Priority, since: Instant) {
    secret_changed(context, secret, priority, since);
    for key in context.index.readers(secret) {
        if let Some(resource) = context.index.get(&key) {
            context.queue.add(&key, lane_of(&resource), priority, since);
        }
    }
}

/// Forgets a resource that is gone.
pub fn forget(context: &Context, key: &Key) {
    context.breakers.forget(key);
    if let Some(workspace) = context.memories.take(key).workspace {
        workspace.leave(key);
        workspace.session.forget(key);
    }
}
