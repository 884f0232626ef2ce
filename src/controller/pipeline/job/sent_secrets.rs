//! The secrets that were sent for a run: what the service says of it may quote any of them.

use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::super::outcome::Failure;
use super::super::super::secrets::{Reading, read_secret};
use super::super::references;
use super::observe::Hand;
use crate::kinds::{Credential, Form};
use crate::unstructured::Config;

/// The values that the Secrets of the workflow's nodes and of both connectors hold now, to be taken out of foreign texts.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails: what cannot be scrubbed is not shown.
pub async fn sent_secrets(context: &Context, hand: &Hand) -> Result<Config, Failure> {
    let Some(workflow) = &hand.workflow else {
        return Ok(Config::default());
    };
    let namespace = workflow.namespace().unwrap_or_default();
    let nodes = workflow.spec.nodes.iter();
    let parameters = nodes.flat_map(|node| node.secret_settings.values());
    let mut wanted: Vec<(String, String)> = parameters
        .map(|parameter| (parameter.name.clone(), parameter.key.clone()))
        .collect();
    for key in references::of(workflow) {
        if let Some(resource) = context.index.get(&key) {
            let credentials = resource.spec.credentials();
            wanted.extend(
                credentials
                    .iter()
                    .map(|c| (c.secret.to_owned(), c.key.to_owned())),
            );
        }
    }
    let mut secrets = Config::builder();
    for (n, (secret, key)) in wanted.iter().enumerate() {
        let Reading::Found(data) = read_secret(context, &namespace, secret).await? else {
            continue;
        };
        let credential = Credential {
            parameter: "",
            secret,
            key,
            form: Form::Text,
            impostor: None,
        };
        if let Ok(value) = data.credential(&credential) {
            secrets = secrets.secret(&n.to_string(), value.secret);
        }
    }
    Ok(secrets.build())
}
