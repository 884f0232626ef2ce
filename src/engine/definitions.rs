//! What this process knows of the installed definitions.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The kinds whose installed definition is known to have every field of the status. Looked at before the first write of a process,
/// and again after a write that it refused.
#[derive(Debug, Default)]
pub struct Definitions(Mutex<BTreeSet<&'static str>>);

impl Definitions {
    /// The names of these kinds.
    pub fn fitting(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the operator's right to read the definition.
#[derive(Debug, Default)]
pub struct Rights {
    /// It was read once: an operator that may not read it any more is being uninstalled, or was cut off.
    pub was_readable: AtomicBool,
}
