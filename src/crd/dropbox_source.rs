//! `DropboxSource`: a Dropbox folder as a source connector.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connector::{AdoptionPolicy, DeletionPolicy, SecretReference, WorkspaceReference};
use super::definition::complete;

/// A Dropbox folder that an Unstructured workspace reads documents from. The operator makes the matching source connector exist
/// in the workspace, keeps it equal to this spec and to the Secret, and removes it with this resource.
#[expect(
    clippy::duplicated_attributes,
    reason = "each printer column has a type, and kube reads them as one list"
)]
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "connectors.unstructured.io",
    version = "v1alpha1",
    kind = "DropboxSource",
    plural = "dropboxsources",
    namespaced,
    derive = "PartialEq",
    shortname = "dbxsrc",
    category = "unstructured",
    printcolumn(name = "Remote URL", type_ = "string", json_path = ".spec.remoteUrl"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Source ID",
        type_ = "string",
        json_path = ".status.sourceId",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new("self.adoptionPolicy != 'ByName' || has(self.connectorName)")
        .message("adoptionPolicy ByName needs connectorName: say which connector to take over")
        .reason(Reason::FieldValueRequired),
    validation = Rule::new("has(self.connectorName) == has(oldSelf.connectorName) && (!has(self.connectorName) || self.connectorName == oldSelf.connectorName)")
        .message("connectorName cannot be added, removed or changed: the Unstructured API cannot rename a connector; delete this resource and make a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("has(self.existingSourceId) == has(oldSelf.existingSourceId) && (!has(self.existingSourceId) || self.existingSourceId == oldSelf.existingSourceId)")
        .message("existingSourceId cannot be added, removed or changed: it says which connector this resource took over; delete this resource and make a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden),
    validation = Rule::new("has(self.workspace) == has(oldSelf.workspace)")
        .message("workspace cannot be added or removed: a connector cannot move between workspaces; delete this resource and make a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden)
)]
pub struct DropboxSourceSpec {
    /// The folder to read, as `dropbox://<subfolder>[/...]`, relative to the Dropbox app's own folder. The app folder's root
    /// cannot be used: Unstructured does not support it.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(r"self.matches('^dropbox://[^/[:cntrl:][:space:]][^/[:cntrl:]]*(/[^/[:cntrl:]]+)*/?$')")
        .message("remoteUrl must be dropbox://<subfolder>[/...]: name a subfolder of the Dropbox app's folder, for example dropbox://contracts/2026; the root itself cannot be read"))]
    #[x_kube(validation = Rule::new(r"!self.matches('/[.]{1,2}(/|$)') && !self.matches('[[:space:]]/?$')")
        .message("remoteUrl must not contain '.' or '..' as a folder and must not end in white space"))]
    pub remote_url: String,

    /// Whether files in subfolders are read too.
    #[serde(default)]
    pub recursive: bool,

    /// Where the Dropbox app's key, secret and refresh token are.
    pub credentials: Credentials,

    /// Name of the connector in Unstructured. Without it, `<namespace>.<name>.<cluster>`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    #[x_kube(validation = Rule::new(r"!self.matches('^[[:space:]]|[[:space:]]$|[[:cntrl:]]')")
        .message("connectorName must not begin or end with white space, nor contain control characters"))]
    pub connector_name: Option<String>,

    /// Id of an existing connector to take over: exactly this one, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(
            pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
        )
    )]
    pub existing_source_id: Option<String>,

    /// What to do with a connector that already carries `connectorName`: `Never` leaves it alone and reports `NameConflict`,
    /// `ByName` takes it over.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// The workspace that holds the connector. Without it, the operator's own. It cannot be added, removed or pointed elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceReference>,

    /// Whether `Ready` waits for Unstructured's own connection check after each accepted change.
    #[serde(default = "yes")]
    pub verify: bool,

    /// What happens to the connector when this resource is deleted: `Delete` removes it, `Retain` leaves it in the workspace.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// Stops all writes to Unstructured for this resource. Deleting it still works.
    #[serde(default)]
    pub suspend: bool,
}

/// The definition of `DropboxSource`.
pub fn definition() -> CustomResourceDefinition {
    complete(DropboxSource::crd(), "sourceId")
}

/// Where the Dropbox app's key, secret and refresh token are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The Secret that holds them.
    pub secret_ref: SecretReference,
    /// The names of the keys inside the Secret.
    #[serde(default)]
    pub keys: CredentialKeys,
}

/// The names of the keys inside the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CredentialKeys {
    /// Key whose value is the app key of the Dropbox app.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub app_key: String,
    /// Key whose value is the app secret of the Dropbox app.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub app_secret: String,
    /// Key whose value is the refresh token: the one that lasts, not an access token (`sl.…`), which dies after four hours.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub refresh_token: String,
}

impl Default for CredentialKeys {
    fn default() -> Self {
        Self {
            app_key: "app_key".into(),
            app_secret: "app_secret".into(),
            refresh_token: "refresh_token".into(),
        }
    }
}

fn yes() -> bool {
    true
}
