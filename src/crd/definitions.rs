//! The definitions of all kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ApiResource;

use super::definition::{DESTINATION, SOURCE};
use super::group::{GROUP, VERSION};
use super::{
    dropbox_source, pinecone_destination, unstructured_destination, unstructured_job,
    unstructured_source, unstructured_workflow,
};

/// A kind, as the API server knows it.
pub struct Defined {
    /// Its name, for example `DropboxSource`.
    pub name: &'static str,
    /// The name of its objects together, in paths.
    pub plural: &'static str,
    /// The field of its status that holds the id of what it stands for in Unstructured.
    pub id_field: &'static str,
    /// Its definition.
    pub definition: fn() -> CustomResourceDefinition,
}

/// The kind of a workflow.
pub const WORKFLOW: &str = "UnstructuredWorkflow";

/// The kind of a run of a workflow.
pub const JOB: &str = "UnstructuredJob";

/// Every kind, in the order in which they are documented.
pub static ALL: [Defined; 6] = [
    Defined {
        name: "DropboxSource",
        plural: "dropboxsources",
        id_field: SOURCE.id_field,
        definition: dropbox_source::definition,
    },
    Defined {
        name: "UnstructuredSource",
        plural: "unstructuredsources",
        id_field: SOURCE.id_field,
        definition: unstructured_source::definition,
    },
    Defined {
        name: "PineconeDestination",
        plural: "pineconedestinations",
        id_field: DESTINATION.id_field,
        definition: pinecone_destination::definition,
    },
    Defined {
        name: "UnstructuredDestination",
        plural: "unstructureddestinations",
        id_field: DESTINATION.id_field,
        definition: unstructured_destination::definition,
    },
    Defined {
        name: WORKFLOW,
        plural: "unstructuredworkflows",
        id_field: "workflowId",
        definition: unstructured_workflow::definition,
    },
    Defined {
        name: JOB,
        plural: "unstructuredjobs",
        id_field: "jobId",
        definition: unstructured_job::definition,
    },
];

impl Defined {
    /// The name of its definition.
    pub fn definition_name(&self) -> String {
        format!("{}.{GROUP}", self.plural)
    }

    /// How the API server knows it.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource {
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            api_version: format!("{GROUP}/{VERSION}"),
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}

/// Every definition.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    ALL.iter().map(|kind| (kind.definition)()).collect()
}

/// The definitions as YAML, ready for `kubectl apply -f -`.
pub fn definitions_yaml() -> Result<String, serde_yaml::Error> {
    let documents: Result<Vec<_>, _> = definitions().iter().map(serde_yaml::to_string).collect();
    Ok(documents?.join("---\n"))
}
