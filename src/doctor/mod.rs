//! `unstructured-operator doctor`: looks at everything that a connector depends on, changes nothing, and says in plain sentences
//! what is right, what is wrong, and what to do next.

mod cluster;
mod findings;
mod remedies;
mod resource;
mod unclaimed;
mod workspace;

use std::io;

use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};

use crate::cluster::{is_missing, sentence};
use crate::controller::index::Key;
use crate::hosts::{HostPattern, HostPolicy};
use crate::kinds::{self, Kind, Resource};
use crate::options::{Cluster, Dropbox, Exit, Network, Workspace};
use crate::output::print;
use crate::terminal::Paint;
use findings::Findings;
use resource::Patient;
use unclaimed::Workspaces;

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unstructured-operator doctor --namespace legal contracts
  unstructured-operator doctor --all-namespaces --api-key-file key
  unstructured-operator doctor -o json \\
    | jq '.findings[] | select(.verdict == \"wrong\")'
UNSTRUCTURED_API_KEY may also hold the key of the operator's own workspace.
Without it, doctor checks resources that name no workspace only in the cluster
and at Dropbox. Without a name, it also looks for connectors of this cluster
that no resource holds.";

/// What to look at, and how to tell.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Check this resource [default: all of the namespace]
    #[arg(value_name = "NAME", value_parser = crate::options::object_name)]
    name: Option<String>,

    #[command(flatten)]
    cluster: Cluster,

    /// Check the resources of all namespaces
    #[arg(long, short = 'A', conflicts_with_all = ["namespace", "name"])]
    all_namespaces: bool,

    /// Print the findings in this format
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value = "text")]
    output: Format,

    #[command(flatten)]
    pub(crate) workspace: Workspace,

    #[command(flatten)]
    dropbox: Dropbox,

    #[command(flatten)]
    network: Network,

    /// Look for connectors with this name of the cluster; pass the operator's [default: derived from the cluster]
    #[arg(long, value_name = "NAME", value_parser = crate::options::cluster_name)]
    cluster_name: Option<String>,

    /// Let resources name only these hosts as workspace.apiUrl; pass the operator's
    /// [default: any public host; never private, link-local or in-cluster addresses]
    #[arg(long, value_name = "HOSTS", value_delimiter = ',', value_parser = crate::options::host_pattern)]
    allowed_api_hosts: Vec<HostPattern>,
}

/// How the findings are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Sentences for people.
    Text,
    /// One object for programs.
    Json,
}

/// Looks, and prints what it finds.
///
/// # Errors
///
/// [`Exit::Wrong`] when something is, [`Exit`] when nothing can be looked at.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let mut findings = Findings::default();
    let looked = look(options, &mut findings).await;
    match options.output {
        Format::Text => print(&findings.text(Paint::on(&io::stdout())))?,
        Format::Json => {
            if let Err(exit) = &looked {
                let help = "unstructured-operator doctor --help";
                findings.wrong("doctor", "start", exit.to_string(), help);
            }
            print(&format!("{}\n", findings.json()))?;
        }
    }
    looked?;
    if findings.all_well() {
        Ok(())
    } else {
        Err(Exit::Wrong)
    }
}

async fn look(options: &Options, findings: &mut Findings) -> Result<(), Exit> {
    let own_endpoint = options.workspace.endpoint(&options.network)?;
    let own_key = options.workspace.key()?;
    let hosts = HostPolicy::new(
        &own_endpoint.to_string(),
        options.allowed_api_hosts.clone(),
        options.network.allow_insecure_http,
    );
    let dropbox = options.dropbox.client(&options.network)?;
    let (client, namespace) = options.cluster.connect()?;
    let namespace = (!options.all_namespaces).then_some(namespace.as_str());

    if !cluster::examine(&client, namespace, findings).await {
        return Ok(());
    }
    let mut listed = Vec::new();
    for kind in kinds::ALL {
        listed.extend(list(&client, kind, namespace, findings).await?);
    }
    let is_meant = |resource: &&Resource| {
        let name = options.name.as_deref();
        name.is_none_or(|name| resource.name_any() == name)
    };
    let meant: Vec<_> = listed.iter().filter(is_meant).collect();
    if meant.is_empty() {
        missing(options, namespace, &listed, findings);
    }
    let mut workspaces = Workspaces::default();
    for resource in meant {
        let own_namespace = resource.namespace().unwrap_or_default();
        let named = resource.spec.options().workspace;
        let patient = Patient {
            client: &client,
            namespace: &own_namespace,
            resource,
            dropbox: &dropbox,
            own_endpoint: &own_endpoint,
            own_key: own_key.as_ref(),
            hosts: &hosts,
            network: &options.network,
        };
        if let Some(listing) = patient.examine(findings).await {
            workspaces.add(listing, &own_namespace, named);
        }
    }
    if options.name.is_none() {
        let uses_own = |resource: &Resource| resource.spec.options().workspace.is_none();
        if let Some(key) = &own_key
            && !listed.iter().any(uses_own)
        {
            let again = match namespace {
                Some(name) => format!("unstructured-operator doctor -n {name}"),
                None => "unstructured-operator doctor --all-namespaces".to_owned(),
            };
            workspaces
                .add_own(options, (&own_endpoint, key), &again, findings)
                .await;
        }
        workspaces
            .examine(options, &client, namespace, listed, findings)
            .await;
    }
    Ok(())
}

/// The resources of one kind. One that cannot be read is told; of a kind that is not installed there are none.
async fn list(
    client: &Client,
    kind: &'static Kind,
    namespace: Option<&str>,
    findings: &mut Findings,
) -> Result<Vec<Resource>, Exit> {
    let definition = kind.api_resource();
    let objects: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &definition),
        None => Api::all_with(client.clone(), &definition),
    };
    let objects = match objects.list(&ListParams::default()).await {
        Ok(objects) => objects.items,
        Err(error) if is_missing(&error) => Vec::new(),
        // A definition that was just installed is not served at once.
        Err(error @ kube::Error::Api(_)) if !is_refusal(&error) => {
            let message = sentence(&error, "the resources cannot be read");
            findings.unknown(kind.name, "resource", message, "try again");
            Vec::new()
        }
        Err(error) => {
            return Err(Exit::Failed(sentence(
                &error,
                "the resources cannot be read",
            )));
        }
    };
    let mut resources = Vec::new();
    for object in objects {
        match kind.read(object) {
            Ok(resource) => resources.push(resource),
            Err(holding) => findings.wrong(
                &Key::of(kind, &holding.metadata).to_string(),
                "resource",
                "it does not fit the definition of this version",
                "unstructured-operator crd | kubectl apply --server-side -f -",
            ),
        }
    }
    Ok(resources)
}

/// Whether the cluster will answer so again.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

/// There is nothing to look at.
fn missing(
    options: &Options,
    namespace: Option<&str>,
    others: &[Resource],
    findings: &mut Findings,
) {
    const CHECK: &str = "resource";
    const MOST: usize = 10;
    let (place, flag) = match namespace {
        Some(name) => (format!("the namespace {name}"), format!(" -n {name}")),
        None => ("the cluster".to_owned(), String::new()),
    };
    let subject = namespace.unwrap_or("cluster");
    let login = format!("unstructured-operator login dropbox --apply{flag}");
    let Some(name) = &options.name else {
        let message = format!("there is no DropboxSource in {place}");
        return findings.wrong(subject, CHECK, message, login);
    };
    let others: Vec<_> = others
        .iter()
        .take(MOST)
        .map(ResourceExt::name_any)
        .collect();
    let others = match others.as_slice() {
        [] => "nor any other".to_owned(),
        others => format!("what is there: {}", others.join(", ")),
    };
    let message = format!("there is no DropboxSource {name} in {place}; {others}");
    findings.wrong(subject, CHECK, message, format!("{login} --name {name}"));
}
