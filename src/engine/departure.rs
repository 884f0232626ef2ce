//! Why a resource goes, as far as it matters.

/// Why a resource is being deleted, as far as it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// The whole namespace is going.
    pub namespace_terminating: bool,
    /// What the custom resource definition is doing.
    pub definition: DefinitionFate,
    /// Whether the API server would let this operator take its finalizer off. What could not be let go is not deleted either: the
    /// rights of an operator that is being uninstalled go first.
    pub rehearsed: bool,
}

/// The workflows that run through a connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Users {
    /// Some of them, those of this namespace first.
    pub named: Vec<String>,
    /// How many there are.
    pub count: usize,
    /// All of them are going themselves.
    pub going: bool,
}

/// What is known of the custom resource definition while a resource goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DefinitionFate {
    /// It stays: somebody deleted the resource.
    #[default]
    Stays,
    /// It is going itself: then every connector is left alone.
    Going,
    /// The operator may not look. That is never taken for [`DefinitionFate::Stays`].
    Unknown,
}
