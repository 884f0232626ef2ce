//! When a resource comes back without anybody asking. Pure, but for the jitter.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{doubled, jittered};
use super::outcome::Requeue;
use super::queue::Priority;

/// The first delay of a retry; it doubles with each failure up to [`LONGEST_BACKOFF`].
const SHORTEST_BACKOFF: Duration = Duration::from_secs(1);

/// The longest delay of a retry.
pub const LONGEST_BACKOFF: Duration = Duration::from_mins(10);

/// The longest delay where time or somebody else can end what blocks a resource.
const LONGEST_BLOCKED: Duration = Duration::from_mins(2);

/// The first delay after somebody else got in the way.
const SHORTEST_COLLISION: Duration = Duration::from_millis(10);

/// How long until a key that was refused is tried again without anybody asking.
const SLOWLY: Duration = Duration::from_mins(3);

/// Added to a time that has to be over, so that it is.
const JUST_AFTER: Duration = Duration::from_millis(1);

/// A pass that has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// How urgent it is.
    pub priority: Priority,
    /// How long until then.
    pub delay: Duration,
    /// Whether it is a retry, whose time is worth telling.
    pub told: bool,
    /// Whether it is this very pass, later.
    pub in_line: bool,
}

/// What the time depends on, beside the outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Passes in a row that failed, this one counted.
    pub failures: u32,
    /// How often the connection check was polled.
    pub polls: u32,
    /// How long until the create that is waited for has settled, or until what it made and nothing shows is believed gone.
    pub settles: Duration,
    /// How long what others supply is still waited for.
    pub patience: Duration,
    /// How long until a lost update is sent again, where that time is to come.
    pub resend: Option<Duration>,
}

/// Whether the outcome adds to the failures in a row.
pub fn is_failure(requeue: Requeue) -> bool {
    matches!(
        requeue,
        Requeue::Backoff
            | Requeue::Blocked
            | Requeue::Unshown
            | Requeue::AtOnce
            | Requeue::Slowly
            | Requeue::Resumed(_)
    )
}

/// When to look again, and how urgently. `None`: not before something changes.
pub fn after(requeue: Requeue, pace: &Pace, now: Instant) -> Option<FollowUp> {
    let resend = when_to_resend(requeue, pace.resend).map(|left| retry(left + JUST_AFTER, false));
    [asked_for(requeue, pace, now), resend]
        .into_iter()
        .flatten()
        .min_by_key(|follow_up| follow_up.delay)
}

/// How long until a lost update brings the object back. Where something failed, the retry sends it: an update that fails counts as lost, and
/// one that always does would be sent after each settle time for ever.
pub fn when_to_resend(requeue: Requeue, left: Option<Duration>) -> Option<Duration> {
    left.filter(|_| !is_failure(requeue))
}

fn asked_for(requeue: Requeue, pace: &Pace, now: Instant) -> Option<FollowUp> {
    let follow_up = match requeue {
        Requeue::OnChange | Requeue::NextInventory => return None,
        // The watch needs a moment to show what we collided with; if it takes longer, there is no use in hurrying.
        Requeue::AtOnce => FollowUp {
            priority: Priority::Changed,
            delay: SHORTEST_COLLISION * (1 << pace.failures.min(6)),
            told: false,
            // What it is made for is as old as it was: a resource that others keep writing to would wait for one list after the other.
            in_line: true,
        },
        Requeue::NextPoll => retry(poll_delay(pace.polls), false),
        Requeue::Settled => retry(pace.settles + JUST_AFTER, true),
        Requeue::Backoff => retry(backoff(pace.failures, LONGEST_BACKOFF), true),
        Requeue::Blocked => retry(backoff(pace.failures, LONGEST_BLOCKED), true),
        Requeue::Unshown => {
            let latest = pace.settles + JUST_AFTER;
            retry(backoff(pace.failures, LONGEST_BLOCKED).min(latest), true)
        }
        Requeue::Patience => retry(pace.patience + JUST_AFTER, false),
        Requeue::Slowly => retry(jittered(SLOWLY), true),
        Requeue::SecondLook => retry(jittered(SLOWLY), false),
        Requeue::Resumed(at) => {
            let wait = at.saturating_duration_since(now);
            retry(wait + jittered(Duration::from_millis(500)), true)
        }
    };
    Some(follow_up)
}

/// How long to wait before polling a check for the `n`th time: 1, 2, 4, 8, 15, then 30 s.
fn poll_delay(n: u32) -> Duration {
    Duration::from_secs(match n {
        0 => 1,
        1 => 2,
        2 => 4,
        3 => 8,
        4 => 15,
        _ => 30,
    })
}

fn retry(delay: Duration, told: bool) -> FollowUp {
    FollowUp {
        priority: Priority::Retry,
        delay,
        told,
        in_line: false,
    }
}

fn backoff(failures: u32, longest: Duration) -> Duration {
    jittered(doubled(SHORTEST_BACKOFF, failures, longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(requeue: Requeue) -> Duration {
        let pace = Pace {
            failures: 12,
            polls: 0,
            settles: Duration::ZERO,
            patience: Duration::ZERO,
            resend: Some(Duration::from_mins(1)),
        };
        let follow_up = after(requeue, &pace, Instant::now());
        follow_up.expect("there is one").delay
    }

    #[test]
    fn what_was_lost_is_sent_again_in_time_unless_it_is_what_fails() {
        let minute = Duration::from_mins(1);
        assert_eq!(delay(Requeue::OnChange), minute + JUST_AFTER);
        // It grows to ten minutes, a part of which is up to chance.
        assert!(delay(Requeue::Backoff) > minute * 2);
    }
}
