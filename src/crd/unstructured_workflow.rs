//! `UnstructuredWorkflow`: what is done with the documents between a source and a destination.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::any_connector::{Parameters, SecretParameter, parameters, secret_parameters};
use super::connector::{
    AdoptionPolicy, CreateIntent, DeletionPolicy, LostCreates, WorkspaceReference, WorkspaceStatus,
    connector_id, unobserved,
};
use super::definition::{column, condition_columns, finish};
use super::schedule::WorkflowSchedule;
use super::unstructured_job::Documents;

/// The way of documents from a source to a destination. The operator makes the matching workflow exist in the workspace, keeps it equal
/// to this spec and to the connectors that it refers to, and removes it with this resource.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "connectors.unstructured.io",
    version = "v1alpha1",
    kind = "UnstructuredWorkflow",
    plural = "unstructuredworkflows",
    namespaced,
    status = "WorkflowStatus",
    derive = "PartialEq",
    shortname = "uwf",
    category = "unstructured"
)]
#[x_kube(
    validation = Rule::new("has(self.sourceRef) != has(self.sourceId)")
        .message("give either sourceRef or sourceId, and not both"),
    validation = Rule::new("has(self.destinationRef) != has(self.destinationId)")
        .message("give either destinationRef or destinationId, and not both"),
    validation = Rule::new("self.adoptionPolicy != 'ByName' || has(self.workflowName)")
        .message("adoptionPolicy ByName needs workflowName: say which workflow to take over"),
    validation = Rule::new("has(self.existingWorkflowId) == has(oldSelf.existingWorkflowId) && (!has(self.existingWorkflowId) || self.existingWorkflowId == oldSelf.existingWorkflowId)")
        .message("existingWorkflowId cannot be added, removed or changed: it says which workflow this resource took over; delete this resource and make a new one, but deleting it deletes its workflow unless deletionPolicy is Retain"),
    validation = Rule::new("has(self.workspace) == has(oldSelf.workspace)")
        .message("workspace cannot be added or removed: a workflow cannot move between workspaces; delete this resource and make a new one, but deleting it deletes its workflow unless deletionPolicy is Retain")
)]
pub struct UnstructuredWorkflowSpec {
    /// The source, as a resource of this namespace. It may be made later than the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceReference>,

    /// The id of a source that no resource stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub source_id: Option<String>,

    /// The destination, as a resource of this namespace. It may be made later than the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ref: Option<DestinationReference>,

    /// The id of a destination that no resource stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub destination_id: Option<String>,

    /// What is done with each document, in this order.
    #[schemars(length(min = 1, max = 32))]
    pub nodes: Vec<WorkflowNode>,

    /// When Unstructured runs the workflow by itself, in UTC. Without it, it runs on demand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<WorkflowSchedule>,

    /// Whether each run processes all documents again, also those that have not changed.
    #[serde(default)]
    pub reprocess_all: bool,

    /// `Inactive` stops Unstructured's own scheduler.
    #[serde(default)]
    pub state: WorkflowActivity,

    /// Name of the workflow in Unstructured. Without it, `<namespace>.<name>.UnstructuredWorkflow.<cluster>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new(r"!self.matches('^[[:space:]]|[[:space:]]$|[[:cntrl:]]')")
        .message("workflowName must not begin or end with white space, nor contain control characters"))]
    pub workflow_name: Option<String>,

    /// Id of an existing workflow to take over: exactly this one, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub existing_workflow_id: Option<String>,

    /// What to do with a workflow that already carries `workflowName`: `Never` leaves it alone and reports `NameConflict`,
    /// `ByName` takes it over.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// The workspace that holds the workflow and both connectors. Without it, the operator's own. It cannot be added, removed or
    /// pointed elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceReference>,

    /// What happens to the workflow when this resource is deleted: `Delete` removes it, `Retain` leaves it in the workspace.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Stops all writes to Unstructured for this resource. Deleting it still works. Runs go on.
    #[serde(default)]
    pub suspend: bool,

    /// How many finished jobs that the annotation `connectors.unstructured.io/run-at` made are kept.
    #[serde(default = "five")]
    #[schemars(with = "i32", range(min = 0, max = 100))]
    pub job_history_limit: u16,

    /// Whether a run under way is cancelled when this resource is deleted together with its workflow.
    #[serde(default = "yes")]
    pub cancel_job_on_delete: bool,
}

fn five() -> u16 {
    5
}

fn yes() -> bool {
    true
}

/// A source in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SourceReference {
    /// Its kind.
    pub kind: SourceKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SourceKind {
    /// A folder of Dropbox.
    DropboxSource,
    /// A source of any type.
    UnstructuredSource,
}

/// A destination in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct DestinationReference {
    /// Its kind.
    pub kind: DestinationKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The kinds of destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DestinationKind {
    /// An index of Pinecone.
    PineconeDestination,
    /// A destination of any type.
    UnstructuredDestination,
}

impl SourceKind {
    /// The name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropboxSource => "DropboxSource",
            Self::UnstructuredSource => "UnstructuredSource",
        }
    }
}

impl DestinationKind {
    /// The name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PineconeDestination => "PineconeDestination",
            Self::UnstructuredDestination => "UnstructuredDestination",
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowNode {
    /// Its name, shown in the console and in the counts of a run.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// What it does, for example `partition`, `chunk` or `embed`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63))]
    pub node_type: String,
    /// How it does it, for example `vlm`, `chunk_by_title` or `azure_openai`.
    #[schemars(length(min = 1, max = 63))]
    pub subtype: String,
    /// The settings that anyone may read, as the Unstructured API names them. They are sent as they are written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters")]
    pub settings: Parameters,
    /// The settings that nobody may read: for each, the key of a Secret that holds its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_parameters")]
    pub secret_settings: BTreeMap<String, SecretParameter>,
}

/// Whether Unstructured runs the workflow by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WorkflowActivity {
    /// By its schedule, if it has one.
    #[default]
    Active,
    /// Never.
    Inactive,
}

/// What the operator last knew to be true.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStatus {
    /// The `metadata.generation` that the rest of this status speaks of; -1 before the operator first saw the resource.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// Id of the workflow in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Name of the workflow in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<String>,
    /// Key that the workflow shows, where the service has keys: it belongs to this resource, whatever its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Id of the source that was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Id of the destination that was sent last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_id: Option<String>,
    /// The workspace in which the workflow was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceStatus>,
    /// Keyed digest of all that Unstructured last accepted, secrets included. It reveals nothing of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_digest: Option<String>,
    /// When Unstructured last accepted a change from this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// Value of the annotation `connectors.unstructured.io/reconcile-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Value of the annotation `connectors.unstructured.io/run-at` that was handled last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_run_at: Option<String>,
    /// Present while a workflow may be being created: the record that lets a restarted operator find it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateIntent>,
    /// Present while creates that were given up may still be carried out: what they make with this resource's key, or under its own
    /// name, is a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_creates: Option<LostCreates>,
    /// Present while an update whose answer was lost may still be carried out: the workflow is sent once more after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_after: Option<Time>,
    /// The names of the `UnstructuredJob`s that asked for a run, newest first, at most 64: one of these that is made again runs no
    /// second time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunRecord>,
    /// The run that is under way, whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_job: Option<JobSummary>,
    /// The run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<JobSummary>,
    /// When the operator last saw a run ended without a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// Runs in a row that failed, as far as the operator saw them.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub consecutive_failures: u32,
    /// `Ready`, `Reconciling`, `Stalled`, `Synced`, `ReferencesReady`, `LastJobSucceeded`, as kstatus defines them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl Default for WorkflowStatus {
    fn default() -> Self {
        Self {
            observed_generation: unobserved(),
            workflow_id: None,
            workflow_name: None,
            key: None,
            source_id: None,
            destination_id: None,
            workspace: None,
            applied_digest: None,
            last_sync_time: None,
            last_handled_reconcile_at: None,
            last_handled_run_at: None,
            create: None,
            lost_creates: None,
            resend_after: None,
            runs: Vec::new(),
            active_job: None,
            last_job: None,
            last_success_time: None,
            consecutive_failures: 0,
            conditions: Vec::new(),
        }
    }
}

/// An `UnstructuredJob` that asked for a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When the run was asked for.
    pub started_at: Time,
}

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its id in the Unstructured workspace.
    pub id: String,
    /// Where it stands: `Scheduled`, `Running`, `Succeeded`, `PartiallyFailed`, `Failed` or `Stopped`.
    pub phase: String,
    /// When Unstructured made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the operator saw that it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_finished_at: Option<Time>,
    /// How many documents it had, and what became of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
}

/// The definition of `UnstructuredWorkflow`.
pub fn definition() -> CustomResourceDefinition {
    let job = |field| format!(r#".status.conditions[?(@.type=="LastJobSucceeded")].{field}"#);
    let mut columns = condition_columns("Ready");
    columns.insert(
        0,
        column("Schedule", "string", ".spec.schedule".to_owned(), None),
    );
    columns.insert(3, column("Last Run", "string", job("reason"), None));
    columns.push(column(
        "Workflow ID",
        "string",
        ".status.workflowId".to_owned(),
        Some(1),
    ));
    finish(UnstructuredWorkflow::crd(), &columns)
}
