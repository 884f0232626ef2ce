//! The two families of connectors, which the API treats alike.

use crate::fake::Recorded;

/// Where documents come from, or where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `/sources/`
    Sources,
    /// `/destinations/`
    Destinations,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sources, Self::Destinations];

    /// The family that a request is about, so that a test can tell requests of one [`Route`](super::Route) apart.
    pub fn of(request: &Recorded) -> Option<Self> {
        let path = request.path.strip_prefix("/api/v1/")?;
        let first = path.split('/').next()?;
        Self::ALL.into_iter().find(|family| family.path() == first)
    }

    /// The segment of the path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Destinations => "destinations",
        }
    }

    /// As the service's texts begin.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Sources => "Source",
            Self::Destinations => "Destination",
        }
    }

    /// What the API calls an id of it.
    pub(super) fn id_parameter(self) -> &'static str {
        match self {
            Self::Sources => "source_id",
            Self::Destinations => "destination_id",
        }
    }

    /// The only query parameter of a list.
    pub(super) fn type_parameter(self) -> &'static str {
        match self {
            Self::Sources => "source_type",
            Self::Destinations => "destination_type",
        }
    }
}
