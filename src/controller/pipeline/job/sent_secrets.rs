//! The secrets that were sent for a run: what the service says of it may quote any of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::super::outcome::Failure;
use super::super::super::secrets::{Reading, read_secret};
use super::super::object::Object;
use super::super::references;
use super::observe::Hand;
use crate::kinds::{Credential, Form};
use crate::unstructured::Config;

/// The values that the Secrets of the workflow's nodes and of both connectors held during the run, to be taken out of foreign texts.
/// `None`: nobody can say any more, as one of them is gone, or something was sent to the service since the run began.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails: what cannot be scrubbed is not shown.
pub async fn sent_secrets(context: &Context, hand: &Hand) -> Result<Option<Config>, Failure> {
    let Some(workflow) = &hand.workflow else {
        return Ok(None);
    };
    let began = hand.status().started_at;
    let is_since = |sent: Option<&Time>| sent.is_some_and(|sent| Some(sent) > began.as_ref());
    let namespace = workflow.namespace().unwrap_or_default();
    let nodes = workflow.spec.nodes.iter();
    let parameters = nodes.flat_map(|node| node.secret_settings.values());
    let mut wanted: Vec<(String, String)> = parameters
        .map(|parameter| (parameter.name.clone(), parameter.key.clone()))
        .collect();
    let sent = workflow.status().and_then(|s| s.last_sync_time.as_ref());
    if !wanted.is_empty() && is_since(sent) {
        return Ok(None);
    }
    for key in references::of(workflow) {
        let Some(resource) = context.index.get(&key) else {
            return Ok(None);
        };
        let status = resource.status();
        let is_known = status.is_some_and(|status| {
            references::is_synced(status) && !is_since(status.last_sync_time.as_ref())
        });
        if !is_known {
            return Ok(None);
        }
        let credentials = resource.spec.credentials();
        wanted.extend(
            credentials
                .iter()
                .map(|c| (c.secret.to_owned(), c.key.to_owned())),
        );
    }
    let mut secrets = Config::builder();
    for (n, (secret, key)) in wanted.iter().enumerate() {
        let Reading::Found(data) = read_secret(context, &namespace, secret).await? else {
            return Ok(None);
        };
        let credential = Credential {
            parameter: "",
            secret,
            key,
            form: Form::Text,
            impostor: None,
        };
        let Ok(value) = data.credential(&credential) else {
            return Ok(None);
        };
        secrets = secrets.secret(&n.to_string(), value.secret);
    }
    Ok(Some(secrets.build()))
}
