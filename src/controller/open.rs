//! Opens the workspace that a resource names, with the key that its Secret holds.

use std::sync::Arc;

use super::context::Context;
use super::pipeline::board::Board;
use super::secrets::{Defect, Reading, read_secret};
use super::workspaces::{Account, Workspace};
use crate::crd::WorkspaceReference;
use crate::engine::key::Key;
use crate::engine::outcome::{Failure, Problem};
use crate::hosts::Reach;
use crate::kinds::Resource;
use crate::unstructured::{ApiKey, Endpoint};

/// The workspace for the connector of a resource, or what stands in the way.
pub async fn workspace(
    context: &Context,
    key: &Key,
    resource: &Resource,
) -> Result<Result<Arc<Workspace>, Problem>, Failure> {
    let reference = resource.spec.options().workspace;
    let account = account(context, &key.namespace, reference).await?;
    Ok(account.and_then(|account| open(context, resource, account)))
}

/// The lists of the workspace that an object of this namespace names, or what stands in the way.
pub async fn board(
    context: &Context,
    namespace: &str,
    reference: Option<&WorkspaceReference>,
) -> Result<Result<Arc<Board>, Problem>, Failure> {
    let account = account(context, namespace, reference).await?;
    Ok(account.and_then(|account| {
        let opened = context.workspaces.board(account);
        opened.map_err(|error| Problem::NoClient(error.to_string()))
    }))
}

async fn account(
    context: &Context,
    namespace: &str,
    reference: Option<&WorkspaceReference>,
) -> Result<Result<Account, Problem>, Failure> {
    let Some(reference) = reference else {
        let own = context.own_key.get().map(|key| Account {
            endpoint: context.policy.api_url.clone(),
            key,
            reach: Reach::Anywhere,
        });
        return Ok(own.ok_or(Problem::NoOperatorKey));
    };
    let endpoint = match reference.api_url.as_deref() {
        None => context.policy.api_url.clone(),
        Some(url) => match Endpoint::parse(url, context.policy.allow_insecure_http) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                return Ok(Err(Problem::InvalidField(
                    "workspace.apiUrl",
                    error.to_string(),
                )));
            }
        },
    };
    // Before the key is read: it is never even held for a host that may not have it.
    let reach = match context.policy.hosts.reach(&endpoint.to_string()) {
        Ok(reach) => reach,
        Err(refusal) => {
            return Ok(Err(Problem::InvalidField(
                "workspace.apiUrl",
                refusal.to_string(),
            )));
        }
    };
    let wanted = &reference.api_key_secret_ref;
    let secret = match read_secret(context, namespace, &wanted.name).await? {
        Reading::Found(secret) => secret,
        Reading::Missing => return Ok(Err(Problem::KeySecretNotFound(wanted.name.clone()))),
        Reading::Forbidden => return Ok(Err(Problem::SecretForbidden(wanted.name.clone()))),
    };
    let value = secret.value(&wanted.key);
    drop(secret);
    Ok(match value {
        Err(Defect::Missing) => Err(Problem::KeyMissing(wanted.name.clone(), wanted.key.clone())),
        Err(defect) => Err(Problem::KeyInvalid(
            wanted.name.clone(),
            wanted.key.clone(),
            defect.to_string(),
        )),
        Ok(value) => match ApiKey::new(value.secret) {
            Ok(key) => Ok(Account {
                endpoint,
                key,
                reach,
            }),
            Err(error) => Err(Problem::KeyInvalid(
                wanted.name.clone(),
                wanted.key.clone(),
                format!("cannot be used: {error}"),
            )),
        },
    })
}

fn open(
    context: &Context,
    resource: &Resource,
    account: Account,
) -> Result<Arc<Workspace>, Problem> {
    let (collection, spec) = (resource.kind.collection, &resource.spec);
    let opened = context
        .workspaces
        .open(account, collection, spec.connector_type());
    let workspace = opened.map_err(|error| Problem::NoClient(error.to_string()))?;
    let credentials = spec.credentials();
    let secret = credentials.iter().map(|credential| credential.parameter);
    let settings = spec.settings();
    workspace
        .connectors
        .keep(settings.keys().copied().chain(secret));
    Ok(workspace)
}
