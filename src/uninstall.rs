//! `unstructured-operator uninstall`: the definition goes, and every resource with it; every connector stays where it is.
//!
//! It needs no operator. One that still runs sees that the definition is going, lets the resources go as well and leaves the connectors
//! alone; one whose rights were taken away first cannot, and the definition would be in deletion for ever.

use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams,
    Preconditions,
};
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use serde_json::json;

use crate::cluster::sentence;
use crate::crd::{DropboxSource, FINALIZER};
use crate::options::{self, Exit};
use crate::output::print;

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unstructured-operator uninstall --yes
It also ends a deletion that hangs because the operator or its rights went
first. Connectors that are to go have to be deleted before, with their
resources: kubectl delete dropboxsources --all --all-namespaces";

/// How long the API server may take between two looks. It goes through the resources in steps of seconds itself.
const BEAT: Duration = Duration::from_millis(500);

/// Resources that are let go at once.
const AT_ONCE: usize = 16;

/// Whether it is meant, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Really delete the definition and every resource in the cluster
    #[arg(long)]
    yes: bool,

    /// How long it may take
    #[arg(long, value_name = "DURATION", default_value = "4m", value_parser = options::duration)]
    timeout: Duration,

    /// The kubeconfig [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// The kubeconfig's context [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Deletes the definition, waits until it is gone, and prints which connectors stay.
///
/// # Errors
///
/// [`Exit::Failed`] when a right is missing, or when something else holds a resource for longer than the timeout.
pub async fn run(options: &Options) -> Result<(), Exit> {
    if !options.yes {
        return Err(Exit::Refused(
            "this deletes every DropboxSource of the cluster and their definition, and leaves the connectors: add --yes if that is meant"
                .to_owned(),
        ));
    }
    let target = options::Cluster {
        kubeconfig: options.kubeconfig.clone(),
        context: options.context.clone(),
        namespace: None,
    };
    let (client, _) = target.connect()?;
    let cluster = Cluster::of(&client);
    let Some(uid) = cluster.definition().await? else {
        return print("DropboxSource is not installed: there is nothing to delete.\n");
    };
    let resources = cluster.resources().await?;
    for resource in &resources {
        if let Some(id) = resource.data["status"]["sourceId"].as_str() {
            print(&format!("{} leaves connector {id}\n", full_name(resource)))?;
        }
    }
    cluster.delete_definition(&uid).await?;
    match tokio::time::timeout(options.timeout, cluster.let_go(&uid)).await {
        Ok(done) => done?,
        Err(_) => return Err(cluster.held().await?),
    }
    print(&format!(
        "The definition and {} resources are gone; no connector was deleted.\n",
        resources.len()
    ))
}

struct Cluster {
    definitions: Api<CustomResourceDefinition>,
    resources: Api<DynamicObject>,
}

impl Cluster {
    fn of(client: &Client) -> Self {
        let kind = ApiResource::erase::<DropboxSource>(&());
        Self {
            definitions: Api::all(client.clone()),
            resources: Api::all_with(client.clone(), &kind),
        }
    }

    /// The definition's identity, if it is there.
    async fn definition(&self) -> Result<Option<String>, Exit> {
        let definition: Option<PartialObjectMeta<CustomResourceDefinition>> = self
            .definitions
            .get_metadata_opt(DropboxSource::crd_name())
            .await
            .map_err(|error| failed("the definition cannot be read", &error))?;
        Ok(definition.and_then(|definition| definition.uid()))
    }

    async fn delete_definition(&self, uid: &str) -> Result<(), Exit> {
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        match self
            .definitions
            .delete(DropboxSource::crd_name(), &params)
            .await
        {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            Err(error) => Err(failed("the definition cannot be deleted", &error)),
            Ok(_) => Ok(()),
        }
    }

    /// Every resource; none once the definition is gone.
    async fn resources(&self) -> Result<Vec<DynamicObject>, Exit> {
        match self.resources.list(&ListParams::default()).await {
            Ok(list) => Ok(list.items),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(failed("the resources cannot be listed", &error)),
        }
    }

    /// Takes the finalizer off whatever is being deleted, until the definition is gone. Not before: an operator would put it on again.
    async fn let_go(&self, uid: &str) -> Result<(), Exit> {
        while self.definition().await?.as_deref() == Some(uid) {
            let resources = self.resources().await?.into_iter();
            futures::stream::iter(resources.filter(is_ours))
                .map(|resource| self.release(resource))
                .buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
            tokio::time::sleep(BEAT).await;
        }
        Ok(())
    }

    async fn release(&self, resource: DynamicObject) -> Result<(), Exit> {
        let finalizers = resource.finalizers().iter();
        let others: Vec<_> = finalizers.filter(|f| *f != FINALIZER).collect();
        let metadata =
            json!({ "resourceVersion": resource.resource_version(), "finalizers": others });
        let namespace = resource.namespace().unwrap_or_default();
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.resources.clone().into_client(),
            &namespace,
            &ApiResource::erase::<DropboxSource>(&()),
        );
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match api
            .patch(&resource.name_any(), &PatchParams::default(), &patch)
            .await
        {
            // The operator was faster, or somebody else wrote: the next look tells.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                Ok(())
            }
            Err(error) => {
                let what = format!("{} cannot be let go", full_name(&resource));
                Err(failed(&what, &error))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Who is in the way.
    async fn held(&self) -> Result<Exit, Exit> {
        let resources = self.resources().await?;
        let line = match resources.first() {
            Some(resource) => format!(
                "the definition is not gone yet: {} is held by the finalizers {}; let their owners finish, then do this again",
                full_name(resource),
                resource.finalizers().join(", ")
            ),
            None => "the definition is not gone yet: wait for the API server, then do this again"
                .to_owned(),
        };
        Ok(Exit::Failed(line))
    }
}

/// Whether it is being deleted and waits for an operator.
fn is_ours(resource: &DynamicObject) -> bool {
    resource.metadata.deletion_timestamp.is_some()
        && resource.finalizers().iter().any(|f| f == FINALIZER)
}

fn full_name(resource: &DynamicObject) -> String {
    let namespace = resource.namespace().unwrap_or_default();
    format!("{namespace}/{}", resource.name_any())
}

fn failed(what: &str, error: &kube::Error) -> Exit {
    Exit::Failed(sentence(error, what))
}
