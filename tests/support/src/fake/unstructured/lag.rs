//! What does not show at once: lists that show for a while what was there before a write, and what was made a moment ago.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::wall;

/// Whether what was made then does not show yet.
pub(super) fn hides(made: Timestamp, lag: Duration) -> bool {
    let lag = SignedDuration::try_from(lag).unwrap_or(SignedDuration::MAX);
    wall::now().duration_since(made) < lag
}

/// What the next lists show instead of what is there, and how many of them do.
pub(super) struct Lag<T>(Option<(Vec<T>, u32)>);

impl<T> Default for Lag<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Clone> Lag<T> {
    /// To be called before a write: the next `lists` lists show what is there now.
    pub(super) fn freeze(&mut self, current: &[T], lists: u32) {
        if lists > 0 && self.0.is_none() {
            self.0 = Some((current.to_vec(), lists));
        }
    }

    /// What a list shows.
    pub(super) fn listed(&mut self, current: &[T]) -> Vec<T> {
        let Some((frozen, left)) = &mut self.0 else {
            return current.to_vec();
        };
        *left -= 1;
        let frozen = frozen.clone();
        if *left == 0 {
            self.0 = None;
        }
        frozen
    }
}
