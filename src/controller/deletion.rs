//! Why a resource is being deleted, as far as the API server tells.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::context::Context;
use super::definition;
use crate::engine::departure::Deletion;
use crate::engine::outcome::Failure;
use crate::engine::refusal::kubernetes;
use crate::kube_error::is_forbidden;

/// Why a resource of a kind is being deleted. The namespace matters, and is asked for, only where there is no key.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails.
pub async fn deletion(
    context: &Context,
    plural: &str,
    namespace: &str,
    without_key: bool,
) -> Result<Deletion, Failure> {
    Ok(Deletion {
        namespace_terminating: without_key && is_terminating(context, namespace).await?,
        definition: definition::fate(context, plural).await?,
        rehearsed: false,
    })
}

/// Whether a namespace is going. Where the operator may not look, it is taken to stay: then nobody is left behind for its sake.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails.
pub async fn is_terminating(context: &Context, namespace: &str) -> Result<bool, Failure> {
    let namespaces: Api<Namespace> = Api::all(context.client.clone());
    match namespaces.get_metadata_opt(namespace).await {
        Ok(found) => Ok(found.is_some_and(|found| found.metadata.deletion_timestamp.is_some())),
        Err(error) if is_forbidden(&error) => Ok(false),
        Err(error) => Err(kubernetes(&error)),
    }
}
