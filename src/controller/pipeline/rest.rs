//! When an object comes back without anybody asking.

use std::time::Duration;

use tokio::time::Instant;

use super::super::backoff::jittered;
use super::super::context::Context;
use super::super::follow_up::{self, Pace};
use super::super::key::Key;
use super::super::outcome::Requeue;
use super::super::queue::{Lane, Priority};

/// Asks for the next pass. Where nothing else is to be waited for, it is made after the sync interval, or after `at_the_latest`.
pub fn until(
    context: &Context,
    key: &Key,
    lane: Lane,
    requeue: Requeue,
    failures: &mut u32,
    at_the_latest: Option<Duration>,
) {
    *failures = if follow_up::is_failure(requeue) {
        failures.saturating_add(1)
    } else {
        0
    };
    let pace = Pace {
        failures: *failures,
        polls: 0,
        settles: context.policy.settle_time,
        patience: Duration::from_mins(2),
        resend: None,
    };
    let next = match requeue {
        Requeue::NextPoll => Some((Priority::Retry, context.policy.job_interval)),
        Requeue::OnChange | Requeue::NextInventory => None,
        _ => {
            follow_up::after(requeue, &pace, Instant::now()).map(|next| (next.priority, next.delay))
        }
    };
    let interval = jittered(context.policy.sync_interval);
    let interval = at_the_latest.map_or(interval, |latest| latest.min(interval));
    let (priority, delay) = match next {
        Some((priority, delay)) => (priority, delay),
        None => (Priority::Drift, interval),
    };
    context.queue.add_after(key, lane, priority, delay);
}
