//! Condition types and the closed set of reasons.

use super::words::words;

words! {
    /// The conditions of a resource, in the order in which they are reported.
    pub enum ConditionType;
    /// The connector is as the resource and its Secret say, and Unstructured's connection check did not fail. Always present.
    Ready,
    /// Work is under way or will be tried again by itself. Absent otherwise.
    Reconciling,
    /// Trying again cannot help: somebody has to change what the message says. Absent otherwise.
    Stalled,
    /// The Secrets are complete, and Dropbox or Pinecone, where one is asked, neither refuses their values nor denies them the folder or
    /// the index. `Unknown` when it could not say.
    CredentialsValid,
    /// The connector has exactly the desired configuration.
    Synced,
    /// What Unstructured's own connection check said. `Unknown` while it runs or when it gave no result.
    ConnectionVerified,
    /// Of a workflow: both connectors are there and have their desired configuration.
    ReferencesReady,
    /// Of a workflow: what became of the run that ended last. It never makes the workflow unready.
    LastJobSucceeded,
    /// Of a job: the run has ended, and no document failed.
    Complete,
    /// Of a job: it has ended in another way.
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

    /// The connector equals this resource, and the connection check passed, is switched off, or gave no verdict.
    Ready,
    /// `spec.suspend` is true: nothing is written until it is false again. Ready is True where what was applied last is what the
    /// resource asks for, False where something is not sent. What becomes of the connector meanwhile is not looked at.
    Suspended,
    /// Work is under way.
    Progressing,
    /// The Secrets are complete, and Dropbox or Pinecone, where one is asked, neither refuses their values nor denies them the folder or
    /// the index.
    CredentialsAccepted,
    /// Dropbox or Pinecone could not say whether it accepts the credentials, or has not been asked yet. Nothing waits for it; it is asked
    /// again.
    CredentialsUnverified,
    /// The Secret does not exist. Create it; the operator notices by itself.
    SecretNotFound,
    /// The operator's role does not let it read the Secret. Grant that; it is tried again with growing delay.
    SecretForbidden,
    /// A key is missing from the Secret. Add it, or name another under `credentials.keys` or `secretConfig`.
    SecretKeyMissing,
    /// A value in the Secret has what no credential has: spaces, quotation marks, anything but printable ASCII. Put it there alone.
    SecretInvalid,
    /// The refresh token's place holds an access token (`sl.…`), which dies after four hours. Put the refresh token there.
    AccessTokenInsteadOfRefreshToken,
    /// Dropbox or Pinecone refuses the credentials. Make a new refresh token for this app, or correct the app key and secret; make a new
    /// API key of Pinecone.
    CredentialsRejected,
    /// The Dropbox app lacks the permission to read files. Tick it in the App Console, then put a new refresh token into the Secret.
    PermissionMissing,
    /// Dropbox denies the use of the credentials: a suspended account, a whole team's token, a disabled app. Do what the message says.
    AccessDenied,
    /// Dropbox shows the app no such folder. Create it, or correct `remoteUrl`; the operator notices either within minutes.
    FolderNotFound,
    /// Dropbox does not let the folder be read: a restricted, locked or malformed path. Do what the message says.
    FolderUnreadable,
    /// The project of the Pinecone API key has no such index. Create it, or correct `indexName`; the operator notices either within
    /// minutes.
    IndexNotFound,
    /// A parameter that nobody may read stands in `config`, in clear text. Move it into a Secret that `secretConfig` names; it is not
    /// sent before.
    SecretInConfig,
    /// The API key of the workspace is missing. Create its Secret, or give the operator a key.
    WorkspaceKeyMissing,
    /// Unstructured refuses the API key. Put a valid one in its Secret.
    Unauthorized,
    /// The API key may not do this, or the account is not entitled to. Use a key of a Developer or Workspace Admin.
    Forbidden,
    /// Unstructured, or the operator, refuses the configuration. Correct the named field; it is tried again after any change.
    InvalidConfiguration,
    /// Another connector has this `connectorName`. Choose another name, or take it over with `adoptionPolicy: ByName`.
    NameConflict,
    /// Something that the workspace does not show, or that another resource holds, has the key with which this resource makes its
    /// connector or workflow. Nothing is made; the message says what to do.
    KeyTaken,
    /// Several connectors have this name, and nothing says which is ours. Delete the wrong ones, or use
    /// `existingSourceId` or `existingDestinationId`.
    AmbiguousConnector,
    /// The connector belongs to another resource. One connector is never shared; choose another.
    ConnectorInUse,
    /// `existingSourceId` names a connector that is not in this workspace. Correct it.
    SourceNotFound,
    /// `existingDestinationId` names a connector that is not in this workspace. Correct it.
    DestinationNotFound,
    /// The API key now belongs to a workspace without this connector. Restore the old key, or confirm the move by annotation.
    WorkspaceChanged,
    /// The status was copied from another cluster or namespace, and names a connector that cannot be this resource's own. Do one of
    /// the two things that the message names; nothing is touched before.
    ForeignRecord,
    /// The resources of a namespace are not all known yet, and one of them may hold the connector. The operator waits for the list.
    ResourcesUnknown,
    /// The answer to a create was lost. The operator waits, looks for the connector, and goes on by itself.
    CreateOutcomeUnknown,
    /// Unstructured asks for fewer requests. The operator waits as long as it was told to.
    RateLimited,
    /// Unstructured cannot be reached or answers with server errors. It is tried again with growing delay.
    ApiUnavailable,
    /// Something that is not the Unstructured API answered. Check the URL; it is tried again with growing delay.
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
    /// The operator's role, or a policy of the cluster, refuses what has to be done. Grant the right that the message names.
    KubernetesForbidden,
    /// The installed definition is older than the operator and cannot hold its status. Apply the definition of this release.
    DefinitionOutdated,
    /// A workflow waits for the resource of its source to have its desired configuration.
    SourceNotReady,
    /// A workflow waits for the resource of its destination to have its desired configuration.
    DestinationNotReady,
    /// The workflow and its connectors are in different workspaces. Give them the same `workspace`.
    WorkspaceMismatch,
    /// `existingWorkflowId` names a workflow that is not in this workspace, or a job names one that does not exist. Correct it.
    WorkflowNotFound,
    /// A job waits for its workflow to be ready.
    WorkflowNotReady,
    /// A job waits for another run of its workflow to end.
    Waiting,
    /// A run is under way.
    Running,
    /// The run ended, and no document failed.
    Succeeded,
    /// The run ended without a failure and without a document: there was nothing to process, or the source is empty.
    NoDocuments,
    /// The run ended, and some documents failed. `status.failedFiles` of the job names them.
    CompletedWithErrors,
    /// The run failed.
    Failed,
    /// The run was cancelled.
    Stopped,
    /// The run took longer than `spec.timeout`, and was cancelled.
    TimedOut,
    /// Another run of the workflow was under way, and `onActive` is `Fail`.
    WorkflowBusy,
    /// A job of this name has asked for its run before: it was restored or made again. Nothing is started; make a job of another name.
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
