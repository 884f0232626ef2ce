//! A real Kubernetes control plane for tests: etcd, kube-apiserver and
//! kube-controller-manager as processes on loopback, with RBAC, admission and
//! service-account tokens as in any cluster. It has no nodes, so no Pod runs.
//!
//! The processes form one process group, led by a watchdog that ends the group
//! when its standard input closes. The system closes it when the process that
//! started the control plane ends, however it ends, so nothing is left behind.

mod binaries;
mod credentials;

pub use binaries::{Binaries, Program};

use anyhow::{Context, Result, anyhow, bail};
use credentials::Credentials;
use http::Request;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{Read, Write},
    net::TcpListener,
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// Generous: a machine that builds at the same time is many times slower.
const START_LIMIT: Duration = Duration::from_secs(90);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 15;

/// Ends its own process group, itself included, at the end of its input. The
/// directory goes first, because nobody is left to do it afterwards.
const WATCHDOG: &str = r#"cat >/dev/null; rm -rf -- "$1"; kill -s KILL 0"#;

/// The controllers that act without nodes. Those for nodes, volumes and
/// quotas would only add to the time that a start takes.
const CONTROLLERS: [&str; 14] = [
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
];

/// A process of the control plane.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Component {
    /// The database. Its data outlives a kill.
    Etcd,
    /// The API server.
    ApiServer,
    /// The built-in controllers, garbage collection among them.
    ControllerManager,
}

impl Component {
    fn program(self) -> Program {
        match self {
            Self::Etcd => Program::Etcd,
            Self::ApiServer => Program::ApiServer,
            Self::ControllerManager => Program::ControllerManager,
        }
    }

    fn name(self) -> &'static str {
        self.program().name()
    }
}

/// A running control plane. Dropping it ends its processes and removes its data.
///
/// Nothing in it belongs to a Tokio runtime, so tests with runtimes of their own
/// can share one.
#[derive(Debug)]
pub struct ControlPlane {
    binaries: Binaries,
    directory: PathBuf,
    credentials: Credentials,
    ports: Ports,
    config: Config,
    processes: Mutex<BTreeMap<Component, Child>>,
    watchdog: Watchdog,
}

impl ControlPlane {
    /// Starts a control plane of its own for the caller and waits until it can
    /// be used: the API server is ready and the `default` namespace has its
    /// service account.
    pub async fn start() -> Result<Self> {
        const ATTEMPTS: usize = 3;

        // Whoever installed a provider before has chosen; that is fine here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binaries = Binaries::find().await?;
        for _ in 1..ATTEMPTS {
            match Self::start_once(binaries.clone()).await {
                // Somebody took a port between our look and our use of it.
                Err(error) if format!("{error:#}").contains("address already in use") => {}
                outcome => return outcome,
            }
        }
        Self::start_once(binaries).await
    }

    /// The control plane that all tests of this process share, started for the
    /// first that asks. If it does not start, every one gets the same error at
    /// once. Tests that stop or pause components need one of their own.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
        SHARED
            .get_or_init(async || Self::start().await.map_err(|error| format!("{error:#}")))
            .await
            .as_ref()
            .map_err(|error| anyhow!("{error}"))
    }

    /// The administrator's kubeconfig. It refers to no other file.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.credentials.kubeconfig
    }

    /// Where the logs of the components lie, each as `<name>.log`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The address of the API server, which a restart does not change.
    pub fn url(&self) -> String {
        self.ports.api_server_url()
    }

    /// How the administrator's client is configured.
    pub fn client_config(&self) -> Config {
        self.config.clone()
    }

    /// A new client for the administrator. It belongs to the current runtime, so
    /// each test needs its own.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config.clone())?)
    }

    /// A `kubectl` command for the administrator, with nothing of the user's own
    /// configuration in it.
    pub fn kubectl(&self) -> tokio::process::Command {
        self.tool(Program::Kubectl)
    }

    /// A `helm` command for the administrator, with nothing of the user's own
    /// configuration in it.
    pub fn helm(&self) -> tokio::process::Command {
        self.tool(Program::Helm)
    }

    /// The authority that issued [`Self::server_certificate`]: what its clients have to trust.
    pub fn authority(&self) -> &Path {
        &self.credentials.authority
    }

    /// A certificate for servers on 127.0.0.1, and its key.
    pub fn server_certificate(&self) -> (&Path, &Path) {
        let files = &self.credentials;
        (&files.server_certificate, &files.server_key)
    }

    /// Runs a program that has to end with the control plane, however that ends. What it prints goes to `<name>.log` beside the
    /// logs of the components.
    pub fn companion(&self, name: &str, mut command: Command) -> Result<Child> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join(format!("{name}.log")))?;
        command
            .process_group(self.watchdog.group()?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {name}"))
    }

    /// The program that is Helm when it is called by that name.
    pub fn helm_program(&self) -> PathBuf {
        self.binaries.command(Program::Helm).get_program().into()
    }

    /// Kills a component as a crash would, without a chance to clean up.
    pub fn kill(&self, component: Component) -> Result<()> {
        let mut process = self
            .processes()
            .remove(&component)
            .with_context(|| format!("{} is not running", component.name()))?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Starts a killed component again, on its old port, and waits until it is
    /// ready.
    pub async fn launch(&self, component: Component) -> Result<()> {
        self.spawn(component)?;
        match component {
            Component::Etcd => {
                let socket = self.etcd_socket();
                self.ready(component, async || {
                    Ok(UnixStream::connect(&socket).map(drop)?)
                })
                .await
            }
            Component::ApiServer => self.healthy(component, self.client()?, "/readyz").await,
            Component::ControllerManager => {
                let mut config = self.client_config();
                config.cluster_url = self.ports.controller_manager_url().parse()?;
                self.healthy(component, Client::try_from(config)?, "/healthz")
                    .await
            }
        }
    }

    /// Kills a component, starts it again and waits until it is ready.
    pub async fn restart(&self, component: Component) -> Result<()> {
        self.kill(component)?;
        self.launch(component).await
    }

    /// Has nobody remember any version but the present one: a watch that goes
    /// on from an earlier one gets 410. The API server is restarted for it.
    pub async fn forget_history(&self) -> Result<()> {
        self.kill(Component::ApiServer)?;
        let everything = json!({ "key": "AA==", "range_end": "AA==", "count_only": true });
        let answer = self.ask_etcd("/v3/kv/range", &everything)?;
        let compaction = json!({ "revision": answer["header"]["revision"], "physical": true });
        self.ask_etcd("/v3/kv/compaction", &compaction)?;
        self.launch(Component::ApiServer).await
    }

    /// One call of etcd's JSON interface.
    fn ask_etcd(&self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let length = body.len();
        let mut socket = UnixStream::connect(self.etcd_socket())?;
        write!(
            socket,
            "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if !head.contains(" 200 ") {
            bail!("etcd refuses {path}: {answer}");
        }
        Ok(serde_json::from_str(body)?)
    }

    /// Stops a component in its tracks: connections stay open and nobody answers.
    pub fn pause(&self, component: Component) -> Result<()> {
        self.signal(component, Signal::STOP)
    }

    /// Lets a paused component go on.
    pub fn resume(&self, component: Component) -> Result<()> {
        self.signal(component, Signal::CONT)
    }

    /// The process of a component, for those who want to look at it.
    pub fn process_id(&self, component: Component) -> Option<u32> {
        self.processes().get(&component).map(Child::id)
    }

    async fn start_once(binaries: Binaries) -> Result<Self> {
        let ports = Ports::pick()?;
        let directory = tempfile::Builder::new().prefix("controlplane-").tempdir()?;
        let credentials = Credentials::create(directory.path(), &ports.api_server_url())?;
        let config = client_config(&credentials.kubeconfig).await?;
        let watchdog = Watchdog::start(directory.path())?;
        let plane = Self {
            binaries,
            // From here on the watchdog removes it.
            directory: directory.keep(),
            credentials,
            ports,
            config,
            processes: Mutex::default(),
            watchdog,
        };
        for component in [
            Component::Etcd,
            Component::ApiServer,
            Component::ControllerManager,
        ] {
            plane.launch(component).await?;
        }
        plane.can_run_pods().await?;
        Ok(plane)
    }

    /// Waits for the service account without which no Pod is admitted: it shows
    /// that the controllers do work, not only run.
    async fn can_run_pods(&self) -> Result<()> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client()?, "default");
        self.ready(Component::ControllerManager, async || {
            accounts.get("default").await?;
            Ok(())
        })
        .await
    }

    async fn healthy(&self, component: Component, client: Client, path: &str) -> Result<()> {
        self.ready(component, async || {
            client
                .request_text(Request::get(path).body(Vec::new())?)
                .await?;
            Ok(())
        })
        .await
    }

    /// Repeats `probe` until it succeeds, the component ends or time is up.
    async fn ready(&self, component: Component, probe: impl AsyncFn() -> Result<()>) -> Result<()> {
        let name = component.name();
        let started = Instant::now();
        loop {
            let outcome = tokio::time::timeout(PROBE_LIMIT, probe()).await;
            let problem = match outcome {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("no answer within {PROBE_LIMIT:?}"),
            };
            if let Some(process) = self.processes().get_mut(&component)
                && let Some(status) = process.try_wait()?
            {
                bail!(
                    "{name} ended with {status}; its log ends:\n{}",
                    self.log_end(component)
                );
            }
            if started.elapsed() > START_LIMIT {
                bail!(
                    "{name} is not ready after {START_LIMIT:?}: {problem:#}; its log ends:\n{}",
                    self.log_end(component)
                );
            }
            tokio::time::sleep(PROBE_EVERY).await;
        }
    }

    fn spawn(&self, component: Component) -> Result<()> {
        let mut processes = self.processes();
        let name = component.name();
        if processes.contains_key(&component) {
            bail!("{name} was started already");
        }
        let mut command = self.binaries.command(component.program());
        command.args(self.arguments(component));
        let process = self.companion(name, command)?;
        processes.insert(component, process);
        Ok(())
    }

    fn arguments(&self, component: Component) -> Vec<String> {
        match component {
            Component::Etcd => self.etcd_arguments(),
            Component::ApiServer => self.api_server_arguments(),
            Component::ControllerManager => self.controller_manager_arguments(),
        }
    }

    fn etcd_arguments(&self) -> Vec<String> {
        let clients = format!("unix://{}", self.etcd_socket().display());
        let peers = format!("unix://{}", self.directory.join("peer.sock").display());
        vec![
            format!("--data-dir={}", self.directory.join("etcd").display()),
            format!("--listen-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            // The only member advertises itself to nobody; older versions insist on a host and a port.
            "--advertise-client-urls=http://localhost:1".into(),
            "--initial-advertise-peer-urls=http://localhost:2".into(),
            "--initial-cluster=default=http://localhost:2".into(),
            "--log-level=warn".into(),
            // The data need not survive the machine.
            "--unsafe-no-fsync".into(),
        ]
    }

    fn api_server_arguments(&self) -> Vec<String> {
        let files = &self.credentials;
        vec![
            format!("--etcd-servers=unix://{}", self.etcd_socket().display()),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.ports.api_server),
            // A loopback address is refused as an endpoint of the `kubernetes`
            // Service, and no Pod would use it.
            "--advertise-address=127.0.0.1".into(),
            "--endpoint-reconciler-type=none".into(),
            format!("--tls-cert-file={}", files.server_certificate.display()),
            format!("--tls-private-key-file={}", files.server_key.display()),
            format!("--client-ca-file={}", files.authority.display()),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!(
                "--service-account-key-file={}",
                files.service_account_public_key.display()
            ),
            format!(
                "--service-account-signing-key-file={}",
                files.service_account_key.display()
            ),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            "--authorization-mode=RBAC".into(),
            "--profiling=false".into(),
        ]
    }

    fn controller_manager_arguments(&self) -> Vec<String> {
        let files = &self.credentials;
        vec![
            format!("--kubeconfig={}", files.kubeconfig.display()),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={}", self.ports.controller_manager),
            format!("--tls-cert-file={}", files.server_certificate.display()),
            format!("--tls-private-key-file={}", files.server_key.display()),
            format!("--root-ca-file={}", files.authority.display()),
            format!(
                "--service-account-private-key-file={}",
                files.service_account_key.display()
            ),
            format!("--controllers={}", CONTROLLERS.join(",")),
            "--leader-elect=false".into(),
            // Deleting namespaces and what they hold is all that tests wait for;
            // the default of 20 requests a second makes them wait long.
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
            "--profiling=false".into(),
        ]
    }

    fn signal(&self, component: Component, signal: Signal) -> Result<()> {
        let processes = self.processes();
        let process = processes
            .get(&component)
            .with_context(|| format!("{} is not running", component.name()))?;
        Ok(kill_process(Pid::from_child(process), signal)?)
    }

    fn tool(&self, program: Program) -> tokio::process::Command {
        let mut command = self.binaries.command(program);
        command
            .env("KUBECONFIG", self.kubeconfig_path())
            .env("KUBERC", "off")
            .env("KUBECACHEDIR", self.directory.join("kubectl-cache"))
            .env("HELM_CACHE_HOME", self.directory.join("helm/cache"))
            .env("HELM_CONFIG_HOME", self.directory.join("helm/config"))
            .env("HELM_DATA_HOME", self.directory.join("helm/data"));
        command.into()
    }

    fn etcd_socket(&self) -> PathBuf {
        self.directory.join("etcd.sock")
    }

    fn log_path(&self, component: Component) -> PathBuf {
        self.directory.join(format!("{}.log", component.name()))
    }

    fn log_end(&self, component: Component) -> String {
        let log = fs::read(self.log_path(component)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<Component, Child>> {
        // A test that panicked with the lock held did not break the map.
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.watchdog.end();
        for process in self.processes().values_mut() {
            let _ = process.wait();
        }
        // A component may have written once more after the watchdog's removal.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The shell that leads the process group.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
    /// Never written to: that it is open is the message.
    lifeline: Option<ChildStdin>,
}

impl Watchdog {
    fn start(directory: &Path) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(directory)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run `sh`")?;
        let lifeline = shell.stdin.take();
        Ok(Self { shell, lifeline })
    }

    fn group(&self) -> Result<i32> {
        Ok(i32::try_from(self.shell.id())?)
    }

    fn end(&mut self) {
        self.lifeline.take();
        let _ = self.shell.wait();
    }
}

#[derive(Debug)]
struct Ports {
    api_server: u16,
    controller_manager: u16,
}

impl Ports {
    fn pick() -> Result<Self> {
        // Both are held until both are known, or they could be the same.
        let (first, second) = (free_port()?, free_port()?);
        Ok(Self {
            api_server: first.local_addr()?.port(),
            controller_manager: second.local_addr()?.port(),
        })
    }

    fn api_server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }

    fn controller_manager_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.controller_manager)
    }
}

/// A port of 127.0.0.1 that nobody listens on, for a server that cannot say which one it took.
pub fn unused_port() -> Result<u16> {
    Ok(free_port()?.local_addr()?.port())
}

/// Holds a port from below the range that systems give to outgoing connections:
/// one of those could take the port of a component while it restarts.
fn free_port() -> Result<TcpListener> {
    const TRIES: usize = 100;
    (0..TRIES)
        .find_map(|_| TcpListener::bind(("127.0.0.1", fastrand::u16(12_000..32_000))).ok())
        .with_context(|| format!("none of {TRIES} ports tried on 127.0.0.1 is free"))
}

async fn client_config(kubeconfig: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // No proxy of the user's environment reaches our loopback address.
    config.proxy_url = None;
    Ok(config)
}
