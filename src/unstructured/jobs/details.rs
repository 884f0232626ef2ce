//! What came of a job's documents. All words in it are foreign: scrubbed and bounded before they leave here.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use super::super::answer::json;
use super::super::ids::JobId;
use super::super::unreadable::Unreadable;
use crate::scrub::Scrubber;

/// Steps whose numbers are read.
const MOST_NODES: usize = 64;

/// Failed files that are shown.
const MOST_FILES: usize = 20;

/// Characters of a failed file's name, and of what is said of it.
const LONGEST_TEXT: usize = 256;

/// What came of a job's documents so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDetails {
    /// Where the work on the documents stands.
    pub processing: Processing,
    /// How many there are, where the answer says so.
    pub documents: Option<Documents>,
    /// What each step has done; the first 64.
    pub nodes: Vec<NodeStats>,
    /// Why it failed, in the service's words: one line, bounded, without the API key or anything that looks like a credential. Pass
    /// it through [`WorkflowSpec::scrub`](super::super::workflows::WorkflowSpec::scrub) and
    /// [`Config::scrub`](super::super::config::Config::scrub) before showing it, which know the values that were sent.
    pub message: Option<String>,
}

/// Where the work on a job's documents stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processing {
    /// It waits.
    Scheduled,
    /// It is under way.
    InProgress,
    /// Every document came through.
    Success,
    /// Some did not.
    CompletedWithErrors,
    /// It was cancelled.
    Stopped,
    /// It could not start, or no document succeeded.
    Failed,
    /// A word that is not documented, scrubbed; empty where none is shown.
    Other(String),
}

/// How many documents a job has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// All.
    pub total: u64,
    /// Those that came through.
    pub succeeded: u64,
    /// Those that did not.
    pub failed: u64,
}

/// What one step of a job has done, in documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStats {
    /// The step's name, scrubbed like the two that follow; empty where none is shown.
    pub name: String,
    /// What it does.
    pub node_type: String,
    /// How it does that.
    pub subtype: String,
    /// Those that wait for it.
    pub ready: u64,
    /// Those that it is at.
    pub in_progress: u64,
    /// Those that it is done with.
    pub success: u64,
    /// Those that failed there.
    pub failure: u64,
}

/// The documents that a job failed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedFiles {
    /// The first 20.
    pub files: Vec<FailedFile>,
    /// How many there are.
    pub total: usize,
}

/// A document that a job failed on. Both texts are one line of at most 256 characters, scrubbed like [`JobDetails::message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedFile {
    /// Its name or path.
    pub document: String,
    /// What went wrong, in the service's words.
    pub error: String,
}

/// Details as they are written, each part unread.
#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    processing_status: Value,
    #[serde(default)]
    summary: Value,
    #[serde(default)]
    node_stats: Value,
    #[serde(default)]
    message: Value,
}

#[derive(Deserialize)]
struct WireFailedFiles {
    failed_files: First,
}

/// The first elements of a list, and how many it has: the rest is passed over while it is read.
#[derive(Default)]
struct First {
    elements: Vec<Value>,
    total: usize,
}

impl JobDetails {
    /// Reads those of the job that was asked for.
    pub(in super::super) fn read(
        body: &[u8],
        id: &JobId,
        scrubber: &Scrubber,
    ) -> Result<Self, Unreadable> {
        let wire: Wire = json(body)?;
        let shown: Option<JobId> = wire.id.as_str().and_then(|id| id.parse().ok());
        if shown.is_some_and(|shown| shown != *id) {
            return Err(Unreadable::ANOTHER);
        }
        if wire.processing_status.is_null() && wire.node_stats.is_null() && wire.summary.is_null() {
            return Err(Unreadable::SHAPE);
        }
        let nodes = wire.node_stats.as_array().into_iter().flatten();
        let nodes: Vec<_> = nodes
            .take(MOST_NODES)
            .map(|node| NodeStats::read(node, scrubber))
            .collect();
        Ok(Self {
            processing: Processing::read(&wire.processing_status, scrubber),
            documents: Documents::read(&wire.summary, &nodes),
            nodes,
            message: Some(words(&wire.message, scrubber)).filter(|words| !words.is_empty()),
        })
    }
}

impl Documents {
    /// What the summary says. Older services show none, and one that is all zeros need not have been filled in: then the steps tell, as
    /// a document fails at one of them at most.
    fn read(summary: &Value, nodes: &[NodeStats]) -> Option<Self> {
        let seen = |node: &NodeStats| {
            let counts = [node.ready, node.in_progress, node.success, node.failure];
            counts.into_iter().fold(0, u64::saturating_add)
        };
        let total = nodes.iter().map(seen).max();
        let failures = nodes.iter().map(|node| node.failure);
        let failed = failures.fold(0, u64::saturating_add);
        let shown = summary.is_object().then(|| Self {
            total: number(summary, "total_docs"),
            succeeded: number(summary, "total_docs_succeeded"),
            failed: number(summary, "total_docs_failed"),
        });
        match (shown, total) {
            (Some(shown), _) if shown != Self::default() => Some(shown),
            (_, Some(total)) => Some(Self {
                total,
                succeeded: total.saturating_sub(failed),
                failed: failed.min(total),
            }),
            (shown, None) => shown,
        }
    }
}

impl Processing {
    /// Whether the work is not done yet.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Scheduled | Self::InProgress)
    }

    /// How the API writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN_PROGRESS",
            Self::Success => "SUCCESS",
            Self::CompletedWithErrors => "COMPLETED_WITH_ERRORS",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::Other(word) => word,
        }
    }

    fn read(word: &Value, scrubber: &Scrubber) -> Self {
        let known = [
            Self::Scheduled,
            Self::InProgress,
            Self::Success,
            Self::CompletedWithErrors,
            Self::Stopped,
            Self::Failed,
        ];
        let text = word.as_str().unwrap_or_default();
        let known = known
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text));
        known.unwrap_or_else(|| Self::Other(words(word, scrubber)))
    }
}

impl NodeStats {
    fn read(node: &Value, scrubber: &Scrubber) -> Self {
        let text = |name| words(&node[name], scrubber);
        Self {
            name: text("node_name"),
            node_type: text("node_type"),
            subtype: text("node_subtype"),
            ready: number(node, "ready"),
            in_progress: number(node, "in_progress"),
            success: number(node, "success"),
            failure: number(node, "failure"),
        }
    }
}

impl FailedFiles {
    /// Reads the first of them.
    pub(in super::super) fn read(body: &[u8], scrubber: &Scrubber) -> Result<Self, Unreadable> {
        let First { elements, total } = json::<WireFailedFiles>(body)?.failed_files;
        let text = |file: &Value, name| {
            let words = words(&file[name], scrubber);
            words.chars().take(LONGEST_TEXT).collect()
        };
        let files = elements.iter().map(|file| FailedFile {
            document: text(file, "document"),
            error: text(file, "error"),
        });
        Ok(Self {
            files: files.collect(),
            total,
        })
    }
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = First;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<First, E> {
                Ok(First::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First, A::Error> {
                let mut first = First::default();
                while first.elements.len() < MOST_FILES {
                    let Some(element) = list.next_element()? else {
                        break;
                    };
                    first.elements.push(element);
                }
                first.total = first.elements.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    first.total += 1;
                }
                Ok(first)
            }
        }

        json.deserialize_any(Elements)
    }
}

fn words(value: &Value, scrubber: &Scrubber) -> String {
    scrubber.scrub(value.as_str().unwrap_or_default())
}

/// What is no number that counts is none.
fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_default()
}
