//! Logs: one JSON object a line for collectors, text for people, and nothing in them that a library read off the wire.

use std::{
    any::Any,
    fmt,
    io::{self, IsTerminal},
    panic,
    str::FromStr,
};

use tracing::{Subscriber, error, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, Targets},
    fmt::MakeWriter,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line: timestamp, level, target, message, fields.
    Json,
    /// For people.
    Text,
}

impl Default for LogFormat {
    /// Text on a terminal, JSON elsewhere.
    fn default() -> Self {
        if io::stderr().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// A level, or directives such as `info,unstructured_operator::controller=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogLevel {
    type Err = &'static str;

    /// Stricter than [`EnvFilter`], which takes a misspelt level for a module's name and then logs nothing else.
    fn from_str(directives: &str) -> Result<Self, Self::Err> {
        let known =
            |directive: &str| directive.contains('=') || directive.parse::<LevelFilter>().is_ok();
        if directives.split(',').all(known) && EnvFilter::try_new(directives).is_ok() {
            Ok(Self(directives.to_owned()))
        } else {
            Err(
                "give off, error, warn, info, debug or trace, or directives like info,unstructured_operator=debug",
            )
        }
    }
}

/// Logs to stderr from now on, panics included. Call it once, before the first log line.
///
/// # Errors
///
/// Something else in the process already logs.
pub fn init(
    format: LogFormat,
    level: &LogLevel,
) -> Result<(), tracing_subscriber::util::TryInitError> {
    subscriber(format, level, io::stderr).try_init()?;
    panic::set_hook(Box::new(|panic| {
        error!(
            location = panic.location().map(tracing::field::display),
            thread = std::thread::current().name(),
            payload = payload(panic.payload()),
            "panic"
        );
    }));
    Ok(())
}

fn subscriber<W>(format: LogFormat, level: &LogLevel, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
    };
    let asked = EnvFilter::new(&level.0);
    Registry::default().with(lines.with_filter(asked.and(permitted())))
}

/// What may be logged whatever level is asked for. Below `warn`, HTTP and TLS libraries print header and body bytes, so
/// only our own code goes there; kube's client prints the body of an answer that it cannot parse already at `warn`, and
/// kube's runtime the error made of it.
fn permitted() -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("kube", LevelFilter::ERROR)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE)
}

/// What may be said of a panic. A literal was written by us or a library's author; anything formatted may hold a secret.
fn payload(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("withheld")
}
