//! Spans of time for limiters.

use std::time::Duration;

use governor::clock::Clock;
use tokio::time::Instant;

/// Tokio's clock for governor's limiters, so that paused time governs them too.
#[derive(Clone, Debug)]
pub struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// One that starts now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
