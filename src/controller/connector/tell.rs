//! What is said beside the status: events, log lines and counts.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;

use super::super::context::{Context, MANAGER};
use super::hand::Hand;
use super::memory::Memory;
use super::report::{self, Note};
use super::situation::{Change, Release, Situation};
use crate::crd::{ConnectorStatus, EventReason};
use crate::engine::key::Key;
use crate::engine::outcome::{Class, Outcome};
use crate::engine::queue::Job;
use crate::kinds::Resource;
use crate::runtime::events::{EventNote, EventType};

/// Tells of a pass: what it changed, and how it ended where that is news.
pub fn tell(
    context: &Context,
    memory: &mut Memory,
    before: &ConnectorStatus,
    situation: &Situation,
    outcome: &Outcome,
    hand: &Hand,
    job: &Job,
) {
    let changed_secret = hand.secret_changed.then(|| secrets(&hand.resource));
    let mut notes = report::notes(before, situation, outcome, changed_secret.as_deref());
    if !hand.trimmed.is_empty() && !situation.changes.is_empty() {
        notes.push(Note {
            warning: false,
            reason: EventReason::SecretTrimmed.as_str(),
            action: "ReadSecret",
            lasting: false,
            text: format!(
                "Ignored the line break at the end of {} in the Secret.",
                hand.trimmed.join(", ")
            ),
        });
    }
    if let Some(text) = hand
        .resource
        .spec
        .advice()
        .filter(|_| !situation.changes.is_empty())
    {
        notes.push(Note {
            warning: true,
            reason: EventReason::UnknownConfiguration.as_str(),
            action: "Reconcile",
            lasting: false,
            text,
        });
    }
    for note in notes {
        tracing::info!(resource = %job.key, reason = note.reason, "{}", note.text);
        let type_ = if note.warning {
            EventType::Warning
        } else {
            EventType::Normal
        };
        let event = EventNote {
            type_,
            reason: note.reason,
            action: note.action,
            note: note.text,
        };
        if note.lasting {
            let note = format!("{}: {}", job.key, event.note);
            let about = namespace(&job.key.namespace);
            context
                .recorder
                .publish(&about, EventNote { note, ..event });
        } else {
            context
                .recorder
                .publish(&hand.resource.object_ref(&hand.resource.kind), event);
        }
    }
    for change in &situation.changes {
        match change {
            Change::DuplicateDeleted(_) => context.metrics.duplicate_deleted(),
            Change::DriftCorrected(_) => context.metrics.drift_corrected(),
            Change::Released(Release::Orphaned(_)) => context.metrics.orphaned(),
            Change::Created(_) => memory.newborn = true,
            _ => {}
        }
    }
    let created = hand.resource.metadata.creation_timestamp.as_ref();
    if outcome.row().class == Class::Current
        && situation.deletion.is_none()
        && std::mem::take(&mut memory.newborn)
        && let Some(created) = created
    {
        let age = crate::clock::now().duration_since(created.0);
        context.metrics.first_ready(age.unsigned_abs());
    }
}

/// The names of the Secrets that hold the credentials.
fn secrets(resource: &Resource) -> String {
    let credentials = resource.spec.credentials();
    let names: BTreeSet<_> = credentials
        .iter()
        .map(|c| format!("{:?}", c.secret))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(" or ")
}

/// The namespace itself. A terminating namespace takes no events; those about it are kept in `default`.
fn namespace(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Namespace".to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// Warns of what concerns no resource that is there, about the namespace `default`, where everybody looks.
pub fn warn_lasting(context: &Context, reason: EventReason, action: &'static str, note: String) {
    tracing::warn!(reason = reason.as_str(), "{note}");
    let event = EventNote {
        type_: EventType::Warning,
        reason: reason.as_str(),
        action,
        note,
    };
    context.recorder.publish(&namespace("default"), event);
}

/// Tells who it is, as far as the API server knows.
pub async fn contested(context: &Context, key: &Key, resource: &Resource) {
    let api = context.api(resource.kind, &key.namespace);
    let writer = match api.get_metadata(&key.name).await {
        Ok(object) => status_writer(&object.metadata),
        Err(_) => "unknown".to_owned(),
    };
    tracing::warn!(resource = %key, writer, "another writer keeps changing the status");
    let note = format!(
        "The status is the operator's alone, and another writer (field manager {writer:?}) keeps changing it. Stop that writer: a \
         second operator for this resource, or a tool that restores its status again and again."
    );
    context.recorder.publish(
        &resource.object_ref(&resource.kind),
        EventNote {
            type_: EventType::Warning,
            reason: EventReason::StatusContested.as_str(),
            action: "WriteStatus",
            note,
        },
    );
}

/// The field manager that wrote to the status last, other than this operator's where there is another.
fn status_writer(meta: &ObjectMeta) -> String {
    let writers = meta.managed_fields.iter().flatten();
    let mut writers: Vec<_> = writers
        .filter(|entry| entry.subresource.as_deref() == Some("status"))
        .collect();
    writers.sort_by_key(|entry| {
        let ours = entry.manager.as_deref() == Some(MANAGER);
        (!ours, entry.time.as_ref().map(|time| time.0))
    });
    let last = writers.last().and_then(|entry| entry.manager.clone());
    last.unwrap_or_else(|| MANAGER.to_owned())
}
