//! `unstructured-operator import`: a manifest for each connector that a workspace already has.

mod document;

use crate::hosts::Reach;
use crate::options::{Exit, Network, Workspace};
use crate::output::print;
use crate::scrub::one_line;
use crate::terminal::{Mark, report};
use crate::unstructured::Collection;
use document::Writer;

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  Show the manifests:
    unstructured-operator import --api-key-file key --namespace legal
  Have the cluster check them, and change nothing:
    unstructured-operator import --api-key-file key \\
      | kubectl apply --dry-run=server -f -
Put the credentials into the Secrets before the operator adopts the connectors:
the API never shows them, and the operator writes the whole configuration. At
its end, import says which Secrets and keys the manifests read.
UNSTRUCTURED_API_KEY may also hold the workspace's key.";

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

    /// Have the manifests of Dropbox sources name this Secret; the others name one each
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
    let mut writer = Writer::new(options.namespace.as_deref(), &options.secret_name);
    let (mut all, mut left_out) = (0, false);
    let mut documents = Vec::new();
    for family in [Collection::Sources, Collection::Destinations] {
        let mut connectors = client
            .everything(family)
            .await
            .map_err(|error| Exit::Failed(format!("the {family} cannot be listed: {error}")))?;
        // The same workspace gives the same names, in whatever order it lists.
        connectors.sort_by_key(|whole| (whole.connector.created_at, whole.connector.id));
        all += connectors.len();
        for whole in &connectors {
            match writer.document(family, whole) {
                Ok(document) => documents.push(document),
                Err(reason) => {
                    left_out = true;
                    let connector = &whole.connector;
                    let (name, kind) = (
                        one_line(&connector.name),
                        one_line(&connector.connector_type),
                    );
                    report(
                        Mark::Bad,
                        &format!(
                            "left out connector {} {name:?} of type {kind:?}: {reason}",
                            connector.id
                        ),
                    );
                }
            }
        }
    }
    print(&documents.join("---\n"))?;
    for (secret, keys) in &writer.needed {
        report(
            Mark::Unknown,
            &format!("Secret {secret} has to hold {}", keys.join(", ")),
        );
    }
    report(
        Mark::Good,
        &format!("{} of {all} connectors", documents.len()),
    );
    if left_out { Err(Exit::Wrong) } else { Ok(()) }
}
