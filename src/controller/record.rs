//! How the status is written: as a whole, over the version of the resource that it was decided on, and by nobody else.
//!
//! A plain replacement, not server-side apply: apply cannot take away what another field manager owns, and a restored backup, a
//! `kubectl edit --subresource=status` or an operator of another name each leave such a manager behind.
//!
//! The API server is asked to refuse fields that the installed definition does not know instead of dropping them in silence: a
//! connector whose id is dropped on the way into the status is a connector that is made again.

use http::{Method, Request, header::CONTENT_TYPE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::context::{Context, MANAGER};
use crate::engine::outcome::Failure;
use crate::engine::refusal::kubernetes;

/// What becomes of fields that the installed definition does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// The write is refused.
    Refused,
    /// They are dropped.
    Dropped,
}

/// Whether the write is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Earnest {
    /// It is.
    Meant,
    /// It is only seen whether it would be.
    Rehearsed,
}

/// Puts the status of an object of whatever kind, and returns the object as it was answered.
///
/// # Errors
///
/// [`Failure::Conflict`] when somebody changed the object meanwhile, [`Failure::Definition`] when the installed definition cannot
/// hold the status; then nothing was written.
pub async fn put<K: kube::Resource, T: DeserializeOwned>(
    context: &Context,
    object: &K,
    kind: &K::DynamicType,
    status: &impl Serialize,
    unknown: Unknown,
    earnest: Earnest,
) -> Result<T, Failure> {
    let meta = object.meta();
    let body = json!({
        "apiVersion": K::api_version(kind),
        "kind": K::kind(kind),
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        },
        "status": status,
    });
    let collection = K::url_path(kind, meta.namespace.as_deref());
    let name = meta.name.as_deref().unwrap_or_default();
    let validation = match unknown {
        Unknown::Refused => "Strict",
        Unknown::Dropped => "Ignore",
    };
    let dry_run = match earnest {
        Earnest::Meant => "",
        Earnest::Rehearsed => "&dryRun=All",
    };
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!(
            "{collection}/{name}/status?fieldManager={MANAGER}&fieldValidation={validation}{dry_run}"
        ))
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|_| Failure::Kubernetes("the name of the resource makes no path".to_owned()))?;
    let answer = context.client.request(request).await;
    answer.map_err(|error| kubernetes(&error))
}
