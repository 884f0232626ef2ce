//! `UnstructuredJob`: one run of a workflow that somebody asked for.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connector::{WorkspaceStatus, unobserved};
use super::definition::{column, finish};

/// One run of a workflow. The operator starts it once, follows it to its end, and never starts it again: a run costs money.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "connectors.unstructured.io",
    version = "v1alpha1",
    kind = "UnstructuredJob",
    plural = "unstructuredjobs",
    namespaced,
    status = "JobStatus",
    derive = "PartialEq",
    shortname = "ujob",
    category = "unstructured"
)]
#[x_kube(validation = Rule::new("has(self.timeout) == has(oldSelf.timeout)").message("timeout cannot be added or removed: create a new job"))]
pub struct UnstructuredJobSpec {
    /// The workflow to run: a resource in this namespace. You may create it after the job. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("workflowRef cannot be changed: a job is one run of one workflow; create a new job"))]
    pub workflow_ref: WorkflowReference,

    /// What to do while another run of the workflow is in progress: `Wait` starts when that run has ended; `Adopt` follows that run
    /// instead; `Fail` gives up. Immutable.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("onActive cannot be changed: create a new job"))]
    pub on_active: OnActive,

    /// Cancel the run if it has not ended after this time, for example `2h`. Without it, the run has no time limit. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    #[x_kube(validation = Rule::new("self.matches('[1-9]')").message("timeout must be longer than zero: leave it out for no limit"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("timeout cannot be changed: create a new job"))]
    pub timeout: Option<String>,

    /// Cancel the run. This cannot be undone.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self || !oldSelf").message("a job that was cancelled stays cancelled: create a new job"))]
    pub cancel: bool,

    /// Delete this resource this long after it finished, for example `24h`. Without it, the resource stays. Do not set it on a job that
    /// Argo CD or Flux applies: the tool would create the job again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^([0-9]+(s|m|h))+$"))]
    pub ttl_after_finished: Option<String>,
}

/// A workflow in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct WorkflowReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What to do while another run of the workflow is in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnActive {
    /// Start when it has ended.
    #[default]
    Wait,
    /// Follow it.
    Adopt,
    /// Give up: the job fails.
    Fail,
}

/// The phase of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum JobPhase {
    /// The workflow or a connector is not ready yet.
    #[default]
    Pending,
    /// Another run of the workflow must end first.
    Waiting,
    /// The operator is requesting a run.
    Starting,
    /// The run is queued in Unstructured.
    Scheduled,
    /// The run is in progress.
    Running,
    /// The run has ended, and no document failed.
    Succeeded,
    /// The run has ended, and some documents failed.
    PartiallyFailed,
    /// The run could not start, or no document succeeded.
    Failed,
    /// The run was cancelled.
    Stopped,
    /// The outcome of the run is unknown, or the run must not start.
    Abandoned,
}

impl JobPhase {
    /// Whether nothing follows any more.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::PartiallyFailed
                | Self::Failed
                | Self::Stopped
                | Self::Abandoned
        )
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Waiting => "Waiting",
            Self::Starting => "Starting",
            Self::Scheduled => "Scheduled",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::PartiallyFailed => "PartiallyFailed",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
            Self::Abandoned => "Abandoned",
        }
    }
}

/// The state that the operator last observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The `metadata.generation` that the rest of this status describes; -1 until the operator first sees the resource.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// Id of the workflow in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Id of the run in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Whether somebody else started the run.
    #[serde(default)]
    pub adopted: bool,
    /// Present while the operator may be starting a run: the record by which a restarted operator finds the run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RunRequest>,
    /// The phase of the job.
    #[serde(default)]
    pub phase: JobPhase,
    /// How many documents the run had, and how many succeeded or failed. Set once the run has ended, and before that while somebody follows
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<Documents>,
    /// What each node of the workflow did. Set once the run has ended, and before that while somebody follows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeCounts>,
    /// Documents that failed, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_files: Vec<FailedDocument>,
    /// How many documents failed in total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub failed_files_total: Option<u64>,
    /// When the operator learnt that the run had started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the operator saw that the run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The workspace where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceStatus>,
    /// The conditions `Complete`, `Failed`, `Ready`, `Reconciling` and `Stalled`. They follow kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl Default for JobStatus {
    fn default() -> Self {
        Self {
            observed_generation: unobserved(),
            workflow_id: None,
            job_id: None,
            adopted: false,
            request: None,
            phase: JobPhase::Pending,
            documents: None,
            nodes: Vec::new(),
            failed_files: Vec::new(),
            failed_files_total: None,
            started_at: None,
            finished_at: None,
            workspace: None,
            conditions: Vec::new(),
        }
    }
}

/// The record of a requested run whose response has not arrived yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunRequest {
    /// When the run was requested.
    pub started_at: Time,
    /// The newest run that the workflow had before this request; absent if it had none. The operator compares only the service's own times,
    /// because its clock may differ from the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
}

/// A run, and when the service says that it created it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Id of the run.
    pub id: String,
    /// When the service says that it created the run.
    pub created_at: String,
}

/// How many documents a run had, and how many succeeded or failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Documents {
    /// All documents.
    #[schemars(with = "i64")]
    pub total: u64,
    /// Documents that succeeded.
    #[schemars(with = "i64")]
    pub succeeded: u64,
    /// Documents that failed.
    #[schemars(with = "i64")]
    pub failed: u64,
}

/// What a node of a workflow did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Its name.
    pub name: String,
    /// Documents that wait for it.
    #[schemars(with = "i64")]
    pub ready: u64,
    /// Documents that it is processing.
    #[schemars(with = "i64")]
    pub in_progress: u64,
    /// Documents that it has finished.
    #[schemars(with = "i64")]
    pub success: u64,
    /// Documents that failed in it.
    #[schemars(with = "i64")]
    pub failure: u64,
}

/// A document that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedDocument {
    /// Which document.
    pub document: String,
    /// Why it failed, in Unstructured's words, with all secrets removed.
    pub error: String,
}

/// The definition of `UnstructuredJob`.
pub fn definition() -> CustomResourceDefinition {
    let at = |title, path: &str, priority| column(title, "string", path.to_owned(), priority);
    let number = |title, path: &str| column(title, "integer", path.to_owned(), None);
    let mut columns = vec![
        at("Workflow", ".spec.workflowRef.name", None),
        at("Phase", ".status.phase", None),
        number("Documents", ".status.documents.total"),
        number("Failed", ".status.documents.failed"),
        at(
            "Reason",
            r#".status.conditions[?(@.type=="Ready")].reason"#,
            None,
        ),
        column(
            "Age",
            "date",
            ".metadata.creationTimestamp".to_owned(),
            None,
        ),
        at("Job ID", ".status.jobId", Some(1)),
    ];
    columns.push(at(
        "Message",
        r#".status.conditions[?(@.type=="Ready")].message"#,
        Some(1),
    ));
    finish(UnstructuredJob::crd(), &columns)
}
