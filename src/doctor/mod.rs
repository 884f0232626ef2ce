//! `unstructured-operator doctor`: looks at everything that a connector depends on, changes nothing, and says in plain sentences
//! what is right, what is wrong, and what to do next.

mod cluster;
mod findings;
mod resource;
mod workspace;

use std::io;

use kube::Api;
use kube::api::ListParams;

use crate::crd::DropboxSource;
use crate::hosts::{HostPattern, HostPolicy};
use crate::options::{Cluster, Dropbox, Exit, Network, Workspace};
use crate::output::print;
use crate::terminal::Paint;
pub(crate) use cluster::sentence;
use findings::Findings;
use resource::Patient;

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unstructured-operator doctor --namespace legal contracts
  UNSTRUCTURED_API_KEY=... unstructured-operator doctor -o json | jq '.findings[] | select(.verdict == \"wrong\")'
The key of the operator's own workspace also comes from the environment: UNSTRUCTURED_API_KEY. Without it, resources that name no
workspace are looked at in the cluster and at Dropbox only.";

/// What to look at, and how to tell.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The resource [default: all of the namespace]
    #[arg(value_name = "NAME", value_parser = crate::options::object_name)]
    name: Option<String>,

    #[command(flatten)]
    cluster: Cluster,

    /// How the findings are written
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,

    #[command(flatten)]
    pub(crate) workspace: Workspace,

    #[command(flatten)]
    dropbox: Dropbox,

    #[command(flatten)]
    network: Network,

    /// The only hosts that resources may name as workspace.apiUrl: as the operator is told
    /// [default: any public host; never private, link-local or in-cluster addresses]
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', value_parser = crate::options::host_pattern)]
    allowed_api_hosts: Vec<HostPattern>,
}

/// How the findings are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Sentences for a person.
    Text,
    /// One object for a program.
    Json,
}

/// Looks, and prints what it finds.
///
/// # Errors
///
/// [`Exit::Wrong`] when something is, [`Exit`] when nothing can be looked at.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let own_endpoint = options.workspace.endpoint(&options.network)?;
    let own_key = options.workspace.key()?;
    let hosts = HostPolicy::new(
        &own_endpoint.to_string(),
        options.allowed_api_hosts.clone(),
        options.network.allow_insecure_http,
    );
    let dropbox = options.dropbox.client(&options.network)?;
    let (client, namespace) = options.cluster.connect().await?;

    let mut findings = Findings::default();
    if cluster::examine(&client, &namespace, &mut findings).await {
        let sources: Api<DropboxSource> = Api::namespaced(client.clone(), &namespace);
        let resources = match &options.name {
            Some(name) => sources
                .get_opt(name)
                .await
                .map(|found| found.into_iter().collect()),
            None => sources
                .list(&ListParams::default())
                .await
                .map(|list| list.items),
        };
        let resources: Vec<DropboxSource> = resources.map_err(|error| {
            Exit::Failed(cluster::sentence(&error, "the resources cannot be read"))
        })?;
        if resources.is_empty() {
            let what = options.name.as_deref().unwrap_or("any DropboxSource");
            findings.wrong(
                &namespace,
                "resource",
                format!("{what} is not in the namespace {namespace}"),
                format!("kubectl get dropboxsources --all-namespaces; or make one: unstructured-operator login dropbox --apply -n {namespace}"),
            );
        }
        for resource in &resources {
            let patient = Patient {
                client: &client,
                namespace: &namespace,
                resource,
                dropbox: &dropbox,
                own_endpoint: &own_endpoint,
                own_key: own_key.as_ref(),
                hosts: &hosts,
                network: &options.network,
            };
            patient.examine(&mut findings).await;
        }
    }
    match options.output {
        Format::Text => print(&findings.text(Paint::on(&io::stdout())))?,
        Format::Json => print(&format!("{}\n", findings.json()))?,
    }
    if findings.all_well() {
        Ok(())
    } else {
        Err(Exit::Wrong)
    }
}
