//! The seven calls of the API that concern source connectors. Nothing is sent twice here, because only the caller knows whether
//! doing it twice is harmless. Each is one request, and a second that only reads where a success cannot be understood: what was done
//! would otherwise be done again and again.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use crate::hosts::Reach;
use crate::http::Carrier;

use super::answer::{self, Place};
use super::budget::{Budget, Share};
use super::config::{Body, Config};
use super::endpoint::{ApiKey, Endpoint, Fingerprint};
use super::error::{ApiError, ErrorKind};
use super::exchange::Transport;
use super::kept::Kept;
use super::listing::Listing;
use super::pauses::Pauses;
use super::types::{Check, Source, SourceId};

/// A client of one workspace. Clones share connections and flow control.
#[derive(Clone)]
pub struct Client(Arc<Transport>);

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
    /// Which settings of a connector are kept of what is read.
    pub kept: Kept,
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
    /// `list`, `get`, `create`, `update`, `delete`, `start_check` or `latest_check`.
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
            kept: Kept::ALL,
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

// === impl Client ===

impl Client {
    /// A client that connects on its first call.
    ///
    /// # Panics
    ///
    /// When no process-wide rustls provider is installed.
    pub fn new(endpoint: Endpoint, key: ApiKey, options: &Options) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(Transport::new(endpoint, key, options)?)))
    }

    /// Every connector of a type in the workspace, in no particular order.
    pub async fn list(&self, source_type: &str) -> Result<Vec<Source>, ApiError> {
        self.list_within(source_type, self.budget().share()).await
    }

    /// The same, in the memory of a share.
    pub(super) async fn list_within(
        &self,
        source_type: &str,
        share: Arc<Share>,
    ) -> Result<Vec<Source>, ApiError> {
        let mut url = self.0.endpoint().sources();
        url.query_pairs_mut()
            .append_pair("source_type", source_type);
        let mut call = self.0.call("list", Place::Collection, Method::GET, url);
        call.max_bytes = self.0.options().max_response_bytes;
        let listing = Listing::new(source_type, self.kept(), share);
        self.0.take(call, listing).await
    }

    /// One connector.
    pub async fn get(&self, id: &SourceId) -> Result<Source, ApiError> {
        let call = self.0.call(
            "get",
            Place::Object,
            Method::GET,
            self.0.endpoint().source(id),
        );
        self.0
            .make(call, |body| answer::source_with_id(body, id, self.kept()))
            .await
    }

    /// Creates a connector. The service accepts any number of the same name, so after an error whose [`ApiError::commit`] is
    /// [`Commit::Unknown`](super::Commit::Unknown) look for it before calling again.
    pub async fn create(
        &self,
        name: &str,
        source_type: &str,
        config: &Config,
    ) -> Result<Source, ApiError> {
        let body = Body::create(name, source_type, config);
        let call = self
            .0
            .call(
                "create",
                Place::Collection,
                Method::POST,
                self.0.endpoint().sources(),
            )
            .carrying(&body)?;
        self.0
            .make(call, |body| answer::source(body, self.kept()))
            .await
    }

    /// Replaces a connector's whole configuration; fields that are not given are lost. Returns the connector as the answer shows it,
    /// or `None` where the service took the configuration and shows nothing.
    pub async fn update(&self, id: &SourceId, config: &Config) -> Result<Option<Source>, ApiError> {
        let body = Body::update(config);
        let call = self
            .0
            .call(
                "update",
                Place::Object,
                Method::PUT,
                self.0.endpoint().source(id),
            )
            .carrying(&body)?;
        let result = self
            .0
            .make(call, |body| answer::updated(body, id, self.kept()))
            .await;
        match result {
            Err(error) if error.is_success_unread() => match self.get(id).await {
                Ok(source) if config.drift(&source.settings).is_empty() => Ok(Some(source)),
                Ok(_) | Err(_) => Err(error),
            },
            result => result,
        }
    }

    /// Deletes a connector. That it is not there is the error [`ErrorKind::NotFound`].
    pub async fn delete(&self, id: &SourceId) -> Result<(), ApiError> {
        let call = self.0.call(
            "delete",
            Place::Object,
            Method::DELETE,
            self.0.endpoint().source(id),
        );
        match self.0.make(call, answer::done).await {
            Err(error) if error.is_success_unread() => match self.get(id).await {
                Err(gone) if gone.kind == ErrorKind::NotFound => Err(gone),
                Ok(_) | Err(_) => Err(error),
            },
            result => result,
        }
    }

    /// Starts a connection check. Its result comes later: see [`Client::latest_check`].
    pub async fn start_check(&self, id: &SourceId) -> Result<Check, ApiError> {
        let call = self
            .0
            .call(
                "start_check",
                Place::Object,
                Method::POST,
                self.0.endpoint().connection_check(id),
            )
            .without_body();
        let result = self
            .0
            .make(call, |body| answer::check(body, &self.0.scrubber(None)))
            .await;
        match result {
            Err(error) if error.is_success_unread() => match self.latest_check(id).await {
                // One that has ended may be an earlier one.
                Ok(Some(check)) if !check.status.is_final() => Ok(check),
                Ok(_) | Err(_) => Err(error),
            },
            result => result,
        }
    }

    /// The check that was started last, if the service shows one; compare its id with that of the check that was started.
    pub async fn latest_check(&self, id: &SourceId) -> Result<Option<Check>, ApiError> {
        let call = self.0.call(
            "latest_check",
            Place::Object,
            Method::GET,
            self.0.endpoint().connection_check(id),
        );
        match self
            .0
            .make(call, |body| {
                answer::latest_check(body, &self.0.scrubber(None))
            })
            .await
        {
            Err(ApiError {
                kind: ErrorKind::NotFound,
                ..
            }) => Ok(None),
            result => result,
        }
    }

    /// A foreign text made fit to be shown: one bounded line, without the key or this configuration's secrets in any common encoding.
    pub fn scrub(&self, config: &Config, text: &str) -> String {
        self.0.scrubber(Some(config)).scrub(text)
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.0.options().budget
    }

    fn kept(&self) -> Kept {
        self.0.options().kept
    }

    /// Where this client calls.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }

    /// Which key it uses.
    pub fn fingerprint(&self) -> &Fingerprint {
        self.0.fingerprint()
    }

    /// How many calls have got what they asked for.
    pub fn answers(&self) -> u64 {
        self.0.answers()
    }

    /// Lets the next call find out whether the API works again, although a pause after failures is on. A rate limit stands.
    pub fn invite_probe(&self) {
        self.0.invite_probe();
    }

    /// Until when every call fails with [`ErrorKind::Paused`], if they do now.
    pub fn paused_until(&self) -> Option<Instant> {
        self.0.paused_until()
    }
}

/// The endpoint and the key's fingerprint.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, key {})", self.endpoint(), self.fingerprint())
    }
}

#[cfg(test)]
mod tests;
