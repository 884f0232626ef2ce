//! What is written into the status of a connector's resource.

use super::super::context::Context;
use super::super::record::{Earnest, Unknown, put};
use super::hand::Hand;
use crate::crd::ConnectorStatus;
use crate::engine::outcome::Failure;
use crate::engine::refusal::read;
use crate::kinds::Resource;

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
