//! Makes the job. Each run costs money: whatever goes wrong, the request is sent once.

use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::options::StartOptions;
use crate::cluster::{find_definition, sentence};
use crate::crd::{UnstructuredJob, UnstructuredJobSpec, UnstructuredWorkflow, WorkflowReference};
use crate::exit::Exit;
use crate::kube_error::is_forbidden;
use crate::scrub::one_line;

/// Makes the job, and returns its name.
pub(super) async fn make(
    client: &Client,
    namespace: &str,
    options: &StartOptions,
) -> Result<String, Exit> {
    find_definition::<UnstructuredWorkflow>(client).await?;
    find_definition::<UnstructuredJob>(client).await?;
    let workflow = &options.workflow;
    let workflows: Api<UnstructuredWorkflow> = Api::namespaced(client.clone(), namespace);
    let found = workflows.get_metadata_opt(workflow).await;
    let found = found.map_err(|error| {
        let what = format!("the UnstructuredWorkflow {namespace}/{workflow} cannot be read");
        Exit::Failed(sentence(&error, &what))
    })?;
    match found {
        None => {
            return Err(Exit::Failed(format!(
                "there is no UnstructuredWorkflow {namespace}/{workflow}: name one that kubectl get uwf -n {namespace} shows, or another \
                 namespace with -n"
            )));
        }
        Some(workflow) if workflow.metadata.deletion_timestamp.is_some() => {
            return Err(Exit::Failed(format!(
                "the UnstructuredWorkflow {namespace}/{} is being deleted: nothing is started",
                workflow.name_any()
            )));
        }
        Some(_) => {}
    }
    let mut job = UnstructuredJob::new(
        "",
        UnstructuredJobSpec {
            workflow_ref: WorkflowReference {
                name: workflow.clone(),
            },
            on_active: options.on_active,
            timeout: options.timeout.clone(),
            cancel: false,
            ttl_after_finished: None,
        },
    );
    job.metadata.name = None;
    job.metadata.generate_name = Some(format!("{workflow}-"));
    let jobs: Api<UnstructuredJob> = Api::namespaced(client.clone(), namespace);
    match jobs.create(&PostParams::default(), &job).await {
        Ok(made) => Ok(made.name_any()),
        Err(error) => Err(Exit::Failed(not_made(&error, namespace))),
    }
}

fn not_made(error: &kube::Error, namespace: &str) -> String {
    let what = format!("an UnstructuredJob cannot be created in {namespace}");
    match error {
        _ if is_forbidden(error) => sentence(error, &what),
        kube::Error::Api(status) if matches!(status.code, 400..500) && status.code != 401 => {
            format!("{what}: {}", one_line(&status.message))
        }
        kube::Error::Api(status) if status.code == 401 => sentence(error, &what),
        _ => format!(
            "the cluster did not respond: the job may have been created, and each run costs money; look with kubectl get ujob -n {namespace} \
             before you do this again"
        ),
    }
}
