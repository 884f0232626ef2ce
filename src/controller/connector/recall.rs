//! What is read back: from a status and from what this process remembers to what a pass may rest on, and from what a watch or an
//! inventory shows to whether a pass is due. Pure: clocks and memories are the caller's, and the model checker is one of the callers.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::situation::{Binding, Change, Situation, Stage};
use crate::crd::{ConditionType, ConnectorStatus, CreateIntent, Reason};
use crate::engine::backoff::doubled;
use crate::engine::follow_up::LONGEST_BACKOFF;
use crate::engine::outcome::{Failure, ForeignRecord, Outcome, Requeue};
use crate::unstructured::{Commit, ConnectorId};

/// The connector that a status names.
pub fn bound(status: &ConnectorStatus) -> Option<ConnectorId> {
    status.id.as_deref()?.parse().ok()
}

/// Which connector is ours. `gone` is the one that this process knows to be deleted; whether an intent has settled, it counts itself.
pub fn binding(
    status: &ConnectorStatus,
    gone: Option<ConnectorId>,
    has_settled: impl FnOnce(&CreateIntent) -> bool,
) -> Binding {
    match (bound(status), &status.create) {
        // What a DELETE or a 404 has taught outlives a conflict.
        (Some(id), _) if gone == Some(id) => Binding::Unbound,
        (Some(id), _) => Binding::Bound(id),
        (None, None) => Binding::Unbound,
        (None, Some(create)) => Binding::Creating {
            name: create.name.clone(),
            stage: if has_settled(create) {
                Stage::Settled
            } else {
                Stage::Unsettled
            },
        },
    }
}

/// Whether our key is on record. Another one, of a cluster of another name, is as good as none.
pub fn marked(status: &ConnectorStatus, key: &str) -> bool {
    status.key.as_deref() == Some(key)
}

/// A record that cannot be this resource's own: it has a name that is another's by default. `is_meant`: the spec or the annotation
/// that confirms says that it is ours all the same.
pub fn foreign_record(
    status: &ConnectorStatus,
    is_meant: bool,
    cluster: &str,
    is_of_another: impl FnOnce(&str) -> bool,
) -> Option<ForeignRecord> {
    let intended = status.create.as_ref().map(|create| &create.name);
    let name = status.connector_name.as_ref().or(intended)?;
    (!is_meant && is_of_another(name)).then(|| ForeignRecord {
        name: name.clone(),
        cluster: cluster.to_owned(),
    })
}

/// Whether what others supply was waited for long enough: by this process, or by one before us, which has said so.
pub fn has_waited(status: &ConnectorStatus, here: bool) -> bool {
    let stalled = status
        .conditions
        .iter()
        .find(|c| c.type_ == ConditionType::Stalled.as_str());
    let told = stalled.is_some_and(|c| {
        [
            Reason::SecretNotFound,
            Reason::SecretKeyMissing,
            Reason::WorkspaceKeyMissing,
        ]
        .iter()
        .any(|reason| reason.as_str() == c.reason)
    });
    told || here
}

/// Whether a key that this process still holds may finish a deletion after its Secret has gone: only the one that saw the connector.
pub fn outlives_its_secret(deleting: bool, status: &ConnectorStatus, held: &str) -> bool {
    let home = status.workspace.as_ref();
    deleting && home.is_some_and(|home| home.key_fingerprint == held)
}

/// When the first of the creates began that may have left a connector, as far as is on record.
pub fn first_create(status: &ConnectorStatus) -> Option<&Time> {
    let lost = status.lost_creates.as_ref().map(|lost| &lost.since);
    lost.or_else(|| status.create.as_ref().map(|create| &create.started_at))
}

/// What a failed create leaves to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// How long it may still be carried out.
    pub settles: Duration,
    /// How long the same configuration is not sent again: each attempt at one that fails every time may make a connector.
    pub pause: Duration,
}

/// What is to be waited for after a create failed, the creates that were given up before it counted.
pub fn after_create(commit: Commit, lost_creates: u32, settle_time: Duration) -> Aftermath {
    match commit {
        Commit::Never => Aftermath {
            settles: Duration::ZERO,
            pause: Duration::ZERO,
        },
        Commit::Unknown => Aftermath {
            settles: settle_time,
            pause: doubled(settle_time, lost_creates.saturating_add(1), LONGEST_BACKOFF)
                .max(settle_time),
        },
    }
}

/// The connector that a pass knows to be gone, which its record may not say yet.
pub fn gone(s: &Situation) -> Option<ConnectorId> {
    s.changes.iter().find_map(|change| match change {
        Change::Deleted(id) => Some(*id),
        _ => None,
    })
}

/// What a resource waits for that no watch shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaits {
    /// Nothing.
    #[default]
    Nothing,
    /// The next good inventory: what stands in the way may have gone.
    Inventory,
}

/// What has to be there before another pass is of use.
pub fn awaits(outcome: &Outcome) -> Awaits {
    let failed = outcome.failure().is_some_and(Failure::awaits_api);
    if failed || outcome.row().requeue == Requeue::NextInventory {
        Awaits::Inventory
    } else {
        Awaits::Nothing
    }
}

/// One version of a resource, as far as its writer is told by it.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// resourceVersion.
    pub number: u64,
    /// UID of the resource.
    pub uid: Option<&'a str>,
    /// Its status.
    pub status: Option<&'a ConnectorStatus>,
}

/// Who wrote a version that the watch shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// This process; or the version is older than its last write.
    Us,
    /// Somebody else, and not the status: that is still ours.
    Another,
    /// Somebody else, over our status.
    Overwriter,
    /// Perhaps a leader before us, or this process without knowing: what the status says is believed.
    Unknown,
}

/// What is known of the versions before one that the watch shows.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Number of the last version whose status is known to be of this process.
    pub written: u64,
    /// Whether what a leader before us may have sent has been carried out by now, or never will be.
    pub settled: bool,
    /// The version that is replaced.
    pub replaced: Option<Version<'a>>,
    /// Whether this process has sent a status over it without hearing whether it was written.
    pub unsure: bool,
}

/// Tells who wrote the version `now`. Until this process has written one itself, or the last leader's requests have had their time,
/// a new version may be the last leader's: to write over that would lose what it has recorded.
pub fn writer(known: &Known<'_>, now: Version<'_>) -> Writer {
    if now.number <= known.written {
        return Writer::Us;
    }
    let Some(replaced) = known.replaced.filter(|replaced| replaced.uid == now.uid) else {
        return Writer::Unknown;
    };
    if now.number <= replaced.number {
        return Writer::Us;
    }
    let is_ours = replaced.number == known.written || known.settled;
    match (is_ours, replaced.status == now.status) {
        (true, true) => Writer::Another,
        (true, false) if !known.unsure => Writer::Overwriter,
        (true, false) | (false, _) => Writer::Unknown,
    }
}

/// Whether a change that the watch shows is one that the operator has to look at: not its own writes, and no bookkeeping of others.
/// `asked` is what a pass is made for, before and after; `recorded` what the operator writes. A status that somebody else wrote is
/// put right, even one that the watch has shown before: it may have left out what came between.
pub fn matters<A: PartialEq, R: PartialEq>(
    asked: &(A, A),
    recorded: &(R, R),
    writer: Writer,
) -> bool {
    let recorded_anew = match writer {
        Writer::Us => false,
        Writer::Overwriter => true,
        Writer::Another | Writer::Unknown => recorded.0 != recorded.1,
    };
    asked.0 != asked.1 || recorded_anew
}

/// Whether an inventory shows anything else than one connector with the readable settings of the resource. `drifts` tells it of the
/// connector with this id if it is there; `namesakes` are those of our key, and of our name where that is the default, each with
/// whether a resource holds it.
pub fn differs<N: IntoIterator<Item = (ConnectorId, bool)>>(
    status: &ConnectorStatus,
    drifts: impl FnOnce(ConnectorId) -> Option<bool>,
    namesakes: impl FnOnce() -> N,
) -> bool {
    let Some(id) = bound(status) else {
        return false;
    };
    let is_extra = |(other, held): (ConnectorId, bool)| other != id && !held;
    drifts(id).is_none_or(|drifts| {
        drifts || (status.lost_creates.is_some() && namesakes().into_iter().any(is_extra))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64, status: &ConnectorStatus) -> Version<'_> {
        Version {
            number,
            uid: Some("a"),
            status: Some(status),
        }
    }

    #[test]
    fn what_the_last_leader_wrote_late_is_believed_and_what_is_written_over_ours_is_not() {
        let (old, new) = (
            ConnectorStatus::default(),
            ConnectorStatus {
                id: Some("f6017ef4-6459-4749-b206-8e9b74ba8163".to_owned()),
                ..ConnectorStatus::default()
            },
        );
        let listed = Known {
            written: 0,
            settled: false,
            replaced: Some(version(1, &old)),
            unsure: false,
        };
        assert_eq!(writer(&listed, version(2, &new)), Writer::Unknown);
        let later = Known {
            settled: true,
            ..listed
        };
        assert_eq!(writer(&later, version(2, &new)), Writer::Overwriter);
        let ours = Known {
            written: 1,
            ..listed
        };
        assert_eq!(writer(&ours, version(1, &old)), Writer::Us);
        assert_eq!(writer(&ours, version(2, &old)), Writer::Another);
        assert_eq!(writer(&ours, version(2, &new)), Writer::Overwriter);
        let unsure = Known {
            unsure: true,
            ..ours
        };
        assert_eq!(writer(&unsure, version(2, &new)), Writer::Unknown);
    }

    #[test]
    fn a_status_that_is_wiped_is_written_over() {
        let ours = ConnectorStatus::default();
        let known = Known {
            written: 1,
            settled: false,
            replaced: Some(version(1, &ours)),
            unsure: false,
        };
        let wiped = Version {
            status: None,
            ..version(2, &ours)
        };
        assert_eq!(writer(&known, wiped), Writer::Overwriter);
    }
}
