//! The two families of connectors: where documents come from, and where their elements go.

use std::fmt;

/// One of the API's collections of connectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collection {
    /// `/sources/`.
    Sources,
    /// `/destinations/`.
    Destinations,
}

impl Collection {
    /// Its name in paths.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Destinations => "destinations",
        }
    }

    /// The parameter that asks the list of workflows for those that use one connector.
    pub(super) const fn id_filter(self) -> &'static str {
        match self {
            Self::Sources => "source_id",
            Self::Destinations => "destination_id",
        }
    }

    /// The parameter that asks a list for one type.
    pub(super) const fn filter(self) -> &'static str {
        match self {
            Self::Sources => "source_type",
            Self::Destinations => "destination_type",
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
