//! Finds the programs of the control plane, or builds them.

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::{
    env,
    fmt::Arguments,
    fs::{self, File, TryLockError},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    path::{Path, PathBuf},
    process::{self, ChildStderr, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

const REPORT_EVERY: Duration = Duration::from_secs(10);

/// A program that this crate starts.
#[derive(Clone, Copy, Debug)]
pub enum Program {
    /// The API server's database.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers that a cluster always has.
    ControllerManager,
    /// The command line client.
    Kubectl,
    /// The package manager.
    Helm,
}

impl Program {
    const ALL: [Self; 5] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Kubectl,
        Self::Helm,
    ];

    /// The name of its executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
        }
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub enum Binaries {
    /// One executable of ours that is all five; its first argument says which.
    Built(PathBuf),
    /// A directory with an executable for each, named by `KUBEBUILDER_ASSETS`.
    Assets(PathBuf),
}

impl Binaries {
    /// Takes the programs in `KUBEBUILDER_ASSETS` if it is set. Otherwise builds
    /// `tests/controlplane`, unless that was done before: a matter of minutes,
    /// reported on standard error.
    pub async fn find() -> Result<Self> {
        // The build blocks its thread.
        tokio::task::spawn_blocking(Self::find_or_build).await?
    }

    /// A command that runs `program`.
    pub fn command(&self, program: Program) -> Command {
        match self {
            Self::Built(executable) => {
                let mut command = Command::new(executable);
                command.arg(program.name());
                command
            }
            Self::Assets(directory) => Command::new(directory.join(program.name())),
        }
    }

    fn find_or_build() -> Result<Self> {
        match env::var_os("KUBEBUILDER_ASSETS") {
            Some(directory) => Self::in_directory(directory.into()),
            None => Module::locate()?.executable().map(Self::Built),
        }
    }

    fn in_directory(directory: PathBuf) -> Result<Self> {
        let missing: Vec<_> = Program::ALL
            .map(Program::name)
            .into_iter()
            .filter(|name| !directory.join(name).is_file())
            .collect();
        ensure!(
            missing.is_empty(),
            "KUBEBUILDER_ASSETS is {}, which lacks {}. Put them there (setup-envtest brings \
             neither kube-controller-manager nor helm), or unset it to have all five built with Go",
            directory.display(),
            missing.join(", "),
        );
        Ok(Self::Assets(directory))
    }
}

/// The Go module that the executable is built from.
struct Module {
    directory: PathBuf,
    target: PathBuf,
    manifest: String,
}

impl Module {
    fn locate() -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()?;
        let directory = workspace.join("tests/controlplane");
        let manifest = fs::read_to_string(directory.join("go.mod"))
            .with_context(|| format!("no go.mod in {}", directory.display()))?;
        Ok(Self {
            target: crate::target().join("controlplane"),
            directory,
            manifest,
        })
    }

    /// The executable for the sources as they are now.
    fn executable(&self) -> Result<PathBuf> {
        let home = self.target.join(self.fingerprint()?);
        let executable = home.join("controlplane");
        if executable.exists() {
            return Ok(executable);
        }
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let _lock = lock(&home.join("lock"))?;
        if !executable.exists() {
            // A build that is cut short must not leave what looks like one that
            // was not.
            let unfinished = home.join(format!("unfinished-{}", process::id()));
            self.build(&unfinished)?;
            fs::rename(&unfinished, &executable)?;
        }
        Ok(executable)
    }

    /// Names a build by all that goes into it.
    fn fingerprint(&self) -> Result<String> {
        let mut sources: Vec<_> = fs::read_dir(&self.directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()?;
        sources.retain(|path| {
            path.extension()
                .is_some_and(|kind| ["go", "mod", "sum"].iter().any(|known| kind == *known))
        });
        sources.sort();

        let mut hash = Sha256::new();
        for path in sources {
            let content = fs::read(&path)?;
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            hash.update(content.len().to_le_bytes());
            hash.update(content);
        }
        for flag in self.flags()? {
            hash.update(flag);
        }
        Ok(hex::encode(&hash.finalize()[..8]))
    }

    fn flags(&self) -> Result<Vec<String>> {
        let version = self.version_of("k8s.io/kubernetes")?;
        let (major, minor) = version
            .trim_start_matches('v')
            .split_once('.')
            .and_then(|(major, rest)| Some((major, rest.split_once('.')?.0)))
            .with_context(|| format!("{version} is no version of Kubernetes"))?;
        // Upstream's own build sets these. Without them every part takes itself
        // for v0.0.0, and the client and charts refuse to work with the server.
        let version_package = "k8s.io/component-base/version";
        let link = format!(
            "-s -w -X {version_package}.gitVersion={version} \
             -X {version_package}.gitMajor={major} -X {version_package}.gitMinor={minor} \
             -X helm.sh/helm/v4/internal/version.version={}",
            self.version_of("helm.sh/helm/v4")?
        );
        Ok(vec![
            "-trimpath".into(),
            "-buildvcs=false".into(),
            "-mod=readonly".into(),
            format!("-ldflags={link}"),
        ])
    }

    fn version_of(&self, module: &str) -> Result<&str> {
        self.manifest
            .lines()
            .find_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
            .with_context(|| format!("tests/controlplane/go.mod does not require {module}"))
    }

    fn build(&self, output: &Path) -> Result<()> {
        let started = Instant::now();
        let mut go = Command::new("go")
            .args(["build", "-v", "-o"])
            .arg(output)
            .args(self.flags()?)
            .arg(".")
            .current_dir(&self.directory)
            .env("CGO_ENABLED", "0")
            // A workspace file above this checkout would change the versions.
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.cannot_run_go(error))?;
        say(format_args!(
            "building etcd, Kubernetes and helm from source, once; with two cores and an empty Go \
             cache this takes about ten minutes"
        ));
        let complaints = go.stderr.take().map(|stderr| report(stderr, started));
        let status = go.wait()?;
        if !status.success() {
            bail!(
                "`go build` in {} ended with {status}:\n{}",
                self.directory.display(),
                complaints.unwrap_or_default().join("\n")
            );
        }
        say(format_args!("built in {}", minutes(started)));
        Ok(())
    }

    fn cannot_run_go(&self, error: io::Error) -> anyhow::Error {
        if error.kind() != ErrorKind::NotFound {
            return anyhow::Error::new(error).context("cannot run `go`");
        }
        let version = self.version_of("go").unwrap_or("1.26.0");
        let system = match env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let architecture = match env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        anyhow::anyhow!(
            "these tests build a real Kubernetes control plane and need Go {version} or newer, and \
             `go` is not in PATH. Install it:\n\n  \
             curl -fsSL https://go.dev/dl/go{version}.{system}-{architecture}.tar.gz | sudo tar -C /usr/local -xz\n  \
             export PATH=$PATH:/usr/local/go/bin\n\n\
             or point KUBEBUILDER_ASSETS at a directory with {}",
            Program::ALL.map(Program::name).join(", ")
        )
    }
}

/// Waits for the lock: two processes that build at once would both take twice as
/// long. The system releases it with the process that holds it.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(format_args!("another process is building it; waiting"));
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    Ok(file)
}

/// Condenses what `go build -v` prints to a line now and then, and returns the
/// lines that are no progress.
fn report(stderr: ChildStderr, started: Instant) -> Vec<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });

    let (mut downloaded, mut compiled, mut complaints) = (0, 0, Vec::new());
    let mut next = started + REPORT_EVERY;
    loop {
        match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(line) if line.starts_with("go: downloading ") => downloaded += 1,
            // A package is named by its path alone; messages have spaces.
            Ok(line) if !line.contains(' ') => compiled += 1,
            Ok(line) => complaints.push(line),
            Err(RecvTimeoutError::Timeout) => {
                say(format_args!(
                    "{}: {downloaded} modules downloaded, {compiled} packages of about 3000 compiled",
                    minutes(started)
                ));
                next += REPORT_EVERY;
            }
            Err(RecvTimeoutError::Disconnected) => return complaints,
        }
    }
}

fn minutes(since: Instant) -> String {
    let seconds = since.elapsed().as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

/// Writes to the process's own standard error: the test harness would swallow
/// what `eprintln!` prints, and leave people before a silent build.
fn say(line: Arguments<'_>) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr().lock(), "control plane: {line}");
}
