//! What every client of a foreign API stands on: a URL that is safe to send a credential to, a connection that never carries the
//! credential anywhere else, and bodies with a bound.

use std::env;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::redirect::Policy;
use url::Url;
use zeroize::Zeroizing;

use crate::hosts::Reach;
use crate::proxy::{self, Proxy, ProxyError};

/// `User-Agent` of every request, to whichever API.
pub(crate) const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The URL that a client's paths are appended to: `https://host[:port][/prefix]`, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(String);

/// Why a URL was refused. The text never repeats the URL, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It cannot be parsed, or has no host.
    #[error(
        "this is not a complete URL; write it as https://<host>, with a port or path where the service has one"
    )]
    Malformed,
    /// Neither `https` nor `http`.
    #[error("the URL must start with https://")]
    Scheme,
    /// `http`, which was not allowed.
    #[error(
        "the URL starts with http://, which sends credentials in clear text; use https://, or set --allow-insecure-http"
    )]
    Insecure,
    /// `https://user:password@host`.
    #[error("the URL must not contain a user name or password; remove everything before the @")]
    UserInfo,
    /// `?…` or `#…`.
    #[error(
        "the URL must not contain a query or fragment; remove everything from the first ? or #"
    )]
    QueryOrFragment,
}

/// Carries a request to its API and brings the answer, in place of a client's own connections: a simulation has none.
pub type Carrier = Arc<
    dyn Fn(reqwest::Request) -> BoxFuture<'static, reqwest::Result<reqwest::Response>>
        + Send
        + Sync,
>;
/// Why there is no client. What is wrong lies in the environment of this process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The bundle that the environment names.
    #[error("SSL_CERT_FILE names {}, which {why}; name a file of PEM certificates, or unset it", path.display())]
    Bundle {
        /// What it names.
        path: PathBuf,
        /// What is wrong with that.
        why: String,
    },
    /// What TLS needs beside.
    #[error(
        "TLS cannot be set up ({}); install the system's CA certificates, or name a bundle in SSL_CERT_FILE", root_cause(.0)
    )]
    Tls(reqwest::Error),
}

/// A body that could not be read to its end.
#[derive(Debug)]
pub enum BodyError {
    /// Longer than the bound; the rest was left unread and the connection closed.
    TooLarge,
    /// The connection failed before the end.
    Broken(reqwest::Error),
}

// === impl BaseUrl ===

impl BaseUrl {
    /// Parses a URL that credentials will be sent to. Plain `http://` is refused unless `allow_insecure_http`.
    pub fn parse(url: &str, allow_insecure_http: bool) -> Result<Self, UrlError> {
        let url = Url::parse(url.trim()).map_err(|_| UrlError::Malformed)?;
        match url.scheme() {
            "https" => {}
            "http" if allow_insecure_http => {}
            "http" => return Err(UrlError::Insecure),
            _ => return Err(UrlError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::QueryOrFragment);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The same URL without `suffix`, where it ends so.
    pub(crate) fn without_suffix(self, suffix: &str) -> Self {
        match self.0.strip_suffix(suffix) {
            Some(rest) => Self(rest.trim_end_matches('/').to_owned()),
            None => self,
        }
    }

    /// The URL of `path` below this one; `path` starts with a slash and needs no escaping.
    pub(crate) fn below(&self, path: &str) -> Self {
        Self(format!("{self}{path}"))
    }

    /// This URL followed by `path`, which starts with a slash and needs no escaping.
    pub(crate) fn join(&self, path: &str) -> Url {
        Url::parse(&format!("{self}{path}"))
            .expect("a parsed URL stays one with a plain path appended")
    }

    fn is_plain_http(&self) -> bool {
        self.0.starts_with("http://")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === client ===

/// A client for `base` alone: redirects are answers, nothing is ever sent twice, and connecting has its own bound.
///
/// A process-wide rustls provider must be installed first (`rustls::crypto::ring::default_provider().install_default()`).
pub(crate) fn client(
    base: &BaseUrl,
    connect_timeout: Duration,
    user_agent: &str,
    reach: Reach,
) -> Result<reqwest::Client, ClientError> {
    let proxy = proxy::of(&base.join(""))?;
    client_through(proxy.as_ref(), base, connect_timeout, user_agent, reach)
}

fn client_through(
    proxy: Option<&Proxy>,
    base: &BaseUrl,
    connect_timeout: Duration,
    user_agent: &str,
    reach: Reach,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .redirect(Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .connect_timeout(connect_timeout)
        // Shorter than what servers and load balancers commonly keep an idle connection for: a POST that meets a connection being
        // closed under it has an unknown outcome.
        .pool_idle_timeout(Duration::from_secs(30))
        // Without pings, a connection that died silently would swallow one request after the other until TCP gives up.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        // Not the library's reading of the variables, which is another.
        .no_proxy();
    if let Some(proxy) = proxy {
        // The proxy resolves the target's name. The only name that is resolved here is its own, which the administrator chose.
        builder =
            builder.proxy(reqwest::Proxy::all(proxy.url().clone()).map_err(ClientError::Tls)?);
    } else if let Some(resolver) = reach.resolver() {
        builder = builder.dns_resolver(resolver);
    }
    let builder = if base.is_plain_http() {
        // No TLS means no need of the system's CA bundle.
        builder.tls_certs_only([])
    } else {
        bundle_is_usable()?;
        builder.https_only(true)
    };
    builder.build().map_err(ClientError::Tls)
}

/// The library passes over a bundle that holds nothing, and every server is then one that nobody vouches for.
fn bundle_is_usable() -> Result<(), ClientError> {
    let Some(path) = env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let found = rustls_native_certs::load_certs_from_paths(Some(&path), None);
    let why = match found.errors.first() {
        _ if !found.certs.is_empty() => return Ok(()),
        Some(error) => format!("cannot be read ({})", innermost(error)),
        None => "holds no certificate".to_owned(),
    };
    Err(ClientError::Bundle { path, why })
}

/// Sends a request by the carrier, or over a connection if there is none.
pub(crate) async fn send(
    client: &reqwest::Client,
    carrier: Option<&Carrier>,
    request: reqwest::Request,
) -> reqwest::Result<reqwest::Response> {
    match carrier {
        Some(carrier) => carrier(request).await,
        None => client.execute(request).await,
    }
}

/// The length that a body says it has, if that is at most `limit` bytes.
pub(crate) fn announced(
    response: &reqwest::Response,
    limit: usize,
) -> Result<Option<usize>, BodyError> {
    match response.content_length().map(usize::try_from) {
        Some(Ok(length)) if length <= limit => Ok(Some(length)),
        Some(_) => Err(BodyError::TooLarge),
        None => Ok(None),
    }
}

/// Hands over a body of at most `limit` bytes piece by piece, so that an endless one costs no more than that.
pub(crate) async fn read_pieces<E: From<BodyError>>(
    mut response: reqwest::Response,
    limit: usize,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut left = limit;
    while let Some(piece) = response.chunk().await.map_err(BodyError::Broken)? {
        left = left.checked_sub(piece.len()).ok_or(BodyError::TooLarge)?;
        take(&piece)?;
    }
    Ok(())
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read_body(
    response: reqwest::Response,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let announced = announced(&response, limit)?;
    let mut body = Zeroizing::new(Vec::with_capacity(announced.unwrap_or_default()));
    let take = |piece: &[u8]| {
        body.extend_from_slice(piece);
        Ok(())
    };
    read_pieces::<BodyError>(response, limit, take).await?;
    Ok(body)
}

/// Why there was no connection, or no answer on it: the innermost cause, which says what happened ("Connection refused") and, unlike
/// the outer ones, repeats no URL; who is meant by it, where that is a proxy; and what to do where that is not plain.
pub(crate) fn explain(error: &reqwest::Error) -> String {
    let cause = root_cause(error);
    let target = error.url().filter(|_| error.is_connect());
    let through = match target.map(proxy::of) {
        Some(Ok(Some(proxy))) => format!("through the proxy {proxy}: "),
        _ => String::new(),
    };
    // The words of the libraries are all that tells these apart.
    let advice = if cause.contains("UnknownIssuer") {
        "; if this server or a proxy that opens TLS has an authority of its own, name a bundle with its certificate in SSL_CERT_FILE"
    } else if cause.contains("tunnel error: proxy authorization required") {
        "; put the proxy's user name and password into HTTPS_PROXY"
    } else if cause.contains("tunnel error") {
        "; have this host allowed there, or list it in NO_PROXY"
    } else {
        ""
    };
    format!("{through}{cause}{advice}")
}

/// The innermost cause of an error of the HTTP library.
fn root_cause(error: &reqwest::Error) -> String {
    let cause = innermost(error);
    if cause.is::<reqwest::Error>() {
        "no further cause is known".to_owned()
    } else {
        cause.to_string()
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::Server;

    /// What a client that may reach the public internet only says of this URL, through this proxy.
    async fn ask(proxy: Option<&str>, url: &str) -> String {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let base = BaseUrl::parse(url, false).unwrap();
        let proxy = proxy.map(|proxy| Proxy::parse(proxy).unwrap());
        let reach = Reach::Public { loopback: false };
        let client = client_through(proxy.as_ref(), &base, Duration::from_secs(5), "test", reach);
        let error = client.unwrap().get(base.join("/")).send().await;
        explain(&error.unwrap_err())
    }

    #[tokio::test]
    async fn the_fence_is_for_the_target_and_not_for_the_proxy_before_it() {
        let proxy = Server::answering("403 Forbidden", "", "").await;
        let port = proxy.address.port();
        // A name that leads to the loopback interface, in both places.
        let inside = format!("https://localhost:{port}");
        assert!(ask(None, &inside).await.contains("inside the cluster"));
        assert_eq!(proxy.requests(), Vec::<String>::new());

        let through = format!("http://user:hunter2@localhost:{port}");
        let told = ask(Some(&through), "https://api.tenant.example").await;
        assert_eq!(
            told,
            "tunnel error: unsuccessful; have this host allowed there, or list it in NO_PROXY"
        );
        let asked = proxy.requests();
        assert!(asked[0].starts_with("CONNECT api.tenant.example:443 "));
        assert!(asked[0].contains("roxy-authorization: Basic "), "{asked:?}");
    }
}
