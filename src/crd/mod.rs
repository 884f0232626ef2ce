//! The custom resources: their fields, defaults, validation rules and status. Types only, no logic.
//!
//! The doc comments of the fields are the descriptions in the CRD, so they are written for the person at `kubectl explain`.

mod any_connector;
mod conditions;
mod connector;
mod definition;
mod definitions;
mod dropbox_source;
mod event_reason;
mod group;
mod pinecone_destination;
mod schedule;
mod unstructured_destination;
mod unstructured_job;
mod unstructured_source;
mod unstructured_workflow;
mod words;

pub use any_connector::{AnyConnector, MOST_PARAMETERS, Parameters, SecretParameter};
pub use conditions::{ConditionType, Reason};
pub use connector::{
    AdoptionPolicy, ConnectionCheck, ConnectorOptions, ConnectorStatus, CreateIntent,
    DeletionPolicy, LostCreates, SecretKeyReference, SecretReference, WorkspaceReference,
    WorkspaceStatus,
};
pub use definition::{DESTINATION, Family, SOURCE};
pub use definitions::{ALL, Defined, JOB, WORKFLOW, definitions, definitions_yaml};
pub use dropbox_source::{
    CredentialKeys, Credentials, DropboxSource, DropboxSourceSpec,
    definition as dropbox_source_definition,
};
pub use event_reason::EventReason;
pub use group::{GROUP, VERSION};
pub use pinecone_destination::{
    PineconeCredentials, PineconeDestination, PineconeDestinationSpec, PineconeKeys,
    definition as pinecone_destination_definition,
};
pub use schedule::WorkflowSchedule;
pub use unstructured_destination::{
    UnstructuredDestination, UnstructuredDestinationSpec,
    definition as unstructured_destination_definition,
};
pub use unstructured_source::{
    UnstructuredSource, UnstructuredSourceSpec, definition as unstructured_source_definition,
};

pub use unstructured_job::{
    Documents, FailedDocument, JobPhase, JobStatus, LastRun, NodeCounts, OnActive, RunRequest,
    UnstructuredJob, UnstructuredJobSpec, WorkflowReference,
};
pub use unstructured_workflow::{
    DestinationKind, DestinationReference, JobSummary, RunRecord, SourceKind, SourceReference,
    UnstructuredWorkflow, UnstructuredWorkflowSpec, WorkflowActivity, WorkflowNode, WorkflowStatus,
};

/// Annotation that forces a pass: any new value does, and is copied to `status.lastHandledReconcileAt` when it was handled.
pub const RECONCILE_AT: &str = "connectors.unstructured.io/reconcile-at";

/// Annotation by which a user confirms that a resource may move to another workspace: its value is the fingerprint of the new
/// API key, as the condition `WorkspaceChanged` names it.
pub const ACCEPT_WORKSPACE: &str = "connectors.unstructured.io/accept-workspace";

/// Annotation by which a user confirms that a record in the status which names another cluster's connector is meant: its value is the
/// name of this cluster, so that a copy in a third cluster confirms nothing there.
pub const ACCEPT_RECORD: &str = "connectors.unstructured.io/accept-record";

/// Annotation by which a user has a connector deleted although workflows run through it: `true`.
pub const FORCE_DELETE: &str = "connectors.unstructured.io/force-delete";

/// Annotation of a workflow: any new value makes exactly one `UnstructuredJob`, and is copied to `status.lastHandledRunAt`.
pub const RUN_AT: &str = "connectors.unstructured.io/run-at";

/// Annotation that the operator puts on a workflow: the value of [`RUN_AT`] whose job was made. It outlives a backup without the status,
/// so that a workflow which was restored runs no second time.
pub const HANDLED_RUN_AT: &str = "connectors.unstructured.io/handled-run-at";

/// Annotation that the operator puts on a job before it asks for its run: the UID of the job. It outlives a backup without the status, so
/// that a job which was restored runs no second time.
pub const RUN: &str = "connectors.unstructured.io/run";

/// Annotation of a job: somebody follows its run until this time (RFC 3339), so the operator writes counts into the status while it runs.
pub const FOLLOWED_UNTIL: &str = "connectors.unstructured.io/followed-until";

/// Label of the jobs that [`RUN_AT`] made.
pub const MADE_BY_RUN_AT: &str = "connectors.unstructured.io/made-by-run-at";

/// Finalizer that keeps a resource until its connector is deleted or deliberately left.
pub const FINALIZER: &str = "connectors.unstructured.io/connector";
