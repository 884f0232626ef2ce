//! From what a pass did and how it ended to events. Pure.

use super::super::situation::{Bind, Change, Release, Situation};
use super::credentials;
use super::note::Note;
use super::recorded::reason_of;
use super::row::row;
use crate::crd::{ConditionType, ConnectorStatus, EventReason, Reason};
use crate::engine::outcome::{Class, Failure, Outcome};

/// The events of a pass: what it changed, and the outcome where that is news. `changed_secret` is the name of the Secret, if it was
/// that which changed.
pub fn notes(
    previous: &ConnectorStatus,
    s: &Situation,
    outcome: &Outcome,
    changed_secret: Option<&str>,
) -> Vec<Note> {
    let changes = s.changes.iter();
    let mut notes: Vec<Note> = changes
        .filter_map(|change| change.note(changed_secret))
        .collect();
    let row = row(s, outcome);
    let before = reason_of(previous, ConditionType::Ready);
    let (headline, _) = credentials::headline(s, outcome, &row);
    let accepted = s.changes.iter().any(Change::is_accepted_configuration);
    let news = before != Some(row.reason.as_str()) && before != Some(headline.as_str());
    let note = |warning, text| Note {
        warning,
        reason: row.reason.as_str(),
        action: "Reconcile",
        lasting: false,
        text,
    };
    notes.extend(credentials::shortfall(previous, s));
    notes.extend(stuck(s, outcome));
    match row.class {
        // What was done says it already: one event costs the control plane as much as a write.
        Class::Current if *outcome == Outcome::Ready && accepted => {}
        Class::Current if news && s.deletion.is_none() => notes.push(note(false, row.message)),
        Class::Stalled if news => notes.push(note(true, row.message)),
        Class::InProgress if news && !matches!(outcome, Outcome::Applying | Outcome::Checking) => {
            // That somebody else wrote first, or leads now, is no news about the resource.
            let quiet = row.reason == Reason::Progressing
                || matches!(
                    outcome,
                    Outcome::Failed(Failure::Conflict | Failure::NotLeading)
                );
            if !quiet {
                notes.push(note(true, row.message));
            }
        }
        _ => {}
    }
    notes
}

/// Whoever may not let a resource go may not write its status either.
fn stuck(s: &Situation, outcome: &Outcome) -> Option<Note> {
    let (Some(_), Outcome::Failed(Failure::Forbidden(why))) = (s.deletion, outcome) else {
        return None;
    };
    let connector = match s.bound() {
        Some(id) => format!("Connector {id} is still in the workspace"),
        None => "It has no connector any more".to_owned(),
    };
    Some(Note {
        warning: true,
        reason: EventReason::Stuck.as_str(),
        action: "Release",
        lasting: true,
        text: format!(
            "The operator may not release this resource: {}. {connector}. Restore the operator's permissions; in a \
             namespace that is being deleted, only a ClusterRoleBinding can. Or delete the connector by hand, then remove \
             the finalizer {}.",
            why.trim_end_matches('.'),
            crate::crd::FINALIZER
        ),
    })
}

impl Change {
    /// Whether the API accepted a configuration.
    pub fn is_accepted_configuration(&self) -> bool {
        matches!(
            self,
            Self::Created(_) | Self::Recreated(_) | Self::Updated | Self::DriftCorrected(_)
        )
    }

    fn note(&self, changed_secret: Option<&str>) -> Option<Note> {
        let note = |warning, reason: EventReason, action, text| {
            Some(Note {
                warning,
                reason: reason.as_str(),
                action,
                lasting: matches!(self, Self::Released(Release::Orphaned(_))),
                text,
            })
        };
        match self {
            Self::Created(id) => note(false, EventReason::Created, "Create", format!("Created connector {id} with the desired configuration.")),
            Self::Recreated(id) => note(
                true,
                EventReason::Recreated,
                "Create",
                format!("Created connector {id} in place of the one that was gone."),
            ),
            Self::Bound(id, Bind::Recovered) => {
                note(false, EventReason::Recovered, "Bind", format!("Found connector {id}, whose creation had not been confirmed."))
            }
            Self::Bound(id, Bind::ByKey) => {
                note(false, EventReason::Adopted, "Bind", format!("Found connector {id} by this resource's own key and adopted it."))
            }
            Self::Bound(id, Bind::Reserved) => {
                note(false, EventReason::Adopted, "Bind", format!("Found connector {id} under this resource's own name and adopted it."))
            }
            Self::Bound(id, Bind::ById | Bind::ByName) => {
                note(false, EventReason::Adopted, "Bind", format!("Adopted the existing connector {id}."))
            }
            Self::Updated => note(
                false,
                EventReason::Updated,
                "Update",
                match changed_secret {
                    Some(secret) => format!("Unstructured accepted the changed configuration, because Secret {secret} changed."),
                    None => "Unstructured accepted the changed configuration.".to_owned(),
                },
            ),
            Self::DriftCorrected(fields) => note(
                true,
                EventReason::DriftCorrected,
                "Update",
                format!(
                    "Somebody changed the connector; restored {}.",
                    fields.iter().cloned().collect::<Vec<_>>().join(", ")
                ),
            ),
            Self::Deleted(id) => note(false, EventReason::Deleted, "Delete", format!("Deleted connector {id}.")),
            Self::DuplicateDeleted(id) => {
                note(true, EventReason::DuplicateDeleted, "Delete", format!("Deleted connector {id}, a duplicate left by a lost create request of this resource."))
            }
            Self::Released(Release::Retained(Some(id))) => {
                note(false, EventReason::Retained, "Release", format!("Left connector {id} in the workspace, as deletionPolicy says."))
            }
            Self::Released(Release::Abandoned(Some(id))) => note(
                false,
                EventReason::Retained,
                "Release",
                format!("Left connector {id} in the workspace: the CRD itself is being deleted."),
            ),
            Self::Released(Release::Held(id)) => {
                note(false, EventReason::Retained, "Release", format!("Left connector {id} to the resource that holds it."))
            }
            Self::Released(Release::Foreign(id)) => note(
                false,
                EventReason::Retained,
                "Release",
                format!(
                    "Left connector {} alone: the status that names it was copied from another cluster or namespace.",
                    id.map_or_else(|| "(none)".to_owned(), |id| id.to_string())
                ),
            ),
            Self::Released(Release::Orphaned(id)) => note(
                true,
                EventReason::Orphaned,
                "Release",
                match id {
                    Some(id) => format!(
                        "The namespace is being deleted and the connector's API key is already gone: connector {id} stays \
                         in the workspace. Delete it there by hand."
                    ),
                    None => "The namespace is being deleted and its API key is already gone: a connector whose creation \
                             was not confirmed may stay in the workspace. Look for it there by name."
                        .to_owned(),
                },
            ),
            Self::Released(_) => None,
        }
    }
}
