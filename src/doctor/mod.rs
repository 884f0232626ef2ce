//! `unstructured-operator doctor`: looks at everything that a pipeline depends on, changes nothing, and says in plain sentences
//! what is right, what is wrong, and what to do next.

mod access;
mod chosen;
mod cluster;
mod connector;
mod findings;
mod job;
mod listing;

mod options;
mod patient;
mod remedies;
mod run;
mod status;
mod unclaimed;
mod workflow;
mod workspace;

use std::io;

use crate::hosts::HostPolicy;
use crate::kinds::Resource;
use crate::options::Exit;
use crate::output::print;
use crate::terminal::Paint;
use chosen::Chosen;
use findings::Findings;
use listing::list;
use options::Format;
pub use options::Options;
use patient::{Means, Patient};
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
and at Dropbox. It checks a workflow with both connectors, and a job with its
workflow. Without a name, it also looks for connectors of this cluster that no
resource holds.";

/// Looks, and prints what it finds.
///
/// # Errors
///
/// [`Exit::Wrong`] when something is, [`Exit`] when nothing can be looked at.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let mut findings = Findings::default();
    let looked = look(options, &mut findings).await;
    findings.complete(|next| options.complete(next));
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
    let pinecone = options.pinecone.client(&options.network)?;
    let (client, namespace) = options.cluster.connect()?;
    let namespace = (!options.all_namespaces).then_some(namespace.as_str());

    if !cluster::examine(&client, namespace, findings).await {
        return Ok(());
    }
    let listed = list(&client, namespace, findings).await?;
    let chosen = Chosen::of(&listed, options.name.as_deref());
    if chosen.is_empty() {
        missing(options, namespace, &listed.names(), findings);
    }
    let means = Means {
        client: &client,
        dropbox: &dropbox,
        pinecone: &pinecone,
        own_endpoint: &own_endpoint,
        own_key: own_key.as_ref(),
        hosts: &hosts,
        network: &options.network,
    };
    let mut workspaces = Workspaces::default();
    for resource in chosen.resources {
        let patient = Patient::connector(&means, resource);
        if let Some(listing) = patient.examine_connector(resource, findings).await {
            workspaces.add(listing, &patient.key.namespace, patient.workspace);
        }
    }
    for workflow in chosen.workflows {
        let patient = Patient::workflow(&means, workflow);
        patient.examine_workflow(workflow, &listed, findings).await;
    }
    for job in chosen.jobs {
        let workflow = listed.workflow_of(job);
        let patient = Patient::job(&means, job, workflow);
        patient.examine_job(job, workflow, findings).await;
    }
    if options.name.is_none() {
        let uses_own = |resource: &Resource| resource.spec.options().workspace.is_none();
        if let Some(key) = &own_key
            && !listed.resources.iter().any(uses_own)
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

/// There is nothing to look at.
fn missing(options: &Options, namespace: Option<&str>, others: &[String], findings: &mut Findings) {
    const CHECK: &str = "resource";
    const MOST: usize = 10;
    let (place, flag) = match namespace {
        Some(name) => (format!("the namespace {name}"), format!(" -n {name}")),
        None => ("the cluster".to_owned(), String::new()),
    };
    let subject = namespace.unwrap_or("cluster");
    let login = format!("unstructured-operator login dropbox --apply{flag}");
    let Some(name) = &options.name else {
        let message = format!("there is no resource in {place}");
        return findings.wrong(subject, CHECK, message, login);
    };
    let list = format!("kubectl{flag} get unstructured");
    let (others, next) = match others.split_at(others.len().min(MOST)) {
        ([], _) => ("nor any other".to_owned(), format!("{login} --name {name}")),
        (named, []) => (format!("existing resources: {}", named.join(", ")), list),
        (named, more) => {
            let named = named.join(", ");
            let others = format!("existing resources: {named}, and {} more", more.len());
            (others, list)
        }
    };
    let message = format!("there is no resource {name} in {place}; {others}");
    findings.wrong(subject, CHECK, message, next);
}
