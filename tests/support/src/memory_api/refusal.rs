//! Refusals, in the words of the real server.

use serde_json::{Value, json};

use super::target::Target;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// Its reason, for machines.
    pub reason: &'static str,
    /// The same for people.
    pub message: String,
    /// A cause that a client may look for: reason and field.
    pub cause: Option<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            cause: None,
        }
    }

    /// A path that is served by nobody: the definition is gone, for example.
    pub(super) fn no_such_path() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(super) fn not_found(target: &Target, name: &str) -> Self {
        let message = format!("{} {name:?} not found", target.resource());
        Self::new(404, "NotFound", message)
    }

    pub(super) fn exists(target: &Target, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", target.resource());
        Self::new(409, "AlreadyExists", message)
    }

    pub(super) fn conflict(target: &Target, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            target.resource()
        );
        Self::new(409, "Conflict", message)
    }

    pub(super) fn undecodable(body: &Value, field: &str) -> Self {
        let kind = body["kind"].as_str().unwrap_or_default();
        let version = body["apiVersion"].as_str().unwrap_or_default();
        let version = version.rsplit('/').next().unwrap_or_default();
        let message = format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: unknown field {field:?}"
        );
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn invalid(target: &Target, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is invalid: {why}", target.resource());
        Self::new(422, "Invalid", message)
    }

    pub(super) fn terminating_namespace(target: &Target, name: &str, namespace: &str) -> Self {
        let message = format!(
            "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            target.resource()
        );
        Self {
            cause: Some(("NamespaceTerminating", "metadata.namespace".to_owned())),
            ..Self::new(403, "Forbidden", message)
        }
    }

    pub(super) fn expired() -> Self {
        Self::new(
            410,
            "Expired",
            "The resourceVersion for the provided watch is too old.",
        )
    }

    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": self.code, "reason": self.reason, "message": self.message,
        });
        if let Some((reason, field)) = &self.cause {
            status["details"] = json!({ "causes": [{ "reason": reason, "field": field }] });
        }
        status
    }
}
