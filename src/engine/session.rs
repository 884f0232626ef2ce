//! What all work with one API key shares, whatever it is about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ailing::Ailing;
use super::key::Key;
use super::outcome::Failure;
use crate::unstructured::Client;

/// An API key in use at one endpoint: its limits and pauses, whether the API works with it, and what that was found not to take.
pub struct Session {
    /// Makes the calls.
    pub client: Client,
    ailing: Arc<Ailing>,
    refuses_keys: AtomicBool,
}

impl Session {
    /// One with which nothing was asked yet.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            ailing: Arc::default(),
            refuses_keys: AtomicBool::new(false),
        }
    }

    /// Takes note of how a pass over a resource failed, if it did.
    pub fn heard(&self, key: &Key, failure: Option<&Failure>) {
        let Some(failure) = failure.filter(|failure| failure.awaits_recovery()) else {
            return self.ailing.leave(key);
        };
        self.ailing.wait(key);
        if failure.is_shared() {
            self.fails();
        } else {
            self.ailing.doubt(self.client.answers());
        }
    }

    /// Takes note that the API does not work.
    pub fn fails(&self) {
        self.ailing.begin(self.client.answers());
    }

    /// Who waits for the API and should try again, because it has answered anybody since it began to ail. Said once.
    pub fn recovered(&self) -> BTreeSet<Key> {
        self.ailing.ended(self.client.answers())
    }

    /// A resource that is gone waits for nothing.
    pub fn forget(&self, key: &Key) {
        self.ailing.leave(key);
    }

    /// Tells when it is time to find out whether the API works again. Whoever waits for that does not keep the key.
    pub fn ailing(&self) -> Arc<Ailing> {
        Arc::clone(&self.ailing)
    }

    /// Takes note that the service refuses the keys that creates carry.
    pub fn found_keys_refused(&self) {
        self.refuses_keys.store(true, Ordering::Relaxed);
    }

    /// Whether the service is known to refuse the keys that creates carry.
    pub fn refuses_keys(&self) -> bool {
        self.refuses_keys.load(Ordering::Relaxed)
    }
}
