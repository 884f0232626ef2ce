//! Performs one effect and says what it was answered. Nothing is decided here.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::Instant;

use super::effect::{Answer, Effect};
use super::index::Key;
use super::observe::{Hand, describe_holder, kubernetes};
use super::outcome::{Failure, Outcome};
use super::report::{self, Occasion};
use super::situation::{Check, Freshness, Grant, Namesake, Sighting, Situation};
use super::{Context, MANAGER};
use crate::crd::{FINALIZER, SourceStatus};
use crate::kinds::{SourceKind, Verdict};
use crate::runtime::metrics::GrantResult;
use crate::unstructured::{self, ApiError, Commit, ErrorKind, Snapshot, Source, SourceId};

/// How often writing down the id of a new connector is tried before a restart has to find it again.
const RECORD_ATTEMPTS: u32 = 10;

/// Performs one effect.
pub async fn perform<K: SourceKind>(
    context: &Context<K>,
    key: &Key,
    hand: &mut Hand<K>,
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
        Effect::RemoveFinalizer(_) => actor.set_finalizer(false).await,
        Effect::RecordIntent { name } => actor.record_intent(name).await,
        Effect::RecordUpdate => actor.write_ahead(&s.unsure()).await,
        Effect::Record(outcome) => actor.record(outcome).await,
        Effect::Look(freshness) => actor.look(*freshness).await,
        Effect::Confirm(id) => actor.confirm(id).await,
        Effect::CheckCredentials => actor.check_credentials().await,
        Effect::Bind(id, _) => match context.index.claim(key, *id) {
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

struct Actor<'a, K> {
    context: &'a Context<K>,
    key: &'a Key,
    hand: &'a mut Hand<K>,
    s: &'a Situation,
}

impl<K: SourceKind> Actor<'_, K> {
    fn api(&self) -> Api<K> {
        Api::namespaced(self.context.client.clone(), &self.key.namespace)
    }

    // === Kubernetes ===

    /// The resourceVersion makes a decision on a stale cache die with a conflict instead of taking effect.
    async fn set_finalizer(self, present: bool) -> Answer {
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
            ..PatchParams::default()
        };
        match self
            .api()
            .patch(&self.key.name, &params, &Patch::Merge(patch))
            .await
        {
            Ok(written) => {
                self.hand.take_in(written);
                Answer::Done
            }
            // Whoever took the last finalizer off, the resource is gone as intended.
            Err(kube::Error::Api(status)) if status.is_not_found() && !present => Answer::Done,
            Err(error) => Answer::Failed(kubernetes(&error)),
        }
    }

    async fn record_intent(self, name: &str) -> Answer {
        let Ok(workspace) = &self.s.workspace else {
            return no_workspace();
        };
        let claim = self
            .context
            .index
            .claim_name(self.key, &workspace.fingerprint, name);
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
            &occasion(self.hand),
        );
        match write_status(self.context, self.key, self.hand, &status).await {
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
            let status = report::status(&self.hand.status(), self.s, outcome, &occasion(self.hand));
            match write_status(self.context, self.key, self.hand, &status).await {
                Ok(()) => return Answer::Done,
                Err(Failure::Conflict) if adopted => return Answer::Failed(Failure::Conflict),
                Err(Failure::Conflict) => match self.api().get(&self.key.name).await {
                    Ok(fresh) if fresh.uid() == self.hand.resource.uid() => {
                        self.hand.take_in(fresh);
                        continue;
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
            Err(error) => failed(&error),
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
        let namesakes = snapshot
            .by_name(&self.s.name().value)
            .into_iter()
            .map(|source| Namesake {
                id: source.id,
                held: self
                    .context
                    .index
                    .holder(source.id)
                    .is_some_and(|holder| holder != *self.key),
                drift: self.drift(source),
            });
        Answer::Seen {
            connector,
            namesakes: namesakes.collect(),
        }
    }

    fn sighting(&self, source: &Source) -> Sighting {
        Sighting::Present {
            drift: self.drift(source),
            name: source.name.to_string(),
            same_kind: *source.source_type == *K::SOURCE_TYPE,
        }
    }

    fn drift(&self, source: &Source) -> BTreeSet<String> {
        match (&self.hand.workspace, &self.hand.config) {
            (Some(workspace), Some(config)) => workspace.drift(config, source),
            _ => BTreeSet::new(),
        }
    }

    async fn confirm(self, id: &SourceId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.client.get(id).await {
            Ok(source) => {
                let sighting = self.sighting(&source);
                workspace.inventory.put(source);
                Answer::Connector(sighting)
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                workspace.removed(id);
                Answer::Connector(Sighting::Gone)
            }
            Err(error) => failed(&error),
        }
    }

    async fn check_credentials(self) -> Answer {
        let Some(credentials) = &self.hand.credentials else {
            return Answer::Grant(Grant::Inconclusive);
        };
        let verdict = self
            .hand
            .resource
            .ask(&self.context.providers, credentials, self.hand.since)
            .await;
        match &verdict {
            Verdict::NotAsked => {}
            Verdict::Accepted | Verdict::Insufficient(_) => {
                self.context.metrics.dropbox_grant(GrantResult::Accepted);
            }
            Verdict::Refused(_) => self.context.metrics.dropbox_grant(GrantResult::Rejected),
            Verdict::Inconclusive(_) => self
                .context
                .metrics
                .dropbox_grant(GrantResult::Inconclusive),
        }
        Answer::Grant(match verdict {
            Verdict::NotAsked | Verdict::Accepted => Grant::Accepted,
            Verdict::Insufficient(shortfall) => Grant::Insufficient(shortfall),
            Verdict::Refused(why) => Grant::Refused(why),
            Verdict::Inconclusive(why) => {
                tracing::debug!(resource = %self.key, why, "the provider could not say whether the credentials are good");
                Grant::Inconclusive
            }
        })
    }

    async fn create(self, name: &str) -> Answer {
        let (Some(workspace), Some(config)) = (&self.hand.workspace, &self.hand.config) else {
            return no_workspace();
        };
        match workspace.client.create(name, K::SOURCE_TYPE, config).await {
            Ok(source) => {
                let id = source.id;
                if self.context.index.claim(self.key, id).is_err() {
                    return replayed(id);
                }
                workspace.wrote(config, source);
                Answer::Created(id)
            }
            Err(error) => failed(&error),
        }
    }

    async fn update(self, id: &SourceId) -> Answer {
        let (Some(workspace), Some(config)) = (&self.hand.workspace, &self.hand.config) else {
            return no_workspace();
        };
        match workspace.client.update(id, config).await {
            Ok(source) => {
                workspace.wrote(config, source);
                Answer::Done
            }
            Err(error) => failed(&error),
        }
    }

    async fn delete(self, id: &SourceId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        let sent = Instant::now();
        let answer = workspace.client.delete(id).await;
        if let Err(error) = &answer {
            if error.kind != ErrorKind::NotFound {
                return failed(error);
            }
            // A path that is no route gets the same 404, behind a wrong URL for example. Where connectors can be listed, it means
            // that this one is not there.
            if let Err(error) = workspace.inventory.at_least(sent).await {
                return failed(&error);
            }
        }
        workspace.removed(id);
        answer.map_or_else(|error| failed(&error), |()| Answer::Done)
    }

    async fn start_check(self, id: &SourceId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.client.start_check(id).await {
            Ok(check) => Answer::Check(self.check(check)),
            Err(error) => failed(&error),
        }
    }

    async fn poll_check(self, source: &SourceId, id: &str) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.client.latest_check(source).await {
            // The API only ever shows the latest check: an earlier one says nothing about ours.
            Ok(Some(check)) if check.id == id => Answer::Check(self.check(check)),
            Ok(_) => Answer::Check(Check::Scheduled(id.to_owned())),
            Err(error) => failed(&error),
        }
    }

    fn check(&self, check: unstructured::Check) -> Check {
        let scrub = |reason: String| {
            self.hand
                .config
                .as_ref()
                .map_or_else(String::new, |config| config.scrub(&reason))
        };
        Check::from_answer(check.id, &check.status, check.reason.map(scrub))
    }
}

/// The moment of a write.
pub fn occasion<K: SourceKind>(hand: &Hand<K>) -> Occasion {
    let now = jiff::Timestamp::now();
    let seconds = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    Occasion {
        generation: hand.generation,
        now: Time(seconds),
        forced: None,
        next_attempt: None,
    }
}

/// Writes the status if it differs from what is on record, and only over the version of the resource that it was decided on.
pub async fn write_status<K: SourceKind>(
    context: &Context<K>,
    key: &Key,
    hand: &mut Hand<K>,
    status: &SourceStatus,
) -> Result<(), Failure> {
    if hand.resource.status() == Some(status) {
        return Ok(());
    }
    let meta = hand.resource.meta();
    let patch = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": &*key.name, "uid": meta.uid, "resourceVersion": meta.resource_version },
        "status": status,
    });
    let api: Api<K> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = PatchParams::apply(MANAGER).force();
    let written = api
        .patch_status(&key.name, &params, &Patch::Apply(patch))
        .await
        .map_err(|error| kubernetes(&error))?;
    hand.take_in(written);
    Ok(())
}

fn failed(error: &ApiError) -> Answer {
    Answer::Failed(error.into())
}

/// A new id is held by nobody. An answer to a create that names one which is held is the answer to another request, which a cache on
/// the way can have kept; what became of this one is unknown.
fn replayed(id: SourceId) -> Answer {
    Answer::Failed(Failure::Api {
        kind: ErrorKind::Unexpected,
        rate_limited: false,
        message: format!("the API's answer names connector {id}, which another resource holds"),
        commit: Commit::Unknown,
    })
}

/// The plan never asks for a call without a workspace and a configuration; should it, nothing is sent.
fn no_workspace() -> Answer {
    Answer::Failed(Failure::Overrun(
        "a call was planned without a workspace or a configuration",
    ))
}
