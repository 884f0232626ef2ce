//! A person at a terminal: questions, hidden answers, marks and colours. Nothing here writes to standard output, so that a
//! manifest on it stays clean.

use std::io::{self, IsTerminal, Stdin};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::output::{say, show};

/// Longest answer, in bytes; many times what a secret or a path has.
const LONGEST: usize = 4096;

/// A terminal to ask questions at: standard input and standard error both are one.
pub struct Terminal {
    stdin: Stdin,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The input ended, or cannot be read.
    #[error("the input ended before the question was answered")]
    Ended,
}

/// How something turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Well.
    Good,
    /// Badly.
    Bad,
    /// It cannot be told.
    Unknown,
}

/// Whether marks have colours: on a terminal that has them, unless `NO_COLOR` is set (<https://no-color.org>).
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

/// Keys of a terminal whose line editing is off.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

impl Terminal {
    /// The terminal, if a person can read questions and type answers.
    pub fn attach() -> Option<Self> {
        let stdin = io::stdin();
        (stdin.is_terminal() && io::stderr().is_terminal()).then_some(Self { stdin })
    }

    /// Asks, and returns what was typed, without white space around it; the default for nothing.
    pub fn ask(&self, question: &str, default: Option<&str>) -> Result<String, NoAnswer> {
        let hint = default
            .map(|default| format!(" [{default}]"))
            .unwrap_or_default();
        show(&format!("{question}{hint}: "));
        let mut line = Vec::new();
        loop {
            match self.read_byte()? {
                b'\n' => break,
                byte if line.len() < LONGEST => line.push(byte),
                _ => {}
            }
        }
        let answer = String::from_utf8_lossy(&line).trim().to_owned();
        Ok(match default {
            Some(default) if answer.is_empty() => default.to_owned(),
            _ => answer,
        })
    }

    /// Asks for what nobody may see. It is read key by key, so that Ctrl-C finds the terminal in order again, and passes through
    /// no buffer that outlives it.
    pub fn ask_hidden(&self, question: &str) -> Result<SecretString, NoAnswer> {
        // First, so that not even an answer typed ahead is shown.
        let hidden = Hidden::begin(&self.stdin)?;
        show(&format!("{question} (not shown): "));
        let mut typed = Zeroizing::new(Vec::with_capacity(LONGEST));
        let end = loop {
            match self.read_byte() {
                Ok(b'\n' | b'\r') => break Ok(()),
                Ok(CTRL_C) => break Err(NoAnswer::Interrupted),
                Ok(CTRL_D) => break Err(NoAnswer::Ended),
                Ok(CTRL_U) => typed.clear(),
                Ok(BACKSPACE | DELETE) => {
                    typed.pop();
                }
                Ok(byte) if byte >= b' ' && typed.len() < LONGEST => typed.push(byte),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        drop(hidden);
        say("");
        end?;
        let text = std::str::from_utf8(&typed).unwrap_or_default();
        Ok(SecretString::from(text.trim()))
    }

    fn read_byte(&self) -> Result<u8, NoAnswer> {
        let mut byte = [0];
        loop {
            match rustix::io::read(&self.stdin, &mut byte) {
                Ok(1) => return Ok(byte[0]),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return Err(NoAnswer::Ended),
            }
        }
    }
}

/// Echo, line editing and signals are off until this is dropped.
struct Hidden<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn begin(stdin: &'a Stdin) -> Result<Self, NoAnswer> {
        let before = tcgetattr(stdin).map_err(|_| NoAnswer::Ended)?;
        let mut modes = before.clone();
        modes.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(stdin, OptionalActions::Now, &modes).map_err(|_| NoAnswer::Ended)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // The terminal is gone if this fails, and nobody is left to see.
        let _ = tcsetattr(self.stdin, OptionalActions::Now, &self.before);
    }
}

impl Paint {
    /// For what is written to `stream`.
    pub fn on(stream: &impl IsTerminal) -> Self {
        let unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(stream.is_terminal() && unset("NO_COLOR") && !dumb)
    }

    /// A word for how something turned out.
    pub fn mark(self, mark: Mark) -> String {
        let (word, colour) = match mark {
            Mark::Good => ("ok", "32"),
            Mark::Bad => ("wrong", "31"),
            Mark::Unknown => ("unknown", "33"),
        };
        self.coloured(word, colour)
    }

    /// A heading.
    pub fn bold(self, text: &str) -> String {
        self.coloured(text, "1")
    }

    fn coloured(self, text: &str, code: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Reports on standard error how a step turned out.
pub fn report(mark: Mark, text: &str) {
    say(&format!("{}: {text}", Paint::on(&io::stderr()).mark(mark)));
}
