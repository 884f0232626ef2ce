//! Workflows and their runs, as the API shows them.

use std::collections::BTreeSet;

use secrecy::SecretString;

use crate::answers::SECRET;
use crate::config::Config;
use crate::elements::Elements;
use crate::ids::{JobId, WorkflowId};
use crate::jobs::details::{FailedFiles, JobDetails};
use crate::jobs::job::{self, Job, JobState};
use crate::scrub::Scrubber;
use crate::workflows::differences::Differences;
use crate::workflows::shown::Workflow;
use crate::workflows::spec::{Node, WorkflowSpec, WorkflowState};

/// Stands in the seeds.
const ID: &str = "7cf30ead-cf54-479f-a897-b5fbe8790b76";

/// Any body can be read as any success that concerns workflows and jobs, and shows no secret.
pub fn answer(body: &[u8], scrubber: &Scrubber) {
    let workflow: WorkflowId = ID.parse().expect("an id");
    let job: JobId = ID.parse().expect("an id");
    if let Ok(workflow) = Workflow::read(body) {
        assert!(workflow.size() > 0);
        assert!(matches!(Workflow::updated(body, &workflow.id), Ok(Some(_))));
        // The settings are shown as they are, to be compared; what is printed of them is their names.
        let _ = format!("{workflow:?}");
    }
    let failed = FailedFiles::read(body, scrubber).ok();
    if let Some(failed) = &failed {
        assert!(failed.files.len() <= failed.total.min(20));
    }
    let shown = format!(
        "{:?} {:?} {:?} {:?} {failed:?}",
        Job::listed(body, Some(&workflow), scrubber),
        Job::read_with_id(body, &job, scrubber),
        job::started(body, &workflow, scrubber),
        JobDetails::read(body, &job, scrubber),
    );
    assert!(!shown.contains(SECRET), "{shown}");
}

/// What is asked for as the first workflow is shown, compared with the second. Nothing tells a workflow from itself; no order of
/// nodes does; and what is shown is never both changed and dropped.
pub fn compared(asked: &[u8], shown: &[u8]) {
    let (Ok(asked), Ok(mut shown)) = (Workflow::read(asked), Workflow::read(shown)) else {
        return;
    };
    let mut spec = as_shown(&asked);
    assert_eq!(differences(&spec, &asked), Differences::default());
    let before = differences(&spec, &shown);
    shown.nodes.iter_mut().for_each(|nodes| nodes.reverse());
    let after = differences(&spec, &shown);
    assert_eq!(
        before.drift.is_empty(),
        after.drift.is_empty(),
        "{before:?}, {after:?}"
    );
    spec.nodes.reverse();
    let after = differences(&spec, &shown);
    assert_eq!(
        before.drift.is_empty(),
        after.drift.is_empty(),
        "{before:?}, {after:?}"
    );
}

/// A setting is either shown otherwise or not at all, unless several nodes of its name have one.
fn differences(spec: &WorkflowSpec, shown: &Workflow) -> Differences {
    let found = spec.differences(shown);
    let names: BTreeSet<_> = spec.nodes.iter().map(|node| &node.name).collect();
    if names.len() == spec.nodes.len() {
        assert!(found.drift.is_disjoint(&found.ignored), "{found:?}");
    }
    found
}

/// What is to be so that it is just as it is shown; null says nothing, and is not sent.
fn as_shown(shown: &Workflow) -> WorkflowSpec {
    let node = |node: &crate::workflows::shown::ShownNode| {
        let mut settings = Config::builder();
        for (name, value) in &node.settings {
            settings = settings.plain(name, value.clone());
        }
        Node {
            name: node.name.to_string(),
            node_type: node.node_type.to_string(),
            subtype: node.subtype.to_string(),
            settings: settings.build(),
        }
    };
    let inactive = shown
        .status
        .eq_ignore_ascii_case(WorkflowState::Inactive.as_str());
    WorkflowSpec {
        name: shown.name.to_string(),
        source: shown.sources.first().copied(),
        destination: shown.destinations.first().copied(),
        nodes: shown.nodes.iter().flatten().map(node).collect(),
        schedule: None,
        reprocess_all: shown.reprocess_all.unwrap_or_default(),
        state: if inactive {
            WorkflowState::Inactive
        } else {
            WorkflowState::Active
        },
    }
}

/// A list of runs that arrives in pieces of any size is the list that arrives at once, filtered by what was asked for, and bounded.
pub fn runs(body: &[u8], size: u8) {
    let workflow: WorkflowId = ID.parse().expect("an id");
    let scrubber = Scrubber::new(&[SecretString::from(SECRET)]);
    let read = |size: usize| {
        let mut elements = Elements::new(1 << 20);
        let mut jobs = Vec::new();
        for piece in body.chunks(size.max(1)) {
            let taken = elements.take(piece, |element| {
                jobs.extend(Job::listed(element, Some(&workflow), &scrubber)?);
                Ok::<_, crate::unreadable::Unreadable>(())
            });
            if taken.is_err() {
                return None;
            }
        }
        Some(jobs)
    };
    let jobs = read(usize::from(size));
    assert_eq!(format!("{jobs:?}"), format!("{:?}", read(body.len())));
    for job in jobs.iter().flatten() {
        assert_eq!(job.workflow, workflow);
        assert!(
            job.state.is_final()
                != matches!(
                    job.state,
                    JobState::Scheduled | JobState::InProgress | JobState::Other(_)
                )
        );
    }
}
