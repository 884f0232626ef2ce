//! The secrets that were sent for a run: what the service says of it may quote any of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::super::secrets::read_credentials;
use super::super::memory::Memory;
use super::super::object::Object;
use super::super::quoting::with_nodes;
use super::super::references;
use super::super::workflow::asked::secrets_of;
use super::observe::Hand;
use crate::crd::UnstructuredWorkflow;
use crate::engine::outcome::Failure;
use crate::unstructured::Config;

/// The values that the Secrets of the workflow's nodes and of both connectors held during the run, to be taken out of foreign texts.
/// `None`: nobody can say any more, as one of them is gone, or something was sent to the service since the run began.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails: what cannot be scrubbed is not shown.
pub async fn sent_secrets(
    context: &Context,
    memory: &Memory,
    hand: &Hand,
) -> Result<Option<Config>, Failure> {
    let Some(workflow) = &hand.workflow else {
        return Ok(None);
    };
    let began = hand.status().started_at;
    let is_since = |sent: Option<&Time>| sent.is_some_and(|sent| Some(sent) > began.as_ref());
    // Times on record are whole seconds: what was sent in the second in which the run began is told by what was sent before.
    let is_other = memory.sent.is_some() && memory.sent != sent(context, workflow);
    if is_other {
        return Ok(None);
    }
    let last_sent = workflow.status().and_then(|s| s.last_sync_time.as_ref());
    if !secrets_of(&workflow.spec.nodes).is_empty() && is_since(last_sent) {
        return Ok(None);
    }
    let mut values = Vec::new();
    for key in references::of(workflow) {
        let Some(resource) = context.index.get(&key) else {
            return Ok(None);
        };
        let Ok((credentials, _)) = read_credentials(context, &resource).await? else {
            return Ok(None);
        };
        let config = resource.spec.config(&credentials);
        let digest = config.digest(resource.uid().unwrap_or_default().as_bytes());
        let was_sent = resource.status().is_some_and(|status| {
            status.applied_digest.as_deref() == Some(&*digest.to_string())
                && !is_since(status.last_sync_time.as_ref())
        });
        if !was_sent {
            return Ok(None);
        }
        values.extend(credentials.values());
    }
    with_nodes(context, workflow, values).await
}

/// What the connectors of a workflow were sent last, by their digests.
pub fn sent(context: &Context, workflow: &UnstructuredWorkflow) -> Option<Vec<String>> {
    let connectors = references::of(workflow).into_iter();
    let digests = connectors.map(|key| context.index.get(&key)?.status()?.applied_digest.clone());
    digests.collect()
}
