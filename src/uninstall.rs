//! `unstructured-operator uninstall`: the definitions go, and every resource with them; every connector and workflow stays where it is.
//!
//! It needs no operator. One that still runs sees that the definition is going, lets the resources go as well and leaves the connectors
//! alone; one whose rights were taken away first cannot, and the definition would be in deletion for ever.

use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, PartialObjectMeta, Patch, PatchParams, Preconditions,
};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::cluster::sentence;
use crate::crd::{self, Defined, FINALIZER};
use crate::engine::key::Key;
use crate::kube_error::{is_conflict, is_missing};
use crate::options::{self, Exit};
use crate::output::print;

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  unstructured-operator uninstall --yes

It also finishes a deletion that hangs because the operator or its permissions
were deleted first. To delete the connectors too, delete their resources first:
kubectl delete unstructured --all --all-namespaces";

/// How long the API server may take between two looks. It goes through the resources in steps of seconds itself.
const BEAT: Duration = Duration::from_millis(500);

/// Resources that are let go at once.
const AT_ONCE: usize = 16;

/// Whether it is meant, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Really delete the CRDs and every resource in the cluster
    #[arg(long)]
    yes: bool,

    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "4m", value_parser = options::duration)]
    timeout: Duration,

    /// Use this kubeconfig [default: KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// Use this context of the kubeconfig [default: its current one]
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
            "this deletes the CRDs and every resource in the cluster, and keeps the connectors, workflows and runs in Unstructured: to confirm, add --yes"
                .to_owned(),
        ));
    }
    let target = options::Cluster {
        kubeconfig: options.kubeconfig.clone(),
        context: options.context.clone(),
        namespace: None,
    };
    let (client, _) = target.connect()?;
    let mut installed = Vec::new();
    for kind in &crd::ALL {
        let definition = Definition::of(&client, kind);
        if let Some(uid) = definition.uid().await? {
            installed.push((definition, uid));
        }
    }
    if installed.is_empty() {
        return print("No kind is installed: there is nothing to delete.\n");
    }
    let mut count = 0;
    for (definition, _) in &installed {
        for resource in &definition.resources().await? {
            count += 1;
            if let Some(id) = resource.data["status"][definition.kind.id_field].as_str() {
                let name = definition.full_name(resource);
                print(&format!("{name} leaves {id}\n"))?;
            }
        }
    }
    for (definition, uid) in &installed {
        definition.delete(uid).await?;
    }
    let all = installed
        .iter()
        .map(|(definition, uid)| definition.let_go(uid));
    match tokio::time::timeout(options.timeout, futures::future::try_join_all(all)).await {
        Ok(done) => done.map(drop)?,
        Err(_) => return Err(held(&installed).await?),
    }
    print(&format!(
        "The CRDs and {count} resources are gone; nothing was deleted in Unstructured.\n"
    ))
}

/// The definition of a kind, and its resources.
struct Definition {
    kind: &'static Defined,
    definitions: Api<CustomResourceDefinition>,
    resources: Api<DynamicObject>,
}

impl Definition {
    fn of(client: &Client, kind: &'static Defined) -> Self {
        Self {
            kind,
            definitions: Api::all(client.clone()),
            resources: Api::all_with(client.clone(), &kind.api_resource()),
        }
    }

    /// Its identity, if it is there.
    async fn uid(&self) -> Result<Option<String>, Exit> {
        let definition: Option<PartialObjectMeta<CustomResourceDefinition>> = self
            .definitions
            .get_metadata_opt(&self.kind.definition_name())
            .await
            .map_err(|error| failed("the CRD cannot be read", &error))?;
        Ok(definition.and_then(|definition| definition.uid()))
    }

    async fn delete(&self, uid: &str) -> Result<(), Exit> {
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
        match self
            .definitions
            .delete(&self.kind.definition_name(), &params)
            .await
        {
            Err(error) if is_settled(&error) => Ok(()),
            Err(error) => Err(failed("the CRD cannot be deleted", &error)),
            Ok(_) => Ok(()),
        }
    }

    /// Every resource; none once the definition is gone.
    async fn resources(&self) -> Result<Vec<DynamicObject>, Exit> {
        match self.resources.list(&ListParams::default()).await {
            Ok(list) => Ok(list.items),
            Err(error) if is_missing(&error) => Ok(Vec::new()),
            Err(error) => Err(failed("the resources cannot be listed", &error)),
        }
    }

    /// Takes the finalizer off whatever is being deleted, until the definition is gone. Not before: an operator would put it on again.
    async fn let_go(&self, uid: &str) -> Result<(), Exit> {
        while self.uid().await?.as_deref() == Some(uid) {
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
            &self.kind.api_resource(),
        );
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match api
            .patch(&resource.name_any(), &PatchParams::default(), &patch)
            .await
        {
            Err(error) if is_settled(&error) => Ok(()),
            Err(error) => {
                let what = format!("{} cannot be released", self.full_name(&resource));
                Err(failed(&what, &error))
            }
            Ok(_) => Ok(()),
        }
    }

    fn full_name(&self, resource: &DynamicObject) -> String {
        let namespace = resource.namespace().unwrap_or_default();
        Key::new(self.kind.name, &namespace, &resource.name_any()).to_string()
    }
}

/// Who is in the way.
async fn held(definitions: &[(Definition, String)]) -> Result<Exit, Exit> {
    for (definition, _) in definitions {
        if let Some(resource) = definition.resources().await?.first() {
            return Ok(Exit::Failed(format!(
                "the CRD is not gone yet: {} is held by the finalizers {}; let their owners finish, then do this again",
                definition.full_name(resource),
                resource.finalizers().join(", ")
            )));
        }
    }
    Ok(Exit::Failed(
        "the CRDs are not gone yet: wait for the API server, then do this again".to_owned(),
    ))
}

/// Whether it is being deleted and waits for an operator.
fn is_ours(resource: &DynamicObject) -> bool {
    resource.metadata.deletion_timestamp.is_some()
        && resource.finalizers().iter().any(|f| f == FINALIZER)
}

/// Whether the object is gone already, or somebody else wrote to it: the next look tells.
fn is_settled(error: &kube::Error) -> bool {
    is_missing(error) || is_conflict(error)
}

fn failed(what: &str, error: &kube::Error) -> Exit {
    Exit::Failed(sentence(error, what))
}
