//! [`PineconeDestination`](crate::crd::PineconeDestination): a Pinecone index as a destination.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kind::Kind;
use super::provider::{Provider, Providers, Shortfall, Verdict};
use super::spec::{Credential, Credentials, Field, Form, Options, Spec};
use crate::crd::{self, PineconeDestinationSpec};
use crate::pinecone::{CallError, PineconeClient};
use crate::unstructured::Collection;

const API_KEY: &str = "api_key";

/// `PineconeDestination`.
pub static PINECONE_DESTINATION: Kind = Kind {
    name: "PineconeDestination",
    plural: "pineconedestinations",
    collection: Collection::Destinations,
    in_names: true,
    definition: crd::pinecone_destination_definition,
    read: |spec| {
        Ok(Box::new(serde_json::from_value::<PineconeDestinationSpec>(
            spec,
        )?))
    },
};

impl Spec for PineconeDestinationSpec {
    fn connector_type(&self) -> &'static str {
        "pinecone"
    }

    fn options(&self) -> Options<'_> {
        Options::of(&self.options, self.existing_destination_id.as_deref())
    }

    /// An empty name has Unstructured make an index of its own.
    fn settings(&self) -> BTreeMap<&str, Value> {
        BTreeMap::from([
            (
                "index_name",
                json!(self.index_name.as_deref().unwrap_or_default()),
            ),
            ("namespace", json!(self.namespace)),
            ("batch_size", json!(self.batch_size)),
        ])
    }

    fn credentials(&self) -> Vec<Credential<'_>> {
        vec![Credential {
            parameter: API_KEY,
            secret: &self.credentials.secret_ref.name,
            key: &self.credentials.keys.api_key,
            field: Field::Credentials,
            form: Form::Token,
            impostor: None,
        }]
    }

    fn provider(&self) -> Option<Provider> {
        Some(Provider::Pinecone)
    }

    fn ask<'a>(
        &'a self,
        providers: &'a Providers,
        credentials: &'a Credentials,
        _: Instant,
    ) -> BoxFuture<'a, Verdict> {
        match &providers.pinecone {
            Some(pinecone) => ask(self, pinecone, credentials).boxed(),
            None => std::future::ready(Verdict::NotAsked).boxed(),
        }
    }
}

async fn ask(
    destination: &PineconeDestinationSpec,
    pinecone: &PineconeClient,
    credentials: &Credentials,
) -> Verdict {
    let Some(key) = credentials.get(API_KEY) else {
        return Verdict::Inconclusive("The credentials are incomplete.".to_owned());
    };
    let (result, index) = match &destination.index_name {
        Some(index) => (pinecone.describe_index(key, index).await, index.as_str()),
        None => (pinecone.list_indexes(key).await, ""),
    };
    match result {
        Ok(()) => Verdict::Accepted,
        Err(CallError::Refused) => Verdict::Refused(
            "Pinecone refuses the API key. Create a new one in the Pinecone console (API keys, of the right project) and put it into \
             the Secret."
                .to_owned(),
        ),
        Err(CallError::NotFound) => Verdict::Insufficient(Shortfall::Index(format!(
            "Pinecone accepts the API key, but has no index {index:?} in its project: create it, with as many dimensions as the \
             embeddings have, or correct spec.indexName. The operator checks again every few minutes."
        ))),
        Err(error) => {
            let why = |again| {
                format!(
                    "It is not known whether Pinecone accepts the API key: {error}. It is used all the same, and Pinecone is asked \
                     again {again}."
                )
            };
            if error.is_outage() {
                Verdict::NoAnswer(why("until it responds"))
            } else {
                Verdict::Inconclusive(why("every few minutes"))
            }
        }
    }
}
