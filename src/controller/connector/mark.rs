//! What tells whose a connector is: the key that it shows, and else its name.

use std::collections::BTreeSet;

use crate::unstructured::ConnectorId;

/// What the key of a connector says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// It is the one that this resource gives: the connector is ours.
    Ours,
    /// It is another one, or the service says that there is none.
    Anothers,
    /// Nothing: the service shows no keys.
    Unshown,
}

/// A connector that carries the name in question, or shows our key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namesake {
    /// Its id.
    pub id: ConnectorId,
    /// What its key says.
    pub mark: Mark,
    /// Its name, fit to be shown, where that is not the name in question.
    pub other_name: Option<String>,
    /// The resource that holds it, if another one does: said the same way, however it was found out.
    pub holder: Option<String>,
    /// Whether it was made since the first of the creates that were given up was begun; without such a create, since the resource
    /// was made. What was there before cannot have come of them.
    pub recent: bool,
    /// Readable settings that differ from the desired ones.
    pub drift: BTreeSet<String>,
}

impl Namesake {
    /// Whether no other resource holds it.
    pub const fn is_free(&self) -> bool {
        self.holder.is_none()
    }

    /// Whether it shows our key.
    pub fn is_marked(&self) -> bool {
        self.mark == Mark::Ours
    }

    /// Whether it carries the name in question.
    pub const fn is_named(&self) -> bool {
        self.other_name.is_none()
    }
}

/// What becomes of a key in a create, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// It is sent. Whether the service honours or ignores it, each answer says.
    Sent,
    /// The service refuses it: creates go without.
    Refused,
    /// The service says that another connector has ours.
    Taken {
        /// In its words.
        why: String,
        /// It said so in this pass.
        just_now: bool,
    },
}
