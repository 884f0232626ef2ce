//! What can be said on the command line.

use crate::hosts::HostPattern;
use crate::options::{Cluster, Dropbox, Network, Pinecone, Workspace, add_flags};

/// What to look at, and how to tell.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Check this resource [default: all of the namespace]
    #[arg(value_name = "NAME", value_parser = crate::options::object_name)]
    pub(super) name: Option<String>,

    #[command(flatten)]
    pub(super) cluster: Cluster,

    /// Check the resources of all namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["namespace", "name"])]
    pub(super) all_namespaces: bool,

    /// Print the findings in this format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value = "text")]
    pub(super) output: Format,

    #[command(flatten)]
    pub(crate) workspace: Workspace,

    #[command(flatten)]
    pub(super) dropbox: Dropbox,

    #[command(flatten)]
    pub(super) pinecone: Pinecone,

    #[command(flatten)]
    pub(super) network: Network,

    /// Look for connectors with this cluster name; pass the operator's [default: derived from the cluster]
    #[arg(long, value_name = "NAME", value_parser = crate::options::cluster_name)]
    pub(super) cluster_name: Option<String>,

    /// Allow only these hosts in workspace.apiUrl; pass the operator's [default: any public host; never private, link-local or in-cluster
    /// addresses]
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', value_parser = crate::options::host_pattern)]
    pub(super) allowed_api_hosts: Vec<HostPattern>,
}

impl Options {
    /// These commands, with what was chosen here: this command is to see the same again, and no other cluster is to be touched.
    pub(super) fn complete(&self, commands: &str) -> String {
        let (dropbox, pinecone) = (self.dropbox.flags(), self.pinecone.flags());
        let workspace = self.workspace.flags();
        let commands = [
            ("doctor", format!("{dropbox}{pinecone}{workspace}")),
            ("import", workspace),
            ("login dropbox", dropbox),
        ]
        .into_iter()
        .fold(commands.to_owned(), |commands, (name, flags)| {
            add_flags(&commands, &format!("unstructured-operator {name}"), &flags)
        });
        self.cluster.complete(&commands)
    }
}

/// How the findings are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// Sentences for people.
    Text,
    /// One object for programs.
    Json,
}
