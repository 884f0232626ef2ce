//! What is counted of runs, by workflow.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Namespace and name of a workflow, and one more word where there is one.
type Labels = Vec<(&'static str, String)>;

/// The metrics of runs.
#[derive(Clone, Default)]
pub struct RunMetrics {
    jobs: Family<Labels, Counter>,
    runs: Family<Labels, Counter>,
    documents: Family<Labels, Counter>,
    last_run: Family<Labels, Gauge>,
    last_success: Family<Labels, Gauge>,
    failures: Family<Labels, Gauge>,
}

/// A run that has ended.
pub struct EndedRun<'a> {
    /// Its workflow's namespace.
    pub namespace: &'a str,
    /// Its workflow's name.
    pub workflow: &'a str,
    /// How it ended.
    pub phase: &'static str,
    /// Documents that came through, and that failed.
    pub documents: (u64, u64),
    /// Runs in a row that failed.
    pub failures: u32,
    /// When the end was seen, in seconds since 1970.
    pub at: i64,
}

/// What is on record of the runs of a workflow; times in seconds since 1970.
pub struct Past {
    /// Runs in a row that failed.
    pub failures: u32,
    /// When the end of one was last seen.
    pub last_run: Option<i64>,
    /// When the end of one without a failure was last seen.
    pub last_success: Option<i64>,
}

impl RunMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self {
            jobs,
            runs,
            documents,
            last_run,
            last_success,
            failures,
        } = self;
        registry.register(
            "jobs_finished",
            "UnstructuredJobs that finished, by phase",
            jobs.clone(),
        );
        registry.register(
            "runs",
            "Runs of a workflow that the operator saw end, by phase",
            runs.clone(),
        );
        registry.register(
            "documents",
            "Documents of the runs of a workflow, by result",
            documents.clone(),
        );
        registry.register_with_unit(
            "last_run_timestamp",
            "Time when the operator last saw a run of the workflow end, since 1970",
            Unit::Seconds,
            last_run.clone(),
        );
        registry.register_with_unit(
            "last_success_timestamp",
            "Time when the operator last saw a run of the workflow end without a failure, since 1970",
            Unit::Seconds,
            last_success.clone(),
        );
        registry.register(
            "consecutive_failed_runs",
            "Runs of the workflow that failed in a row",
            failures.clone(),
        );
    }

    /// An `UnstructuredJob` has ended in this phase.
    pub fn job_finished(&self, namespace: &str, workflow: &str, phase: &'static str) {
        let labels = labels(namespace, workflow, Some(("phase", phase)));
        self.jobs.get_or_create(&labels).inc();
    }

    /// What a workflow's status says of its runs, so that a new leader counts on from there.
    pub fn known(&self, namespace: &str, workflow: &str, past: &Past) {
        let labels = labels(namespace, workflow, None);
        for (gauge, at) in [
            (&self.last_run, past.last_run),
            (&self.last_success, past.last_success),
        ] {
            if let Some(at) = at {
                gauge.get_or_create(&labels).set(at);
            }
        }
        if past.last_run.is_some() {
            let failures = i64::from(past.failures);
            self.failures.get_or_create(&labels).set(failures);
        }
    }

    /// A workflow is gone: nothing is said of its runs any more, or an alert on them would never end.
    pub fn forget(&self, namespace: &str, workflow: &str) {
        let labels = labels(namespace, workflow, None);
        for gauge in [&self.last_run, &self.last_success, &self.failures] {
            gauge.remove(&labels);
        }
    }

    /// A run of a workflow was seen to have ended.
    pub fn run_ended(&self, run: &EndedRun<'_>) {
        let of = |more| labels(run.namespace, run.workflow, more);
        self.runs
            .get_or_create(&of(Some(("phase", run.phase))))
            .inc();
        let (succeeded, failed) = run.documents;
        for (result, count) in [("succeeded", succeeded), ("failed", failed)] {
            let labels = of(Some(("result", result)));
            self.documents.get_or_create(&labels).inc_by(count);
        }
        self.last_run.get_or_create(&of(None)).set(run.at);
        if run.failures == 0 {
            self.last_success.get_or_create(&of(None)).set(run.at);
        }
        self.failures
            .get_or_create(&of(None))
            .set(i64::from(run.failures));
    }
}

fn labels(namespace: &str, workflow: &str, more: Option<(&'static str, &'static str)>) -> Labels {
    let mut labels = vec![
        ("namespace", namespace.to_owned()),
        ("workflow", workflow.to_owned()),
    ];
    labels.extend(more.map(|(name, value)| (name, value.to_owned())));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leader_counts_on_and_a_workflow_that_is_gone_is_forgotten() {
        let mut registry = Registry::default();
        let metrics = RunMetrics::default();
        metrics.register(&mut registry);
        let shown = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).map(|()| text)
        };
        let past = Past {
            failures: 2,
            last_run: Some(20),
            last_success: Some(10),
        };
        metrics.known("legal", "flow", &past);
        let text = shown().unwrap_or_default();
        for (gauge, value) in [
            ("consecutive_failed_runs", 2),
            ("last_run_timestamp_seconds", 20),
            ("last_success_timestamp_seconds", 10),
        ] {
            let line = format!("{gauge}{{namespace=\"legal\",workflow=\"flow\"}} {value}\n");
            assert!(text.contains(&line), "{text}");
        }
        metrics.forget("legal", "flow");
        assert!(!shown().unwrap_or_default().contains("legal"));

        let none = Past {
            failures: 0,
            last_run: None,
            last_success: None,
        };
        metrics.known("legal", "new", &none);
        assert!(!shown().unwrap_or_default().contains("legal"));
    }
}
