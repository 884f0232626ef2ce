//! A client of one workspace: what all calls to it share.

use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use tokio::time::Instant;

use super::answer::Place;
use super::collection::Collection;
use super::config::Config;
use super::connectors::Connectors;
use super::endpoint::{ApiKey, Endpoint, Fingerprint};
use super::error::ApiError;
use super::exchange::Transport;
use super::jobs::Jobs;
use super::kept::Kept;
use super::limits::{ClientError, Options};
use super::listing::Listing;
use super::whole::Whole;
use super::workflows::Workflows;

/// A client of one workspace. Clones share connections and flow control.
#[derive(Clone)]
pub struct Client(Arc<Transport>);

impl Client {
    /// A client that connects on its first call.
    ///
    /// # Panics
    ///
    /// When no process-wide rustls provider is installed.
    pub fn new(endpoint: Endpoint, key: ApiKey, options: &Options) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(Transport::new(endpoint, key, options)?)))
    }

    /// The connectors of one type. Of their settings, those are read that are `kept`.
    pub fn connectors(
        &self,
        collection: Collection,
        connector_type: &str,
        kept: Kept,
    ) -> Connectors {
        Connectors::new(Arc::clone(&self.0), collection, connector_type, kept)
    }

    /// The workflows of the workspace.
    pub fn workflows(&self) -> Workflows {
        Workflows::new(Arc::clone(&self.0))
    }

    /// The jobs of the workspace.
    pub fn jobs(&self) -> Jobs {
        Jobs::new(Arc::clone(&self.0))
    }

    /// All connectors of a family, of whatever type, in no particular order. Their configurations are as the service shows them:
    /// never show one that nobody has sorted, as the service may show a secret in clear.
    ///
    /// # Errors
    ///
    /// [`ApiError`] when the list cannot be had, or one of them cannot be read.
    pub async fn everything(&self, collection: Collection) -> Result<Vec<Whole>, ApiError> {
        let url = self.0.endpoint().join(&format!("{collection}/"));
        let mut call = self.0.call("list", Place::Collection, Method::GET, url);
        call.max_bytes = self.0.options().max_response_bytes;
        let listing = Listing::new(self.0.options().budget.share(), |element| {
            let whole = Whole::read(element)?;
            let size = whole.size();
            Ok(Some((whole, size)))
        });
        self.0.take(call, listing).await
    }

    /// A foreign text made fit to be shown: one bounded line, without the key or this configuration's secrets in any common encoding.
    pub fn scrub(&self, config: &Config, text: &str) -> String {
        self.0.scrubber(config.secrets()).scrub(text)
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
