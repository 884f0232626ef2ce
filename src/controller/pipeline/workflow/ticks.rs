//! A look a moment after each time at which the service begins a run by itself: the list of all jobs, which shows such a run, is asked
//! for too seldom to wait for it.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::crd::{UnstructuredWorkflowSpec, WorkflowActivity};
use crate::unstructured::Schedule;

/// How long the service may take to show the run, and its clock may be behind ours.
const MOMENT: SignedDuration = SignedDuration::from_secs(20);

/// When the service runs the workflow by itself, if it does.
pub fn schedule(spec: &UnstructuredWorkflowSpec) -> Option<Schedule> {
    let schedule = spec
        .schedule
        .filter(|_| spec.state == WorkflowActivity::Active)?;
    Some(schedule.into())
}

/// How long until the next look.
pub fn next_look(schedule: Schedule) -> Duration {
    let due = crate::clock::now() - MOMENT;
    schedule.tick_after(due).duration_since(due).unsigned_abs()
}

/// When the last look was due. A list that is older may lack what that time began.
pub fn last_look(schedule: Schedule, now: Instant) -> Option<Instant> {
    let due = crate::clock::now() - MOMENT;
    let since = due.duration_since(schedule.tick_before(due));
    now.checked_sub(since.unsigned_abs())
}
