//! What a fake was asked, in order, and what it found wrong with it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::unstructured::is_secret;

/// One request as it arrived, and how it ended.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Position in the fake's life, from 0.
    pub number: usize,
    /// Wall clock when the whole request had been read.
    pub at: Timestamp,
    /// The same moment on the monotonic clock.
    pub instant: Instant,
    /// Method.
    pub method: Method,
    /// Path as sent, without the query.
    pub path: String,
    /// Query as sent, without the question mark; empty when there is none.
    pub query: String,
    /// Headers, names in lower case.
    pub headers: HeaderMap,
    /// Body as sent.
    pub body: Bytes,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No decision yet, or never: the fake hangs.
    Pending,
    /// This status was sent.
    Answered(u16),
    /// The connection was cut without a status line.
    Dropped,
}

impl Recorded {
    /// A header's value, when it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `unstructured-api-key` header.
    pub fn api_key(&self) -> Option<&str> {
        self.header("unstructured-api-key")
    }

    /// The body as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The status sent, if one was.
    pub fn status(&self) -> Option<u16> {
        match self.outcome {
            Outcome::Answered(status) => Some(status),
            Outcome::Pending | Outcome::Dropped => None,
        }
    }
}

/// One line without a secret: `POST /api/v1/sources/ 200 {"name":…}`.
impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        match self.outcome {
            Outcome::Pending => f.write_str(" (no answer yet)")?,
            Outcome::Answered(status) => write!(f, " {status}")?,
            Outcome::Dropped => f.write_str(" (connection cut)")?,
        }
        match self.json() {
            Value::Object(members) => write!(f, " {}", hide(members, true)),
            _ => Ok(()),
        }
    }
}

/// Without the values whose names are those of secrets. At the top, `key` is the name of the object and nothing to hide.
fn hide(members: Map<String, Value>, top: bool) -> Value {
    let shown = members.into_iter().map(|(name, value)| {
        let value = match value {
            _ if is_secret(&name) && !(top && name == "key") => Value::from("(hidden)"),
            Value::Object(members) => hide(members, false),
            Value::Array(items) => items.into_iter().map(hide_item).collect(),
            other => other,
        };
        (name, value)
    });
    shown.collect()
}

fn hide_item(item: Value) -> Value {
    match item {
        Value::Object(members) => hide(members, false),
        Value::Array(items) => items.into_iter().map(hide_item).collect(),
        other => other,
    }
}

type Tap = Box<dyn Fn(&Recorded) + Send>;

/// Requests and violations of one fake, and a signal for those who wait for more.
pub(super) struct Journal {
    requests: Mutex<Vec<Recorded>>,
    violations: Mutex<Vec<String>>,
    tap: Mutex<Option<Tap>>,
    changed: watch::Sender<()>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            requests: Mutex::default(),
            violations: Mutex::default(),
            tap: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Journal {
    /// Numbers and keeps the request, and hands it back.
    pub(super) fn record(&self, mut request: Recorded) -> Recorded {
        {
            let mut requests = lock(&self.requests);
            request.number = requests.len();
            requests.push(request.clone());
        }
        self.touch();
        request
    }

    pub(super) fn ended(&self, number: usize, outcome: Outcome) {
        let request = {
            let mut requests = lock(&self.requests);
            requests[number].outcome = outcome;
            requests[number].clone()
        };
        if let Some(tap) = &*lock(&self.tap) {
            tap(&request);
        }
        self.touch();
    }

    /// Wakes those who wait: something that they may look at has changed.
    pub(super) fn touch(&self) {
        self.changed.send_replace(());
    }

    /// Keeps a violation, and says it at once where a failing test shows its output.
    pub(super) fn violation(&self, request: &Recorded, what: &str) {
        let violation = format!("{} {}: {what}", request.method, request.path);
        eprintln!("VIOLATION {violation}");
        lock(&self.violations).push(violation);
        self.touch();
    }

    pub(super) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.violations))
    }

    pub(super) fn requests(&self) -> Vec<Recorded> {
        lock(&self.requests).clone()
    }

    pub(super) fn tap(&self, tap: Tap) {
        *lock(&self.tap) = Some(tap);
    }

    pub(super) async fn wait_for(
        &self,
        what: impl Fn(&[Recorded]) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        let mut changed = self.changed.subscribe();
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            if what(&lock(&self.requests)) {
                return Ok(());
            }
            if tokio::time::timeout_at(deadline, changed.changed())
                .await
                .is_err()
            {
                let requests = lock(&self.requests);
                return Err(TimedOut {
                    timeout,
                    requests: requests.iter().map(Recorded::to_string).collect(),
                });
            }
        }
    }
}

/// The awaited condition did not come true; shows what had been asked until then.
#[derive(Debug)]
pub struct TimedOut {
    timeout: Duration,
    requests: Vec<String>,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, timeout) = (self.requests.len(), self.timeout);
        write!(
            f,
            "the fake did not see it within {timeout:?}; its {count} requests:"
        )?;
        self.requests
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for TimedOut {}

/// Locks, also after another test thread panicked while holding it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
