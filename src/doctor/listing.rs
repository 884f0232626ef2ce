//! The resources that are there.

use std::collections::HashSet;

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};

use super::findings::Findings;
use crate::cluster::sentence;
use crate::controller::key::Key;
use crate::kinds::{self, Kind, Resource};
use crate::kube_error::{is_forbidden, is_missing};
use crate::options::Exit;
use crate::unstructured::ConnectorId;

/// The resources of all kinds, as far as they can be seen.
#[derive(Default)]
pub(super) struct Listed {
    pub resources: Vec<Resource>,
    /// The connectors of those that cannot be read.
    pub held: HashSet<ConnectorId>,
    /// Whether there may be others, of which nothing is known.
    pub is_partial: bool,
}

/// The resources of a namespace, or of all. One that cannot be read is told; of a kind that is not installed there are none.
pub(super) async fn list(
    client: &Client,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> Result<Listed, Exit> {
    let mut listed = Listed::default();
    for kind in kinds::ALL {
        listed.add(client, kind, namespace, findings).await?;
    }
    Ok(listed)
}

impl Listed {
    async fn add(
        &mut self,
        client: &Client,
        kind: &'static Kind,
        namespace: Option<&str>,
        findings: &mut Findings,
    ) -> Result<(), Exit> {
        let definition = kind.api_resource();
        let objects: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &definition),
            None => Api::all_with(client.clone(), &definition),
        };
        let objects = match objects.list(&ListParams::default()).await {
            Ok(objects) => objects.items,
            Err(error) if is_missing(&error) => return Ok(()),
            // The rights were looked at before, and said.
            Err(error) if is_forbidden(&error) => {
                self.is_partial = true;
                return Ok(());
            }
            // A definition that was just installed is not served at once.
            Err(error @ kube::Error::Api(_)) => {
                let what = format!("the resources of the kind {} cannot be read", kind.name);
                let message = sentence(&error, &what);
                findings.unknown(kind.name, "resource", message, "try again");
                self.is_partial = true;
                return Ok(());
            }
            Err(error) => {
                return Err(Exit::Failed(sentence(
                    &error,
                    "the resources cannot be read",
                )));
            }
        };
        for object in objects {
            match kind.read(object) {
                Ok(resource) => self.resources.push(resource),
                Err(holding) => {
                    self.held.extend(holding.connector);
                    findings.wrong(
                        &Key::of(kind, &holding.metadata).to_string(),
                        "resource",
                        "it does not fit the definition of this version",
                        "unstructured-operator crd | kubectl apply --server-side -f -",
                    );
                }
            }
        }
        Ok(())
    }
}
