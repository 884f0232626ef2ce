//! Telling a run to stop.

use tokio::time::Instant;

use super::super::context::Context;
use super::board::Board;
use super::memory::Memory;
use super::notice::{tell, warn};
use super::object::Object;
use crate::crd::EventReason;
use crate::engine::outcome::Failure;
use crate::unstructured::{ErrorKind, JobId, own_words};

/// Tells a run to stop. An object that is being deleted does not wait for ever for that: a run that cannot be stopped goes on to its end
/// without it. A refusal says so, and so does any failure that has stayed for a settle time, as the run itself could be looked at.
///
/// # Errors
///
/// [`Failure`] when it may be told later.
pub async fn stop<K: Object>(
    context: &Context,
    memory: &mut Memory,
    board: &Board,
    object: &K,
    id: &JobId,
) -> Result<(), Failure> {
    let error = match board.jobs.cancel(id).await {
        Ok(()) => {
            let note = format!("Told run {id} to stop.");
            tell(context, object, EventReason::Cancelled, "Cancel", note);
            return Ok(());
        }
        Err(error) => error,
    };
    let is_refused = matches!(
        error.kind,
        ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::WrongUrl | ErrorKind::Invalid { .. }
    );
    if object.is_going() && (is_refused || is_given_up(context, memory)) {
        let why = own_words(error.message());
        let note = format!("Run {id} could not be stopped and goes on to its end: {why}");
        let reason = EventReason::Cancelled.as_str();
        warn(context, object, reason, "Cancel", note);
        return Ok(());
    }
    Err(error.into())
}

/// Whether runs could not be stopped for as long as anything is waited for.
pub fn is_given_up(context: &Context, memory: &mut Memory) -> bool {
    let since = memory.unstopped.get_or_insert_with(Instant::now);
    since.elapsed() >= context.policy.settle_time
}
