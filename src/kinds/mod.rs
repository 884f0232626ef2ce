//! What the controller has to know of a kind of source. A second kind is a type in [`crate::crd`] and an implementation of
//! [`SourceKind`] beside this file.

mod dropbox;

pub(crate) use dropbox::suspicions;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;

use kube::core::NamespaceResourceScope;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::crd::{AdoptionPolicy, DeletionPolicy, Reason, SourceStatus, WorkspaceReference};
use crate::dropbox::DropboxClient;
use crate::unstructured::Config;

/// A custom resource that stands for one source connector.
pub trait SourceKind:
    kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The connector's `type` in the Unstructured API.
    const SOURCE_TYPE: &'static str;

    /// Every parameter that [`settings`](Self::settings) and [`credentials`](Self::credentials) can name: of what the API shows of a
    /// connector, no other is kept.
    const PARAMETERS: &'static [&'static str];

    /// The options that all kinds have in common.
    fn options(&self) -> Options<'_>;

    /// The status, once there is one.
    fn status(&self) -> Option<&SourceStatus>;

    /// The settings that anyone may read, as the API names them.
    fn settings(&self) -> BTreeMap<&'static str, Value>;

    /// Name of the Secret with the credentials, in the resource's own namespace.
    fn credentials_secret(&self) -> &str;

    /// Which key of that Secret holds which parameter of the API.
    fn credentials(&self) -> Vec<Credential<'_>>;

    /// Asks the system that the source reads from whether it takes the credentials, and lets them read what is to be read. An
    /// answer that another resource with the same credentials got will do, if it was asked for at or after `since`.
    fn ask(
        &self,
        providers: &Providers,
        credentials: &Credentials,
        since: Instant,
    ) -> impl Future<Output = Verdict> + Send;
}

/// The options that all kinds have in common.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// `spec.connectorName`.
    pub connector_name: Option<&'a str>,
    /// `spec.existingSourceId`.
    pub existing_source_id: Option<&'a str>,
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

/// One value that the API wants and the Secret holds.
#[derive(Clone, Copy, Debug)]
pub struct Credential<'a> {
    /// The parameter's name in the API.
    pub parameter: &'static str,
    /// The key in the Secret.
    pub key: &'a str,
    /// What looks like it, and is not.
    pub impostor: Option<&'static Impostor>,
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
pub struct Credentials(BTreeMap<&'static str, SecretString>);

impl Credentials {
    /// Adds the value of a parameter.
    pub fn insert(&mut self, parameter: &'static str, value: SecretString) {
        self.0.insert(parameter, value);
    }

    /// The value of a parameter.
    pub fn get(&self, parameter: &str) -> Option<&SecretString> {
        self.0.get(parameter)
    }

    /// The complete configuration: settings first, then the credentials.
    pub fn complete(&self, settings: BTreeMap<&'static str, Value>) -> Config {
        let plain = settings
            .into_iter()
            .fold(Config::builder(), |config, (name, value)| {
                config.plain(name, value)
            });
        let all = self.0.iter().fold(plain, |config, (name, value)| {
            config.secret(name, SecretString::from(value.expose_secret()))
        });
        all.build()
    }
}

/// The systems that sources read from, as far as they can be asked about credentials.
#[derive(Clone, Default)]
pub struct Providers {
    /// Dropbox, unless asking it is switched off.
    pub dropbox: Option<DropboxClient>,
}

/// What a provider says of credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody is to be asked.
    NotAsked,
    /// They are good.
    Accepted,
    /// They are good, and what is to be read cannot be read with them.
    Insufficient(Shortfall),
    /// They are definitely not good; what to do about it.
    Refused(String),
    /// It cannot be told, which is no refusal; a sentence that says why.
    Inconclusive(String),
    /// The same, because no answer came in the time that there is for one.
    NoAnswer(String),
}

/// What keeps credentials that are good from reading what is to be read. It blocks nothing: only Unstructured's own connection check
/// says what Unstructured can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shortfall {
    /// They lack a permission; what to do about it.
    Permission(String),
    /// Their account, or the app, is not to be used for this; what to do about it.
    Access(String),
    /// There is no such folder; what to do about it.
    Folder(String),
    /// There is one, and it cannot be read; what to do about it.
    Content(String),
}

impl Shortfall {
    /// The word for it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Permission(_) => Reason::PermissionMissing,
            Self::Access(_) => Reason::AccessDenied,
            Self::Folder(_) => Reason::FolderNotFound,
            Self::Content(_) => Reason::FolderUnreadable,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        match self {
            Self::Permission(advice)
            | Self::Access(advice)
            | Self::Folder(advice)
            | Self::Content(advice) => advice,
        }
    }
}
