//! What every kind of connector has in common: policies, references and the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use kube::core::{Message, Reason, Rule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What to do with a connector that already has the resource's `connectorName`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// Leave it alone and report `NameConflict`.
    #[default]
    Never,
    /// Adopt it if exactly one connector has that name and no other resource holds it.
    ByName,
}

/// What happens to the connector when the resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The connector is deleted too.
    #[default]
    Delete,
    /// The connector stays in the workspace.
    Retain,
}

/// A Secret in the namespace of the resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SecretReference {
    /// Name of the Secret, always in the resource's own namespace.
    #[schemars(schema_with = "secret_name")]
    pub name: String,
}

/// One key of a Secret in the namespace of the resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SecretKeyReference {
    /// Name of the Secret, always in the resource's own namespace.
    #[schemars(schema_with = "secret_name")]
    pub name: String,
    /// Key inside the Secret whose value is the API key.
    #[serde(default = "api_key")]
    #[schemars(schema_with = "secret_key")]
    pub key: String,
}

fn api_key() -> String {
    "api_key".to_owned()
}

/// The Unstructured workspace that holds the connector. An API key belongs to exactly one workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceReference {
    /// Base URL of the Unstructured API, with or without `/api/v1`. Defaults to the operator's own `--api-url`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
    )]
    pub api_url: Option<String>,
    /// The Secret that holds the API key of the workspace. To rotate the key, change this Secret.
    pub api_key_secret_ref: SecretKeyReference,
}

/// The options that all kinds of connectors have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.adoptionPolicy != 'ByName' || has(self.connectorName)")
        .message("adoptionPolicy ByName needs connectorName: name the connector to adopt")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("has(self.connectorName) == has(oldSelf.connectorName) && (!has(self.connectorName) || self.connectorName == oldSelf.connectorName)")
        .message("connectorName cannot be added, removed or changed: the Unstructured API cannot rename a connector; delete this resource and create a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("has(self.workspace) == has(oldSelf.workspace)")
        .message("workspace cannot be added or removed: a connector cannot move between workspaces; delete this resource and create a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden)
)]
pub struct ConnectorOptions {
    /// Name of the connector in Unstructured. Defaults to `<namespace>.<name>.<cluster>` for a `DropboxSource`, and to
    /// `<namespace>.<name>.<kind>.<cluster>` for any other kind. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new(r"!self.matches('^[[:space:]]|[[:space:]]$|[[:cntrl:]]')")
        .message("connectorName must not begin or end with white space, nor contain control characters"))]
    pub connector_name: Option<String>,

    /// What to do with a connector that already has `connectorName`: `Never` leaves it alone and reports `NameConflict`; `ByName` adopts
    /// it.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// The workspace that holds the connector. Defaults to the operator's own. It cannot be added, removed or pointed at another workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = workspace_stays("connector"))]
    pub workspace: Option<WorkspaceReference>,

    /// If true, `Ready` waits for Unstructured's own connection check after each accepted change.
    #[serde(default = "yes")]
    pub verify: bool,

    /// What happens to the connector when this resource is deleted: `Delete` deletes it; `Retain` leaves it in the workspace.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// If true, the operator writes nothing to Unstructured for this resource. Deletion still works.
    #[serde(default)]
    pub suspend: bool,
}

fn yes() -> bool {
    true
}

/// That a field which says what was taken over stays as it is.
pub(super) fn fixed(field: &str) -> Rule {
    Rule::new(format!(
        "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    ))
    .message(Message::Message(format!(
        "{field} cannot be added, removed or changed: it names the connector that this resource adopted; delete this resource and \
         create a new one, but deleting it deletes its connector unless deletionPolicy is Retain"
    )))
    .reason(Reason::FieldValueForbidden)
}

/// That a workspace keeps its URL, of a resource that stands for `what`.
pub(super) fn workspace_stays(what: &str) -> Rule {
    Rule::new("has(self.apiUrl) == has(oldSelf.apiUrl) && (!has(self.apiUrl) || self.apiUrl == oldSelf.apiUrl)")
        .message(Message::Message(format!(
            "workspace.apiUrl cannot be changed: a {what} cannot move between workspaces; delete this resource and create a new one, \
             but deleting it deletes its {what} unless deletionPolicy is Retain"
        )))
        .reason(Reason::FieldValueForbidden)
}

/// The schema of the id of a connector.
pub(super) fn connector_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 36,
        "pattern": "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    })
}

/// The schema of the name of a Secret.
pub(super) fn secret_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
    })
}

/// The schema of a key inside a Secret.
pub(super) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[-._a-zA-Z0-9]+$",
    })
}

/// The state that the operator last observed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorStatus {
    /// The `metadata.generation` that the rest of this status describes; -1 until the operator first sees the resource.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// Id of the connector in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the connector in the Unstructured workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector_name: Option<String>,
    /// Key with which the connector was created, or is being created, if the service has keys. It shows that the connector belongs to this
    /// resource. Absent if the connector was created before the service had keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The workspace where the operator last saw the connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceStatus>,
    /// Keyed digest of the configuration, secrets included, that Unstructured last accepted. It does not reveal the secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_digest: Option<String>,
    /// When Unstructured last accepted a configuration from this resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// The last value of the annotation `connectors.unstructured.io/reconcile-at` that the operator handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// Unstructured's connection check of the current configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_check: Option<ConnectionCheck>,
    /// Present while a create may be in progress: the record by which a restarted operator finds the connector again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateIntent>,
    /// Present while Unstructured may still carry out creates that the operator gave up. Whatever they create with this resource's key, or
    /// under its own name, is a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_creates: Option<LostCreates>,
    /// Present while Unstructured may still carry out an update whose response was lost. The operator sends the configuration once more
    /// after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_after: Option<Time>,
    /// The conditions `Ready`, `Reconciling`, `Stalled`, `CredentialsValid`, `Synced` and `ConnectionVerified`. They follow kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// `observedGeneration` of a resource that nobody has looked at: no tool takes it for ready.
const UNOBSERVED: i64 = -1;

pub(super) fn unobserved() -> i64 {
    UNOBSERVED
}

impl Default for ConnectorStatus {
    fn default() -> Self {
        Self {
            observed_generation: UNOBSERVED,
            id: None,
            connector_name: None,
            key: None,
            workspace: None,
            applied_digest: None,
            last_sync_time: None,
            last_handled_reconcile_at: None,
            connection_check: None,
            create: None,
            lost_creates: None,
            resend_after: None,
            conditions: Vec::new(),
        }
    }
}

impl ConnectorStatus {
    /// A status in which every field has a value: what a definition has to be able to hold.
    pub fn specimen() -> Self {
        let id = "00000000-0000-0000-0000-000000000000".to_owned();
        let time = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        Self {
            observed_generation: UNOBSERVED,
            id: Some(id.clone()),
            connector_name: Some("specimen".to_owned()),
            key: Some("specimen".to_owned()),
            workspace: Some(WorkspaceStatus {
                api_url: "https://specimen".to_owned(),
                key_fingerprint: "specimen".to_owned(),
            }),
            applied_digest: Some("specimen".to_owned()),
            last_sync_time: Some(time.clone()),
            last_handled_reconcile_at: Some("specimen".to_owned()),
            connection_check: Some(ConnectionCheck {
                id,
                status: "SCHEDULED".to_owned(),
            }),
            create: Some(CreateIntent {
                name: "specimen".to_owned(),
                started_at: time.clone(),
            }),
            lost_creates: Some(LostCreates {
                count: 1,
                since: time.clone(),
            }),
            resend_after: Some(time.clone()),
            conditions: vec![Condition {
                type_: "Ready".to_owned(),
                status: "Unknown".to_owned(),
                reason: "Specimen".to_owned(),
                message: "specimen".to_owned(),
                observed_generation: Some(UNOBSERVED.max(0)),
                last_transition_time: time,
            }],
        }
    }
}

/// The workspace in which a connector was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceStatus {
    /// Base URL of the workspace's API.
    pub api_url: String,
    /// Fingerprint of the API key that was used. The key cannot be computed from it.
    pub key_fingerprint: String,
}

/// One connection check that Unstructured runs on its side.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionCheck {
    /// Id of the check.
    pub id: String,
    /// `SCHEDULED`, `SUCCESS`, `FAILURE`, `TIMED_OUT` (no result in time) or `UNAVAILABLE` (the API offers no check).
    pub status: String,
}

/// The record of a create whose response has not arrived yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateIntent {
    /// Name under which it is being created.
    pub name: String,
    /// When the create started.
    pub started_at: Time,
}

/// Creates that the operator gave up, and that Unstructured may still carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostCreates {
    /// How many there are.
    #[schemars(with = "i32")]
    pub count: u32,
    /// When the first of them started.
    pub since: Time,
}
