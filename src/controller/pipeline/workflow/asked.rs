//! What a resource asks for, put together from its spec, its connectors and the Secrets of its nodes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::super::outcome::{Failure, Problem};
use super::super::super::secrets::{Reading, SecretData, read_secret};
use super::super::references::Connectors;
use super::situation::Name;
use crate::crd::{UnstructuredWorkflow, WorkflowActivity, WorkflowNode, WorkflowSchedule};
use crate::kinds::{Credential, Form};
use crate::unstructured::{Config, Node, Schedule, WorkflowSpec, WorkflowState};

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
    let mut secrets = BTreeMap::new();
    let mut nodes = Vec::with_capacity(spec.nodes.len());
    for node in &spec.nodes {
        if let Some(twice) = node
            .secret_settings
            .keys()
            .find(|name| node.settings.contains_key(*name))
        {
            let why = format!(
                "{twice} is in settings and in secretSettings of node {:?}; keep it in one of them",
                node.name
            );
            return Ok(Err(Problem::InvalidField("nodes", why)));
        }
        let settings = match settings(context, &namespace, node, &mut secrets).await? {
            Ok(settings) => settings,
            Err(problem) => return Ok(Err(problem)),
        };
        nodes.push(Node {
            name: node.name.clone(),
            node_type: node.node_type.clone(),
            subtype: node.subtype.clone(),
            settings,
        });
    }
    Ok(Ok(WorkflowSpec {
        name: name.value.clone(),
        source: Some(connectors.source),
        destination: Some(connectors.destination),
        nodes,
        schedule: spec.schedule.map(Into::into),
        reprocess_all: spec.reprocess_all,
        state: match spec.state {
            WorkflowActivity::Active => WorkflowState::Active,
            WorkflowActivity::Inactive => WorkflowState::Inactive,
        },
    }))
}

async fn settings<'a>(
    context: &Context,
    namespace: &str,
    node: &'a WorkflowNode,
    secrets: &mut BTreeMap<&'a str, SecretData>,
) -> Result<Result<Config, Problem>, Failure> {
    let mut settings = Config::builder();
    for (name, value) in &node.settings {
        settings = settings.plain(name, value.clone());
    }
    for (name, parameter) in &node.secret_settings {
        let secret = parameter.name.as_str();
        let data = match secrets.entry(secret) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unread) => match read_secret(context, namespace, secret).await? {
                Reading::Found(data) => unread.insert(data),
                Reading::Missing => return Ok(Err(Problem::SecretNotFound(secret.to_owned()))),
                Reading::Forbidden => return Ok(Err(Problem::SecretForbidden(secret.to_owned()))),
            },
        };
        let wanted = Credential {
            parameter: name,
            secret,
            key: &parameter.key,
            form: Form::Text,
            impostor: None,
        };
        match data.credential(&wanted) {
            Ok(value) => settings = settings.secret(name, value.secret),
            Err(defect) => return Ok(Err(defect.of(secret, &parameter.key))),
        }
    }
    Ok(Ok(settings.build()))
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
