//! The effects on the resource.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::json;

use super::super::super::context::MANAGER;
use super::super::change::Bind;
use super::super::effect::Answer;
use super::super::owner;
use super::super::record::write_status;
use super::super::report::{self};
use super::super::situation::Situation;
use super::super::users;
use crate::engine::claims::Claimant;
use crate::engine::claims::describe_holder;
use crate::engine::finalizer::finalizers;
use crate::engine::key::Key;
use crate::engine::outcome::{Failure, Outcome};
use crate::engine::refusal::{kubernetes, read};
use crate::kube_error::is_missing;
use crate::unstructured::ConnectorId;

use super::actor::{Actor, no_workspace, occasion};

/// How often writing down the id of a new connector is tried before a restart has to find it again.
const RECORD_ATTEMPTS: u32 = 10;

impl Actor<'_> {
    pub fn who(&self) -> Claimant {
        Claimant::of(&self.hand.resource)
    }

    pub fn claim(&self, id: ConnectorId) -> Result<(), Key> {
        let who = self.who();
        let index = &self.context.index;
        index.claims_of(&who, |claims| claims.claim(&who, id))
    }

    /// Claims a connector that was found. What somebody else made is not taken from the resource that it was made for.
    pub fn bind(&self, id: ConnectorId, how: Bind) -> Result<(), Key> {
        if matches!(how, Bind::ById | Bind::ByName)
            && let Some(workspace) = &self.hand.workspace
            && let Some(list) = workspace.inventory.latest()
            && let Some(connector) = list.by_id(&id)
            && let Some(owner) =
                owner::of(self.context, self.key, self.kind().collection, connector)
        {
            return Err(owner);
        }
        self.claim(id)
    }

    pub async fn set_finalizer(self, present: bool) -> Answer {
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

    pub async fn rehearse(self) -> Answer {
        if let Err(error) = self.patch_finalizer(false, true).await {
            return Answer::Failed(kubernetes(&error));
        }
        match users::of(self.context, self.key, self.hand).await {
            Ok(None) => Answer::Done,
            Ok(Some(users)) => Answer::Used(users),
            Err(failure) => Answer::Failed(failure),
        }
    }

    pub async fn remove_finalizer(self) -> Answer {
        let who = self.who();
        match self.patch_finalizer(false, false).await {
            Ok(written) => {
                if let Ok(written) = self.kind().read(written) {
                    self.hand.wrote(written);
                }
            }
            // Whoever took the last finalizer off, the resource is gone as intended.
            Err(error) if is_missing(&error) => {}
            Err(error) => return Answer::Failed(kubernetes(&error)),
        }
        let index = &self.context.index;
        index.claims_of(&who, |claims| claims.released(&who));
        Answer::Done
    }

    /// The resourceVersion makes a decision on a stale cache die with a conflict instead of taking effect.
    async fn patch_finalizer(&self, present: bool, dry_run: bool) -> kube::Result<DynamicObject> {
        let resource = &self.hand.resource;
        let finalizers = finalizers(&resource.metadata, present);
        let patch = json!({ "metadata": { "resourceVersion": resource.resource_version(), "finalizers": finalizers } });
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            dry_run,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        self.api().patch(&self.key.name, &params, &patch).await
    }

    pub async fn record_intent(self, name: &str, marked: bool) -> Answer {
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
            .claims_of(&who, |claims| claims.claim_name(&who, &place, name));
        if let Err(holder) = claim {
            return Answer::Held(describe_holder(self.key, &holder));
        }
        let then = self.s.intending(name, marked);
        self.write_ahead(&then).await
    }

    /// Records what is about to be done before it is, and only over the version that it was decided on.
    pub async fn write_ahead(self, then: &Situation) -> Answer {
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
    pub async fn record(self, outcome: &Outcome) -> Answer {
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
                    Err(error) if is_missing(&error) => {
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
}
