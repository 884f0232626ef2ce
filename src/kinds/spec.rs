//! What the engine asks of a spec, whatever its kind.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::provider::{Provider, Providers, Verdict};
use crate::crd::{AdoptionPolicy, ConnectorOptions, DeletionPolicy, WorkspaceReference};
use crate::unstructured::Config;

/// What a resource asks for, as its kind understands it.
pub trait Spec: fmt::Debug + Send + Sync {
    /// The connector's `type` in the Unstructured API.
    fn connector_type(&self) -> &str;

    /// The options that all kinds have in common.
    fn options(&self) -> Options<'_>;

    /// The settings that anyone may read, as the API names them.
    fn settings(&self) -> BTreeMap<&str, Value>;

    /// Which key of which Secret, in the resource's own namespace, holds which parameter of the API.
    fn credentials(&self) -> Vec<Credential<'_>>;

    /// What speaks against it that the API server could not refuse.
    fn objection(&self) -> Option<Objection> {
        None
    }

    /// What may be wrong with it, and is sent all the same.
    fn advice(&self) -> Option<String> {
        None
    }

    /// The system that can be asked about the credentials, if one can.
    fn provider(&self) -> Option<Provider>;

    /// Asks the system that the connector belongs to whether it takes the credentials, and lets them reach what they are for. An
    /// answer that another resource with the same credentials got will do, if it was asked for at or after `since`.
    fn ask<'a>(
        &'a self,
        providers: &'a Providers,
        credentials: &'a Credentials,
        since: Instant,
    ) -> BoxFuture<'a, Verdict>;

    /// The complete configuration.
    fn config(&self, credentials: &Credentials) -> Config {
        let plain = self.settings().into_iter();
        let plain = plain.fold(Config::builder(), |config, (name, value)| {
            config.plain(name, value)
        });
        let all = credentials.0.iter().fold(plain, |config, (name, value)| {
            config.secret(name, SecretString::from(value.expose_secret()))
        });
        all.build()
    }
}

/// The options that all kinds have in common.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// `spec.connectorName`.
    pub connector_name: Option<&'a str>,
    /// `spec.existingSourceId`, or `spec.existingDestinationId`.
    pub existing_id: Option<&'a str>,
    /// `spec.adoptionPolicy`.
    pub adoption_policy: AdoptionPolicy,
    /// `spec.workspace`.
    pub workspace: Option<&'a WorkspaceReference>,
    /// `spec.verify`.
    pub verify: bool,
    /// `spec.deletionPolicy`.
    pub deletion_policy: DeletionPolicy,
    /// `spec.suspend`.
    pub suspend: bool,
}

impl<'a> Options<'a> {
    /// The options of a spec that names this connector to take over.
    pub(super) fn of(options: &'a ConnectorOptions, existing_id: Option<&'a str>) -> Self {
        Self {
            connector_name: options.connector_name.as_deref(),
            existing_id,
            adoption_policy: options.adoption_policy,
            workspace: options.workspace.as_ref(),
            verify: options.verify,
            deletion_policy: options.deletion_policy,
            suspend: options.suspend,
        }
    }
}

/// What speaks against a spec that the API server could not refuse.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Objection {
    /// A parameter that nobody may read is among those that anyone may.
    SecretInConfig(String),
    /// A parameter is given in the config and in a Secret.
    GivenTwice(String),
    /// Parameters without which the service refuses this type are not given.
    Missing {
        /// The type.
        connector_type: &'static str,
        /// The parameters.
        parameters: Vec<&'static str>,
    },
}

/// One value that the API wants and a Secret holds.
#[derive(Clone, Copy, Debug)]
pub struct Credential<'a> {
    /// The parameter's name in the API.
    pub parameter: &'a str,
    /// The name of the Secret.
    pub secret: &'a str,
    /// The key in the Secret.
    pub key: &'a str,
    /// Where the spec names both.
    pub field: Field<'a>,
    /// What its value can be.
    pub form: Form,
    /// What looks like it, and is not.
    pub impostor: Option<&'static Impostor>,
}

/// Where a spec names a Secret and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// One Secret for all, and keys that have defaults: `spec.credentials`.
    Credentials,
    /// Each parameter by itself: `spec.secretConfig`.
    SecretConfig,
    /// Each setting by itself, of the node of this name: `spec.nodes[].secretSettings`.
    SecretSettings(&'a str),
}

impl Credential<'_> {
    /// The field with the name of the Secret.
    pub fn name_field(&self) -> String {
        match self.field {
            Field::Credentials => "spec.credentials.secretRef.name".to_owned(),
            Field::SecretConfig | Field::SecretSettings(_) => format!("{}.name", self.own_field()),
        }
    }

    /// The field with the key in the Secret, or the one that has such fields.
    pub fn key_field(&self) -> String {
        match self.field {
            Field::Credentials => "spec.credentials.keys".to_owned(),
            Field::SecretConfig | Field::SecretSettings(_) => format!("{}.key", self.own_field()),
        }
    }

    fn own_field(&self) -> String {
        let parameter = self.parameter;
        match self.field {
            Field::Credentials => format!("spec.credentials.{parameter}"),
            Field::SecretConfig => format!("spec.secretConfig.{parameter}"),
            Field::SecretSettings(node) => format!("spec.nodes[{node}].secretSettings.{parameter}"),
        }
    }
}

/// What the value of a credential can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A token: printable ASCII without a space or a quotation mark.
    Token,
    /// Any text, such as a key file, a connection string or a password.
    Text,
}

/// Something that is put in the place of a credential by mistake, and is known by how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Impostor {
    /// How it begins.
    pub prefix: &'static str,
    /// What it is, and why that is of no use.
    pub what: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

/// The values of the credentials by parameter.
#[derive(Default)]
pub struct Credentials(BTreeMap<String, SecretString>);

impl Credentials {
    /// Adds the value of a parameter.
    pub fn insert(&mut self, parameter: impl Into<String>, value: SecretString) {
        self.0.insert(parameter.into(), value);
    }

    /// The value of a parameter.
    pub fn get(&self, parameter: &str) -> Option<&SecretString> {
        self.0.get(parameter)
    }

    /// All values.
    pub fn values(self) -> impl Iterator<Item = SecretString> {
        self.0.into_values()
    }
}
