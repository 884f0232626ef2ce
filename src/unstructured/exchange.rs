//! One request and its answer: when it is sent, how long it may take, and what each way to fail means.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, StatusCode};
use secrecy::SecretString;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, debug};
use url::Url;

use super::answer::{self, Place};
use super::body::{Carried, to_json};
use super::budget::Exceeded;
use super::endpoint::{ApiKey, Endpoint, Fingerprint};
use super::error::{ApiError, Commit, ErrorKind, own_words};
use super::flow::{Flow, Health};
use super::limits::{ClientError, Exchange, Options};
use super::taking::{Rejected, Taking, Whole, taken};
use super::unreadable::Unreadable;
use crate::http::{self, BodyError};
use crate::scrub::Scrubber;
use crate::spans;

const KEY_HEADER: &str = "unstructured-api-key";

/// Bytes of an answer about one object that are read.
const MAX_OBJECT_BYTES: usize = 1024 * 1024;

/// What all calls to one workspace share.
pub(super) struct Transport {
    http: reqwest::Client,
    endpoint: Endpoint,
    key: ApiKey,
    key_header: HeaderValue,
    fingerprint: Fingerprint,
    flow: Flow,
    options: Options,
    answers: AtomicU64,
}

/// A request, and what is needed to understand its answer.
pub(super) struct Call<'a> {
    operation: &'static str,
    place: Place,
    request: Request,
    /// The secrets that it carries, which an answer may echo.
    secrets: Vec<&'a SecretString>,
    pub max_bytes: usize,
}

// === impl Call ===

impl<'a> Call<'a> {
    /// The call with an empty body, said so: gateways ask a POST for its length.
    pub fn without_body(mut self) -> Self {
        let headers = self.request.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        self
    }

    /// The call with a configuration as its body; refused when the configuration holds the mask.
    pub fn carrying(mut self, body: &impl Carried<'a>) -> Result<Self, ApiError> {
        let fields = body.masked();
        if !fields.is_empty() {
            let message = format!(
                "nothing was sent: {} would be the mask that the API shows in place of a secret; give the real value",
                fields.join(", ")
            );
            return Err(ApiError::new(
                ErrorKind::Invalid { fields },
                None,
                Commit::Never,
                &message,
            ));
        }
        let headers = self.request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *self.request.body_mut() = Some(Bytes::from_owner(to_json(body)).into());
        self.secrets = body.secrets();
        Ok(self)
    }
}

// === impl Transport ===

impl Transport {
    pub fn new(endpoint: Endpoint, key: ApiKey, options: &Options) -> Result<Self, ClientError> {
        let connect_timeout = options.connect_timeout.min(options.request_timeout);
        let http = http::client(
            endpoint.base(),
            connect_timeout,
            &options.user_agent,
            options.reach,
        )
        .map_err(|error| ClientError(Scrubber::new([key.secret()]).scrub(&error.to_string())))?;
        let fingerprint = key.fingerprint(&endpoint);
        let flow = Flow::new(
            options.max_requests_per_second,
            options.max_concurrent_requests,
            options.request_timeout,
        );
        if let Some(until) = options.pauses.until(&fingerprint) {
            flow.hold_until(until.min(Instant::now() + options.longest_pause));
        }
        Ok(Self {
            http,
            fingerprint,
            key_header: key.header(),
            endpoint,
            key,
            flow,
            options: Options {
                connect_timeout,
                ..options.clone()
            },
            answers: AtomicU64::default(),
        })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub fn invite_probe(&self) {
        self.flow.invite_probe();
    }

    pub fn paused_until(&self) -> Option<Instant> {
        self.flow.paused_until()
    }

    pub fn call(
        &self,
        operation: &'static str,
        place: Place,
        method: Method,
        url: Url,
    ) -> Call<'_> {
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert(KEY_HEADER, self.key_header.clone());
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Call {
            operation,
            place,
            request,
            secrets: Vec::new(),
            max_bytes: MAX_OBJECT_BYTES,
        }
    }

    /// The same for an answer that is read as a whole.
    pub async fn make<T>(
        &self,
        call: Call<'_>,
        read: impl FnOnce(&[u8]) -> Result<T, Unreadable> + Send,
    ) -> Result<T, ApiError> {
        self.take(call, Whole::new(read)).await
    }

    /// Waits for a turn, makes the exchange, and tells flow control and the observer what came of it.
    pub async fn take<B: Taking>(&self, call: Call<'_>, body: B) -> Result<B::Made, ApiError> {
        let turn = self.flow.turn().await?;
        let operation = call.operation;
        // Whoever sends nothing does not know what the answer may quote.
        let is_scrubbed = call.request.body().is_some();
        let start = Instant::now();
        let (method, url) = (call.request.method(), call.request.url());
        let span = spans::request(method, url, Endpoint::template);
        let mut status = None;
        let result = self
            .exchange(
                call,
                start + self.options.request_timeout,
                &mut status,
                body,
            )
            .instrument(span.clone())
            .await;
        if let Some(status) = status {
            spans::answered(&span, status);
        }
        if let Err(error) = &result {
            let message = error.message();
            let shown = if is_scrubbed {
                message
            } else {
                own_words(message)
            };
            spans::failed(&span, error.kind.as_str(), shown);
        }
        if result.is_ok() {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        let health = result.as_ref().err().map_or(Health::Answers, Health::from);
        turn.settle(health);
        if let (Health::Limits(_), Some(until)) = (health, self.flow.rate_limited_until()) {
            self.options.pauses.extend(&self.fingerprint, until);
        }
        let outcome = result
            .as_ref()
            .err()
            .map_or("ok", |error| error.kind.as_str());
        let exchange = Exchange {
            operation,
            outcome,
            status,
            duration: start.elapsed(),
        };
        debug!(operation, outcome, status, duration = ?exchange.duration, "called the Unstructured API");
        if let Some(observe) = &self.options.observer {
            observe(&exchange);
        }
        result
    }

    async fn exchange<B: Taking>(
        &self,
        call: Call<'_>,
        deadline: Instant,
        status: &mut Option<u16>,
        body: B,
    ) -> Result<B::Made, ApiError> {
        let scrubber = || self.scrubber(call.secrets.iter().copied());
        let sent = http::send(&self.http, self.options.carrier.as_ref(), call.request);
        let response = match timeout_at(deadline, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(self.unsent(&error, &scrubber())),
            Err(_) => return Err(self.late("no response came", None, Commit::Unknown)),
        };
        let code = response.status();
        *status = Some(code.as_u16());
        if code.is_success() {
            let max_bytes = call.max_bytes;
            return match timeout_at(deadline, taken(response, max_bytes, body)).await {
                Ok(Ok(made)) => Ok(made),
                Ok(Err(rejected)) => Err(rejection(
                    rejected,
                    code,
                    max_bytes,
                    Commit::Unknown,
                    &scrubber(),
                )),
                Err(_) => Err(self.late("the response was not complete", *status, Commit::Unknown)),
            };
        }
        let headers = response.headers().clone();
        let refused = http::read_body(response, MAX_OBJECT_BYTES);
        let body = match timeout_at(deadline, refused).await {
            Ok(Ok(body)) => body,
            // Only the API's own words make a 404 mean that an object is gone, and say what a refusal is about.
            Ok(Err(error)) if says_too_little(code) => {
                let rejected = error.into();
                return Err(rejection(
                    rejected,
                    code,
                    MAX_OBJECT_BYTES,
                    Commit::Never,
                    &scrubber(),
                ));
            }
            Err(_) if says_too_little(code) => {
                return Err(self.late("the response was not complete", *status, Commit::Never));
            }
            // Every other status says enough without them.
            Ok(Err(_)) | Err(_) => Vec::new().into(),
        };
        Err(answer::refusal(
            code,
            &headers,
            &body,
            call.place,
            self.options.longest_pause,
            &scrubber(),
        ))
    }

    /// The error of a request to which no answer came because the connection could not be made, or failed.
    fn unsent(&self, error: &reqwest::Error, scrubber: &Scrubber) -> ApiError {
        let endpoint = &self.endpoint;
        if error.is_connect() && error.is_timeout() {
            let limit = self.options.connect_timeout;
            let message = format!("no connection to {endpoint} within {limit:?}; nothing was sent");
            return ApiError::new(ErrorKind::Timeout, None, Commit::Never, &message);
        }
        let cause = scrubber.scrub(&http::explain(error));
        if error.is_connect() {
            let message = format!("no connection to {endpoint}: {cause}");
            return ApiError::new(ErrorKind::Connect, None, Commit::Never, &message);
        }
        let message =
            format!("the connection to {endpoint} failed before a response came: {cause}");
        ApiError::new(ErrorKind::Interrupted, None, Commit::Unknown, &message)
    }

    /// Knows the secrets that an exchange may bring back: the key, and those that were sent. Made only where
    /// something foreign is to be shown.
    pub fn scrubber<'s>(&'s self, sent: impl IntoIterator<Item = &'s SecretString>) -> Scrubber {
        Scrubber::new(sent.into_iter().chain([self.key.secret()]))
    }

    fn late(&self, what: &str, status: Option<u16>, commit: Commit) -> ApiError {
        let message = format!("{what} within {:?}", self.options.request_timeout);
        ApiError::new(ErrorKind::Timeout, status, commit, &message)
    }
}

/// Whether a status without the words that belong to it leaves open what is wrong: an object that is gone or a wrong path, the key of a
/// create or its configuration.
fn says_too_little(code: StatusCode) -> bool {
    matches!(code.as_u16(), 400 | 404 | 412 | 422)
}

/// The error of an answer that was not taken in.
fn rejection(
    rejected: Rejected,
    code: StatusCode,
    max_bytes: usize,
    commit: Commit,
    scrubber: &Scrubber,
) -> ApiError {
    let (kind, message) = match rejected {
        Rejected::Incomplete(BodyError::TooLarge) => (
            ErrorKind::Unexpected,
            format!(
                "the API's response is longer than {max_bytes} bytes, and was not read to its end"
            ),
        ),
        Rejected::Incomplete(BodyError::Broken(error)) => {
            let cause = scrubber.scrub(&http::explain(&error));
            (
                ErrorKind::Interrupted,
                format!("the connection failed in the middle of the API's response: {cause}"),
            )
        }
        Rejected::Unreadable(Unreadable(why)) => (
            ErrorKind::Unexpected,
            format!("the API's response ({}) {why}", code.as_u16()),
        ),
        Rejected::NoRoom(Exceeded { limit }) => (
            ErrorKind::NoRoom,
            format!(
                "the list takes more memory than is left for it: of all workspaces it is the largest, and together \
                 they may take {} MiB",
                limit >> 20
            ),
        ),
    };
    ApiError::new(kind, Some(code.as_u16()), commit, &message)
}
