//! What the process remembers of a resource between passes. Nothing here is needed to be correct: a restart may lose it at any
//! moment, and costs at most a wait or a repeated question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::index::{Key, version};
use super::outcome::Outcome;
use super::situation::Grant;
use super::workspaces::Workspace;
use crate::crd::CreateIntent;
use crate::unstructured::Digest;

/// How long Unstructured may take for a connection check.
pub const CHECK_TIME: Duration = Duration::from_mins(5);

/// How long a provider that denied the folder is not asked again: shorter than the time until the second look.
pub const SHORTFALL_TIME: Duration = Duration::from_mins(1);

/// A create whose outcome is not known.
pub struct Settling {
    /// Tells it from others: name and time, as the status has them.
    pub mark: String,
    /// When it has settled, as far as this process knows.
    pub at: Instant,
    /// Not before this the same configuration is sent again: each attempt at one that fails every time may make a connector.
    pub again: Option<(Digest, Instant)>,
    /// What came of the request, if this process sent it.
    pub why: Option<String>,
}

impl Settling {
    /// The mark of this intent.
    pub fn mark(create: &CreateIntent) -> String {
        format!("{} {}", create.name, create.started_at.0)
    }

    /// Whether a connector of this configuration may be created now, if there is none.
    pub fn has_settled(&self, digest: Option<Digest>) -> bool {
        let now = Instant::now();
        let early = |(tried, at): (Digest, Instant)| Some(tried) == digest && now < at;
        now >= self.at && !self.again.is_some_and(early)
    }

    /// When to look next.
    pub fn next(&self) -> Instant {
        match self.again {
            Some((_, again)) if Instant::now() >= self.at => again,
            _ => self.at,
        }
    }
}

/// The memory of one resource.
pub struct Memory<K> {
    /// The resource as our own last write returned it, until the watch has caught up.
    pub written: Option<Arc<K>>,
    /// Version of the resource that our own last write made.
    pub written_version: u64,
    /// Passes in a row that failed.
    pub failures: u32,
    /// A configuration that the API refused, and how that was reported.
    pub refused: Option<(Digest, Outcome)>,
    /// What the provider said of the credentials in the configuration with this digest, and when.
    pub grant: Option<(Digest, Grant, Instant)>,
    /// The create whose outcome is not known.
    pub settling: Option<Settling>,
    /// Creates in a row whose outcome was not known.
    pub lost_creates: u32,
    /// When the last accepted update has to be sent again: one whose answer was lost before it may have been carried out after it.
    pub confirm: Option<Instant>,
    /// Whether a create was given up that may still be carried out.
    pub abandoned: bool,
    /// The connection check that is waited for, since when, and how often it was polled.
    pub check: Option<(String, Instant, u32)>,
    /// The workspace that was used last. It holds the API key, which outlives its Secret while a namespace is deleted.
    pub workspace: Option<Arc<Workspace>>,
    /// What stood in the way may have gone when the next inventory is there.
    pub awaits_inventory: bool,
    /// When a change of the Secret was seen that the API has not accepted yet, for the metric.
    pub secret_changed_at: Option<Instant>,
    /// This process made its first connector, and has not seen it ready since.
    pub newborn: bool,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            written: None,
            written_version: 0,
            failures: 0,
            refused: None,
            grant: None,
            settling: None,
            lost_creates: 0,
            confirm: None,
            abandoned: false,
            check: None,
            workspace: None,
            awaits_inventory: false,
            secret_changed_at: None,
            newborn: false,
        }
    }
}

/// The memories of all resources. A pass takes one out and puts it back.
pub struct Memories<K>(Mutex<HashMap<Key, Memory<K>>>);

impl<K> Default for Memories<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> Memories<K> {
    /// Takes out the memory of a resource.
    pub fn take(&self, key: &Key) -> Memory<K> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&self, key: &Key, memory: Memory<K>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), memory);
    }

    /// Whether the resource waits for the next inventory.
    pub fn awaits_inventory(&self, key: &Key) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .is_some_and(|memory| memory.awaits_inventory)
    }

    /// Takes note of a version that the watch shows, and says whether it is news: neither a write of our own nor older than one.
    /// While a pass is at work its memory is out; the pass itself sees to what came meanwhile.
    pub fn is_news(&self, key: &Key, version: u64) -> bool {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = memories.get_mut(key) else {
            return false;
        };
        if version >= memory.written_version {
            memory.written = None;
        }
        version > memory.written_version
    }
}

impl<K: kube::Resource> Memory<K> {
    /// Keeps the resource as a write of ours left it.
    pub fn wrote(&mut self, resource: &Arc<K>) {
        self.written_version = version(&**resource);
        self.written = Some(resource.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unstructured::Config;

    #[tokio::test(start_paused = true)]
    async fn only_the_configuration_that_was_sent_has_to_wait_longer_than_its_create_takes_to_settle()
     {
        let [tried, changed] = [b"tried", b"other"].map(|key| Config::default().digest(key));
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let create = Settling {
            mark: String::new(),
            at: now + second,
            again: Some((tried, now + 3 * second)),
            why: None,
        };
        let settled = |digest| create.has_settled(digest);
        assert!(!settled(Some(changed)) && !settled(None));
        assert_eq!(create.next(), now + second);
        tokio::time::advance(second).await;
        assert!(settled(Some(changed)) && settled(None) && !settled(Some(tried)));
        assert_eq!(create.next(), now + 3 * second);
        tokio::time::advance(2 * second).await;
        assert!(settled(Some(tried)));
    }
}
