//! The resources that are there.

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};

use super::findings::Findings;
use crate::cluster::{is_missing, sentence};
use crate::controller::key::Key;
use crate::kinds::{Kind, Resource};
use crate::options::Exit;

/// The resources of one kind. One that cannot be read is told; of a kind that is not installed there are none.
pub(super) async fn list(
    client: &Client,
    kind: &'static Kind,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> Result<Vec<Resource>, Exit> {
    let definition = kind.api_resource();
    let objects: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &definition),
        None => Api::all_with(client.clone(), &definition),
    };
    let objects = match objects.list(&ListParams::default()).await {
        Ok(objects) => objects.items,
        Err(error) if is_missing(&error) => Vec::new(),
        // The rights were looked at before, and said.
        Err(kube::Error::Api(status)) if status.is_forbidden() => Vec::new(),
        // A definition that was just installed is not served at once.
        Err(error @ kube::Error::Api(_)) => {
            let what = format!("the resources of the kind {} cannot be read", kind.name);
            let message = sentence(&error, &what);
            findings.unknown(kind.name, "resource", message, "try again");
            Vec::new()
        }
        Err(error) => {
            return Err(Exit::Failed(sentence(
                &error,
                "the resources cannot be read",
            )));
        }
    };
    let mut resources = Vec::new();
    for object in objects {
        match kind.read(object) {
            Ok(resource) => resources.push(resource),
            Err(holding) => findings.wrong(
                &Key::of(kind, &holding.metadata).to_string(),
                "resource",
                "it does not fit the definition of this version",
                "unstructured-operator crd | kubectl apply --server-side -f -",
            ),
        }
    }
    Ok(resources)
}
