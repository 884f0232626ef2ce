//! How closely lists may follow each other. Each carries the whole workspace, so that one for every caller of a stream would carry the
//! square of it.

use std::time::Duration;

use tokio::time::Instant;

/// In a stream of callers, each list waits twice as long for its turn as the one before, from this…
const FIRST: Duration = Duration::from_millis(50);

/// …up to this: nobody waits longer for the next list to begin.
pub(super) const LONGEST: Duration = Duration::from_secs(1);

/// Lists take at most one part in this many of the time, and nothing above it.
const SHARE: u32 = 10;

/// They carry at most one connector in this time.
const EACH: Duration = Duration::from_millis(1);

/// When the next list may begin.
#[derive(Debug, Default)]
pub(super) struct Pace {
    next: Option<Instant>,
    doubling: Duration,
}

impl Pace {
    /// When the next list may begin.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Takes note of a list: when it was sent, how long it took, and how many connectors it carried.
    pub fn listed(&mut self, sent: Instant, took: Duration, carried: usize) {
        let idle = |next: Instant| sent.saturating_duration_since(next);
        let streams = self.next.is_some_and(|next| idle(next) < self.doubling);
        self.doubling = if streams { self.doubling * 2 } else { FIRST }.min(LONGEST);
        let carried = EACH.saturating_mul(carried.try_into().unwrap_or(u32::MAX));
        let pause = self.doubling.max(took * SHARE).max(carried);
        self.next = Some(sent + pause.min(LONGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(2);

    /// Lists that follow each other as closely as they may for this long.
    fn lists_in(pace: &mut Pace, time: Duration, carried: usize) -> usize {
        let begun = Instant::now();
        let (mut now, mut lists) = (begun, 0);
        while now < begun + time {
            pace.listed(now, QUICK, carried);
            lists += 1;
            now = pace.next().unwrap();
        }
        lists
    }

    #[test]
    fn a_burst_costs_a_list_a_second_and_a_few_at_first() {
        let mut pace = Pace::default();
        assert_eq!(lists_in(&mut pace, Duration::from_secs(10), 20), 14);
    }

    #[test]
    fn what_lists_carry_bounds_them_too() {
        for (connectors, lists) in [(0, 14), (500, 13), (2_000, 10), (usize::MAX, 10)] {
            let mut pace = Pace::default();
            let counted = lists_in(&mut pace, Duration::from_secs(10), connectors);
            assert_eq!(counted, lists, "with {connectors} connectors");
        }
    }

    #[test]
    fn who_comes_after_a_quiet_moment_does_not_wait() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        for _ in 0..5 {
            pace.listed(now, QUICK, 20);
            assert_eq!(pace.next(), Some(now + FIRST));
            now += FIRST * 2;
        }
        lists_in(&mut pace, Duration::from_secs(3), 20);
        now = pace.next().unwrap() + LONGEST;
        pace.listed(now, QUICK, 20);
        assert_eq!(pace.next(), Some(now + FIRST));
    }
}
