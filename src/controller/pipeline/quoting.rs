//! What the service says, made fit to be shown: it may quote any value of a Secret that it was sent.

use kube::ResourceExt;
use secrecy::SecretString;

use super::super::context::Context;
use super::super::secrets::{read_credentials, read_values};
use super::board::Board;
use super::job::situation::Counts;
use super::references;
use super::workflow::asked::secrets_of;
use crate::crd::UnstructuredWorkflow;
use crate::engine::outcome::Failure;
use crate::unstructured::{Client, Config, own_words};

/// In place of what the service says, where nobody can tell which credentials it may quote.
const WITHHELD: &str =
    "not shown: credentials have changed since the run began, and this may quote old ones";

/// In place of a node's name that the workflow does not have, there.
const WITHHELD_NAME: &str = "(not shown)";

/// Takes out of foreign texts what the service was sent.
pub struct Quoting<'a> {
    client: &'a Client,
    secrets: Option<Config>,
}

impl<'a> Quoting<'a> {
    /// Knows these secrets, and the API key of the workspace. `None`: nobody can say which the service may quote.
    pub fn of(board: &'a Board, secrets: Option<Config>) -> Self {
        let client = &board.session.client;
        Self { client, secrets }
    }

    /// A text.
    pub fn text(&self, text: &str) -> String {
        match &self.secrets {
            Some(secrets) => self.client.scrub(secrets, text),
            None => WITHHELD.to_owned(),
        }
    }

    /// The names of nodes. Those in the spec can be read there by whoever can read a status.
    pub fn nodes(&self, nodes: &mut [Counts], workflow: Option<&UnstructuredWorkflow>) {
        let known = |name: &str| {
            let mut nodes = workflow.iter().flat_map(|workflow| &workflow.spec.nodes);
            nodes.any(|node| node.name == name)
        };
        for node in nodes {
            match &self.secrets {
                Some(secrets) => node.name = self.client.scrub(secrets, &node.name),
                None if known(&node.name) || node.name.is_empty() => {}
                None => WITHHELD_NAME.clone_into(&mut node.name),
            }
        }
    }

    /// A failure, with the service's words in it.
    pub fn failure(&self, mut failure: Failure) -> Failure {
        if let Some(message) = failure.message_mut() {
            *message = match &self.secrets {
                Some(secrets) => self.client.scrub(secrets, message),
                None => own_words(message).to_owned(),
            };
        }
        failure
    }
}

/// What the Secrets of a workflow's nodes and of both connectors hold now. `None`: one of them cannot be read.
pub async fn secrets_in_use(context: &Context, workflow: &UnstructuredWorkflow) -> Option<Config> {
    let mut values = Vec::new();
    for key in references::of(workflow) {
        if let Some(resource) = context.index.get(&key) {
            let (credentials, _) = read_credentials(context, &resource).await.ok()?.ok()?;
            values.extend(credentials.values());
        }
    }
    with_nodes(context, workflow, values).await.ok().flatten()
}

/// A configuration of nothing but these secrets and those that a workflow's nodes have now. `None`: one of these cannot be read.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails.
pub async fn with_nodes(
    context: &Context,
    workflow: &UnstructuredWorkflow,
    mut secrets: Vec<SecretString>,
) -> Result<Option<Config>, Failure> {
    let namespace = workflow.namespace().unwrap_or_default();
    let wanted = secrets_of(&workflow.spec.nodes);
    let Ok(of_nodes) = read_values(context, &namespace, &wanted).await? else {
        return Ok(None);
    };
    secrets.extend(of_nodes.into_iter().map(|value| value.secret));
    let all = secrets.into_iter().enumerate();
    let config = all.fold(Config::builder(), |config, (n, secret)| {
        config.secret(&n.to_string(), secret)
    });
    Ok(Some(config.build()))
}
