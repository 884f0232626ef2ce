//! What a failure of the Kubernetes API means to a pass.

use kube::api::DynamicObject;

use super::outcome::Failure;
use crate::kinds::{Kind, Resource};
use crate::kube_error::{is_conflict, is_missing};
use crate::scrub::one_line;

/// A failure of the Kubernetes API, in words that hold no object's content.
pub fn kubernetes(error: &kube::Error) -> Failure {
    if is_conflict(error) || is_missing(error) {
        return Failure::Conflict;
    }
    let status = match error {
        kube::Error::Api(status) => status,
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            return Failure::Kubernetes("it cannot be reached".to_owned());
        }
        _ => return Failure::Kubernetes("its response cannot be read".to_owned()),
    };
    if status.message.contains("strict decoding error") {
        return Failure::Definition(one_line(&status.message));
    }
    match status.code {
        // The authorizer's words name the verb, the kind and the account that lacks the right.
        403 => Failure::Forbidden(one_line(&status.message)),
        // What a policy or a validation says is meant for whoever wrote the object, and nobody else can say it.
        code @ 400..=499 if !status.message.is_empty() => {
            Failure::Kubernetes(format!("{} ({code})", one_line(&status.message)))
        }
        code => Failure::Kubernetes(format!("{} ({code})", status.reason)),
    }
}

/// The resource that the API server answered with.
pub fn read(kind: &'static Kind, answer: DynamicObject) -> Result<Resource, Failure> {
    let unreadable = |_| Failure::Kubernetes(format!("its response is no {}", kind.name));
    kind.read(answer).map_err(unreadable)
}
