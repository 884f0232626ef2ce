//! What the service tells of the documents of a run that has ended.

use super::board::Board;
use super::memory::{Doubt, Memory};
use crate::unstructured::{ApiError, ErrorKind, JobDetails, JobId, JobState};

/// What the service tells of a run that has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// What came of its documents.
    Details(JobDetails),
    /// Nothing, and nothing will come any more.
    Nothing,
    /// It may say more in a moment.
    NotYet,
}

/// Asks what came of the documents of a run that is in this final state. The service may call a run completed before it has counted
/// its documents, and before it knows any details of it: both are waited for, but not for ever.
///
/// # Errors
///
/// [`ApiError`] when it cannot be asked.
pub async fn ask(
    memory: &mut Memory,
    board: &Board,
    id: &JobId,
    state: &JobState,
    settle_time: std::time::Duration,
) -> Result<Told, ApiError> {
    let answer = board.jobs.details(id).await;
    judge(state, answer, || {
        memory.has_stayed(Doubt::Untold(*id), settle_time)
    })
}

/// What an answer tells. `has_stayed`: whether the service has said no more for as long as is waited.
fn judge(
    state: &JobState,
    answer: Result<JobDetails, ApiError>,
    mut has_stayed: impl FnMut() -> bool,
) -> Result<Told, ApiError> {
    // Of any other end the state says enough.
    let decide = *state == JobState::Completed;
    match answer {
        Ok(details) if decide && details.processing.is_under_way() && !has_stayed() => {
            Ok(Told::NotYet)
        }
        Ok(details) => Ok(Told::Details(details)),
        // A run that was stopped before it began need not have any.
        Err(error) if error.kind == ErrorKind::NotFound => {
            let is_believed = *state == JobState::Stopped || has_stayed();
            Ok(if is_believed {
                Told::Nothing
            } else {
                Told::NotYet
            })
        }
        Err(_) if !decide && has_stayed() => Ok(Told::Nothing),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unstructured::{Commit, Documents, Processing};

    fn details(processing: Processing) -> JobDetails {
        let documents = Documents {
            total: 1,
            succeeded: 1,
            failed: 0,
        };
        JobDetails {
            processing,
            documents: Some(documents),
            nodes: Vec::new(),
            message: None,
        }
    }

    fn failed(kind: ErrorKind) -> ApiError {
        ApiError::new(kind, None, Commit::Never, "failed")
    }

    #[test]
    fn what_may_only_be_passing_is_believed_when_it_has_stayed() {
        use JobState::{Completed, Failed, Stopped};
        let under_way = || Ok(details(Processing::InProgress));
        let missing = || Err(failed(ErrorKind::NotFound));
        let broken = || Err(failed(ErrorKind::Server));
        let counted = Told::Details(details(Processing::Success));
        let counting = || Told::Details(details(Processing::InProgress));
        for (state, answer, stayed, told) in [
            (
                Completed,
                Ok(details(Processing::Success)),
                false,
                Ok(counted),
            ),
            (Completed, under_way(), false, Ok(Told::NotYet)),
            (Completed, under_way(), true, Ok(counting())),
            (Completed, missing(), false, Ok(Told::NotYet)),
            (Completed, missing(), true, Ok(Told::Nothing)),
            (Completed, broken(), true, Err(failed(ErrorKind::Server))),
            (Failed, under_way(), false, Ok(counting())),
            (Failed, missing(), false, Ok(Told::NotYet)),
            (Failed, missing(), true, Ok(Told::Nothing)),
            (Failed, broken(), false, Err(failed(ErrorKind::Server))),
            (Failed, broken(), true, Ok(Told::Nothing)),
            (Stopped, missing(), false, Ok(Told::Nothing)),
        ] {
            let said = format!("{state} {answer:?} {stayed}");
            assert_eq!(judge(&state, answer, || stayed), told, "{said}");
        }
    }
}
