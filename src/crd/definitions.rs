//! The definitions of all kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::{dropbox_source, pinecone_destination, unstructured_destination, unstructured_source};

/// Every definition, in the order in which they are documented.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        dropbox_source::definition(),
        unstructured_source::definition(),
        pinecone_destination::definition(),
        unstructured_destination::definition(),
    ]
}

/// The definitions as YAML, ready for `kubectl apply -f -`.
pub fn definitions_yaml() -> Result<String, serde_yaml::Error> {
    let documents: Result<Vec<_>, _> = definitions().iter().map(serde_yaml::to_string).collect();
    Ok(documents?.join("---\n"))
}
