//! The resources that are there.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

use super::findings::Findings;
use super::patient::key;
use crate::cluster::sentence;
use crate::crd::{self, Defined, JOB, UnstructuredJob, UnstructuredWorkflow, WORKFLOW};
use crate::kinds::{self, Kind, Resource};
use crate::kube_error::{is_forbidden, is_missing};
use crate::options::Exit;
use crate::unstructured::ConnectorId;

/// The resources of all kinds, as far as they can be seen.
#[derive(Default)]
pub(super) struct Listed {
    /// Those that stand for connectors.
    pub resources: Vec<Resource>,
    pub workflows: Vec<UnstructuredWorkflow>,
    pub jobs: Vec<UnstructuredJob>,
    /// The connectors of those that cannot be read.
    pub held: HashSet<ConnectorId>,
    /// Whether others may stand for connectors, of which nothing is known.
    pub is_partial: bool,
}

/// Where to look.
struct Place<'a> {
    client: &'a Client,
    /// None: everywhere.
    namespace: Option<&'a str>,
}

/// The resources of a namespace, or of all. One that cannot be read is told; of a kind that is not installed there are none.
pub(super) async fn list(
    client: &Client,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> Result<Listed, Exit> {
    let mut listed = connectors(client, namespace, findings).await?;
    let place = Place { client, namespace };
    listed.workflows = place.read(WORKFLOW, findings).await?;
    listed.jobs = place.read(JOB, findings).await?;
    Ok(listed)
}

/// Those of them that stand for connectors.
pub(super) async fn connectors(
    client: &Client,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> Result<Listed, Exit> {
    let place = Place { client, namespace };
    let mut listed = Listed::default();
    for kind in kinds::ALL {
        listed.add(&place, kind, findings).await?;
    }
    Ok(listed)
}

impl Listed {
    async fn add(
        &mut self,
        place: &Place<'_>,
        kind: &'static Kind,
        findings: &mut Findings,
    ) -> Result<(), Exit> {
        let objects = place.objects(&kind.api_resource(), findings).await?;
        self.is_partial |= objects.is_none();
        for object in objects.into_iter().flatten() {
            match kind.read(object) {
                Ok(resource) => self.resources.push(resource),
                Err(holding) => {
                    self.held.extend(holding.connector);
                    unreadable(kind.name, &holding.metadata, findings);
                }
            }
        }
        Ok(())
    }
}

impl Place<'_> {
    /// The objects of a kind that stands for no connector.
    async fn read<T: DeserializeOwned + kube::Resource>(
        &self,
        kind: &'static str,
        findings: &mut Findings,
    ) -> Result<Vec<T>, Exit> {
        let defined = crd::ALL.iter().find(|defined| defined.name == kind);
        let Some(resource) = defined.map(Defined::api_resource) else {
            return Ok(Vec::new());
        };
        let mut read = Vec::new();
        for object in self
            .objects(&resource, findings)
            .await?
            .into_iter()
            .flatten()
        {
            let metadata = object.metadata.clone();
            match object.try_parse() {
                Ok(object) => read.push(object),
                Err(_) => unreadable(kind, &metadata, findings),
            }
        }
        Ok(read)
    }

    /// The objects of a kind; none where there may be some that cannot be seen.
    async fn objects(
        &self,
        kind: &ApiResource,
        findings: &mut Findings,
    ) -> Result<Option<Vec<DynamicObject>>, Exit> {
        let client = self.client.clone();
        let objects: Api<DynamicObject> = match self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, kind),
            None => Api::all_with(client, kind),
        };
        match objects.list(&ListParams::default()).await {
            Ok(objects) => Ok(Some(objects.items)),
            Err(error) if is_missing(&error) => Ok(Some(Vec::new())),
            // The rights were looked at before, and said.
            Err(error) if is_forbidden(&error) => Ok(None),
            // A definition that was just installed is not served at once.
            Err(error @ kube::Error::Api(_)) => {
                let what = format!("the resources of the kind {} cannot be read", kind.kind);
                let message = sentence(&error, &what);
                findings.unknown(&kind.kind, "resource", message, "try again");
                Ok(None)
            }
            Err(error) => Err(Exit::Failed(sentence(
                &error,
                "the resources cannot be read",
            ))),
        }
    }
}

fn unreadable(kind: &'static str, metadata: &ObjectMeta, findings: &mut Findings) {
    findings.wrong(
        &key(kind, metadata).to_string(),
        "resource",
        "it does not fit the CRD of this version",
        "unstructured-operator crd | kubectl apply --server-side -f -",
    );
}
