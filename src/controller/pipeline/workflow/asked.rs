//! What a resource asks for, put together from its spec, its connectors and the Secrets of its nodes.

use kube::ResourceExt;
use secrecy::SecretString;

use super::super::super::context::Context;
use super::super::super::secrets::read_values;
use super::super::references::Connectors;
use super::situation::Name;
use crate::crd::{
    UnstructuredWorkflow, UnstructuredWorkflowSpec, WorkflowActivity, WorkflowNode,
    WorkflowSchedule,
};
use crate::engine::outcome::{Failure, Problem};
use crate::kinds::{Credential, Field, Form};
use crate::unstructured::{Config, ConnectorId, Node, Schedule, WorkflowSpec, WorkflowState};

/// All that is managed, or what is missing.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails.
pub async fn asked(
    context: &Context,
    workflow: &UnstructuredWorkflow,
    name: &Name,
    connectors: &Connectors,
) -> Result<Result<WorkflowSpec, Problem>, Failure> {
    let spec = &workflow.spec;
    let namespace = workflow.namespace().unwrap_or_default();
    let twice = |node: &WorkflowNode| {
        let mut secret = node.secret_settings.keys();
        secret
            .find(|name| node.settings.contains_key(*name))
            .cloned()
    };
    let at_fault = spec.nodes.iter().position(|node| twice(node).is_some());
    let wanted = secrets_of(&spec.nodes[..at_fault.unwrap_or(spec.nodes.len())]);
    let values = match read_values(context, &namespace, &wanted).await? {
        Ok(values) => values,
        Err(problem) => return Ok(Err(problem)),
    };
    if let Some(node) = at_fault.map(|at| &spec.nodes[at])
        && let Some(twice) = twice(node)
    {
        let why = format!(
            "{twice} is in settings and in secretSettings of node {:?}; keep it in one of them",
            node.name
        );
        return Ok(Err(Problem::InvalidField("nodes", why)));
    }
    let (source, destination) = (Some(connectors.source), Some(connectors.destination));
    let secrets = values.into_iter().map(|value| value.secret);
    Ok(Ok(put_together(
        spec,
        &name.value,
        source,
        destination,
        secrets,
    )))
}

/// The keys of Secrets that nodes name, in their order.
pub fn secrets_of(nodes: &[WorkflowNode]) -> Vec<Credential<'_>> {
    let settings = nodes.iter().flat_map(|node| {
        let of_node = node.secret_settings.iter();
        of_node.map(move |(setting, place)| (node, setting, place))
    });
    settings
        .map(|(node, setting, place)| Credential {
            parameter: setting,
            secret: &place.name,
            key: &place.key,
            field: Field::SecretSettings(&node.name),
            form: Form::Text,
            impostor: None,
        })
        .collect()
}

/// All that is managed. `secrets`: the values for [`secrets_of`] the nodes; a setting whose value is missing is left out.
pub fn put_together(
    spec: &UnstructuredWorkflowSpec,
    name: &str,
    source: Option<ConnectorId>,
    destination: Option<ConnectorId>,
    mut secrets: impl Iterator<Item = SecretString>,
) -> WorkflowSpec {
    let nodes = spec.nodes.iter().map(|node| {
        let mut settings = Config::builder();
        for (name, value) in &node.settings {
            settings = settings.plain(name, value.clone());
        }
        for (name, secret) in node.secret_settings.keys().zip(&mut secrets) {
            settings = settings.secret(name, secret);
        }
        Node {
            name: node.name.clone(),
            node_type: node.node_type.clone(),
            subtype: node.subtype.clone(),
            settings: settings.build(),
        }
    });
    WorkflowSpec {
        name: name.to_owned(),
        source,
        destination,
        nodes: nodes.collect(),
        schedule: spec.schedule.map(Into::into),
        reprocess_all: spec.reprocess_all,
        state: match spec.state {
            WorkflowActivity::Active => WorkflowState::Active,
            WorkflowActivity::Inactive => WorkflowState::Inactive,
        },
    }
}

impl From<WorkflowSchedule> for Schedule {
    fn from(schedule: WorkflowSchedule) -> Self {
        match schedule {
            WorkflowSchedule::Every15Minutes => Self::Every15Minutes,
            WorkflowSchedule::EveryHour => Self::EveryHour,
            WorkflowSchedule::Every2Hours => Self::Every2Hours,
            WorkflowSchedule::Every4Hours => Self::Every4Hours,
            WorkflowSchedule::Every6Hours => Self::Every6Hours,
            WorkflowSchedule::Every8Hours => Self::Every8Hours,
            WorkflowSchedule::Every10Hours => Self::Every10Hours,
            WorkflowSchedule::Every12Hours => Self::Every12Hours,
            WorkflowSchedule::Daily => Self::Daily,
            WorkflowSchedule::Weekly => Self::Weekly,
            WorkflowSchedule::Monthly => Self::Monthly,
        }
    }
}
