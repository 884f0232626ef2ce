//! What a pass knows of one resource: plain values, so that a decision on them can be tested, replayed and model-checked.
//!
//! A [`Situation`] is gathered at the start of a pass and grows by `learn` as effects are answered. It holds no
//! Kubernetes type, no clock and no secret.

use std::collections::BTreeSet;

pub use super::change::{Bind, Change, Release};
pub use super::mark::{Keys, Mark, Namesake};
pub use crate::engine::ahead::{Resend, Stage};
pub use crate::engine::debut::Debut;
pub use crate::engine::departure::{DefinitionFate, Deletion, Users};
use crate::engine::outcome::{ForeignRecord, Outcome, Problem};
pub use crate::engine::workspace_facts::WorkspaceFacts;
use crate::kinds::Shortfall;
use crate::unstructured::{CheckStatus, Collection, ConnectorId, Digest};

/// Name of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectorName {
    /// The name itself.
    pub value: String,
    /// Whether it is the resource's own default name. That scheme is reserved: a connector with this name is ours.
    pub reserved: bool,
}

/// What the resource asks for, apart from the configuration itself.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, any combination of which can be true"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Name for a connector that has to be made.
    pub name: ConnectorName,
    /// Its key: what shows it is ours, whatever its name.
    pub key: String,
    /// Which family the connector is of.
    pub collection: Collection,
    /// Take over exactly this connector.
    pub existing: Option<ConnectorId>,
    /// Take over a connector that carries the explicit name.
    pub adopt_by_name: bool,
    /// Wait for the connection check.
    pub verify: bool,
    /// Leave the connector when the resource goes.
    pub retain: bool,
    /// Write nothing.
    pub suspend: bool,
}

/// Which connector belongs to the resource, as far as the status has it on record. The three exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// None, and none is being made.
    Unbound,
    /// A create of this name was begun and its answer is not on record.
    Creating {
        /// Name under which the connector is being made.
        name: String,
        /// Where the create stands, as far as this process can know.
        stage: Stage,
    },
    /// This one.
    Bound(ConnectorId),
}

/// What is known of one connector of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sighting {
    /// Nobody looked yet.
    Unseen,
    /// It is there.
    Present {
        /// Names of the readable settings whose value is not the desired one.
        drift: BTreeSet<String>,
        /// Its name.
        name: String,
        /// Whether it is a connector of the kind that the resource stands for.
        same_kind: bool,
    },
    /// The inventory does not list it.
    Unlisted,
    /// The API says that it does not exist.
    Gone,
}

/// How recent an inventory has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Any that this process asked for: our own writes are in it, and a write to what has gone since is answered 404.
    Any,
    /// Asked for since whatever triggered this pass.
    Trigger,
    /// Asked for from now on.
    Now,
}

/// What the provider said of the credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// Nobody asked yet.
    Unasked,
    /// It accepts them, or is not to be asked.
    Accepted,
    /// It accepts them, and they cannot read what is to be read. That is said, and blocks nothing.
    Insufficient(Shortfall),
    /// It could not say, for this reason: only a definite refusal blocks.
    Inconclusive(String),
    /// It gave no answer, for this reason: when it gives one to anybody, it is asked again.
    Silence(String),
    /// It refuses them, for this reason.
    Refused(String),
}

/// The connection check of the configuration that was accepted last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// Not started.
    None,
    /// Started; the result is not there yet.
    Scheduled(String),
    /// It passed.
    Passed(String),
    /// It failed; the reason is known only in the pass that read it.
    Failed(String, Option<String>),
    /// It gave no result in time.
    TimedOut(String),
    /// The API offers no such check.
    Unavailable,
}

/// The configuration that the connector should have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Desired {
    /// Nobody read it: a deletion needs none.
    Unread,
    /// It cannot be put together.
    Blocked(Problem),
    /// Its digest, secrets included.
    Digest(Digest),
}

/// Everything a decision may rest on.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, any combination of which can be true"
)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Situation {
    /// What the resource asks for.
    pub wanted: Wanted,
    /// Set while the resource is being deleted.
    pub deletion: Option<Deletion>,
    /// What is on record is another resource's.
    pub foreign: Option<ForeignRecord>,
    /// What may hold a connector and is not known yet, in words; nothing if every resource is known.
    pub unlisted: Option<String>,
    /// Whether what the resource waits for has been waited for long enough to be told as what stalls it.
    pub waited: bool,
    /// Whether our finalizer is on the resource.
    pub finalized: bool,
    /// Which connector is ours.
    pub binding: Binding,
    /// Whether our key is on record, as that of the connector, or of the one that is being made.
    pub marked: bool,
    /// What becomes of our key in a create.
    pub keys: Keys,
    /// Whether another resource claims the connector that this one is bound to; then that one keeps it.
    pub held_by: Option<String>,
    /// Digest of the configuration that the API accepted last.
    pub applied: Option<Digest>,
    /// Workspace in which the connector was last seen.
    pub home: Option<WorkspaceFacts>,
    /// The user confirmed that the connector may be made anew in another workspace.
    pub move_accepted: bool,
    /// The workspace to work in.
    pub workspace: Result<WorkspaceFacts, Problem>,
    /// The desired configuration.
    pub desired: Desired,
    /// The user asked for this pass by annotation: nothing known from before is good enough.
    pub forced: bool,
    /// The API already refused exactly this configuration; it is not sent again.
    pub refused: Option<Outcome>,
    /// What the provider says of the credentials.
    pub grant: Grant,
    /// What it said last was not that they are good, as far as is on record: it is worth asking again.
    pub doubted: bool,
    /// What is known of the connector that `binding`, or `existing`, names.
    pub connector: Sighting,
    /// How far a 404 on the connector that `binding` names is believed.
    pub debut: Debut,
    /// Connectors that carry the name in question or show our key, oldest first; `None` until somebody looked.
    pub namesakes: Option<Vec<Namesake>>,
    /// The connection check.
    pub check: Check,
    /// Whether the check was polled in this pass.
    pub polled: bool,
    /// Whether it was this pass that learnt that the check failed.
    pub failed_now: bool,
    /// Whether the check has had its time.
    pub check_overdue: bool,
    /// An update whose answer was lost may be carried out after the one that was accepted since.
    pub resend: Resend,
    /// Creates of this resource that were given up, and may still be carried out.
    pub lost_creates: u32,
    /// What came of the create whose outcome is not known, if this process sent it.
    pub lost: Option<String>,
    /// Something of this is not in the status yet and must not be lost.
    pub unrecorded: bool,
    /// The workflows that still run through the connector, once this pass has looked and found any.
    pub users: Option<Users>,
    /// What this pass changed, for events and metrics, in order.
    pub changes: Vec<Change>,
}

impl Situation {
    /// The name to look for: the one on record while a create is under way, else the one that the resource asks for.
    pub fn name(&self) -> ConnectorName {
        match &self.binding {
            Binding::Creating { name, .. } if *name != self.wanted.name.value => ConnectorName {
                value: name.clone(),
                reserved: false,
            },
            _ => self.wanted.name.clone(),
        }
    }

    /// The connector of ours, if the status has one on record.
    pub fn bound(&self) -> Option<ConnectorId> {
        match &self.binding {
            Binding::Bound(id) => Some(*id),
            Binding::Unbound | Binding::Creating { .. } => None,
        }
    }

    /// Those that can have come of the create that is on record and that nobody else holds, oldest first: what shows our key, and
    /// where nothing does, what carries the name. Under a chosen name, one of which the service says that it has not the key that was
    /// sent is somebody else's.
    pub fn descendants(&self) -> Vec<&Namesake> {
        let free = self.namesakes.iter().flatten().filter(|n| n.is_free());
        let marked: Vec<_> = free.clone().filter(|n| n.is_marked()).collect();
        if !marked.is_empty() {
            return marked;
        }
        let reserved = self.name().reserved;
        let may_be = |n: &&Namesake| reserved || !self.marked || n.mark == Mark::Unshown;
        free.filter(|n| n.is_named()).filter(may_be).collect()
    }

    /// Whether this one can only have come of a create of ours that was lost: nobody holds it, it was made since, and it has our key
    /// or our reserved name.
    pub fn is_late(&self, n: &Namesake) -> bool {
        let ours = n.is_marked() || self.wanted.name.reserved && n.is_named();
        ours && n.is_free() && n.recent
    }

    /// The digest of the desired configuration, if it can be put together.
    pub fn digest(&self) -> Option<Digest> {
        match self.desired {
            Desired::Digest(digest) => Some(digest),
            Desired::Unread | Desired::Blocked(_) => None,
        }
    }

    /// Whether the present key is not the one with which the connector was last seen, and nobody confirmed that this is meant.
    pub fn moved(&self) -> bool {
        let (Some(home), Ok(workspace)) = (&self.home, &self.workspace) else {
            return false;
        };
        home.fingerprint != workspace.fingerprint && !self.move_accepted
    }

    /// Whether every resource that may hold a connector is known.
    pub fn resources_known(&self) -> bool {
        self.unlisted.is_none()
    }

    /// Whether no resource that is not known yet can hold the connector on record: all are known, or it carries our own default name.
    pub fn is_certainly_ours(&self) -> bool {
        let own = &self.wanted.name;
        self.resources_known()
            || matches!(&self.connector, Sighting::Present { name, .. } if own.reserved && *name == own.value)
    }

    /// The same with an intent to make a connector of this name, with our key or without.
    #[must_use]
    pub fn intending(&self, name: &str, marked: bool) -> Self {
        let given_up = matches!(
            self.binding,
            Binding::Creating {
                stage: Stage::Settled,
                ..
            }
        );
        Self {
            binding: Binding::Creating {
                name: name.to_owned(),
                stage: Stage::Recorded,
            },
            marked,
            lost_creates: self.lost_creates.saturating_add(u32::from(given_up)),
            applied: None,
            check: Check::None,
            ..self.clone()
        }
    }

    /// The same, not knowing what configuration the connector has.
    #[must_use]
    pub fn unsure(&self) -> Self {
        Self {
            applied: None,
            check: Check::None,
            resend: self.resend.ahead(),
            ..self.clone()
        }
    }
}

/// Whether the connector has exactly the desired configuration, as far as anybody can know: the API accepted it, and nothing
/// readable differs from it.
pub fn is_synced(s: &Situation) -> bool {
    let accepted = s.applied.is_some() && s.digest() == s.applied;
    let untouched = match &s.connector {
        Sighting::Present { drift, .. } => drift.is_empty(),
        Sighting::Unseen => true,
        Sighting::Unlisted | Sighting::Gone => false,
    };
    s.bound().is_some() && accepted && untouched && s.held_by.is_none()
}

impl Check {
    /// What an answer of the API means for the check with this id.
    pub fn from_answer(id: String, status: &CheckStatus, reason: Option<String>) -> Self {
        match status {
            CheckStatus::Success => Self::Passed(id),
            CheckStatus::Failure => Self::Failed(id, reason),
            CheckStatus::Scheduled | CheckStatus::Other(_) => Self::Scheduled(id),
        }
    }
}
