//! The memory that all inventories of a process take together. Where it does not suffice, the largest gives way: who fills it up shuts
//! out nobody else.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

use super::list::List;

/// Bytes that all inventories may take together. Clones share them.
#[derive(Clone)]
pub struct Budget(Arc<Shares>);

struct Shares {
    limit: usize,
    all: Mutex<Vec<Weak<Share>>>,
}

/// What one list takes, from its first byte on. Dropping it gives that back.
pub(super) struct Share {
    budget: Budget,
    bytes: AtomicUsize,
    revoked: CancellationToken,
    /// Once it was read to its end.
    list: Mutex<Option<Arc<List>>>,
}

/// The budget is used up, and this share is the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub limit: usize,
}

// === impl Budget ===

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shares {
            limit,
            all: Mutex::default(),
        }))
    }

    /// A share that takes nothing yet.
    pub(super) fn share(&self) -> Arc<Share> {
        let share = Arc::new(Share {
            budget: self.clone(),
            bytes: AtomicUsize::default(),
            revoked: CancellationToken::new(),
            list: Mutex::default(),
        });
        self.all().push(Arc::downgrade(&share));
        share
    }

    fn all(&self) -> MutexGuard<'_, Vec<Weak<Share>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 MiB.
impl Default for Budget {
    fn default() -> Self {
        Self::new(256 << 20)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} bytes)", self.0.limit)
    }
}

// === impl Share ===

impl Share {
    /// Takes so many bytes more; where there are not enough, from the largest of all. If that is this one, it loses what it has.
    pub fn grow(&self, bytes: usize) -> Result<(), Exceeded> {
        let limit = self.budget.0.limit;
        // Held throughout, so that two shares that grow at once do not both find the same room.
        let mut all = self.budget.all();
        all.retain(|share| share.strong_count() > 0);
        if !self.revoked.is_cancelled() {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        while !self.revoked.is_cancelled() {
            let shares: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
            let total: usize = shares.iter().map(|share| share.bytes()).sum();
            match shares.iter().max_by_key(|share| share.bytes()) {
                Some(largest) if total > limit => largest.revoke(),
                _ => return Ok(()),
            }
        }
        Err(Exceeded { limit })
    }

    /// Keeps the list for which its bytes were taken.
    pub fn fill(&self, list: Arc<List>) {
        let mut place = self.place();
        if !self.revoked.is_cancelled() {
            *place = Some(list);
        }
    }

    /// The list, unless there is none yet or it had to give way.
    pub fn list(&self) -> Option<Arc<List>> {
        self.place().clone()
    }

    /// Returns when the share has lost what it had.
    pub async fn revoked(&self) -> Exceeded {
        self.revoked.cancelled().await;
        Exceeded {
            limit: self.budget.0.limit,
        }
    }

    fn revoke(&self) {
        let mut place = self.place();
        self.revoked.cancel();
        self.bytes.store(0, Ordering::Relaxed);
        *place = None;
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn place(&self) -> MutexGuard<'_, Option<Arc<List>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of {:?})", self.bytes(), self.budget)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn held(budget: &Budget, bytes: usize) -> Arc<Share> {
        let share = budget.share();
        share.grow(bytes).unwrap();
        share.fill(Arc::new(List::new(Instant::now(), Vec::new())));
        share
    }

    #[tokio::test]
    async fn the_largest_gives_way_and_nobody_else() {
        let budget = Budget::new(100);
        let (small, large) = (held(&budget, 20), held(&budget, 70));
        let new = budget.share();
        assert_eq!(new.grow(10), Ok(()));
        assert!(large.list().is_some(), "there is room");
        assert_eq!(new.grow(10), Ok(()));
        assert!(large.list().is_none() && small.list().is_some());
        assert_eq!(large.revoked().await, Exceeded { limit: 100 });
        assert_eq!(large.grow(1), Err(Exceeded { limit: 100 }), "it is over");
        assert_eq!(new.grow(59), Ok(()));
        assert_eq!(new.grow(2), Err(Exceeded { limit: 100 }));
        assert!(small.list().is_some());
    }

    #[tokio::test]
    async fn what_is_dropped_or_lost_is_free_again() {
        let budget = Budget::new(100);
        drop(held(&budget, 100));
        let first = held(&budget, 100);
        let second = budget.share();
        assert_eq!(second.grow(101), Err(Exceeded { limit: 100 }));
        assert!(first.list().is_some(), "the larger one is the new one");
        drop(second);
        assert_eq!(held(&budget, 99).grow(1), Ok(()));
        assert!(first.list().is_none());
    }

    #[tokio::test]
    async fn a_list_that_lost_its_share_while_it_was_read_is_not_kept() {
        let budget = Budget::new(100);
        let slow = budget.share();
        slow.grow(80).unwrap();
        let quick = held(&budget, 30);
        slow.fill(Arc::new(List::new(Instant::now(), Vec::new())));
        assert!(slow.list().is_none() && quick.list().is_some());
    }
}
