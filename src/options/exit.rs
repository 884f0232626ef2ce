//! How a command ends.

use std::process::ExitCode;

use thiserror::Error;

use crate::output::{print, say};

/// Why a command ends otherwise than well.
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
