//! The decision: from what is known to the one next effect, or the end of the pass. Pure.

use super::outcome::Outcome;
use super::situation::{Binding, Effect, Fresh, How, Namesake, Sight, Situation};
use crate::engine::ahead::{Resend, Stage};
use crate::engine::departure::DefinitionFate;
use crate::engine::departure::Deletion;
use crate::engine::turns;
use crate::unstructured::WorkflowId;

/// What to do next.
pub type Step = turns::Step<Effect, Outcome>;

/// Decides the next step for a workflow.
pub fn plan(s: &Situation) -> Step {
    match s.deletion {
        Some(deletion) => finalize(s, deletion),
        None => keep(s),
    }
}

fn keep(s: &Situation) -> Step {
    if s.unrecorded {
        return Step::Act(Effect::Record);
    }
    if let Some(name) = &s.foreign {
        return Step::Rest(Outcome::ForeignRecord(name.clone()));
    }
    if s.suspend {
        return Step::Rest(if s.is_synced() {
            Outcome::Suspended
        } else if matches!(s.binding, Binding::Unbound) {
            Outcome::SuspendedUncreated
        } else {
            Outcome::SuspendedUnsent
        });
    }
    if let Err(problem) = &s.workspace {
        return Step::Rest(Outcome::Blocked(problem.clone()));
    }
    // Until both connectors are right, nothing is sent.
    if let Err(awaited) = &s.references {
        return Step::Rest(Outcome::Awaiting(awaited.clone()));
    }
    if let Err(problem) = &s.desired {
        return Step::Rest(Outcome::Blocked(problem.clone()));
    }
    match &s.binding {
        Binding::Bound(id) => bound(s, *id),
        Binding::Creating {
            stage: Stage::Recorded,
            ..
        } => Step::Act(Effect::Create),
        Binding::Creating { stage, .. } => recover(s, *stage),
        Binding::Unbound => match s.existing {
            Some(id) if !s.had_one => existing(s, id),
            _ => by_name(s),
        },
    }
}

fn bound(s: &Situation, id: WorkflowId) -> Step {
    if let Some(holder) = &s.held_by {
        return Step::Rest(Outcome::InUse(id, holder.clone()));
    }
    if !s.finalized {
        return Step::Act(Effect::AddFinalizer);
    }
    match &s.sight {
        Sight::Unseen => Step::Act(Effect::Look(Fresh::Any)),
        // The list may lag behind; only a 404 on the id itself says that it is gone.
        Sight::Unlisted => Step::Act(Effect::Confirm(id)),
        Sight::Gone => match &s.moved {
            Some(fingerprint) => Step::Rest(Outcome::WorkspaceChanged(id, fingerprint.clone())),
            // To make it again while the service does not show it yet would leave two.
            None if !s.debut.is_over() => Step::Rest(Outcome::Unshown(id)),
            None => by_name(s),
        },
        Sight::Present(_) if s.duplicate().is_some() => delete_duplicate(s),
        Sight::Present(_) if s.is_settled() && s.resend != Resend::Due => {
            Step::Rest(Outcome::Ready)
        }
        Sight::Present(_) => match &s.refused {
            Some(failure) => Step::Rest(Outcome::Failed(failure.clone())),
            None => update(s, id),
        },
    }
}

/// What was applied before is forgotten first: were the answer lost and the resource then changed back, the old digest would call a
/// workflow true that has other secrets, or a setting too many, and no look shows either.
fn update(s: &Situation, id: WorkflowId) -> Step {
    match s.applied {
        Some(applied) if s.desired != Ok(applied) => Step::Act(Effect::RecordUpdate),
        _ => Step::Act(Effect::Update(id)),
    }
}

fn delete_duplicate(s: &Situation) -> Step {
    match s.duplicate() {
        Some(id) => Step::Act(Effect::Delete(id)),
        None => Step::Act(Effect::Look(Fresh::Now)),
    }
}

/// The answer to a create is not on record: never send another before it is known what came of it.
fn recover(s: &Situation, stage: Stage) -> Step {
    let Some(namesakes) = &s.namesakes else {
        return Step::Act(Effect::Look(Fresh::Now));
    };
    match (lost(s, namesakes), stage) {
        (Some(id), _) => Step::Act(Effect::Bind(id, How::Recovered)),
        (None, Stage::Settled) => by_name(s),
        (None, Stage::Recorded | Stage::Unsettled) => Step::Rest(Outcome::CreateUnsettled),
    }
}

/// What came of our create: what shows our mark, or, under a chosen name, the one that carries it and that nobody holds.
fn lost(s: &Situation, namesakes: &[Namesake]) -> Option<WorkflowId> {
    let mut free = namesakes.iter().filter(|n| n.holder.is_none());
    let ours = free.clone().find(|n| n.ours);
    let one = match (free.next(), free.next()) {
        (Some(one), None) if !s.name.reserved => Some(one),
        _ => None,
    };
    ours.or(one).map(|n| n.id)
}

fn existing(s: &Situation, id: WorkflowId) -> Step {
    if let Some(holder) = &s.held_by {
        return Step::Rest(Outcome::InUse(id, holder.clone()));
    }
    match &s.sight {
        Sight::Unseen | Sight::Unlisted => Step::Act(Effect::Confirm(id)),
        Sight::Gone => Step::Rest(Outcome::ExistingNotFound(id)),
        Sight::Present(_) => bind(s, id),
    }
}

fn by_name(s: &Situation) -> Step {
    let Some(namesakes) = &s.namesakes else {
        return Step::Act(Effect::Look(Fresh::Now));
    };
    let mut free = namesakes.iter().filter(|n| n.holder.is_none());
    if let Some(ours) = free.clone().find(|n| n.ours) {
        return bind(s, ours.id);
    }
    match (
        namesakes.is_empty() || s.name.reserved,
        free.next(),
        free.next(),
    ) {
        (true, _, _) => create(s),
        (false, Some(one), None) if s.adopt_by_name => bind(s, one.id),
        _ => Step::Rest(Outcome::NameConflict {
            name: s.name.value.clone(),
            ids: namesakes.iter().map(|n| n.id).collect(),
        }),
    }
}

/// The finalizer comes first: from the first moment that a workflow is ours, the resource cannot go without it.
fn bind(s: &Situation, id: WorkflowId) -> Step {
    if s.finalized {
        Step::Act(Effect::Bind(id, How::Adopted))
    } else {
        Step::Act(Effect::AddFinalizer)
    }
}

fn create(s: &Situation) -> Step {
    // Whoever asks again is told the same, and nothing else is made in its place.
    if let Some(why) = &s.key_taken {
        let mut found = s.namesakes.iter().flatten();
        return Step::Rest(Outcome::KeyTaken {
            key: s.key.clone(),
            why: why.clone(),
            holder: found.find(|n| n.ours).and_then(|n| n.holder.clone()),
        });
    }
    match &s.refused {
        Some(failure) => Step::Rest(Outcome::Failed(failure.clone())),
        None if s.finalized => Step::Act(Effect::RecordIntent),
        None => Step::Act(Effect::AddFinalizer),
    }
}

/// Never needs the connectors, a valid spec or a Secret of a node: only the API key and what is on record.
fn finalize(s: &Situation, deletion: Deletion) -> Step {
    if !s.finalized {
        return Step::Rest(Outcome::Released);
    }
    let release = Step::Act(Effect::RemoveFinalizer);
    if deletion.definition == DefinitionFate::Going || s.foreign.is_some() || s.retain {
        return release;
    }
    if s.unrecorded && s.bound().is_some() {
        return Step::Act(Effect::Record);
    }
    if s.binding == Binding::Unbound && s.lost_creates == 0 {
        return release;
    }
    if let Err(problem) = &s.workspace {
        return if deletion.namespace_terminating {
            release
        } else {
            Step::Rest(Outcome::DeletionBlocked(problem.clone()))
        };
    }
    match &s.binding {
        Binding::Bound(_) if s.held_by.is_some() => release,
        Binding::Bound(id) => match (deletion.definition, &s.moved, &s.sight) {
            (DefinitionFate::Unknown, _, _) => Step::Rest(Outcome::DefinitionUnknown),
            (_, Some(_), Sight::Unseen) => Step::Act(Effect::Confirm(*id)),
            (_, Some(_), Sight::Gone) if deletion.namespace_terminating => release,
            (_, Some(fingerprint), Sight::Gone) => {
                Step::Rest(Outcome::WorkspaceChanged(*id, fingerprint.clone()))
            }
            // The workflow may only not show yet, and would be left behind.
            (_, None, Sight::Gone) if !s.debut.is_over() => Step::Rest(Outcome::Unshown(*id)),
            // A run that nobody knows cannot be stopped. Its job finds it, or learns that there is none.
            _ if s.cancel_runs && s.awaits_run => Step::Rest(Outcome::RunUnknown),
            _ if s.cancel_runs => Step::Act(Effect::CancelRuns(*id)),
            _ => Step::Act(Effect::Delete(*id)),
        },
        Binding::Creating { stage, .. } => {
            let Some(namesakes) = &s.namesakes else {
                return Step::Act(Effect::Look(Fresh::Now));
            };
            match (lost(s, namesakes), stage) {
                (Some(id), _) => Step::Act(Effect::Bind(id, How::Recovered)),
                (None, Stage::Settled) => release,
                (None, Stage::Recorded | Stage::Unsettled) => Step::Rest(Outcome::CreateUnsettled),
            }
        }
        Binding::Unbound if s.namesakes.is_some() && s.duplicate().is_none() => release,
        Binding::Unbound => delete_duplicate(s),
    }
}
