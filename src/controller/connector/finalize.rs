//! The same decision for a resource that is being deleted. It never needs a valid spec, a Secret with credentials, or a
//! connector in good order: only the API key and what is on record.

use super::effect::{Effect, Step};
use super::situation::{
    Bind, Binding, Debut, DefinitionFate, Deletion, Freshness, Release, Sighting, Situation, Stage,
    WorkspaceFacts,
};
use crate::engine::outcome::Outcome;
use crate::unstructured::ConnectorId;

/// Decides the next step towards letting the resource go.
pub(super) fn finalize(s: &Situation, deletion: Deletion) -> Step {
    if !s.finalized {
        return Step::Rest(Outcome::Released);
    }
    let on_record = s.bound();
    // Whoever deletes the definition (or uninstalls the chart) has not asked for the connectors to go.
    if deletion.definition == DefinitionFate::Going {
        return release(Release::Abandoned(on_record));
    }
    // Whose the connector is that a copied status names, nobody here knows.
    if s.foreign.is_some() {
        return release(Release::Foreign(on_record));
    }
    if s.wanted.retain {
        return release(Release::Retained(on_record));
    }
    match &s.binding {
        Binding::Bound(_) if s.unrecorded => Step::Act(Effect::Record(Outcome::Applying)),
        Binding::Unbound if s.lost_creates == 0 && s.changes.is_empty() => {
            release(Release::NeverCreated)
        }
        Binding::Unbound if s.lost_creates == 0 => release(Release::Deleted),
        Binding::Bound(id) if s.held_by.is_some() && !s.wanted.name.reserved => {
            release(Release::Held(*id))
        }
        Binding::Unbound | Binding::Bound(_) | Binding::Creating { .. } => match &s.workspace {
            Ok(workspace) => delete(s, deletion, workspace),
            // The key went with the namespace: nobody can ever delete the connector, so the namespace must not wait for it.
            Err(_) if deletion.namespace_terminating => release(Release::Orphaned(on_record)),
            // It is deleted; only what a lost create may still make would be left.
            Err(_) if !s.changes.is_empty() && on_record.is_none() => release(Release::Deleted),
            Err(problem) => Step::Rest(Outcome::DeletionBlocked(problem.clone())),
        },
    }
}

fn delete(s: &Situation, deletion: Deletion, workspace: &WorkspaceFacts) -> Step {
    match &s.binding {
        // The record was written over; the connector that was ours before it carries our own name.
        Binding::Bound(id) if s.held_by.is_some() => sweep_up(s, deletion, Release::Held(*id)),
        // Nothing says that it is gone: it is not in the workspace of the present key, and never was.
        Binding::Bound(id) if s.connector == Sighting::Gone && s.moved() => {
            if deletion.namespace_terminating {
                return release(Release::Orphaned(Some(*id)));
            }
            Step::Rest(Outcome::WorkspaceChanged {
                id: *id,
                fingerprint: workspace.fingerprint.clone(),
            })
        }
        // The connector may only not show yet, and would be left behind.
        Binding::Bound(id) if s.connector == Sighting::Gone && !s.debut.is_over() => {
            unshown(s, *id)
        }
        Binding::Bound(id) => delete_recorded(s, deletion, *id),
        Binding::Creating { stage, .. } => delete_unknown(s, deletion, *stage),
        // Creates were given up. What they may have made since has our key or our reserved name, and nobody will look for it any more.
        Binding::Unbound => sweep_up(s, deletion, Release::Deleted),
    }
}

/// A create was begun and its outcome is unknown: what it made, or will still make, has to go too.
fn delete_unknown(s: &Situation, deletion: Deletion, stage: Stage) -> Step {
    let name = s.name();
    if s.namesakes.is_none() {
        return Step::Act(Effect::Look(Freshness::Now));
    }
    let found = s.descendants();
    let certain = name.reserved || found.iter().any(|n| n.is_marked());
    match (found.as_slice(), stage) {
        ([], Stage::Settled) => release(Release::Deleted),
        // What was found is deleted; one request makes one connector, so nothing else can come.
        ([], _) if !s.changes.is_empty() => release(Release::Deleted),
        ([], _) => Step::Rest(Outcome::CreateUnsettled(s.lost.clone())),
        _ if !s.resources_known() => Step::Rest(Outcome::ResourcesUnknown),
        // What goes by name alone is first put on record as ours: were the intent an old one that a stale cache still shows, its
        // connector would be gone by now, and this one somebody else's.
        ([one], _) => Step::Act(Effect::Bind(one.id, Bind::Recovered)),
        ([.., youngest], _) if certain && youngest.recent => delete_one(s, deletion, youngest.id),
        ([oldest, ..], _) if certain => Step::Act(Effect::Bind(oldest.id, Bind::Recovered)),
        (several, _) => Step::Rest(Outcome::DeletionAmbiguous {
            name: name.value,
            ids: several.iter().map(|n| n.id).collect(),
        }),
    }
}

/// Deletes what has our key or our reserved name, belongs to nobody and was made in the life of this resource; then lets go.
fn sweep_up(s: &Situation, deletion: Deletion, then: Release) -> Step {
    let Some(namesakes) = &s.namesakes else {
        return Step::Act(Effect::Look(Freshness::Now));
    };
    match namesakes.iter().find(|n| s.is_late(n)) {
        Some(_) if !s.resources_known() => Step::Rest(Outcome::ResourcesUnknown),
        Some(late) => delete_one(s, deletion, late.id),
        None => release(then),
    }
}

/// The record may have been written over while nobody watched, and name what a resource holds that is not known yet.
fn delete_recorded(s: &Situation, deletion: Deletion, id: ConnectorId) -> Step {
    match s.connector {
        _ if s.is_certainly_ours() => delete_one(s, deletion, id),
        Sighting::Unseen => Step::Act(Effect::Look(Freshness::Any)),
        _ => Step::Rest(Outcome::ResourcesUnknown),
    }
}

/// Deletes a connector, unless that is what nobody asked for: an operator that is being uninstalled loses its rights before the
/// definition goes, and then sees every resource deleted. Nor while something runs through it.
fn delete_one(s: &Situation, deletion: Deletion, id: ConnectorId) -> Step {
    match (deletion.definition, &s.users) {
        (DefinitionFate::Unknown, _) => Step::Rest(Outcome::DefinitionUnknown),
        (_, Some(users)) => Step::Rest(Outcome::StillUsed(users.clone())),
        _ if !deletion.rehearsed => Step::Act(Effect::Rehearse),
        _ => Step::Act(Effect::Delete(id)),
    }
}

/// A 404 on a connector that was made a moment ago: it is waited for. If a list has shown it, a newer one that omits it is believed.
pub(super) fn unshown(s: &Situation, id: ConnectorId) -> Step {
    if s.debut == Debut::Listed && s.namesakes.is_none() {
        return Step::Act(Effect::Look(Freshness::Now));
    }
    Step::Rest(Outcome::Unshown(id))
}

fn release(release: Release) -> Step {
    Step::Act(Effect::RemoveFinalizer(release))
}
