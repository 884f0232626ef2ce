//! What an event says was done.

use super::words::words;

words! {
    /// What was done, as the reason of an event. Beside these, a [`Reason`](super::Reason) that is news is an event too.
    pub enum EventReason;
    /// A connector was made.
    Created,
    /// A connector was made in place of one that somebody had deleted in Unstructured.
    Recreated,
    /// The connector of a create whose answer had been lost was found.
    Recovered,
    /// An existing connector was taken over.
    Adopted,
    /// Unstructured accepted a changed configuration.
    Updated,
    /// Somebody had changed the connector in Unstructured; the named settings were restored.
    DriftCorrected,
    /// The connector was deleted.
    Deleted,
    /// A second connector with the resource's key, or under its own name, was deleted.
    DuplicateDeleted,
    /// The resource went and its connector stayed, as `deletionPolicy: Retain` or the deletion of the definition asks for.
    Retained,
    /// The namespace went, and with it the API key that could have deleted the connector. Kept in the namespace `default`.
    Orphaned,
    /// Somebody else keeps writing to the status of the resource, which is the operator's alone.
    StatusContested,
    /// Connectors carry default names of resources that do not exist. Kept in a namespace that the operator may write to.
    Unclaimed,
    /// The resource cannot be let go, because the operator lost the right to. Kept in a namespace that the operator may write to.
    Stuck,
    /// Unstructured dropped a setting of a node that it does not know.
    SettingIgnored,
    /// The nodes of a workflow are in an order, or of a sort, that makes its runs fail or write nothing.
    Advice,
    /// A run was started.
    Started,
    /// A run that somebody else had started is followed.
    Joined,
    /// A run was told to stop.
    Cancelled,
    /// A run ended, and no document failed.
    Succeeded,
    /// A run ended, and some documents failed.
    CompletedWithErrors,
    /// A run failed.
    Failed,
    /// A run ended without any document.
    NoDocuments,
    /// A run ended, and Unstructured does not say what came of its documents.
    DocumentsUnknown,
    /// A run was stopped.
    Stopped,
    /// A line break at the end of a value in the Secret was ignored.
    SecretTrimmed,
    /// The connector has a type or a parameter that this version of the operator does not know. It was sent all the same.
    UnknownConfiguration,
}
