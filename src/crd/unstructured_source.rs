//! `UnstructuredSource`: a source of any type.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

use super::any_connector::AnyConnector;
use super::connector::{ConnectorOptions, connector_id, fixed};
use super::definition::{SOURCE, complete};

/// A source of any type that an Unstructured workspace reads documents from. The operator creates the matching source connector in the
/// workspace, keeps it in sync with this spec and the Secrets, and deletes it with this resource.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "connectors.unstructured.io",
    version = "v1alpha1",
    kind = "UnstructuredSource",
    plural = "unstructuredsources",
    namespaced,
    derive = "PartialEq",
    shortname = "usrc",
    category = "unstructured"
)]
#[x_kube(validation = fixed(SOURCE.existing_field))]
pub struct UnstructuredSourceSpec {
    /// The connector.
    #[serde(flatten)]
    pub connector: AnyConnector,

    /// Id of an existing connector to adopt, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub existing_source_id: Option<String>,

    /// What all kinds have in common.
    #[serde(flatten)]
    pub options: ConnectorOptions,
}

/// The definition of `UnstructuredSource`.
pub fn definition() -> CustomResourceDefinition {
    complete(UnstructuredSource::crd(), &SOURCE, ("Type", ".spec.type"))
}
