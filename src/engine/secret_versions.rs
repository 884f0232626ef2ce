//! Secrets while nobody tells of their changes: the watch is not allowed, or fails. Their versions are then compared at every sync
//! interval with those that the passes read.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::key::SecretKey;

/// The version of each Secret as a pass read it last, `None` where there was none, and when the watch failed last.
#[derive(Default)]
pub struct SecretVersions(Mutex<State>);

#[derive(Default)]
struct State {
    read: HashMap<SecretKey, Option<String>>,
    watch_failed: Option<Instant>,
}

impl SecretVersions {
    /// Takes note of what a pass has read.
    pub fn read(&self, secret: SecretKey, version: Option<String>) {
        self.lock().read.insert(secret, version);
    }

    /// Takes note that the watch failed.
    pub fn watch_failed(&self) {
        self.lock().watch_failed = Some(Instant::now());
    }

    /// Forgets the Secrets that nobody uses.
    pub fn keep(&self, used: &HashSet<SecretKey>) {
        self.lock().read.retain(|secret, _| used.contains(secret));
    }

    /// Whether the watch failed since then.
    pub fn failed_since(&self, then: Instant) -> bool {
        self.lock().watch_failed.is_some_and(|at| at >= then)
    }

    /// Whether a pass has read another version than this one.
    pub fn is_news(&self, secret: &SecretKey, version: Option<&str>) -> bool {
        let state = self.lock();
        let read = state.read.get(secret);
        read.is_some_and(|read| read.as_deref() != version)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
