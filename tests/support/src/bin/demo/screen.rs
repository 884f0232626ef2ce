//! What the demo prints: commands, their output, requests and claims, told apart by a mark and, on a terminal, by a colour.

use std::io::{IsTerminal, stderr, stdout};

/// The terminal, or the file that stands in for it.
pub struct Screen {
    colour: bool,
}

/// SGR parameters.
#[derive(Clone, Copy)]
enum Style {
    Heading,
    Command,
    Request,
    Claim,
    Failure,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Heading => "1;36",
            Self::Command => "1",
            Self::Request => "2",
            Self::Claim => "32",
            Self::Failure => "1;31",
        }
    }
}

/// What happens, for people.
pub fn say(text: &str) {
    println!("{text}");
}

/// What a command printed.
pub fn output(text: &str) {
    let text = text.trim_end();
    if !text.is_empty() {
        println!("{text}");
    }
}

impl Screen {
    /// Colours on a terminal, unless `NO_COLOR` is set to anything (no-color.org) or the terminal is dumb.
    pub fn detect() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: stdout().is_terminal() && stderr().is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// A new step.
    pub fn heading(&self, text: &str) {
        println!("\n{}", self.painted(Style::Heading, &format!("── {text}")));
    }

    /// A command as it is typed.
    pub fn command(&self, line: &str) {
        println!("{}", self.painted(Style::Command, &format!("$ {line}")));
    }

    /// A request that reached an API.
    pub fn request(&self, line: &str) {
        println!("{}", self.painted(Style::Request, &format!("  → {line}")));
    }

    /// Something that was checked and holds.
    pub fn claim(&self, text: &str) {
        println!("{}", self.painted(Style::Claim, &format!("  ✓ {text}")));
    }

    /// Why the demo failed.
    pub fn failure(&self, text: &str) {
        eprintln!("{}", self.painted(Style::Failure, &format!("demo: {text}")));
    }

    fn painted(&self, style: Style, text: &str) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", style.code())
        } else {
            text.to_owned()
        }
    }
}
