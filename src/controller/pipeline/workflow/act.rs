//! Performs one effect and says what it was answered. Nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use super::super::super::context::Context;
use super::super::board::Board;
use super::super::memory::Memory;
use super::super::notice::warn;
use super::super::object::Object;
use super::super::quoting::{Quoting, secrets_in_use};
use super::super::stop;
use super::super::writing::{let_go, record, set_finalizer, took, write_status};
use super::observe::Hand;
use super::outcome::Outcome;
use super::report::{self, Occasion};
use super::situation::{Answer, Binding, Effect, Fresh, Namesake, Sight, Situation};
use super::unknown_connector;
use crate::clock;
use crate::crd::{EventReason, WorkflowStatus, WorkspaceStatus};
use crate::engine::debut::Debut;
use crate::engine::outcome::Failure;
use crate::engine::queue::Job;
use crate::engine::refusal::kubernetes;
use crate::unstructured::{
    ApiError, ConnectorId, Digest, ErrorKind, Job as Run, JobId, KeyObjection, Workflow,
    WorkflowId, WorkflowSpec, WorkflowState,
};

/// Performs one effect.
pub async fn perform(
    context: &Context,
    memory: &mut Memory,
    s: &Situation,
    hand: &mut Hand,
    job: &Job,
    effect: &Effect,
) -> Answer {
    let done = match effect {
        Effect::AddFinalizer => {
            let written = set_finalizer(context, &*hand.workflow, true, &BTreeMap::new()).await;
            took(hand, written.map_err(|error| kubernetes(&error)))
        }
        Effect::RemoveFinalizer => remove_finalizer(context, hand).await,
        Effect::RecordIntent | Effect::RecordUpdate => {
            let mut then = s.clone();
            let recorded = then.learn(effect, Answer::Done);
            match recorded {
                Ok(()) => {
                    let status = provisional(context, &then, hand);
                    let written = write_status(context, &hand.workflow, &status).await;
                    took(hand, written)
                }
                Err(failure) => Err(failure),
            }
        }
        Effect::Record => record(context, hand, |hand| provisional(context, s, hand)).await,
        Effect::Bind(id, _) => {
            let adopted = context.catalogue.adopt(&id.to_string(), &hand.workflow);
            adopted.then_some(()).ok_or(Failure::Conflict)
        }
        _ => {
            let Some(board) = hand.board.clone() else {
                return Answer::Failed(Failure::Overrun("a call was planned without a workspace"));
            };
            let failure = match call(context, memory, s, hand, job, &board, effect).await {
                Ok(answer) => return answer,
                Err(failure) => failure,
            };
            let secrets = secrets_in_use(context, &hand.workflow).await;
            return Answer::Failed(Quoting::of(&board, secrets).failure(failure));
        }
    };
    done.map_or_else(Answer::Failed, |()| Answer::Done)
}

/// The calls to the service.
async fn call(
    context: &Context,
    memory: &mut Memory,
    s: &Situation,
    hand: &Hand,
    job: &Job,
    board: &Board,
    effect: &Effect,
) -> Result<Answer, Failure> {
    match effect {
        Effect::Look(fresh) => look(context, memory, s, hand, job, board, *fresh).await,
        Effect::Confirm(id) => match board.workflows.get(id).await {
            Ok(shown) => Ok(Answer::Confirmed(compared(memory, hand, &shown))),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Answer::Confirmed(Sight::Gone)),
            Err(error) => Err(error.into()),
        },
        Effect::Create => {
            let (spec, digest) = asked(s, hand)?;
            // From now on a request may be under way: the time until it has settled begins.
            if let Some(create) = &hand.status().create {
                let intent = format!("{} {}", create.name, create.started_at.0);
                memory.intent = Some((intent, Instant::now()));
            }
            let key = (!board.session.refuses_keys()).then_some(&*s.key);
            let shown = match board.workflows.create(spec, key).await {
                Err(error) if key.is_some() => match error.key_objection() {
                    Some(KeyObjection::Taken) => {
                        return Ok(Answer::KeyTaken(error.message().to_owned()));
                    }
                    Some(KeyObjection::Refused) => create_without_key(board, spec).await,
                    None => Err(error),
                },
                shown => shown,
            };
            let shown =
                shown.map_err(|error| unknown_connector::refused(context, hand, spec, &error))?;
            let id = shown.id;
            // A new id is held by nobody.
            if !can_be_of(spec, &s.key, &shown)
                || !context.catalogue.adopt(&id.to_string(), &hand.workflow)
            {
                return Err(Failure::replayed(format_args!("workflow {id}")));
            }
            memory.wrote_at = Some(Instant::now());
            let whole = spec.state == WorkflowState::Active;
            learn_ways(context, memory, hand, spec, &shown, whole);
            Ok(Answer::Created {
                id: shown.id,
                accepted: whole.then_some(digest),
                marked: shows(&shown, &s.key),
            })
        }
        Effect::Update(id) => {
            let (spec, digest) = asked(s, hand)?;
            let shown = board.workflows.update(id, spec).await;
            let shown =
                shown.map_err(|error| unknown_connector::refused(context, hand, spec, &error))?;
            memory.wrote_at = Some(Instant::now());
            if let Some(shown) = &shown {
                learn_ways(context, memory, hand, spec, shown, true);
            }
            Ok(Answer::Updated(digest))
        }
        Effect::CancelRuns(id) => {
            for run in runs_under_way(context, memory, hand, board, id).await? {
                stop::stop(context, memory, board, &*hand.workflow, &run).await?;
            }
            Ok(Answer::Done)
        }
        Effect::Delete(id) => match board.workflows.delete(id).await {
            Err(error) if error.kind != ErrorKind::NotFound || is_listed(board, id).await? => {
                Err(error.into())
            }
            Err(error) if s.bound() == Some(*id) && s.debut == Debut::Unseen => Err(error.into()),
            Ok(()) | Err(_) => Ok(Answer::Done),
        },
        _ => Err(Failure::Overrun("no call of this effect is known")),
    }
}

/// The runs of a workflow that have not ended, as far as the service shows them or its jobs know them.
async fn runs_under_way(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    board: &Board,
    id: &WorkflowId,
) -> Result<BTreeSet<JobId>, Failure> {
    let shown = runs_of(context, memory, board, id).await?;
    let (ended, going): (Vec<_>, Vec<_>) = shown.iter().partition(|run| run.state.is_final());
    let jobs = context.catalogue.jobs_of(&hand.workflow.key());
    let known = jobs.iter().filter_map(|job| job.status());
    let known = known.filter(|status| !status.phase.is_final());
    let known = known.filter_map(|status| status.job_id.as_deref()?.parse().ok());
    let known = known.filter(|id| ended.iter().all(|run| run.id != *id));
    Ok(going.iter().map(|run| run.id).chain(known).collect())
}

/// The runs of a workflow that is to be deleted. One that is gone has none, whatever the service says to a list of them, and one that is
/// there does not wait for ever for that list.
async fn runs_of(
    context: &Context,
    memory: &mut Memory,
    board: &Board,
    id: &WorkflowId,
) -> Result<Vec<Run>, Failure> {
    let error = match board.jobs_of(id).await {
        Ok(runs) => return Ok(runs),
        Err(error) => error,
    };
    match board.workflows.get(id).await {
        Err(gone) if gone.kind == ErrorKind::NotFound => Ok(Vec::new()),
        Ok(_) if stop::is_given_up(context, memory) => Ok(Vec::new()),
        Ok(_) | Err(_) => Err(error.into()),
    }
}

/// Whether the workspace has a workflow, if it can be asked: whatever stands before a service may know no such path.
async fn is_listed(board: &Board, id: &WorkflowId) -> Result<bool, Failure> {
    let listed = board.all_workflows(Instant::now()).await?;
    Ok(listed.items.iter().any(|shown| shown.id == *id))
}

/// Whether a create of this can have been answered with that. A service that only changes the name, or shows less, is believed.
fn can_be_of(spec: &WorkflowSpec, key: &str, shown: &Workflow) -> bool {
    let others = |shown: &[ConnectorId], sent: &Option<ConnectorId>| {
        !shown.is_empty() && !shown.iter().eq(sent)
    };
    *shown.name == *spec.name
        || shows(shown, key)
        || !(others(&shown.sources, &spec.source) || others(&shown.destinations, &spec.destination))
}

/// Whether the workflow carries this key.
fn shows(shown: &Workflow, key: &str) -> bool {
    shown.key.as_deref() == Some(key)
}

/// A refusal is certain: nothing was made. What was refused with a key and is taken without one was refused for the key.
async fn create_without_key(board: &Board, spec: &WorkflowSpec) -> Result<Workflow, ApiError> {
    let shown = board.workflows.create(spec, None).await?;
    board.session.found_keys_refused();
    Ok(shown)
}

fn asked<'a>(s: &Situation, hand: &'a Hand) -> Result<(&'a WorkflowSpec, Digest), Failure> {
    match (&hand.spec, &s.desired) {
        (Some(spec), Ok(digest)) => Ok((spec, *digest)),
        _ => Err(Failure::Overrun("a call was planned without what to send")),
    }
}

async fn look(
    context: &Context,
    memory: &Memory,
    s: &Situation,
    hand: &Hand,
    job: &Job,
    board: &Board,
    fresh: Fresh,
) -> Result<Answer, Failure> {
    let at = match fresh {
        Fresh::Now => Instant::now(),
        // Whoever asked for this pass may know of something newer than a list that others share.
        Fresh::Any => memory.wrote_at.map_or(job.since, |at| at.max(job.since)),
    };
    let listed = board.all_workflows(at).await?;
    let sight = match s.bound() {
        None => Sight::Unseen,
        Some(id) => match listed.items.iter().find(|shown| shown.id == id) {
            Some(shown) => compared(memory, hand, shown),
            None => Sight::Unlisted,
        },
    };
    Ok(Answer::Seen(
        sight,
        namesakes(context, s, hand, &listed.items),
    ))
}

fn namesakes(context: &Context, s: &Situation, hand: &Hand, shown: &[Workflow]) -> Vec<Namesake> {
    let name = match &s.binding {
        Binding::Creating { name, .. } => name,
        _ => &s.name.value,
    };
    let mut found: Vec<_> = shown
        .iter()
        .filter(|shown| shows(shown, &s.key) || *shown.name == **name)
        .collect();
    found.sort_by_key(|shown| (shown.created_at, shown.id));
    let found = found.into_iter().map(|shown| Namesake {
        id: shown.id,
        marked: shows(shown, &s.key),
        ours: shows(shown, &s.key) || s.name.reserved,
        holder: context
            .catalogue
            .holder(&shown.id.to_string(), &hand.workflow)
            .map(|holder| holder.to_string()),
    });
    found.collect()
}

/// What the service shows, compared with what is asked for. What it showed in its answer to our own write is its way of writing that.
fn compared(memory: &Memory, hand: &Hand, shown: &Workflow) -> Sight {
    let drift = match &hand.spec {
        Some(spec) => spec.differences(shown).drift,
        None => BTreeSet::new(),
    };
    Sight::Present(drift.difference(&memory.normal).cloned().collect())
}

/// Takes note of how the service answered our own write: what it dropped is told once, what it writes in its own way is no drift.
fn learn_ways(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    spec: &WorkflowSpec,
    shown: &Workflow,
    with_state: bool,
) {
    let mut differences = spec.differences(shown);
    // What is made is active, whatever was asked for: an update follows.
    if !with_state {
        differences.drift.remove("state");
    }
    let before = std::mem::replace(&mut memory.normal, differences.drift);
    // A value of a setting may be written in another way. What the whole workflow does may not.
    let others = memory.normal.difference(&before);
    let others: Vec<_> = others.filter(|what| !what.contains('.')).collect();
    if !others.is_empty() {
        let names: Vec<_> = others.into_iter().map(String::as_str).collect();
        let note = format!(
            "Unstructured accepted the workflow and shows it otherwise than it was sent: {}. Compare the two in its console.",
            names.join(", ")
        );
        let reason = EventReason::SettingIgnored.as_str();
        warn(context, &*hand.workflow, reason, "Update", note);
    }
    if !differences.ignored.is_empty() {
        let names: Vec<_> = differences.ignored.into_iter().collect();
        let note = format!(
            "Unstructured dropped what it does not know: {}. Correct the names, or leave them out.",
            names.join(", ")
        );
        let reason = EventReason::SettingIgnored.as_str();
        warn(context, &*hand.workflow, reason, "Update", note);
    }
}

async fn remove_finalizer(context: &Context, hand: &mut Hand) -> Result<(), Failure> {
    let namespace = hand.workflow.namespace().unwrap_or_default();
    let name = hand.workflow.name_any();
    let_go(context, hand).await?;
    context.metrics.runs().forget(&namespace, &name);
    Ok(())
}

/// What the status says while a fact is written that must survive a crash.
fn provisional(context: &Context, s: &Situation, hand: &Hand) -> WorkflowStatus {
    let outcome = if s.is_synced() {
        Outcome::Ready
    } else {
        Outcome::Applying
    };
    report::status(&hand.status(), s, &outcome, &occasion(context, hand))
}

/// The moment of a write.
pub fn occasion(context: &Context, hand: &Hand) -> Occasion {
    let board = hand.board.as_ref();
    Occasion {
        generation: hand.workflow.metadata.generation.unwrap_or_default(),
        now: Time(clock::second()),
        settle_time: context.policy.settle_time,
        workspace: board.map(|board| WorkspaceStatus {
            api_url: board.session.client.endpoint().to_string(),
            key_fingerprint: board.session.client.fingerprint().to_string(),
        }),
        connectors: hand
            .spec
            .as_ref()
            .and_then(|spec| Some((spec.source?.to_string(), spec.destination?.to_string()))),
        forced: None,
    }
}
