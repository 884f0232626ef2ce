//! What is examined, whatever its kind.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Client;

use crate::crd::{
    DeletionPolicy, JOB, UnstructuredJob, UnstructuredWorkflow, WORKFLOW, WorkspaceReference,
};
use crate::dropbox::DropboxClient;
use crate::engine::key::Key;
use crate::hosts::HostPolicy;
use crate::kinds::Resource;
use crate::options::Network;
use crate::pinecone::PineconeClient;
use crate::unstructured::{ApiKey, Endpoint};

/// Everything that it takes to examine anything.
pub(super) struct Means<'a> {
    pub client: &'a Client,
    pub dropbox: &'a DropboxClient,
    pub pinecone: &'a PineconeClient,
    /// Of the operator's own workspace, as far as the caller gave them.
    pub own_endpoint: &'a Endpoint,
    pub own_key: Option<&'a ApiKey>,
    /// Which hosts a resource may name.
    pub hosts: &'a HostPolicy,
    pub network: &'a Network,
}

/// A resource, as far as it is like those of any other kind.
pub(super) struct Patient<'a> {
    pub means: &'a Means<'a>,
    pub key: Key,
    pub metadata: &'a ObjectMeta,
    /// The generation that its status speaks of.
    pub observed: Option<i64>,
    pub conditions: &'a [Condition],
    /// The workspace that it names. None: it uses the operator's own.
    pub workspace: Option<&'a WorkspaceReference>,
    pub suspend: bool,
    pub deletion_policy: DeletionPolicy,
    /// What puts the credentials that it reads where it reads them.
    pub repair: Option<String>,
}

impl<'a> Patient<'a> {
    /// One that stands for a connector.
    pub fn connector(means: &'a Means<'a>, resource: &'a Resource) -> Self {
        let options = resource.spec.options();
        let status = resource.status();
        let mut patient = Self {
            means,
            key: resource.key(),
            metadata: &resource.metadata,
            observed: status.map(|status| status.observed_generation),
            conditions: status.map_or(&[], |status| &status.conditions),
            workspace: options.workspace,
            suspend: options.suspend,
            deletion_policy: options.deletion_policy,
            repair: None,
        };
        let credentials = resource.spec.credentials();
        let first = credentials.first().map(|credential| credential.secret);
        patient.repair = first.map(|secret| patient.put_credentials(resource, secret));
        patient
    }

    /// A workflow.
    pub fn workflow(means: &'a Means<'a>, workflow: &'a UnstructuredWorkflow) -> Self {
        let status = workflow.status.as_ref();
        Self {
            means,
            key: key(WORKFLOW, &workflow.metadata),
            metadata: &workflow.metadata,
            observed: status.map(|status| status.observed_generation),
            conditions: status.map_or(&[], |status| &status.conditions),
            workspace: workflow.spec.workspace.as_ref(),
            suspend: workflow.spec.suspend,
            deletion_policy: workflow.spec.deletion_policy,
            repair: None,
        }
    }

    /// A run of a workflow, in whose workspace it is.
    pub fn job(
        means: &'a Means<'a>,
        job: &'a UnstructuredJob,
        workflow: Option<&'a UnstructuredWorkflow>,
    ) -> Self {
        let status = job.status.as_ref();
        Self {
            means,
            key: key(JOB, &job.metadata),
            metadata: &job.metadata,
            observed: status.map(|status| status.observed_generation),
            conditions: status.map_or(&[], |status| &status.conditions),
            workspace: workflow.and_then(|workflow| workflow.spec.workspace.as_ref()),
            suspend: false,
            deletion_policy: DeletionPolicy::Retain,
            repair: None,
        }
    }

    /// What the findings are about: kind, namespace and name.
    pub fn subject(&self) -> String {
        self.key.to_string()
    }

    /// One of its conditions.
    pub fn condition(&self, kind: &str) -> Option<&'a Condition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.type_ == kind)
    }

    /// Whether one of its conditions is true.
    pub fn is(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|c| c.status == "True")
    }
}

/// The key of an object of this kind.
pub(super) fn key(kind: &'static str, metadata: &ObjectMeta) -> Key {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Key::new(kind, &text(&metadata.namespace), &text(&metadata.name))
}
