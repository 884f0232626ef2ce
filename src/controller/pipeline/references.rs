//! The connectors that a workflow refers to.

use kube::ResourceExt;

use super::super::context::Context;
use crate::crd::{
    ConditionType, ConnectorStatus, Reason, UnstructuredWorkflow, WorkspaceReference,
};
use crate::engine::key::Key;
use crate::engine::outcome::{Class, Requeue, Row, row};
use crate::unstructured::{Collection, ConnectorId};

/// The resources that a workflow refers to, source first.
pub fn of(workflow: &UnstructuredWorkflow) -> Vec<Key> {
    let both = [Collection::Sources, Collection::Destinations];
    both.into_iter()
        .filter_map(|collection| to(workflow, collection))
        .collect()
}

/// The resource that a workflow refers to for one of its two connectors, unless that goes by its id.
pub fn to(workflow: &UnstructuredWorkflow, collection: Collection) -> Option<Key> {
    let namespace = workflow.namespace().unwrap_or_default();
    let spec = &workflow.spec;
    let (kind, name) = match collection {
        Collection::Sources => {
            let to = spec.source_ref.as_ref()?;
            (to.kind.as_str(), &to.name)
        }
        Collection::Destinations => {
            let to = spec.destination_ref.as_ref()?;
            (to.kind.as_str(), &to.name)
        }
    };
    Some(Key::new(kind, &namespace, name))
}

/// Both connectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connectors {
    /// Where documents come from.
    pub source: ConnectorId,
    /// Where results go.
    pub destination: ConnectorId,
}

/// Why there are not both connectors yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// There is no such resource.
    Missing(Collection, &'static str, String),
    /// It has no connector yet, or not the desired configuration.
    Unready(Collection, &'static str, String),
    /// It goes.
    Going(Collection, &'static str, String),
    /// It is in another workspace.
    Elsewhere(&'static str, String),
    /// An id in the spec cannot be one.
    NoId(&'static str),
}

/// The ids of both connectors, or what is waited for.
pub fn resolve(context: &Context, workflow: &UnstructuredWorkflow) -> Result<Connectors, Awaited> {
    let spec = &workflow.spec;
    let resolved = |collection, field, id: Option<&str>| match (to(workflow, collection), id) {
        (Some(key), _) => referred(context, collection, &key, spec.workspace.as_ref()),
        (None, Some(id)) => id.parse().map_err(|_| Awaited::NoId(field)),
        (None, None) => Err(Awaited::NoId(field)),
    };
    Ok(Connectors {
        source: resolved(Collection::Sources, "sourceId", spec.source_id.as_deref())?,
        destination: resolved(
            Collection::Destinations,
            "destinationId",
            spec.destination_id.as_deref(),
        )?,
    })
}

fn referred(
    context: &Context,
    collection: Collection,
    key: &Key,
    workspace: Option<&WorkspaceReference>,
) -> Result<ConnectorId, Awaited> {
    let name = key.name.to_string();
    let Some(resource) = context.index.get(key) else {
        return Err(Awaited::Missing(collection, key.kind, name));
    };
    if !is_same(context, resource.spec.options().workspace, workspace) {
        return Err(Awaited::Elsewhere(key.kind, name));
    }
    if resource.metadata.deletion_timestamp.is_some() {
        return Err(Awaited::Going(collection, key.kind, name));
    }
    let status = resource.status();
    let synced = status.is_some_and(|status| {
        is_synced(status) && Some(status.observed_generation) == resource.metadata.generation
    });
    let id = status.and_then(|status| status.id.as_deref()?.parse().ok());
    match id {
        Some(id) if synced => Ok(id),
        _ => Err(Awaited::Unready(collection, key.kind, name)),
    }
}

/// Whether the service has the desired configuration of a connector.
fn is_synced(status: &ConnectorStatus) -> bool {
    let synced = ConditionType::Synced.as_str();
    let mut conditions = status.conditions.iter();
    conditions.any(|c| c.type_ == synced && c.status == "True")
}

/// Whether both name one workspace: the same key of the same Secret at the same URL. Two Secrets may hold one key, but nobody can tell
/// while they change one after the other.
fn is_same(
    context: &Context,
    one: Option<&WorkspaceReference>,
    other: Option<&WorkspaceReference>,
) -> bool {
    let url = |reference: &WorkspaceReference| {
        let own = || context.policy.api_url.to_string();
        reference.api_url.clone().unwrap_or_else(own)
    };
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.api_key_secret_ref == other.api_key_secret_ref && url(one) == url(other)
        }
        _ => false,
    }
}

impl Awaited {
    /// The row for it.
    pub fn row(&self) -> Row {
        let family = |collection: &Collection| match collection {
            Collection::Sources => "source",
            Collection::Destinations => "destination",
        };
        match self {
            Self::Missing(collection, kind, name) => row(
                Class::InProgress,
                match collection {
                    Collection::Sources => Reason::SourceNotFound,
                    Collection::Destinations => Reason::DestinationNotFound,
                },
                Requeue::OnChange,
                format!(
                    "The {} {kind} {name:?} does not exist in this namespace. Create it, or correct spec.{}Ref.",
                    family(collection),
                    family(collection)
                ),
            ),
            Self::Unready(collection, kind, name) => row(
                Class::InProgress,
                not_ready(*collection),
                Requeue::OnChange,
                format!(
                    "{kind} {name:?} is not synced yet; its conditions say why. The workflow continues by itself."
                ),
            ),
            Self::Going(collection, kind, name) => row(
                Class::InProgress,
                not_ready(*collection),
                Requeue::OnChange,
                format!(
                    "{kind} {name:?} is being deleted. Delete this workflow too, or refer to another."
                ),
            ),
            Self::Elsewhere(kind, name) => row(
                Class::Stalled,
                Reason::WorkspaceMismatch,
                Requeue::OnChange,
                format!(
                    "{kind} {name:?} is in another workspace than this workflow. Give both the same spec.workspace."
                ),
            ),
            Self::NoId(field) => row(
                Class::Stalled,
                Reason::InvalidConfiguration,
                Requeue::OnChange,
                format!(
                    "spec.{field} is no id of a connector. Copy it from the connector's page or from the API."
                ),
            ),
        }
    }
}

fn not_ready(collection: Collection) -> Reason {
    match collection {
        Collection::Sources => Reason::SourceNotReady,
        Collection::Destinations => Reason::DestinationNotReady,
    }
}
