//! The decision: from what is known to the one next effect, or the end of the pass. Pure: no I/O, no clock, no log.
//!
//! Read top to bottom, this is the protocol. Each step names the failure that it answers. The model checker runs this very
//! function, with crashes and lost answers between any two effects.

use super::effect::{Effect, Step};
use super::finalize::{finalize, unshown};
use super::situation::{
    Bind, Binding, Check, Debut, Desired, Freshness, Grant, Keys, Namesake, Resend, Sighting,
    Situation, Stage, WorkspaceFacts, is_synced,
};
use crate::engine::outcome::Outcome;
use crate::unstructured::{ConnectorId, Digest};

/// Decides the next step for a resource.
pub fn plan(s: &Situation) -> Step {
    match s.deletion {
        Some(deletion) => finalize(s, deletion),
        None => keep(s),
    }
}

/// Makes the connector exist and equal the resource.
fn keep(s: &Situation) -> Step {
    if s.unrecorded {
        return Step::Act(Effect::Record(provisional(s)));
    }
    if let Some(record) = &s.foreign {
        return Step::Rest(Outcome::ForeignRecord {
            id: s.bound(),
            record: record.clone(),
        });
    }
    if s.wanted.suspend {
        return Step::Rest(suspended(s));
    }
    let workspace = match &s.workspace {
        Ok(workspace) => workspace,
        Err(problem) => return Step::Rest(Outcome::Blocked(problem.clone())),
    };
    let digest = match &s.desired {
        Desired::Digest(digest) => *digest,
        Desired::Blocked(problem) => return Step::Rest(Outcome::Blocked(problem.clone())),
        Desired::Unread => return Step::Rest(Outcome::Applying),
    };
    match &s.binding {
        Binding::Bound(id) => bound(s, *id, workspace, digest),
        Binding::Creating {
            stage: Stage::Recorded,
            name,
        } => Step::Act(Effect::Create {
            name: name.clone(),
            key: s.marked.then(|| s.wanted.key.clone()),
        }),
        Binding::Creating { stage, .. } => recover(s, *stage),
        Binding::Unbound => find(s),
    }
}

/// Nothing is sent. Whether that leaves anything unsent can be known without asking anybody.
fn suspended(s: &Situation) -> Outcome {
    match &s.check {
        _ if matches!(s.binding, Binding::Unbound) => Outcome::SuspendedUncreated,
        _ if !is_synced(s) => Outcome::SuspendedUnsent,
        Check::Failed(_, reason) if s.wanted.verify => Outcome::VerificationFailed(reason.clone()),
        _ => Outcome::Suspended,
    }
}

/// A connector is ours: see that it is still there, is the only one, has the desired configuration, and works.
fn bound(s: &Situation, id: ConnectorId, workspace: &WorkspaceFacts, digest: Digest) -> Step {
    if let Some(holder) = &s.held_by {
        return Step::Rest(Outcome::InUse {
            id,
            holder: holder.clone(),
        });
    }
    if !s.finalized {
        return Step::Act(Effect::AddFinalizer);
    }
    match &s.connector {
        Sighting::Unseen if s.forced => Step::Act(Effect::Look(Freshness::Trigger)),
        Sighting::Unseen => Step::Act(Effect::Look(Freshness::Any)),
        // A key of another workspace sees none of our connectors: recreating would build the whole fleet a second time there.
        Sighting::Unlisted | Sighting::Gone if s.moved() => Step::Rest(Outcome::WorkspaceChanged {
            id,
            fingerprint: workspace.fingerprint.clone(),
        }),
        // The list may lag behind; only a 404 on the id itself says that it is gone.
        Sighting::Unlisted => Step::Act(Effect::Confirm(id)),
        Sighting::Gone => match s.debut {
            Debut::Over => by_name(s),
            // To make it again while the service does not show it yet would leave two.
            Debut::Listed | Debut::Unseen => unshown(s, id),
        },
        Sighting::Present { drift, .. } => {
            // A create that was carried out after we had given up on it leaves a second connector, of our key or the reserved name.
            if let Some(extra) = duplicates(s, id).last().filter(|_| s.resources_known()) {
                return Step::Act(Effect::Delete(extra.id));
            }
            if s.applied != Some(digest) || !drift.is_empty() || s.resend == Resend::Due {
                if !s.is_certainly_ours() {
                    return Step::Rest(Outcome::ResourcesUnknown);
                }
                return vetted(s).unwrap_or_else(|| update(s, id, digest));
            }
            // What was missing at the provider may be there by now, and what it accepted may be revoked.
            let in_question = s.doubted || s.forced || s.failed_now;
            let doubt = if in_question { asked(s) } else { None };
            doubt.unwrap_or_else(|| verify(s, id))
        }
    }
}

/// What was applied before is forgotten first: were the answer lost and the resource then changed back, the old digest would call
/// a connector true that has other secrets, and nobody can read those.
fn update(s: &Situation, id: ConnectorId, digest: Digest) -> Step {
    match s.applied {
        Some(applied) if applied != digest => Step::Act(Effect::RecordUpdate),
        _ => Step::Act(Effect::Update(id)),
    }
}

/// The answer to a create is not on record: the connector may exist, may come to exist, or may not. Never send another before
/// that is known.
fn recover(s: &Situation, stage: Stage) -> Step {
    if s.namesakes.is_none() {
        return Step::Act(Effect::Look(Freshness::Now));
    }
    let found = s.descendants();
    if !found.is_empty() {
        return take(s, &found, Bind::Recovered);
    }
    match stage {
        Stage::Recorded | Stage::Unsettled => Step::Rest(Outcome::CreateUnsettled(s.lost.clone())),
        Stage::Settled => by_name(s),
    }
}

/// Nothing is ours yet: take over what the resource names, else go by key and name.
fn find(s: &Situation) -> Step {
    match &s.wanted.existing {
        Some(id) if s.home.is_none() => existing(s, *id),
        // It was ours once, and is gone: to make another is under way.
        Some(_) | None => by_name(s),
    }
}

fn existing(s: &Situation, id: ConnectorId) -> Step {
    if let Some(holder) = &s.held_by {
        return Step::Rest(Outcome::InUse {
            id,
            holder: holder.clone(),
        });
    }
    match &s.connector {
        Sighting::Unseen => Step::Act(Effect::Look(Freshness::Trigger)),
        Sighting::Unlisted => Step::Act(Effect::Confirm(id)),
        Sighting::Gone => Step::Rest(Outcome::ExistingNotFound {
            collection: s.wanted.collection,
            id,
        }),
        Sighting::Present {
            same_kind: false, ..
        } => Step::Rest(Outcome::WrongKind {
            collection: s.wanted.collection,
            id,
        }),
        Sighting::Present { .. } => bind(s, id, Bind::ById),
    }
}

fn by_name(s: &Situation) -> Step {
    let Some(found) = s.namesakes.as_deref() else {
        return Step::Act(Effect::Look(match &s.keys {
            // What has it was not to be seen before the create.
            Keys::Taken { just_now: true, .. } => Freshness::Now,
            _ => Freshness::Trigger,
        }));
    };
    if !s.wanted.name.reserved && !s.resources_known() {
        return Step::Rest(Outcome::ResourcesUnknown);
    }
    // Nobody else gives our key: a record was lost, or this resource was here before.
    if let Some(oldest) = found.iter().find(|n| n.is_marked() && n.is_free()) {
        return bind(s, oldest.id, Bind::ByKey);
    }
    let named: Vec<_> = found.iter().filter(|n| n.is_named()).collect();
    let free: Vec<_> = named.iter().copied().filter(|n| n.is_free()).collect();
    match named.as_slice() {
        [] => create(s),
        _ if s.wanted.name.reserved => take(s, &free, Bind::Reserved),
        [_] if !s.wanted.adopt_by_name => Step::Rest(conflict(s)),
        _ => take(s, &free, Bind::ByName),
    }
}

/// Takes one of these connectors, which nobody holds, if it is certain which.
fn take(s: &Situation, free: &[&Namesake], how: Bind) -> Step {
    let name = s.name();
    match free {
        [one] => bind(s, one.id, how),
        // What has our key or the reserved name is ours: keep the oldest, the others are deleted once it is bound.
        [oldest, ..] if name.reserved || oldest.is_marked() => bind(s, oldest.id, how),
        [_, ..] => Step::Rest(Outcome::Ambiguous {
            name: name.value,
            ids: named(s).map(|n| n.id).collect(),
        }),
        [] if name.reserved => create(s),
        [] => Step::Rest(conflict(s)),
    }
}

fn conflict(s: &Situation) -> Outcome {
    let taken = named(s).all(|n| !n.is_free());
    let holder = named(s).next().filter(|_| taken);
    Outcome::NameConflict {
        name: s.name().value,
        ids: named(s).map(|n| n.id).collect(),
        holder: s
            .held_by
            .clone()
            .or_else(|| holder.and_then(|n| n.holder.clone())),
    }
}

/// The connectors that carry the name in question.
fn named(s: &Situation) -> impl Iterator<Item = &Namesake> {
    s.namesakes.iter().flatten().filter(|n| n.is_named())
}

/// The finalizer comes first: from the first moment that a connector is ours, the resource cannot go without it.
fn bind(s: &Situation, id: ConnectorId, how: Bind) -> Step {
    if let Some(holder) = &s.held_by {
        return Step::Rest(Outcome::InUse {
            id,
            holder: holder.clone(),
        });
    }
    // A resource that is not known yet may hold it, whatever its name is: by its id, anybody may have adopted it.
    if !s.resources_known() {
        return Step::Rest(Outcome::ResourcesUnknown);
    }
    if s.finalized {
        Step::Act(Effect::Bind(id, how))
    } else {
        Step::Act(Effect::AddFinalizer)
    }
}

/// Finalizer, then the intent, then the request: whoever finds the intent without an id knows that a connector may exist.
fn create(s: &Situation) -> Step {
    if s.held_by.is_some() {
        return Step::Rest(conflict(s));
    }
    // Whoever asks again is told the same, and nothing else is made in its place.
    if let Keys::Taken { why, .. } = &s.keys {
        let mut found = s.namesakes.iter().flatten();
        let holder = found.find(|n| n.is_marked());
        return Step::Rest(Outcome::KeyTaken {
            key: s.wanted.key.clone(),
            why: why.clone(),
            holder: holder.and_then(|n| n.holder.clone()),
        });
    }
    if let Some(step) = vetted(s) {
        return step;
    }
    if s.finalized {
        Step::Act(Effect::RecordIntent {
            name: s.wanted.name.value.clone(),
            key: (s.keys == Keys::Sent).then(|| s.wanted.key.clone()),
        })
    } else {
        Step::Act(Effect::AddFinalizer)
    }
}

/// Asks the provider before credentials are sent anywhere. `None`: nothing speaks against sending the configuration.
fn vetted(s: &Situation) -> Option<Step> {
    // Refused once, it is refused again: only a change of the spec or the Secret is worth another request.
    if let Some(outcome) = &s.refused {
        return Some(Step::Rest(outcome.clone()));
    }
    asked(s)
}

/// Asks the provider, unless that was done. Only a definite refusal stands in the way.
fn asked(s: &Situation) -> Option<Step> {
    match &s.grant {
        Grant::Unasked => Some(Step::Act(Effect::CheckCredentials)),
        Grant::Accepted | Grant::Insufficient(_) | Grant::Inconclusive(_) | Grant::Silence(_) => {
            None
        }
        Grant::Refused(why) => Some(Step::Rest(Outcome::CredentialsRejected(why.clone()))),
    }
}

/// The configuration is accepted: see whether it works.
fn verify(s: &Situation, id: ConnectorId) -> Step {
    if !s.wanted.verify {
        return Step::Rest(Outcome::Ready);
    }
    match &s.check {
        Check::None => Step::Act(Effect::StartCheck(id)),
        Check::Scheduled(check) if !s.polled => Step::Act(Effect::PollCheck {
            source: id,
            check: check.clone(),
        }),
        Check::Scheduled(_) if s.check_overdue => Step::Rest(Outcome::CheckTimedOut),
        Check::Scheduled(_) => Step::Rest(Outcome::Checking),
        Check::Passed(_) => Step::Rest(Outcome::Ready),
        // It failed while the provider denied something, and that has been mended.
        Check::Failed(..) if s.doubted && s.grant == Grant::Accepted => {
            Step::Act(Effect::StartCheck(id))
        }
        Check::Failed(_, reason) => Step::Rest(Outcome::VerificationFailed(reason.clone())),
        Check::TimedOut(_) => Step::Rest(Outcome::CheckTimedOut),
        Check::Unavailable => Step::Rest(Outcome::CheckUnavailable),
    }
}

/// What the status says while a fact is written that must survive a crash.
fn provisional(s: &Situation) -> Outcome {
    if s.bound().is_none() || s.applied.is_none() || s.applied != s.digest() {
        return Outcome::Applying;
    }
    match (&s.check, s.wanted.verify) {
        (Check::Unavailable, true) => Outcome::CheckUnavailable,
        (_, true) => Outcome::Checking,
        (_, false) => Outcome::Ready,
    }
}

/// Connectors that can only have come of our own creates, oldest first: they show our key or carry our reserved name, nobody holds
/// them, and they were made since the first create that was given up. Key and name alone say nothing: what was retained once has
/// them too.
pub(super) fn duplicates(s: &Situation, ours: ConnectorId) -> impl Iterator<Item = &Namesake> {
    let possible = s.lost_creates > 0;
    s.namesakes
        .iter()
        .flatten()
        .filter(move |n| possible && n.id != ours && s.is_late(n))
}

#[cfg(test)]
pub(super) mod tests;
