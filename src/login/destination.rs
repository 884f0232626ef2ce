//! Where the manifests go: standard output, two files, or the cluster.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::cluster::Cluster;
use super::files;
use super::options::Options;
use super::request::{Change, Request};
use crate::crd::DropboxSource;
use crate::manifest::{SecretManifest, yaml};
use crate::options::Exit;
use crate::output::print_once;
use crate::terminal::Terminal;

/// Where the manifests go.
pub(super) enum Destination {
    /// Both, one after the other.
    Stdout,
    /// Asked for at the end: standard output is a terminal, which keeps what it shows.
    Ask,
    /// One file each.
    Directory(PathBuf),
    /// Objects of a namespace.
    Cluster(Cluster),
}

impl Destination {
    /// Finds out where to, and that it is there, before anything irrevocable happens.
    pub async fn choose(options: &Options, can_ask: bool) -> Result<Self, Exit> {
        if options.apply {
            return Cluster::connect(options).await.map(Self::Cluster);
        }
        match &options.output {
            None if can_ask && io::stdout().is_terminal() => Ok(Self::Ask),
            None => Ok(Self::Stdout),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(directory) => {
                files::make(directory)?;
                Ok(Self::Directory(directory.clone()))
            }
        }
    }

    /// Whether it is not known yet where.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Ask)
    }

    /// Asks for what was left open.
    pub fn settle(self, terminal: Option<&Terminal>) -> Result<Self, Exit> {
        let (Self::Ask, Some(terminal)) = (&self, terminal) else {
            return Ok(self);
        };
        let question =
            "Directory to write the manifests to (- shows them here, the secrets among them)";
        match terminal.ask(question, Some("."))?.as_str() {
            "-" => Ok(Self::Stdout),
            directory => {
                files::make(Path::new(directory))?;
                Ok(Self::Directory(directory.into()))
            }
        }
    }

    /// The namespace that the manifests name.
    pub fn namespace<'a>(&'a self, options: &'a Options) -> Option<&'a str> {
        match self {
            Self::Cluster(cluster) => Some(&cluster.namespace),
            Self::Stdout | Self::Ask | Self::Directory(_) => options.cluster.namespace.as_deref(),
        }
    }

    /// The resource of this name that is there already.
    pub async fn find(&self, name: &str) -> Result<Option<DropboxSource>, Exit> {
        match self {
            Self::Cluster(cluster) => cluster.find(name).await,
            Self::Directory(directory) => files::find(directory, name),
            Self::Stdout | Self::Ask => Ok(None),
        }
    }

    /// Whether it can be written, as far as it is known what.
    pub async fn rehearse(
        &self,
        request: Option<&Request<'_>>,
        existing: Option<&DropboxSource>,
    ) -> Result<(), Exit> {
        match (self, request) {
            (Self::Cluster(cluster), Some(request)) => {
                let change = request.change(existing);
                let secret_name = request.secret_name(existing);
                cluster
                    .rehearse(&request.name, &secret_name, existing, &change)
                    .await
            }
            (Self::Cluster(cluster), None) => cluster.rehearse_anything().await,
            (Self::Stdout | Self::Ask | Self::Directory(_), _) => Ok(()),
        }
    }

    /// Writes the Secret, and what becomes of the resource.
    pub async fn write(
        &self,
        request: &Request<'_>,
        existing: Option<&DropboxSource>,
        secret: &SecretManifest<'_>,
    ) -> Result<(), Exit> {
        let (name, change) = (&request.name, request.change(existing));
        match self {
            Self::Directory(directory) => files::write(directory, name, secret, &change),
            Self::Cluster(cluster) => {
                let secret_name = request.secret_name(existing);
                cluster.write(name, &secret_name, secret, &change).await
            }
            Self::Stdout | Self::Ask => print(secret, &change),
        }
    }
}

fn print(secret: &SecretManifest<'_>, change: &Change) -> Result<(), Exit> {
    let mut text = secret.yaml();
    if let Change::Create(manifest) = change {
        text.push_str("---\n");
        text.push_str(&yaml(manifest));
    }
    print_once(text.as_bytes())
}
