//! The options of `run`.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use secrecy::SecretString;

use crate::dropbox::{BaseUrl, UrlError};
use crate::hosts::HostPattern;
use crate::options::{self as values, API_KEY, Exit, PINECONE_API_URL, base_url, both_names};
use crate::runtime::logging::{LogFormat, LogLevel};
use crate::unstructured::Endpoint;

/// Where traces alone are sent, among the other signals that the standard knows: the whole URL.
pub(crate) const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// Where the API key of the operator's own workspace comes from.
#[derive(Clone, Debug)]
pub enum ApiKeySource {
    /// From the environment.
    Value(SecretString),
    /// From a file that is read again when it changes.
    File(PathBuf),
}

/// How the operator runs.
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Use this URL of the Unstructured API for the operator's own workspace, with or without /api/v1
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://platform.unstructuredapp.io/api/v1"
    )]
    pub(crate) api_url: String,

    /// Read the API key of the operator's own workspace from this file, and read it again when it changes. To pass the key itself, set
    /// `UNSTRUCTURED_API_KEY`. Without either, each resource must name its workspace
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) api_key: Option<SecretString>,

    /// Try refresh tokens at this URL of the Dropbox API
    #[arg(long, value_name = "URL", default_value = "https://api.dropbox.com")]
    pub(crate) dropbox_api_url: String,

    /// Try credentials at Dropbox before sending them to Unstructured
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub validate_dropbox_credentials: bool,

    /// Try API keys at this URL of the Pinecone API
    #[arg(long, value_name = "URL", default_value = PINECONE_API_URL)]
    pub(crate) pinecone_api_url: String,

    /// Try credentials at Pinecone before sending them to Unstructured
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub validate_pinecone_credentials: bool,

    /// Allow only these hosts in workspace.apiUrl, separated by commas; `*.` stands for all hosts of a domain [default: any public host;
    /// never private, link-local or in-cluster addresses]
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', value_parser = values::host_pattern)]
    pub allowed_api_hosts: Vec<HostPattern>,

    /// Accept http:// URLs, which send secrets in clear text, and workspaces on the loopback interface
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub allow_insecure_http: bool,

    /// Use this cluster name in connector names [default: derived from the cluster]
    #[arg(long, value_name = "NAME", value_parser = values::cluster_name)]
    pub cluster_name: Option<String>,

    /// Watch only these namespaces, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = values::listed_namespace)]
    pub watch_namespaces: Vec<String>,

    /// Watch only resources that match this label selector, such as shard=1 [default: all]
    #[arg(long, value_name = "SELECTOR", value_parser = values::label_selector)]
    pub watch_label_selector: Option<String>,

    /// Compare each workspace with its resources at this interval, give or take 5 %
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = values::duration)]
    pub sync_interval: Duration,

    /// Check the runs in progress at this interval; this takes two requests for each workspace, however many runs there are
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = values::duration)]
    pub job_interval: Duration,

    /// Give up on a request to the Unstructured API after this time, and on a request to Dropbox after a third of it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub request_timeout: Duration,

    /// Wait this long for the connector of a create that got no response; must be longer than the request timeout [default: twice the
    /// request timeout]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    settle_time: Option<Duration>,

    /// Send at most this many requests per second to each workspace
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = values::positive)]
    pub max_requests_per_second: NonZeroU32,

    /// Keep at most this many requests in flight to each workspace
    #[arg(long, value_name = "NUMBER", default_value = "16", value_parser = values::positive)]
    pub max_concurrent_requests: NonZeroU32,

    /// Reconcile at most this many resources at once, and half as many more while one workspace has more to do than its share
    #[arg(long, value_name = "NUMBER", default_value = "64", value_parser = values::positive)]
    pub max_concurrent_reconciles: NonZeroU32,

    /// Use at most this much memory for the lists of all workspaces together; beyond it, drop the largest list. A connector takes about 400
    /// bytes
    #[arg(long, value_name = "SIZE", default_value = "256Mi", value_parser = values::memory)]
    pub max_inventory_memory: usize,

    /// Work only while holding the Lease; required with more than one replica
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub leader_elect: bool,

    /// Use this Lease. Within a namespace, operators that watch the same resources must share a Lease; any other operator needs its own
    #[arg(long, value_name = "NAME", default_value = "unstructured-operator", value_parser = values::object_name)]
    pub lease_name: String,

    /// Serve /metrics, /healthz and /readyz at this address
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", value_parser = values::address)]
    pub listen: SocketAddr,

    /// Write log lines in this format [default: text on a terminal, otherwise json]
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub log_format: LogFormat,

    /// Log at this level, or by directives such as `info,unstructured_operator=debug`
    #[arg(long, value_name = "LEVEL", default_value_t)]
    pub log_level: LogLevel,

    /// Send traces to this OpenTelemetry collector, by OTLP over HTTP, such as `http://collector:4318` [default: none are sent]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,

    #[arg(skip)]
    pub(crate) otlp_traces_endpoint: Option<String>,
}

impl Options {
    /// Where the operator's own API key comes from; without one, each resource has to name its workspace.
    pub fn api_key(&self) -> Option<ApiKeySource> {
        let value = self.api_key.clone().map(ApiKeySource::Value);
        value.or_else(|| self.api_key_file.clone().map(ApiKeySource::File))
    }

    /// How long a create without an answer is waited for. Longer than `request_timeout`.
    pub fn settle_time(&self) -> Duration {
        self.settle_time.unwrap_or(self.request_timeout * 2)
    }

    /// The Unstructured API of the operator's own workspace.
    ///
    /// # Errors
    ///
    /// [`Exit::Refused`], which options from [`parse`] are past.
    pub fn api_endpoint(&self) -> Result<Endpoint, Exit> {
        Endpoint::parse(&self.api_url, self.allow_insecure_http)
            .map_err(|reason| Exit::Refused(format!("{}: {reason}", both_names("api-url"))))
    }

    /// The Dropbox API that refresh tokens are tried at.
    ///
    /// # Errors
    ///
    /// [`Exit::Refused`], which options from [`parse`] are past.
    pub fn dropbox_endpoint(&self) -> Result<BaseUrl, Exit> {
        let insecure = self.allow_insecure_http;
        base_url("dropbox-api-url", &self.dropbox_api_url, insecure)
    }

    /// The Pinecone API that API keys are tried at.
    ///
    /// # Errors
    ///
    /// [`Exit::Refused`], which options from [`parse`] are past.
    pub fn pinecone_endpoint(&self) -> Result<BaseUrl, Exit> {
        let insecure = self.allow_insecure_http;
        base_url("pinecone-api-url", &self.pinecone_api_url, insecure)
    }

    /// Where traces are sent, if they are: the whole URL. No credential goes there, so it may be plain `http://`.
    ///
    /// # Errors
    ///
    /// [`Exit::Refused`], which options from [`parse`] are past.
    pub fn traces_endpoint(&self) -> Result<Option<BaseUrl>, Exit> {
        let refused =
            |name: String| move |reason: UrlError| Exit::Refused(format!("{name}: {reason}"));
        if let Some(url) = &self.otlp_traces_endpoint {
            let url = BaseUrl::parse(url, true).map_err(refused(TRACES_ENDPOINT.to_owned()))?;
            return Ok(Some(url));
        }
        let Some(url) = &self.otlp_endpoint else {
            return Ok(None);
        };
        let base = BaseUrl::parse(url, true).map_err(refused(both_names("otlp-endpoint")))?;
        Ok(Some(base.below("/v1/traces")))
    }

    /// Refuses values that are right one by one and wrong together.
    pub(crate) fn check(&self) -> Result<(), Exit> {
        self.api_endpoint()?;
        self.dropbox_endpoint()?;
        self.pinecone_endpoint()?;
        self.traces_endpoint()?;
        if self.api_key.is_some() && self.api_key_file.is_some() {
            return Err(Exit::Refused(format!(
                "{API_KEY} and {} are both set: keep one",
                both_names("api-key-file")
            )));
        }
        if self.settle_time() <= self.request_timeout {
            return Err(Exit::Refused(format!(
                "{} must be longer than {}, or a create still under way is taken for one that failed",
                both_names("settle-time"),
                both_names("request-timeout")
            )));
        }
        Ok(())
    }
}
