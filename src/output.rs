//! What a command prints. Either stream may be closed or full, and neither is a reason to panic.

use std::io::{self, ErrorKind, Write};

use crate::options::Exit;

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
