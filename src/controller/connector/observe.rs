//! The start of a pass: gathers what a decision may rest on.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::time::Instant;

use super::super::context::Context;
use super::super::deletion::deletion;
use super::super::open;
use super::super::secrets::read_credentials;
use super::super::wake::look_again;
use super::super::workspaces::Workspace;
use super::hand::Hand;
use super::memory::{CHECK_TIME, Memory, SHORTFALL_TIME, Settling};
use super::recall;
use super::report::{recorded_check, recorded_doubt, was_synced};
use super::situation::{
    Binding, Check, ConnectorName, Deletion, Desired, Grant, Keys, Resend, Sighting, Situation,
    Wanted, WorkspaceFacts,
};
use crate::crd::{
    ACCEPT_RECORD, ACCEPT_WORKSPACE, AdoptionPolicy, ConnectorStatus, DeletionPolicy, FINALIZER,
};
use crate::engine::claims::{Claimant, describe_holder};
use crate::engine::debut::{Debut, Remembered, synced_since};
use crate::engine::key::Key;
use crate::engine::outcome::{Failure, ForeignRecord, Problem};
use crate::engine::queue::{Job, Priority};
use crate::kinds::Resource;
use crate::unstructured::{ConnectorId, Digest};

/// Gathers what there is to know of a resource.
pub async fn observe(
    context: &Context,
    memory: &mut Memory,
    resource: Arc<Resource>,
    job: &Job,
) -> Result<(Situation, Hand), Failure> {
    let ours = memory.contest.ours.clone();
    let mut hand = Hand::new(&resource, ours, job);
    if hand.forced.is_some() {
        memory.refused = None;
        memory.grant = None;
        memory.key_taken = None;
        if let Some(create) = &mut memory.settling {
            create.again = None;
        }
    }
    let workspace = open::workspace(context, &job.key, &resource).await?;
    let deleting = resource.metadata.deletion_timestamp.is_some();
    let home = hand.status().workspace;
    let deletion = if deleting {
        let without_key = workspace.as_ref().map_or(true, |workspace| {
            home.as_ref()
                .is_some_and(|home| home.key_fingerprint != workspace.facts().fingerprint)
        });
        Some(
            deletion(
                context,
                resource.kind.plural,
                &job.key.namespace,
                without_key,
            )
            .await?,
        )
    } else {
        None
    };
    // The key's Secret may have gone before the resource; the key with which this process worked last still works.
    let workspace = workspace.or_else(|problem| match &memory.workspace {
        Some(held)
            if recall::outlives_its_secret(deleting, &hand.status(), &held.facts().fingerprint) =>
        {
            Ok(held.clone())
        }
        _ => Err(problem),
    });
    let desired = if deleting {
        Desired::Unread
    } else {
        read_configuration(context, &mut hand).await?
    };
    let situation = situation(
        context,
        memory,
        &hand,
        workspace.as_ref(),
        desired,
        deletion,
        job,
    );
    hand.workspace = workspace.ok();
    if situation.digest().is_some() {
        if situation.applied == situation.digest() {
            memory.secret_changed_at = None;
        } else if was_synced(&hand.status(), hand.generation) {
            // The spec is as it was sent, so what differs is what the Secret holds.
            memory.secret_changed_at.get_or_insert(job.since);
        }
    }
    hand.secret_changed = memory.secret_changed_at.is_some();
    Ok((situation, hand))
}

fn situation(
    context: &Context,
    memory: &mut Memory,
    hand: &Hand,
    workspace: Result<&Arc<Workspace>, &Problem>,
    desired: Desired,
    deletion: Option<Deletion>,
    job: &Job,
) -> Situation {
    let resource = &*hand.resource;
    let status = hand.status();
    let facts = workspace
        .map(|workspace| workspace.facts())
        .map_err(Clone::clone);
    let (wanted, objection) = wanted(context, &job.key, resource);
    let desired = match (objection, desired) {
        (Some(problem), Desired::Digest(_) | Desired::Blocked(_)) => Desired::Blocked(problem),
        (_, desired) => desired,
    };
    let digest = match desired {
        Desired::Digest(digest) => Some(digest),
        Desired::Unread | Desired::Blocked(_) => None,
    };
    let foreign = foreign_record(context, &job.key, resource, &status);
    let settle_time = context.policy.settle_time;
    let after = status.resend_after.as_ref();
    let binding = binding(&status, memory, settle_time, digest);
    let debut = debut(memory, &status, &binding, settle_time);
    let holder = match &binding {
        Binding::Bound(id) if foreign.is_none() => holder(context, resource, *id),
        Binding::Bound(_) | Binding::Unbound | Binding::Creating { .. } => None,
    };
    let accepted = resource.annotations().get(ACCEPT_WORKSPACE);
    let known = |asked: &Digest| Some(*asked) == digest;
    let keys = keys(memory, workspace.ok(), digest);
    Situation {
        deletion,
        foreign,
        unlisted: context.unlisted.missing(),
        waited: recall::has_waited(
            &status,
            memory
                .waiting
                .is_some_and(|since| since.elapsed() >= PATIENCE),
        ),
        finalized: resource
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER)
            && !was_released(context, resource),
        binding,
        marked: recall::marked(&status, &wanted.key),
        keys,
        wanted,
        held_by: holder.map(|holder| describe_holder(&job.key, &holder)),
        applied: status
            .applied_digest
            .as_deref()
            .and_then(|digest| digest.parse().ok()),
        home: status.workspace.as_ref().map(|home| WorkspaceFacts {
            api_url: home.api_url.clone(),
            fingerprint: home.key_fingerprint.clone(),
        }),
        move_accepted: facts
            .as_ref()
            .is_ok_and(|facts| accepted == Some(&facts.fingerprint)),
        workspace: facts,
        desired,
        forced: hand.forced.is_some(),
        refused: memory
            .refused
            .as_deref()
            .filter(|(refused, _)| known(refused))
            .map(|(_, outcome)| outcome.clone()),
        grant: memory
            .grant
            .as_ref()
            .filter(|(asked, grant, at)| known(asked) && holds(grant, *at))
            .map_or(Grant::Unasked, |(_, grant, _)| grant.clone()),
        doubted: recorded_doubt(&status),
        connector: Sighting::Unseen,
        debut,
        namesakes: None,
        check: match hand.forced {
            Some(_) => Check::None,
            None => recorded_check(status.connection_check.as_ref(), memory.checks()),
        },
        polled: false,
        failed_now: false,
        check_overdue: memory
            .check
            .as_ref()
            .is_some_and(|(_, since, _)| since.elapsed() >= CHECK_TIME),
        resend: Resend::remembered(after, &mut memory.resend, settle_time),
        lost_creates: status.lost_creates.as_ref().map_or(0, |lost| lost.count),
        lost: memory
            .settling
            .as_ref()
            .and_then(|create| create.why.clone()),
        unrecorded: false,
        users: None,
        changes: Vec::new(),
    }
}

/// What becomes of the key in a create of this configuration.
fn keys(memory: &Memory, workspace: Option<&Arc<Workspace>>, digest: Option<Digest>) -> Keys {
    if workspace.is_some_and(|workspace| workspace.session.refuses_keys()) {
        return Keys::Refused;
    }
    match memory.key_taken.as_deref() {
        Some((asked, why)) if Some(*asked) == digest => Keys::Taken {
            why: why.clone(),
            just_now: false,
        },
        _ => Keys::Sent,
    }
}

/// How far a 404 on the connector on record is believed.
fn debut(
    memory: &mut Memory,
    status: &ConnectorStatus,
    binding: &Binding,
    settle_time: Duration,
) -> Debut {
    let Binding::Bound(id) = *binding else {
        return Debut::Over;
    };
    // A check that was started has seen it.
    let check = status.connection_check.as_ref();
    if check.is_some_and(|check| !check.id.is_empty()) {
        return Debut::Over;
    }
    let since = synced_since(&status.conditions);
    Remembered::recall(&mut memory.debut, id, since, settle_time)
}

/// Whether an answer of the provider is still worth something. What it accepts is asked again for a reason only; anything else can be
/// mended at any time. That it gave none is known to whoever asks.
fn holds(grant: &Grant, since: Instant) -> bool {
    match grant {
        Grant::Accepted => true,
        Grant::Silence(_) => false,
        _ => since.elapsed() < SHORTFALL_TIME,
    }
}

/// The resource that holds this connector instead, though both have it on record.
fn holder(context: &Context, resource: &Resource, id: ConnectorId) -> Option<Key> {
    let who = Claimant::of(resource);
    let claim = context
        .index
        .claims_of(&who, |claims| claims.recorded(&who, id));
    if let Ok(Some(loser)) = &claim {
        look_again(context, loser, Priority::Changed);
    }
    claim.err()
}

/// This process let it go, whatever the watch still shows.
fn was_released(context: &Context, resource: &Resource) -> bool {
    let uid = resource.uid().unwrap_or_default();
    context.index.claims(|claims| claims.is_released(&uid))
}

/// A record that cannot be this resource's own, unless the spec or an annotation says that it is.
fn foreign_record(
    context: &Context,
    key: &Key,
    resource: &Resource,
    status: &ConnectorStatus,
) -> Option<ForeignRecord> {
    let options = resource.spec.options();
    let cluster = context.cluster.as_str();
    let is_meant = options.connector_name.is_some()
        || options.existing_id.is_some()
        || resource
            .annotations()
            .get(ACCEPT_RECORD)
            .map(String::as_str)
            == Some(cluster);
    recall::foreign_record(status, is_meant, cluster, |name| {
        context
            .cluster
            .is_of_another(name, &resource.kind.name_of(&key.name))
    })
}

/// How long a resource waits for what others supply before that is told as what stalls it.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Reads the Secrets with the credentials and puts the configuration together.
async fn read_configuration(context: &Context, hand: &mut Hand) -> Result<Desired, Failure> {
    let resource = hand.resource.clone();
    let (credentials, trimmed) = match read_credentials(context, &resource).await? {
        Ok(read) => read,
        Err(problem) => return Ok(Desired::Blocked(problem)),
    };
    let config = resource.spec.config(&credentials);
    let digest = config.digest(resource.uid().unwrap_or_default().as_bytes());
    hand.trimmed = trimmed;
    hand.credentials = Some(credentials);
    hand.config = Some(config);
    Ok(Desired::Digest(digest))
}

/// What the resource asks for, and what speaks against it that the API server could not refuse.
fn wanted(context: &Context, key: &Key, resource: &Resource) -> (Wanted, Option<Problem>) {
    let options = resource.spec.options();
    let mut objection = resource.spec.objection().map(Problem::Objection);
    let name = match options.connector_name {
        None => context.cluster.connector_name(resource.kind, key),
        Some(chosen) => {
            if context.cluster.reserves(chosen) {
                let suffix = context.cluster.as_str();
                let why = format!(
                    "names that end in \".{suffix}\" are reserved for default names; create a new resource with another name"
                );
                objection = Some(Problem::InvalidField("connectorName", why));
            }
            ConnectorName {
                value: chosen.to_owned(),
                reserved: false,
            }
        }
    };
    let existing = options
        .existing_id
        .map(str::parse)
        .transpose()
        .unwrap_or_else(|error| {
            objection = Some(Problem::InvalidField(
                resource.kind.family().existing_field,
                format!("{error}"),
            ));
            None
        });
    let wanted = Wanted {
        name,
        key: context.cluster.key_for(key),
        collection: resource.kind.collection,
        existing,
        adopt_by_name: options.adoption_policy == AdoptionPolicy::ByName,
        verify: options.verify,
        retain: options.deletion_policy == DeletionPolicy::Retain,
        suspend: options.suspend,
    };
    (wanted, objection)
}

fn binding(
    status: &ConnectorStatus,
    memory: &mut Memory,
    settle_time: Duration,
    digest: Option<Digest>,
) -> Binding {
    recall::binding(status, memory.gone, |create| {
        let mark = Settling::mark(create);
        let known = memory.settling.take().filter(|known| known.mark == mark);
        // Wall clocks of two machines differ, so the time counts from when this process first saw the intent.
        let settling = known.unwrap_or_else(|| {
            Box::new(Settling {
                mark,
                at: Instant::now() + settle_time,
                again: None,
                why: None,
            })
        });
        memory.settling.insert(settling).has_settled(digest)
    })
}
