//! The start of a pass: gathers what a decision may rest on. The only place that reads Secrets.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::{Api, CustomResourceExt, ResourceExt};
use secrecy::SecretString;
use tokio::time::Instant;
use zeroize::Zeroize;

use super::Context;
use super::index::{Key, strip};
use super::memory::{CHECK_TIME, Memory, SHORTFALL_TIME, Settling};
use super::outcome::{Failure, Problem};
use super::queue::{Job, Priority};
use super::report::{recorded_check, recorded_doubt};
use super::situation::{
    Binding, Check, ConnectorName, Creating, Deletion, Desired, Grant, Sighting, Situation, Wanted,
    WorkspaceFacts,
};
use super::workspaces::Workspace;
use crate::crd::{
    ACCEPT_WORKSPACE, AdoptionPolicy, DeletionPolicy, FINALIZER, RECONCILE_AT, SourceStatus,
};
use crate::hosts::Reach;
use crate::kinds::{Credentials, SourceKind};
use crate::scrub::one_line;
use crate::unstructured::{ApiKey, Config, Digest, Endpoint};

/// What effects need beside the situation, secrets among it. It lives as long as the pass.
pub struct Hand<K> {
    /// The resource, as our last write of this pass left it.
    pub resource: Arc<K>,
    /// The generation that the pass decides on. The resource may have been edited since, and read again.
    pub generation: i64,
    /// The workspace to work in.
    pub workspace: Option<Arc<Workspace>>,
    /// The credentials, if they could be read.
    pub credentials: Option<Credentials>,
    /// The complete configuration, if it could be put together.
    pub config: Option<Config>,
    /// What the pass looks at must not be older.
    pub since: Instant,
    /// Value of the annotation that forced the pass.
    pub forced: Option<String>,
    /// Keys of the Secret whose value ended in a line break.
    pub trimmed: Vec<String>,
}

impl<K: SourceKind> Hand<K> {
    fn new(resource: &Arc<K>, job: &Job) -> Self {
        let handled = resource
            .status()
            .and_then(|status| status.last_handled_reconcile_at.as_ref());
        let forced = resource
            .annotations()
            .get(RECONCILE_AT)
            .filter(|at| handled != Some(at));
        Self {
            resource: resource.clone(),
            generation: resource.meta().generation.unwrap_or_default(),
            workspace: None,
            credentials: None,
            config: None,
            since: job.since,
            forced: forced.cloned(),
            trimmed: Vec::new(),
        }
    }

    /// Takes in the resource as the API server showed it last.
    pub fn take_in(&mut self, mut resource: K) {
        strip(resource.meta_mut());
        self.resource = Arc::new(resource);
    }

    /// The status that is on record.
    pub fn status(&self) -> SourceStatus {
        self.resource.status().cloned().unwrap_or_default()
    }
}

/// Gathers what there is to know of a resource.
pub async fn observe<K: SourceKind + CustomResourceExt>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    resource: Arc<K>,
    job: &Job,
) -> Result<(Situation, Hand<K>), Failure> {
    let mut hand = Hand::new(&resource, job);
    if hand.forced.is_some() {
        memory.refused = None;
        memory.grant = None;
        if let Some(create) = &mut memory.settling {
            create.again = None;
        }
    }
    let workspace = workspace(context, &job.key, &*resource).await?;
    let deleting = resource.meta().deletion_timestamp.is_some();
    let deletion = if deleting {
        let home = hand.status().workspace;
        let without_key = workspace.as_ref().map_or(true, |workspace| {
            home.is_some_and(|home| home.key_fingerprint != workspace.facts().fingerprint)
        });
        Some(deletion(context, &job.key, without_key).await?)
    } else {
        None
    };
    let workspace = workspace.or_else(|problem| match (&memory.workspace, deletion) {
        // The key's Secret may have gone before us with the namespace; the key in memory still works.
        (
            Some(held),
            Some(Deletion {
                namespace_terminating: true,
                ..
            }),
        ) => Ok(held.clone()),
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
    // The spec is as it was seen before, so what differs is what the Secret holds.
    if job.priority == Priority::Changed
        && hand.generation == hand.status().observed_generation
        && situation.applied != situation.digest()
    {
        memory.secret_changed_at.get_or_insert(job.since);
    }
    Ok((situation, hand))
}

fn situation<K: SourceKind>(
    context: &Context<K>,
    memory: &mut Memory<K>,
    hand: &Hand<K>,
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
    let binding = binding(&status, memory, context.policy.settle_time, digest);
    let holder = match &binding {
        Binding::Bound(id) => context.index.claim(&job.key, *id).err(),
        Binding::Unbound | Binding::Creating { .. } => None,
    };
    let accepted = resource.annotations().get(ACCEPT_WORKSPACE);
    let known = |asked: &Digest| Some(*asked) == digest;
    Situation {
        wanted,
        deletion,
        finalized: resource
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == FINALIZER),
        binding,
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
            .as_ref()
            .filter(|(refused, _)| known(refused))
            .map(|(_, outcome)| outcome.clone()),
        grant: memory
            .grant
            .as_ref()
            .filter(|(asked, grant, at)| known(asked) && holds(grant, *at))
            .map_or(Grant::Unasked, |(_, grant, _)| grant.clone()),
        doubted: recorded_doubt(&status),
        connector: Sighting::Unseen,
        namesakes: None,
        check: match hand.forced {
            Some(_) => Check::None,
            None => recorded_check(status.connection_check.as_ref()),
        },
        polled: false,
        check_overdue: memory
            .check
            .as_ref()
            .is_some_and(|(_, since, _)| since.elapsed() >= CHECK_TIME),
        confirm: memory.confirm.is_some_and(|at| Instant::now() >= at),
        abandoned: memory.abandoned,
        lost: memory
            .settling
            .as_ref()
            .and_then(|create| create.why.clone()),
        unrecorded: false,
        changes: Vec::new(),
    }
}

/// Whether an answer of the provider is still worth something. What it refuses stays refused, but a folder can be made at any time.
fn holds(grant: &Grant, since: Instant) -> bool {
    !matches!(grant, Grant::Insufficient(_)) || since.elapsed() < SHORTFALL_TIME
}

/// What the resource asks for, and what speaks against it that the API server could not refuse.
fn wanted<K: SourceKind>(
    context: &Context<K>,
    key: &Key,
    resource: &K,
) -> (Wanted, Option<Problem>) {
    let options = resource.options();
    let mut objection = None;
    let name = match options.connector_name {
        None => context.cluster.default_name(&key.namespace, &key.name),
        Some(chosen) => {
            if context.cluster.reserves(chosen) {
                let suffix = context.cluster.as_str();
                let why = format!(
                    "names that end in \".{suffix}\" are reserved for default names; choose another"
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
        .existing_source_id
        .map(str::parse)
        .transpose()
        .unwrap_or_else(|error| {
            objection = Some(Problem::InvalidField(
                "existingSourceId",
                format!("{error}"),
            ));
            None
        });
    let wanted = Wanted {
        name,
        existing,
        adopt_by_name: options.adoption_policy == AdoptionPolicy::ByName,
        verify: options.verify,
        retain: options.deletion_policy == DeletionPolicy::Retain,
        suspend: options.suspend,
    };
    (wanted, objection)
}

/// How the holder of a connector is called: a tenant learns nothing of resources in other namespaces.
pub fn describe_holder(asking: &Key, holder: &Key) -> String {
    if asking.namespace == holder.namespace {
        format!("the resource {:?} in this namespace", &*holder.name)
    } else {
        "a resource in another namespace".to_owned()
    }
}

fn binding<K>(
    status: &SourceStatus,
    memory: &mut Memory<K>,
    settle_time: std::time::Duration,
    digest: Option<Digest>,
) -> Binding {
    if let Some(id) = status.source_id.as_deref().and_then(|id| id.parse().ok()) {
        return Binding::Bound(id);
    }
    let Some(create) = &status.create else {
        return Binding::Unbound;
    };
    let mark = Settling::mark(create);
    if memory
        .settling
        .as_ref()
        .is_none_or(|known| known.mark != mark)
    {
        // Wall clocks of two machines differ, so the time counts from when this process first saw the intent.
        memory.settling = Some(Settling {
            mark,
            at: Instant::now() + settle_time,
            again: None,
            why: None,
        });
    }
    let settled = memory
        .settling
        .as_ref()
        .is_some_and(|known| known.has_settled(digest));
    let stage = if settled {
        Creating::Settled
    } else {
        Creating::Unsettled
    };
    Binding::Creating {
        name: create.name.clone(),
        stage,
    }
}

async fn workspace<K: SourceKind>(
    context: &Context<K>,
    key: &Key,
    resource: &K,
) -> Result<Result<Arc<Workspace>, Problem>, Failure> {
    let Some(reference) = resource.options().workspace else {
        return Ok(match context.own_key.get() {
            Some(api_key) => open(context, &context.policy.api_url, api_key, Reach::Anywhere),
            None => Err(Problem::NoOperatorKey),
        });
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
    let secret = match read_secret(context, &key.namespace, &wanted.name).await? {
        Reading::Found(secret) => secret,
        Reading::Missing => return Ok(Err(Problem::KeySecretNotFound(wanted.name.clone()))),
        Reading::Forbidden => return Ok(Err(Problem::SecretForbidden(wanted.name.clone()))),
    };
    let value = secret.value(&wanted.key);
    drop(secret);
    Ok(match value {
        None => Err(Problem::KeyMissing(wanted.name.clone(), wanted.key.clone())),
        Some(Err(why)) => Err(Problem::KeyInvalid(
            wanted.name.clone(),
            wanted.key.clone(),
            why.to_owned(),
        )),
        Some(Ok(value)) => match ApiKey::new(value.secret) {
            Ok(api_key) => open(context, &endpoint, api_key, reach),
            Err(error) => Err(Problem::KeyInvalid(
                wanted.name.clone(),
                wanted.key.clone(),
                error.to_string(),
            )),
        },
    })
}

fn open<K>(
    context: &Context<K>,
    endpoint: &Endpoint,
    key: ApiKey,
    reach: Reach,
) -> Result<Arc<Workspace>, Problem> {
    context
        .workspaces
        .open(endpoint, key, reach)
        .map_err(|error| Problem::InvalidField("workspace", error.to_string()))
}

async fn read_configuration<K: SourceKind>(
    context: &Context<K>,
    hand: &mut Hand<K>,
) -> Result<Desired, Failure> {
    let resource = hand.resource.clone();
    let name = resource.credentials_secret();
    let namespace = resource.namespace().unwrap_or_default();
    let secret = match read_secret(context, &namespace, name).await? {
        Reading::Found(secret) => secret,
        Reading::Missing => {
            return Ok(Desired::Blocked(Problem::SecretNotFound(name.to_owned())));
        }
        Reading::Forbidden => {
            return Ok(Desired::Blocked(Problem::SecretForbidden(name.to_owned())));
        }
    };
    let mut credentials = Credentials::default();
    for wanted in resource.credentials() {
        let invalid = |why| {
            Ok(Desired::Blocked(Problem::SecretInvalid(
                name.to_owned(),
                wanted.key.to_owned(),
                why,
            )))
        };
        let value = match secret.value(wanted.key) {
            None => {
                return Ok(Desired::Blocked(Problem::SecretKeyMissing(
                    name.to_owned(),
                    wanted.key.to_owned(),
                )));
            }
            Some(Err(why)) => return invalid(why),
            Some(Ok(value)) => value,
        };
        if wanted.refuses_access_token && value.is_access_token {
            return Ok(Desired::Blocked(Problem::AccessToken(
                name.to_owned(),
                wanted.key.to_owned(),
            )));
        }
        if value.is_mask {
            return invalid(
                "holds the mask that Unstructured shows in place of a secret, not the secret",
            );
        }
        if value.trimmed {
            hand.trimmed.push(wanted.key.to_owned());
        }
        credentials.insert(wanted.parameter, value.secret);
    }
    let config = credentials.complete(resource.settings());
    let digest = config.digest(resource.uid().unwrap_or_default().as_bytes());
    hand.credentials = Some(credentials);
    hand.config = Some(config);
    Ok(Desired::Digest(digest))
}

/// The data of a Secret, wiped when it is dropped.
pub(crate) struct SecretData(std::collections::BTreeMap<String, ByteString>);

/// One value of a Secret, and what is noteworthy about it.
pub(crate) struct Value {
    pub secret: SecretString,
    pub trimmed: bool,
    pub is_access_token: bool,
    pub is_mask: bool,
}

impl SecretData {
    /// The data of this Secret.
    pub fn of(mut secret: Secret) -> Self {
        Self(secret.data.take().unwrap_or_default())
    }

    /// The value of a key, without the line breaks that editors and `echo` leave at its end. Two fields may name the same key.
    pub fn value(&self, key: &str) -> Option<Result<Value, &'static str>> {
        let bytes = &self.0.get(key)?.0;
        Some(match std::str::from_utf8(bytes) {
            Err(_) => Err("is not text"),
            Ok(text) => {
                let trimmed = text.trim_end_matches(['\n', '\r']);
                if trimmed.trim().is_empty() {
                    Err("is empty")
                } else if trimmed.contains(char::is_control) {
                    Err("contains control characters")
                } else {
                    Ok(Value {
                        secret: SecretString::from(trimmed),
                        trimmed: trimmed.len() != text.len(),
                        is_access_token: trimmed.starts_with("sl."),
                        is_mask: trimmed == crate::unstructured::MASK,
                    })
                }
            }
        })
    }
}

impl Drop for SecretData {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|value| value.0.zeroize());
    }
}

/// What came of reading a Secret.
enum Reading {
    Found(SecretData),
    Missing,
    Forbidden,
}

async fn read_secret<K>(
    context: &Context<K>,
    namespace: &str,
    name: &str,
) -> Result<Reading, Failure> {
    // Anything else than a name would become another path, and a resource can be older than the rule that refuses it.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !name.bytes().all(is_name) {
        return Ok(Reading::Missing);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    match secrets.get_opt(name).await {
        Ok(Some(secret)) => Ok(Reading::Found(SecretData::of(secret))),
        Ok(None) => Ok(Reading::Missing),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Reading::Forbidden),
        Err(error) => Err(kubernetes(&error)),
    }
}

async fn deletion<K: CustomResourceExt>(
    context: &Context<K>,
    key: &Key,
    without_key: bool,
) -> Result<Deletion, Failure> {
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> =
        Api::all(context.client.clone());
    let definition = visible(definitions.get_metadata_opt(K::crd_name()).await)?;
    let namespace = if without_key {
        let namespaces: Api<Namespace> = Api::all(context.client.clone());
        visible(namespaces.get_metadata_opt(&key.namespace).await)?
    } else {
        None
    };
    Ok(Deletion {
        namespace_terminating: namespace
            .is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some()),
        definition_terminating: definition
            .is_some_and(|definition| definition.metadata.deletion_timestamp.is_some()),
    })
}

/// An operator that is confined to some namespaces may not read these objects; then it does not know.
fn visible<T>(answer: kube::Result<Option<T>>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(None),
        Err(error) => Err(kubernetes(&error)),
    }
}

/// A failure of the Kubernetes API, in words that hold no object's content.
pub fn kubernetes(error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) if status.is_conflict() || status.is_not_found() => {
            Failure::Conflict
        }
        // The authorizer's words name the verb, the kind and the account that lacks the right.
        kube::Error::Api(status) if status.is_forbidden() => {
            Failure::Kubernetes(one_line(&status.message))
        }
        kube::Error::Api(status) => {
            Failure::Kubernetes(format!("{} ({})", status.reason, status.code))
        }
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            Failure::Kubernetes("it cannot be reached".to_owned())
        }
        _ => Failure::Kubernetes("its answer cannot be read".to_owned()),
    }
}
