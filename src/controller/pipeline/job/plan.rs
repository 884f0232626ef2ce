//! The decision: from what is known to the one next effect, or the end of the pass. Pure.

use super::outcome::Outcome;
use super::situation::{Asking, Effect, Run, Runs, Sight, Situation, Workflow};
use crate::crd::OnActive;
use crate::engine::outcome::Failure;
use crate::engine::turns;
use crate::unstructured::{ErrorKind, JobId};

/// What to do next.
pub type Step = turns::Step<Effect, Outcome>;

/// Decides the next step for a job.
pub fn plan(s: &Situation) -> Step {
    if s.going {
        return finalize(s);
    }
    if s.unrecorded {
        return Step::Act(Effect::Record);
    }
    if s.phase.is_final() {
        return Step::Rest(Outcome::Finished);
    }
    match &s.run {
        // A tool that replaces whole objects took it away: nothing would stop the run when the job is deleted.
        Run::Started(_) | Run::Asked(_) if !s.finalized => Step::Act(Effect::AddFinalizer),
        Run::Started(id) => follow(s, *id),
        Run::Asked(Asking::Recorded) => Step::Act(Effect::Run),
        Run::Asked(Asking::Refused) => refused(s),
        Run::Asked(stage) => recover(s, *stage),
        Run::None if s.copied => Step::Rest(Outcome::Copied),
        Run::None if s.ran_before => Step::Rest(Outcome::AlreadyRun),
        Run::None if s.cancel => Step::Rest(Outcome::CancelledUnstarted),
        Run::None => begin(s),
    }
}

/// Nothing was asked for yet: see that the run can begin and that no other is under way, then write down the intent.
fn begin(s: &Situation) -> Step {
    match &s.workflow {
        Workflow::Missing => return Step::Rest(Outcome::WorkflowMissing),
        Workflow::Gone => return Step::Rest(Outcome::WorkflowGone),
        Workflow::Unready(why) => return Step::Rest(Outcome::WorkflowUnready(why.clone())),
        Workflow::Ready => {}
    }
    if let Err(problem) = &s.workspace {
        return Step::Rest(Outcome::Blocked(problem.clone()));
    }
    if s.outrun {
        return match s.on_active {
            OnActive::Fail => Step::Rest(Outcome::Busy),
            OnActive::Wait | OnActive::Adopt => Step::Rest(Outcome::Waiting),
        };
    }
    let Some(runs) = &s.runs else {
        return Step::Act(Effect::LookAtRuns);
    };
    match (runs.active, s.on_active) {
        (Some(_), OnActive::Wait) => Step::Rest(Outcome::Waiting),
        (Some(_), OnActive::Fail) => Step::Rest(Outcome::Busy),
        (_, _) if !s.finalized => Step::Act(Effect::AddFinalizer),
        (Some(id), OnActive::Adopt) => Step::Act(Effect::Bind { id, adopted: true }),
        (None, _) => Step::Act(Effect::RecordIntent),
    }
}

/// Nothing came of the request. What the workflow's record says of it goes first: the job would be taken for one that was restored.
fn refused(s: &Situation) -> Step {
    let kind = s.refused.as_ref().and_then(Failure::kind);
    match (&s.refused, kind, &s.runs) {
        (Some(failure), Some(ErrorKind::Invalid { .. }), _) => {
            Step::Rest(Outcome::Refused(failure.to_string()))
        }
        // What stands before the service may have sent the request twice, and the second met the run of the first.
        (_, Some(ErrorKind::Conflict), None) => Step::Act(Effect::LookAtRuns),
        (_, Some(ErrorKind::Conflict), Some(Runs { ours: Some(id), .. })) => {
            Step::Act(Effect::Bind {
                id: *id,
                adopted: false,
            })
        }
        _ => Step::Act(Effect::Withdraw),
    }
}

/// The answer to the request is not on record: the run may be there, may come, or may not. Never ask again before that is known.
fn recover(s: &Situation, stage: Asking) -> Step {
    if let Some(outcome) = out_of_reach(s) {
        return Step::Rest(outcome);
    }
    // What there is by now may be the run of whoever goes first and has not put it on record yet.
    if s.outrun {
        return Step::Rest(Outcome::Waiting);
    }
    let Some(runs) = &s.runs else {
        return Step::Act(Effect::LookAtRuns);
    };
    match (runs.ours, stage) {
        (Some(id), _) => Step::Act(Effect::Bind { id, adopted: false }),
        (None, Asking::Settled) if s.workflow == Workflow::Gone => {
            Step::Rest(Outcome::WorkflowGone)
        }
        (None, Asking::Settled) if s.cancel => Step::Rest(Outcome::CancelledUnstarted),
        (None, Asking::Settled) => begin(s),
        (None, _) => Step::Rest(Outcome::Unsettled),
    }
}

/// Why nobody can look at a run, if so. In which workspace it is, only the workflow said.
fn out_of_reach(s: &Situation) -> Option<Outcome> {
    let problem = s.workspace.as_ref().err()?;
    Some(match s.workflow {
        Workflow::Gone => Outcome::WorkflowGone,
        _ => Outcome::Blocked(problem.clone()),
    })
}

/// The run is known: follow it to its end.
fn follow(s: &Situation, id: JobId) -> Step {
    if let Some(outcome) = out_of_reach(s) {
        return Step::Rest(outcome);
    }
    let stop = s.cancel || s.overdue;
    match &s.sight {
        None => Step::Act(Effect::LookAtRun(id)),
        Some(Sight::Gone) => Step::Rest(Outcome::RunGone),
        Some(Sight::Ended(end)) => Step::Rest(Outcome::Ended(end.clone())),
        Some(_) if stop && !s.cancelled => Step::Act(Effect::Cancel(id)),
        Some(_) if stop => Step::Rest(Outcome::Stopping),
        Some(Sight::Scheduled) => Step::Rest(Outcome::Scheduled),
        Some(Sight::Running(_)) => Step::Rest(Outcome::Running),
    }
}

/// A run that this job started is stopped before the job goes; a request that may still be carried out is waited for, as nobody
/// would stop what comes of it.
fn finalize(s: &Situation) -> Step {
    if !s.finalized {
        return Step::Rest(Outcome::Released);
    }
    let release = Step::Act(Effect::RemoveFinalizer);
    if s.phase.is_final() || s.workspace.is_err() {
        return release;
    }
    match &s.run {
        Run::None => release,
        Run::Started(_) if s.adopted => release,
        Run::Started(id) => match &s.sight {
            None if s.cancelled => release,
            None => Step::Act(Effect::LookAtRun(*id)),
            Some(Sight::Gone | Sight::Ended(_)) => release,
            Some(Sight::Scheduled | Sight::Running(_)) => Step::Act(Effect::Cancel(*id)),
        },
        Run::Asked(stage) => {
            let Some(runs) = &s.runs else {
                return Step::Act(Effect::LookAtRuns);
            };
            match (runs.ours, stage) {
                (Some(id), _) => Step::Act(Effect::Bind { id, adopted: false }),
                (None, Asking::Settled) => release,
                (None, _) => Step::Rest(Outcome::Unsettled),
            }
        }
    }
}
