//! The side effects of a pass and their answers. A pass performs one at a time, so a crash between any two is a state that the
//! model covers.

use super::situation::{Bind, Check, Freshness, Grant, Mark, Namesake, Release, Sighting};
use crate::engine::departure::Users;
use crate::engine::outcome::{Failure, Outcome};
use crate::engine::turns;
use crate::unstructured::ConnectorId;

/// One side effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Put our finalizer on the resource, if nobody changed it meanwhile.
    AddFinalizer,
    /// See whether the API server would let us take our finalizer off, as nothing is deleted by an operator that cannot say so, and
    /// whether a workflow still runs through the connector.
    Rehearse,
    /// Take our finalizer off the resource, which lets it go.
    RemoveFinalizer(Release),
    /// Write into the status that a connector of this name is about to be made, if nobody changed the resource meanwhile.
    RecordIntent {
        /// Name of the connector to be.
        name: String,
        /// Its key, where the service takes one.
        key: Option<String>,
    },
    /// Write into the status that nobody knows any more what configuration the connector has, because another is about to be sent,
    /// if nobody changed the resource meanwhile.
    RecordUpdate,
    /// Write what is known into the status now, because it must survive a crash. The outcome is what the pass would report.
    Record(Outcome),
    /// Look at an inventory that is recent enough.
    Look(Freshness),
    /// Ask the API whether this connector exists.
    Confirm(ConnectorId),
    /// Ask the provider whether it accepts the credentials.
    CheckCredentials,
    /// Claim this connector among all resources of this operator.
    Bind(ConnectorId, Bind),
    /// Make a connector. Sent once, never repeated.
    Create {
        /// Its name, as recorded.
        name: String,
        /// Its key, as recorded.
        key: Option<String>,
    },
    /// Replace the configuration of this connector.
    Update(ConnectorId),
    /// Delete this connector.
    Delete(ConnectorId),
    /// Start the connection check of this connector.
    StartCheck(ConnectorId),
    /// Read the result of this check of this connector.
    PollCheck {
        /// The connector.
        source: ConnectorId,
        /// The check.
        check: String,
    },
}

impl turns::Effect for Effect {
    fn as_str(&self) -> &'static str {
        match self {
            Self::AddFinalizer => "add_finalizer",
            Self::Rehearse => "rehearse",
            Self::RemoveFinalizer(_) => "remove_finalizer",
            Self::RecordIntent { .. } => "record_intent",
            Self::RecordUpdate => "record_update",
            Self::Record(_) => "record",
            Self::Look(_) => "look",
            Self::Confirm(_) => "confirm",
            Self::CheckCredentials => "check_credentials",
            Self::Bind(..) => "bind",
            Self::Create { .. } => "create",
            Self::Update(_) => "update",
            Self::Delete(_) => "delete",
            Self::StartCheck(_) => "start_check",
            Self::PollCheck { .. } => "poll_check",
        }
    }

    fn is_record(&self) -> bool {
        matches!(self, Self::Record(_))
    }
}

impl Effect {
    /// Whether the effect changes anything in the workspace: what a suspended resource never does.
    pub fn writes_to_api(&self) -> bool {
        matches!(
            self,
            Self::Create { .. } | Self::Update(_) | Self::Delete(_) | Self::StartCheck(_)
        )
    }

    /// Whether it makes something that has to be recorded.
    pub fn needs_a_record(&self) -> bool {
        self.writes_to_api() && !matches!(self, Self::Delete(_))
    }
}

/// What an effect was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// What the inventory says.
    Seen {
        /// Of the connector that the binding, or `existingSourceId`, names.
        connector: Sighting,
        /// Whether that is the list's own word, not only that of our own write.
        listed: bool,
        /// Of connectors that carry the name in question or show our key, oldest first.
        namesakes: Vec<Namesake>,
    },
    /// What the API says of one connector: present or gone.
    Connector(Sighting),
    /// What the provider says of the credentials.
    Grant(Grant),
    /// These workflows run through the connector.
    Used(Users),
    /// The connector is claimed for this resource.
    Claimed,
    /// Another resource holds the connector, or is making one of this name.
    Held(String),
    /// A connector was made, of whose key this is said.
    Created(ConnectorId, Mark),
    /// The service takes no key, and made nothing.
    KeyRefused,
    /// The service says in these words that another connector has the key, and made nothing.
    KeyTaken(String),
    /// Where the connection check stands.
    Check(Check),
    /// It failed.
    Failed(Failure),
}

/// What to do next.
pub type Step = turns::Step<Effect, Outcome>;
