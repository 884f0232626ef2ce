//! The `key` of an object: a name that its creator chooses and nobody changes, known to the service since 2026.

use serde_json::Value;

use super::{answers, envelope::Invalid, rules::Rules, workspace::Workspace};
use crate::fake::Answer;

/// What a workspace makes of keys; [`Default`] takes them, gives none of its own and compares them with no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What happens to a key in a create.
    pub given: GivenKey,
    /// What an object created without a key has.
    pub absent: AbsentKey,
    /// What happens to a key that another object of the workspace has, of whichever family.
    pub taken: TakenKey,
    /// An object can be addressed by its key: what is no UUID in a path is one, and gets 404 when nothing has it.
    pub in_paths: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            given: GivenKey::Honoured,
            absent: AbsentKey::Null,
            taken: TakenKey::Allowed,
            in_paths: false,
        }
    }
}

/// What happens to a key in a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenKey {
    /// It is validated, stored and returned.
    Honoured,
    /// Nothing, and no answer has the member: a deployment from before keys.
    Ignored,
    /// 412 or 422 that names `key`, and no answer has the member.
    Refused(u16),
}

/// What an object created without a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentKey {
    /// None: answers show null.
    Null,
    /// One made of its name and, for a connector, six hexadecimal digits.
    Derived,
}

/// What happens to a key that another object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenKey {
    /// Any number of objects have it.
    Allowed,
    /// This status until the other one is deleted: 409 with a `detail`, 412 with `errors`, 422 with `loc`.
    Refused(u16),
    /// This status for ever: a deleted object keeps its key.
    RefusedForEver(u16),
}

/// The longest one.
const LONGEST: usize = 63;

/// The key that a create asks for, when the workspace takes it.
pub(super) fn admit(
    sent: Option<Value>,
    rules: &Rules,
    workspace: &Workspace,
) -> Result<Option<String>, Answer> {
    let Some(sent) = sent.filter(|sent| !sent.is_null()) else {
        return Ok(None);
    };
    let keys = workspace.keys;
    match keys.given {
        GivenKey::Honoured => {}
        GivenKey::Ignored => return Ok(None),
        GivenKey::Refused(status) => {
            let message = "Extra inputs are not permitted";
            return Err(refused(status, "extra_forbidden", message, sent, rules));
        }
    }
    let Value::String(key) = sent else {
        let message = "Input should be a valid string";
        return Err(refused(422, "string_type", message, sent, rules));
    };
    let (kind, message) = match key.chars().count() {
        0 => (
            "string_too_short",
            "String should have at least 1 character",
        ),
        length if length > LONGEST => (
            "string_too_long",
            "String should have at most 63 characters",
        ),
        _ if is_slug(&key) => {
            let status = match keys.taken {
                TakenKey::Refused(status) if workspace.has_key(&key) => status,
                TakenKey::RefusedForEver(status) if workspace.ever_had_key(&key) => status,
                _ => return Ok(Some(key)),
            };
            let message = format!("Key {key} already exists");
            return Err(refused(status, "value_error", &message, key.into(), rules));
        }
        _ => (
            "string_pattern_mismatch",
            "String should match pattern '^[a-z0-9](-?[a-z0-9])*$'",
        ),
    };
    Err(refused(422, kind, message, key.into(), rules))
}

/// A refusal in the shape of its status. Each but 409's names the member where a client can find it.
fn refused(status: u16, kind: &str, message: &str, input: Value, rules: &Rules) -> Answer {
    let loc = &["body", "key"];
    match status {
        412 => answers::invalid_configuration(&[("key".into(), message.into())]),
        422 => Invalid {
            kind,
            loc,
            message,
            input,
        }
        .refused(rules),
        status => answers::detail(status, message),
    }
}

fn is_slug(key: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    key.split('-')
        .all(|part| !part.is_empty() && part.chars().all(letter))
}

/// A key for a connector that was created without one: its name as a slug, and the end of its id.
pub(super) fn derive(name: &str, id: &str) -> String {
    let digits = &id[id.len() - 6..];
    match slug(name, LONGEST - 1 - digits.len()).as_str() {
        "" => digits.to_owned(),
        slug => format!("{slug}-{digits}"),
    }
}

/// A key for a workflow that was created without one: its name as a slug, if that leaves anything.
pub(super) fn derive_for_workflow(name: &str, id: &str) -> String {
    match slug(name, LONGEST).as_str() {
        "" => derive(name, id),
        slug => slug.to_owned(),
    }
}

fn slug(name: &str, longest: usize) -> String {
    let name = name.to_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let mut slug = parts.join("-");
    slug.truncate(longest);
    slug.trim_end_matches('-').to_owned()
}
