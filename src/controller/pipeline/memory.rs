//! What is remembered of an object between two passes, and forgotten by a restart.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use super::super::debut::Remembered;
use super::super::key::{Key, version};
use super::super::outcome::Failure;
use super::board::Board;
use super::object::Object;
use crate::crd::{UnstructuredJob, UnstructuredWorkflow};
use crate::unstructured::{Digest, JobId, WorkflowId};

/// What is remembered of one object.
pub struct Memory<K> {
    /// Whose memory it is: an object of the same name is another.
    uid: Option<String>,
    /// The object as our own last write left it.
    written: Option<Arc<K>>,
    /// The lists of its workspace, kept for as long as it uses them.
    pub board: Option<Arc<Board>>,
    /// Passes in a row that failed.
    pub failures: u32,
    /// Since when the intent that is on record has been known, and whose it is: what was asked for by then is settled a settle time later.
    pub intent: Option<(String, Instant)>,
    /// Runs that were there before the job asked for its own.
    pub known: BTreeSet<JobId>,
    /// What the connectors had been sent when the run was asked for, by their digests.
    pub sent: Option<Vec<String>>,
    /// The operator has asked Unstructured to cancel the run.
    pub cancelled: bool,
    /// Since when the service fails to stop a run.
    pub unstopped: Option<Instant>,
    /// Since when the service has said of a run what may only be passing, such as that it does not know it.
    doubt: Option<(Doubt, Instant)>,
    /// The configuration that the API refused, with its words.
    pub refused: Option<(Digest, Failure)>,
    /// The configuration that was refused because another object has the key, with the service's words.
    pub key_taken: Option<(Digest, String)>,
    /// What the answer to our own write showed other than it was sent: the service's way of writing it.
    pub normal: BTreeSet<String>,
    /// The update that may still be carried out, and by when that is over.
    pub resend: Option<(Time, Instant)>,
    /// How far a 404 on the workflow on record is believed.
    pub debut: Option<Remembered<WorkflowId>>,
    /// When the workflow was last written: what a list shows must not be older.
    pub wrote_at: Option<Instant>,
}

/// What a service may say of a run for a while only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It does not know it.
    Unknown,
    /// It does not tell what came of its documents.
    Untold,
}

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self {
            uid: None,
            written: None,
            board: None,
            failures: 0,
            intent: None,
            known: BTreeSet::new(),
            sent: None,
            cancelled: false,
            unstopped: None,
            doubt: None,
            refused: None,
            key_taken: None,
            normal: BTreeSet::new(),
            resend: None,
            debut: None,
            wrote_at: None,
        }
    }
}

impl<K: Object> Memory<K> {
    /// The newest version of the object that this process knows: the watch may lag behind our own writes.
    pub fn latest(&mut self, watched: Arc<K>) -> Arc<K> {
        if self.uid != watched.uid() {
            *self = Self {
                uid: watched.uid(),
                ..Self::default()
            };
        }
        self.written
            .take_if(|written| version(written.meta()) <= version(watched.meta()));
        self.written.clone().unwrap_or(watched)
    }

    /// Takes note of the object as our own write left it.
    pub fn wrote(&mut self, object: &Arc<K>) {
        self.written = Some(object.clone());
    }

    /// Whether what the service says, and what may only be passing, has been its word for as long as this.
    pub fn has_stayed(&mut self, doubt: Doubt, settle_time: Duration) -> bool {
        match self.doubt {
            Some((known, since)) if known == doubt => since.elapsed() >= settle_time,
            _ => {
                self.doubt = Some((doubt, Instant::now()));
                false
            }
        }
    }

    /// The service says what it should.
    pub fn is_plain(&mut self) {
        self.doubt = None;
    }

    /// Whether what was asked for at this intent is carried out by now, or never will be. Wall clocks of two machines differ, so the
    /// time counts from when this process first saw the intent.
    pub fn has_settled(&mut self, intent: &str, settle_time: Duration) -> bool {
        match &self.intent {
            Some((known, since)) if known == intent => since.elapsed() >= settle_time,
            _ => {
                self.intent = Some((intent.to_owned(), Instant::now()));
                false
            }
        }
    }
}

/// The memories of all objects of a kind.
pub struct Memories<K>(Mutex<HashMap<Key, Memory<K>>>);

impl<K> Default for Memories<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> Memories<K> {
    /// Takes the memory of an object for the time of a pass.
    pub fn take(&self, key: &Key) -> Memory<K> {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(key).unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&self, key: &Key, memory: Memory<K>) {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.insert(key.clone(), memory);
    }
}

/// What is remembered of both kinds.
#[derive(Default)]
pub struct Pipelines {
    /// Of workflows.
    pub workflows: Memories<UnstructuredWorkflow>,
    /// Of jobs.
    pub jobs: Memories<UnstructuredJob>,
}
