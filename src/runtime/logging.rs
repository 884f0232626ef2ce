//! Logs: one JSON object a line for collectors, text for people, and nothing in them that a library read off the wire.

use std::{
    any::Any,
    fmt,
    io::{self, IsTerminal},
    panic,
    str::FromStr,
};

use tracing::{Event, Subscriber, error, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{Format, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::traces::{self, Traces};
use crate::spans;

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
        let known = |directive: &str| {
            directive.contains('=')
                || (!directive.is_empty() && directive.parse::<LevelFilter>().is_ok())
        };
        if directives.split(',').all(known) && EnvFilter::try_new(directives).is_ok() {
            Ok(Self(directives.to_owned()))
        } else {
            Err(
                "give off, error, warn, info, debug or trace, or directives like info,unstructured_operator=debug",
            )
        }
    }
}

/// Logs to stderr from now on, panics included, and sends `traces` if there are any; each line that belongs to one then names it.
/// Call it once, before the first log line.
///
/// # Errors
///
/// Something else in the process already logs.
pub fn init(
    format: LogFormat,
    level: &LogLevel,
    traces: Option<&Traces>,
) -> Result<(), tracing_subscriber::util::TryInitError> {
    subscriber(format, level, io::stderr)
        .with(traces.map(Traces::layer))
        .try_init()?;
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

fn subscriber<W>(
    format: LogFormat,
    level: &LogLevel,
    writer: W,
) -> impl Subscriber + for<'span> LookupSpan<'span> + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let line = Format::default();
    let lines = match format {
        LogFormat::Json => lines
            .json()
            .event_format(Traced(
                line.json().flatten_event(true).with_span_list(false),
            ))
            .boxed(),
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
    };
    let asked = EnvFilter::new(&level.0);
    Registry::default().with(lines.with_filter(asked.and(permitted())))
}

/// A JSON line that begins with the trace and the span that it belongs to, under the names that OpenTelemetry gives them in logs.
struct Traced<F>(F);

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some((trace, span)) = traces::current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(fields) => write!(
                writer,
                r#"{{"trace_id":"{trace}","span_id":"{span}",{fields}"#
            ),
            None => writer.write_str(&line),
        }
    }
}

/// What may be logged whatever level is asked for. Below `warn`, HTTP and TLS libraries print header and body bytes, so
/// only our own code goes there; kube's client prints the body of an answer that it cannot parse already at `warn`, and
/// kube's runtime the error made of it.
fn permitted() -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("kube", LevelFilter::ERROR)
        // Spans, which are no log lines.
        .with_target(spans::TARGET, LevelFilter::OFF)
        .with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE)
}

/// What may be said of a panic. A literal was written by us or a library's author; anything formatted may hold a secret.
fn payload(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("withheld")
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;
    use tracing::{debug, info, trace, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, &level.parse().unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_holds_timestamp_level_target_message_and_fields() {
        let line = logged(LogFormat::Json, "info", || {
            info!(workspace = "abc", "listed");
        });
        let line: Value = serde_json::from_str(&line).expect("one object");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], module_path!());
        assert_eq!(line["message"], "listed");
        assert_eq!(line["workspace"], "abc");
    }

    #[test]
    fn text_is_for_people() {
        let line = logged(LogFormat::Text, "info", || {
            info!(workspace = "abc", "listed");
        });
        assert!(line.contains("INFO") && line.contains("listed") && line.contains("workspace"));
    }

    #[test]
    fn no_library_prints_what_it_read_off_the_wire_whatever_is_asked_for() {
        for level in [
            "trace",
            "trace,h2=trace,hyper=trace,kube_client=trace,rustls=trace",
            "h2=trace",
        ] {
            let text = logged(LogFormat::Json, level, || {
                trace!(target: "h2::codec::framed_read", "secret");
                trace!(target: "hyper::proto::h1::io", "secret");
                debug!(target: "hyper_util::client::legacy", "secret");
                trace!(target: "reqwest::connect", "secret");
                debug!(target: "rustls::client::hs", "secret");
                trace!(target: "tower::buffer::worker", "secret");
                trace!(target: "kube_client::client", "secret");
                warn!(target: "kube_client::client", "secret");
                warn!(target: "kube_runtime::watcher", "secret");
                info!(target: "a_library_of_next_year", "secret");
            });
            assert_eq!(text, "", "{level}");
        }
    }

    #[test]
    fn our_own_code_is_as_talkative_as_asked_and_a_librarys_warning_is_heard() {
        let text = logged(LogFormat::Text, "trace", || {
            trace!("ours");
            warn!(target: "some_library", "theirs");
        });
        assert!(text.contains("ours") && text.contains("theirs"));
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["off", "INFO", "warn,unstructured_operator=debug", "trace"] {
            assert!(good.parse::<LogLevel>().is_ok(), "{good}");
        }
        for bad in ["", "loud", "info,loud", "a=loud", "info;debug"] {
            assert!(bad.parse::<LogLevel>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_panics_payload_is_told_only_if_it_is_a_literal() {
        assert_eq!(payload(&"index out of bounds"), "index out of bounds");
        assert_eq!(payload(&format!("token {}", "sl.secret")), "withheld");
        assert_eq!(payload(&7), "withheld");
    }
}
