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
}

/// A key of a Secret whose value is one parameter of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
pub struct SecretParameter {
    /// Name of the Secret. It is always read from the resource's own namespace.
    #[schemars(schema_with = "secret_name")]
    pub name: String,
    /// Key inside the Secret whose value is the parameter.
    #[schemars(schema_with = "secret_key")]
    pub key: String,
}

/// Values that anyone may read, by parameter, as the API names them. Sent as they are written.
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
