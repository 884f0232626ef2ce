//! The status, in small: what the protocol reads back of it, and what is judged of it.

use std::sync::LazyLock;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use unstructured_operator::controller::connector::situation::WorkspaceFacts;
use unstructured_operator::crd::{
    ConditionType, ConnectionCheck, ConnectorStatus, CreateIntent, LostCreates, Reason,
    WorkspaceStatus,
};
use unstructured_operator::unstructured::ConnectorId;

use super::connectors::{Config, number, source_id};
use super::world::Restored;

/// A name that is no resource's here: another cluster's.
pub const ELSEWHERE: u8 = 9;

/// The `n`th name of connectors. The first ones are the default names of the places.
pub fn name(n: u8) -> &'static str {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..=u8::MAX).map(|n| format!("n{n}")).collect());
    &NAMES[usize::from(n)]
}

/// The key of the resource in the `n`th place.
pub fn mark(n: u8) -> &'static str {
    static KEYS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..=u8::MAX).map(|n| format!("k{n}")).collect());
    &KEYS[usize::from(n)]
}

/// The number of a name or a key.
pub fn name_number(name: &str) -> u8 {
    name[1..].parse().expect("one of ours")
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    /// `observedGeneration`, 0 before anything was observed.
    pub observed: u8,
    pub source: Option<u8>,
    /// `connectorName`.
    pub name: Option<u8>,
    /// `key`: the place of the resource whose key it is.
    pub key: Option<u8>,
    pub applied: Option<Config>,
    /// `create`: when, and under which name.
    pub create: Option<(u8, u8)>,
    /// `lostCreates`: how many, and since when.
    pub lost: Option<(u8, u8)>,
    /// `resendAfter`.
    pub resend: Option<u8>,
    pub home: bool,
    pub check: Option<String>,
    /// Reason of the condition `Ready`, and whether it is True.
    pub ready: Option<(bool, Reason)>,
}

impl Status {
    /// Of a resource that has been ready for long.
    pub fn ready(id: u8, name: u8, config: Config) -> Self {
        Self {
            observed: 1,
            source: Some(id),
            name: Some(name),
            applied: Some(config),
            home: true,
            ready: Some((true, Reason::Ready)),
            ..Self::default()
        }
    }

    /// As a restore into another cluster brings it along.
    pub fn copied(id: u8) -> Self {
        let config = Config {
            visible: 2,
            secret: 2,
        };
        Self::ready(id, ELSEWHERE, config)
    }

    pub fn restored(&self, restored: Restored, own_name: u8) -> Self {
        let first = Config {
            visible: 0,
            secret: 0,
        };
        match restored {
            Restored::Wiped => Self::default(),
            Restored::Older => Self {
                source: self.source,
                ..Self::ready(0, own_name, first)
            },
            Restored::Naming(id) => Self::ready(id, own_name, first),
        }
    }

    pub fn each_time(&mut self, time: &mut dyn FnMut(&mut u8)) {
        if let Some((at, _)) = &mut self.create {
            time(at);
        }
        if let Some((_, since)) = &mut self.lost {
            time(since);
        }
        if let Some(after) = &mut self.resend {
            time(after);
        }
    }
}

pub fn workspace() -> WorkspaceFacts {
    WorkspaceFacts {
        api_url: "w".to_owned(),
        fingerprint: "k".to_owned(),
    }
}

pub fn time(clock: u8) -> Time {
    Time(Timestamp::from_second(clock.into()).expect("a time"))
}

pub fn clock(time: &Time) -> u8 {
    u8::try_from(time.0.as_second()).expect("a time of the model")
}

/// As the API server holds it.
pub fn full(status: &Status) -> ConnectorStatus {
    let ready = status.ready.map(|(ready, reason)| Condition {
        type_: ConditionType::Ready.as_str().to_owned(),
        status: if ready { "True" } else { "False" }.to_owned(),
        reason: reason.as_str().to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: time(0),
    });
    ConnectorStatus {
        observed_generation: status.observed.into(),
        id: status.source.map(|id| source_id(id).to_string()),
        connector_name: status.name.map(|n| name(n).to_owned()),
        key: status.key.map(|n| mark(n).to_owned()),
        workspace: status.home.then(|| WorkspaceStatus {
            api_url: workspace().api_url,
            key_fingerprint: workspace().fingerprint,
        }),
        applied_digest: status.applied.map(|config| config.digest().to_string()),
        last_sync_time: None,
        last_handled_reconcile_at: None,
        connection_check: status.check.as_ref().map(|status| ConnectionCheck {
            id: "check".to_owned(),
            status: status.clone(),
        }),
        create: status.create.map(|(at, n)| CreateIntent {
            name: name(n).to_owned(),
            started_at: time(at),
        }),
        lost_creates: status.lost.map(|(count, since)| LostCreates {
            count: count.into(),
            since: time(since),
        }),
        resend_after: status.resend.map(time),
        conditions: ready.into_iter().collect(),
    }
}

/// The same, `None` where there is none at all.
pub fn shown(status: &Status) -> Option<ConnectorStatus> {
    (*status != Status::default()).then(|| full(status))
}

pub fn compact(status: &ConnectorStatus) -> Status {
    let source: Option<ConnectorId> = status.id.as_deref().and_then(|id| id.parse().ok());
    let ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == ConditionType::Ready.as_str());
    Status {
        observed: u8::try_from(status.observed_generation).expect("a small generation"),
        source: source.map(number),
        name: status.connector_name.as_deref().map(name_number),
        key: status.key.as_deref().map(name_number),
        applied: status
            .applied_digest
            .as_deref()
            .and_then(|digest| Some(Config::of(digest.parse().ok()?))),
        create: status
            .create
            .as_ref()
            .map(|create| (clock(&create.started_at), name_number(&create.name))),
        lost: status.lost_creates.as_ref().map(|lost| {
            let count = u8::try_from(lost.count).expect("few");
            (count, clock(&lost.since))
        }),
        resend: status.resend_after.as_ref().map(clock),
        home: status.workspace.is_some(),
        check: status.connection_check.as_ref().map(|c| c.status.clone()),
        ready: ready.map(|c| {
            let reason = Reason::ALL.iter().find(|known| known.as_str() == c.reason);
            (c.status == "True", *reason.expect("a reason of the table"))
        }),
    }
}
