//! What is read back from a status on record.

use super::super::situation::Check;
use crate::crd::{ConditionType, ConnectionCheck, ConnectorStatus};

/// Reads a check back from the status. `begun`: the one that this process began and has not put on record.
pub fn recorded_check(check: Option<&ConnectionCheck>, begun: Option<&str>) -> Check {
    match check.map(|c| (c.id.clone(), c.status.as_str())) {
        None => begun.map_or(Check::None, |id| Check::Scheduled(id.to_owned())),
        Some((id, "SUCCESS")) => Check::Passed(id),
        Some((id, "FAILURE")) => Check::Failed(id, None),
        Some((id, "TIMED_OUT")) => Check::TimedOut(id),
        Some((_, "UNAVAILABLE")) => Check::Unavailable,
        Some((id, _)) => Check::Scheduled(id),
    }
}

/// Whether a status adds nothing to the one on record but a check that was begun. One that ends soon is put on record with its end: a
/// process that begins anew meanwhile begins another check.
pub fn adds_only_a_check(recorded: &ConnectorStatus, status: &ConnectorStatus) -> bool {
    let without = ConnectorStatus {
        connection_check: None,
        ..status.clone()
    };
    status.connection_check.is_some() && without == *recorded
}

/// Whether the status says that the connector has what the spec of this generation and the Secret of that time say.
pub fn was_synced(status: &ConnectorStatus, generation: i64) -> bool {
    status.conditions.iter().any(|c| {
        c.type_ == ConditionType::Synced.as_str()
            && c.status == "True"
            && c.observed_generation == Some(generation)
    })
}

/// The reason of a condition on record.
pub fn reason_of(status: &ConnectorStatus, kind: ConditionType) -> Option<&str> {
    let mut conditions = status.conditions.iter();
    conditions
        .find(|condition| condition.type_ == kind.as_str())
        .map(|condition| condition.reason.as_str())
}
