//! Finds the programs of the control plane, or builds them.

use crate::go::{Module, Recipe};
use anyhow::{Context, Result, bail, ensure};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// A program that this crate starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

/// Upstream's own build sets these. Without them every part takes itself for
/// v0.0.0, and the client and charts refuse to work with the server.
const KUBERNETES_VERSION: [(&str, &str); 3] = [
    (
        "k8s.io/component-base/version.gitVersion",
        "k8s.io/kubernetes",
    ),
    (
        "k8s.io/component-base/version.gitMajor",
        "k8s.io/kubernetes",
    ),
    (
        "k8s.io/component-base/version.gitMinor",
        "k8s.io/kubernetes",
    ),
];

/// All five, of the newest version.
const NEWEST: Recipe = Recipe {
    name: "control plane",
    directory: "controlplane",
    programs: &["controlplane"],
    effort: (3000, "ten minutes"),
    versions: &[
        KUBERNETES_VERSION[0],
        KUBERNETES_VERSION[1],
        KUBERNETES_VERSION[2],
        (
            "helm.sh/helm/v4/internal/version.version",
            "helm.sh/helm/v4",
        ),
    ],
    ..Recipe::PLAIN
};

/// All but Helm, which does not build with the libraries of so old a version.
const OLDEST: Recipe = Recipe {
    name: "oldest control plane",
    module_file: "oldest.mod",
    tags: "oldest",
    effort: (2000, "ten minutes"),
    versions: &KUBERNETES_VERSION,
    ..NEWEST
};

/// Where the programs are.
#[derive(Clone, Debug)]
pub enum Binaries {
    /// Executables of ours that are several programs each; the first argument says which.
    Built {
        /// All but Helm.
        kubernetes: PathBuf,
        /// Helm.
        helm: PathBuf,
    },
    /// A directory with an executable for each, named by `KUBEBUILDER_ASSETS`.
    Assets(PathBuf),
}

impl Binaries {
    /// Takes the programs in `KUBEBUILDER_ASSETS` if it is set. Otherwise builds
    /// `tests/controlplane`, unless that was done before: a matter of minutes,
    /// reported on standard error. `TEST_KUBERNETES` chooses `newest`, the
    /// default, or `oldest`.
    pub async fn find() -> Result<Self> {
        // The build blocks its thread.
        tokio::task::spawn_blocking(Self::find_or_build).await?
    }

    /// A command that runs `program`.
    pub fn command(&self, program: Program) -> Command {
        match self {
            Self::Built { kubernetes, helm } => {
                let executable = match program {
                    Program::Helm => helm,
                    _ => kubernetes,
                };
                let mut command = Command::new(executable);
                command.arg(program.name());
                command
            }
            Self::Assets(directory) => Command::new(directory.join(program.name())),
        }
    }

    fn find_or_build() -> Result<Self> {
        if let Some(directory) = env::var_os("KUBEBUILDER_ASSETS") {
            return Self::in_directory(directory.into());
        }
        let build = |recipe| -> Result<PathBuf> {
            let programs = Module::locate(recipe)?.programs();
            let programs = programs.context(format!(
                "without Go, point KUBEBUILDER_ASSETS at a directory with {}",
                Program::ALL.map(Program::name).join(", ")
            ))?;
            Ok(programs.join("controlplane"))
        };
        let helm = build(NEWEST)?;
        let kubernetes = match env::var("TEST_KUBERNETES").as_deref() {
            Err(_) | Ok("newest") => helm.clone(),
            Ok("oldest") => build(OLDEST)?,
            Ok(other) => bail!("TEST_KUBERNETES is {other}; set it to newest or oldest"),
        };
        Ok(Self::Built { kubernetes, helm })
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
            Path::new(&directory).display(),
            missing.join(", "),
        );
        Ok(Self::Assets(directory))
    }
}
