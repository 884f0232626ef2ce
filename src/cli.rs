//! The command line: every option is a flag and an environment variable, the flag wins, and a bad value or combination is
//! one line that names the one at fault.
//!
//! The environment is passed in rather than read, so that a start is a function of its arguments. A variable that is set
//! to nothing counts as unset, as a template that had nothing to put there leaves it.

mod pages;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{
    CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::options::{API_KEY, Exit, secret, variable_of};
use crate::run::{self, TRACES_ENDPOINT};
use crate::{doctor, follow, import, login, uninstall};

pub use pages::{completions, definition, man};

/// Said of options without a command: it may be meant for the operator, which nobody shall start by accident.
const NO_COMMAND: &str = "no command: put it before the options, as in unstructured-operator run --leader-elect; see --help";

/// What the command line asks for.
#[derive(Debug, Parser)]
#[command(
    name = "unstructured-operator",
    version,
    about = "Kubernetes operator that manages connectors, workflows and runs of the Unstructured platform"
)]
pub enum Command {
    /// Run the operator
    Run(Box<run::Options>),
    /// Print the CRDs as YAML
    Crd,
    /// Get lasting credentials for a source, and manifests that use them
    #[command(subcommand)]
    Login(Login),
    /// Check everything that a connector, a workflow or a run depends on, and say what to do next
    ///
    /// Checks the cluster, the resources, their Secrets and both APIs, and changes nothing. Exits with 0 if nothing is wrong.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(Box<doctor::Options>),
    /// Print manifests for the connectors and workflows that a workspace already has
    ///
    /// Each manifest names an existing object by its id, so the operator adopts exactly that object and creates nothing.
    #[command(after_help = import::EXAMPLES)]
    Import(Box<import::Options>),
    /// Run a workflow once, as a new `UnstructuredJob`
    ///
    /// Prints the name of the job. Each run costs money: a job is one run, and this command creates one job.
    #[command(after_help = follow::START_EXAMPLES)]
    Start(Box<follow::StartOptions>),
    /// Show the progress of a run until it ends
    ///
    /// Shows a bar for each node on a terminal, and prints a line for each change elsewhere. At the end, lists the documents that failed.
    /// Exits with 0 if none did. Ctrl-C does not stop the run.
    #[command(after_help = follow::FOLLOW_EXAMPLES)]
    Follow(Box<follow::FollowOptions>),
    /// Delete the CRDs and every resource, and keep every connector
    ///
    /// Works without a running operator, so it also finishes a deletion that hangs without one. Prints which connectors stay.
    #[command(after_help = uninstall::EXAMPLES)]
    Uninstall(uninstall::Options),
    /// Print completions for a shell
    Completions {
        /// Print them for this shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    Man {
        /// Write them into this directory
        directory: PathBuf,
    },
}

/// Where to log in.
#[derive(Debug, clap::Subcommand)]
pub enum Login {
    /// Let a Dropbox app read a folder, and write the Secret and the `DropboxSource` for it
    ///
    /// Asks for whatever you do not pass: the app's key and secret, the code from the authorization page, and the folder. Reads secrets
    /// without echo, and never from the command line. Writes the manifests to a directory, to the cluster, or to standard output unless
    /// that is a terminal.
    #[command(after_help = login::EXAMPLES)]
    Dropbox(Box<login::Options>),
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
        Command::Crd
        | Command::Start(_)
        | Command::Follow(_)
        | Command::Uninstall(_)
        | Command::Completions { .. }
        | Command::Man { .. } => {}
    }
    Ok(parsed)
}

fn is_flag(argument: &OsStr, long: &str) -> bool {
    let rest = argument.as_encoded_bytes().strip_prefix(long.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
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
    // On the widest screen, too, lines stay as long as one likes to read.
    described.max_term_width(80).mut_subcommands(with_variables)
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

/// One line for clap's several. It names the flag, or the variable if the value came from there, and never quotes a value:
/// what was typed in the wrong place may be a key.
fn explain(error: &clap::Error, from_environment: &[String]) -> Exit {
    let arguments = |kind| match error.get(kind) {
        Some(ContextValue::String(argument)) => vec![flag_of(argument)],
        Some(ContextValue::Strings(arguments)) => arguments.iter().map(|a| flag_of(a)).collect(),
        _ => Vec::new(),
    };
    let argument = || {
        let first = arguments(ContextKind::InvalidArg).into_iter().next();
        first.unwrap_or_else(|| "an argument".to_owned())
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
                format!("{}: give {}", source(), either(valid))
            }
            _ => format!("{}: needs a value", source()),
        },
        ErrorKind::ArgumentConflict => {
            let others = arguments(ContextKind::PriorArg);
            if others.contains(&argument()) {
                format!("{}: given more than once", source())
            } else {
                format!("{} cannot be given together with {}", argument(), others.join(" and "))
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = arguments(ContextKind::InvalidArg);
            format!("{} is missing, see --help", missing.join(" and "))
        }
        ErrorKind::InvalidUtf8 => "an option's value is not text".to_owned(),
        ErrorKind::InvalidSubcommand => {
            "unknown command: give run, crd, login dropbox, doctor, import, start, follow, uninstall, completions or man, see --help".to_owned()
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

/// The flag of an argument as clap shows it, such as `--name <NAME>`, or the whole of one that has no flag, such as `[NAME]`.
fn flag_of(argument: &str) -> String {
    let end = argument.find([' ', '=', '[']).filter(|end| *end > 0);
    argument[..end.unwrap_or(argument.len())].to_owned()
}

/// `a`, `a or b`, `a, b or c`.
fn either(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [word] => word.clone(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
    }
}

#[cfg(test)]
#[path = "cli/tests.rs"]
mod tests;
