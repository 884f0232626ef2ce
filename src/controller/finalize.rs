//! The same decision for a resource that is being deleted. It never needs a valid spec, a Secret with credentials, or a
//! connector in good order: only the API key and what is on record.

use super::effect::Effect;
use super::outcome::Outcome;
use super::plan::Step;
use super::situation::{
    Bind, Binding, Creating, Deletion, Freshness, Release, Sighting, Situation, WorkspaceFacts,
};
use crate::unstructured::SourceId;

/// Decides the next step towards letting the resource go.
pub(super) fn finalize(s: &Situation, deletion: Deletion) -> Step {
    if !s.finalized {
        return Step::Rest(Outcome::Released);
    }
    let on_record = s.bound();
    // Whoever deletes the definition (or uninstalls the chart) has not asked for the connectors to go.
    if deletion.definition_terminating {
        return release(Release::Abandoned(on_record));
    }
    if s.wanted.retain {
        return release(Release::Retained(on_record));
    }
    match &s.binding {
        Binding::Unbound if s.changes.is_empty() => release(Release::NeverCreated),
        Binding::Unbound if s.abandoned && s.wanted.name.reserved => sweep_up(s),
        Binding::Unbound => release(Release::Deleted),
        Binding::Bound(_) if s.unrecorded => Step::Act(Effect::Record(Outcome::Applying)),
        Binding::Bound(id) if s.held_by.is_some() => release(Release::Held(*id)),
        Binding::Bound(_) | Binding::Creating { .. } => match &s.workspace {
            Ok(workspace) => delete(s, deletion, workspace),
            // The key went with the namespace: nobody can ever delete the connector, so the namespace must not wait for it.
            Err(_) if deletion.namespace_terminating => release(Release::Orphaned(on_record)),
            Err(problem) => Step::Rest(Outcome::DeletionBlocked(problem.clone())),
        },
    }
}

fn delete(s: &Situation, deletion: Deletion, workspace: &WorkspaceFacts) -> Step {
    match &s.binding {
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
        Binding::Bound(id) => delete_one(*id),
        Binding::Creating { stage, .. } => delete_unknown(s, *stage),
        Binding::Unbound => release(Release::Deleted),
    }
}

/// A create was begun and its outcome is unknown: what it made, or will still make, has to go too.
fn delete_unknown(s: &Situation, stage: Creating) -> Step {
    let name = s.name();
    let Some(namesakes) = &s.namesakes else {
        return Step::Act(Effect::Look(Freshness::Now));
    };
    let free: Vec<SourceId> = namesakes.iter().filter(|n| !n.held).map(|n| n.id).collect();
    match (free.as_slice(), stage) {
        ([], Creating::Settled) => release(Release::Deleted),
        // What was found is deleted; one request makes one connector, so nothing else can come.
        ([], _) if !s.changes.is_empty() => release(Release::Deleted),
        ([], _) => Step::Rest(Outcome::CreateUnsettled(s.lost.clone())),
        // What goes by name alone is first put on record as ours: were the intent an old one that a stale cache still shows, its
        // connector would be gone by now, and this one somebody else's.
        ([one], _) => Step::Act(Effect::Bind(*one, Bind::Recovered)),
        ([.., youngest], _) if name.reserved => delete_one(*youngest),
        (several, _) => Step::Rest(Outcome::DeletionAmbiguous {
            name: name.value,
            ids: several.to_vec(),
        }),
    }
}

/// A create was given up once. What it may have made since carries our reserved name, and nobody will look for it any more.
fn sweep_up(s: &Situation) -> Step {
    match s
        .namesakes
        .as_ref()
        .map(|namesakes| namesakes.iter().find(|n| !n.held))
    {
        None => Step::Act(Effect::Look(Freshness::Now)),
        Some(Some(late)) => delete_one(late.id),
        Some(None) => release(Release::Deleted),
    }
}

fn delete_one(id: SourceId) -> Step {
    Step::Act(Effect::Delete(id))
}

fn release(release: Release) -> Step {
    Step::Act(Effect::RemoveFinalizer(release))
}
