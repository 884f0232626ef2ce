//! What can go wrong with a call, and what it means for whoever made it: above all, whether it may have been carried out.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

pub use super::key_objection::KeyObjection;
pub use super::unknown_connector::UnknownConnector;
use crate::scrub::one_line;

/// A call that did not give its answer.
///
/// It has no source and its text is one bounded line without secrets: what the transport or the service said has been read, judged
/// and scrubbed before it came here.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiError {
    /// What happened.
    pub kind: ErrorKind,
    /// The answer's status code, if there was an answer.
    pub status: Option<u16>,
    commit: Commit,
    rate_limited: bool,
    key: Option<KeyObjection>,
    unknown: Option<UnknownConnector>,
    message: String,
}

/// What happened to a call, by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 401: the key is missing, malformed or not valid. Permanent until the key changes.
    Unauthorized,
    /// 403, or 402 (the message tells which): the key's role or the account does not allow it.
    Forbidden,
    /// 404 from the API itself for one object.
    NotFound,
    /// A redirect, 405, or a 404 that did not come from the API: the endpoint's URL is wrong.
    WrongUrl,
    /// 400, 412, 422 and other 4xx: the request itself is refused. Permanent until it changes.
    Invalid {
        /// The fields that the service named, such as `remote_url`, as dotted paths; empty when it named none.
        fields: Vec<String>,
    },
    /// A refusal of a list that is to hold the connectors of one type: the service does not know the type.
    UnknownType,
    /// 409.
    Conflict,
    /// 429.
    RateLimited {
        /// What `Retry-After` asked for, capped; `None` without a readable one.
        retry_after: Option<Duration>,
    },
    /// 5xx. The service also answers 500 to some configurations that it should refuse, so it may be permanent.
    Server,
    /// No complete answer in time, or 408 or 499: no complete request.
    Timeout,
    /// No connection: refused, DNS, TLS. Nothing was sent.
    Connect,
    /// The connection failed after it was made.
    Interrupted,
    /// An answer that cannot be understood: not JSON, not the documented shape, too large, too deep.
    Unexpected,
    /// A list for which the memory of all inventories has no room.
    NoRoom,
    /// Flow control: nothing is sent to this workspace before then.
    Paused {
        /// When calls are let through again.
        until: Instant,
    },
}

/// Whether a failed call may have been carried out all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Commit {
    /// Certainly not: it was refused, or never sent.
    Never,
    /// Perhaps: it was sent, and no understandable answer came back.
    Unknown,
}

// === impl ApiError ===

impl ApiError {
    /// An error with a message that holds no secret; it is made one bounded line.
    pub fn new(kind: ErrorKind, status: Option<u16>, commit: Commit, message: &str) -> Self {
        let rate_limited = matches!(kind, ErrorKind::RateLimited { .. });
        Self {
            kind,
            status,
            commit,
            rate_limited,
            key: None,
            unknown: None,
            message: one_line(message),
        }
    }

    /// The same, with what the refusal says of the key in a create.
    pub(super) fn about_the_key(self, key: Option<KeyObjection>) -> Self {
        Self { key, ..self }
    }

    /// What the service has against the key in a create, if it says that. It makes no object then.
    pub fn key_objection(&self) -> Option<KeyObjection> {
        self.key
    }

    /// The same, with the connector that it says is not there.
    pub(super) fn about_a_connector(self, unknown: Option<UnknownConnector>) -> Self {
        Self { unknown, ..self }
    }

    /// The connector that a create or an update of a workflow names and that the workspace does not know, if that is what was refused.
    pub fn unknown_connector(&self) -> Option<UnknownConnector> {
        self.unknown
    }

    /// The error of a call that flow control held back.
    pub(super) fn paused(until: Instant, rate_limited: bool) -> Self {
        // Without the time, which `kind` has: a text that is different each second would make a condition churn.
        let message = if rate_limited {
            "nothing was sent: the API asked to slow down; calls resume by themselves"
        } else {
            "nothing was sent: the API failed several times in a row; calls resume by themselves"
        };
        Self {
            rate_limited,
            ..Self::new(ErrorKind::Paused { until }, None, Commit::Never, message)
        }
    }

    /// Whether the call may have been carried out although it failed.
    pub fn commit(&self) -> Commit {
        self.commit
    }

    /// Whether the service says that it did what was asked, in words that cannot be understood.
    pub(super) fn is_success_unread(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }

    /// Whether the service's rate limit is the reason: a 429, or a pause that a 429 asked for.
    pub fn is_rate_limited(&self) -> bool {
        self.rate_limited
    }

    /// What happened, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            status,
            commit,
            rate_limited: _,
            key: _,
            unknown: _,
            message,
        } = self;
        write!(
            f,
            "ApiError({kind:?}, status {status:?}, commit {commit:?}: {message})"
        )
    }
}

impl std::error::Error for ApiError {}

/// An error's message without what the service said: the answer's status is the last of our own words.
pub fn own_words(message: &str) -> &str {
    match message.split_once("): ") {
        Some((ours, _)) => &message[..=ours.len()],
        None => message,
    }
}

// === impl ErrorKind ===

impl ErrorKind {
    /// The kind in one word, for a metric's label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::WrongUrl => "wrong_url",
            Self::Invalid { .. } => "invalid",
            Self::UnknownType => "unknown_type",
            Self::Conflict => "conflict",
            Self::RateLimited { .. } => "rate_limited",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Interrupted => "interrupted",
            Self::Unexpected => "unexpected",
            Self::NoRoom => "no_room",
            Self::Paused { .. } => "paused",
        }
    }
}
