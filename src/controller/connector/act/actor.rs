//! Who performs an effect, and on what.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::DynamicObject;

use super::super::super::context::Context;
use super::super::effect::Answer;
use super::super::hand::Hand;
use super::super::report::Occasion;
use super::super::situation::Situation;
use crate::crd::WorkspaceReference;
use crate::engine::key::Key;
use crate::engine::outcome::Failure;
use crate::kinds::{Kind, Resource};
use crate::unstructured::ErrorKind;

/// One effect, about to be performed.
pub struct Actor<'a> {
    pub context: &'a Context,
    pub key: &'a Key,
    pub hand: &'a mut Hand,
    pub s: &'a Situation,
}

impl Actor<'_> {
    pub fn kind(&self) -> &'static Kind {
        self.hand.resource.kind
    }

    pub fn api(&self) -> Api<DynamicObject> {
        self.context.api(self.kind(), &self.key.namespace)
    }

    /// The failure of a call. Where the API key is at fault, it says which one that is.
    pub fn failed(&self, failure: impl Into<Failure>) -> Answer {
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

/// The plan never asks for a call without a workspace and a configuration; should it, nothing is sent.
pub fn no_workspace() -> Answer {
    Answer::Failed(Failure::Overrun(
        "a call was planned without a workspace or a configuration",
    ))
}
