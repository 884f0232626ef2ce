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
    connector_id, unobserved, workspace_stays,
};
use super::definition::{column, condition_columns, finish};
use super::schedule::WorkflowSchedule;
use super::unstructured_job::Documents;

/// A pipeline that takes documents from a source to a destination. The operator creates the matching workflow in the workspace, keeps it in
/// sync with this spec and the connectors that it refers to, and deletes it with this resource.
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
        .message("set either sourceRef or sourceId, but not both"),
    validation = Rule::new("has(self.destinationRef) != has(self.destinationId)")
        .message("set either destinationRef or destinationId, but not both"),
    validation = Rule::new("self.adoptionPolicy != 'ByName' || has(self.workflowName)")
        .message("adoptionPolicy ByName needs workflowName: name the workflow to adopt")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("has(self.existingWorkflowId) == has(oldSelf.existingWorkflowId) && (!has(self.existingWorkflowId) || self.existingWorkflowId == oldSelf.existingWorkflowId)")
        .message("existingWorkflowId cannot be added, removed or changed: it names the workflow that this resource adopted; delete this resource and create a new one, but deleting it deletes its workflow unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("has(self.workspace) == has(oldSelf.workspace)")
        .message("workspace cannot be added or removed: a workflow cannot move between workspaces; delete this resource and create a new one, but deleting it deletes its workflow unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden)
)]
pub struct UnstructuredWorkflowSpec {
    /// The source: a resource in this namespace. You may create it after the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceReference>,

    /// The id of a source that no resource manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub source_id: Option<String>,

    /// The destination: a resource in this namespace. You may create it after the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ref: Option<DestinationReference>,

    /// The id of a destination that no resource manages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub destination_id: Option<String>,

    /// The steps that process each document, in this order.
    #[schemars(length(min = 1, max = 32))]
    pub nodes: Vec<WorkflowNode>,

    /// When Unstructured runs the workflow by itself, in UTC. Without a schedule, the workflow runs on demand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<WorkflowSchedule>,

    /// Whether each run processes all documents again, including those that have not changed.
    #[serde(default)]
    pub reprocess_all: bool,

    /// `Inactive` stops Unstructured's own scheduler.
    #[serde(default)]
    pub state: WorkflowActivity,

    /// Name of the workflow in Unstructured. Defaults to `<namespace>.<name>.UnstructuredWorkflow.<cluster>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new(r"!self.matches('^[[:space:]]|[[:space:]]$|[[:cntrl:]]')")
        .message("workflowName must not begin or end with white space, nor contain control characters"))]
    pub workflow_name: Option<String>,

    /// Id of an existing workflow to adopt, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub existing_workflow_id: Option<String>,

    /// What to do with a workflow that already has `workflowName`: `Never` leaves it alone and reports `NameConflict`; `ByName` adopts it.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// The workspace that holds the workflow and both connectors. Defaults to the operator's own. It cannot be added, removed or pointed at
    /// another workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = workspace_stays("workflow"))]
    pub workspace: Option<WorkspaceReference>,

    /// What happens to the workflow when this resource is deleted: `Delete` deletes it; `Retain` leaves it in the workspace.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// If true, the operator writes nothing to Unstructured for this resource. Deletion still works. Runs continue.
    #[serde(default)]
    pub suspend: bool,

    /// How many finished jobs to keep of those that the annotation `connectors.unstructured.io/run-at` created.
    #[serde(default = "five")]
    #[schemars(with = "i32", range(min = 0, max = 100))]
    pub job_history_limit: u16,

    /// Whether to cancel a run in progress when this resource is deleted together with its workflow.
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
    /// The connector's kind.
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
    /// The connector's kind.
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

/// One step of a workflow.
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
    /// Its variant, for example `vlm`, `chunk_by_title` or `azure_openai`.
    #[schemars(length(min = 1, max = 63))]
    pub subtype: String,
    /// The settings that are not secret, under the names of the Unstructured API. The operator sends them as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "parameters")]
    pub settings: Parameters,
    /// The secret settings: for each, the key of a Secret that holds its value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "secret_parameters")]
    pub secret_settings: BTreeMap<String, SecretParameter>,
}

/// Whether Unstructured runs the workflow by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WorkflowActivity {
    /// It runs by its schedule, if it has one.
    #[default]
    Active,
    /// It never runs by its schedule.
    Inactive,
}

/// The state that the operator last observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStatus {
    /// The `metadata.generation` that the rest of this status describes; -1 until the operator first sees the resource.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// Id of the workflow in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Name of the workflow in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<String>,
    /// Key that the workflow shows, if the service has keys. It shows that the workflow belongs to this resource, whatever its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Id of the source that the operator last sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_id: Option<String>,
    /// Id of the destination that the operator last sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_id: Option<String>,
    /// The workspace where the operator last saw the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceStatus>,
    /// Keyed digest of all that Unstructured last accepted, secrets included. It does not reveal the secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_digest: Option<String>,
    /// When Unstructured last accepted a change from this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// The last value of the annotation `connectors.unstructured.io/reconcile-at` that the operator handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The last value of the annotation `connectors.unstructured.io/run-at` that the operator handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_run_at: Option<String>,
    /// Present while a create may be in progress: the record by which a restarted operator finds the workflow again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateIntent>,
    /// Present while Unstructured may still carry out creates that the operator gave up. Whatever they create with this resource's key, or
    /// under its own name, is a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_creates: Option<LostCreates>,
    /// Present while Unstructured may still carry out an update whose response was lost. The operator sends the workflow once more after
    /// this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_after: Option<Time>,
    /// The names of the `UnstructuredJob`s that requested a run, newest first, at most 64. One of these that is created again does not run
    /// a second time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunRecord>,
    /// The run in progress, whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_job: Option<JobSummary>,
    /// The run that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<JobSummary>,
    /// When the operator last saw a run end without a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// How many runs failed in a row, as far as the operator saw them.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub consecutive_failures: u32,
    /// The conditions `Ready`, `Reconciling`, `Stalled`, `Synced`, `ReferencesReady` and `LastJobSucceeded`. They follow kstatus.
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

/// An `UnstructuredJob` that requested a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When the run was requested.
    pub started_at: Time,
}

/// A run of a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobSummary {
    /// Its id in the Unstructured workspace.
    pub id: String,
    /// Its phase: `Scheduled`, `Running`, `Succeeded`, `PartiallyFailed`, `Failed` or `Stopped`.
    pub phase: String,
    /// When Unstructured created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the operator saw that it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_finished_at: Option<Time>,
    /// How many documents it had, and how many succeeded or failed.
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
