//! `UnstructuredSource`: a source of any type.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

use super::connector::{
    ConnectorOptions, Parameters, SecretParameter, fixed, parameters, secret_parameters,
};
use super::definition::{SOURCE, complete};

/// A place of any type that an Unstructured workspace reads documents from. The operator makes the matching
/// source connector exist in the workspace, keeps it equal to this spec and to the Secrets, and removes it with this resource.
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
#[x_kube(validation = fixed("existingSourceId"))]
pub struct UnstructuredSourceSpec {
    /// The connector's type, as the Unstructured API names it, for example `s3`. Immutable.
    #[serde(rename = "type")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("type cannot be changed: a connector keeps its type; delete this resource and make a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden))]
    pub connector_type: String,

    /// The parameters that anyone may read, as the Unstructured API names them. They are sent as they are written.
    #[serde(default)]
    #[schemars(schema_with = "parameters")]
    pub config: Parameters,

    /// The parameters that nobody may read: for each, the key of a Secret that holds its value.
    #[serde(default)]
    #[schemars(schema_with = "secret_parameters")]
    pub secret_config: BTreeMap<String, SecretParameter>,

    /// Id of an existing connector to take over: exactly this one, whatever its name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(
            pattern = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
        )
    )]
    pub existing_source_id: Option<String>,

    /// What all kinds have in common.
    #[serde(flatten)]
    pub options: ConnectorOptions,
}

/// The definition of `UnstructuredSource`.
pub fn definition() -> CustomResourceDefinition {
    complete(UnstructuredSource::crd(), &SOURCE, ("Type", ".spec.type"))
}
