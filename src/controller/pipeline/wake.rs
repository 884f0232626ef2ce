//! Asking for passes over workflows and jobs.

use std::hash::{DefaultHasher, Hash, Hasher};

use tokio::time::Instant;

use super::super::context::Context;
use super::object::Object;
use crate::engine::key::{Key, SecretKey};
use crate::engine::queue::{Lane, Priority};

/// The lane of an object: those of one namespace share one.
pub fn lane_of(key: &Key) -> Lane {
    let mut hasher = DefaultHasher::new();
    ("pipeline", &key.namespace).hash(&mut hasher);
    hasher.finish()
}

/// Asks for a pass.
pub fn look_again(context: &Context, key: &Key, priority: Priority) {
    context
        .queue
        .add(key, lane_of(key), priority, Instant::now());
}

/// A connector's resource has changed: workflows that refer to it look again, and jobs that wait until it works. A workflow may be ready
/// before that, and then nothing of it changes.
pub fn connector_changed(context: &Context, connector: &Key) {
    for workflow in context.catalogue.users(connector) {
        look_again(context, &workflow.key(), Priority::Changed);
        jobs_look_again(context, &workflow.key());
    }
}

/// The jobs of a workflow that are not finished look again.
pub fn jobs_look_again(context: &Context, workflow: &Key) {
    for job in context.catalogue.jobs_of(workflow) {
        if !job.status().is_some_and(|status| status.phase.is_final()) {
            look_again(context, &job.key(), Priority::Changed);
        }
    }
}

/// A Secret has changed: workflows that read it look again.
pub fn secret_changed(context: &Context, secret: &SecretKey, priority: Priority, since: Instant) {
    for key in context.catalogue.readers(secret) {
        context.queue.add(&key, lane_of(&key), priority, since);
    }
}
