//! The table, in Markdown, and the same for machines.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::measure::{Cost, Counts};

/// What one phase of one run has cost. Times are in seconds unless their names say otherwise.
#[derive(Clone, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub phase: String,
    /// With how many resources.
    pub resources: usize,
    /// How long the fake of Unstructured waited before each answer.
    pub latency_ms: u128,
    wall: f64,
    /// No operator could be faster.
    pub limit: Option<f64>,
    /// How long it took to make the resources themselves.
    applied: Option<f64>,
    /// Of the operator.
    pub cpu: f64,
    control_plane_cpu: f64,
    /// The machine's load average over the last minute, at the end.
    load: f64,
    memory_mb: f64,
    peak_memory_mb: f64,
    samples: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// To Unstructured and Dropbox.
    pub requests: Counts,
    /// To Kubernetes.
    pub kubernetes: Counts,
}

impl Row {
    /// The row of a phase.
    pub fn new(phase: &str, resources: usize, latency: Duration, cost: Cost) -> Self {
        Self {
            phase: phase.to_owned(),
            resources,
            latency_ms: latency.as_millis(),
            wall: cost.wall.as_secs_f64(),
            limit: None,
            applied: None,
            cpu: cost.cpu.as_secs_f64(),
            control_plane_cpu: cost.plane_cpu.as_secs_f64(),
            load: load(),
            memory_mb: cost.memory.now,
            peak_memory_mb: cost.memory.peak,
            samples: 0,
            p50_ms: None,
            p99_ms: None,
            requests: cost.requests,
            kubernetes: cost.kubernetes,
        }
    }

    /// Takes in how long it must take whoever does it.
    pub fn limited(&mut self, limit: Duration) {
        self.limit = Some(limit.as_secs_f64());
    }

    /// Takes in how long it took to make the resources.
    pub fn applied(&mut self, applied: Duration) {
        self.applied = Some(applied.as_secs_f64());
    }

    /// Takes in how long each of several things took.
    pub fn times(&mut self, mut times: Vec<Duration>) {
        times.sort_unstable();
        let quantile = |part: usize| {
            let position = (times.len() * part).div_ceil(100).saturating_sub(1);
            times.get(position).map(|time| time.as_secs_f64() * 1000.0)
        };
        (self.samples, self.p50_ms, self.p99_ms) = (times.len(), quantile(50), quantile(99));
    }

    /// One line of the table.
    pub fn summary(&self) -> String {
        let seconds =
            |time: Option<f64>| time.map_or_else(String::new, |time| format!("{time:.2}"));
        let milliseconds =
            |time: Option<f64>| time.map_or_else(String::new, |time| format!("{time:.0}"));
        [
            self.phase.clone(),
            self.resources.to_string(),
            self.latency_ms.to_string(),
            format!("{:.2}", self.wall),
            seconds(self.limit),
            seconds(self.applied),
            format!("{:.2}", self.cpu),
            format!("{:.2}", self.control_plane_cpu),
            show(&self.requests),
            show(&self.kubernetes),
            format!("{:.0} / {:.0}", self.memory_mb, self.peak_memory_mb),
            match self.samples {
                0 => String::new(),
                samples => format!(
                    "{} / {} ({samples})",
                    milliseconds(self.p50_ms),
                    milliseconds(self.p99_ms)
                ),
            },
            format!("{:.0}", self.load),
        ]
        .join(" | ")
    }
}

fn show(counts: &Counts) -> String {
    let counts: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    counts.join(", ")
}

fn load() -> f64 {
    let averages = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = averages.split_whitespace().next();
    first.and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The whole table.
pub fn render(rows: &[Row]) -> String {
    let header = [
        "phase",
        "resources",
        "latency ms",
        "wall s",
        "limit s",
        "applied s",
        "CPU s",
        "control plane CPU s",
        "API requests",
        "Kubernetes requests",
        "memory MB, now / peak",
        "ms, p50 / p99 (samples)",
        "load",
    ];
    let rule = vec!["---"; header.len()].join(" | ");
    let rows = rows.iter().map(|row| format!("| {} |", row.summary()));
    [format!("| {} |", header.join(" | ")), format!("| {rule} |")]
        .into_iter()
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}
