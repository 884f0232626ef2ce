//! What befalls the operators and the API server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use support::controlplane::Component;
use support::operator::{Operator, Settings};
use tokio::time::{Instant, sleep};

use super::users::surely;
use super::{Cluster, NAMESPACES};

const LEASE: &str = "unstructured-operator";
/// Longer than the Lease lasts, so that a stopped leader wakes to find another.
const LONG_STOP: Duration = Duration::from_secs(18);

#[derive(Clone, Copy, Debug)]
pub enum Disaster {
    KillLeader,
    KillAll,
    StopLeader(Duration),
    RestartApiServer,
}

/// A round of these comes in random order, then the next.
pub const OF_ALL: [Disaster; 10] = [
    Disaster::KillLeader,
    Disaster::KillLeader,
    Disaster::KillLeader,
    Disaster::KillLeader,
    Disaster::KillAll,
    Disaster::KillAll,
    Disaster::StopLeader(Duration::from_secs(3)),
    Disaster::StopLeader(LONG_STOP),
    Disaster::RestartApiServer,
    Disaster::RestartApiServer,
];

/// Those that no instance dies of.
pub const OF_KUBERNETES: [Disaster; 3] = [
    Disaster::StopLeader(Duration::from_secs(3)),
    Disaster::StopLeader(LONG_STOP),
    Disaster::RestartApiServer,
];

/// The instances of the operator, each a process.
pub struct Operators {
    settings: Settings,
    running: Vec<(String, Operator)>,
    started: usize,
    /// Of all that ever ran.
    pub logs: Vec<PathBuf>,
}

impl Operators {
    pub async fn start(settings: Settings, count: usize) -> Result<Self> {
        let mut operators = Self {
            settings,
            running: Vec::new(),
            started: 0,
            logs: Vec::new(),
        };
        for _ in 0..count {
            operators.launch().await?;
        }
        Ok(operators)
    }

    /// One disaster after the other, until the end. As many instances run afterwards as before.
    pub async fn suffer(
        &mut self,
        cluster: &Cluster,
        mut random: Rng,
        end: Instant,
        disasters: &[Disaster],
    ) -> Result<()> {
        let mut round = Vec::new();
        while Instant::now() < end {
            sleep(Duration::from_millis(random.u64(300..3_000))).await;
            if round.is_empty() {
                round.extend(disasters.iter().copied());
                random.shuffle(&mut round);
            }
            let Some(disaster) = round.pop() else {
                continue;
            };
            println!("{disaster:?}");
            match disaster {
                Disaster::KillLeader => {
                    let leader = self.leader(cluster).await?;
                    self.kill(cluster, leader).await?;
                    self.launch().await?;
                }
                Disaster::KillAll => {
                    let count = self.running.len();
                    for _ in 0..count {
                        self.kill(cluster, 0).await?;
                    }
                    for _ in 0..count {
                        self.launch().await?;
                    }
                }
                Disaster::StopLeader(duration) => {
                    let leader = self.leader(cluster).await?;
                    self.running[leader].1.pause()?;
                    sleep(duration).await;
                    self.running[leader].1.resume()?;
                }
                Disaster::RestartApiServer => cluster.plane.restart(Component::ApiServer).await?,
            }
        }
        Ok(())
    }

    /// The memory that all instances hold.
    pub async fn resident_bytes(&self) -> Result<f64> {
        let mut bytes = 0.0;
        for (_, operator) in &self.running {
            bytes += operator.metric("process_resident_memory_bytes").await?;
        }
        Ok(bytes)
    }

    async fn launch(&mut self) -> Result<()> {
        let name = format!("operator-{}", self.started);
        self.started += 1;
        let mut settings = self.settings.clone();
        settings
            .environment
            .push(("POD_NAME".to_owned(), name.clone()));
        let operator = Operator::start(&settings).await?;
        self.logs.push(operator.log().to_owned());
        self.running.push((name, operator));
        Ok(())
    }

    /// Kills an instance and, because a dead process cannot come back, gives its Lease away: so many a kill fits into a minute.
    /// That a Lease runs out by itself is what stopping is for.
    async fn kill(&mut self, cluster: &Cluster, index: usize) -> Result<()> {
        let (name, operator) = self.running.remove(index);
        operator.kill()?;
        let leases = leases(cluster);
        let Some(lease) = surely(async || leases.get(LEASE).await).await? else {
            return Ok(());
        };
        if holds(&lease, &name) {
            let version = lease.metadata.resource_version;
            let patch = Patch::Merge(json!({
                "metadata": { "resourceVersion": version }, "spec": { "holderIdentity": "" },
            }));
            surely(async || leases.patch(LEASE, &PatchParams::default(), &patch).await).await?;
        }
        Ok(())
    }

    /// The position of the instance that leads; the first when none does.
    async fn leader(&self, cluster: &Cluster) -> Result<usize> {
        let leases = leases(cluster);
        let lease = surely(async || leases.get(LEASE).await).await?;
        let leads =
            |(name, _): &(String, Operator)| lease.as_ref().is_some_and(|lease| holds(lease, name));
        Ok(self.running.iter().position(leads).unwrap_or(0))
    }
}

fn leases(cluster: &Cluster) -> Api<Lease> {
    Api::namespaced(cluster.client.clone(), NAMESPACES[0])
}

fn holds(lease: &Lease, name: &str) -> bool {
    let holder = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref());
    holder.is_some_and(|holder| holder.starts_with(&format!("{name}_")))
}
