//! The limits of a client, and what it shows of its work.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::pauses::Pauses;
use crate::hosts::Reach;
use crate::http::Carrier;

/// The limits of a client, and who it is.
#[derive(Clone)]
pub struct Options {
    /// How long a call may take from its turn on: connecting, sending, and reading the answer to its end.
    pub request_timeout: Duration,
    /// How long connecting may take, DNS and TLS included; no longer than the request.
    pub connect_timeout: Duration,
    /// Requests per second, with bursts of as many.
    pub max_requests_per_second: NonZeroU32,
    /// Requests under way at once; at least one.
    pub max_concurrent_requests: usize,
    /// Bytes of a list that are read; a connector takes about one kilobyte. Other answers have a small fixed bound.
    pub max_response_bytes: usize,
    /// The memory that inventories may take.
    pub budget: Budget,
    /// The longest pause that a `Retry-After` can ask for, or that one from before can still take.
    pub longest_pause: Duration,
    /// How long keys were told to wait before this client was made, and where it is noted what this one is told.
    pub pauses: Pauses,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Which addresses the endpoint's name may stand for.
    pub reach: Reach,
    /// Called after each exchange.
    pub observer: Option<Observer>,
    /// Carries the requests in place of connections.
    pub carrier: Option<Carrier>,
}

/// Sees every exchange, for metrics. It is called in the middle of the call, so it must be quick.
pub type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// One request and what came of it. A call that flow control held back is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Of connectors: `list`, `get`, `create`, `update`, `delete`, `start_check` or `latest_check`. Of workflows and jobs with what
    /// it is of, such as `create_workflow` or `list_jobs`.
    pub operation: &'static str,
    /// `ok`, or the error's kind in one word ([`ErrorKind::as_str`]).
    pub outcome: &'static str,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// From the call's turn to its outcome.
    pub duration: Duration,
}

/// A client that cannot be made: the environment of this process is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClientError(pub(super) String);

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            max_requests_per_second: NonZeroU32::new(20).expect("20 is not zero"),
            max_concurrent_requests: 16,
            max_response_bytes: 64 * 1024 * 1024,
            budget: Budget::default(),
            longest_pause: Duration::from_mins(15),
            pauses: Pauses::default(),
            user_agent: crate::http::USER_AGENT.to_owned(),
            reach: Reach::Anywhere,
            observer: None,
            carrier: None,
        }
    }
}
