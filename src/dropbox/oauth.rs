//! A client of Dropbox, and its token endpoint.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::error::CallError;
use super::refusal::unclear;
use super::tokens::Tokens;
use crate::hosts::Reach;
use crate::http::{self, BaseUrl, BodyError, Carrier};
use crate::scrub::Scrubber;
use crate::spans;

/// Bytes of an answer that are read; a grant takes a few hundred.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A client of Dropbox's token endpoint and file listing.
#[derive(Clone)]
pub struct DropboxClient {
    pub(super) http: reqwest::Client,
    pub(super) base: BaseUrl,
    pub(super) timeout: Duration,
    tokens: Arc<Tokens>,
    carrier: Option<Carrier>,
}

/// A client that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DropboxClientError(String);

/// The token endpoint's answer. The tokens are only looked at where they stand, and wiped with the buffer they came in.
#[derive(Default, Deserialize)]
pub(super) struct Answer<'a> {
    pub access_token: Option<&'a str>,
    /// In the answer to a code only.
    pub refresh_token: Option<&'a str>,
    #[serde(borrow)]
    pub error: Option<Cow<'a, str>>,
}

/// An exchange without an answer. Its text may hold foreign words.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no response from Dropbox:  {}", http::explain(.0))]
    Transport(reqwest::Error),
    #[error("Dropbox's response broke off: {}", http::explain(.0))]
    Broken(reqwest::Error),
    #[error("Dropbox's response is too long to be one")]
    TooLarge,
    #[error("Dropbox did not respond within {0:?}")]
    Late(Duration),
}

// === impl DropboxClient ===

impl DropboxClient {
    /// A client of the Dropbox at `base` (really `https://api.dropbox.com`). A check takes at most `timeout`.
    ///
    /// # Panics
    ///
    /// When no process-wide rustls provider is installed.
    pub fn new(
        base: BaseUrl,
        timeout: Duration,
        user_agent: &str,
    ) -> Result<Self, DropboxClientError> {
        let http = http::client(
            &base,
            timeout.min(Duration::from_secs(5)),
            user_agent,
            Reach::Anywhere,
        )
        .map_err(|error| DropboxClientError(error.to_string()))?;
        Ok(Self {
            http,
            base,
            timeout,
            tokens: Arc::default(),
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

    /// Asks for an access token, which lives four hours: by the one call that needs the app key, the app secret and the refresh
    /// token to be good. It is to be dropped, never revoked: that would disable the refresh token with it (`auth/token/revoke` in
    /// Dropbox's API specification).
    ///
    /// Only [`CallError::InvalidGrant`] and [`CallError::InvalidClient`] say that the credentials are not good.
    pub async fn access_token(
        &self,
        app_key: &SecretString,
        app_secret: &SecretString,
        refresh_token: &SecretString,
    ) -> Result<SecretString, CallError> {
        let request = self.refresh(app_key, app_secret, refresh_token);
        let secrets = Scrubber::new([app_key, app_secret, refresh_token]);
        let (status, body) = self.call(request, MAX_BYTES, &secrets).await?;
        let answer = token_answer(status, &body, CallError::InvalidGrant, &secrets)?;
        Ok(SecretString::from(answer.access_token.unwrap_or_default()))
    }

    /// As [`access_token`](Self::access_token), but an answer serves all who had their reason to ask, `since`, before it was asked
    /// for.
    pub async fn shared_access_token(
        &self,
        app_key: &SecretString,
        app_secret: &SecretString,
        refresh_token: &SecretString,
        since: Instant,
    ) -> Result<Arc<SecretString>, CallError> {
        let ask = self.access_token(app_key, app_secret, refresh_token);
        let credentials = [app_key, app_secret, refresh_token];
        self.tokens.get(credentials, since, ask).await
    }

    /// The request for an access token.
    fn refresh(
        &self,
        app_key: &SecretString,
        app_secret: &SecretString,
        refresh_token: &SecretString,
    ) -> RequestBuilder {
        self.token_request(form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
            ("client_id", app_key.expose_secret()),
            ("client_secret", app_secret.expose_secret()),
        ]))
    }

    /// A request to the token endpoint.
    pub(super) fn token_request(&self, form: Zeroizing<String>) -> RequestBuilder {
        self.http
            .post(self.base.join("/oauth2/token"))
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from_owner(form))
    }

    /// Sends a request and reads at most `limit` bytes of its answer, in the client's time.
    pub(super) async fn call(
        &self,
        request: RequestBuilder,
        limit: usize,
        secrets: &Scrubber,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), CallError> {
        exchange(request, self.carrier.as_ref(), limit, self.timeout)
            .await
            .map_err(|failure| match failure {
                Failure::TooLarge => CallError::Unclear(secrets.scrub(&failure.to_string())),
                _ => CallError::Unavailable(secrets.scrub(&failure.to_string())),
            })
    }
}

/// Sends a request and reads at most `limit` bytes of its answer, all within `patience`.
async fn exchange(
    request: RequestBuilder,
    carrier: Option<&Carrier>,
    limit: usize,
    patience: Duration,
) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Failure> {
    let (http, request) = request.build_split();
    let request = request.map_err(Failure::Transport)?;
    let span = spans::request(request.method(), request.url(), |url| url.path().to_owned());
    let answered = async {
        let response = http::send(&http, carrier, request)
            .await
            .map_err(Failure::Transport)?;
        let status = response.status();
        spans::answered(&span, status.as_u16());
        match http::read_body(response, limit).await {
            Ok(body) => Ok((status, body)),
            Err(BodyError::TooLarge) => Err(Failure::TooLarge),
            Err(BodyError::Broken(error)) => Err(Failure::Broken(error)),
        }
    };
    let result = timeout(patience, answered.instrument(span.clone())).await;
    let result = result.unwrap_or(Err(Failure::Late(patience)));
    match &result {
        Ok((status, _)) if !status.is_success() => spans::failed(&span, status.as_str(), ""),
        Ok(_) => {}
        Err(failure) => spans::failed(&span, failure.kind(), ""),
    }
    result
}

impl Failure {
    /// The kind of failure in one word. The text may hold foreign words, and this is no place to know the secrets in them.
    fn kind(&self) -> &'static str {
        match self {
            Self::Transport(_) => "connect",
            Self::Broken(_) => "interrupted",
            Self::TooLarge => "unexpected",
            Self::Late(_) => "timeout",
        }
    }
}

/// The token endpoint's answer, if it is a grant. Nothing else is believed but the two errors that name what is at fault.
pub(super) fn token_answer<'a>(
    status: StatusCode,
    body: &'a [u8],
    invalid_grant: CallError,
    secrets: &Scrubber,
) -> Result<Answer<'a>, CallError> {
    let answer: Answer<'_> = serde_json::from_slice(body).unwrap_or_default();
    let error = answer.error.as_deref().unwrap_or_default();
    match status {
        StatusCode::OK if answer.access_token.is_some_and(|token| !token.is_empty()) => Ok(answer),
        StatusCode::TOO_MANY_REQUESTS => Err(CallError::RateLimited),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED
            if error.starts_with("invalid_grant") =>
        {
            Err(invalid_grant)
        }
        // Dropbox writes explanations behind it: `invalid_client: Invalid client_id or client_secret`.
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED
            if error.starts_with("invalid_client") =>
        {
            Err(CallError::InvalidClient)
        }
        _ => Err(unclear(status, body, error, secrets)),
    }
}

/// A request's body, in one buffer that is large enough from the start, so that no copy is left behind in one that was outgrown.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    // An escaped byte takes three.
    let size = fields
        .iter()
        .map(|(name, value)| name.len() + 3 * value.len() + 2)
        .sum();
    let mut form = Zeroizing::new(String::with_capacity(size));
    Serializer::new(&mut *form).extend_pairs(fields);
    form
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::Server;

    const SECRETS: [&str; 3] = ["app-key", "app secret&=", "refresh/token+1"];

    async fn ask(url: &str) -> Result<SecretString, CallError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = BaseUrl::parse(url, true).unwrap();
        let client = DropboxClient::new(base, Duration::from_millis(500), "test").unwrap();
        let [app_key, app_secret, refresh_token] = SECRETS.map(SecretString::from);
        client
            .access_token(&app_key, &app_secret, &refresh_token)
            .await
    }

    /// Why an answer is no grant.
    async fn refusal(status: &str, body: &str) -> CallError {
        let server = Server::answering(status, "location: https://evil.example/\r\n", body).await;
        ask(&server.url()).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_grant_is_asked_for_with_all_three_credentials_escaped() {
        let server = Server::answering(
            "200 OK",
            "",
            r#"{"access_token": "sl.abc", "expires_in": 14400}"#,
        )
        .await;
        let token = ask(&server.url()).await.unwrap();
        assert_eq!(token.expose_secret(), "sl.abc");
        let requests = server.requests();
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /oauth2/token HTTP/1.1"), "{head}");
        assert!(
            head.contains("content-type: application/x-www-form-urlencoded"),
            "{head}"
        );
        assert_eq!(
            body,
            "grant_type=refresh_token&refresh_token=refresh%2Ftoken%2B1&client_id=app-key&client_secret=app+secret%26%3D"
        );
        assert_eq!(requests.len(), 1, "the access token is never revoked");
    }

    #[tokio::test]
    async fn only_a_definite_answer_rejects_credentials() {
        let grant = r#"{"error": "invalid_grant", "error_description": "refresh token is invalid or revoked"}"#;
        let client = r#"{"error": "invalid_client: Invalid client_id or client_secret"}"#;
        for (status, body, expected) in [
            ("400 Bad Request", grant, CallError::InvalidGrant),
            ("400 Bad Request", client, CallError::InvalidClient),
            ("401 Unauthorized", client, CallError::InvalidClient),
            ("429 Too Many Requests", "", CallError::RateLimited),
        ] {
            assert_eq!(refusal(status, body).await, expected, "{status} {body}");
        }
        let long = " ".repeat(MAX_BYTES + 1);
        for (status, body) in [
            ("400 Bad Request", "invalid_grant"),
            ("400 Bad Request", r#"{"error": {"tag": "invalid_grant"}}"#),
            ("400 Bad Request", r#"{"error": "unsupported_grant_type"}"#),
            ("403 Forbidden", grant),
            ("500 Internal Server Error", grant),
            ("307 Temporary Redirect", ""),
            ("200 OK", "<html>Sign in</html>"),
            ("200 OK", r#"{"access_token": ""}"#),
            ("200 OK", grant),
            ("200 OK", &long),
        ] {
            assert!(
                refusal(status, body).await.is_inconclusive(),
                "{status} {body:.40}"
            );
        }
    }

    #[tokio::test]
    async fn what_keeps_dropbox_from_answering_is_inconclusive_and_names_no_secret() {
        let silent = Server::start(crate::loopback::Exchange::hang).await;
        let broken = Server::start(|exchange| async move { drop(exchange) }).await;
        for url in [silent.url(), broken.url(), "http://127.0.0.1:1".to_owned()] {
            let Err(CallError::Unavailable(why)) = ask(&url).await else {
                panic!("{url} answered")
            };
            assert!(why.contains("Dropbox"), "{why}");
            assert!(!SECRETS.iter().any(|secret| why.contains(secret)), "{why}");
        }
    }

    #[test]
    fn the_form_does_not_outgrow_its_buffer() {
        let worst = "&".repeat(1_000);
        let form = form(&[("refresh_token", &worst), ("client_secret", &worst)]);
        assert!(form.len() > 6_000 && form.len() <= form.capacity());
        assert_eq!(
            form.capacity(),
            6_000 + "refresh_token".len() + "client_secret".len() + 4
        );
    }
}
