//! How objects of these kinds are written.

use std::collections::BTreeMap;

use http::{Method, Request, header::CONTENT_TYPE};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::super::context::{Context, MANAGER};
use super::super::outcome::Failure;
use super::super::refusal::kubernetes;
use super::object::Object;
use crate::crd::FINALIZER;

/// The objects of a kind in a namespace.
pub fn api<K: Object>(context: &Context, namespace: &str) -> Api<K> {
    Api::namespaced(context.client.clone(), namespace)
}

/// Puts the finalizer on, or takes it off, and sets annotations with it. The resourceVersion makes a decision on a stale cache die with
/// a conflict instead of taking effect.
pub async fn set_finalizer<K: Object>(
    context: &Context,
    object: &K,
    present: bool,
    annotations: &BTreeMap<&str, String>,
) -> Result<K, kube::Error> {
    let mut finalizers: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|f| *f != FINALIZER)
        .cloned()
        .collect();
    if present {
        finalizers.push(FINALIZER.to_owned());
    }
    let patch = json!({ "metadata": {
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
        "annotations": annotations,
    } });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let namespace = object.namespace().unwrap_or_default();
    api(context, &namespace)
        .patch(&object.name_any(), &params, &Patch::Merge(patch))
        .await
}

/// Writes the status as a whole, over the version of the object that it was decided on. A field that the installed definition does
/// not know is refused instead of dropped: a run whose record is dropped would be started again.
///
/// # Errors
///
/// [`Failure::Conflict`] when somebody changed the object meanwhile, [`Failure::Definition`] when the installed definition cannot hold
/// the status.
pub async fn write_status<K: Object>(
    context: &Context,
    object: &K,
    status: &K::Status,
) -> Result<K, Failure> {
    if object.status() == Some(status) {
        return Ok(object.clone());
    }
    let meta = object.meta();
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::KIND,
        "metadata": {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        },
        "status": status,
    });
    let collection = K::url_path(&(), meta.namespace.as_deref());
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!(
            "{collection}/{}/status?fieldManager={MANAGER}&fieldValidation=Strict",
            object.name_any()
        ))
        .header(CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|_| Failure::Kubernetes("the name of the resource makes no path".to_owned()))?;
    let answer = context.client.request(request).await;
    answer.map_err(|error| kubernetes(&error))
}
