//! What a fake says back: a status, headers and a whole body.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;

/// A complete HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Any code from 100 to 999.
    pub status: u16,
    /// `content-length` and `date` are added when it is sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Sent as it is.
    pub body: Bytes,
}

impl Answer {
    /// No body, no headers.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// `application/json`.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::typed(status, "application/json", body.to_string())
    }

    /// `text/plain; charset=utf-8`.
    pub fn text(status: u16, body: &str) -> Self {
        Self::typed(status, "text/plain; charset=utf-8", body)
    }

    /// `text/html; charset=utf-8`: what a proxy or a captive portal puts in the way.
    pub fn html(status: u16, body: &str) -> Self {
        Self::typed(status, "text/html; charset=utf-8", body)
    }

    /// A body under any content type, well formed or not.
    pub fn typed(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self {
            body: Bytes::from(body.into()),
            ..Self::empty(status)
        }
        .with_header(CONTENT_TYPE.as_str(), content_type)
    }

    /// Adds or replaces one header; panics, in the test that asked for it, when HTTP cannot carry it.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name that HTTP allows");
        let value = HeaderValue::from_str(value).expect("a header value that HTTP allows");
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }
}
