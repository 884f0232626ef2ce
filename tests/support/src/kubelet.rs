//! A stand-in for the kubelet and the scheduler: it runs the pods of one namespace as processes of this machine.
//!
//! What is real: the container's arguments and environment, its volumes under their own paths (Secrets, `ConfigMaps`, the
//! service account's projected token, all kept up to date), a read-only root file system, the pod's user without any
//! capability, probes, restarts as far as the pod's policy asks for them, SIGTERM with its grace period, and the pod's status, from
//! which Deployments, Jobs, disruption budgets and `helm --wait` take their truth. What is not: pulling (every pod gets the one [`Image`]), cgroups, seccomp, and the
//! network: a pod has a loopback address, which its process is told to listen on.
//!
//! It needs `unshare` of util-linux and user namespaces. Where a distribution forbids them to ordinary users, root still may.

mod container;
mod entries;
mod image;
mod volumes;

pub use image::Image;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use container::{Container, Sandbox};
use entries::Entries;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Binding, Container as Template, Node, Pod, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use volumes::Volumes;

use crate::controlplane::ControlPlane;

/// How often a pod's process, probes and volumes are looked at.
const BEAT: Duration = Duration::from_millis(200);

/// The stand-in. Dropping it kills the processes of its pods, as the loss of the node would, and leaves the pods as they are.
pub struct Kubelet {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    client: Client,
    api_server: (String, String),
    image: Image,
    directory: tempfile::TempDir,
    node: String,
    namespace: String,
    pushed: OnceLock<Vec<String>>,
    pods: Mutex<BTreeMap<String, Running>>,
}

/// A pod whose process has been started.
#[derive(Clone, Debug)]
pub struct Running {
    /// The process's id: the operator itself, not a wrapper around it.
    pub process: u32,
    /// Its address, such as `127.18.4.9`.
    pub address: String,
    /// Everything that it has printed, over all restarts.
    pub log: PathBuf,
    hangs: Arc<AtomicBool>,
}

impl Running {
    /// Stops the process where it stands, as a node does that hangs, kubelet and all: nobody probes it.
    pub fn pause(&self) -> Result<()> {
        self.hangs.store(true, Ordering::Relaxed);
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.hangs.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = Pid::from_raw(i32::try_from(self.process)?).context("process id 0")?;
        kill_process(process, signal).context("the process cannot be signalled")
    }
}

impl Kubelet {
    /// Registers a node and runs the pods of `namespace` on it from now on, all from `image`.
    pub async fn start(plane: &ControlPlane, namespace: &str, image: Image) -> Result<Self> {
        let client = plane.client()?;
        let node = format!("node-of-{namespace}");
        register(&client, &node).await?;
        let url = url::Url::parse(&plane.url())?;
        let shared = Arc::new(Shared {
            api_server: (
                url.host_str().context("a host")?.to_owned(),
                url.port_or_known_default().context("a port")?.to_string(),
            ),
            client,
            image,
            directory: tempfile::Builder::new().prefix("kubelet-").tempdir()?,
            node,
            namespace: namespace.to_owned(),
            pushed: OnceLock::new(),
            pods: Mutex::default(),
        });
        let task = tokio::spawn(follow(shared.clone()));
        Ok(Self { shared, task })
    }

    /// From now on, only images of these names can be pulled, as `registry/repository:tag`. Without it, all can.
    pub fn pulls_only(&self, images: &[&str]) {
        let images = images.iter().map(|&image| image.to_owned()).collect();
        let _ = self.shared.pushed.set(images);
    }

    /// The pods that have a process now, by name.
    pub fn pods(&self) -> BTreeMap<String, Running> {
        self.shared.pods().clone()
    }

    /// Everything that all pods have printed, also those that are gone.
    pub fn logs(&self) -> String {
        let entries = std::fs::read_dir(self.shared.directory.path())
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "log"))
            .filter_map(|entry| {
                let text = std::fs::read(entry.path()).ok()?;
                Some(format!(
                    "--- {}\n{}",
                    entry.file_name().display(),
                    String::from_utf8_lossy(&text)
                ))
            })
            .collect()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn pull(&self, image: &str) -> Result<()> {
        let name = image.split('@').next().unwrap_or_default();
        match self.pushed.get() {
            Some(pushed) if !pushed.iter().any(|known| known == name) => {
                bail!("ErrImagePull: nobody has pushed {image}")
            }
            _ => Ok(()),
        }
    }

    fn pods(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A node that is ready; nothing else is said of it, as nothing is scheduled by its figures.
async fn register(client: &Client, name: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    nodes.create(&PostParams::default(), &node).await?;
    let status = json!({ "status": { "conditions": [condition("Ready", true)] } });
    nodes
        .patch_status(name, &PatchParams::default(), &Patch::Strategic(status))
        .await?;
    Ok(())
}

/// One task for each pod, told of every change of it.
async fn follow(shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut known: BTreeMap<String, watch::Sender<Pod>> = BTreeMap::new();
    let mut events = std::pin::pin!(
        watcher(shared.api(), watcher::Config::default()).filter_map(async |event| event.ok())
    );
    while let Some(event) = events.next().await {
        let pod = match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => pod,
            watcher::Event::Delete(pod) => {
                known.remove(&pod.uid().unwrap_or_default());
                continue;
            }
            watcher::Event::Init | watcher::Event::InitDone => continue,
        };
        let uid = pod.uid().unwrap_or_default();
        if let Some(sender) = known.get(&uid) {
            sender.send_replace(pod);
            continue;
        }
        let (sender, receiver) = watch::channel(pod);
        known.insert(uid, sender);
        let shared = shared.clone();
        tasks.spawn(async move {
            let name = receiver.borrow().name_any();
            let mut worker = Worker::new(shared.clone(), receiver);
            while let Err(error) = worker.live().await {
                tracing::warn!(pod = name, "{error:#}");
                let waiting = json!({ "waiting": { "reason": "CreateContainerError", "message": format!("{error:#}") } });
                let _ = worker.report(false, &waiting).await;
                if worker.channel_closed() {
                    break;
                }
                tokio::time::sleep(BEAT).await;
            }
            shared.pods().remove(&name);
        });
    }
}

/// One pod, from its binding to its end.
struct Worker {
    shared: Arc<Shared>,
    pod: watch::Receiver<Pod>,
    address: String,
    restarts: u32,
    reported: Option<(bool, Value)>,
}

impl Worker {
    fn new(shared: Arc<Shared>, pod: watch::Receiver<Pod>) -> Self {
        let octet = || fastrand::u8(1..255);
        Self {
            shared,
            pod,
            address: format!("127.{}.{}.{}", octet(), octet(), octet()),
            restarts: 0,
            reported: None,
        }
    }

    fn channel_closed(&self) -> bool {
        self.pod.has_changed().is_err()
    }

    fn seen(&self) -> Pod {
        self.pod.borrow().clone()
    }

    fn is_deleted(&self) -> bool {
        self.pod.borrow().metadata.deletion_timestamp.is_some()
    }

    /// Runs the pod until it is deleted. After an error it can be called again.
    async fn live(&mut self) -> Result<()> {
        self.bind().await?;
        let pod = self.seen();
        let spec = pod.spec.clone().context("the pod has no spec")?;
        let [template] = spec.containers.as_slice() else {
            bail!("only pods with one container are run here");
        };
        let directory = self
            .shared
            .directory
            .path()
            .join(pod.uid().unwrap_or_default());
        self.shared
            .pull(template.image.as_deref().unwrap_or_default())?;
        loop {
            if self.is_deleted() {
                return self.gone().await;
            }
            let entries = Entries::new(&self.shared.client, &pod);
            let volumes = Volumes::write(entries.clone(), &pod, &directory).await?;
            let sandbox = Sandbox {
                image: &self.shared.image,
                directory: &directory,
                log: &self
                    .shared
                    .directory
                    .path()
                    .join(format!("{}.log", pod.name_any())),
                address: &self.address,
                api_server: &self.shared.api_server,
                node: &self.shared.node,
            };
            let mut container =
                Container::start(&entries, &pod, template, &volumes, &sandbox).await?;
            let hangs = Arc::new(AtomicBool::new(false));
            self.shared.pods().insert(
                pod.name_any(),
                Running {
                    process: container.id(),
                    address: self.address.clone(),
                    log: sandbox.log.to_owned(),
                    hangs: hangs.clone(),
                },
            );
            let started = json!({ "running": { "startedAt": Timestamp::now() } });
            let end = self
                .watch_over(&mut container, &volumes, template, &started, &hangs)
                .await?;
            if let End::Deleted = end {
                let grace = self
                    .pod
                    .borrow()
                    .metadata
                    .deletion_grace_period_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .unwrap_or(30);
                container.stop(Duration::from_secs(grace)).await?;
                return self.gone().await;
            }
            container.stop(Duration::from_secs(10)).await?;
            if let End::Exited(status) = end
                && ends_with_it(&spec, status)
            {
                return self.completed(status).await;
            }
            self.restarts += 1;
            let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
            self.report(false, &waiting).await?;
            tokio::time::sleep(BEAT * 5).await;
        }
    }

    /// Tells how the pod ended, and waits until it is deleted.
    async fn completed(&mut self, status: ExitStatus) -> Result<()> {
        self.shared.pods().remove(&self.seen().name_any());
        let code = status.code().unwrap_or(255);
        let end = json!({ "terminated": { "exitCode": code, "finishedAt": Timestamp::now() } });
        self.report(false, &end).await?;
        while !self.is_deleted() && self.pod.changed().await.is_ok() {}
        self.gone().await
    }

    /// Puts the pod on our node, as the scheduler would.
    async fn bind(&self) -> Result<()> {
        let pod = self.seen();
        if pod
            .spec
            .as_ref()
            .is_some_and(|spec| spec.node_name.is_some())
        {
            return Ok(());
        }
        let binding: Binding = serde_json::from_value(json!({
            "metadata": { "name": pod.name_any(), "uid": pod.uid() },
            "target": { "apiVersion": "v1", "kind": "Node", "name": self.shared.node },
        }))?;
        let bound = self
            .shared
            .api()
            .create_subresource::<Binding, Value>(
                "binding",
                &pod.name_any(),
                &PostParams::default(),
                &binding,
            )
            .await;
        match bound {
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                Ok(())
            }
            answer => Ok(answer.map(drop)?),
        }
    }

    /// Probes the container, keeps its volumes up to date and tells of it all in the pod's status.
    async fn watch_over(
        &mut self,
        container: &mut Container,
        volumes: &Volumes,
        template: &Template,
        started: &Value,
        hangs: &AtomicBool,
    ) -> Result<End> {
        let mut readiness = Prober::new(template, template.readiness_probe.as_ref(), false);
        let mut liveness = Prober::new(template, template.liveness_probe.as_ref(), true);
        loop {
            if hangs.load(Ordering::Relaxed) {
                tokio::time::sleep(BEAT).await;
                continue;
            }
            if self.is_deleted() {
                return Ok(End::Deleted);
            }
            if let Some(status) = container.ended()? {
                tracing::warn!(%status, "the container ended");
                return Ok(End::Exited(status));
            }
            let ready = readiness.holds(&self.address).await;
            if !liveness.holds(&self.address).await {
                return Ok(End::Failed);
            }
            self.report(ready, started).await?;
            volumes.refresh().await?;
            // The change that matters is the deletion; a closed channel says the pod is gone already.
            let changed = tokio::time::timeout(BEAT, self.pod.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return Ok(End::Deleted);
            }
        }
    }

    /// Writes the pod's status unless it says so already.
    async fn report(&mut self, ready: bool, state: &Value) -> Result<()> {
        if self.reported.as_ref() == Some(&(ready, state.clone())) {
            return Ok(());
        }
        let pod = self.seen();
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let running = state.get("running").is_some();
        let containers: Vec<_> = containers
            .map(|container| {
                json!({
                    "name": container.name, "image": container.image, "imageID": container.image,
                    "containerID": format!("process://{}", self.restarts),
                    "ready": ready, "started": running, "restartCount": self.restarts, "state": state,
                })
            })
            .collect();
        let status = json!({ "status": {
            "phase": phase(state),
            "hostIP": "127.0.0.1", "podIP": self.address, "podIPs": [{ "ip": self.address }],
            "conditions": [condition("Initialized", true), condition("ContainersReady", ready), condition("Ready", ready)],
            "containerStatuses": containers,
        }});
        let params = PatchParams::default();
        let written = self
            .shared
            .api()
            .patch_status(&pod.name_any(), &params, &Patch::Strategic(status))
            .await;
        match written {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => {
                self.reported = Some((ready, state.clone()));
                Ok(())
            }
        }
    }

    /// Confirms that the pod's process is no more, which removes the pod.
    async fn gone(&self) -> Result<()> {
        let pod = self.seen();
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.shared.api().delete(&pod.name_any(), &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            answer => Ok(answer.map(drop)?),
        }
    }
}

enum End {
    /// The pod is to go.
    Deleted,
    /// The process ended.
    Exited(ExitStatus),
    /// The liveness probe failed too often.
    Failed,
}

/// Whether the pod ends with its process.
fn ends_with_it(spec: &PodSpec, status: ExitStatus) -> bool {
    match spec.restart_policy.as_deref() {
        Some("Never") => true,
        Some("OnFailure") => status.success(),
        _ => false,
    }
}

/// What the only container's state makes of the pod.
fn phase(state: &Value) -> &'static str {
    match state["terminated"]["exitCode"].as_i64() {
        Some(0) => "Succeeded",
        Some(_) => "Failed",
        None if state["running"].is_object() => "Running",
        None => "Pending",
    }
}

/// An HTTP probe with its period and thresholds.
struct Prober {
    target: Option<(u16, String)>,
    period: Duration,
    limit: Duration,
    threshold: u32,
    failures: u32,
    next: Instant,
    holds: bool,
}

impl Prober {
    /// `initially` is what holds before the first answer. Without a probe, the answer is always yes.
    fn new(container: &Template, probe: Option<&Probe>, initially: bool) -> Self {
        let seconds = |seconds: Option<i32>, default: u64| {
            Duration::from_secs(
                seconds
                    .and_then(|s| u64::try_from(s).ok())
                    .unwrap_or(default),
            )
        };
        let target = probe
            .and_then(|probe| probe.http_get.as_ref())
            .and_then(|get| {
                let port = match &get.port {
                    IntOrString::Int(port) => *port,
                    IntOrString::String(name) => container
                        .ports
                        .iter()
                        .flatten()
                        .find(|port| port.name.as_ref() == Some(name))
                        .map(|port| port.container_port)?,
                };
                Some((
                    u16::try_from(port).ok()?,
                    get.path.clone().unwrap_or_default(),
                ))
            });
        Self {
            holds: initially || target.is_none(),
            target,
            period: seconds(probe.and_then(|p| p.period_seconds), 10),
            limit: seconds(probe.and_then(|p| p.timeout_seconds), 1),
            threshold: probe
                .and_then(|p| p.failure_threshold)
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(3),
            failures: 0,
            next: Instant::now(),
        }
    }

    /// Asks if it is time to, and says what stands now. What has not come up yet is asked more often, as the kubelet does.
    async fn holds(&mut self, address: &str) -> bool {
        let Some((port, path)) = &self.target else {
            return true;
        };
        if Instant::now() < self.next {
            return self.holds;
        }
        let asked = reqwest::get(format!("http://{address}:{port}{path}"));
        let answer = tokio::time::timeout(self.limit, asked).await;
        if matches!(answer, Ok(Ok(answer)) if answer.status().is_success()) {
            self.failures = 0;
            self.holds = true;
        } else {
            self.failures += 1;
            self.holds &= self.failures < self.threshold;
        }
        self.next = Instant::now() + if self.holds { self.period } else { BEAT };
        if self.failures > 0 {
            self.next = Instant::now() + Duration::from_secs(1).min(self.period);
        }
        self.holds
    }
}

fn condition(kind: &str, holds: bool) -> Value {
    json!({
        "type": kind,
        "status": if holds { "True" } else { "False" },
        "lastTransitionTime": Timestamp::now(),
    })
}
