//! Which passes come first.

/// How urgent a pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// The resource or its Secret is new or changed.
    Changed,
    /// Something is to be tried again, or followed up.
    Retry,
    /// The inventory differs from the resource, or has to be compared for the first time.
    Drift,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Self; 3] = [Self::Changed, Self::Retry, Self::Drift];

    /// The word for it in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Retry => "retry",
            Self::Drift => "drift",
        }
    }
}
