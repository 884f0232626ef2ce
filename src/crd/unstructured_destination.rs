//! `UnstructuredDestination`: a destination of any type.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

use super::any_connector::AnyConnector;
use super::connector::{ConnectorOptions, connector_id, fixed};
use super::definition::{DESTINATION, complete};

/// A place of any type that an Unstructured workspace writes its results to. The operator makes the matching
/// destination connector exist in the workspace, keeps it equal to this spec and to the Secrets, and removes it with this resource.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "connectors.unstructured.io",
    version = "v1alpha1",
    kind = "UnstructuredDestination",
    plural = "unstructureddestinations",
    namespaced,
    derive = "PartialEq",
    shortname = "udst",
    category = "unstructured"
)]
#[x_kube(validation = fixed(DESTINATION.existing_field))]
pub struct UnstructuredDestinationSpec {
    /// The connector.
    #[serde(flatten)]
    pub connector: AnyConnector,

    /// Id of an existing connector to take over: exactly this one, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connector_id")]
    pub existing_destination_id: Option<String>,

    /// What all kinds have in common.
    #[serde(flatten)]
    pub options: ConnectorOptions,
}

/// The definition of `UnstructuredDestination`.
pub fn definition() -> CustomResourceDefinition {
    complete(
        UnstructuredDestination::crd(),
        &DESTINATION,
        ("Type", ".spec.type"),
    )
}
