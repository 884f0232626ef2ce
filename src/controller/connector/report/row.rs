//! The row of the table for an outcome, in the light of what the pass was about.

use super::super::situation::{Grant, Situation, is_synced};
use crate::crd::Reason;
use crate::engine::outcome::{Class, Outcome, Requeue, Row, WAY_OUT};

/// The row of the table for an outcome, in the light of what the pass was about.
pub fn row(s: &Situation, outcome: &Outcome) -> Row {
    let mut row = outcome.row();
    if let (Outcome::ResourcesUnknown, Some(unlisted)) = (outcome, &s.unlisted) {
        row.message = format!("{} Not listed: {unlisted}.", row.message);
    }
    match (s.deletion, outcome, row.class) {
        // Neither spec nor Secret can have caused it, and what did is mended where the operator cannot see it.
        (Some(_), Outcome::Failed(failure), _) if failure.is_refusal() => Row {
            class: Class::Stalled,
            reason: Reason::DeletionBlocked,
            message: format!(
                "The connector cannot be deleted: {}. Check that no workflow uses it; the operator retries every few minutes. {WAY_OUT}",
                failure.message().unwrap_or_default().trim_end_matches('.')
            ),
            requeue: Requeue::Slowly,
        },
        (Some(_), Outcome::Failed(_), Class::Stalled) => Row {
            reason: Reason::DeletionBlocked,
            message: format!("The connector cannot be deleted. {} {WAY_OUT}", row.message),
            ..row
        },
        (Some(_), Outcome::WorkspaceChanged { id, fingerprint }, _) => Row {
            reason: Reason::DeletionBlocked,
            message: format!(
                "The connector cannot be deleted. Connector {id} is not in the workspace of the present API key, and the key is \
                 not the one that created it. Restore a key of the old workspace; or, if the connector is gone, say so with the \
                 annotation {}={fingerprint}. {WAY_OUT}",
                crate::crd::ACCEPT_WORKSPACE
            ),
            ..row
        },
        (Some(_), Outcome::Applying, _) => Row {
            reason: Reason::Deleting,
            message: deleting(s).to_owned(),
            ..row
        },
        (Some(_), _, Class::InProgress) => Row {
            reason: Reason::Deleting,
            message: format!("{} {}", deleting(s), row.message),
            ..row
        },
        (None, Outcome::Blocked(problem), Class::Stalled) if problem.is_awaited() && !s.waited => {
            Row {
                class: Class::InProgress,
                requeue: Requeue::Patience,
                ..row
            }
        }
        (None, _, Class::Current | Class::Stalled)
            if s.doubted && s.grant != Grant::Accepted && is_synced(s) =>
        {
            Row {
                requeue: Requeue::SecondLook,
                ..row
            }
        }
        _ => row,
    }
}

fn deleting(s: &Situation) -> &'static str {
    if s.wanted.retain {
        "The operator is releasing the resource; its connector stays."
    } else {
        "The connector is being deleted."
    }
}
