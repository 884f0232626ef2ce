//! The effects on the workspace, and the questions to the provider.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::super::super::recovery::wake_all;
use super::super::effect::Answer;
use super::super::owner;
use super::super::provider::Asked;
use super::super::recall;
use super::super::situation::{Check, Freshness, Grant, Mark, Namesake, Sighting};
use crate::engine::claims::describe_holder;
use crate::engine::outcome::Failure;
use crate::kinds::Verdict;
use crate::runtime::metrics::CheckResult;
use crate::unstructured::{
    self, Commit, Connector, ConnectorId, ErrorKind, Key, KeyObjection, Snapshot,
};

use super::actor::{Actor, no_workspace};

/// How far the service's clock may be from ours.
const CLOCKS_APART: SignedDuration = SignedDuration::from_mins(15);

impl Actor<'_> {
    pub async fn look(self, freshness: Freshness) -> Answer {
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
        let listed = target.is_some_and(|id| snapshot.is_of_list(&id));
        let since = self.lifetime();
        let name = self.s.name().value;
        let namesakes = snapshot
            .called(&name, &self.s.wanted.key)
            .into_iter()
            .map(|source| Namesake {
                mark: self.mark(source),
                other_name: (*source.name != *name).then(|| self.shown_name(source)),
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
            listed,
            namesakes: namesakes.collect(),
        }
    }

    fn mark(&self, source: &Connector) -> Mark {
        match &source.key {
            Key::Unshown => Mark::Unshown,
            Key::Given(key) if **key == *self.s.wanted.key => Mark::Ours,
            Key::Given(_) | Key::Absent => Mark::Anothers,
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
            same_kind: source.is_of_type(self.hand.resource.spec.connector_type()),
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
        Some(workspace.session.client.scrub(config, text))
    }

    fn drift(&self, source: &Connector) -> BTreeSet<String> {
        match (&self.hand.workspace, &self.hand.config) {
            (Some(workspace), Some(config)) => workspace.drift(config, source),
            _ => BTreeSet::new(),
        }
    }

    pub async fn confirm(self, id: &ConnectorId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.connectors.get(id).await {
            Ok(source) => {
                let sighting = self.sighting(&source);
                // One of another kind is in no inventory of ours, and must not be offered under its name.
                if source.is_of_type(self.hand.resource.spec.connector_type()) {
                    workspace.inventory.put(source);
                }
                Answer::Connector(sighting)
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                if self.s.debut.is_over() {
                    workspace.removed(id);
                }
                Answer::Connector(Sighting::Gone)
            }
            Err(error) => self.failed(&error),
        }
    }

    pub async fn check_credentials(self) -> Answer {
        let Some(credentials) = &self.hand.credentials else {
            return no_workspace();
        };
        let spec = &self.hand.resource.spec;
        let Some(provider) = spec.provider() else {
            return Answer::Grant(Grant::Accepted);
        };
        let ask = spec.ask(&self.context.providers, credentials, self.hand.since);
        let breaker = self.context.breakers.of(provider);
        let verdict = match breaker.ask(self.key, ask).await {
            Asked::Answered(verdict) => verdict,
            Asked::Resting(why) => return Answer::Grant(Grant::Silence(why)),
            Asked::Busy => return Answer::Failed(Failure::Busy),
        };
        wake_all(self.context, breaker.recovered());
        let result = match &verdict {
            Verdict::NotAsked => None,
            Verdict::Accepted | Verdict::Insufficient(_) => Some(CheckResult::Accepted),
            Verdict::Refused(_) => Some(CheckResult::Rejected),
            Verdict::Inconclusive(_) | Verdict::NoAnswer(_) => Some(CheckResult::Inconclusive),
        };
        if let Some(result) = result {
            self.context
                .metrics
                .credential_check(provider.label(), result);
        }
        Answer::Grant(match verdict {
            Verdict::NotAsked | Verdict::Accepted => Grant::Accepted,
            Verdict::Insufficient(shortfall) => Grant::Insufficient(shortfall),
            Verdict::Refused(why) => Grant::Refused(why),
            Verdict::Inconclusive(why) => Grant::Inconclusive(why),
            Verdict::NoAnswer(why) => Grant::Silence(why),
        })
    }

    pub async fn create(self, name: &str, key: Option<&str>) -> Answer {
        let (Some(workspace), Some(config)) = (&self.hand.workspace, &self.hand.config) else {
            return no_workspace();
        };
        match workspace.connectors.create(name, key, config).await {
            Ok(source) => {
                let id = source.id;
                // A new id is held by nobody, and was not there before.
                if self.is_anothers(&source) || self.claim(id).is_err() {
                    return Answer::Failed(Failure::replayed(format_args!("connector {id}")));
                }
                let mark = self.mark(&source);
                workspace.wrote(config, source);
                Answer::Created(id, mark)
            }
            Err(error) if key.is_some() && error.key_objection().is_some() => {
                match error.key_objection() {
                    Some(KeyObjection::Taken) => Answer::KeyTaken(error.message().to_owned()),
                    Some(KeyObjection::Refused) | None => Answer::KeyRefused,
                }
            }
            Err(error) => self.failed(Failure::of_configuration(&error)),
        }
    }

    /// Whether what a create was answered with is certainly not what it made: it was in the list before, under a name that is not ours,
    /// or carries what another resource's would. A service that only changes the name is believed.
    fn is_anothers(&self, shown: &Connector) -> bool {
        let Some(workspace) = &self.hand.workspace else {
            return false;
        };
        let is_ours = |connector: &Connector| {
            *connector.name == *self.s.name().value || self.mark(connector) == Mark::Ours
        };
        let list = workspace.inventory.latest();
        let listed = list.as_ref().and_then(|list| list.by_id(&shown.id));
        let collection = self.kind().collection;
        listed.is_some_and(|listed| !is_ours(listed))
            || (!is_ours(shown) && owner::of(self.context, self.key, collection, shown).is_some())
    }

    pub async fn update(self, id: &ConnectorId) -> Answer {
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

    pub async fn delete(self, id: &ConnectorId) -> Answer {
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
            // that this one is not there, unless the list shows it: then the list is late, or the 404 is not about it.
            match workspace.inventory.at_least(sent).await {
                Ok(list) if list.by_id(id).is_some() => match workspace.connectors.get(id).await {
                    Ok(_) => return self.failed(contradicted(*id)),
                    Err(error) if error.kind == ErrorKind::NotFound => {}
                    Err(error) => return self.failed(&error),
                },
                Ok(_) => {}
                Err(error) => return self.failed(&error),
            }
        }
        if answer.is_ok() || self.s.bound() != Some(*id) || self.s.debut.is_over() {
            workspace.removed(id);
        }
        answer.map_or_else(|error| self.failed(&error), |()| Answer::Done)
    }

    pub async fn start_check(self, id: &ConnectorId) -> Answer {
        let Some(workspace) = &self.hand.workspace else {
            return no_workspace();
        };
        match workspace.connectors.start_check(id).await {
            Ok(check) => Answer::Check(self.check(check)),
            Err(error) => self.failed(&error),
        }
    }

    pub async fn poll_check(self, source: &ConnectorId, id: &str) -> Answer {
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

    fn check(&self, check: unstructured::Check) -> Check {
        let reason = check
            .reason
            .map(|reason| self.scrub(&reason).unwrap_or_default());
        Check::from_answer(check.id.to_string(), &check.status, reason)
    }
}

/// A connector that is not there was shown.
fn contradicted(id: ConnectorId) -> Failure {
    Failure::Api {
        kind: ErrorKind::Unexpected,
        rate_limited: false,
        message: format!(
            "the API responded that there is no connector {id} to delete, but shows it"
        ),
        commit: Commit::Never,
        sent_configuration: false,
    }
}
