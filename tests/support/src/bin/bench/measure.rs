//! What is counted, and where: CPU time and memory of a process by the kernel, requests to Kubernetes by the API server itself,
//! requests to Unstructured and Dropbox by the fakes.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::Request;
use kube::Client;
use support::fake::{FakeDropbox, FakeUnstructured, Recorded};

/// How often each thing happened.
pub type Counts = BTreeMap<String, u64>;

/// What both fakes have answered so far.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Answered>>);

#[derive(Default)]
struct Answered {
    requests: Counts,
    updates: Vec<Instant>,
}

impl Tally {
    /// Counts from now on.
    pub fn of(api: &FakeUnstructured, dropbox: &FakeDropbox) -> Self {
        let tally = Self::default();
        let (unstructured, asked) = (tally.clone(), tally.clone());
        api.on_answer(move |request| {
            let mut answered = unstructured.lock();
            let kind = kind(request);
            if kind == "PUT" {
                answered.updates.push(Instant::now());
            }
            *answered.requests.entry(kind).or_default() += 1;
        });
        dropbox.on_answer(move |request| {
            let kind = match request.path.as_str() {
                "/oauth2/token" => "grant",
                _ => "look",
            };
            let mut answered = asked.lock();
            *answered.requests.entry(kind.to_owned()).or_default() += 1;
        });
        tally
    }

    /// How many requests of this kind were answered.
    pub fn count(&self, kind: &str) -> u64 {
        self.lock().requests.get(kind).copied().unwrap_or_default()
    }

    /// When each update was accepted, those before the first `skip` left out.
    pub fn updates(&self, skip: u64) -> Vec<Instant> {
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.lock().updates.iter().skip(skip).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request is: of a source, unless it says of what.
fn kind(request: &Recorded) -> String {
    let mut path = request.path.trim_start_matches("/api/v1/").split('/');
    let (collection, id) = (path.next().unwrap_or_default(), path.next());
    let of = match collection {
        "sources" => "",
        other => other,
    };
    let what = match (id, path.next()) {
        (Some(""), _) => of,
        (_, Some("connection-check")) => "check",
        (_, Some(part)) => part,
        _ => of,
    };
    let verb = match (request.method.as_str(), id) {
        ("GET", Some("")) => "LIST",
        (method, _) => method,
    };
    format!("{verb} {what}").trim_end().to_owned()
}

/// What everything has cost so far.
pub struct Reading {
    /// When.
    pub at: Instant,
    /// CPU time of the operator.
    pub cpu: Duration,
    plane_cpu: Duration,
    /// Requests to Unstructured and Dropbox.
    pub requests: Counts,
    kubernetes: Counts,
    memory: Memory,
}

/// Resident memory of the operator in MB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Now.
    pub now: f64,
    /// The most since the process began.
    pub peak: f64,
}

/// What something has cost.
#[derive(Debug)]
pub struct Cost {
    /// How long it took.
    pub wall: Duration,
    /// CPU time of the operator.
    pub cpu: Duration,
    /// CPU time of etcd and the API server.
    pub plane_cpu: Duration,
    /// Requests to Unstructured and Dropbox.
    pub requests: Counts,
    /// Requests to Kubernetes.
    pub kubernetes: Counts,
    /// The operator's memory at the end.
    pub memory: Memory,
}

impl Reading {
    /// Reads all of it.
    pub async fn take(
        client: &Client,
        tally: &Tally,
        operator: Option<u32>,
        plane: &[u32],
    ) -> Result<Self> {
        let (cpu, memory) = match operator {
            Some(id) => (cpu_time(id)?, memory(id)?),
            None => Default::default(),
        };
        let plane_cpu = plane
            .iter()
            .map(|id| cpu_time(*id))
            .sum::<Result<Duration>>()?;
        let at = Instant::now();
        let requests = tally.lock().requests.clone();
        Ok(Self {
            at,
            cpu,
            plane_cpu,
            requests,
            kubernetes: kubernetes_requests(client).await?,
            memory,
        })
    }

    /// What happened from an earlier reading to this one.
    pub fn since(&self, earlier: &Self) -> Cost {
        Cost {
            wall: self.at - earlier.at,
            // A new process starts at nothing.
            cpu: self.cpu.checked_sub(earlier.cpu).unwrap_or(self.cpu),
            plane_cpu: self.plane_cpu.saturating_sub(earlier.plane_cpu),
            requests: difference(&self.requests, &earlier.requests),
            kubernetes: difference(&self.kubernetes, &earlier.kubernetes),
            memory: self.memory,
        }
    }
}

fn difference(now: &Counts, earlier: &Counts) -> Counts {
    let more = now.iter().map(|(name, count)| {
        let before = earlier.get(name).copied().unwrap_or_default();
        (name.clone(), count - before)
    });
    more.filter(|(_, count)| *count > 0).collect()
}

/// Requests that the API server has counted, as `PATCH dropboxsources/status`.
///
/// It does not say who asked. But of what is kept here, only the operator sends any: this program creates, deletes and watches
/// resources, and applies and creates Secrets; the controller manager does none of these.
async fn kubernetes_requests(client: &Client) -> Result<Counts> {
    const WRITES: &[&str] = &["GET", "PATCH", "APPLY", "PUT"];
    const OPERATORS: [(&str, &[&str]); 8] = [
        ("dropboxsources", WRITES),
        ("pineconedestinations", WRITES),
        ("unstructuredworkflows", WRITES),
        ("unstructuredjobs", WRITES),
        ("secrets", &["GET"]),
        ("customresourcedefinitions", &["GET"]),
        ("events", &["POST", "PATCH"]),
        ("leases", &["POST", "PUT", "PATCH"]),
    ];
    let metrics = client
        .request_text(Request::get("/metrics").body(Vec::new())?)
        .await?;
    let mut counts = Counts::new();
    let series = metrics.lines().filter_map(|line| {
        line.strip_prefix("apiserver_request_total{")?
            .split_once("} ")
    });
    for (labels, value) in series {
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value)
        };
        let (verb, resource) = (
            label("verb").unwrap_or_default(),
            label("resource").unwrap_or_default(),
        );
        if !OPERATORS
            .iter()
            .any(|(known, verbs)| *known == resource && verbs.contains(&verb))
        {
            continue;
        }
        let name = match label("subresource").unwrap_or_default() {
            "" => format!("{verb} {resource}"),
            subresource => format!("{verb} {resource}/{subresource}"),
        };
        *counts.entry(name).or_default() += value.parse::<u64>()?;
    }
    Ok(counts)
}

/// User and system time of a process. See proc(5): the kernel counts in hundredths of a second.
fn cpu_time(id: u32) -> Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let after_name = stat
        .rsplit_once(')')
        .context("no name in /proc/<id>/stat")?
        .1;
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u32 = ticks.filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    Ok(TICK * ticks)
}

fn memory(id: u32) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes / 1024.0)
    };
    Ok(Memory {
        now: megabytes("VmRSS:").unwrap_or_default(),
        peak: megabytes("VmHWM:").unwrap_or_default(),
    })
}
