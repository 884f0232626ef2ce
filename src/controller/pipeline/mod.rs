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
pub mod quoting;
pub mod references;
pub mod rest;
pub mod span;
pub mod stop;
pub mod told;
pub mod triggers;
pub mod wake;
pub mod workflow;
pub mod writing;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::time::Instant;
use tracing::Span;

use super::context::Context;
use crate::crd::{UnstructuredJob, UnstructuredWorkflow};
use crate::engine::key::Key;
use crate::engine::outcome::Requeue;
use crate::engine::queue::Job;
use crate::runtime::metrics::ReconcileResult;
use crate::spans;
use object::Object;

/// Whether a pass over this key is made here.
pub fn is_ours(key: &Key) -> bool {
    key.kind == UnstructuredWorkflow::KIND || key.kind == UnstructuredJob::KIND
}

/// Makes a pass. A panic ends this pass only.
pub async fn make(context: &Context, job: &Job) {
    let begun = Instant::now();
    let pass = async {
        if job.key.kind == UnstructuredWorkflow::KIND {
            workflow::pass::make(context, job).await
        } else {
            job::pass::make(context, job).await
        }
    };
    let result = match AssertUnwindSafe(pass).catch_unwind().await {
        Ok(Requeue::Backoff | Requeue::Slowly | Requeue::Resumed(_)) => ReconcileResult::Failed,
        Ok(Requeue::AtOnce) => ReconcileResult::Conflict,
        Ok(Requeue::NextPoll | Requeue::Settled | Requeue::Unshown) => ReconcileResult::Waiting,
        Ok(Requeue::Blocked) => ReconcileResult::Stalled,
        Ok(_) => ReconcileResult::Settled,
        Err(_) => {
            tracing::error!(resource = %job.key, "reconcile panicked; retrying");
            let lane = wake::lane_of(&job.key);
            rest::until(
                context,
                &job.key,
                lane,
                Requeue::Backoff,
                &mut 0,
                None,
                None,
            );
            ReconcileResult::Panicked
        }
    };
    spans::concluded(&Span::current(), result.as_str(), result.is_failure());
    context
        .metrics
        .reconciled(job.key.kind, result, begun.elapsed());
}
