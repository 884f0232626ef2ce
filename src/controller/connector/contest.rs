//! Somebody else writes to the status, which is the operator's alone: a backup that is restored over a living resource, a hand, or
//! a second operator. What this process knows to be true is put back, and who goes on is answered ever more slowly.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::backoff::doubled;
use crate::kinds::Resource;

/// Foreign writes that are answered at once: a restore is one or two.
const FORBEARANCE: u32 = 3;
/// The first delay after these; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// After this many somebody has to be told.
const TOLD: u32 = 6;
/// A quiet time that ends a contest.
const PEACE: Duration = Duration::from_mins(10);

/// What was overwritten, and how often that happened.
pub struct Contest {
    /// The resource as our own last write left it, until our next write.
    pub ours: Option<Arc<Resource>>,
    times: u32,
    told: bool,
    last: Instant,
}

impl Default for Contest {
    fn default() -> Self {
        Self {
            ours: None,
            times: 0,
            told: false,
            last: Instant::now(),
        }
    }
}

impl Contest {
    /// Takes note that the status `ours` was overwritten. Returns how long to leave it at that.
    pub fn overwritten(&mut self, ours: Arc<Resource>) -> Duration {
        if self.last.elapsed() > PEACE {
            self.times = 0;
            self.told = false;
        }
        self.last = Instant::now();
        self.times = self.times.saturating_add(1);
        // Overwritten again before it was put back: what was ours is still what it was.
        self.ours.get_or_insert(ours);
        match self.times.saturating_sub(FORBEARANCE) {
            0 => Duration::ZERO,
            further => doubled(FIRST_DELAY, further, LONGEST_DELAY),
        }
    }

    /// Whether it has become worth telling, which is said once.
    pub fn is_news(&mut self) -> bool {
        self.times >= TOLD && !std::mem::replace(&mut self.told, true)
    }
}
