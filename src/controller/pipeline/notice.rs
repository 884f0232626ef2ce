//! Events about the objects of these kinds.

use super::super::context::Context;
use super::object::Object;
use crate::crd::EventReason;
use crate::runtime::events::{EventNote, EventType};

/// Publishes an event about an object, and logs it.
pub fn tell<K: Object>(
    context: &Context,
    object: &K,
    reason: EventReason,
    action: &'static str,
    note: String,
) {
    publish(
        context,
        object,
        EventType::Normal,
        reason.as_str(),
        action,
        note,
    );
}

/// The same, as a warning.
pub fn warn<K: Object>(
    context: &Context,
    object: &K,
    reason: &'static str,
    action: &'static str,
    note: String,
) {
    publish(context, object, EventType::Warning, reason, action, note);
}

fn publish<K: Object>(
    context: &Context,
    object: &K,
    type_: EventType,
    reason: &'static str,
    action: &'static str,
    note: String,
) {
    tracing::info!(resource = %object.key(), reason, "{note}");
    let event = EventNote {
        type_,
        reason,
        action,
        note,
    };
    context.recorder.publish(&object.object_ref(&()), event);
}
