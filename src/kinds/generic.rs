//! [`UnstructuredSource`](crate::crd::UnstructuredSource) and [`UnstructuredDestination`](crate::crd::UnstructuredDestination):
//! connectors of any type.

use std::collections::BTreeMap;
use std::fmt;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;

use super::kind::Kind;
use super::provider::{Provider, Providers, Verdict};
use super::spec::{Credential, Credentials, Field, Form, Objection, Options, Spec};
use super::types::ConnectorType;
use crate::crd::{
    self, AnyConnector, ConnectorOptions, UnstructuredDestinationSpec, UnstructuredSourceSpec,
};
use crate::unstructured::Collection;

/// `UnstructuredSource`.
pub static UNSTRUCTURED_SOURCE: Kind = Kind {
    name: "UnstructuredSource",
    plural: "unstructuredsources",
    collection: Collection::Sources,
    in_names: true,
    definition: crd::unstructured_source_definition,
    read: |spec| {
        let spec: UnstructuredSourceSpec = serde_json::from_value(spec)?;
        Ok(Box::new(Generic {
            collection: Collection::Sources,
            connector: spec.connector,
            existing_id: spec.existing_source_id,
            options: spec.options,
        }))
    },
};

/// `UnstructuredDestination`.
pub static UNSTRUCTURED_DESTINATION: Kind = Kind {
    name: "UnstructuredDestination",
    plural: "unstructureddestinations",
    collection: Collection::Destinations,
    in_names: true,
    definition: crd::unstructured_destination_definition,
    read: |spec| {
        let spec: UnstructuredDestinationSpec = serde_json::from_value(spec)?;
        Ok(Box::new(Generic {
            collection: Collection::Destinations,
            connector: spec.connector,
            existing_id: spec.existing_destination_id,
            options: spec.options,
        }))
    },
};

/// A connector of any type, of either family.
struct Generic {
    collection: Collection,
    connector: AnyConnector,
    existing_id: Option<String>,
    options: ConnectorOptions,
}

/// The names of the parameters, never their values: somebody may have put a secret there.
impl fmt::Debug for Generic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generic")
            .field("collection", &self.collection)
            .field("connector_type", &self.connector.connector_type)
            .field("parameters", &self.parameters().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Generic {
    fn known(&self) -> Option<&'static ConnectorType> {
        ConnectorType::find(self.collection, &self.connector.connector_type)
    }

    /// Every parameter that is given.
    fn parameters(&self) -> impl Iterator<Item = &str> {
        let all = self
            .connector
            .config
            .keys()
            .chain(self.connector.secret_config.keys());
        all.map(String::as_str)
    }
}

impl Spec for Generic {
    fn connector_type(&self) -> &str {
        &self.connector.connector_type
    }

    fn options(&self) -> Options<'_> {
        Options::of(&self.options, self.existing_id.as_deref())
    }

    fn settings(&self) -> BTreeMap<&str, Value> {
        let settings = self.connector.config.iter();
        settings
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect()
    }

    fn credentials(&self) -> Vec<Credential<'_>> {
        let credentials = self.connector.secret_config.iter();
        credentials
            .map(|(parameter, place)| Credential {
                parameter,
                secret: &place.name,
                key: &place.key,
                field: Field::SecretConfig,
                form: Form::Text,
                impostor: None,
            })
            .collect()
    }

    fn objection(&self) -> Option<Objection> {
        let AnyConnector {
            config,
            secret_config,
            ..
        } = &self.connector;
        if let Some(twice) = config.keys().find(|name| secret_config.contains_key(*name)) {
            return Some(Objection::GivenTwice(twice.clone()));
        }
        let known = self.known()?;
        let is_secret = |name: &&String| known.secret.contains(&name.as_str());
        if let Some(secret) = config.keys().find(is_secret) {
            return Some(Objection::SecretInConfig(secret.clone()));
        }
        let given = |name: &str| config.contains_key(name) || secret_config.contains_key(name);
        let required = known.required.iter().copied();
        let missing: Vec<_> = required.filter(|name| !given(name)).collect();
        (!missing.is_empty()).then_some(Objection::Missing {
            connector_type: known.name,
            parameters: missing,
        })
    }

    fn advice(&self) -> Option<String> {
        let Some(known) = self.known() else {
            return Some(format!(
                "The type {:?} is not one that this version knows: it is sent as it is written. Check its spelling if Unstructured \
                 refuses it.",
                self.connector.connector_type
            ));
        };
        let unknown: Vec<_> = self.parameters().filter(|name| !known.has(name)).collect();
        (!unknown.is_empty()).then(|| {
            format!(
                "Connectors of the type {:?} have no parameter that this version knows as {}: sent as written. Check the spelling.",
                self.connector.connector_type,
                unknown.join(", ")
            )
        })
    }

    fn provider(&self) -> Option<Provider> {
        None
    }

    fn ask<'a>(
        &'a self,
        _: &'a Providers,
        _: &'a Credentials,
        _: Instant,
    ) -> BoxFuture<'a, Verdict> {
        std::future::ready(Verdict::NotAsked).boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(spec: Value) -> Box<dyn Spec> {
        (UNSTRUCTURED_SOURCE.read)(spec).unwrap()
    }

    fn secret() -> Value {
        json!({ "name": "s3", "key": "value" })
    }

    #[test]
    fn a_secret_in_the_config_is_refused_and_so_is_what_lacks_something() {
        let objection = |config, secrets| {
            spec(json!({ "type": "s3", "config": config, "secretConfig": secrets })).objection()
        };
        let url = json!({ "remote_url": "s3://a" });
        assert_eq!(objection(url.clone(), json!({ "secret": secret() })), None);
        assert_eq!(
            objection(json!({ "remote_url": "s3://a", "secret": "x" }), json!({})),
            Some(Objection::SecretInConfig("secret".to_owned()))
        );
        assert_eq!(
            objection(url, json!({ "remote_url": secret() })),
            Some(Objection::GivenTwice("remote_url".to_owned()))
        );
        let missing = Objection::Missing {
            connector_type: "s3",
            parameters: vec!["remote_url"],
        };
        assert_eq!(
            objection(json!({}), json!({ "secret": secret() })),
            Some(missing)
        );
    }

    #[test]
    fn what_is_not_known_is_told_and_sent() {
        let new = spec(json!({ "type": "carrier-pigeon", "config": { "loft": 7 } }));
        assert_eq!(new.objection(), None);
        assert!(new.advice().unwrap().contains("carrier-pigeon"));
        assert_eq!(new.settings()["loft"], json!(7));
        let misspelt = json!({ "remote_url": "s3://a", "recursiv": true });
        let misspelt = spec(json!({ "type": "s3", "config": misspelt }));
        assert_eq!(misspelt.objection(), None);
        assert!(misspelt.advice().unwrap().contains("recursiv"));
    }
}
