//! The connectors of one type in one workspace, as a list found them.

use tokio::time::Instant;

use super::ids::ConnectorId;
use super::types::Connector;

/// Sorted rather than hashed: that takes no room beside the connectors themselves.
#[derive(Debug)]
pub(super) struct List {
    pub asked_at: Instant,
    pub by_id: Box<[Connector]>,
    /// Places in `by_id`, in the order of the names.
    by_name: Box<[u32]>,
    /// Places of those that have a key, in the order of the keys.
    by_key: Box<[u32]>,
}

impl List {
    pub fn new(asked_at: Instant, mut sources: Vec<Connector>) -> Self {
        sources.sort_by_key(|source| source.id);
        // An answer that shows one connector twice has not shown two.
        sources.dedup_by_key(|source| source.id);
        let by_id = sources.into_boxed_slice();
        let mut by_name: Box<[u32]> = (0..).take(by_id.len()).collect();
        by_name.sort_unstable_by_key(|place| &by_id[*place as usize].name);
        let key = |place: &u32| by_id[*place as usize].key.get();
        let places = (0..).take(by_id.len());
        let mut by_key: Box<[u32]> = places.filter(|place| key(place).is_some()).collect();
        by_key.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        Self {
            asked_at,
            by_id,
            by_name,
            by_key,
        }
    }

    pub fn by_id(&self, id: &ConnectorId) -> Option<&Connector> {
        let place = self.by_id.binary_search_by_key(id, |source| source.id);
        place.ok().map(|place| &self.by_id[place])
    }

    pub fn by_name(&self, name: &str) -> impl Iterator<Item = &Connector> {
        let first = self
            .by_name
            .partition_point(|place| *self.at(*place).name < *name);
        self.by_name[first..]
            .iter()
            .map(|place| self.at(*place))
            .take_while(move |source| *source.name == *name)
    }

    pub fn by_key(&self, key: &str) -> impl Iterator<Item = &Connector> {
        let first = self
            .by_key
            .partition_point(|place| self.at(*place).key.get() < Some(key));
        self.by_key[first..]
            .iter()
            .map(|place| self.at(*place))
            .take_while(move |source| source.key.get() == Some(key))
    }

    fn at(&self, place: u32) -> &Connector {
        &self.by_id[place as usize]
    }
}
