//! What is in a workspace, asked for as seldom as possible: one list serves everybody who waits for one, and our own writes are
//! known without another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::budget::Share;
use super::config::Config;
use super::connectors::Connectors;
use super::error::ApiError;
use super::ids::ConnectorId;
use super::list::List;
use super::pace::Pace;
use super::types::Connector;

/// The connectors of one type in one workspace.
///
/// # Guarantees
///
/// - A [`Snapshot`] shows the workspace as a list found it that was sent at [`Snapshot::asked_at`] or later, and every write that
///   was reported ([`Inventory::put`], [`Inventory::configured`], [`Inventory::removed`]) after that list was sent.
/// - Callers that wait at once share one request, its error included. A request already under way serves only those who asked
///   before it was sent.
/// - Lists that follow each other closely are spread out: of many callers that come one by one, those that come meanwhile share the
///   next. A caller that comes after a quiet second does not wait.
/// - Any caller may be dropped at any time: the next in line takes over.
/// - The memory of its list is from the budget of its client: where that is used up, the largest inventory of all loses its list.
///
/// # Caveats
///
/// A write by somebody else shows with the next list. A list that was sent after our write was reported is believed, even where it
/// does not show that write.
pub struct Inventory {
    connectors: Connectors,
    /// Held by the one who lists.
    listing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// The inventory at one moment. It does not change.
#[derive(Clone, Debug)]
pub struct Snapshot {
    list: Arc<List>,
    writes: Arc<Writes>,
}

#[derive(Default)]
struct State {
    list: Option<Arc<Share>>,
    /// Copied when written while a snapshot holds it; it is as small as what was written since the last list.
    writes: Arc<Writes>,
    failure: Option<Failure>,
    pace: Pace,
    /// Lists that have ended.
    ended: u64,
    /// Counts lists sent and writes reported, and so puts them in order.
    events: u64,
}

/// Our own writes since the list was sent, so that neither an id nor a name nor a key is ever searched for among them.
#[derive(Clone, Debug, Default)]
struct Writes {
    all: HashMap<ConnectorId, Write>,
    by_name: Handles,
    by_key: Handles,
}

/// Connectors by what they are called.
#[derive(Clone, Debug, Default)]
struct Handles(HashMap<Box<str>, Vec<ConnectorId>>);

#[derive(Clone, Debug)]
struct Write {
    event: u64,
    /// What the connector is since; `None` when it was removed.
    source: Option<Arc<Connector>>,
}

/// The last list, if it failed.
struct Failure {
    number: u64,
    asked_at: Instant,
    error: ApiError,
}

// === impl Inventory ===

impl Inventory {
    /// An inventory that knows nothing yet.
    pub fn new(connectors: Connectors) -> Self {
        Self {
            connectors,
            listing: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// A snapshot from a list that was sent at or after `asked_at`: the one at hand, or a new one. An `asked_at` in the future is
    /// waited for.
    pub async fn at_least(&self, asked_at: Instant) -> Result<Arc<Snapshot>, ApiError> {
        sleep_until(asked_at).await;
        let ended = {
            let state = self.state();
            if let Some(snapshot) = state.at_least(asked_at) {
                return Ok(snapshot);
            }
            state.ended
        };

        let _listing = self.listing.lock().await;
        let next = {
            let state = self.state();
            if let Some(snapshot) = state.at_least(asked_at) {
                return Ok(snapshot);
            }
            // The failure of a list that this caller waited for is its own; an older one is not.
            if let Some(failure) = &state.failure
                && failure.number > ended
                && failure.asked_at >= asked_at
            {
                return Err(failure.error.clone());
            }
            state.pace.next()
        };
        if let Some(next) = next {
            sleep_until(next).await;
        }
        let sent = self.state().next_event();
        let sent_at = Instant::now();

        let share = self.connectors.budget().share();
        let result = self.connectors.list_within(Arc::clone(&share)).await;
        let mut state = self.state();
        state.ended += 1;
        let carried = result.as_ref().map_or(0, Vec::len);
        state.pace.listed(sent_at, sent_at.elapsed(), carried);
        match result {
            Ok(sources) => {
                let list = Arc::new(List::new(sent_at, sources));
                share.fill(Arc::clone(&list));
                state.list = Some(share);
                state.failure = None;
                Arc::make_mut(&mut state.writes).forget_until(sent);
                Ok(Arc::new(Snapshot {
                    list,
                    writes: Arc::clone(&state.writes),
                }))
            }
            Err(error) => {
                state.failure = Some(Failure {
                    number: state.ended,
                    asked_at: sent_at,
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }

    /// The newest snapshot at hand, if any list was ever answered.
    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.state().snapshot()
    }

    /// Reports that we created or updated this connector.
    pub fn put(&self, source: Connector) {
        self.write(source.id, Some(Arc::new(source)));
    }

    /// Reports that the service took this configuration for a connector, and showed nothing of it.
    pub fn configured(&self, id: &ConnectorId, config: &Config) {
        let known = self.state().snapshot();
        if let Some(known) = known.as_ref().and_then(|snapshot| snapshot.by_id(id)) {
            self.put(Connector {
                settings: config.settings(),
                ..known.clone()
            });
        }
    }

    /// Reports that we removed this connector.
    pub fn removed(&self, id: &ConnectorId) {
        self.write(*id, None);
    }

    fn write(&self, id: ConnectorId, source: Option<Arc<Connector>>) {
        let mut state = self.state();
        let event = state.next_event();
        Arc::make_mut(&mut state.writes).insert(id, Write { event, source });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the inventory")
    }
}

// === impl State ===

impl State {
    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let list = self.list.as_ref()?.list()?;
        Some(Arc::new(Snapshot {
            list,
            writes: Arc::clone(&self.writes),
        }))
    }

    fn at_least(&self, asked_at: Instant) -> Option<Arc<Snapshot>> {
        self.snapshot()
            .filter(|snapshot| snapshot.asked_at() >= asked_at)
    }

    fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// No later than when its list was sent.
    pub fn asked_at(&self) -> Instant {
        self.list.asked_at
    }

    /// The connector with this id.
    pub fn by_id(&self, id: &ConnectorId) -> Option<&Connector> {
        match self.writes.all.get(id) {
            Some(write) => write.source.as_deref(),
            None => self.list.by_id(id),
        }
    }

    /// Whether what [`by_id`](Self::by_id) says is the list's word, and not that of a write since.
    pub fn is_of_list(&self, id: &ConnectorId) -> bool {
        !self.writes.all.contains_key(id)
    }

    /// All connectors of this name, the oldest first; those of unknown age last.
    pub fn by_name(&self, name: &str) -> Vec<&Connector> {
        self.oldest_first(self.list.by_name(name), self.writes.by_name.get(name))
    }

    /// All connectors that show this key, in the same order.
    pub fn by_key(&self, key: &str) -> Vec<&Connector> {
        self.oldest_first(self.list.by_key(key), self.writes.by_key.get(key))
    }

    /// All connectors that carry this name or show this key, in the same order.
    pub fn called(&self, name: &str, key: &str) -> Vec<&Connector> {
        let named = self.list.by_name(name).chain(self.list.by_key(key));
        let written = self.writes.by_name.get(name);
        self.oldest_first(named, written.chain(self.writes.by_key.get(key)))
    }

    fn oldest_first<'a>(
        &'a self,
        listed: impl Iterator<Item = &'a Connector>,
        written: impl Iterator<Item = &'a ConnectorId>,
    ) -> Vec<&'a Connector> {
        let listed = listed.filter(|source| !self.writes.all.contains_key(&source.id));
        let written = written.filter_map(|id| self.writes.all[id].source.as_deref());
        let mut found: Vec<_> = listed.chain(written).collect();
        found.sort_unstable_by_key(|source| {
            (source.created_at.unwrap_or(Timestamp::MAX), source.id)
        });
        found.dedup_by_key(|source| source.id);
        found
    }

    /// Every connector, in no particular order.
    pub fn sources(&self) -> impl Iterator<Item = &Connector> {
        let listed = self.list.by_id.iter();
        let listed = listed.filter(|source| !self.writes.all.contains_key(&source.id));
        let written = self.writes.all.values();
        listed.chain(written.filter_map(|write| write.source.as_deref()))
    }

    /// How many connectors there are.
    pub fn len(&self) -> usize {
        self.sources().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Writes ===

impl Writes {
    fn insert(&mut self, id: ConnectorId, write: Write) {
        let now = write.source.clone();
        let former = self.all.insert(id, write);
        if let Some(former) = former.and_then(|former| former.source) {
            self.by_name.remove(&former.name, id);
            self.by_key.remove(former.key.get().unwrap_or_default(), id);
        }
        if let Some(now) = now {
            self.by_name.insert(&now.name, id);
            if let Some(key) = now.key.get() {
                self.by_key.insert(key, id);
            }
        }
    }

    /// Forgets what a list shows that was sent at `event`.
    fn forget_until(&mut self, event: u64) {
        let mut former = std::mem::take(self);
        for (id, write) in former.all.drain().filter(|(_, write)| write.event > event) {
            self.insert(id, write);
        }
    }
}

// === impl Handles ===

impl Handles {
    fn get(&self, handle: &str) -> impl Iterator<Item = &ConnectorId> {
        self.0.get(handle).into_iter().flatten()
    }

    fn insert(&mut self, handle: &str, id: ConnectorId) {
        self.0.entry(handle.into()).or_default().push(id);
    }

    fn remove(&mut self, handle: &str, id: ConnectorId) {
        let Some(ids) = self.0.get_mut(handle) else {
            return;
        };
        ids.retain(|known| *known != id);
        if ids.is_empty() {
            self.0.remove(handle);
        }
    }
}

#[cfg(test)]
mod tests;
