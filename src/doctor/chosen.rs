//! Which of the resources are examined: those of a name, each with all that it stands on, or all.

use std::collections::BTreeSet;

use kube::ResourceExt;

use super::listing::Listed;
use super::patient::key;
use crate::controller::pipeline::references;
use crate::crd::{JOB, UnstructuredJob, UnstructuredWorkflow, WORKFLOW};
use crate::engine::key::Key;
use crate::kinds::Resource;

/// What is examined, in the order in which one stands on the other.
pub(super) struct Chosen<'a> {
    pub resources: Vec<&'a Resource>,
    pub workflows: Vec<&'a UnstructuredWorkflow>,
    pub jobs: Vec<&'a UnstructuredJob>,
}

impl<'a> Chosen<'a> {
    /// Everything of this name and what it stands on; without one, everything.
    pub fn of(listed: &'a Listed, name: Option<&str>) -> Self {
        let is_named = |key: &Key| name.is_none_or(|name| *key.name == *name);
        let mut wanted = BTreeSet::new();
        let jobs: Vec<_> = listed
            .jobs
            .iter()
            .filter(|job| is_named(&key(JOB, &job.metadata)))
            .collect();
        wanted.extend(jobs.iter().map(|job| workflow_of(job)));
        let workflows: Vec<_> = listed
            .workflows
            .iter()
            .filter(|workflow| {
                let key = key(WORKFLOW, &workflow.metadata);
                is_named(&key) || wanted.contains(&key)
            })
            .collect();
        wanted.extend(workflows.iter().flat_map(|flow| references::of(flow)));
        let resources = listed.resources.iter().filter(|resource| {
            let key = resource.key();
            is_named(&key) || wanted.contains(&key)
        });
        Self {
            resources: resources.collect(),
            workflows,
            jobs,
        }
    }

    /// Whether there is nothing to examine.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.workflows.is_empty() && self.jobs.is_empty()
    }
}

impl Listed {
    /// The names of all that are there.
    pub fn names(&self) -> Vec<String> {
        let resources = self.resources.iter().map(ResourceExt::name_any);
        let workflows = self.workflows.iter().map(ResourceExt::name_any);
        let jobs = self.jobs.iter().map(ResourceExt::name_any);
        let names: BTreeSet<_> = resources.chain(workflows).chain(jobs).collect();
        names.into_iter().collect()
    }

    /// The workflow that a job runs, if it is there.
    pub fn workflow_of(&self, job: &UnstructuredJob) -> Option<&UnstructuredWorkflow> {
        let wanted = workflow_of(job);
        let mut workflows = self.workflows.iter();
        workflows.find(|workflow| key(WORKFLOW, &workflow.metadata) == wanted)
    }
}

fn workflow_of(job: &UnstructuredJob) -> Key {
    let namespace = job.namespace().unwrap_or_default();
    Key::new(WORKFLOW, &namespace, &job.spec.workflow_ref.name)
}
