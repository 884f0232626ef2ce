//! Delays that grow.

use std::time::Duration;

/// The delay after the `times`th time in a row: `first`, then twice as long each time, up to `longest`.
pub fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    let delay = first.saturating_mul(1 << times.saturating_sub(1).min(16));
    delay.min(longest)
}

/// Between a half and the whole of a delay, so that what failed together is not tried again together.
pub fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.5 + fastrand::f64() / 2.0)
}
