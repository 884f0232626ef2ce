//! A client of Pinecone's control plane, as far as it tells whether an API key is good and an index is there.
//!
//! Source: [Describe an index](https://docs.pinecone.io/reference/api/2026-04/control-plane/describe_index).

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::hosts::Reach;
use crate::http::{self, BaseUrl, Carrier};

/// The version of the API that is asked for.
const VERSION: &str = "2026-04";

/// Bytes of an answer that are read. A list of a hundred indexes is shorter.
const MAX_BYTES: usize = 1024 * 1024;

/// Asks Pinecone. Clones share connections.
#[derive(Clone)]
pub struct PineconeClient {
    http: reqwest::Client,
    base: BaseUrl,
    timeout: Duration,
    carrier: Option<Carrier>,
}

/// A client that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PineconeClientError(String);

/// Why there is no good answer. Only the first two are definite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The API key is not one.
    #[error("Pinecone refuses the API key")]
    Refused,
    /// The project of the API key has no such index.
    #[error("Pinecone knows no such index")]
    NotFound,
    /// No answer came in time.
    #[error("Pinecone did not respond in time")]
    NoAnswer,
    /// There was no connection, or it broke.
    #[error("no response from Pinecone:  {0}")]
    Transport(Arc<str>),
    /// An answer that says neither.
    #[error("Pinecone responded with {0}")]
    Unexpected(u16),
}

impl CallError {
    /// Whether Pinecone does not work now, for this caller at least.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Refused | Self::NotFound => false,
            Self::NoAnswer | Self::Transport(_) => true,
            Self::Unexpected(status) => *status == 429 || *status >= 500,
        }
    }
}

/// What Pinecone says of a failure.
#[derive(Deserialize)]
struct Failure {
    error: Complaint,
}

#[derive(Deserialize)]
struct Complaint {
    code: String,
}

impl PineconeClient {
    /// A client of the control plane at `base` (really `https://api.pinecone.io`). A call takes at most `timeout`.
    ///
    /// # Panics
    ///
    /// When no process-wide rustls provider is installed.
    ///
    /// # Errors
    ///
    /// [`PineconeClientError`] when TLS cannot be set up.
    pub fn new(base: BaseUrl, timeout: Duration) -> Result<Self, PineconeClientError> {
        let connecting = timeout.min(Duration::from_secs(5));
        let http = http::client(&base, connecting, http::USER_AGENT, Reach::Anywhere)
            .map_err(|error| PineconeClientError(error.to_string()))?;
        Ok(Self {
            http,
            base,
            timeout,
            carrier: None,
        })
    }

    /// The same client with its requests carried so.
    #[must_use]
    pub fn carried_by(self, carrier: Carrier) -> Self {
        Self {
            carrier: Some(carrier),
            ..self
        }
    }

    /// Whether the project of this key has this index.
    ///
    /// # Errors
    ///
    /// [`CallError::NotFound`] when it has not.
    pub async fn describe_index(&self, key: &SecretString, index: &str) -> Result<(), CallError> {
        self.get(&format!("/indexes/{index}"), key).await
    }

    /// Whether the key is good, whatever indexes its project has.
    ///
    /// # Errors
    ///
    /// [`CallError::Refused`] when it is not.
    pub async fn list_indexes(&self, key: &SecretString) -> Result<(), CallError> {
        self.get("/indexes", key).await
    }

    async fn get(&self, path: &str, key: &SecretString) -> Result<(), CallError> {
        let mut value =
            HeaderValue::from_str(key.expose_secret()).map_err(|_| CallError::Refused)?;
        value.set_sensitive(true);
        let request = self
            .http
            .get(self.base.join(path))
            .header("Api-Key", value)
            .header("X-Pinecone-Api-Version", VERSION)
            .build()
            .map_err(|error| transport(&error))?;
        let exchange = async {
            let answer = http::send(&self.http, self.carrier.as_ref(), request).await;
            let answer = answer.map_err(|error| transport(&error))?;
            let status = answer.status();
            let body = http::read_body(answer, MAX_BYTES).await;
            Ok((status, body.unwrap_or_default()))
        };
        let exchange = tokio::time::timeout(self.timeout, exchange).await;
        let (status, body) = exchange.map_err(|_| CallError::NoAnswer)??;
        // Behind a wrong URL anything may be missing; Pinecone itself says so in its own words.
        let says = |code| {
            serde_json::from_slice::<Failure>(&body).is_ok_and(|failure| failure.error.code == code)
        };
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED => Err(CallError::Refused),
            StatusCode::NOT_FOUND if says("NOT_FOUND") => Err(CallError::NotFound),
            other => Err(CallError::Unexpected(other.as_u16())),
        }
    }
}

fn transport(error: &reqwest::Error) -> CallError {
    CallError::Transport(http::explain(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::Server;

    async fn ask(status: &str, body: &str) -> Result<(), CallError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = Server::answering(status, "", body).await;
        let base = BaseUrl::parse(&server.url(), true).unwrap();
        let client = PineconeClient::new(base, Duration::from_secs(20)).unwrap();
        let key = SecretString::from("pcsk-7d20e4");
        let result = client.describe_index(&key, "contracts").await;
        let asked = server.requests().remove(0);
        assert!(
            asked.starts_with("GET /indexes/contracts HTTP/1.1"),
            "{asked}"
        );
        assert!(asked.contains("api-key: pcsk-7d20e4"), "{asked}");
        result
    }

    #[tokio::test]
    async fn only_what_pinecone_itself_says_is_definite() {
        let missing = r#"{"error":{"code":"NOT_FOUND","message":"Resource contracts not found"},"status":404}"#;
        assert_eq!(ask("200 OK", "{}").await, Ok(()));
        assert_eq!(
            ask("401 Unauthorized", "Invalid API Key").await,
            Err(CallError::Refused)
        );
        assert_eq!(
            ask("404 Not Found", missing).await,
            Err(CallError::NotFound)
        );
        let page = "<html>no such page</html>";
        assert_eq!(
            ask("404 Not Found", page).await,
            Err(CallError::Unexpected(404))
        );
        assert_eq!(
            ask("403 Forbidden", "").await,
            Err(CallError::Unexpected(403))
        );
        assert_eq!(
            ask("503 Service Unavailable", "").await,
            Err(CallError::Unexpected(503))
        );
    }
}
