//! The objects of the kinds that stand for no connector.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::crd::{
    FINALIZER, JobStatus, UnstructuredJob, UnstructuredWorkflow, WorkflowStatus, WorkspaceReference,
};
use crate::engine::key::Key;

/// An object of one of these kinds.
pub trait Object:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The name of the kind.
    const KIND: &'static str;
    /// The name of its objects together, in paths.
    const PLURAL: &'static str;
    /// Its status.
    type Status: Clone + Default + PartialEq + Serialize + Send + Sync;

    /// The status, once there is one.
    fn status(&self) -> Option<&Self::Status>;

    /// The workspace that it names.
    fn workspace(&self) -> Option<&WorkspaceReference>;

    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &[Condition];

    /// The generation that a status speaks of.
    fn observed_generation(status: &Self::Status) -> i64;

    /// Its key.
    fn key(&self) -> Key {
        let namespace = self.namespace().unwrap_or_default();
        Key::new(Self::KIND, &namespace, &self.name_any())
    }

    /// Whether the finalizer holds it.
    fn is_finalized(&self) -> bool {
        self.finalizers().iter().any(|f| f == FINALIZER)
    }

    /// Whether it is being deleted.
    fn is_going(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }
}

impl Object for UnstructuredWorkflow {
    const KIND: &'static str = "UnstructuredWorkflow";
    const PLURAL: &'static str = "unstructuredworkflows";
    type Status = WorkflowStatus;

    fn status(&self) -> Option<&WorkflowStatus> {
        self.status.as_ref()
    }

    fn workspace(&self) -> Option<&WorkspaceReference> {
        self.spec.workspace.as_ref()
    }

    fn conditions(status: &WorkflowStatus) -> &[Condition] {
        &status.conditions
    }

    fn observed_generation(status: &WorkflowStatus) -> i64 {
        status.observed_generation
    }
}

impl Object for UnstructuredJob {
    const KIND: &'static str = "UnstructuredJob";
    const PLURAL: &'static str = "unstructuredjobs";
    type Status = JobStatus;

    fn status(&self) -> Option<&JobStatus> {
        self.status.as_ref()
    }

    /// That of its workflow.
    fn workspace(&self) -> Option<&WorkspaceReference> {
        None
    }

    fn conditions(status: &JobStatus) -> &[Condition] {
        &status.conditions
    }

    fn observed_generation(status: &JobStatus) -> i64 {
        status.observed_generation
    }
}
