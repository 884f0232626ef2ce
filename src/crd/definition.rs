//! The custom resource definition as it is installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::DropboxSource;

/// Whoever deletes the definition deletes every resource in the cluster. A tool that prunes what left Git, or what belonged to an
/// application that was deleted, leaves it: Helm and Argo CD by the first, Flux by the second.
const KEPT: [(&str, &str); 2] = [
    ("helm.sh/resource-policy", "keep"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
];

/// The definition of `DropboxSource`, with three mends to what the derive produces:
///
/// * `status` defaults to `observedGeneration: -1`: kstatus, and so Flux and Helm, take an object without any status for ready.
/// * `nullable` and integer formats that Kubernetes does not know are dropped; the API server then prunes an explicit `null`
///   instead of storing it.
/// * It is kept by tools that prune.
pub fn definition() -> CustomResourceDefinition {
    let mut crd = DropboxSource::crd();
    let kept = KEPT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    crd.metadata.annotations = Some(kept.into());
    for version in &mut crd.spec.versions {
        let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        tidy(schema);
        schema.title = None;
        schema.description = schema
            .properties
            .as_ref()
            .and_then(|p| p.get("spec"))
            .and_then(|s| s.description.clone());
        if let Some(status) = schema.properties.as_mut().and_then(|p| p.get_mut("status")) {
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
    }
    crd
}

/// The definition as YAML, ready for `kubectl apply -f -`.
pub fn definition_yaml() -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(&definition())
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
