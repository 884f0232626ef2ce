//! The right to work, as long as it lasts.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The right to work, as long as it lasts. Clones share it.
#[derive(Clone, Debug)]
pub struct Leadership(Right);

#[derive(Clone, Debug)]
enum Right {
    Always,
    /// Until this instant; none once it is over.
    Until(watch::Receiver<Option<Instant>>),
}

impl Leadership {
    /// Leadership that nobody contests: for a single replica without election.
    pub fn always() -> Self {
        Self(Right::Always)
    }

    /// Whether work may go on. To be asked before every effect; needs no lock that another thread holds for long and no
    /// running timer, so it is right even in a process that has just woken.
    pub fn is_valid(&self) -> bool {
        match &self.0 {
            Right::Always => true,
            Right::Until(until) => until.borrow().is_some_and(|until| Instant::now() < until),
        }
    }

    /// Returns when leadership is over; it does not come back.
    pub async fn lost(&self) {
        let Right::Until(until) = &self.0 else {
            return std::future::pending().await;
        };
        let mut until = until.clone();
        loop {
            let Some(deadline) = *until.borrow_and_update() else {
                return;
            };
            tokio::select! {
                changed = until.changed() => if changed.is_err() { return },
                () = sleep_until(deadline) => return,
            }
        }
    }
}

/// The holder's end of a [`Leadership`]; dropping it ends the leadership.
pub(super) struct Tenure(watch::Sender<Option<Instant>>);

impl Drop for Tenure {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

impl Tenure {
    pub fn begin(until: Instant) -> (Self, Leadership) {
        let (sender, receiver) = watch::channel(Some(until));
        (Self(sender), Leadership(Right::Until(receiver)))
    }

    /// When the leadership ends unless it is extended; none if it is over.
    pub fn until(&self) -> Option<Instant> {
        self.0.borrow().filter(|until| Instant::now() < *until)
    }

    /// Extends the leadership, unless it has run out meanwhile: somebody has been told so, and must stay told.
    pub fn extend(&self, later: Instant) {
        self.0.send_if_modified(|until| {
            let runs = until.is_some_and(|until| Instant::now() < until);
            *until = runs.then_some(later);
            true
        });
    }
}

/// Where this process stands in the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The Lease could be read; another process holds it, or none yet.
    Standby,
    /// This process holds the Lease.
    Leader,
}
