//! Where the manifests go: standard output, two files, or the cluster.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::Options;
use crate::crd::{DropboxSource, GROUP};
use crate::manifest::{self, SecretManifest, yaml};
use crate::options::Exit;
use crate::output::{print_once, say};
use crate::runtime::kube_client;
use crate::scrub::one_line;
use crate::terminal::{Mark, Terminal, report};

/// Who the fields belong to in the cluster.
const MANAGER: &str = "unstructured-operator-login";

/// Where the manifests go.
pub(super) enum Destination {
    /// Both, one after the other.
    Stdout,
    /// Asked for at the end: standard output is a terminal, which keeps what it shows.
    Ask,
    /// One file each.
    Directory(PathBuf),
    /// By server-side apply.
    Cluster { client: Client, namespace: String },
}

impl Destination {
    /// Finds out where to, and that it is there, before anything irrevocable happens.
    pub async fn choose(options: &Options) -> Result<Self, Exit> {
        if options.apply {
            let cluster = &options.cluster;
            let (client, namespace) =
                kube_client::connect_as(cluster.context.as_deref(), cluster.namespace.as_deref())
                    .await
                    .map_err(|error| Exit::Failed(error.to_string()))?;
            find_definition(&client).await?;
            rehearse(&client, &namespace).await?;
            return Ok(Self::Cluster { client, namespace });
        }
        match &options.output {
            None if io::stdout().is_terminal() => Ok(Self::Ask),
            None => Ok(Self::Stdout),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(directory) => fs::create_dir_all(directory)
                .map(|()| Self::Directory(directory.clone()))
                .map_err(|error| {
                    Exit::Refused(format!(
                        "--output: the directory {} cannot be made: {error}",
                        directory.display()
                    ))
                }),
        }
    }

    /// The namespace that the manifests name.
    pub fn namespace<'a>(&'a self, options: &'a Options) -> Option<&'a str> {
        match self {
            Self::Cluster { namespace, .. } => Some(namespace),
            Self::Stdout | Self::Ask | Self::Directory(_) => options.cluster.namespace.as_deref(),
        }
    }

    /// Writes both.
    pub async fn write(
        &self,
        terminal: Option<&Terminal>,
        name: &str,
        secret_name: &str,
        secret: &SecretManifest<'_>,
        source: &Value,
    ) -> Result<(), Exit> {
        match (self, terminal) {
            (Self::Directory(directory), _) => write_files(directory, name, secret, source),
            (Self::Cluster { client, namespace }, _) => {
                apply(client, namespace, secret_name, secret, name, source).await
            }
            (Self::Ask, Some(terminal)) => {
                let question = "Directory to write the manifests to (- shows them here, the secrets among them)";
                match terminal.ask(question, Some("."))?.as_str() {
                    "-" => print(secret, source),
                    directory => {
                        let directory = Path::new(directory);
                        fs::create_dir_all(directory)
                            .map_err(|error| unwritable(directory, &error))?;
                        write_files(directory, name, secret, source)
                    }
                }
            }
            (Self::Stdout | Self::Ask, _) => print(secret, source),
        }
    }
}

fn print(secret: &SecretManifest<'_>, source: &Value) -> Result<(), Exit> {
    let mut both = secret.yaml();
    both.extend_from_slice(format!("---\n{}", yaml(source)).as_bytes());
    print_once(&both)
}

fn write_files(
    directory: &Path,
    name: &str,
    secret: &SecretManifest<'_>,
    source: &Value,
) -> Result<(), Exit> {
    let secret_file = directory.join(format!("{name}-secret.yaml"));
    let source_file = directory.join(format!("{name}.yaml"));
    write_file(&secret_file, &secret.yaml(), 0o600)?;
    write_file(&source_file, yaml(source).as_bytes(), 0o644)?;
    let (secret_file, source_file) = (secret_file.display(), source_file.display());
    report(
        Mark::Good,
        &format!("wrote {secret_file} (readable by you alone; do not commit it) and {source_file}"),
    );
    say(&format!(
        "Next: kubectl apply -f {secret_file} -f {source_file}"
    ));
    Ok(())
}

/// Writes a new file beside the old one and moves it there, so that nobody sees half a file, or a secret in one that others
/// could read.
fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<(), Exit> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{:08x}.part", fastrand::u32(..)));
    let part = PathBuf::from(part);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        unwritable(path, &error)
    })
}

fn unwritable(path: &Path, error: &io::Error) -> Exit {
    Exit::Failed(format!("{} cannot be written: {error}", path.display()))
}

/// Whether the cluster knows the resource. Asked by discovery, which every user may.
async fn find_definition(client: &Client) -> Result<(), Exit> {
    let version = <DropboxSource as kube::Resource>::api_version(&());
    match client.list_api_group_resources(&version).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Err(Exit::Failed(format!(
            "the cluster knows no resources of {GROUP}: install the definition first, by the Helm chart or with \
             unstructured-operator crd | kubectl apply -f -"
        ))),
        Err(error) => Err(Exit::Failed(refused(
            "ask the cluster for its resources",
            &error,
        ))),
    }
}

/// Whether both objects may be written there. A dry run, because it finds out what else may stand in the way: a namespace that
/// does not exist, a quota, a policy.
async fn rehearse(client: &Client, namespace: &str) -> Result<(), Exit> {
    let name = "unstructured-operator-login-rehearsal";
    let params = PatchParams::apply(MANAGER).dry_run();
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name } });
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    secrets
        .patch(name, &params, &Patch::Apply(&secret))
        .await
        .map_err(|error| Exit::Failed(refused(&format!("write Secrets in {namespace}"), &error)))?;
    let folder = "rehearsal".parse().expect("it is a folder");
    let source = manifest::source(name, None, &folder, None, name, None);
    let sources: Api<DropboxSource> = Api::namespaced(client.clone(), namespace);
    sources
        .patch(name, &params, &Patch::Apply(&source))
        .await
        .map_err(|error| {
            Exit::Failed(refused(
                &format!("write DropboxSources in {namespace}"),
                &error,
            ))
        })?;
    Ok(())
}

async fn apply(
    client: &Client,
    namespace: &str,
    secret_name: &str,
    secret: &SecretManifest<'_>,
    name: &str,
    source: &Value,
) -> Result<(), Exit> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let sources: Api<DropboxSource> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(MANAGER);
    // By force: new credentials are what was asked for, whoever wrote the old ones.
    secrets
        .patch(secret_name, &params.clone().force(), &Patch::Apply(secret))
        .await
        .map_err(|error| {
            Exit::Failed(refused(
                &format!("write the Secret {namespace}/{secret_name}"),
                &error,
            ))
        })?;
    report(
        Mark::Good,
        &format!("the Secret {namespace}/{secret_name} is in the cluster"),
    );
    // Not by force: what another tool manages (GitOps), it would only change back.
    sources
        .patch(name, &params, &Patch::Apply(source))
        .await
        .map_err(|error| {
            Exit::Failed(refused(
                &format!("write the DropboxSource {namespace}/{name}"),
                &error,
            ))
        })?;
    report(
        Mark::Good,
        &format!("the DropboxSource {namespace}/{name} is in the cluster"),
    );
    say(&format!(
        "Next: kubectl -n {namespace} wait --for=condition=Ready dropboxsource/{name}\n\
         If that does not come: unstructured-operator doctor -n {namespace} {name}"
    ));
    Ok(())
}

/// What the cluster refused, and what to do. Its words may quote what was sent, but never a Secret's values: it shows field names.
fn refused(what: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!(
                "you may not {what}: ask an administrator for the right, or use --output and have the files applied"
            )
        }
        kube::Error::Api(status) if status.code == 409 => format!(
            "another tool manages this object, so it was left alone; cannot {what}: change it there, or choose another --name"
        ),
        kube::Error::Api(status) if status.is_not_found() => {
            format!(
                "cannot {what}: the namespace does not exist; create it with kubectl create namespace"
            )
        }
        kube::Error::Api(status) if status.code == 422 => {
            format!("cannot {what}: {}", one_line(&status.message))
        }
        _ => format!(
            "cannot {what}: the cluster does not answer as it should; check it with kubectl version"
        ),
    }
}
