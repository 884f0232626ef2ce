//! How a command ends.

use thiserror::Error;

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
