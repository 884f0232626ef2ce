//! A connector of any type: what the kinds of both families have in common that know no type of their own.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::connector::{secret_key, secret_name};

/// A connector's type and parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnyConnector {
    /// The connector's type, under its name in the Unstructured API, for example `s3`. Immutable.
    #[serde(rename = "type")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$")
    )]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("type cannot be changed: a connector keeps its type; delete this resource and create a new one, but deleting it deletes its connector unless deletionPolicy is Retain")
        .reason(Reason::FieldValueForbidden))]
    pub connector_type: String,

    /// The parameters that are not secret, under the names of the Unstructured API. The operator sends them as written.
    #[serde(default)]
    #[schemars(schema_with = "parameters")]
    pub config: Parameters,

    /// The secret parameters: for each, the key of a Secret that holds its value.
    #[serde(default)]
    #[schemars(schema_with = "secret_parameters")]
    pub secret_config: BTreeMap<String, SecretParameter>,
}

/// A key of a Secret whose value is one parameter of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SecretParameter {
    /// Name of the Secret, always in the resource's own namespace.
    #[schemars(schema_with = "secret_name")]
    pub name: String,
    /// Key inside the Secret whose value is the parameter.
    #[schemars(schema_with = "secret_key")]
    pub key: String,
}

/// Values that are not secret, by parameter, under the names of the API. The operator sends them as written.
pub type Parameters = BTreeMap<String, Value>;

/// The schema of [`Parameters`]: whatever JSON there is.
pub(super) fn parameters(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MOST_PARAMETERS,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// The schema of the parameters that are in Secrets.
pub(super) fn secret_parameters(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MOST_PARAMETERS,
        "additionalProperties": generator.subschema_for::<SecretParameter>(),
    })
}

/// As many parameters as there may be of either sort: several times those of the type with the most.
pub const MOST_PARAMETERS: usize = 64;
