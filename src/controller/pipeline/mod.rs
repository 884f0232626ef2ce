//! The kinds that stand for no connector: workflows, and the runs of them.
//!
//! They share the queue, the workers, the workspaces and the words of the connectors, and each has its own protocol: observe, plan
//! (pure), act, report.

pub mod board;
pub mod catalogue;
pub mod job;
pub mod memory;
pub mod notice;
pub mod object;
pub mod references;
pub mod rest;
pub mod span;
pub mod triggers;
pub mod wake;
pub mod workflow;
pub mod writing;

use super::context::Context;
use super::key::Key;
use super::queue::Job;
use crate::crd::{UnstructuredJob, UnstructuredWorkflow};
use object::Object;

/// Whether a pass over this key is made here.
pub fn is_ours(key: &Key) -> bool {
    key.kind == UnstructuredWorkflow::KIND || key.kind == UnstructuredJob::KIND
}

/// Makes a pass.
pub async fn make(context: &Context, job: &Job) {
    if job.key.kind == UnstructuredWorkflow::KIND {
        workflow::pass::make(context, job).await;
    } else {
        job::pass::make(context, job).await;
    }
}
