//! Gathers what there is to know of a workflow.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;

use super::super::super::context::Context;
use super::super::super::deletion::deletion;
use super::super::super::open;
use super::super::board::Board;
use super::super::memory::Memory;
use super::super::object::Object;
use super::super::{references, writing};
use super::asked::asked;
use super::situation::{Binding, Name, Sight, Situation};
use crate::crd::{
    ACCEPT_RECORD, ACCEPT_WORKSPACE, AdoptionPolicy, DeletionPolicy, UnstructuredWorkflow,
    WorkflowStatus,
};
use crate::engine::ahead::{Resend, Stage};
use crate::engine::claims::describe_holder;
use crate::engine::debut::{Debut, Remembered, synced_since};
use crate::engine::outcome::{Failure, Problem};
use crate::unstructured::{Digest, WorkflowSpec};

/// What effects need beside the situation, secrets among it. It lives as long as the pass.
pub struct Hand {
    /// The resource, as our last write of this pass left it.
    pub workflow: Arc<UnstructuredWorkflow>,
    /// The lists of the workspace.
    pub board: Option<Arc<Board>>,
    /// All that is managed, if it could be put together.
    pub spec: Option<WorkflowSpec>,
}

impl writing::Hand<UnstructuredWorkflow> for Hand {
    fn object(&mut self) -> &mut Arc<UnstructuredWorkflow> {
        &mut self.workflow
    }
}

impl Hand {
    /// The status that is on record.
    pub fn status(&self) -> WorkflowStatus {
        self.workflow.status().cloned().unwrap_or_default()
    }
}

/// Gathers what there is to know of a workflow.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails, or not all resources are listed yet: what refers to one that is not there may then be wrong.
pub async fn observe(
    context: &Context,
    memory: &mut Memory,
    workflow: Arc<UnstructuredWorkflow>,
) -> Result<(Situation, Hand), Failure> {
    if let Some(unlisted) = context.unlisted.missing() {
        return Err(Failure::Kubernetes(format!(
            "not all resources are listed yet: {unlisted}"
        )));
    }
    let key = workflow.key();
    let status = workflow.status().cloned().unwrap_or_default();
    let board = open::board(context, &key.namespace, workflow.workspace()).await?;
    let deletion = if workflow.is_going() {
        let plural = UnstructuredWorkflow::PLURAL;
        Some(deletion(context, plural, &key.namespace, board.is_err()).await?)
    } else {
        None
    };
    // The key's Secret may have gone before the workflow; the key with which this process worked last still works.
    let board = board.or_else(|problem| match &memory.board {
        Some(board) if deletion.is_some() => Ok(board.clone()),
        _ => Err(problem),
    });
    if let Ok(board) = &board {
        memory.uses(board, &key);
    }
    let (name, objection) = name(context, &workflow, &key.namespace, &key.name);
    let references = references::resolve(context, &workflow);
    let (spec, desired) = match &references {
        Ok(connectors) if deletion.is_none() => {
            match asked(context, &workflow, &name, connectors).await? {
                Ok(spec) => {
                    let digest = spec.digest(workflow.uid().unwrap_or_default().as_bytes());
                    (Some(spec), Ok(digest))
                }
                Err(problem) => (None, Err(problem)),
            }
        }
        _ => (None, Err(Problem::NoOperatorKey)),
    };
    let own_key = context.cluster.key_for(&key);
    let existing = workflow.spec.existing_workflow_id.as_deref();
    let existing = existing.and_then(|id| id.parse().ok());
    let binding = binding(context, memory, &status);
    let asked_id = match &binding {
        Binding::Bound(id) => Some(*id),
        _ => existing,
    };
    let settle_time = context.policy.settle_time;
    let debut = debut(memory, &status, &binding, settle_time);
    let held_by = asked_id
        .and_then(|id| context.catalogue.holder(&id.to_string(), &workflow))
        .map(|holder| describe_holder(&key, &holder));
    let moved = moved(&workflow, &status, board.as_deref().ok());
    let desired = objection.map_or(desired, Err);
    let digest = desired.as_ref().ok().copied();
    let spec_of = &workflow.spec;
    let situation = Situation {
        deletion,
        retain: spec_of.deletion_policy == DeletionPolicy::Retain,
        cancel_runs: spec_of.cancel_job_on_delete,
        awaits_run: context.catalogue.awaits_run(&key),
        suspend: spec_of.suspend,
        finalized: workflow.is_finalized(),
        unrecorded: false,
        foreign: foreign(context, &workflow, &status),
        name,
        existing,
        adopt_by_name: spec_of.adoption_policy == AdoptionPolicy::ByName,
        held_by,
        references: references.map(drop),
        workspace: board.as_ref().map(drop).map_err(Clone::clone),
        moved,
        desired,
        applied: status
            .applied_digest
            .as_deref()
            .and_then(|d| d.parse().ok()),
        refused: known_of(digest, memory.refused.as_ref()),
        marked: status.key.as_ref() == Some(&own_key),
        key: own_key,
        key_taken: known_of(digest, memory.key_taken.as_ref()),
        had_one: matches!(binding, Binding::Bound(_)),
        binding,
        sight: Sight::Unseen,
        debut,
        namesakes: None,
        lost_creates: status.lost_creates.as_ref().map_or(0, |lost| lost.count),
        resend: Resend::remembered(
            status.resend_after.as_ref(),
            &mut memory.resend,
            settle_time,
        ),
        changes: Vec::new(),
    };
    let hand = Hand {
        workflow,
        board: board.ok(),
        spec,
    };
    Ok((situation, hand))
}

/// How far a 404 on the workflow on record is believed.
fn debut(
    memory: &mut Memory,
    status: &WorkflowStatus,
    binding: &Binding,
    settle_time: Duration,
) -> Debut {
    let Binding::Bound(id) = *binding else {
        return Debut::Over;
    };
    let since = synced_since(&status.conditions);
    Remembered::recall(&mut memory.debut, id, since, settle_time)
}

/// What is remembered, if it is of what is asked for by now.
fn known_of<T: Clone>(digest: Option<Digest>, known: Option<&(Digest, T)>) -> Option<T> {
    let known = known.filter(|(asked, _)| Some(*asked) == digest);
    known.map(|(_, what)| what.clone())
}

fn binding(context: &Context, memory: &mut Memory, status: &WorkflowStatus) -> Binding {
    let bound = status.workflow_id.as_deref().and_then(|id| id.parse().ok());
    match (bound, &status.create) {
        (Some(id), _) => Binding::Bound(id),
        (None, Some(create)) => {
            let intent = format!("{} {}", create.name, create.started_at.0);
            let settled = memory.has_settled(&intent, context.policy.settle_time);
            Binding::Creating {
                name: create.name.clone(),
                stage: if settled {
                    Stage::Settled
                } else {
                    Stage::Unsettled
                },
            }
        }
        (None, None) => Binding::Unbound,
    }
}

fn name(
    context: &Context,
    workflow: &UnstructuredWorkflow,
    namespace: &str,
    name: &str,
) -> (Name, Option<Problem>) {
    let Some(chosen) = &workflow.spec.workflow_name else {
        let full = format!("{name}.{}", UnstructuredWorkflow::KIND);
        let name = context.cluster.default_name(namespace, &full);
        return (
            Name {
                value: name.value,
                reserved: true,
            },
            None,
        );
    };
    let objection = context.cluster.reserves(chosen).then(|| {
        let suffix = context.cluster.as_str();
        let why = format!(
            "names that end in \".{suffix}\" are reserved for default names; choose another"
        );
        Problem::InvalidField("workflowName", why)
    });
    let name = Name {
        value: chosen.clone(),
        reserved: false,
    };
    (name, objection)
}

/// The name on record, where it is the default name of another cluster or namespace and nothing says that it is meant.
fn foreign(
    context: &Context,
    workflow: &UnstructuredWorkflow,
    status: &WorkflowStatus,
) -> Option<String> {
    let confirmed = workflow.annotations().get(ACCEPT_RECORD);
    let spec = &workflow.spec;
    let is_meant = spec.workflow_name.is_some()
        || spec.existing_workflow_id.is_some()
        || confirmed.map(String::as_str) == Some(context.cluster.as_str());
    let name = status.workflow_name.as_ref()?;
    let own = format!("{}.{}", workflow.name_any(), UnstructuredWorkflow::KIND);
    (!is_meant && context.cluster.is_of_another(name, &own)).then(|| name.clone())
}

/// The fingerprint of the present key, where it is not the one that made the workflow and nobody has confirmed the move.
fn moved(
    workflow: &UnstructuredWorkflow,
    status: &WorkflowStatus,
    board: Option<&Board>,
) -> Option<String> {
    let present = board?.session.client.fingerprint().to_string();
    let home = status.workspace.as_ref()?;
    let accepted = workflow.annotations().get(ACCEPT_WORKSPACE);
    (home.key_fingerprint != present && accepted != Some(&present)).then_some(present)
}
