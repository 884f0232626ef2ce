//! How objects of these kinds are written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::super::context::{Context, MANAGER};
use super::super::record::{Earnest, Unknown, put};
use super::catalogue::Cached;
use super::object::Object;
use crate::engine::finalizer::finalizers;
use crate::engine::outcome::Failure;
use crate::engine::refusal::kubernetes;
use crate::kube_error::is_missing;

/// How often writing down what the service did is tried before a restart has to find it again.
const RECORD_ATTEMPTS: u32 = 10;

/// The objects of a kind in a namespace.
pub fn api<K: Object>(context: &Context, namespace: &str) -> Api<K> {
    Api::namespaced(context.client.clone(), namespace)
}

/// Puts the finalizer on, or takes it off, and sets annotations with it.
pub async fn set_finalizer<K: Cached>(
    context: &Context,
    object: &K,
    present: bool,
    annotations: &BTreeMap<&str, String>,
) -> Result<Arc<K>, kube::Error> {
    let finalizers = finalizers(object.meta(), present);
    let metadata = json!({ "finalizers": finalizers, "annotations": annotations });
    patch_metadata(context, object, metadata).await
}

/// Sets an annotation.
pub async fn annotate<K: Cached>(
    context: &Context,
    object: &K,
    annotation: &str,
    value: &str,
) -> Result<Arc<K>, kube::Error> {
    let metadata = json!({ "annotations": { annotation: value } });
    patch_metadata(context, object, metadata).await
}

/// The resourceVersion makes a decision on a stale cache die with a conflict instead of taking effect.
async fn patch_metadata<K: Cached>(
    context: &Context,
    object: &K,
    mut metadata: Value,
) -> Result<Arc<K>, kube::Error> {
    metadata["resourceVersion"] = json!(object.resource_version());
    let patch = json!({ "metadata": metadata });
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let objects = api::<K>(context, &object.namespace().unwrap_or_default());
    let (name, patch) = (object.name_any(), Patch::Merge(patch));
    let patched = objects.patch(&name, &params, &patch).await?;
    Ok(known(context, patched))
}

/// Others see at once what was written, though the watch may lag behind.
fn known<K: Cached>(context: &Context, written: K) -> Arc<K> {
    let written = Arc::new(written);
    K::cache(&context.catalogue).wrote(&written);
    written
}

/// Writes the status as a whole, over the version of the object that it was decided on. A field that the installed definition does
/// not know is refused instead of dropped: a run whose record is dropped would be started again.
///
/// # Errors
///
/// [`Failure::Conflict`] when somebody changed the object meanwhile, [`Failure::Definition`] when the installed definition cannot hold
/// the status.
pub async fn write_status<K: Cached>(
    context: &Context,
    object: &Arc<K>,
    status: &K::Status,
) -> Result<Arc<K>, Failure> {
    if object.status() == Some(status) {
        return Ok(object.clone());
    }
    let (unknown, earnest) = (Unknown::Refused, Earnest::Meant);
    let written = put(context, &**object, &(), status, unknown, earnest).await?;
    Ok(known(context, written))
}

/// What a pass holds in hand beside its situation, the object among it.
pub trait Hand<K> {
    /// The object, as the last write of the pass left it.
    fn object(&mut self) -> &mut Arc<K>;
}

/// Takes in the object as a write of ours left it.
pub fn took<K>(hand: &mut impl Hand<K>, written: Result<Arc<K>, Failure>) -> Result<(), Failure> {
    *hand.object() = written?;
    Ok(())
}

/// Lets the object go. Whoever took the last finalizer off, it is gone as intended.
pub async fn let_go<K: Cached>(context: &Context, hand: &mut impl Hand<K>) -> Result<(), Failure> {
    match set_finalizer(context, &**hand.object(), false, &BTreeMap::new()).await {
        Ok(written) => *hand.object() = written,
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(kubernetes(&error)),
    }
    Ok(())
}

/// Writes down what must not be lost. What is recorded here is lost at the price of a search, so it is tried for longer than anything
/// else, and an object that was changed meanwhile is read again rather than given up.
pub async fn record<K: Cached, H: Hand<K>>(
    context: &Context,
    hand: &mut H,
    status: impl Fn(&H) -> K::Status,
) -> Result<(), Failure> {
    for attempt in 0..RECORD_ATTEMPTS {
        if !context.leadership.is_valid() {
            return Err(Failure::NotLeading);
        }
        let status = status(hand);
        let written = write_status(context, hand.object(), &status).await;
        match took(hand, written) {
            Ok(()) => return Ok(()),
            Err(failure @ Failure::Definition(_)) => return Err(failure),
            Err(Failure::Conflict) => {
                let object = hand.object().clone();
                let objects = api::<K>(context, &object.namespace().unwrap_or_default());
                match objects.get_opt(&object.name_any()).await {
                    Ok(Some(fresh)) if fresh.uid() == object.uid() => {
                        *hand.object() = Arc::new(fresh);
                        continue;
                    }
                    Ok(_) => return Err(Failure::Conflict),
                    Err(_) => {}
                }
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(100 << attempt.min(5))).await;
    }
    Err(Failure::Kubernetes(
        "the status could not be written".to_owned(),
    ))
}
