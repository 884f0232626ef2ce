//! When an object comes back without anybody asking.

use std::time::Duration;

use tokio::time::Instant;

use super::super::context::Context;
use super::board::Board;
use crate::engine::backoff::jittered;
use crate::engine::follow_up::{self, Pace};
use crate::engine::key::Key;
use crate::engine::outcome::Requeue;
use crate::engine::queue::{Lane, Priority};

/// Asks for the next pass. Where nothing else is to be waited for, it is made with the next list of `board`, or, without one, after the
/// sync interval; after `at_the_latest` in any case.
pub fn until(
    context: &Context,
    key: &Key,
    lane: Lane,
    requeue: Requeue,
    failures: &mut u32,
    at_the_latest: Option<Duration>,
    board: Option<&Board>,
) {
    *failures = if follow_up::is_failure(requeue) {
        failures.saturating_add(1)
    } else {
        0
    };
    let pace = Pace {
        failures: *failures,
        polls: 0,
        settles: match (requeue, at_the_latest) {
            (Requeue::Unshown, Some(latest)) => latest,
            _ => context.policy.settle_time,
        },
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
    if let Some(board) = board {
        match next {
            Some(_) => board.leave(key),
            None => board.rest(key),
        }
    }
    let (priority, delay) = match (next, board) {
        (Some(next), _) => next,
        (None, Some(_)) => match at_the_latest {
            Some(latest) => (Priority::Drift, latest),
            None => return,
        },
        (None, None) => {
            let interval = jittered(context.policy.sync_interval);
            let latest = at_the_latest.unwrap_or(interval);
            (Priority::Drift, latest.min(interval))
        }
    };
    context.queue.add_after(key, lane, priority, delay);
}
