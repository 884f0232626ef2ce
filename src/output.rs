//! What a command prints. Either stream may be closed or full, and neither is a reason to panic.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::exit::Exit;

/// Prints to standard output, to its end. Whoever closes a pipe has read enough: that is no failure.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    match print_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| unwritable(&error)),
    }
}

/// Prints what nobody can print again: a closed pipe is a failure, too.
pub(crate) fn print_once(text: &[u8]) -> Result<(), Exit> {
    print_all(text).map_err(|error| unwritable(&error))
}

/// A line for the person, on standard error. If that is gone, nobody is there to be told.
pub(crate) fn say(line: &str) {
    show(&format!("{line}\n"));
}

/// The same without the end of the line.
pub(crate) fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

fn print_all(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}

fn unwritable(error: &io::Error) -> Exit {
    Exit::Failed(format!("standard output cannot be written: {error}"))
}

impl Exit {
    /// Prints to stdout what was asked for, or to stderr what is wrong. Exit code 0 for that, 2 for what the user gave, 1 for
    /// what the world did, 130 for Ctrl-C.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Told(text) => match print(text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(exit) => exit.report(),
            },
            Self::Refused(line) => {
                say(&format!("error: {line}"));
                ExitCode::from(2)
            }
            Self::Failed(line) => {
                say(&format!("error: {line}"));
                ExitCode::FAILURE
            }
            Self::Wrong => ExitCode::FAILURE,
            Self::Interrupted => ExitCode::from(130),
        }
    }
}
