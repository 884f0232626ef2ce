//! What an event says was done.

use super::words::words;

words! {
    /// What was done, as the reason of an event. Beside these, a [`Reason`](super::Reason) that is news is an event too.
    pub enum EventReason;
    /// The operator created a connector or a workflow.
    Created,
    /// The operator created a connector or a workflow again, because it was missing in Unstructured.
    Recreated,
    /// The operator found a connector or a workflow whose create got no response.
    Recovered,
    /// The operator adopted an existing connector or workflow.
    Adopted,
    /// Unstructured accepted a changed configuration.
    Updated,
    /// Somebody had changed the connector or the workflow in Unstructured; the operator restored the named settings.
    DriftCorrected,
    /// The operator deleted a connector or a workflow.
    Deleted,
    /// A second connector with the resource's key, or under its own name, was deleted.
    DuplicateDeleted,
    /// The resource was deleted, and its connector stays, as `deletionPolicy: Retain` or the deletion of the CRD requires.
    Retained,
    /// The namespace was deleted, and with it the API key that could have deleted the connector. Kept in the namespace `default`.
    Orphaned,
    /// Somebody else keeps writing to the status of the resource, which is the operator's alone.
    StatusContested,
    /// Connectors have default names of resources that do not exist. Kept in a namespace that the operator may write to.
    Unclaimed,
    /// The operator cannot release the resource, because it lost the permission. Kept in a namespace that the operator may write to.
    Stuck,
    /// Unstructured dropped a setting of a node that it does not know.
    SettingIgnored,
    /// The nodes of a workflow are in an order, or of a type, that makes its runs fail or write nothing.
    Advice,
    /// A run was started.
    Started,
    /// A run that somebody else had started is followed.
    Joined,
    /// The operator cancelled a run.
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
