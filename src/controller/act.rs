//! Performs one effect and says what it was answered. Nothing is decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::claims::Claimant;
use super::effect::{Answer, Effect};
use super::index::Key;
use super::observe::{Hand, describe_holder};
use super::outcome::{Failure, Outcome};
use super::provider::Asked;
use super::record::write_status;
use super::refusal::{kubernetes, read};
use super::report::{self, Occasion};
use super::situation::{Check, Freshness, Grant, Namesake, Sighting, Situation};
use super::{Context, MANAGER, recall};
use crate::crd::{FINALIZER, WorkspaceReference};
use crate::kinds::{Kind, Provider, Resource, Verdict};
use crate::runtime::metrics::GrantResult;
use crate::unstructured::{self, Commit, Connector, ConnectorId, ErrorKind, Snapshot};

/// How often writing down the id of a new connector is tried before a restart has to find it again.
const RECORD_ATTEMPTS: u32 = 10;

/// How far the service's clock may be from ours.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(15);

/// Performs one effect.
pub async fn perform(
    context: &Context,
    key: &Key,
    hand: &mut Hand,
    s: &Situation,
    effect: &Effect,
) -> Answer {
    let actor = Actor {
        context,
        key,
        hand,
        s,
    };
    match effect {
        Effect::AddFinalizer => actor.set_finalizer(true).await,
        Effect::Rehearse => actor.rehearse().await,
        Effect::RemoveFinalizer(_) => actor.remove_finalizer().await,
        Effect::RecordIntent { name } => actor.record_intent(name).await,
        Effect::RecordUpdate => actor.write_ahead(&s.unsure()).await,
        Effect::Record(outcome) => actor.record(outcome).await,
        Effect::Look(freshness) => actor.look(*freshness).await,
        Effect::Confirm(id) => actor.confirm(id).await,
        Effect::CheckCredentials => actor.check_credentials().await,
        Effect::Bind(id, _) => match actor.claim(*id) {
            Ok(()) => Answer::Claimed,
            Err(holder) => Answer::Held(describe_holder(key, &holder)),
        },
        Effect::Create { name } => actor.create(name).await,
        Effect::Update(id) => actor.update(id).await,
        Effect::Delete(id) => actor.delete(id).await,
        Effect::StartCheck(id) => actor.start_check(id).await,
        Effect::PollCheck { source, check } => actor.poll_check(source, check).await,
    }
}

struct Actor<'a> {
    context: &'a Context,
    key: &'a Key,
    hand: &'a mut Hand,
    s: &'a Situation,
}

impl Actor<'_> {
    fn kind(&self) -> &'static Kind {
        self.hand.resource.kind
    }

    fn api(&self) -> Api<DynamicObject> {
        self.context.api(self.kind(), &self.key.namespace)
    }

    // === Kubernetes ===

    fn who(&self) -> Claimant {
        Claimant::of(&self.hand.resource)
    }

    fn claim(&self, id: ConnectorId) -> Result<(), Key> {
        let who = self.who();
        self.context.index.claims(|claims| claims.claim(&who, id))
    }

    async fn set_finalizer(self, present: bool) -> Answer {
        let patched = self.patch_finalizer(present, false).await;
        let patched = patched.map_err(|error| kubernetes(&error));
        match patched.and_then(|written| read(self.kind(), written)) {
            Ok(written) => {
                self.hand.wrote(written);
                Answer::Done
            }
            Err(failure) => Answer::Failed(failure),
        }
    }

    async fn rehearse(self) -> Answer {
        let answer = self.patch_finalizer(false, true).await;
        answer.map_or_else(|error| Answer::Failed(kubernetes(&error)), |_| Answer::Done)
    }

    async fn remove_finalizer(self) -> Answer {
        let who = self.who();
        match self.patch_finalizer(false, false).await {
            Ok(written) => {
                if let Ok(written) = self.kind().read(written) {
                    self.hand.wrote(written);
                }
            }
            // Whoever took the last finalizer off, the resource is gone as intended.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Answer::Failed(kubernetes(&error)),
        }
        self.context.index.claims(|claims| claims.released(&who));
        Answer::Done
    }

    /// The resourceVersion makes a decision on a stale cache die with a conflict instead of taking effect.
    async fn patch_finalizer(&self, present: bool, dry_run: bool) -> kube::Result<DynamicObject> {
        let resource = &self.hand.resource;
        let mut finalizers: Vec<_> = resource
            .finalizers()
            .iter()
            .filter(|f| *f != FINALIZER)
            .cloned()
            .collect();
        if present {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": { "resourceVersion": resource.resource_version(), "finalizers": finalizers } });
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            dry_run,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        self.api().patch(&self.key.name, &params, &patch).await
    }

    async fn record_intent(self, name: &str) -> Answer {
        let Ok(workspace) = &self.s.workspace else {
            return no_workspace();
        };
        let who = self.who();
        let (collection, spec) = (self.kind().collection, &self.hand.resource.spec);
        let place = format!(
            "{} {collection} {}",
            workspace.fingerprint,
            spec.connector_type()
        );
        let claim = self
            .context
            .index
            .claims(|claims| claims.claim_name(&who, &place, name));
        if let Err(holder) = claim {
            return Answer::Held(describe_holder(self.key, &holder));
        }
        let then = self.s.intending(name);
        self.write_ahead(&then).await
    }

    /// Records what is about to be done before it is, and only over the version that it was decided on.
    async fn write_ahead(self, then: &Situation) -> Answer {
        let status = report::status(
            &self.hand.status(),
            then,
            &Outcome::Applying,
            &occasion(self.context, self.hand),
        );
        match write_status(self.context, self.hand, &status).await {
            Ok(()) => Answer::Done,
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// What is recorded here is lost at the price of a search, so it is tried for longer than anything else, and a resource that
    /// was changed meanwhile is read again rather than given up.
    async fn record(self, outcome: &Outcome) -> Answer {
        let adopted = self
            .s
            .changes
            .iter()
            .all(|change| !change.is_accepted_configuration());
        let mut pause = Duration::from_millis(100);
        for _ in 0..RECORD_ATTEMPTS {
            if !self.context.leadership.is_valid() {
                return Answer::Failed(Failure::NotLeading);
            }
            let on = occasion(self.context, self.hand);
            let status = report::status(&self.hand.status(), self.s, outcome, &on);
            match write_status(self.context, self.hand, &status).await {
                Ok(()) => return Answer::Done,
                // Written again it would be refused again; what is on record stays.
                Err(failure @ Failure::Definition(_)) => return Answer::Failed(failure),
                Err(Failure::Conflict) if adopted => return Answer::Failed(Failure::Conflict),
                Err(Failure::Conflict) => match self.api().get(&self.key.name).await {
                    Ok(fresh) if fresh.uid() == self.hand.resource.uid() => {
                        if let Ok(fresh) = self.kind().read(fresh) {
                            self.hand.take_in(fresh);
                            continue;
                        }
                    }
                    Ok(_) => return Answer::Failed(Failure::Conflict),
                    Err(kube::Error::Api(status)) if status.is_not_found() => {
                        return Answer::Failed(Failure::Conflict);
                    }
                    Err(_) => {}
                },
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        Answer::Failed(Failure::Kubernetes(
            "the status could not be written".to_owned(),
        ))
    }

    // === Unstructured ===

    async fn look(self, freshness: Freshness) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        let at = match freshness {
            Freshness::Any => self.context.started,
            Freshness::Trigger => self.hand.since,
            Freshness::Now => Instant::now(),
        };
        match workspace.inventory.at_least(at).await {
            Ok(snapshot) => self.seen(&snapshot),
            Err(error) => self.failed(&error),
        }
    }

    fn seen(&self, snapshot: &Snapshot) -> Answer {
        let target = self.s.bound().or(self.s.wanted.existing);
        let connector = match target {
            None => Sighting::Unseen,
            Some(id) => snapshot
                .by_id(&id)
                .map_or(Sighting::Unlisted, |source| self.sighting(source)),
        };
        let since = self.lifetime();
        let namesakes = snapshot
            .by_name(&self.s.name().value)
            .into_iter()
            .map(|source| Namesake {
                recent: source.created_at.is_some_and(|made| made >= since),
                id: source.id,
                holder: self
                    .context
                    .index
                    .holder(source.id)
                    .filter(|holder| holder != self.key)
                    .map(|holder| describe_holder(self.key, &holder)),
                drift: self.drift(source),
            });
        Answer::Seen {
            connector,
            namesakes: namesakes.collect(),
        }
    }

    /// Since when a connector can have come of this resource's creates. The service's clock and ours may differ.
    fn lifetime(&self) -> Timestamp {
        match recall::first_create(&self.hand.status()) {
            Some(begun) => begun.0.checked_sub(CLOCKS_APART).unwrap_or(begun.0),
            None => self
                .hand
                .resource
                .metadata
                .creation_timestamp
                .as_ref()
                .map_or(Timestamp::MAX, |time| time.0),
        }
    }

    fn sighting(&self, source: &Connector) -> Sighting {
        Sighting::Present {
            drift: self.drift(source),
            name: self.shown_name(source),
            same_kind: *source.connector_type == *self.hand.resource.spec.connector_type(),
        }
    }

    /// Our own name for it as it is, any other made fit to be shown.
    fn shown_name(&self, source: &Connector) -> String {
        if *source.name == *self.s.name().value {
            return source.name.to_string();
        }
        self.scrub(&source.name)
            .or_else(|| self.hand.status().connector_name)
            .unwrap_or_default()
    }

    /// The API's words, fit to be shown. Nothing is, where the secrets are not known that they may hold.
    fn scrub(&self, text: &str) -> Option<String> {
        let (workspace, config) = (self.hand.workspace.as_ref()?, self.hand.config.as_ref()?);
        Some(workspace.client.scrub(config, text))
    }

    fn drift(&self, source: &Connector) -> BTreeSet<String> {
        match (&self.hand.workspace, &self.hand.config) {
            (Some(workspace), Some(config)) => workspace.drift(config, source),
            _ => BTreeSet::new(),
        }
    }

    async fn confirm(self, id: &ConnectorId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.connectors.get(id).await {
            Ok(source) => {
                let sighting = self.sighting(&source);
                // One of another kind is in no inventory of ours, and must not be offered under its name.
                if *source.connector_type == *self.hand.resource.spec.connector_type() {
                    workspace.inventory.put(source);
                }
                Answer::Connector(sighting)
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                workspace.removed(id);
                Answer::Connector(Sighting::Gone)
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn check_credentials(self) -> Answer {
        let Some(credentials) = &self.hand.credentials else {
            return no_workspace();
        };
        let spec = &self.hand.resource.spec;
        let Some(provider) = spec.provider() else {
            return Answer::Grant(Grant::Accepted);
        };
        let ask = spec.ask(&self.context.providers, credentials, self.hand.since);
        let verdict = match self.context.breakers.of(provider).ask(ask).await {
            Asked::Answered(verdict) => verdict,
            Asked::Resting(why) => return Answer::Grant(Grant::Inconclusive(why)),
            Asked::Busy => return Answer::Failed(Failure::Busy),
        };
        let result = match &verdict {
            Verdict::NotAsked => None,
            Verdict::Accepted | Verdict::Insufficient(_) => Some(GrantResult::Accepted),
            Verdict::Refused(_) => Some(GrantResult::Rejected),
            Verdict::Inconclusive(_) | Verdict::NoAnswer(_) => Some(GrantResult::Inconclusive),
        };
        if let (Some(result), Provider::Dropbox) = (result, provider) {
            self.context.metrics.dropbox_grant(result);
        }
        Answer::Grant(match verdict {
            Verdict::NotAsked | Verdict::Accepted => Grant::Accepted,
            Verdict::Insufficient(shortfall) => Grant::Insufficient(shortfall),
            Verdict::Refused(why) => Grant::Refused(why),
            Verdict::Inconclusive(why) | Verdict::NoAnswer(why) => Grant::Inconclusive(why),
        })
    }

    async fn create(self, name: &str) -> Answer {
        let (Some(workspace), Some(config)) = (&self.hand.workspace, &self.hand.config) else {
            return no_workspace();
        };
        match workspace.connectors.create(name, config).await {
            Ok(source) => {
                let id = source.id;
                if self.claim(id).is_err() {
                    return replayed(id);
                }
                workspace.wrote(config, source);
                Answer::Created(id)
            }
            Err(error) => self.failed(Failure::of_configuration(&error)),
        }
    }

    async fn update(self, id: &ConnectorId) -> Answer {
        let (Some(workspace), Some(config)) = (&self.hand.workspace, &self.hand.config) else {
            return no_workspace();
        };
        let differed =
            matches!(&self.s.connector, Sighting::Present { drift, .. } if !drift.is_empty());
        match workspace.connectors.update(id, config, differed).await {
            Ok(shown) => {
                workspace.configured(id, config, shown);
                Answer::Done
            }
            Err(error) => self.failed(Failure::of_configuration(&error)),
        }
    }

    async fn delete(self, id: &ConnectorId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        let sent = Instant::now();
        let answer = workspace.connectors.delete(id).await;
        if let Err(error) = &answer {
            if error.kind != ErrorKind::NotFound {
                return self.failed(error);
            }
            // A path that is no route gets the same 404, behind a wrong URL for example. Where connectors can be listed, it means
            // that this one is not there.
            if let Err(error) = workspace.inventory.at_least(sent).await {
                return self.failed(&error);
            }
        }
        workspace.removed(id);
        answer.map_or_else(|error| self.failed(&error), |()| Answer::Done)
    }

    async fn start_check(self, id: &ConnectorId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.connectors.start_check(id).await {
            Ok(check) => Answer::Check(self.check(check)),
            Err(error) => self.failed(&error),
        }
    }

    async fn poll_check(self, source: &ConnectorId, id: &str) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.connectors.latest_check(source).await {
            // The API only ever shows the latest check: an earlier one says nothing about ours.
            Ok(Some(check)) if check.id.to_string() == id => Answer::Check(self.check(check)),
            Ok(_) => Answer::Check(Check::Scheduled(id.to_owned())),
            Err(error) => self.failed(&error),
        }
    }

    /// The failure of a call. Where the API key is at fault, it says which one that is.
    fn failed(&self, failure: impl Into<Failure>) -> Answer {
        let mut failure = failure.into();
        if let Failure::Api {
            kind: ErrorKind::Unauthorized | ErrorKind::Forbidden,
            message,
            ..
        } = &mut failure
        {
            *message = format!("{message}; {}", place_of_key(&self.hand.resource));
        }
        Answer::Failed(failure)
    }

    fn check(&self, check: unstructured::Check) -> Check {
        let reason = check
            .reason
            .map(|reason| self.scrub(&reason).unwrap_or_default());
        Check::from_answer(check.id.to_string(), &check.status, reason)
    }
}

/// The moment of a write.
pub fn occasion(context: &Context, hand: &Hand) -> Occasion {
    let now = crate::clock::now();
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Occasion {
        generation: hand.generation,
        now: Time(seconds),
        settle_time: context.policy.settle_time,
        forced: None,
        next_attempt: None,
    }
}

/// Where the API key of a resource stands.
fn place_of_key(resource: &Resource) -> String {
    match resource.spec.options().workspace {
        Some(WorkspaceReference {
            api_key_secret_ref, ..
        }) => format!(
            "the API key is {:?} of Secret {:?}",
            api_key_secret_ref.key, api_key_secret_ref.name
        ),
        None => "the API key is the operator's own".to_owned(),
    }
}

/// A new id is held by nobody. An answer to a create that names one which is held is the answer to another request, which a cache on
/// the way can have kept; what became of this one is unknown.
fn replayed(id: ConnectorId) -> Answer {
    Answer::Failed(Failure::Api {
        kind: ErrorKind::Unexpected,
        rate_limited: false,
        message: format!("the API's answer names connector {id}, which another resource holds"),
        commit: Commit::Unknown,
        sent_configuration: true,
    })
}

/// The plan never asks for a call without a workspace and a configuration; should it, nothing is sent.
fn no_workspace() -> Answer {
    Answer::Failed(Failure::Overrun(
        "a call was planned without a workspace or a configuration",
    ))
}
