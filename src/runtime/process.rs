//! What the kernel says of this process, under the names that Prometheus client libraries agree on.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Reads /proc at each scrape; what cannot be read is left out.
#[derive(Debug)]
pub(super) struct Process;

/// Linux reports CPU time to user space in hundredths of a second on every architecture (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if let Some(bytes) = resident_memory() {
            let gauge = ConstGauge::new(bytes);
            gauge.encode(encoder.encode_descriptor(
                "process_resident_memory",
                "Resident memory",
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?)?;
        }
        if let Some(seconds) = cpu_time() {
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor(
                "process_cpu",
                "User and system CPU time spent",
                Some(&Unit::Seconds),
                MetricType::Counter,
            )?)?;
        }
        if let Some(seconds) = start_time() {
            let gauge = ConstGauge::new(seconds);
            gauge.encode(encoder.encode_descriptor(
                "process_start_time",
                "Start time of the process, since 1970",
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?)?;
        }
        for (name, help, count) in [
            ("process_open_fds", "Open file descriptors", open_files()),
            (
                "process_max_fds",
                "Maximum number of open file descriptors",
                most_files(),
            ),
        ] {
            if let Some(count) = count {
                let gauge = ConstGauge::new(count);
                gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
            }
        }
        Ok(())
    }
}

/// Bytes, from the `VmRSS:  1234 kB` line of /proc/self/status.
fn resident_memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace()
        .next()?
        .parse::<i64>()
        .ok()?
        .checked_mul(1024)
}

/// Seconds, from fields 14 and 15 of /proc/self/stat.
fn cpu_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let user: u32 = field(&stat, 14)?.parse().ok()?;
    let system: u32 = field(&stat, 15)?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// Seconds since 1970: the machine's start, and then field 22 of /proc/self/stat.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = field(&stat, 22)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = machine
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .parse()
        .ok()?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

/// A field of /proc/self/stat, numbered from 1 as in its manual. Field 2, the command, is in parentheses and may hold spaces.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, after_command) = stat.rsplit_once(')')?;
    after_command.split_whitespace().nth(number.checked_sub(3)?)
}

fn open_files() -> Option<i64> {
    // Without the one that reads the directory.
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?).ok()
}

/// The soft limit, from the `Max open files` line of /proc/self/limits.
fn most_files() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    // "unlimited" is no number, and no limit.
    line.split_whitespace().next()?.parse().ok()
}
