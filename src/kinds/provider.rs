//! The systems that connectors read from or write to, as far as they can be asked about credentials, and what they say.

use crate::crd::Reason;
use crate::dropbox::DropboxClient;
use crate::pinecone::PineconeClient;

/// A system that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Dropbox.
    Dropbox,
    /// Pinecone.
    Pinecone,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Dropbox, Self::Pinecone];

    /// What it is called among the labels of a metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dropbox => "dropbox",
            Self::Pinecone => "pinecone",
        }
    }
}

/// Clients of the systems that are to be asked.
#[derive(Clone, Default)]
pub struct Providers {
    /// Dropbox, unless asking it is switched off.
    pub dropbox: Option<DropboxClient>,
    /// Pinecone, unless asking it is switched off.
    pub pinecone: Option<PineconeClient>,
}

/// What a provider says of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody is to be asked.
    NotAsked,
    /// They are good.
    Accepted,
    /// They are good, and what is to be read cannot be read with them.
    Insufficient(Shortfall),
    /// They are definitely not good; what to do about it.
    Refused(String),
    /// It cannot be told, which is no refusal; a sentence that says why.
    Inconclusive(String),
    /// The same, because it does not work now: no answer came in time, or one that says so.
    NoAnswer(String),
}

/// What keeps credentials that are good from reading what is to be read. It blocks nothing: only Unstructured's own connection check
/// says what Unstructured can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shortfall {
    /// They lack a permission; what to do about it.
    Permission(String),
    /// Their account, or the app, is not to be used for this; what to do about it.
    Access(String),
    /// There is no such folder; what to do about it.
    Folder(String),
    /// There is one, and it cannot be read; what to do about it.
    Content(String),
    /// There is no such index; what to do about it.
    Index(String),
}

impl Shortfall {
    /// The word for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Permission(_) => Reason::PermissionMissing,
            Self::Access(_) => Reason::AccessDenied,
            Self::Folder(_) => Reason::FolderNotFound,
            Self::Content(_) => Reason::FolderUnreadable,
            Self::Index(_) => Reason::IndexNotFound,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        match self {
            Self::Permission(advice)
            | Self::Access(advice)
            | Self::Folder(advice)
            | Self::Content(advice)
            | Self::Index(advice) => advice,
        }
    }
}
