//! Which run came of a request whose answer was lost. Pure.

use jiff::Timestamp;

use super::situation::Newest;
use crate::crd::LastRun;
use crate::unstructured::{Job, JobId};

/// The run that was made last, as far as their times can be read.
pub fn newest(runs: &[Job]) -> Option<Newest> {
    let timed = runs.iter().filter_map(|run| {
        let (id, created_at) = (run.id, run.created_at?);
        Some(Newest { id, created_at })
    });
    timed.max_by_key(|run| (run.created_at, run.id))
}

/// The first of these runs that somebody asked for after the last one that was there before. Two times of the service are compared,
/// never one of its own with one of ours. A run whose time cannot be read may be it: to take it costs nothing, and to ask again does.
pub fn find<'a>(runs: impl Iterator<Item = &'a Job>, before: Option<&LastRun>) -> Option<JobId> {
    let last: Option<Timestamp> = before.and_then(|run| run.created_at.parse().ok());
    let is_later = |run: &&Job| match (run.created_at, last) {
        // Not every service writes fractions of a second.
        (Some(at), Some(last)) => at >= last,
        _ => true,
    };
    let is_last = |run: &&Job| before.is_some_and(|before| before.id == run.id.to_string());
    runs.filter(|run| !run.is_scheduled && !is_last(run))
        .filter(is_later)
        .min_by_key(|run| (run.state.is_final(), run.created_at, run.id))
        .map(|run| run.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unstructured::JobState;

    fn run(number: u8, second: Option<i64>) -> Job {
        Job {
            id: format!("00000000-0000-4000-8000-{number:012}")
                .parse()
                .unwrap(),
            workflow: "00000000-0000-4000-8000-000000000000".parse().unwrap(),
            state: JobState::Completed,
            created_at: second.map(|second| Timestamp::from_second(second).unwrap()),
            is_scheduled: false,
        }
    }

    fn found(runs: &[Job], before: &[Job]) -> Option<JobId> {
        let last = newest(before).map(|newest| LastRun {
            id: newest.id.to_string(),
            created_at: newest.created_at.to_string(),
        });
        find(runs.iter(), last.as_ref())
    }

    #[test]
    fn what_the_service_made_after_the_last_run_before_is_found_whatever_its_clock() {
        for epoch in [0, 4_000_000_000] {
            let [old, last, new] = [1, 2, 3].map(|n| run(n, Some(epoch + i64::from(n))));
            let before = [old.clone(), last.clone()];
            assert_eq!(found(&[last.clone(), old.clone()], &before), None);
            let all = [last.clone(), new.clone(), old.clone()];
            assert_eq!(found(&all, &before), Some(new.id));
            let same_second = run(4, last.created_at.map(Timestamp::as_second));
            let all = [last, same_second.clone(), old];
            assert_eq!(found(&all, &before), Some(same_second.id));
            assert_eq!(found(std::slice::from_ref(&new), &[]), Some(new.id));
        }
    }

    #[test]
    fn a_run_without_a_time_may_be_it_and_one_of_the_schedule_is_not() {
        let before = [run(1, Some(1))];
        assert_eq!(found(&[run(2, None)], &before), Some(run(2, None).id));
        let scheduled = Job {
            is_scheduled: true,
            ..run(2, Some(9))
        };
        assert_eq!(found(&[scheduled], &before), None);
    }
}
