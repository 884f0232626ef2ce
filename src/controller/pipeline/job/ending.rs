//! What a run has done and how it ended, as far as the service says. Pure.

use super::situation::{Counts, End, Ending, Progress};
use crate::crd::Documents;
use crate::unstructured::{JobDetails, JobState, Processing};

/// How a run ended that is in this final state and has these details.
pub fn end_from(state: &JobState, details: Option<&JobDetails>) -> End {
    let Progress { documents, nodes } = progress_from(details);
    let has_failed = documents.is_some_and(|documents| documents.failed > 0);
    let with_errors =
        details.is_some_and(|details| details.processing == Processing::CompletedWithErrors);
    let how = match state {
        JobState::Failed => Ending::Failed,
        JobState::Stopped => Ending::Stopped,
        _ if has_failed || with_errors => Ending::WithErrors,
        _ => match details.map(|details| &details.processing) {
            Some(Processing::Failed) => Ending::Failed,
            Some(Processing::Stopped) => Ending::Stopped,
            Some(Processing::Scheduled | Processing::InProgress) | None => Ending::Untold,
            Some(_) => Ending::Completed,
        },
    };
    End {
        how,
        documents,
        nodes,
        message: details.and_then(|details| details.message.clone()),
        ..End::default()
    }
}

/// What a run has done that has these details.
pub fn progress_from(details: Option<&JobDetails>) -> Progress {
    let documents = details.and_then(|details| details.documents);
    let nodes = details.iter().flat_map(|details| &details.nodes);
    Progress {
        documents: documents.map(|d| Documents {
            total: d.total,
            succeeded: d.succeeded,
            failed: d.failed,
        }),
        nodes: nodes
            .map(|node| Counts {
                name: node.name.clone(),
                documents: [node.ready, node.in_progress, node.success, node.failure],
            })
            .collect(),
    }
}
