//! Where a job is shown: as bars on a terminal, as lines elsewhere. All of it goes to standard error; the result of `start` alone, the
//! name of the job, goes to standard output.

use std::io::IsTerminal;

use super::bars::Bars;
use super::text::{counts, failed_files, is_doubtful_success, phase};
use crate::crd::{JobPhase, JobStatus};
use crate::exit::Exit;
use crate::output::say;
use crate::terminal::{Mark, report};

/// Where a job is shown.
pub(super) struct Screen {
    bars: Option<Bars>,
    /// What was said last: the phase, and the counts.
    said: (Option<String>, Option<String>),
}

impl Screen {
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bars = std::io::stderr().is_terminal() && !dumb;
        Self {
            bars: bars.then(Bars::new),
            said: (None, None),
        }
    }

    /// Shows the job as it is now.
    pub fn show(&mut self, status: &JobStatus) {
        if let Some(bars) = &mut self.bars {
            bars.show(status);
            return;
        }
        let phase = Some(phase(status));
        // The end is told as a whole.
        if self.said.0 != phase && !status.phase.is_final() {
            say(phase.as_deref().unwrap_or_default());
            self.said.0 = phase;
        }
        let counts = counts(status);
        if self.said.1 != counts {
            if let Some(counts) = &counts {
                say(counts);
            }
            self.said.1 = counts;
        }
    }

    /// Says a line beside it.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.say(line),
            None => say(line),
        }
    }

    /// Shows nothing from here on.
    pub fn close(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }

    /// Tells how the job ended.
    pub fn end(mut self, status: &JobStatus) -> Result<(), Exit> {
        let on_terminal = self.bars.is_some();
        self.close();
        if on_terminal && let Some(counts) = counts(status) {
            say(&counts);
        }
        let succeeded = status.phase == JobPhase::Succeeded;
        if is_doubtful_success(status) {
            say(&format!("warning: {}", phase(status)));
        } else {
            report(
                if succeeded { Mark::Good } else { Mark::Bad },
                &phase(status),
            );
        }
        for line in failed_files(status) {
            say(&line);
        }
        if succeeded { Ok(()) } else { Err(Exit::Wrong) }
    }
}
