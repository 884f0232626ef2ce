//! The command line: every option is a flag and an environment variable, the flag wins, and a bad value or combination is
//! one line that names the one at fault.
//!
//! The environment is passed in rather than read, so that a start is a function of its arguments. A variable that is set
//! to nothing counts as unset, as a template that had nothing to put there leaves it.

mod shared;
mod values;

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};
use secrecy::SecretString;
use thiserror::Error;

use crate::dropbox::{BaseUrl, UrlError};
use crate::hosts::HostPattern;
use crate::runtime::logging::{LogFormat, LogLevel};
use crate::unstructured::Endpoint;
use crate::{doctor, import, login};

pub use shared::{Cluster, Dropbox, Network, Workspace};
pub(crate) use values::{host_pattern, namespace, object_name};

/// `User-Agent` of every request to Unstructured and Dropbox.
pub(crate) const USER_AGENT: &str = concat!("unstructured-operator/", env!("CARGO_PKG_VERSION"));

/// Holds the API key itself. There is no flag for it: a command line is readable by every process of the host.
const API_KEY: &str = "UNSTRUCTURED_API_KEY";

/// Where traces alone are sent, among the other signals that the standard knows: the whole URL.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// Said of options without a command: it may be meant for the operator, which nobody shall start by accident.
const NO_COMMAND: &str = "which command? It comes before its options, as in unstructured-operator run --leader-elect; see --help";

/// What the command line asks for.
#[derive(Debug, Parser)]
#[command(
    name = "unstructured-operator",
    version,
    about = "Kubernetes operator that keeps source connectors of the Unstructured platform true to their resources"
)]
pub enum Command {
    /// Run the operator
    Run(Box<Options>),
    /// Print the custom resource definitions as YAML
    Crd,
    /// Get lasting credentials for a source, and the manifests that use them
    #[command(subcommand)]
    Login(Login),
    /// Say what is right, what is wrong, and what to do next
    ///
    /// Looks at the cluster, the resources, their Secrets and both APIs, and changes nothing. Exit code 0 when nothing is wrong.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(Box<doctor::Options>),
    /// Print manifests for the Dropbox connectors that a workspace already has
    ///
    /// Each manifest names its connector by id, so that the operator takes over exactly this one and recreates nothing.
    #[command(after_help = import::EXAMPLES)]
    Import(Box<import::Options>),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        directory: PathBuf,
    },
}

/// Where to log in.
#[derive(Debug, clap::Subcommand)]
pub enum Login {
    /// Let a Dropbox app read a folder, and write the Secret and the `DropboxSource` for it
    ///
    /// Asks for what is not given: the app's key and secret, then the code of the page that it shows, then the folder. Secrets are
    /// read without echo, and never from the command line. The manifests go to standard output unless it is a terminal, to a
    /// directory, or to the cluster.
    #[command(after_help = login::EXAMPLES)]
    Dropbox(Box<login::Options>),
}

/// Why there is nothing to run.
#[derive(Debug, Error)]
pub enum Exit {
    /// Help or the version was asked for; this is it.
    #[error("{0}")]
    Told(String),
    /// The command line or the environment is wrong; one line says where, without the value.
    #[error("{0}")]
    Refused(String),
    /// What was asked for did not work out; one line says why, and what to do.
    #[error("{0}")]
    Failed(String),
    /// It was done, and the answer is no; all has been said.
    #[error("something is wrong")]
    Wrong,
    /// Ctrl-C at a prompt.
    #[error("interrupted")]
    Interrupted,
}

impl Exit {
    /// Prints to stdout what was asked for, or to stderr what is wrong. Exit code 0 for that, 2 for what the user gave, 1 for
    /// what the world did, 130 for Ctrl-C.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Told(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Self::Refused(line) => {
                eprintln!("error: {line}");
                ExitCode::from(2)
            }
            Self::Failed(line) => {
                eprintln!("error: {line}");
                ExitCode::FAILURE
            }
            Self::Wrong => ExitCode::FAILURE,
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

/// Where the API key of the operator's own workspace comes from.
#[derive(Clone, Debug)]
pub enum ApiKeySource {
    /// From the environment.
    Value(SecretString),
    /// From a file that is read again when it changes.
    File(PathBuf),
}

/// How the operator runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The Unstructured API of the operator's own workspace, with or without /api/v1
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://platform.unstructuredapp.io/api/v1"
    )]
    api_url: String,

    /// A file with the API key of the operator's own workspace, read again when it changes; the key itself goes into
    /// the environment variable `UNSTRUCTURED_API_KEY` instead; without either, each resource names its workspace
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<PathBuf>,

    #[arg(skip)]
    api_key: Option<SecretString>,

    /// The Dropbox API that refresh tokens are tried at
    #[arg(long, value_name = "URL", default_value = "https://api.dropbox.com")]
    dropbox_api_url: String,

    /// Try credentials at Dropbox before they are sent to Unstructured
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub validate_dropbox_credentials: bool,

    /// The only hosts that resources may name as workspace.apiUrl, separated by commas, with *. for all below a domain
    /// [default: any public host; never private, link-local or in-cluster addresses]
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', value_parser = values::host_pattern)]
    pub allowed_api_hosts: Vec<HostPattern>,

    /// Accept http:// URLs, over which secrets travel in the clear, and workspaces on the loopback interface
    #[arg(long, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub allow_insecure_http: bool,

    /// The cluster's part of connector names [default: derived from the cluster]
    #[arg(long, value_name = "NAME", value_parser = values::cluster_name)]
    pub cluster_name: Option<String>,

    /// Only look at these namespaces, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = values::namespace)]
    pub watch_namespaces: Vec<String>,

    /// Only look at resources with these labels, such as shard=1 [default: all]
    #[arg(long, value_name = "SELECTOR", value_parser = values::label_selector)]
    pub watch_label_selector: Option<String>,

    /// How often each workspace is compared with its resources, give or take 5 %
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = values::duration)]
    pub sync_interval: Duration,

    /// How long one request to the Unstructured API or Dropbox may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub request_timeout: Duration,

    /// How long after a create without an answer its connector may still appear; longer than the request timeout
    /// [default: twice the request timeout]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    settle_time: Option<Duration>,

    /// Requests per second and workspace
    #[arg(long, value_name = "NUMBER", default_value = "20", value_parser = values::positive)]
    pub max_requests_per_second: NonZeroU32,

    /// Requests in flight per workspace
    #[arg(long, value_name = "NUMBER", default_value = "16", value_parser = values::positive)]
    pub max_concurrent_requests: NonZeroU32,

    /// Resources worked on at once
    #[arg(long, value_name = "NUMBER", default_value = "64", value_parser = values::positive)]
    pub max_concurrent_reconciles: NonZeroU32,

    /// Work only while holding a Lease; needed for more than one replica
    #[arg(long, value_name = "BOOL", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub leader_elect: bool,

    /// The Lease. Operators in one namespace that watch different resources need one each; operators that watch the same
    /// resources must share one
    #[arg(long, value_name = "NAME", default_value = "unstructured-operator", value_parser = values::object_name)]
    pub lease_name: String,

    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", value_parser = values::address)]
    pub listen: SocketAddr,

    /// How log lines are written [default: text on a terminal, else json]
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub log_format: LogFormat,

    /// What is logged: a level, or directives such as `info,unstructured_operator=debug`
    #[arg(long, value_name = "LEVEL", default_value_t)]
    pub log_level: LogLevel,

    /// Send traces to this OpenTelemetry collector, by OTLP over HTTP, such as `http://collector:4318` [default: none are sent]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,

    #[arg(skip)]
    otlp_traces_endpoint: Option<String>,
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
        BaseUrl::parse(&self.dropbox_api_url, self.allow_insecure_http)
            .map_err(|reason| Exit::Refused(format!("{}: {reason}", both_names("dropbox-api-url"))))
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
    fn check(&self) -> Result<(), Exit> {
        self.api_endpoint()?;
        self.dropbox_endpoint()?;
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

/// Reads the command line, `arguments` beginning with the program's name, and the `environment`, in practice
/// [`std::env::var_os`].
///
/// # Errors
///
/// [`Exit`], which says what to print and how to end.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Exit> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let options_first = arguments
        .get(1)
        .is_some_and(|first| first.as_encoded_bytes().starts_with(b"-"));
    let mut from_environment = Vec::new();
    let command = command();
    let (chosen, depth) = chosen(&command, &arguments);
    for flag in flags(chosen) {
        let long = format!("--{flag}");
        if let Some(value) = variable_of(&flag).and_then(|name| variable(&name))
            && !arguments.iter().any(|argument| is_flag(argument, &long))
        {
            let mut argument = OsString::from(long + "=");
            argument.push(value);
            from_environment.push(flag);
            arguments.insert(depth, argument);
        }
    }
    let mut parsed = command
        .try_get_matches_from(arguments)
        .and_then(|matches| Command::from_arg_matches(&matches))
        .map_err(|error| match error.kind() {
            ErrorKind::UnknownArgument if options_first => Exit::Refused(NO_COMMAND.to_owned()),
            _ => explain(&error, &from_environment),
        })?;
    let secret = |name: &str| variable(name).map(|value| secret(name, value)).transpose();
    match &mut parsed {
        Command::Run(options) => {
            options.api_key = secret(API_KEY)?;
            options.otlp_traces_endpoint =
                variable(TRACES_ENDPOINT).map(|url| url.to_string_lossy().into_owned());
            options.check()?;
        }
        Command::Login(Login::Dropbox(options)) => {
            options.app_secret = secret(login::APP_SECRET)?;
            options.code = secret(login::CODE)?;
            options.check()?;
        }
        Command::Doctor(options) => options.workspace.api_key = secret(API_KEY)?,
        Command::Import(options) => options.workspace.api_key = secret(API_KEY)?,
        Command::Crd | Command::Completions { .. } | Command::Man { .. } => {}
    }
    Ok(parsed)
}

/// Writes completions for a shell to standard output.
pub fn completions(shell: clap_complete::Shell) {
    let mut command = command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut std::io::stdout());
}

/// Writes a man page for each command into a directory.
///
/// # Errors
///
/// [`Exit::Failed`] when it cannot be written.
pub fn man(directory: &std::path::Path) -> Result<(), Exit> {
    clap_mangen::generate_to(command(), directory).map_err(|error| {
        Exit::Failed(format!(
            "the man pages cannot be written to {}: {error}",
            directory.display()
        ))
    })
}

fn is_flag(argument: &OsStr, long: &str) -> bool {
    let rest = argument.as_encoded_bytes().strip_prefix(long.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

fn secret(name: &str, value: OsString) -> Result<SecretString, Exit> {
    let value = value
        .into_string()
        .map_err(|_| Exit::Refused(format!("{name}: is not text")))?;
    Ok(SecretString::from(value.trim()))
}

/// The command line with each option's environment variable in its help, as a last line `[env: NAME]`. The value is never
/// shown, and clap does not read it: its errors could not say whether the flag or the variable was wrong.
pub fn command() -> clap::Command {
    with_variables(Command::command())
}

fn with_variables(command: clap::Command) -> clap::Command {
    let described = command.mut_args(|argument| match argument.get_long().and_then(variable_of) {
        Some(variable) => {
            let help = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            argument.help(format!("{help}\n[env: {variable}]"))
        }
        None => argument,
    });
    described.mut_subcommands(with_variables)
}

/// The command that the arguments name, and where its own arguments begin.
fn chosen<'a>(root: &'a clap::Command, arguments: &[OsString]) -> (&'a clap::Command, usize) {
    let (mut command, mut depth) = (root, arguments.len().min(1));
    while let Some(next) = arguments
        .get(depth)
        .and_then(|name| command.find_subcommand(name))
    {
        command = next;
        depth += 1;
    }
    (command, depth)
}

/// Every flag of a command, without its dashes.
fn flags(command: &clap::Command) -> Vec<String> {
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    longs.map(ToOwned::to_owned).collect()
}

/// The environment variable of a flag. What is said anew each time (a name, a folder, where to write) has none.
fn variable_of(long: &str) -> Option<String> {
    let name = long.to_uppercase().replace('-', "_");
    match long {
        "help" | "version" | "open" | "folder" | "name" | "recursive" | "secret-name"
        | "output" | "apply" | "context" | "namespace" => None,
        "api-url" | "api-key-file" => Some(format!("UNSTRUCTURED_{name}")),
        "otlp-endpoint" => Some(format!("OTEL_EXPORTER_{name}")),
        "app-key" | "app-secret-file" | "code-file" => Some(format!("DROPBOX_{name}")),
        _ => Some(name),
    }
}

fn both_names(long: &str) -> String {
    match variable_of(long) {
        Some(variable) => format!("--{long} ({variable})"),
        None => format!("--{long}"),
    }
}

/// One line for clap's several. It names the flag, or the variable if the value came from there, and never quotes a value:
/// what was typed in the wrong place may be a key.
fn explain(error: &clap::Error, from_environment: &[String]) -> Exit {
    let argument = || match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument
            .split([' ', '=', '['])
            .next()
            .unwrap_or_default()
            .to_owned(),
        _ => "an argument".to_owned(),
    };
    let source = || {
        let argument = argument();
        let long = argument.trim_start_matches('-');
        match variable_of(long) {
            Some(variable) if from_environment.iter().any(|flag| flag == long) => variable,
            _ => argument,
        }
    };
    Exit::Refused(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::DisplayVersion => {
            return Exit::Told(error.render().to_string());
        }
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error)
                .map(ToString::to_string)
                .unwrap_or_default();
            format!("{}: {reason}", source())
        }
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
                format!("{}: give {}", source(), valid.join(" or "))
            }
            _ => format!("{}: needs a value", source()),
        },
        ErrorKind::ArgumentConflict => format!("{}: given more than once", source()),
        ErrorKind::InvalidUtf8 => "an option's value is not text".to_owned(),
        ErrorKind::InvalidSubcommand => {
            "unknown command: give run, crd, login dropbox, doctor, import or completions, see --help".to_owned()
        },
        ErrorKind::UnknownArgument if argument().starts_with("--") => {
            format!("{}: unknown option, see --help", argument())
        }
        ErrorKind::UnknownArgument => {
            "unexpected argument: only options are taken, see --help".to_owned()
        }
        _ => "the command line is not understood, see --help".to_owned(),
    })
}

#[cfg(test)]
#[path = "cli/tests.rs"]
mod tests;
