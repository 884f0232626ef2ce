//! What is remembered of an object between two passes, and forgotten by a restart.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use tokio::time::Instant;

use super::board::Board;
use super::object::Object;
use crate::engine::debut::Remembered;
use crate::engine::key::Key;
use crate::engine::outcome::Failure;
use crate::unstructured::{Digest, JobId, WorkflowId};

/// What is remembered of one object.
#[derive(Default)]
pub struct Memory {
    /// Whose memory it is: an object of the same name is another.
    uid: Option<String>,
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
    /// It does not tell what came of the documents of this one.
    Untold(JobId),
}

impl Memory {
    /// Forgets what it knows, if that is of another object of this name.
    pub fn is_of(&mut self, object: &impl Object) {
        if self.uid != object.uid() {
            *self = Self {
                uid: object.uid(),
                ..Self::default()
            };
        }
    }

    /// Takes note of the lists of its workspace. Another workspace's are not to bring it back any more.
    pub fn uses(&mut self, board: &Arc<Board>, key: &Key) {
        let former = self.board.replace(board.clone());
        if let Some(former) = former.filter(|former| !Arc::ptr_eq(former, board)) {
            former.leave(key);
        }
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

    /// Whether a run has ended of whose documents the service has yet to tell.
    pub fn is_untold(&self) -> bool {
        matches!(self.doubt, Some((Doubt::Untold(_), _)))
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
#[derive(Default)]
pub struct Memories(Mutex<HashMap<Key, Memory>>);

impl Memories {
    /// Takes the memory of an object for the time of a pass.
    pub fn take(&self, key: &Key) -> Memory {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(key).unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&self, key: &Key, memory: Memory) {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.insert(key.clone(), memory);
    }
}

/// What is remembered of both kinds.
#[derive(Default)]
pub struct Pipelines {
    /// Of workflows.
    pub workflows: Memories,
    /// Of jobs.
    pub jobs: Memories,
}
