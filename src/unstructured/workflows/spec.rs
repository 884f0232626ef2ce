//! What a workflow should be: all that is managed of it.

use std::fmt;

use secrecy::SecretString;

use super::super::config::Config;
use super::super::digest::{Digest, Digester};
use super::super::ids::ConnectorId;
use super::schedule::Schedule;
use crate::scrub::Scrubber;

/// One step of a workflow.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, by which it is told from others of its kind.
    pub name: String,
    /// What it does, for example `partition`.
    pub node_type: String,
    /// How it does that, for example `vlm`.
    pub subtype: String,
    /// Its settings. Those that are not given, the service fills in.
    pub settings: Config,
}

/// All that is managed of a workflow; it is always sent as a whole, because nothing says what becomes of a part that is left out.
#[derive(Clone, Debug)]
pub struct WorkflowSpec {
    /// Its name, which can be changed. Nothing says that names are unique.
    pub name: String,
    /// Where its documents come from; without, they are given to each run.
    pub source: Option<ConnectorId>,
    /// Where the elements go.
    pub destination: Option<ConnectorId>,
    /// Its steps, in the order in which they are taken.
    pub nodes: Vec<Node>,
    /// When the service runs it by itself; without, never.
    pub schedule: Option<Schedule>,
    /// Whether a run takes in again what has not changed.
    pub reprocess_all: bool,
    /// Whether its schedule is on. A create makes it active whatever this says: update it then.
    pub state: WorkflowState,
}

/// Whether a workflow's schedule is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkflowState {
    /// It is.
    Active,
    /// It is not.
    Inactive,
}

impl WorkflowState {
    /// How the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }
}

impl fmt::Display for WorkflowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl WorkflowSpec {
    /// HMAC-SHA-256 over everything that is managed, secrets included; nodes count in their order.
    ///
    /// With a key of its owner's own (a resource's UID), equal secrets of two owners have different digests.
    pub fn digest(&self, key: &[u8]) -> Digest {
        let Self {
            name,
            source,
            destination,
            nodes,
            schedule,
            reprocess_all,
            state,
        } = self;
        let mut digester = Digester::new(key, "unstructured workflow v1");
        let connector = |id: &Option<ConnectorId>| id.map(String::from).unwrap_or_default();
        for part in [
            name.as_str(),
            &connector(source),
            &connector(destination),
            schedule.map(Schedule::phrase).unwrap_or_default(),
            if *reprocess_all { "all" } else { "changed" },
            state.as_str(),
        ] {
            digester.part(part.as_bytes());
        }
        for node in nodes {
            for part in [&node.name, &node.node_type, &node.subtype] {
                digester.part(part.as_bytes());
            }
            digester.count(node.settings.fields().len());
            node.settings.digest_into(&mut digester);
        }
        digester.finish()
    }

    /// A foreign text made fit to be shown: one bounded line, without the secrets of its nodes in any common encoding.
    pub fn scrub(&self, text: &str) -> String {
        Scrubber::new(self.secrets()).scrub(text)
    }

    pub(in super::super) fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        self.nodes.iter().flat_map(|node| node.settings.secrets())
    }
}
