//! A job as the service shows it in a list or by itself.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::super::answer::{done, json};
use super::super::ids::{JobId, WorkflowId};
use super::super::types::{PER_ALLOCATION, timestamp};
use super::super::unreadable::Unreadable;
use crate::scrub::Scrubber;

/// One run of a workflow. The service shows no time of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its identity, for life.
    pub id: JobId,
    /// Whose run it is.
    pub workflow: WorkflowId,
    /// Where it stands.
    pub state: JobState,
    /// When it was created, where the answer says so readably.
    pub created_at: Option<Timestamp>,
    /// The schedule started it, and nobody by hand.
    pub is_scheduled: bool,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits.
    Scheduled,
    /// It runs.
    InProgress,
    /// It ended, which says nothing of its documents: see [`JobDetails`](super::details::JobDetails).
    Completed,
    /// It could not start, or no document succeeded.
    Failed,
    /// It was cancelled.
    Stopped,
    /// A word that is not documented and speaks of no end, scrubbed. Treat as not ended.
    Other(String),
}

/// A job as it is written, each part unread.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    workflow_id: Value,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    created_at: Value,
    #[serde(default)]
    job_type: Value,
}

impl Wire {
    fn workflow(&self) -> Option<WorkflowId> {
        self.workflow_id.as_str()?.parse().ok()
    }

    fn read(&self, workflow: WorkflowId, scrubber: &Scrubber) -> Result<Job, Unreadable> {
        let id = self.id.as_str().and_then(|id| id.parse().ok());
        let (Some(id), Some(status)) = (id, self.status.as_str()) else {
            return Err(Unreadable("has a job without a UUID or a status"));
        };
        let job_type = self.job_type.as_str();
        Ok(Job {
            id,
            workflow,
            state: JobState::read(status, scrubber),
            created_at: timestamp(&self.created_at),
            is_scheduled: job_type.is_some_and(|word| word.eq_ignore_ascii_case("scheduled")),
        })
    }
}

impl Job {
    /// One job of a list. `None`: readably of another workflow, or, where those of all are asked for, of none. One of this workflow that
    /// cannot be read makes the whole list unreadable, because what is not in a list may be started again.
    pub(in super::super) fn listed(
        element: &[u8],
        workflow: Option<&WorkflowId>,
        scrubber: &Scrubber,
    ) -> Result<Option<Self>, Unreadable> {
        let wire: Wire = json(element)?;
        let shown = wire.workflow();
        if workflow.is_some() && shown.is_some() && shown.as_ref() != workflow {
            return Ok(None);
        }
        match (shown, workflow) {
            (Some(shown), _) => wire.read(shown, scrubber).map(Some),
            (None, Some(_)) => Err(Unreadable::JOB_WITHOUT_WORKFLOW),
            (None, None) => Ok(None),
        }
    }

    /// The job that was asked for.
    pub(in super::super) fn read_with_id(
        body: &[u8],
        id: &JobId,
        scrubber: &Scrubber,
    ) -> Result<Self, Unreadable> {
        let wire: Wire = json(body)?;
        let workflow = wire.workflow().ok_or(Unreadable::JOB_WITHOUT_WORKFLOW)?;
        let job = wire.read(workflow, scrubber)?;
        if job.id == *id {
            Ok(job)
        } else {
            Err(Unreadable::ANOTHER)
        }
    }

    /// Bytes that it takes.
    pub(in super::super) fn size(&self) -> usize {
        let word = match &self.state {
            JobState::Other(word) => word.capacity() + PER_ALLOCATION,
            _ => 0,
        };
        size_of::<Self>() + word
    }
}

/// The job that a run started. `None`: the answer is the API's and names none.
pub(in super::super) fn started(
    body: &[u8],
    workflow: &WorkflowId,
    scrubber: &Scrubber,
) -> Result<Option<Job>, Unreadable> {
    done(body)?;
    let Ok(wire) = json::<Wire>(body) else {
        return Ok(None);
    };
    if wire.workflow().is_some_and(|shown| shown != *workflow) {
        return Err(Unreadable::ANOTHER);
    }
    Ok(wire.read(*workflow, scrubber).ok())
}

// === impl JobState ===

impl JobState {
    /// Whether the job has ended.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }

    /// How the API writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
            Self::Other(word) => word,
        }
    }

    /// The service has written these words in either case, and may write others for an end: a run that never ends holds up every later
    /// one. What is only about to end has not.
    fn read(word: &str, scrubber: &Scrubber) -> Self {
        let known = [
            Self::Scheduled,
            Self::InProgress,
            Self::Completed,
            Self::Failed,
            Self::Stopped,
        ];
        let known = known
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(word));
        known
            .or_else(|| Self::ended(word))
            .unwrap_or_else(|| Self::Other(scrubber.scrub(word)))
    }

    fn ended(word: &str) -> Option<Self> {
        let word = word.to_ascii_uppercase();
        if word.ends_with("ING") {
            return None;
        }
        let ends = [
            ("COMPLETED", Self::Completed),
            ("SUCCE", Self::Completed),
            ("CANCELED", Self::Stopped),
            ("CANCELLED", Self::Stopped),
            ("STOPPED", Self::Stopped),
            ("FAILED", Self::Failed),
            ("FAILURE", Self::Failed),
            ("ERROR", Self::Failed),
        ];
        let mut ends = ends.into_iter();
        ends.find_map(|(stem, state)| word.starts_with(stem).then_some(state))
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_for_an_end_are_read_as_what_they_mean_and_no_others() {
        use JobState::{Completed, Failed, InProgress, Stopped};
        let other = |word: &str| JobState::Other(word.to_owned());
        for (word, state) in [
            ("in_progress", InProgress),
            ("COMPLETED_WITH_ERRORS", Completed),
            ("Success", Completed),
            ("SUCCEEDED", Completed),
            ("CANCELLED", Stopped),
            ("canceled", Stopped),
            ("STOPPED_BY_USER", Stopped),
            ("FAILURE", Failed),
            ("error", Failed),
            ("CANCELLING", other("CANCELLING")),
            ("FAILED_RETRYING", other("FAILED_RETRYING")),
            ("PAUSED", other("PAUSED")),
            ("", other("")),
        ] {
            let read = JobState::read(word, &Scrubber::new([]));
            assert_eq!(read, state, "{word}");
        }
    }
}
