//! A cluster for one test of the chart: a control plane, a node, both fakes, and what an installation is given.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use support::controlplane::ControlPlane;
use support::fake::unstructured::WorkspaceHandle;
use support::fake::{FakeDropbox, FakePinecone, FakeUnstructured};
use support::kubelet::{Image, Kubelet};
use support::stage::{API_KEY, APP_KEY, APP_SECRET, PATIENCE, REFRESH_TOKEN, condition, manifest};
use tokio::time::Instant;

use crate::OPERATOR;
use crate::chart::{chart, helm};

/// Where the operator is installed, under the restricted standard.
pub const SYSTEM: &str = "unstructured-operator";
/// Where the resources are.
pub const TEAM: &str = "legal";
/// The release.
pub const RELEASE: &str = "unstructured-operator";
/// What the release calls its cluster role.
pub const CLUSTER_ROLE: &str = "unstructured-operator:unstructured-operator";
const ACCOUNT: &str = "system:serviceaccount:unstructured-operator:unstructured-operator";

/// A cluster with one node, into which nothing has been installed yet.
pub struct Cluster {
    pub plane: ControlPlane,
    pub client: Client,
    pub kubelet: Kubelet,
    pub api: Arc<FakeUnstructured>,
    pub workspace: WorkspaceHandle,
    dropbox: Arc<FakeDropbox>,
    pinecone: Arc<FakePinecone>,
    pub directory: tempfile::TempDir,
}

impl Cluster {
    /// Pods run the operator under test.
    pub async fn start() -> Result<Self> {
        Self::of(Image::Binary(OPERATOR.into())).await
    }

    /// Pods run this image.
    pub async fn of(image: Image) -> Result<Self> {
        let api = Arc::new(FakeUnstructured::start());
        let workspace = api.workspace(API_KEY);
        let dropbox = Arc::new(FakeDropbox::start());
        dropbox.accept(APP_KEY, APP_SECRET, REFRESH_TOKEN);
        let pinecone = Arc::new(FakePinecone::start());
        Self::with(image, api, workspace, dropbox, pinecone).await
    }

    /// Another cluster on the same workspace.
    pub async fn beside(other: &Self) -> Result<Self> {
        let image = Image::Binary(OPERATOR.into());
        let (api, workspace) = (other.api.clone(), other.workspace.clone());
        let (dropbox, pinecone) = (other.dropbox.clone(), other.pinecone.clone());
        Self::with(image, api, workspace, dropbox, pinecone).await
    }

    async fn with(
        image: Image,
        api: Arc<FakeUnstructured>,
        workspace: WorkspaceHandle,
        dropbox: Arc<FakeDropbox>,
        pinecone: Arc<FakePinecone>,
    ) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        // As kube ships it, the client tries again after a 429, which is what a refused eviction is.
        let mut config = plane.client_config();
        config.default_retry = false;
        let client = Client::try_from(config)?;
        for (name, standard) in [(SYSTEM, "restricted"), (TEAM, "baseline")] {
            let namespaces: Api<Namespace> = Api::all(client.clone());
            let labels = json!({ "pod-security.kubernetes.io/enforce": standard });
            let namespace = json!({ "metadata": { "name": name, "labels": labels } });
            let namespace = serde_json::from_value(namespace)?;
            namespaces
                .create(&PostParams::default(), &namespace)
                .await?;
        }
        let kubelet = Kubelet::start(&plane, SYSTEM, image).await?;
        let directory = tempfile::tempdir()?;
        let mut values = settings(&api, &dropbox, &pinecone);
        values["apiKey"] = json!({ "existingSecret": "unstructured" });
        values["clusterName"] = json!("test");
        std::fs::write(directory.path().join("values.yaml"), values.to_string())?;
        let cluster = Self {
            plane,
            client,
            kubelet,
            api,
            workspace,
            dropbox,
            pinecone,
            directory,
        };
        cluster.own_key().await?;
        cluster.credentials().await?;
        Ok(cluster)
    }

    /// Dropbox and Pinecone take what the Secrets in `examples` hold, to the letter.
    pub fn accept_the_examples(&self) {
        let dropbox = ["your-app-key", "your-app-secret", "your-refresh-token"];
        self.dropbox.accept(dropbox[0], dropbox[1], dropbox[2]);
        self.pinecone
            .accept("your-pinecone-api-key", &["contracts"]);
    }

    /// The chart's values without which no release works here.
    pub fn settings(&self) -> Value {
        settings(&self.api, &self.dropbox, &self.pinecone)
    }

    /// The Secret with the operator's own key.
    pub async fn own_key(&self) -> Result<()> {
        let key = json!({ "api_key": API_KEY });
        self.secret(SYSTEM, "unstructured", &key).await
    }

    /// What the chart's values say of the fakes, as variables of a container that the chart does not make.
    pub fn variables(&self) -> Vec<Value> {
        let plain = [
            ("CLUSTER_NAME", "test".to_owned()),
            ("UNSTRUCTURED_API_URL", self.api.url()),
            ("DROPBOX_API_URL", self.dropbox.url()),
            ("PINECONE_API_URL", self.pinecone.url()),
            ("ALLOW_INSECURE_HTTP", "true".to_owned()),
            ("REQUEST_TIMEOUT", "5s".to_owned()),
        ];
        let plain = plain.map(|(name, value)| json!({ "name": name, "value": value }));
        let key = json!({ "name": "UNSTRUCTURED_API_KEY", "valueFrom": {
            "secretKeyRef": { "name": "unstructured", "key": "api_key" },
        }});
        plain.into_iter().chain([key]).collect()
    }

    /// The Secret with what Dropbox accepts.
    pub async fn credentials(&self) -> Result<()> {
        self.credentials_as("dropbox").await
    }

    /// The same, under another name.
    pub async fn credentials_as(&self, name: &str) -> Result<()> {
        let credentials =
            json!({ "app_key": APP_KEY, "app_secret": APP_SECRET, "refresh_token": REFRESH_TOKEN });
        self.secret(TEAM, name, &credentials).await
    }

    /// Creates a Secret, or changes what it holds.
    pub async fn secret(&self, namespace: &str, name: &str, data: &Value) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data });
        let params = PatchParams::apply("tests").force();
        secrets.patch(name, &params, &Patch::Apply(secret)).await?;
        Ok(())
    }

    /// `helm install` or `upgrade` that waits until every pod is ready.
    pub async fn deploy(&self, command: &[&str], chart: &Path, more: &[&str]) -> Result<()> {
        let values = self.directory.path().join("values.yaml");
        let (values, chart) = (values.display().to_string(), chart.display().to_string());
        let fixed = [
            &chart,
            "-n",
            SYSTEM,
            "-f",
            &values,
            "--wait",
            "--timeout",
            "120s",
        ];
        helm(&self.plane, &[command, &fixed, more].concat())
            .await
            .with_context(|| self.kubelet.logs())?;
        Ok(())
    }

    pub async fn install(&self, more: &[&str]) -> Result<()> {
        self.deploy(&["install", RELEASE], &chart(), more).await
    }

    pub fn sources(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("connectors.unstructured.io", "v1alpha1", "DropboxSource");
        let resource = ApiResource::from_gvk_with_plural(&kind, "dropboxsources");
        Api::namespaced_with(self.client.clone(), TEAM, &resource)
    }

    pub async fn create(&self, name: &str, spec: Value) -> Result<()> {
        let source = manifest(name, spec);
        self.sources()
            .create(&PostParams::default(), &source)
            .await?;
        Ok(())
    }

    pub async fn edit(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.sources()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Gives a resource to a shard.
    pub async fn assign(&self, name: &str, shard: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "shard": shard } } }));
        self.sources()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    pub async fn ready(&self, name: &str) -> Result<DynamicObject> {
        eventually(&format!("{name} is ready"), async || {
            let object = self.sources().get(name).await?;
            let observed = object.data["status"]["observedGeneration"].as_i64();
            let ready = condition(&object, "Ready").is_some_and(|ready| ready["status"] == "True");
            Ok((ready && observed == object.metadata.generation).then_some(object))
        })
        .await
        .with_context(|| self.kubelet.logs())
    }

    /// Deletes the definition, and with it every resource.
    pub async fn delete_definition(&self) -> Result<()> {
        const NAME: &str = "dropboxsources.connectors.unstructured.io";
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        definitions.delete(NAME, &DeleteParams::default()).await?;
        eventually("the definition is gone", async || {
            Ok(definitions.get_opt(NAME).await?.is_none().then_some(()))
        })
        .await
        .with_context(|| self.kubelet.logs())
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), SYSTEM)
    }

    pub async fn leader(&self) -> Result<String> {
        self.leader_of(RELEASE).await
    }

    /// The pod that leads the release of this full name.
    pub async fn leader_of(&self, release: &str) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), SYSTEM);
        let lease = leases.get(release).await?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity);
        let holder = holder.context("nobody leads")?;
        Ok(holder.rsplit_once('_').context("an identity")?.0.to_owned())
    }

    /// Whether the operator's service account may do something, as the API server sees it.
    pub async fn may(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
        place: Option<&str>,
        name: Option<&str>,
    ) -> Result<bool> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review: SubjectAccessReview = serde_json::from_value(json!({ "spec": {
            "user": ACCOUNT,
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": place.unwrap_or_default(), "name": name.unwrap_or_default(),
            },
        }}))?;
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.context("no answer")?.allowed)
    }
}

/// Where the fakes are.
fn settings(api: &FakeUnstructured, dropbox: &FakeDropbox, pinecone: &FakePinecone) -> Value {
    json!({
        "image": { "registry": "", "repository": "unstructured-operator" },
        "config": {
            "apiUrl": api.url(),
            "dropboxApiUrl": dropbox.url(),
            "pineconeApiUrl": pinecone.url(),
            "allowInsecureHttp": true,
            "requestTimeout": "5s",
            "jobInterval": "1s",
            "logLevel": "debug",
        },
    })
}

pub async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("never happened: {what}")
}
