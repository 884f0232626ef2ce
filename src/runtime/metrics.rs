//! What Prometheus sees. Every label takes one of a few values that are fixed at compile time: an enum of this file or a
//! `&'static str`. No message, no URL is ever a label, and an object's name only where [`RunMetrics`] counts by workflow.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

use super::process::Process;
use super::run_metrics::RunMetrics;

/// The exposition format of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Nothing is left to do.
    Settled,
    /// Went as far as it could; waits for time, a check or another event.
    Waiting,
    /// Somebody else wrote first; runs again with what they wrote.
    Conflict,
    /// Failed; is retried with backoff.
    Failed,
    /// Failed, and only a change of the resource, a Secret or a setting helps.
    Stalled,
    /// Dropped half-way: leadership or the process ended.
    Abandoned,
    /// Panicked; was caught.
    Panicked,
}

impl ReconcileResult {
    const ALL: [Self; 7] = [
        Self::Settled,
        Self::Waiting,
        Self::Conflict,
        Self::Failed,
        Self::Stalled,
        Self::Abandoned,
        Self::Panicked,
    ];

    /// The word for it, in metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Waiting => "waiting",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::Abandoned => "abandoned",
            Self::Panicked => "panicked",
        }
    }

    /// Whether somebody might want to know why.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Stalled | Self::Panicked)
    }
}

/// What the system that credentials belong to said about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// They are good.
    Accepted,
    /// They are definitely not good.
    Rejected,
    /// Anything else; says nothing about the credentials.
    Inconclusive,
}

impl CheckResult {
    const fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One condition of a resource, as a group to count resources by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionState {
    /// The resource's kind, such as `DropboxSource`.
    pub kind: &'static str,
    /// The condition's type, such as `Ready`.
    pub condition: &'static str,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// The condition's reason, one of the documented enum.
    pub reason: &'static str,
}

/// All metrics. Cheap to clone; clones share their values.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

type Labels<const N: usize> = [(&'static str, &'static str); N];
type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Seconds = Gauge<f64, AtomicU64>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

struct Inner {
    registry: Registry,
    reconciles: Counters<2>,
    reconcile_duration: Histograms<1>,
    queue_depth: Gauges<1>,
    queue_oldest_age: Family<Labels<1>, Seconds>,
    api_requests: Counters<2>,
    api_request_duration: Histograms<1>,
    credential_checks: Counters<2>,
    resources: Gauges<4>,
    resource_states: Mutex<BTreeSet<ConditionState>>,
    orphans: Counter,
    duplicates_deleted: Counter,
    drift_corrected: Counter,
    leader: Gauge,
    leader_transitions: Counter,
    events_dropped: Counter,
    secret_to_update: Histogram,
    time_to_ready: Histogram,
    watch_errors: Counters<1>,
    paused_workspaces: Gauge,
    unclaimed_connectors: Gauge,
    stuck_deletions: Gauge,
    runs: RunMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A registry with every metric in it, each named `unstructured_operator_…` except the `process_…` ones.
    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(Process));
        let registry = root.sub_registry_with_prefix("unstructured_operator");
        registry.register(
            "build",
            "The running version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );

        // A reconcile at rest takes milliseconds; one that creates waits for the API, whose request timeout is 30 s by default.
        let reconcile_duration: Histograms<1> = Family::new_with_constructor(|| {
            Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
        });
        // Below 50 ms no API across the Internet answers; above 30 s the default timeout has ended the request.
        let api_request_duration: Histograms<1> = Family::new_with_constructor(|| {
            Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
        });
        // What people wait for: promised within seconds, bounded by the connection check's five minutes, alarming at ten.
        let waiting =
            || Histogram::new([1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0]);
        let (secret_to_update, time_to_ready) = (waiting(), waiting());

        let runs = RunMetrics::default();
        runs.register(registry);
        let mut metrics = Registrar(registry);
        Self(Arc::new(Inner {
            reconciles: metrics.add("reconciles", "Reconciles, by result"),
            queue_depth: metrics.add("queue_depth", "Resources waiting for a reconcile"),
            queue_oldest_age: metrics.add_seconds(
                "queue_oldest_age",
                "Age of the oldest entry in the queue",
                Family::default(),
            ),
            reconcile_duration: metrics.add_seconds(
                "reconcile_duration",
                "Duration of a reconcile",
                reconcile_duration,
            ),
            api_requests: metrics.add(
                "api_requests",
                "Requests to the Unstructured API, by outcome",
            ),
            api_request_duration: metrics.add_seconds(
                "api_request_duration",
                "Duration of a request to the Unstructured API",
                api_request_duration,
            ),
            credential_checks: metrics.add(
                "credential_checks",
                "Credentials checked with the provider that they belong to",
            ),
            resources: metrics.add("resources", "Resources, by condition"),
            resource_states: Mutex::default(),
            orphans: metrics.add(
                "orphans",
                "Connectors left behind because nothing could delete them",
            ),
            duplicates_deleted: metrics.add(
                "duplicates_deleted",
                "Connectors deleted because the resource had another one",
            ),
            drift_corrected: metrics.add(
                "drift_corrected",
                "Connectors corrected after somebody else changed them",
            ),
            leader: metrics.add("leader", "1 while this process leads, otherwise 0"),
            leader_transitions: metrics.add(
                "leader_transitions",
                "Times this process won or lost leadership",
            ),
            events_dropped: metrics.add("events_dropped", "Kubernetes events not written"),
            secret_to_update: metrics.add_seconds(
                "secret_to_update",
                "Time from a change of a Secret until the API accepts it",
                secret_to_update,
            ),
            time_to_ready: metrics.add_seconds(
                "time_to_ready",
                "Time from a resource's creation to its first Ready",
                time_to_ready,
            ),
            watch_errors: metrics.add("watch_errors", "Failures of watches on the Kubernetes API"),
            paused_workspaces: metrics
                .add("paused_workspaces", "Workspaces whose requests are paused"),
            unclaimed_connectors: metrics.add(
                "unclaimed_connectors",
                "Connectors with default names of this cluster that belong to no resource",
            ),
            stuck_deletions: metrics.add(
                "stuck_deletions",
                "Resources that the operator lacks permission to release",
            ),
            runs,
            registry: root,
        }))
    }

    /// What is counted of runs.
    pub fn runs(&self) -> &RunMetrics {
        &self.0.runs
    }

    /// There will be reconciles of `kind`. Every result is shown as zero from now on, or its first one would not be an increase.
    pub fn reconciles_of(&self, kind: &'static str) {
        for result in ReconcileResult::ALL {
            let labels = [("kind", kind), ("result", result.as_str())];
            self.0.reconciles.get_or_create(&labels).inc_by(0);
        }
    }

    /// A reconcile of a resource of `kind` ended as `result` after `duration`.
    pub fn reconciled(&self, kind: &'static str, result: ReconcileResult, duration: Duration) {
        self.0
            .reconciles
            .get_or_create(&[("kind", kind), ("result", result.as_str())])
            .inc();
        self.0
            .reconcile_duration
            .get_or_create(&[("kind", kind)])
            .observe(duration.as_secs_f64());
    }

    /// `depth` entries of this priority wait for a reconcile, the oldest one since `oldest_age`; zero if there is none.
    pub fn queue(&self, priority: &'static str, depth: usize, oldest_age: Duration) {
        let labels = [("priority", priority)];
        self.0.queue_depth.get_or_create(&labels).set(count(depth));
        self.0
            .queue_oldest_age
            .get_or_create(&labels)
            .set(oldest_age.as_secs_f64());
    }

    /// A request to the Unstructured API came to an end. `operation` is what was asked, such as `create_source`; `class` is
    /// what came of it, such as `success` or `rate_limited`.
    pub fn api_request(&self, operation: &'static str, class: &'static str, duration: Duration) {
        self.0
            .api_requests
            .get_or_create(&[("operation", operation), ("class", class)])
            .inc();
        self.0
            .api_request_duration
            .get_or_create(&[("operation", operation)])
            .observe(duration.as_secs_f64());
    }

    /// A provider, such as `dropbox`, was asked about credentials.
    pub fn credential_check(&self, provider: &'static str, result: CheckResult) {
        self.0
            .credential_checks
            .get_or_create(&[("provider", provider), ("result", result.label())])
            .inc();
    }

    /// How many resources are in each state now. States reported before and missing here fall to zero.
    pub fn resources(&self, counts: &BTreeMap<ConditionState, usize>) {
        let mut known = self
            .0
            .resource_states
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.extend(counts.keys());
        for state in known.iter() {
            let labels = [
                ("kind", state.kind),
                ("condition", state.condition),
                ("status", state.status),
                ("reason", state.reason),
            ];
            let resources = counts.get(state).copied().unwrap_or_default();
            self.0
                .resources
                .get_or_create(&labels)
                .set(count(resources));
        }
    }

    /// A connector was left behind: it may still exist and nobody is left to delete it.
    pub fn orphaned(&self) {
        self.0.orphans.inc();
    }

    /// A connector was deleted because its resource had another one.
    pub fn duplicate_deleted(&self) {
        self.0.duplicates_deleted.inc();
    }

    /// A connector that somebody else had changed was put right.
    pub fn drift_corrected(&self) {
        self.0.drift_corrected.inc();
    }

    /// This process now leads, or no longer does. Counts a transition when that is news.
    pub fn leading(&self, leads: bool) {
        if self.0.leader.set(leads.into()) != i64::from(leads) {
            self.0.leader_transitions.inc();
        }
    }

    /// A Kubernetes event was not written.
    pub fn event_dropped(&self) {
        self.0.events_dropped.inc();
    }

    /// The API accepted a configuration this long after the Secret in it had changed.
    pub fn secret_applied(&self, since_change: Duration) {
        self.0.secret_to_update.observe(since_change.as_secs_f64());
    }

    /// A resource became Ready for the first time this long after its creation.
    pub fn first_ready(&self, since_creation: Duration) {
        self.0.time_to_ready.observe(since_creation.as_secs_f64());
    }

    /// A watch failed and will be tried again. `watch` names what it watches, such as `secrets`.
    pub fn watch_failed(&self, watch: &'static str) {
        self.0.watch_errors.get_or_create(&[("watch", watch)]).inc();
    }

    /// So many workspaces have their requests held back now.
    pub fn paused_workspaces(&self, workspaces: usize) {
        self.0.paused_workspaces.set(count(workspaces));
    }

    /// So many connectors carry default names of this cluster and belong to no resource.
    pub fn unclaimed_connectors(&self, connectors: usize) {
        self.0.unclaimed_connectors.set(count(connectors));
    }

    /// So many resources cannot be let go for want of a right.
    pub fn stuck_deletions(&self, resources: usize) {
        self.0.stuck_deletions.set(count(resources));
    }

    /// Everything in the exposition format [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry).expect("writing to a String does not fail");
        text
    }
}

/// A gauge's value; no count here comes near the limit.
fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Registers a metric and hands it back, so that a metric is made, named and kept in one place.
struct Registrar<'a>(&'a mut Registry);

impl Registrar<'_> {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn add_seconds<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0
            .register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(metrics: &Metrics, series: &str) -> Option<String> {
        let text = metrics.encode();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(ToOwned::to_owned)
    }

    #[test]
    fn every_method_moves_the_series_that_its_name_promises() {
        let metrics = Metrics::new();
        let second = Duration::from_secs(1);
        metrics.reconciled("DropboxSource", ReconcileResult::Settled, second);
        metrics.queue("drift", 3, second);
        metrics.api_request("create_source", "success", second);
        metrics.credential_check("dropbox", CheckResult::Rejected);
        metrics.orphaned();
        metrics.duplicate_deleted();
        metrics.drift_corrected();
        metrics.leading(true);
        metrics.event_dropped();
        metrics.secret_applied(second);
        metrics.first_ready(second);
        metrics.watch_failed("secrets");
        metrics.paused_workspaces(2);
        metrics.unclaimed_connectors(3);
        metrics.stuck_deletions(1);
        for (series, expected) in [
            (
                r#"reconciles_total{kind="DropboxSource",result="settled"}"#,
                "1",
            ),
            (
                r#"reconcile_duration_seconds_sum{kind="DropboxSource"}"#,
                "1.0",
            ),
            (r#"queue_depth{priority="drift"}"#, "3"),
            (r#"queue_oldest_age_seconds{priority="drift"}"#, "1.0"),
            (
                r#"api_requests_total{operation="create_source",class="success"}"#,
                "1",
            ),
            (
                r#"api_request_duration_seconds_count{operation="create_source"}"#,
                "1",
            ),
            (
                r#"credential_checks_total{provider="dropbox",result="rejected"}"#,
                "1",
            ),
            ("orphans_total", "1"),
            ("duplicates_deleted_total", "1"),
            ("drift_corrected_total", "1"),
            ("leader", "1"),
            ("leader_transitions_total", "1"),
            ("events_dropped_total", "1"),
            ("secret_to_update_seconds_count", "1"),
            ("time_to_ready_seconds_count", "1"),
            (r#"watch_errors_total{watch="secrets"}"#, "1"),
            ("paused_workspaces", "2"),
            ("unclaimed_connectors", "3"),
            ("stuck_deletions", "1"),
            (
                concat!(
                    r#"build_info{version=""#,
                    env!("CARGO_PKG_VERSION"),
                    r#""}"#
                ),
                "1",
            ),
        ] {
            let found = value(&metrics, &format!("unstructured_operator_{series}"));
            assert_eq!(found.as_deref(), Some(expected), "{series}");
        }
    }

    #[test]
    fn the_first_panic_is_an_increase() {
        let metrics = Metrics::new();
        metrics.reconciles_of("DropboxSource");
        for result in ReconcileResult::ALL {
            let result = result.as_str();
            let series = format!(
                r#"unstructured_operator_reconciles_total{{kind="DropboxSource",result="{result}"}}"#
            );
            assert_eq!(value(&metrics, &series).as_deref(), Some("0"));
        }
    }

    #[test]
    fn a_state_that_no_resource_is_in_any_more_falls_to_zero() {
        let metrics = Metrics::new();
        let state = |status, reason| ConditionState {
            kind: "DropboxSource",
            condition: "Ready",
            status,
            reason,
        };
        metrics.resources(&BTreeMap::from([(state("False", "Forbidden"), 5)]));
        metrics.resources(&BTreeMap::from([(state("True", "Ready"), 4)]));
        let series = |status, reason| {
            let name = "unstructured_operator_resources";
            format!(
                r#"{name}{{kind="DropboxSource",condition="Ready",status="{status}",reason="{reason}"}}"#
            )
        };
        assert_eq!(
            value(&metrics, &series("False", "Forbidden")).as_deref(),
            Some("0")
        );
        assert_eq!(
            value(&metrics, &series("True", "Ready")).as_deref(),
            Some("4")
        );
    }

    #[test]
    fn only_a_change_of_leadership_is_a_transition() {
        let metrics = Metrics::new();
        for leads in [false, true, true, false, false] {
            metrics.leading(leads);
        }
        let transitions = value(&metrics, "unstructured_operator_leader_transitions_total");
        assert_eq!(transitions.as_deref(), Some("2"));
    }

    #[test]
    fn the_process_reports_what_every_prometheus_client_does() {
        let metrics = Metrics::new();
        let number = |series| value(&metrics, series).unwrap().parse::<f64>().unwrap();
        assert!(number("process_resident_memory_bytes") > 100_000.0);
        assert!(number("process_cpu_seconds_total") >= 0.0);
        assert!(number("process_open_fds") >= 3.0);
        assert!(number("process_max_fds") >= number("process_open_fds"));
        let age =
            crate::clock::now().as_duration().as_secs_f64() - number("process_start_time_seconds");
        assert!((-1.0..86_400.0).contains(&age), "{age}");
    }
}
