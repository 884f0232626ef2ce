//! The operator as a real process, with everything that it prints kept in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a process may take to come up or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// How to start an operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary.
    pub binary: PathBuf,
    /// Where its output goes.
    pub directory: PathBuf,
    /// Its environment, and nothing else.
    pub environment: Vec<(String, String)>,
}

/// A running operator. Dropping it kills it.
pub struct Operator {
    child: Child,
    log: PathBuf,
    address: String,
}

impl Operator {
    /// Starts an operator and waits until its endpoints answer.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let log = settings
            .directory
            .join(format!("operator-{:08x}.log", fastrand::u32(..)));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(&settings.binary)
            .arg("run")
            .env_clear()
            .envs(
                settings
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", settings.binary.display()))?;
        let mut operator = Self {
            child,
            log,
            address: String::new(),
        };
        operator.address = operator.find_address().await?;
        Ok(operator)
    }

    /// Everything it printed so far.
    pub fn output(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Where its output is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where its endpoints listen, as `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What one of its endpoints answers: status and body.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// The value of a metric: the sum over all label sets whose line begins with `series`.
    pub async fn metric(&self, series: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics").await?;
        let values = text
            .lines()
            .filter(|line| line.starts_with(series))
            .filter_map(|line| line.rsplit(' ').next());
        Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum())
    }

    /// Waits until `/readyz` says ok.
    pub async fn ready(&mut self) -> Result<()> {
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            if let Ok((200, _)) = self.get("/readyz").await {
                return Ok(());
            }
            self.alive()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!(
            "the operator is not ready after {PATIENCE:?}; its output:\n{}",
            self.output()
        )
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait().await
    }

    /// Waits until it ends by itself.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the operator has not stopped after {PATIENCE:?}")
    }

    /// Kills it without warning.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Stops it where it stands, as a node that hangs would.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("process id 0")?;
        kill_process(pid, signal).context("the operator cannot be signalled")
    }

    fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!(
                "the operator ended with {status}; its output:\n{}",
                self.output()
            ),
        }
    }

    async fn find_address(&mut self) -> Result<String> {
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            let address = self.output().lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                let fields = line.get("fields").unwrap_or(&line);
                (fields["message"] == "listening")
                    .then(|| fields["address"].as_str().map(str::to_owned))
                    .flatten()
            });
            if let Some(address) = address {
                return Ok(address);
            }
            self.alive()?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!(
            "the operator does not say where it listens; its output:\n{}",
            self.output()
        )
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the operator is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quickly, as while developing.
    Dev,
    /// As it is shipped.
    Release,
}

/// Builds the operator with the cargo that runs this, its progress on standard error, and returns the executable.
pub async fn build(profile: Profile) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    // What cargo told us about this package would make build scripts believe that theirs has changed.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        if told.starts_with("CARGO_PKG_") || told.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    let output = command
        .args(["build", "--bin", "unstructured-operator"])
        .arg("--message-format=json-render-diagnostics")
        .args((profile == Profile::Release).then_some("--release"))
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run cargo: start this with cargo")?
        .wait_with_output()
        .await?;
    ensure!(
        output.status.success(),
        "the operator cannot be built: cargo ended with {}",
        output.status
    );
    let mut executables = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executables
        .next_back()
        .context("cargo does not say where it put the operator")
}
