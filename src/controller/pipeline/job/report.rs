//! From what a pass knows to the status of a job. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::outcome::Outcome;
use super::situation::{Asking, Run, Sight, Situation};
use crate::crd::{ConditionType, JobPhase, JobStatus, LastRun, RunRequest};
use crate::engine::outcome::{Class, Row};
use crate::engine::verdict::{Verdicts, word};

/// What a status needs beside the situation.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// `metadata.generation` that the situation was gathered from.
    pub generation: i64,
    /// The time, to the second.
    pub now: Time,
    /// The workflow that was run, if it is known.
    pub workflow_id: Option<String>,
}

/// The status that tells the truth about this situation.
pub fn status(previous: &JobStatus, s: &Situation, outcome: &Outcome, on: &Occasion) -> JobStatus {
    let mut status = previous.clone();
    status.observed_generation = on.generation;
    if previous.phase.is_final() {
        return status;
    }
    if let Some(phase) = outcome.phase() {
        status.phase = phase;
    }
    status.adopted = s.adopted;
    match &s.run {
        Run::None => {
            status.request = None;
            // What was refused may be asked for again, of a workflow that was made anew.
            status.workflow_id = None;
            if status.phase == JobPhase::Starting {
                status.phase = JobPhase::Pending;
            }
        }
        // What was asked for is settled by now, or nobody will ever look for it.
        Run::Asked(_) if status.phase.is_final() => status.request = None,
        Run::Asked(stage) => {
            if *stage == Asking::Recorded || status.request.is_none() {
                let newest = s.runs.as_ref().and_then(|runs| runs.newest);
                status.request = Some(RunRequest {
                    started_at: on.now.clone(),
                    last_run: newest.map(|newest| LastRun {
                        id: newest.id.to_string(),
                        created_at: newest.created_at.to_string(),
                    }),
                });
            }
            status.phase = JobPhase::Starting;
            status.workflow_id.clone_from(&on.workflow_id);
        }
        Run::Started(id) => {
            status.job_id = Some(id.to_string());
            status.request = None;
            if status.started_at.is_none() {
                status.started_at = Some(on.now.clone());
                status.workflow_id.clone_from(&on.workflow_id);
            }
            if matches!(
                status.phase,
                JobPhase::Pending | JobPhase::Waiting | JobPhase::Starting
            ) {
                status.phase = JobPhase::Scheduled;
            }
        }
    }
    if let Some(Sight::Running(Some(progress))) = &s.sight {
        status.documents = progress.documents;
        status.nodes = progress.nodes.iter().map(Into::into).collect();
    }
    if let Outcome::Ended(end) = outcome {
        status.documents = end.documents;
        status.nodes = end.nodes.iter().map(Into::into).collect();
        status.failed_files = end.failed_files.iter().map(Into::into).collect();
        status.failed_files_total = end.failed_total;
    }
    if status.phase.is_final() {
        status.finished_at = Some(on.now.clone());
    }
    status.conditions = conditions(previous, &outcome.row(s.overdue), status.phase, on);
    status
}

fn conditions(previous: &JobStatus, row: &Row, phase: JobPhase, on: &Occasion) -> Vec<Condition> {
    let succeeded = phase == JobPhase::Succeeded;
    let failed = phase.is_final() && !succeeded;
    let mut said = Verdicts::default();
    let ready = row.class == Class::Current && succeeded;
    said.headline(row.class, ready, row.reason, &row.message);
    for (kind, is) in [
        (ConditionType::Complete, succeeded),
        (ConditionType::Failed, failed),
    ] {
        said.say(kind, word(is), row.reason, &row.message);
    }
    let before = &previous.conditions;
    let stays = ConditionType::outlives_silence;
    said.conditions(before, on.generation, &on.now, stays)
}
