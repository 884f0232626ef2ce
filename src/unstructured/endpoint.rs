//! Where a workspace's API is, and the key that opens it.

use std::fmt;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::ids::is_identity;
use crate::http::BaseUrl;
pub use crate::http::UrlError as EndpointError;

const API: &str = "/api/v1";

/// The root of an Unstructured API. Equal when requests would go to the same place, however the URL was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(BaseUrl);

/// The key of one workspace, known to be fit for a header.
#[derive(Clone, Debug)]
pub struct ApiKey(SecretString);

/// Why a string cannot be an API key. The text never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Nothing but line ends.
    #[error("the API key is empty; copy it from the Unstructured UI, API Keys")]
    Empty,
    /// A space, a line break inside, or a character that is not visible ASCII.
    #[error(
        "the API key contains a space, a line break or a character that no key has; copy it again, alone and on one line"
    )]
    NotAKey,
}

/// Tells keys apart without telling anything else about them: 16 hex digits of a hash of endpoint and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(String);

// === impl Endpoint ===

impl Endpoint {
    /// Parses the URL that users know, with or without the trailing `/api/v1`; a private deployment's path prefix is kept.
    /// Plain `http://` is refused unless `allow_insecure_http`, which is meant for a fake on loopback.
    pub fn parse(url: &str, allow_insecure_http: bool) -> Result<Self, EndpointError> {
        Ok(Self(
            BaseUrl::parse(url, allow_insecure_http)?.without_suffix(API),
        ))
    }

    pub(super) fn base(&self) -> &BaseUrl {
        &self.0
    }

    /// A path below the root of the API.
    pub(super) fn join(&self, path: &str) -> Url {
        self.0.join(&format!("{API}/{path}"))
    }

    /// The path of one of these URLs below the root of the API, with `{id}` in place of the id.
    pub(super) fn template(url: &Url) -> String {
        let path = url.path();
        let (_, below) = path.split_once(API).unwrap_or_default();
        let parts = below
            .split('/')
            .map(|part| if is_identity(part) { "{id}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// The canonical URL, `https://host[:port][/prefix]/api/v1`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{API}", self.0)
    }
}

// === impl ApiKey ===

impl ApiKey {
    /// Accepts a key as files and Secrets hold it: line ends after it are dropped.
    pub fn new(key: SecretString) -> Result<Self, ApiKeyError> {
        let trimmed = key.expose_secret().trim_end_matches(['\r', '\n']);
        if trimmed.is_empty() {
            return Err(ApiKeyError::Empty);
        }
        if !trimmed.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError::NotAKey);
        }
        if trimmed.len() == key.expose_secret().len() {
            return Ok(Self(key));
        }
        Ok(Self(SecretString::from(trimmed)))
    }

    /// The same for the same key at the same endpoint, in every process and version.
    pub fn fingerprint(&self, endpoint: &Endpoint) -> Fingerprint {
        let mut hash = Sha256::new_with_prefix("unstructured api key fingerprint v1");
        for part in [endpoint.to_string().as_str(), self.0.expose_secret()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Fingerprint(hex::encode(&hash.finalize()[..8]))
    }

    pub(super) fn secret(&self) -> &SecretString {
        &self.0
    }

    pub(super) fn header(&self) -> HeaderValue {
        let mut value =
            HeaderValue::from_str(self.0.expose_secret()).expect("visible ASCII is a header value");
        value.set_sensitive(true);
        value
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The fingerprint that was written as this text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let written = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        written.then(|| Self(text.to_owned()))
    }
}

impl AsRef<str> for Fingerprint {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_the_call_and_neither_the_deployment_nor_the_object() {
        let endpoint = Endpoint::parse("https://example.com/deployed/here", false).unwrap();
        let id = "7cf30ead-cf54-479f-a897-b5fbe8790b76";
        let mut listing = endpoint.join("sources/");
        listing.set_query(Some("source_type=dropbox"));
        for (url, template) in [
            (listing, "/sources/"),
            (endpoint.join(&format!("sources/{id}")), "/sources/{id}"),
            (
                endpoint.join(&format!("destinations/{id}/connection-check")),
                "/destinations/{id}/connection-check",
            ),
            (endpoint.join("workflows/"), "/workflows/"),
            (
                endpoint.join(&format!("workflows/{id}/run")),
                "/workflows/{id}/run",
            ),
            (endpoint.join(&format!("jobs/{id}")), "/jobs/{id}"),
            (
                endpoint.join(&format!("jobs/{id}/failed-files")),
                "/jobs/{id}/failed-files",
            ),
        ] {
            assert_eq!(Endpoint::template(&url), template);
        }
    }

    fn key(text: &str) -> Result<ApiKey, ApiKeyError> {
        ApiKey::new(SecretString::from(text))
    }

    #[test]
    fn all_spellings_of_an_endpoint_are_one() {
        for url in [
            "https://api.example",
            "https://API.example:443/",
            "https://api.example/api/v1",
            " https://api.example//api/v1// ",
        ] {
            let endpoint = Endpoint::parse(url, false).unwrap();
            assert_eq!(endpoint.to_string(), "https://api.example/api/v1", "{url}");
            assert_eq!(
                endpoint.join("sources/").as_str(),
                "https://api.example/api/v1/sources/"
            );
        }
        let private = Endpoint::parse("https://10.0.0.1:8443/unstructured/api/v1/", false).unwrap();
        assert_eq!(
            private.to_string(),
            "https://10.0.0.1:8443/unstructured/api/v1"
        );
        assert_eq!(Endpoint::parse(&private.to_string(), false), Ok(private));
    }

    #[test]
    fn a_url_that_is_not_fit_for_a_credential_is_refused_without_repeating_it() {
        let table = [
            ("", EndpointError::Malformed),
            ("api.example/hunter2", EndpointError::Malformed),
            ("https://", EndpointError::Malformed),
            ("ftp://hunter2.example", EndpointError::Scheme),
            ("http://hunter2.example", EndpointError::Insecure),
            ("https://user:hunter2@api.example", EndpointError::UserInfo),
            ("https://hunter2@api.example", EndpointError::UserInfo),
            (
                "https://api.example/?key=hunter2",
                EndpointError::QueryOrFragment,
            ),
            (
                "https://api.example/#hunter2",
                EndpointError::QueryOrFragment,
            ),
        ];
        for (url, expected) in table {
            let error = Endpoint::parse(url, false).unwrap_err();
            assert_eq!(error, expected, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(Endpoint::parse("http://127.0.0.1:8080", true).is_ok());
    }

    #[test]
    fn line_ends_after_a_key_are_dropped_and_anything_else_is_refused() {
        assert_eq!(key("wk-1\r\n").unwrap().header(), "wk-1");
        assert_eq!(key("\n").unwrap_err(), ApiKeyError::Empty);
        for bad in ["wk 1", "wk\n1", " wk-1", "w\u{e4}", "wk\0"] {
            assert_eq!(key(bad).unwrap_err(), ApiKeyError::NotAKey, "{bad:?}");
        }
    }

    #[test]
    fn a_keys_debug_and_header_show_nothing() {
        let key = key("wk-hunter2").unwrap();
        assert!(key.header().is_sensitive());
        assert!(!format!("{key:?} {:?}", key.header()).contains("hunter2"));
    }

    #[test]
    fn a_fingerprint_tells_keys_and_endpoints_apart() {
        let here = Endpoint::parse("https://api.example", false).unwrap();
        let there = Endpoint::parse("https://api.example.org", false).unwrap();
        let one = key("wk-1").unwrap().fingerprint(&here);
        assert_eq!(one, key("wk-1\n").unwrap().fingerprint(&here));
        assert_ne!(one, key("wk-2").unwrap().fingerprint(&here));
        assert_ne!(one, key("wk-1").unwrap().fingerprint(&there));
        assert_eq!(one.as_ref().len(), 16);
    }
}
