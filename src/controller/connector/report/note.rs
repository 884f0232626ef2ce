//! An event to publish.

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether it is a warning.
    pub warning: bool,
    /// The word for it.
    pub reason: &'static str,
    /// What was done.
    pub action: &'static str,
    /// Whether the note has to outlive the namespace of the resource.
    pub lasting: bool,
    /// The sentence.
    pub text: String,
}
