//! The operator's parts that read foreign text, and what is promised of each, whatever the text. A promise that is broken is a panic.

// Under test. Each finds its neighbours as it does at home: beside it, or at the root.
#[path = "../../../src/unstructured/answer.rs"]
mod answer;
#[path = "../../../src/unstructured/body.rs"]
mod body;
#[path = "../../../src/clock.rs"]
pub mod clock;
#[path = "../../../src/unstructured/config.rs"]
mod config;
#[path = "../../../src/unstructured/digest.rs"]
mod digest;
#[path = "../../../src/unstructured/elements.rs"]
mod elements;
#[path = "../../../src/unstructured/error.rs"]
mod error;
#[path = "../../../src/dropbox/folder.rs"]
mod folder;
#[path = "../../../src/hosts.rs"]
mod hosts;
#[path = "../../../src/unstructured/ids.rs"]
mod ids;
#[path = "../../../src/unstructured/kept.rs"]
mod kept;
#[path = "../../../src/unstructured/key_objection.rs"]
mod key_objection;
#[path = "../../../src/unstructured/retry_after.rs"]
mod retry_after;
#[path = "../../../src/scrub.rs"]
mod scrub;
#[path = "../../../src/unstructured/shown_key.rs"]
mod shown_key;
#[path = "../../../src/unstructured/types.rs"]
mod types;
#[path = "../../../src/unstructured/unknown_connector.rs"]
mod unknown_connector;
#[path = "../../../src/unstructured/unreadable.rs"]
mod unreadable;
#[path = "../../../src/options/values.rs"]
mod values;

#[path = "../../../src/unstructured/jobs"]
mod jobs {
    pub mod details;
    pub mod job;
}

#[path = "../../../src/unstructured/workflows"]
mod workflows {
    pub mod differences;
    pub mod schedule;
    pub mod shown;
    pub mod spec;
}

mod answers;
mod folders;
mod pipelines;
mod texts;

pub use answers::{refusal, retry_after, success};
pub use folders::admitted;
pub use pipelines::{compared, runs};
pub use texts::{duration, scrubbed};
