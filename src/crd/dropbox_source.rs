//! `DropboxSource`: a Dropbox folder as a source connector.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connector::{ConnectorOptions, SecretReference, connector_id, fixed, secret_key};
use super::definition::{SOURCE, complete};

/// A Dropbox folder that an Unstructured workspace reads documents from. The operator creates the matching source connector in the
/// workspace, keeps it in sync with this spec and the Secret, and deletes it with this resource.
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
    category = "unstructured"
)]
#[x_kube(validation = fixed(SOURCE.existing_field))]
pub struct DropboxSourceSpec {
    /// The folder to read, as `dropbox://<subfolder>[/...]`, relative to the Dropbox app's own folder. Name a subfolder: Unstructured does
    /// not support the root of the app folder.
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(r"self.matches('^dropbox://[^/[:cntrl:][:space:]][^/[:cntrl:]]*(/[^/[:cntrl:]]+)*/?$')")
        .message("remoteUrl must be dropbox://<subfolder>[/...]: name a subfolder of the Dropbox app's folder, for example dropbox://contracts/2026; the root itself cannot be read"))]
    #[x_kube(validation = Rule::new(r"!self.matches('/[.]{1,2}(/|$)') && !self.matches('[[:space:]]/?$')")
        .message("remoteUrl must not contain '.' or '..' as a folder and must not end in white space"))]
    pub remote_url: String,

    /// Whether to read files in subfolders too.
    #[serde(default)]
    pub recursive: bool,

    /// The Secret that holds the Dropbox app's key, secret and refresh token.
    pub credentials: Credentials,

    /// Id of an existing connector to adopt, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub existing_source_id: Option<String>,

    /// What all kinds have in common.
    #[serde(flatten)]
    pub options: ConnectorOptions,
}

/// The definition of `DropboxSource`.
pub fn definition() -> CustomResourceDefinition {
    complete(
        DropboxSource::crd(),
        &SOURCE,
        ("Remote URL", ".spec.remoteUrl"),
    )
}

/// The Secret that holds the Dropbox app's key, secret and refresh token.
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
    #[schemars(schema_with = "secret_key")]
    pub app_key: String,
    /// Key whose value is the app secret of the Dropbox app.
    #[schemars(schema_with = "secret_key")]
    pub app_secret: String,
    /// Key whose value is the refresh token, which lasts. Do not use an access token (`sl.…`): it expires after four hours.
    #[schemars(schema_with = "secret_key")]
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
