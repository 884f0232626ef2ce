//! `PineconeDestination`: a Pinecone index as a destination connector.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connector::{ConnectorOptions, SecretReference, connector_id, fixed, secret_key};
use super::definition::{DESTINATION, complete};

/// A Pinecone index that an Unstructured workspace writes vectors to. The operator creates the matching destination connector in the
/// workspace, keeps it in sync with this spec and the Secret, and deletes it with this resource.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "connectors.unstructured.io",
    version = "v1alpha1",
    kind = "PineconeDestination",
    plural = "pineconedestinations",
    namespaced,
    derive = "PartialEq",
    shortname = "pcdst",
    category = "unstructured"
)]
#[x_kube(
    validation = Rule::new("has(self.indexName) != (has(self.autoCreateIndex) && self.autoCreateIndex)")
        .message("set either indexName or autoCreateIndex: true, but not both"),
    validation = fixed(DESTINATION.existing_field)
)]
pub struct PineconeDestinationSpec {
    /// The index to write to. It must exist, and have as many dimensions as the embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 45),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub index_name: Option<String>,

    /// Whether Unstructured creates a serverless index of its own in the account when a workflow first runs.
    #[serde(default)]
    pub auto_create_index: bool,

    /// The namespace inside the index.
    #[serde(default = "default_namespace")]
    #[schemars(length(min = 1, max = 512))]
    pub namespace: String,

    /// How many vectors to write at once.
    #[serde(default = "default_batch_size")]
    #[schemars(with = "i32", range(min = 1, max = 1000))]
    pub batch_size: u16,

    /// The Secret that holds the Pinecone API key.
    pub credentials: PineconeCredentials,

    /// Id of an existing connector to adopt, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub existing_destination_id: Option<String>,

    /// What all kinds have in common.
    #[serde(flatten)]
    pub options: ConnectorOptions,
}

/// The Secret that holds the Pinecone API key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PineconeCredentials {
    /// The Secret that holds it.
    pub secret_ref: SecretReference,
    /// The names of the keys inside the Secret.
    #[serde(default)]
    pub keys: PineconeKeys,
}

/// The names of the keys inside the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PineconeKeys {
    /// Key whose value is the Pinecone API key.
    #[schemars(schema_with = "secret_key")]
    pub api_key: String,
}

impl Default for PineconeKeys {
    fn default() -> Self {
        Self {
            api_key: "api_key".into(),
        }
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn default_batch_size() -> u16 {
    50
}

/// The definition of `PineconeDestination`.
pub fn definition() -> CustomResourceDefinition {
    let about = ("Index", ".spec.indexName");
    complete(PineconeDestination::crd(), &DESTINATION, about)
}
