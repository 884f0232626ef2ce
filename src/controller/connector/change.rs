//! What a pass changes.

use std::collections::BTreeSet;

use crate::unstructured::ConnectorId;

/// Something that a pass did to the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A connector was made.
    Created(ConnectorId),
    /// A connector was made because the earlier one had gone.
    Recreated(ConnectorId),
    /// An existing connector was bound.
    Bound(ConnectorId, Bind),
    /// A changed configuration was accepted.
    Updated,
    /// A configuration that had been changed behind our back was restored; the settings by name.
    DriftCorrected(BTreeSet<String>),
    /// The connector was deleted.
    Deleted(ConnectorId),
    /// A connector that only a lost answer or a crash can have left was deleted.
    DuplicateDeleted(ConnectorId),
    /// The resource went, the connector stayed.
    Released(Release),
}

/// Why an existing connector becomes ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// `existingSourceId` names it.
    ById,
    /// `adoptionPolicy: ByName`.
    ByName,
    /// It shows our key.
    ByKey,
    /// It carries our reserved name.
    Reserved,
    /// Our own create, whose answer was lost, made it.
    Recovered,
}

/// Why a resource goes without its connector being deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Release {
    /// There never was one.
    NeverCreated,
    /// It is deleted.
    Deleted,
    /// `deletionPolicy: Retain`.
    Retained(Option<ConnectorId>),
    /// The custom resource definition is being deleted.
    Abandoned(Option<ConnectorId>),
    /// The namespace goes and the API key is gone already.
    Orphaned(Option<ConnectorId>),
    /// Another resource holds it.
    Held(ConnectorId),
    /// The record was another resource's: whose the connector is, nobody here knows.
    Foreign(Option<ConnectorId>),
}
