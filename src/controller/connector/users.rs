//! Who still uses a connector that is to be deleted.

use std::sync::Arc;

use kube::ResourceExt;

use super::super::context::Context;
use super::super::deletion::is_terminating;
use super::super::open;
use super::super::pipeline::board::Board;
use super::super::pipeline::object::Object;
use super::hand::Hand;
use crate::crd::{FORCE_DELETE, UnstructuredWorkflow};
use crate::engine::departure::Users;
use crate::engine::key::Key;
use crate::engine::outcome::Failure;
use crate::unstructured::{Collection, ConnectorId, ErrorKind, Workflow};

/// As many are named.
const NAMED: usize = 5;

/// The workflows that run through the connector of a resource: those of its namespace that refer to it, and any of the workspace that
/// has its id. `None`: it may go.
///
/// # Errors
///
/// [`Failure`] when that cannot be known.
pub async fn of(context: &Context, key: &Key, hand: &Hand) -> Result<Option<Users>, Failure> {
    let resource = &hand.resource;
    if resource.annotations().get(FORCE_DELETE).map(String::as_str) == Some("true") {
        return Ok(None);
    }
    let id = resource
        .status()
        .and_then(|status| status.id.as_deref()?.parse::<ConnectorId>().ok());
    let mut ours = managed(context, key, id.as_ref());
    let mut theirs = Vec::new();
    if let Some(id) = id {
        for workflow in remote(context, key, hand, id).await? {
            match on_record(context, key, &workflow) {
                // One that was pointed elsewhere still runs through it, until the service has taken that.
                Some(own) if ours.iter().all(|known| known.uid() != own.uid()) => ours.push(own),
                Some(_) => {}
                None => theirs.push(format!(
                    "workflow {:?} ({}) in Unstructured",
                    workflow.name, workflow.id
                )),
            }
        }
    }
    let going = ours.iter().all(|workflow| workflow.is_going());
    let mut named: Vec<String> = ours
        .iter()
        .map(|workflow| format!("{} {:?}", UnstructuredWorkflow::KIND, workflow.name_any()))
        .collect();
    // A namespace that goes waits for its own only.
    let counts = !theirs.is_empty() && !is_terminating(context, &key.namespace).await?;
    if counts {
        named.extend(theirs);
    }
    let count = named.len();
    named.truncate(NAMED);
    Ok((count > 0).then_some(Users {
        named,
        count,
        going: going && !counts,
    }))
}

fn managed(
    context: &Context,
    key: &Key,
    id: Option<&ConnectorId>,
) -> Vec<Arc<UnstructuredWorkflow>> {
    let mut users = context.catalogue.users(key);
    if let Some(id) = id {
        let id = id.to_string();
        let by_id = context.catalogue.workflows.filtered(|other, workflow| {
            let spec = &workflow.spec;
            other.namespace == key.namespace
                && [&spec.source_id, &spec.destination_id].contains(&&Some(id.clone()))
        });
        users.extend(by_id);
    }
    users
}

/// The resource of this namespace that has a workflow on record, or is making one of its name.
fn on_record(
    context: &Context,
    key: &Key,
    workflow: &Workflow,
) -> Option<Arc<UnstructuredWorkflow>> {
    let id = workflow.id.to_string();
    let mut found = context.catalogue.workflows.filtered(|other, resource| {
        other.namespace == key.namespace
            && resource.status().is_some_and(|status| {
                let making = status.create.as_ref().map(|create| &*create.name);
                status.workflow_id.as_deref() == Some(&*id) || making == Some(&*workflow.name)
            })
    });
    found.pop()
}

/// The workflows of the workspace that have its id.
async fn remote(
    context: &Context,
    key: &Key,
    hand: &Hand,
    id: ConnectorId,
) -> Result<Vec<Workflow>, Failure> {
    let Some(workspace) = &hand.workspace else {
        return Ok(Vec::new());
    };
    let reference = hand.resource.spec.options().workspace;
    let shared = open::board(context, &key.namespace, reference).await?;
    // The key's Secret may have gone before the resource.
    let board = shared.unwrap_or_else(|_| Arc::new(Board::new(workspace.session.clone())));
    let listed = match board.all_workflows(hand.since).await {
        Ok(listed) => listed,
        // A service without workflows has none that run through it.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::WrongUrl) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let uses = |workflow: &&Workflow| match hand.resource.kind.collection {
        Collection::Sources => workflow.sources.contains(&id),
        Collection::Destinations => workflow.destinations.contains(&id),
    };
    Ok(listed.items.iter().filter(uses).cloned().collect())
}
