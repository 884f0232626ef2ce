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
use super::hand::Hand;
use super::outcome::Failure;
use super::refusal::{kubernetes, read};
use crate::crd::ConnectorStatus;
use crate::kinds::Resource;

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

/// Writes the status if it differs from what is on record.
///
/// # Errors
///
/// [`Failure::Conflict`] when somebody changed the resource meanwhile, [`Failure::Definition`] when the installed definition
/// cannot hold the status; then nothing was written.
pub async fn write_status(
    context: &Context,
    hand: &mut Hand,
    status: &ConnectorStatus,
) -> Result<(), Failure> {
    if hand.resource.status() == Some(status) {
        hand.recorded();
        return Ok(());
    }
    rehearse(context, hand).await?;
    let written = replace(context, hand, status, Unknown::Refused, Earnest::Meant).await;
    match &written {
        Err(Failure::Definition(_)) => {
            context
                .definitions
                .fitting()
                .remove(hand.resource.kind.name);
        }
        // It may have been written, and is then nobody else's.
        Err(Failure::Kubernetes(_)) => hand.unsure = true,
        _ => {}
    }
    hand.wrote(written?);
    hand.recorded();
    Ok(())
}

/// Says in the conditions what stands in the way of recording anything, and leaves every recorded fact as it is.
pub async fn write_complaint(
    context: &Context,
    hand: &mut Hand,
    complaint: &ConnectorStatus,
) -> Result<(), Failure> {
    let recorded = hand.status();
    let status = ConnectorStatus {
        observed_generation: complaint.observed_generation,
        conditions: complaint.conditions.clone(),
        ..recorded.clone()
    };
    if status == recorded {
        return Ok(());
    }
    let written = replace(context, hand, &status, Unknown::Dropped, Earnest::Meant).await?;
    hand.wrote(written);
    hand.recorded();
    Ok(())
}

/// Asks the API server once whether it could write a status with every field there is: before anything is made that could then not
/// be recorded.
pub async fn rehearse(context: &Context, hand: &Hand) -> Result<(), Failure> {
    let kind = hand.resource.kind.name;
    if context.definitions.fitting().contains(kind) {
        return Ok(());
    }
    let specimen = ConnectorStatus::specimen();
    replace(
        context,
        hand,
        &specimen,
        Unknown::Refused,
        Earnest::Rehearsed,
    )
    .await?;
    context.definitions.fitting().insert(kind);
    Ok(())
}

async fn replace(
    context: &Context,
    hand: &Hand,
    status: &ConnectorStatus,
    unknown: Unknown,
    earnest: Earnest,
) -> Result<Resource, Failure> {
    let kind = hand.resource.kind;
    let status = kind.show_status(status);
    let answer = put(context, &*hand.resource, &kind, &status, unknown, earnest).await?;
    read(kind, answer)
}

/// Puts the status of an object of whatever kind, and returns the object as it was answered.
///
/// # Errors
///
/// The same as [`write_status`].
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
