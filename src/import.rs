//! `unstructured-operator import`: a manifest for each Dropbox connector that a workspace already has.

use std::collections::HashSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::dropbox::Subfolder;
use crate::hosts::Reach;
use crate::manifest::{dns_name, source, unique_name, yaml};
use crate::options::{Exit, Network, Workspace};
use crate::output::print;
use crate::scrub::one_line;
use crate::terminal::{Mark, report};
use crate::unstructured::{Collection, Connector, Kept};

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  Show the manifests:
    unstructured-operator import --api-key-file key --namespace legal
  Have the cluster check them, and change nothing:
    unstructured-operator import --api-key-file key \\
      | kubectl apply --dry-run=server -f -
Put the credentials of the Dropbox app into the Secret before the operator
adopts the connectors: the API never shows them, and the operator writes the
whole configuration. UNSTRUCTURED_API_KEY may also hold the workspace's key.";

/// What to import, and how the manifests look.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub(crate) workspace: Workspace,

    #[command(flatten)]
    network: Network,

    /// Put this namespace into the manifests [default: none, kubectl apply decides]
    #[arg(short, long, value_name = "NAME", value_parser = crate::options::namespace)]
    namespace: Option<String>,

    /// Have the manifests name this Secret
    #[arg(long, value_name = "NAME", default_value = "dropbox", value_parser = crate::options::object_name)]
    secret_name: String,
}

/// Prints the manifests.
///
/// # Errors
///
/// [`Exit`] when the workspace cannot be listed, and [`Exit::Wrong`] when a connector had to be left out.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let endpoint = options.workspace.endpoint(&options.network)?;
    let Some(key) = options.workspace.key()? else {
        return Err(Exit::Refused(
            "which workspace? Set UNSTRUCTURED_API_KEY, or --api-key-file (UNSTRUCTURED_API_KEY_FILE)"
                .to_owned(),
        ));
    };
    let client = Workspace::client(endpoint, key, Reach::Anywhere, &options.network)?;
    let kept = Kept::only(["remote_url", "recursive"]);
    let mut sources = client
        .connectors(Collection::Sources, "dropbox", kept)
        .list()
        .await
        .map_err(|error| Exit::Failed(format!("the connectors cannot be listed: {error}")))?;
    // The same workspace gives the same names, in whatever order it lists.
    sources.sort_by_key(|source| (source.created_at, source.id));

    let mut taken = HashSet::new();
    let mut left_out = false;
    let mut documents = Vec::new();
    for source in &sources {
        match document(source, options, &mut taken) {
            Ok(document) => documents.push(document),
            Err(reason) => {
                left_out = true;
                let name = one_line(&source.name);
                report(
                    Mark::Bad,
                    &format!("left out connector {} {name:?}: {reason}", source.id),
                );
            }
        }
    }
    print(&documents.join("---\n"))?;
    report(
        Mark::Good,
        &format!(
            "{} of {} Dropbox connectors",
            documents.len(),
            sources.len()
        ),
    );
    if left_out { Err(Exit::Wrong) } else { Ok(()) }
}

/// The manifest of a connector, with what cannot be said in it as a comment.
fn document(
    connector: &Connector,
    options: &Options,
    taken: &mut HashSet<String>,
) -> Result<String, String> {
    let remote_url = connector.settings.get("remote_url").and_then(Value::as_str);
    let folder: Subfolder = remote_url
        .ok_or("the API shows no remote_url for it")?
        .parse()
        .map_err(|reason| format!("its remote_url cannot be used by a DropboxSource: {reason}"))?;
    let recursive = connector.settings.get("recursive").and_then(Value::as_bool);
    let name = unique_name(dns_name(&connector.name), taken);
    let mut document = format!("# Connector {:?}\n", one_line(&connector.name));
    if recursive.is_none() {
        let _ = writeln!(
            document,
            "# The API does not say whether it reads subfolders; the operator will set recursive: false unless told otherwise."
        );
    }
    let manifest = source(
        &name,
        options.namespace.as_deref(),
        &folder,
        recursive,
        &options.secret_name,
        Some(&connector.id.to_string()),
    );
    document.push_str(&yaml(&manifest));
    Ok(document)
}
