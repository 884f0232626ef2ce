//! What an engine pulls from, Git and a registry, and the cache that Argo CD wants.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use support::controlplane::unused_port;
use support::go::Recipe;

use super::{built, settles};
use crate::chart::{chart, helm};
use crate::install::cluster::Cluster;

const RECIPE: Recipe = Recipe {
    name: "Git server and registry",
    directory: "engines/forge",
    programs: &["forge"],
    effort: (200, "a minute"),
    ..Recipe::PLAIN
};

/// One repository, `fleet`, and one registry.
pub struct Forge {
    /// The repository's URL.
    pub repository: String,
    /// The registry's host and port. It speaks TLS with the control plane's certificate.
    pub registry: String,
    /// The cache's host and port.
    pub redis: String,
    directory: PathBuf,
}

impl Forge {
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let program = built(RECIPE).await?.join("forge");
        let directory = cluster.directory.path().join("forge");
        let git = format!("127.0.0.1:{}", unused_port()?);
        let forge = Self {
            repository: format!("http://{git}/fleet.git"),
            registry: format!("127.0.0.1:{}", unused_port()?),
            redis: format!("127.0.0.1:{}", unused_port()?),
            directory,
        };
        let (served, tree) = (forge.directory.join("served"), forge.tree());
        fs::create_dir_all(&served)?;
        fs::create_dir_all(&tree)?;
        run_git(
            &served,
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                "fleet.git",
            ],
        )?;
        run_git(&tree, &["init", "--quiet", "--initial-branch=main"])?;
        let remote = served.join("fleet.git").display().to_string();
        run_git(&tree, &["remote", "add", "origin", &remote])?;

        let (certificate, key) = cluster.plane.server_certificate();
        let mut command = Command::new(program);
        command
            .args([
                "-git",
                &git,
                "-registry",
                &forge.registry,
                "-redis",
                &forge.redis,
            ])
            .arg("-repositories")
            .arg(&served)
            .arg("-certificate")
            .arg(certificate)
            .arg("-key")
            .arg(key);
        cluster.plane.companion("forge", command)?;
        for address in [&git, &forge.registry, &forge.redis] {
            settles(&format!("{address} answers"), async || {
                Ok(TcpStream::connect(address).ok())
            })
            .await?;
        }
        Ok(forge)
    }

    /// Makes these files the only ones on the branch `main`, in one commit; returns its id.
    pub fn commit(&self, files: &BTreeMap<String, String>) -> Result<String> {
        let tree = self.tree();
        for entry in fs::read_dir(&tree)? {
            let entry = entry?;
            if entry.file_name() != ".git" {
                let path = entry.path();
                let is_directory = entry.file_type()?.is_dir();
                if is_directory {
                    fs::remove_dir_all(path)
                } else {
                    fs::remove_file(path)
                }?;
            }
        }
        for (path, content) in files {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().context("a directory")?)?;
            fs::write(path, content)?;
        }
        run_git(&tree, &["add", "--all"])?;
        run_git(
            &tree,
            &[
                "commit",
                "--quiet",
                "--allow-empty",
                "--message",
                "A change",
            ],
        )?;
        run_git(&tree, &["push", "--quiet", "origin", "main"])?;
        run_git(&tree, &["rev-parse", "HEAD"])
    }

    /// Pushes the chart under this version, the way the documentation says.
    pub async fn push_chart(&self, cluster: &Cluster, version: &str) -> Result<()> {
        let charts = self.directory.join("charts");
        let (charts, chart) = (charts.display().to_string(), chart().display().to_string());
        let package = [
            "package",
            &chart,
            "--version",
            version,
            "--destination",
            &charts,
        ];
        helm(&cluster.plane, &package).await?;
        let package = format!("{charts}/unstructured-operator-{version}.tgz");
        let registry = format!("oci://{}/unstructured-operator/charts", self.registry);
        let authority = cluster.plane.authority().display().to_string();
        let push = ["push", &package, &registry, "--ca-file", &authority];
        helm(&cluster.plane, &push).await?;
        Ok(())
    }

    fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }
}

/// Runs Git without the configuration of whoever runs the tests, and returns what it printed.
fn run_git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=tests",
            "-c",
            "user.email=tests@example.com",
        ])
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .context("git cannot be run")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
