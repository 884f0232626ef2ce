//! What is wrong with the body of a success.

/// A success whose body is not what is documented; the text says how, and repeats nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub &'static str);

impl Unreadable {
    pub const PAGE: Self = Self("is an HTML page; check the API URL");
    pub const EARLY_END: Self = Self("ends too early");
    pub const SHAPE: Self = Self("has another shape than documented");
    pub const SYNTAX: Self = Self("is not JSON, or too deep");
    pub const ANOTHER: Self = Self("is about another object than the one that was asked for");
    pub const JOB_WITHOUT_WORKFLOW: Self = Self("has a job without a workflow's UUID");
}
