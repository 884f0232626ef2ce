//! Options that several commands have in common, under the same names and variables as those of `run`.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use secrecy::SecretString;

use super::names::{API_KEY, both_names};
use super::values;
use crate::dropbox::{BaseUrl, DropboxClient};
use crate::exit::Exit;
use crate::hosts::Reach;
use crate::http::USER_AGENT;
use crate::own_key::OwnKey;
use crate::pinecone::PineconeClient;
use crate::runtime::kube_client;
use crate::unstructured::{ApiKey, Client, Endpoint};

const API_URL: &str = "https://platform.unstructuredapp.io/api/v1";
const DROPBOX_API_URL: &str = "https://api.dropboxapi.com";
/// Pinecone, unless it is elsewhere.
pub(crate) const PINECONE_API_URL: &str = "https://api.pinecone.io";

/// How requests are sent.
#[derive(Clone, Debug, clap::Args)]
pub struct Network {
    /// Accept http:// URLs, which send secrets in clear text
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub allow_insecure_http: bool,

    /// Give up on a request to the Unstructured API or Dropbox after this time
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub request_timeout: Duration,
}

/// Where Dropbox is.
#[derive(Clone, Debug, clap::Args)]
pub struct Dropbox {
    /// Use this URL of the Dropbox API
    #[arg(long, value_name = "URL", default_value = DROPBOX_API_URL)]
    dropbox_api_url: String,
}

/// Where Pinecone is.
#[derive(Clone, Debug, clap::Args)]
pub struct Pinecone {
    /// Use this URL of the Pinecone API
    #[arg(long, value_name = "URL", default_value = PINECONE_API_URL)]
    pinecone_api_url: String,
}

/// The workspace of Unstructured, and its key.
#[expect(
    clippy::struct_field_names,
    reason = "the fields are called as their flags are"
)]
#[derive(Clone, Debug, clap::Args)]
pub struct Workspace {
    /// Use this URL of the Unstructured API, with or without /api/v1
    #[arg(
        long,
        value_name = "URL",
        default_value = API_URL
    )]
    api_url: String,

    /// Read the API key of the workspace from this file. To pass the key itself, set `UNSTRUCTURED_API_KEY`
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) api_key: Option<SecretString>,
}

/// The Kubernetes cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct Cluster {
    /// Use this kubeconfig [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,

    /// Use this context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Use this namespace [default: the context's]
    #[arg(short, long, value_name = "NAME", value_parser = values::namespace)]
    pub namespace: Option<String>,
}

impl Cluster {
    /// These commands for the cluster that was chosen here: typed as they are printed, they must not reach another one.
    pub(crate) fn complete(&self, commands: &str) -> String {
        let path = self
            .kubeconfig
            .as_ref()
            .map(|path| path.display().to_string());
        let flags = flag("kubeconfig", path.as_deref()) + &flag("context", self.context.as_deref());
        ["doctor", "follow", "login dropbox", "start"]
            .map(|name| format!("{NAME} {name}"))
            .iter()
            .map(String::as_str)
            .chain(["kubectl"])
            .fold(commands.to_owned(), |commands, command| {
                add_flags(&commands, command, &flags)
            })
    }

    /// A client of the cluster, and the namespace to work in.
    ///
    /// # Errors
    ///
    /// [`Exit`], one line that says what to set.
    pub fn connect(&self) -> Result<(kube::Client, String), Exit> {
        let kubeconfig = self.kubeconfig.as_deref();
        if let Some(path) = kubeconfig
            && let Err(error) = File::open(path)
        {
            let path = path.display();
            return Err(Exit::Refused(format!(
                "--kubeconfig: {path} cannot be read: {error}"
            )));
        }
        kube_client::connect_as(
            kubeconfig,
            self.context.as_deref(),
            self.namespace.as_deref(),
        )
        .map_err(|error| Exit::Failed(error.to_string()))
    }
}

impl Dropbox {
    /// The flags that choose it, with a space before each.
    pub(crate) fn flags(&self) -> String {
        let url = Some(&*self.dropbox_api_url).filter(|url| *url != DROPBOX_API_URL);
        flag("dropbox-api-url", url)
    }

    /// Where the API is.
    ///
    /// # Errors
    ///
    /// [`Exit`] when the URL is not fit for a credential.
    pub fn endpoint(&self, network: &Network) -> Result<BaseUrl, Exit> {
        base_url(
            "dropbox-api-url",
            &self.dropbox_api_url,
            network.allow_insecure_http,
        )
    }

    /// A client of this Dropbox.
    ///
    /// # Errors
    ///
    /// [`Exit`] when the URL is not fit for a credential, or TLS cannot be set up.
    pub fn client(&self, network: &Network) -> Result<DropboxClient, Exit> {
        let base = self.endpoint(network)?;
        DropboxClient::new(base, network.request_timeout, USER_AGENT)
            .map_err(|error| Exit::Failed(error.to_string()))
    }
}

impl Pinecone {
    /// The flags that choose it, with a space before each.
    pub(crate) fn flags(&self) -> String {
        let url = Some(&*self.pinecone_api_url).filter(|url| *url != PINECONE_API_URL);
        flag("pinecone-api-url", url)
    }

    /// A client of this Pinecone.
    ///
    /// # Errors
    ///
    /// [`Exit`] when the URL is not fit for a credential, or TLS cannot be set up.
    pub fn client(&self, network: &Network) -> Result<PineconeClient, Exit> {
        let insecure = network.allow_insecure_http;
        let base = base_url("pinecone-api-url", &self.pinecone_api_url, insecure)?;
        PineconeClient::new(base, network.request_timeout)
            .map_err(|error| Exit::Failed(error.to_string()))
    }
}

impl Workspace {
    /// The flags that choose it, with a space before each.
    pub(crate) fn flags(&self) -> String {
        let url = Some(&*self.api_url).filter(|url| *url != API_URL);
        let path = self
            .api_key_file
            .as_ref()
            .map(|path| path.display().to_string());
        flag("api-url", url) + &flag("api-key-file", path.as_deref())
    }

    /// Where the API is.
    ///
    /// # Errors
    ///
    /// [`Exit`] when the URL is not fit for a credential.
    pub fn endpoint(&self, network: &Network) -> Result<Endpoint, Exit> {
        Endpoint::parse(&self.api_url, network.allow_insecure_http)
            .map_err(|reason| Exit::Refused(format!("{}: {reason}", both_names("api-url"))))
    }

    /// The key, if one was given.
    ///
    /// # Errors
    ///
    /// [`Exit`] when there are two, or what was given is no key.
    pub fn key(&self) -> Result<Option<ApiKey>, Exit> {
        match (&self.api_key, &self.api_key_file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Exit::Refused(format!(
                "{API_KEY} and {} are both set: keep one",
                both_names("api-key-file")
            ))),
            (Some(key), None) => ApiKey::new(key.clone())
                .map(Some)
                .map_err(|error| Exit::Refused(format!("{API_KEY}: {error}"))),
            (None, Some(path)) => OwnKey::from_file(path.clone())
                .map(|key| key.get())
                .map_err(Exit::Refused),
        }
    }

    /// A client with the limits of a person who waits, which reaches so far.
    ///
    /// # Errors
    ///
    /// [`Exit`] when TLS cannot be set up.
    pub fn client(
        endpoint: Endpoint,
        key: ApiKey,
        reach: Reach,
        network: &Network,
    ) -> Result<Client, Exit> {
        let options = crate::unstructured::Options {
            request_timeout: network.request_timeout,
            connect_timeout: network.request_timeout.min(Duration::from_secs(5)),
            reach,
            ..crate::unstructured::Options::default()
        };
        Client::new(endpoint, key, &options).map_err(|error| Exit::Failed(error.to_string()))
    }
}

/// These commands with flags, each of which has a space before it, for each of this name.
pub(crate) fn add_flags(commands: &str, name: &str, flags: &str) -> String {
    commands.replace(&format!("{name} "), &format!("{name}{flags} "))
}

/// The URL of an API that a credential goes to, as the option of this name gives it.
///
/// # Errors
///
/// [`Exit::Refused`] when it is not fit for a credential.
pub(crate) fn base_url(name: &str, url: &str, allow_insecure_http: bool) -> Result<BaseUrl, Exit> {
    BaseUrl::parse(url, allow_insecure_http)
        .map_err(|reason| Exit::Refused(format!("{}: {reason}", both_names(name))))
}

/// The program, as it is typed.
const NAME: &str = "unstructured-operator";

/// A flag with a space before it, as a shell reads it; nothing without a value.
fn flag(name: &str, value: Option<&str>) -> String {
    let quoted = |value: &str| shlex::try_quote(value).map_or_else(|_| String::new(), Into::into);
    value.map_or_else(String::new, |value| format!(" --{name} {}", quoted(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_reaches_the_same_cluster() {
        let cluster = |kubeconfig: Option<&str>, context: Option<&str>| Cluster {
            kubeconfig: kubeconfig.map(Into::into),
            context: context.map(Into::into),
            namespace: None,
        };
        let line = "kubectl -n a get x | kubectl apply -f - && unstructured-operator doctor -n a";
        assert_eq!(cluster(None, None).complete(line), line);
        let flags = "--kubeconfig 'my config' --context prod";
        assert_eq!(
            cluster(Some("my config"), Some("prod")).complete(line),
            format!(
                "kubectl {flags} -n a get x | kubectl {flags} apply -f - && unstructured-operator doctor {flags} -n a"
            )
        );
    }
}
