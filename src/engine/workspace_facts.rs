//! What tells one workspace from another.

/// Facts about the workspace that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WorkspaceFacts {
    /// Base URL of its API.
    pub api_url: String,
    /// Fingerprint of the key in use.
    pub fingerprint: String,
}
