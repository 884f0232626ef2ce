//! Where the service's behaviour towards workflows and jobs is not known for certain: one switch each.

use std::time::Duration;

use super::rules::Permission;

/// How workflows and jobs behave; [`Default`] is what is known of the service, or the likeliest guess.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct PipelineRules {
    /// Whether a workflow may name a source or a destination that is not there.
    pub missing_connector: Permission,
    /// In which order an answer shows a workflow's nodes.
    pub node_order: NodeOrder,
    /// Answers mask the settings that hold keys of others' services.
    pub masked_settings: bool,
    /// A list's `name` finds every workflow whose name has it as a part.
    pub name_is_part: bool,
    /// A PUT that does not name the schedule ends it.
    pub omitted_schedule_clears: bool,
    /// A PUT's `state` changes nothing.
    pub state_ignored: bool,
    /// What becomes of the active job of a workflow that is deleted.
    pub delete_while_active: DeleteWhileActive,
    /// Whether an inactive workflow can be run.
    pub run_inactive: Permission,
    /// Whether a run is taken while a job is active: then it is answered with 202 and nothing but a `detail`.
    pub run_while_active: Permission,
    /// How many polls each state of a job is shown for.
    pub polls_per_state: u32,
    /// Jobs have `created_at` with `Z` and no `runtime`, as since December 2025.
    pub zoned_job_times: bool,
    /// How far the service's clock is behind in what it says of jobs.
    pub clock_behind: Duration,
    /// For how long after its beginning no list shows a job.
    pub job_list_lag: Duration,
    /// The statuses of jobs are in lower case.
    pub lower_case_status: bool,
    /// What a cancel comes to.
    pub cancel: Cancel,
    /// Whether a job that has ended can be cancelled, to no effect.
    pub cancel_ended: Permission,
}

impl Default for PipelineRules {
    fn default() -> Self {
        Self {
            missing_connector: Permission::Refused(404),
            node_order: NodeOrder::Shuffled(0),
            masked_settings: false,
            name_is_part: false,
            omitted_schedule_clears: false,
            state_ignored: false,
            delete_while_active: DeleteWhileActive::GoesOn,
            run_inactive: Permission::Allowed,
            run_while_active: Permission::Allowed,
            polls_per_state: 1,
            zoned_job_times: false,
            clock_behind: Duration::ZERO,
            job_list_lag: Duration::ZERO,
            lower_case_status: false,
            cancel: Cancel::Honoured,
            cancel_ended: Permission::Allowed,
        }
    }
}

/// In which order an answer shows a workflow's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOrder {
    /// Another one than was sent, settled by this seed with every write.
    Shuffled(u64),
    /// As it was sent.
    Kept,
}

/// What becomes of the active job of a workflow that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteWhileActive {
    /// It goes on.
    GoesOn,
    /// It is cancelled.
    CancelsJob,
    /// Nothing: the delete gets this status.
    Refused(u16),
}

/// What a cancel comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// The job is shown as it was once more, then as stopped.
    Honoured,
    /// 404.
    NotFound,
    /// 200, but the job goes on.
    NeverStops,
}
