//! The custom resource definition as it is installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceSubresourceStatus,
    CustomResourceSubresources, JSON, JSONSchemaProps,
};
use kube::core::schema::{OptionalEnum, OptionalIntOrString, StructuralSchemaRewriter};
use schemars::generate::SchemaSettings;
use schemars::transform::AddNullable;
use serde_json::json;

use super::connector::ConnectorStatus;

/// Whoever deletes the definition deletes every resource in the cluster. A tool that prunes what left Git, or what belonged to an
/// application that was deleted, leaves it: Helm and Argo CD by the first, Flux by the second.
const KEPT: [(&str, &str); 2] = [
    ("helm.sh/resource-policy", "keep"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
];

/// Completes what the derive makes of a spec:
///
/// * The status: the same for all kinds but for the name of the field that holds the id of the connector. It defaults to
///   `observedGeneration: -1`, since kstatus, and so Flux and Helm, take an object without any status for ready.
/// * `nullable` and integer formats that Kubernetes does not know are dropped; the API server then prunes an explicit `null`
///   instead of storing it.
/// * It is kept by tools that prune.
pub(super) fn complete(
    mut crd: CustomResourceDefinition,
    family: &Family,
    about: (&str, &str),
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        version.subresources = Some(CustomResourceSubresources {
            status: Some(CustomResourceSubresourceStatus(json!({}))),
            ..CustomResourceSubresources::default()
        });
        if let Some(properties) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
            .and_then(|schema| schema.properties.as_mut())
        {
            properties.insert("status".to_owned(), status(family.id_field));
        }
    }
    finish(crd, &columns(family, about))
}

/// The same for a kind whose definition has its status already.
pub(super) fn finish(
    mut crd: CustomResourceDefinition,
    columns: &[CustomResourceColumnDefinition],
) -> CustomResourceDefinition {
    let kept = KEPT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    crd.metadata.annotations = Some(kept.into());
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns.to_vec());
        let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        let status = schema
            .properties
            .as_mut()
            .and_then(|properties| properties.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
        tidy(schema);
        schema.title = None;
        schema.description = schema
            .properties
            .as_ref()
            .and_then(|p| p.get("spec"))
            .and_then(|s| s.description.clone());
    }
    crd
}

/// What tells the resources of sources and those of destinations apart.
pub struct Family {
    /// The field of a spec that names a connector to take over.
    pub existing_field: &'static str,
    /// The field of a status that holds the id of the connector.
    pub id_field: &'static str,
    /// The title of its column.
    id_title: &'static str,
}

/// Of sources.
pub const SOURCE: Family = Family {
    existing_field: "existingSourceId",
    id_field: "sourceId",
    id_title: "Source ID",
};

/// Of destinations.
pub const DESTINATION: Family = Family {
    existing_field: "existingDestinationId",
    id_field: "destinationId",
    id_title: "Destination ID",
};

/// What `kubectl get` shows: what the resource is about, how it is, and with `-o wide` what else there is to say.
fn columns(family: &Family, (title, path): (&str, &str)) -> Vec<CustomResourceColumnDefinition> {
    let mut columns = condition_columns("Ready");
    columns.insert(0, column(title, "string", path.to_owned(), None));
    let id = format!(".status.{}", family.id_field);
    columns.insert(4, column(family.id_title, "string", id, Some(1)));
    columns
}

/// What a condition says, and the age.
pub(super) fn condition_columns(condition: &str) -> Vec<CustomResourceColumnDefinition> {
    let field = |field: &str| format!(r#".status.conditions[?(@.type=="{condition}")].{field}"#);
    vec![
        column(condition, "string", field("status"), None),
        column("Reason", "string", field("reason"), None),
        column(
            "Age",
            "date",
            ".metadata.creationTimestamp".to_owned(),
            None,
        ),
        column("Message", "string", field("message"), Some(1)),
    ]
}

/// One column; with a priority of 1, for `-o wide` only.
pub(super) fn column(
    name: &str,
    type_: &str,
    json_path: String,
    priority: Option<i32>,
) -> CustomResourceColumnDefinition {
    CustomResourceColumnDefinition {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path,
        priority,
        ..CustomResourceColumnDefinition::default()
    }
}

/// The schema of the status.
fn status(id_field: &str) -> JSONSchemaProps {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let generator = settings
        .with_transform(AddNullable::default())
        .with_transform(StructuralSchemaRewriter)
        .with_transform(OptionalEnum)
        .with_transform(OptionalIntOrString)
        .into_generator();
    let schema = generator
        .into_root_schema_for::<ConnectorStatus>()
        .to_value();
    let mut schema: JSONSchemaProps =
        serde_json::from_value(schema).expect("what schemars makes of a struct is a schema");
    schema.title = None;
    if let Some(properties) = &mut schema.properties
        && let Some(id) = properties.remove("id")
    {
        properties.insert(id_field.to_owned(), id);
    }
    schema
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    for child in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        tidy(child);
    }
    if let Some(items) = &mut schema.items {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray as Items;
        match items {
            Items::Schema(item) => tidy(item),
            Items::Schemas(items) => items.iter_mut().for_each(tidy),
        }
    }
}
