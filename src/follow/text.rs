//! What is said of a job. Pure. The words in a status may be anybody's, so each is made one line without control characters.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::crd::{ConditionType, JobPhase, JobStatus, NodeCounts, Reason};
use crate::scrub::one_line;

/// Where the job stands: its phase, and why.
pub(super) fn phase(status: &JobStatus) -> String {
    let phase = status.phase.as_str();
    match ready(status).map(|ready| one_line(&ready.message)) {
        Some(message) if !message.is_empty() => format!("{phase}: {message}"),
        _ => phase.to_owned(),
    }
}

/// How far it is; nothing as long as nobody knows.
pub(super) fn counts(status: &JobStatus) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(documents) = status.documents {
        let done = documents.succeeded + documents.failed;
        parts.push(format!(
            "{done} of {} documents done{}",
            documents.total,
            failed(documents.failed)
        ));
    }
    let nodes = status.nodes.iter();
    parts.extend(nodes.map(|node| {
        format!(
            "{} {}",
            one_line(&node.name),
            of_node(node, all_of(status, node))
        )
    }));
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What a node has done, of so many documents.
pub(super) fn of_node(node: &NodeCounts, all: u64) -> String {
    let done = node.success + node.failure;
    let under_way = match node.in_progress {
        0 => String::new(),
        count => format!(", {count} under way"),
    };
    format!("{done}/{all}{under_way}{}", failed(node.failure))
}

/// All documents that a node will have to do with, as far as it is known: those of the run, or those that it has seen.
pub(super) fn all_of(status: &JobStatus, node: &NodeCounts) -> u64 {
    let seen = node.ready + node.in_progress + node.success + node.failure;
    status.documents.map_or(seen, |run| run.total.max(seen))
}

/// The documents that failed, as a list of lines.
pub(super) fn failed_files(status: &JobStatus) -> Vec<String> {
    let files = &status.failed_files;
    let mut lines: Vec<_> = files
        .iter()
        .map(|file| format!("  {}: {}", one_line(&file.document), one_line(&file.error)))
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "Failed documents:".to_owned());
    }
    let shown = u64::try_from(files.len()).unwrap_or(u64::MAX);
    let more = status.failed_files_total.unwrap_or_default();
    if more > shown && shown > 0 {
        lines.push(format!("  and {} more", more - shown));
    }
    lines
}

/// Whether the run ended well and did nothing, or nothing that anybody knows of.
pub(super) fn is_doubtful_success(status: &JobStatus) -> bool {
    let doubtful = [Reason::NoDocuments, Reason::DocumentsUnknown];
    status.phase == JobPhase::Succeeded
        && ready(status).is_some_and(|ready| doubtful.iter().any(|d| d.as_str() == ready.reason))
}

/// How to look at the job again, and how to cancel it.
pub(super) fn ways_on(namespace: &str, name: &str) -> String {
    format!(
        "Nothing was cancelled. To look at the job again: unstructured-operator follow {name} -n {namespace}\n\
         To cancel it: kubectl patch ujob {name} -n {namespace} --type merge -p '{{\"spec\":{{\"cancel\":true}}}}'"
    )
}

fn failed(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!(", {count} failed"),
    }
}

fn ready(status: &JobStatus) -> Option<&Condition> {
    let kind = ConditionType::Ready.as_str();
    status.conditions.iter().find(|c| c.type_ == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{Documents, FailedDocument};

    #[test]
    fn counts_name_what_failed_and_what_is_under_way_and_nothing_that_is_zero() {
        let mut status = JobStatus::default();
        assert_eq!(counts(&status), None);
        status.documents = Some(Documents {
            total: 5,
            succeeded: 2,
            failed: 1,
        });
        let node = |name: &str, in_progress, success, failure| NodeCounts {
            name: name.to_owned(),
            ready: 0,
            in_progress,
            success,
            failure,
        };
        status.nodes = vec![node("Partitioner", 2, 2, 1), node("Chunker", 0, 2, 0)];
        assert_eq!(
            counts(&status).as_deref(),
            Some(
                "3 of 5 documents done, 1 failed; Partitioner 3/5, 2 under way, 1 failed; Chunker 2/5"
            )
        );
    }

    #[test]
    fn failed_documents_are_listed_without_control_characters_and_the_rest_is_counted() {
        let mut status = JobStatus::default();
        assert_eq!(failed_files(&status), [""; 0]);
        status.failed_files.push(FailedDocument {
            document: "a\u{1b}[31m.pdf".to_owned(),
            error: "it is\nencrypted".to_owned(),
        });
        status.failed_files_total = Some(3);
        let lines = failed_files(&status);
        assert_eq!((lines.len(), lines[2].as_str()), (3, "  and 2 more"));
        assert!(!lines[1].contains(['\u{1b}', '\n']), "{lines:?}");
    }
}
