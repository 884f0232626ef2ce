//! What a pass knows of one workflow: plain values.

use std::collections::BTreeSet;

use super::super::references::Awaited;
use crate::engine::ahead::{Resend, Stage};
use crate::engine::debut::Debut;
use crate::engine::departure::Deletion;
use crate::engine::outcome::{Failure, Problem};
use crate::engine::turns;
use crate::unstructured::{Digest, WorkflowId};

/// What a pass knows of one workflow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, any combination of which can be true"
)]
pub struct Situation {
    /// It is being deleted.
    pub deletion: Option<Deletion>,
    /// Leave the workflow when the resource goes.
    pub retain: bool,
    /// Stop its runs before it goes.
    pub cancel_runs: bool,
    /// One of its jobs has asked for a run and does not know it yet.
    pub awaits_run: bool,
    /// Write nothing.
    pub suspend: bool,
    /// The finalizer holds it.
    pub finalized: bool,
    /// What the service did is not on record.
    pub unrecorded: bool,
    /// The name on record is another cluster's default name, so that the record cannot be this resource's own.
    pub foreign: Option<String>,
    /// Its name, and whether it is the resource's own default name.
    pub name: Name,
    /// Take over exactly this workflow.
    pub existing: Option<WorkflowId>,
    /// Take over a workflow that carries the explicit name.
    pub adopt_by_name: bool,
    /// Another resource has the workflow on record and comes first.
    pub held_by: Option<String>,
    /// Both connectors, or what is waited for.
    pub references: Result<(), Awaited>,
    /// Whether the workspace can be worked in.
    pub workspace: Result<(), Problem>,
    /// The key is not the one that made the workflow, and nobody has confirmed that: its fingerprint.
    pub moved: Option<String>,
    /// What is asked for.
    pub desired: Result<Digest, Problem>,
    /// What the service last accepted.
    pub applied: Option<Digest>,
    /// Why it refused what is asked for.
    pub refused: Option<Failure>,
    /// The key that every create of this resource carries: a workflow that shows it is ours.
    pub key: String,
    /// Whether the workflow on record shows it, as far as was seen.
    pub marked: bool,
    /// What the service said when another object had the key.
    pub key_taken: Option<String>,
    /// The workflow, as far as the status has it on record.
    pub binding: Binding,
    /// A workflow was on record once, and is gone.
    pub had_one: bool,
    /// The workflow itself, once this pass has looked.
    pub sight: Sight,
    /// How far a 404 on the workflow on record is believed.
    pub debut: Debut,
    /// Workflows that carry the key or the name, oldest first, once this pass has looked.
    pub namesakes: Option<Vec<Namesake>>,
    /// Creates that were given up and may be carried out all the same. There was none of ours before the first of them, so each that is
    /// ours and that nobody holds came of one.
    pub lost_creates: u32,
    /// Whether an update whose answer was lost may replace what was accepted since.
    pub resend: Resend,
    /// What this pass did.
    pub changes: Vec<Change>,
}

/// The name of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The name itself.
    pub value: String,
    /// Whether it is the resource's own default name.
    pub reserved: bool,
}

/// The workflow, as far as the status has it on record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// None, and none is being made.
    Unbound,
    /// One is being made, and the answer is not on record.
    Creating {
        /// Under which name.
        name: String,
        /// Where that stands.
        stage: Stage,
    },
    /// This one.
    Bound(WorkflowId),
}

/// What is seen of the workflow on record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Nobody has looked.
    Unseen,
    /// The list does not show it.
    Unlisted,
    /// The service says that it is not there.
    Gone,
    /// It is there, and differs in these.
    Present(BTreeSet<String>),
}

/// A workflow that carries the key or the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namesake {
    /// Which.
    pub id: WorkflowId,
    /// Whether it carries our key.
    pub marked: bool,
    /// Whether it carries our key, or our own default name: then it is ours.
    pub ours: bool,
    /// The resource that has it on record.
    pub holder: Option<String>,
}

impl Namesake {
    /// Whether it is ours and no resource has it.
    pub fn is_free(&self) -> bool {
        self.ours && self.holder.is_none()
    }
}

/// One thing that was done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A workflow was made.
    Created(WorkflowId),
    /// One was made in place of one that somebody had deleted.
    Recreated(WorkflowId),
    /// The workflow of a create whose answer had been lost was found.
    Recovered(WorkflowId),
    /// One was taken over.
    Adopted(WorkflowId),
    /// A change of the resource was accepted.
    Updated,
    /// What somebody had changed was restored: what.
    DriftCorrected(BTreeSet<String>),
    /// It was deleted.
    Deleted(WorkflowId),
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Put the finalizer on.
    AddFinalizer,
    /// Let the resource go.
    RemoveFinalizer,
    /// Write down that a workflow is about to be made.
    RecordIntent,
    /// Write down that what the workflow is like is not known from now on.
    RecordUpdate,
    /// Write down what came of it.
    Record,
    /// Look at the list; a fresh one, where a create may just have been carried out.
    Look(Fresh),
    /// Ask for the workflow by its id.
    Confirm(WorkflowId),
    /// Take this workflow for the resource's own.
    Bind(WorkflowId, How),
    /// Make it.
    Create,
    /// Send all that is managed.
    Update(WorkflowId),
    /// Stop its runs.
    CancelRuns(WorkflowId),
    /// Delete it.
    Delete(WorkflowId),
}

impl turns::Effect for Effect {
    fn as_str(&self) -> &'static str {
        match self {
            Self::AddFinalizer => "add_finalizer",
            Self::RemoveFinalizer => "remove_finalizer",
            Self::RecordIntent => "record_intent",
            Self::RecordUpdate => "record_update",
            Self::Record => "record",
            Self::Look(_) => "look",
            Self::Confirm(_) => "confirm",
            Self::Bind(..) => "bind",
            Self::Create => "create",
            Self::Update(_) => "update",
            Self::CancelRuns(_) => "cancel_runs",
            Self::Delete(_) => "delete",
        }
    }

    fn is_record(&self) -> bool {
        matches!(self, Self::Record)
    }
}

/// How old a list may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fresh {
    /// As old as a look at rest may be.
    Any,
    /// Not older than this moment.
    Now,
}

/// Why a workflow is taken for the resource's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// It came of a create whose answer was lost.
    Recovered,
    /// The resource names it.
    Adopted,
}

/// What an effect was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// The list was looked at.
    Seen(Sight, Vec<Namesake>),
    /// The workflow was looked at.
    Confirmed(Sight),
    /// The workflow was made.
    Created {
        /// Which it is.
        id: WorkflowId,
        /// The digest of what was accepted, unless an update has to follow.
        accepted: Option<Digest>,
        /// Whether it shows our key.
        marked: bool,
    },
    /// Nothing was made, as another object has the key, in the service's words.
    KeyTaken(String),
    /// All was accepted.
    Updated(Digest),
    /// It failed.
    Failed(Failure),
}

impl Situation {
    /// The workflow on record.
    pub fn bound(&self) -> Option<WorkflowId> {
        match self.binding {
            Binding::Bound(id) => Some(id),
            Binding::Unbound | Binding::Creating { .. } => None,
        }
    }

    /// One that came of a create that was given up.
    pub fn duplicate(&self) -> Option<WorkflowId> {
        let mut others = self.namesakes.iter().flatten();
        let is_extra = |n: &&Namesake| n.is_free() && Some(n.id) != self.bound();
        let found = others.find(|n| is_extra(n))?;
        (self.lost_creates > 0).then_some(found.id)
    }

    /// Whether what is asked for was accepted.
    pub fn is_synced(&self) -> bool {
        let desired = self.desired.as_ref().ok();
        self.bound().is_some() && desired.is_some() && self.applied.as_ref() == desired
    }

    /// Whether what is asked for was accepted, and what is there seems to be that.
    pub fn is_settled(&self) -> bool {
        self.is_synced() && self.sight == Sight::Present(BTreeSet::new())
    }

    /// The same, not knowing what the workflow is like.
    #[must_use]
    pub fn unsure(&self) -> Self {
        Self {
            applied: None,
            resend: self.resend.ahead(),
            ..self.clone()
        }
    }
}
