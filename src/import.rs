//! `unstructured-operator import`: a manifest for each connector and each workflow that a workspace already has.

mod document;
mod secrets;
mod workflow;

use std::fmt;

use crate::hosts::Reach;
use crate::options::{Exit, Network, Workspace};
use crate::output::print;
use crate::scrub::one_line;
use crate::terminal::{Mark, report};
use crate::unstructured::{ApiError, Collection};
use document::Writer;

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  Show the manifests:
    unstructured-operator import --api-key-file key --namespace legal
  Have the cluster check them, and change nothing:
    unstructured-operator import --api-key-file key \\
      | kubectl apply --dry-run=server -f -

Put the credentials into the Secrets before the operator adopts anything. The
API never shows credentials, and the operator writes whole connectors and
workflows. At the end, import lists the Secrets and keys that the manifests
read. UNSTRUCTURED_API_KEY may also hold the workspace's key.";

/// What to import, and how the manifests look.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub(crate) workspace: Workspace,

    #[command(flatten)]
    network: Network,

    /// Put this namespace into the manifests [default: none; kubectl apply decides]
    #[arg(short, long, value_name = "NAME", value_parser = crate::options::namespace)]
    namespace: Option<String>,

    /// Name this Secret in the manifests of Dropbox sources; each of the others names a Secret of its own
    #[arg(long, value_name = "NAME", default_value = "dropbox", value_parser = crate::options::object_name)]
    secret_name: String,
}

/// Prints the manifests.
///
/// # Errors
///
/// [`Exit`] when the workspace cannot be listed, and [`Exit::Wrong`] when something had to be left out.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let endpoint = options.workspace.endpoint(&options.network)?;
    let Some(key) = options.workspace.key()? else {
        return Err(Exit::Refused(
            "no API key: set UNSTRUCTURED_API_KEY or pass --api-key-file (UNSTRUCTURED_API_KEY_FILE)"
                .to_owned(),
        ));
    };
    let client = Workspace::client(endpoint, key, Reach::Anywhere, &options.network)?;
    let mut writer = Writer::new(options.namespace.as_deref(), &options.secret_name);
    let mut connectors = Tally::default();
    for family in [Collection::Sources, Collection::Destinations] {
        let mut all = listed(&family.to_string(), client.everything(family).await)?;
        // The same workspace gives the same names, in whatever order it lists.
        all.sort_by_key(|whole| (whole.connector.created_at, whole.connector.id));
        for whole in &all {
            let connector = &whole.connector;
            let what = || {
                let kind = one_line(&connector.connector_type);
                let name = one_line(&connector.name);
                format!("connector {} {name:?} of type {kind:?}", connector.id)
            };
            connectors.count(writer.document(family, whole), what);
        }
    }
    let mut workflows = Tally::default();
    let mut all = listed("workflows", client.workflows().list().await)?;
    all.sort_by_key(|workflow| (workflow.created_at, workflow.id));
    for workflow in &all {
        let what = || format!("workflow {} {:?}", workflow.id, one_line(&workflow.name));
        workflows.count(writer.workflow(workflow), what);
    }
    let documents = [connectors.documents.as_slice(), &workflows.documents].concat();
    print(&documents.join("---\n"))?;
    for (secret, keys) in &writer.needed {
        report(
            Mark::Unknown,
            &format!(
                "create the Secret {secret} with the keys {}",
                keys.join(", ")
            ),
        );
    }
    for name in &writer.suspended {
        let why = format!("workflow {name} is suspended; a comment above it says what to look at");
        report(Mark::Unknown, &why);
    }
    report(
        Mark::Good,
        &format!("{connectors} connectors, {workflows} workflows"),
    );
    if connectors.left_out + workflows.left_out > 0 {
        return Err(Exit::Wrong);
    }
    Ok(())
}

/// The manifests of one sort, and how many could not be written.
#[derive(Default)]
struct Tally {
    documents: Vec<String>,
    left_out: usize,
}

impl Tally {
    /// Takes in a manifest, or says why there is none.
    fn count(&mut self, document: Result<String, String>, what: impl FnOnce() -> String) {
        match document {
            Ok(document) => self.documents.push(document),
            Err(reason) => {
                self.left_out += 1;
                report(Mark::Bad, &format!("left out {}: {reason}", what()));
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.documents.len();
        write!(f, "{made} of {}", made + self.left_out)
    }
}

fn listed<T>(what: &str, list: Result<Vec<T>, ApiError>) -> Result<Vec<T>, Exit> {
    list.map_err(|error| Exit::Failed(format!("the {what} cannot be listed: {error}")))
}
