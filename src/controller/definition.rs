//! What the custom resource definition is doing while a resource goes. When it goes itself, and every resource with it, nobody has
//! asked for the connectors to go.

use std::sync::atomic::Ordering;

use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Api;
use kube::core::PartialObjectMeta;

use super::context::Context;
use crate::crd::GROUP;
use crate::engine::departure::DefinitionFate;
use crate::engine::outcome::Failure;
use crate::engine::refusal::kubernetes;
use crate::kinds::Kind;
use crate::kube_error::{is_forbidden, is_missing};

/// Looks at the definition, or, where the operator never had the right to, at what every account may see.
pub async fn fate(context: &Context, plural: &str) -> Result<DefinitionFate, Failure> {
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> =
        Api::all(context.client.clone());
    match definitions
        .get_metadata_opt(&format!("{plural}.{GROUP}"))
        .await
    {
        Ok(definition) => {
            context.rights.was_readable.store(true, Ordering::Relaxed);
            let stays = definition.is_some_and(|d| d.metadata.deletion_timestamp.is_none());
            Ok(fate_of(stays))
        }
        Err(error) if is_forbidden(&error) => {
            if context.rights.was_readable.load(Ordering::Relaxed) {
                Ok(DefinitionFate::Unknown)
            } else {
                discovered(context, plural).await
            }
        }
        Err(error) => Err(kubernetes(&error)),
    }
}

/// Discovery, which every account may read, takes `create` and `patch` off a kind whose definition is being deleted, before any of
/// its objects is.
async fn discovered(context: &Context, plural: &str) -> Result<DefinitionFate, Failure> {
    let path = format!("/apis/{}", Kind::api_version());
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(|_| Failure::Kubernetes("the group of the resource makes no path".to_owned()))?;
    match context.client.request::<APIResourceList>(request).await {
        Ok(list) => {
            let served = list.resources.iter().find(|r| r.name == plural);
            Ok(fate_of(served.is_some_and(|served| {
                served.verbs.iter().any(|verb| verb == "patch")
            })))
        }
        Err(error) if is_missing(&error) => Ok(DefinitionFate::Going),
        Err(error) if is_forbidden(&error) => Ok(DefinitionFate::Unknown),
        Err(error) => Err(kubernetes(&error)),
    }
}

fn fate_of(stays: bool) -> DefinitionFate {
    if stays {
        DefinitionFate::Stays
    } else {
        DefinitionFate::Going
    }
}
