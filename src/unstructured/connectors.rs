//! The seven calls of the API that concern connectors. Nothing is sent twice here, because only the caller knows whether
//! doing it twice is harmless. Each is one request, and a second that only reads where a success cannot be understood: what was done
//! would otherwise be done again and again.

use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use url::Url;

use super::answer::{self, Place};
use super::budget::{Budget, Share};
use super::collection::Collection;
use super::config::{Body, Config};
use super::error::{ApiError, ErrorKind};
use super::exchange::Transport;
use super::ids::ConnectorId;
use super::kept::Kept;
use super::listing::Listing;
use super::types::{Check, Connector};

/// The connectors of one type in a workspace. Clones share everything.
#[derive(Clone)]
pub struct Connectors {
    transport: Arc<Transport>,
    collection: Collection,
    connector_type: Arc<str>,
    kept: Kept,
}

impl Connectors {
    pub(super) fn new(
        transport: Arc<Transport>,
        collection: Collection,
        connector_type: &str,
        kept: Kept,
    ) -> Self {
        Self {
            transport,
            collection,
            connector_type: connector_type.into(),
            kept,
        }
    }

    /// All of them, in no particular order.
    pub async fn list(&self) -> Result<Vec<Connector>, ApiError> {
        self.list_within(self.budget().share()).await
    }

    /// The same, in the memory of a share.
    pub(super) async fn list_within(&self, share: Arc<Share>) -> Result<Vec<Connector>, ApiError> {
        let mut url = self.all();
        url.query_pairs_mut()
            .append_pair(self.collection.filter(), &self.connector_type);
        let mut call = self
            .transport
            .call("list", Place::Collection, Method::GET, url);
        call.max_bytes = self.transport.options().max_response_bytes;
        let listing = Listing::new(share, |element| {
            let connector = answer::listed(element, &self.connector_type, &self.kept)?;
            Ok(connector.map(|connector| {
                let size = connector.size();
                (connector, size)
            }))
        });
        let listed = self.transport.take(call, listing).await;
        listed.map_err(|mut error| {
            let filter = format!("query.{}", self.collection.filter());
            if let ErrorKind::Invalid { fields } = &error.kind
                && fields.contains(&filter)
            {
                error.kind = ErrorKind::UnknownType;
            }
            error
        })
    }

    /// One connector.
    pub async fn get(&self, id: &ConnectorId) -> Result<Connector, ApiError> {
        let call = self
            .transport
            .call("get", Place::Object, Method::GET, self.one(id));
        self.transport
            .make(call, |body| answer::connector_with_id(body, id, &self.kept))
            .await
    }

    /// Creates a connector. The service accepts any number of the same name, so after an error whose [`ApiError::commit`] is
    /// [`Commit::Unknown`](super::Commit::Unknown) look for it before calling again. An error whose [`ApiError::key_objection`] speaks
    /// of the `key` says that nothing was made.
    pub async fn create(
        &self,
        name: &str,
        key: Option<&str>,
        config: &Config,
    ) -> Result<Connector, ApiError> {
        let body = Body::create(name, key, &self.connector_type, config);
        let call = self
            .transport
            .call("create", Place::Collection, Method::POST, self.all())
            .carrying(&body)?;
        self.transport
            .make(call, |body| answer::connector(body, &self.kept))
            .await
    }

    /// Replaces a connector's whole configuration; fields that are not given are lost. Returns the connector as the answer shows it,
    /// or `None` where the service took the configuration and shows nothing.
    ///
    /// `differed`: the connector readably had another configuration before. Only then can a look at it show that an update was taken
    /// whose answer cannot be read: the secrets are never shown.
    pub async fn update(
        &self,
        id: &ConnectorId,
        config: &Config,
        differed: bool,
    ) -> Result<Option<Connector>, ApiError> {
        let body = Body::update(config);
        let call = self
            .transport
            .call("update", Place::Object, Method::PUT, self.one(id))
            .carrying(&body)?;
        let result = self
            .transport
            .make(call, |body| answer::updated(body, id, &self.kept))
            .await;
        match result {
            Err(error) if differed && error.is_success_unread() => match self.get(id).await {
                Ok(source) if config.drift(&source.settings).is_empty() => Ok(Some(source)),
                Ok(_) | Err(_) => Err(error),
            },
            result => result,
        }
    }

    /// Deletes a connector. That it is not there is the error [`ErrorKind::NotFound`].
    pub async fn delete(&self, id: &ConnectorId) -> Result<(), ApiError> {
        let call = self
            .transport
            .call("delete", Place::Object, Method::DELETE, self.one(id));
        match self.transport.make(call, answer::done).await {
            Err(error) if error.is_success_unread() => match self.get(id).await {
                Err(gone) if gone.kind == ErrorKind::NotFound => Err(gone),
                Ok(_) | Err(_) => Err(error),
            },
            result => result,
        }
    }

    /// Starts a connection check. Its result comes later: see [`Client::latest_check`].
    pub async fn start_check(&self, id: &ConnectorId) -> Result<Check, ApiError> {
        let call = self
            .transport
            .call(
                "start_check",
                Place::Object,
                Method::POST,
                self.connection_check(id),
            )
            .without_body();
        let result = self
            .transport
            .make(call, |body| {
                answer::check(body, &self.transport.scrubber([]))
            })
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
    pub async fn latest_check(&self, id: &ConnectorId) -> Result<Option<Check>, ApiError> {
        let call = self.transport.call(
            "latest_check",
            Place::Object,
            Method::GET,
            self.connection_check(id),
        );
        match self
            .transport
            .make(call, |body| {
                answer::latest_check(body, &self.transport.scrubber([]))
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

    /// Reads these settings too, from the next answer on.
    pub fn keep<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        self.kept.add(names);
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.transport.options().budget
    }

    /// The collection, with the trailing slash that the service would otherwise redirect to.
    fn all(&self) -> Url {
        self.transport
            .endpoint()
            .join(&format!("{}/", self.collection))
    }

    fn one(&self, id: &ConnectorId) -> Url {
        let path = format!("{}/{id}", self.collection);
        self.transport.endpoint().join(&path)
    }

    fn connection_check(&self, id: &ConnectorId) -> Url {
        let path = format!("{}/{id}/connection-check", self.collection);
        self.transport.endpoint().join(&path)
    }
}

/// The collection and the type.
impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Connectors({} of type {})",
            self.collection, self.connector_type
        )
    }
}

#[cfg(test)]
mod tests;
