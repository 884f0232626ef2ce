//! Condition types and the closed set of reasons.

use super::words::words;

words! {
    /// The conditions of a resource, in the order in which they are reported.
    pub enum ConditionType;
    /// The connector matches the resource and its Secret, and Unstructured's connection check did not fail. Always present.
    Ready,
    /// Work is in progress, or the operator will retry by itself. Absent otherwise.
    Reconciling,
    /// Retrying cannot help: somebody must change what the message names. Absent otherwise.
    Stalled,
    /// The Secrets are complete, and Dropbox or Pinecone, if asked, rejects neither the credentials nor access to the folder or index. `Unknown`
    /// if it could not say.
    CredentialsValid,
    /// The connector has exactly the desired configuration.
    Synced,
    /// The result of Unstructured's own connection check. `Unknown` while it runs or if it gave no result.
    ConnectionVerified,
    /// Of a workflow: both connectors exist and are synced.
    ReferencesReady,
    /// Of a workflow: the result of the last run that ended. It never makes the workflow unready.
    LastJobSucceeded,
    /// Of a job: the run has ended, and no document failed.
    Complete,
    /// Of a job: it ended in any other way.
    Failed,
}

impl ConditionType {
    /// Whether the condition stays as it was while nobody can say anything new about it.
    pub const fn outlives_silence(self) -> bool {
        matches!(
            self,
            Self::CredentialsValid
                | Self::Synced
                | Self::ConnectionVerified
                | Self::ReferencesReady
                | Self::LastJobSucceeded
        )
    }
}

words! {
    /// Why a condition is as it is. The set is closed: tools may match on these words.
    pub enum Reason;

    /// The connector matches this resource, and the connection check passed, is disabled, or gave no verdict.
    Ready,
    /// `spec.suspend` is true: the operator writes nothing until it is false again. Ready is True if the last applied configuration
    /// matches the spec, and False if something is not applied yet. Meanwhile the operator ignores changes to the connector.
    Suspended,
    /// Work is in progress.
    Progressing,
    /// The Secrets are complete, and Dropbox or Pinecone, if asked, rejects neither the credentials nor access to the folder or index.
    CredentialsAccepted,
    /// Dropbox or Pinecone could not say whether it accepts the credentials, or has not been asked yet. Nothing waits for the response; the
    /// operator asks again.
    CredentialsUnverified,
    /// The Secret does not exist. Create it; the operator notices by itself.
    SecretNotFound,
    /// The operator's role does not let it read the Secret. Grant that; the operator retries with backoff.
    SecretForbidden,
    /// A key is missing from the Secret. Add it, or name another under `credentials.keys`, `secretConfig` or `secretSettings`.
    SecretKeyMissing,
    /// A value in the Secret contains what no credential contains: spaces, quotation marks, or anything but printable ASCII. Store the
    /// bare value.
    SecretInvalid,
    /// The refresh token's key holds an access token (`sl.…`), which expires after four hours. Store the refresh token instead.
    AccessTokenInsteadOfRefreshToken,
    /// Dropbox or Pinecone rejects the credentials. Create a new refresh token for this app, correct the app key and secret, or create a
    /// new Pinecone API key.
    CredentialsRejected,
    /// The Dropbox app lacks the permission to read files. Tick it in the App Console, then put a new refresh token into the Secret.
    PermissionMissing,
    /// Dropbox denies access: a suspended account, a token for a whole team, a disabled app. Follow the message.
    AccessDenied,
    /// Dropbox finds no such folder for the app. Create it, or correct `remoteUrl`; the operator notices within minutes.
    FolderNotFound,
    /// Dropbox does not allow the folder to be read: a restricted, locked or malformed path. Follow the message.
    FolderUnreadable,
    /// The project of the Pinecone API key has no such index. Create it, or correct `indexName`; the operator notices within minutes.
    IndexNotFound,
    /// A secret parameter is in `config`, in clear text. Move it into a Secret that `secretConfig` names; until then the operator sends
    /// nothing.
    SecretInConfig,
    /// The API key of the workspace is missing. Create its Secret, or give the operator a key.
    WorkspaceKeyMissing,
    /// Unstructured rejects the API key. Store a valid one in its Secret.
    Unauthorized,
    /// The API key may not do this, or the account is not entitled to. Use a key of a Developer or Workspace Admin.
    Forbidden,
    /// Unstructured or the operator rejects the configuration. Correct the named field; the operator retries after any change.
    InvalidConfiguration,
    /// Another connector has this `connectorName`. Choose another name, or adopt it with `adoptionPolicy: ByName`.
    NameConflict,
    /// Something that the workspace does not show, or that another resource holds, has the key with which this resource creates its
    /// connector or workflow. Nothing is created; the message says what to do.
    KeyTaken,
    /// Several connectors have this name, and nothing says which is ours. Delete the wrong ones, or use
    /// `existingSourceId` or `existingDestinationId`.
    AmbiguousConnector,
    /// The connector belongs to another resource. Resources never share a connector; choose another.
    ConnectorInUse,
    /// `existingSourceId` names a connector that is not in this workspace, or a workflow refers to a source that is not there. Correct it.
    SourceNotFound,
    /// `existingDestinationId` names a connector that is not in this workspace, or a workflow refers to a destination that is not there.
    /// Correct it.
    DestinationNotFound,
    /// The API key now belongs to a workspace without this connector. Restore the old key, or confirm the move by annotation.
    WorkspaceChanged,
    /// The status was copied from another cluster or namespace, and names a connector that cannot be this resource's own. Take one of the
    /// two ways in the message; until then the operator touches nothing.
    ForeignRecord,
    /// The operator has not listed all resources of a namespace yet, and one of them may own the connector. It waits for the list.
    ResourcesUnknown,
    /// The response to a create was lost. The operator waits, looks for the connector, and continues by itself.
    CreateOutcomeUnknown,
    /// Unstructured asks for fewer requests. The operator waits as long as Unstructured says.
    RateLimited,
    /// Unstructured cannot be reached or answers with server errors. The operator retries with backoff.
    ApiUnavailable,
    /// Something other than the Unstructured API answered. Check the URL; the operator retries with backoff.
    UnexpectedResponse,
    /// Unstructured is checking the connection.
    Checking,
    /// Unstructured's connection check passed.
    Verified,
    /// Unstructured's connection check failed. Correct what its message says; force a new check by annotation.
    VerificationFailed,
    /// Unstructured's connection check gave no result in five minutes. Force a new one by annotation.
    CheckTimedOut,
    /// This API offers no connection check.
    CheckUnavailable,
    /// The operator's role or a policy of the cluster forbids a necessary action. Grant the permission that the message names.
    KubernetesForbidden,
    /// The installed CRD is older than the operator and cannot store its status. Apply the CRD of this release.
    DefinitionOutdated,
    /// A workflow waits for its source to be synced.
    SourceNotReady,
    /// A workflow waits for its destination to be synced.
    DestinationNotReady,
    /// The workflow and its connectors are in different workspaces. Give them the same `workspace`.
    WorkspaceMismatch,
    /// `existingWorkflowId` names a workflow that is not in this workspace, or a job names one that does not exist. Correct it.
    WorkflowNotFound,
    /// A job waits for its workflow to be ready.
    WorkflowNotReady,
    /// A job waits for another run of its workflow to end.
    Waiting,
    /// A run is in progress.
    Running,
    /// The run ended, and no document failed.
    Succeeded,
    /// The run ended without processing a document: nothing has changed, or the source is empty.
    NoDocuments,
    /// The run ended, and Unstructured does not say what came of its documents. Look at the run in its console.
    DocumentsUnknown,
    /// The run ended, and some documents failed. `status.failedFiles` of the job names them.
    CompletedWithErrors,
    /// The run failed.
    Failed,
    /// The run was cancelled.
    Stopped,
    /// The run exceeded `spec.timeout` and was cancelled.
    TimedOut,
    /// Another run of the workflow was in progress, and `onActive` is `Fail`.
    WorkflowBusy,
    /// A job of this name has already requested its run, or this one carries the mark of a job that has: it was restored, copied or created
    /// again. Nothing is started; create a job with another name, and without the annotation `connectors.unstructured.io/run`.
    AlreadyRun,
    /// The workflow of the job is gone, or its run cannot be found any more.
    Abandoned,
    /// No run of the workflow has ended yet, as far as the operator saw.
    NoJobs,
    /// The connector is being deleted.
    Deleting,
    /// The connector is not deleted while workflows run through it. Delete the workflows that the message names, point them elsewhere,
    /// leave the connector with `deletionPolicy: Retain`, or set the annotation `connectors.unstructured.io/force-delete`.
    InUse,
    /// The connector cannot be deleted. Do what the message says, or leave it behind with `deletionPolicy: Retain`.
    DeletionBlocked,
}

impl Reason {
    /// What the provider may say otherwise when it is asked about credentials again.
    pub const DOUBTS: &'static [Self] = &[
        Self::CredentialsUnverified,
        Self::CredentialsRejected,
        Self::PermissionMissing,
        Self::AccessDenied,
        Self::FolderNotFound,
        Self::FolderUnreadable,
        Self::IndexNotFound,
    ];
}
