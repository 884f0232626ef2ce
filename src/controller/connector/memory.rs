//! What the process remembers of a resource between passes. Nothing here is needed to be correct: a restart may lose it at any
//! moment, and costs at most a wait or a repeated question.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::workspaces::Workspace;
use super::contest::Contest;
use super::recall::{self, Awaits, Known, Version, Writer};
use super::situation::Grant;
use crate::crd::CreateIntent;
use crate::engine::debut::Remembered;
use crate::engine::key::{Key, version};
use crate::engine::outcome::Outcome;
use crate::kinds::Resource;
use crate::unstructured::{ConnectorId, Digest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Polls after which a connection check is one that takes long.
const FEW_POLLS: u32 = 2;

/// How long Unstructured may take for a connection check.
pub const CHECK_TIME: Duration = Duration::from_mins(5);

/// How long a provider that refused the credentials, denied them the folder, or could not say, is not asked again: shorter than the
/// time until the second look.
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

/// The memory of one resource. There is one for each, so what few need is in a box.
#[derive(Default)]
pub struct Memory {
    /// Which resource of its name it is.
    pub uid: Option<Arc<str>>,
    /// The resource as our own last write returned it, until the watch has caught up.
    pub written: Option<Arc<Resource>>,
    /// The last version of the resource whose status is known to be of this process.
    pub written_version: u64,
    /// Whether this process has sent a status without hearing whether it was written.
    pub unsure: bool,
    /// Who else writes to the status.
    pub contest: Contest,
    /// Passes in a row that failed.
    pub failures: u32,
    /// A configuration that the API refused, and how that was reported.
    pub refused: Option<Box<(Digest, Outcome)>>,
    /// The service said in these words that our key is taken, of a create with this configuration.
    pub key_taken: Option<Box<(Digest, String)>>,
    /// What the provider said of the credentials in the configuration with this digest, and when.
    pub grant: Option<(Digest, Grant, Instant)>,
    /// The create whose outcome is not known.
    pub settling: Option<Box<Settling>>,
    /// When the configuration has to be sent again, as the status says and as this process counts: the clocks of two machines
    /// differ.
    pub resend: Option<(Time, Instant)>,
    /// The connector that was deleted, or was found to be gone, on the way to letting the resource go.
    pub gone: Option<ConnectorId>,
    /// How far a 404 on the connector on record is believed.
    pub debut: Option<Remembered<ConnectorId>>,
    /// The connection check that is waited for, since when, and how often it was polled.
    pub check: Option<(String, Instant, u32)>,
    /// The workspace that was used last. It holds the API key, which outlives its Secret while a namespace is deleted.
    pub workspace: Option<Arc<Workspace>>,
    /// What has to be there before another pass is of use.
    pub awaits: Awaits,
    /// Whether the operator may not let the resource go.
    pub stuck: bool,
    /// Since when the resource waits for what others supply.
    pub waiting: Option<Instant>,
    /// When a change of the Secret was seen that the API has not accepted yet, for the metric.
    pub secret_changed_at: Option<Instant>,
    /// This process made its first connector, and has not seen it ready since.
    pub newborn: bool,
}

/// The memories of all resources. A pass takes one out and puts it back. Each is in a box: a table is up to half empty, and there are two
/// while it grows.
#[derive(Default)]
pub struct Memories(Mutex<HashMap<Key, Box<Memory>>>);

impl Memories {
    /// Takes out the memory of a resource.
    pub fn take(&self, key: &Key) -> Box<Memory> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&self, key: &Key, memory: Box<Memory>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.clone(), memory);
    }

    /// How many resources the operator may not let go.
    pub fn stuck(&self) -> usize {
        let memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.values().filter(|memory| memory.stuck).count()
    }

    /// Takes note of a list that shows these connectors. Returns what the resource waits for.
    pub fn swept(&self, key: &Key, shows: impl FnOnce(ConnectorId) -> bool) -> Awaits {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = memories.get_mut(key) else {
            return Awaits::Nothing;
        };
        if let Some(debut) = &mut memory.debut {
            debut.swept(shows);
        }
        memory.awaits
    }
}

/// What a version that the watch shows is to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A write of our own, or older than one.
    Own,
    /// Somebody else's write.
    Foreign,
    /// Somebody else's write to the status, which is to be put right after this time.
    Overwritten(Duration),
}

impl Memories {
    /// Takes note of what the watch shows. While a pass is at work its memory is out; the pass itself sees to what came meanwhile.
    pub fn take_note(
        &self,
        key: &Key,
        before: Option<&Arc<Resource>>,
        now: &Resource,
        settled: bool,
    ) -> News {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories
            .get_mut(key)
            .map_or(News::Own, |memory| memory.take_note(before, now, settled))
    }
}

impl Memory {
    /// Keeps the resource as a write of ours left it, if there was one.
    pub fn wrote(&mut self, written: Option<Arc<Resource>>) {
        if let Some(written) = written {
            self.written_version = version(&written.metadata);
            self.written = Some(written);
            self.unsure = false;
        }
    }

    /// The connection check that this process began, and waits for.
    pub fn checks(&self) -> Option<&str> {
        self.check.as_ref().map(|(id, ..)| id.as_str())
    }

    /// Whether a connection check was begun that has not had the time that most take.
    pub fn checks_just_now(&self) -> bool {
        let polls = self.check.as_ref().map(|(_, _, polls)| *polls);
        polls.is_some_and(|polls| polls < FEW_POLLS)
    }

    /// Takes note of what the watch shows, and of what it replaces where a write of ours is not known to be that. `settled`: what
    /// the leader before this one may have written has been shown.
    pub fn take_note(
        &mut self,
        before: Option<&Arc<Resource>>,
        now: &Resource,
        settled: bool,
    ) -> News {
        let shown = version(&now.metadata);
        if shown < self.written_version {
            return News::Own;
        }
        let ours = self.written.take().or_else(|| before.cloned());
        let known = Known {
            written: self.written_version,
            settled,
            replaced: ours.as_deref().map(version_of),
            unsure: self.unsure,
        };
        let writer = recall::writer(&known, version_of(now));
        // Over a newer version nothing that was sent before can be written.
        self.unsure &= writer == Writer::Us;
        match (writer, ours) {
            (Writer::Us, _) => News::Own,
            (Writer::Overwriter, Some(ours)) => News::Overwritten(self.contest.overwritten(ours)),
            (Writer::Another, _) => {
                self.written_version = shown;
                News::Foreign
            }
            (Writer::Overwriter | Writer::Unknown, _) => News::Foreign,
        }
    }
}

fn version_of(resource: &Resource) -> Version<'_> {
    Version {
        number: version(&resource.metadata),
        uid: resource.metadata.uid.as_deref(),
        status: resource.status(),
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
