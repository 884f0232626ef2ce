//! What one test plays on: a namespace of its own on the shared control plane, a fake of each API, and an operator that watches
//! this namespace only.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::canary::canary;
use crate::controlplane::ControlPlane;
use crate::fake::unstructured::WorkspaceHandle;
use crate::fake::{
    FakeCollector, FakeDropbox, FakePinecone, FakeUnstructured, Recorded, collector,
};
use crate::operator::{Operator, Settings};
use crate::witness::{Judge, Witness};

/// How long anything that has to come may take on a busy machine. Nothing is asserted about how long it takes.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The operator's own API key on every stage.
pub const API_KEY: &str = "operator-key-4f1c9a7be2d05836";
/// The credentials that the stage's Secret holds and the fake of Dropbox accepts.
pub const APP_KEY: &str = "app-key-91d7c2f0a4";
/// See [`APP_KEY`].
pub const APP_SECRET: &str = "app-secret-6be01f9c37";
/// The API key that the fake of Pinecone accepts.
pub const PINECONE_KEY: &str = "pcsk-5e0a17f3c28b4d96";
/// See [`APP_KEY`].
pub const REFRESH_TOKEN: &str = "refresh-token-c4a8305d1e7f42b9";

/// The stage. Whatever is played on it, this is looked at when it is dropped: every version of every resource that could be seen,
/// by the judge; and, for every value that was ever put into a Secret, those versions, all that operators printed, and all traces
/// that they sent.
pub struct Stage {
    /// Talks to the API server as an administrator.
    pub client: Client,
    /// The control plane.
    pub plane: &'static ControlPlane,
    /// The namespace of this test.
    pub namespace: String,
    /// The fake of Unstructured.
    pub api: FakeUnstructured,
    /// The workspace of the operator's own key.
    pub workspace: WorkspaceHandle,
    /// The fake of Dropbox, which accepts the credentials above.
    pub dropbox: FakeDropbox,
    /// The fake of Pinecone, which accepts [`PINECONE_KEY`] and has the index `contracts`.
    pub pinecone: FakePinecone,
    /// The kind of the resources that are played with: `DropboxSource`, unless a test chooses another.
    pub kind: ApiResource,
    /// How operators are started; change its environment before [`Stage::operator`].
    pub settings: Settings,
    /// Takes the traces of all operators, once [`Stage::trace`] has been called.
    pub collector: FakeCollector,
    directory: tempfile::TempDir,
    /// Looks at all versions of all resources in the end.
    pub judge: Judge,
    witness: Witness,
    /// Every value that was ever put into a Secret.
    secrets: Mutex<Vec<String>>,
}

impl Stage {
    /// Prepares everything but the operator.
    pub async fn new(binary: &str) -> Result<Self> {
        Self::on(ControlPlane::shared().await?, binary).await
    }

    /// The same on a control plane that the test may break.
    pub async fn on(plane: &'static ControlPlane, binary: &str) -> Result<Self> {
        let client = plane.client()?;
        install_definition(&client).await?;
        let namespace = format!("t{:010x}", fastrand::u64(..1 << 40));
        create_namespace(&client, &namespace).await?;
        let witness = Witness::of(resources(&client, &namespace));
        let api = FakeUnstructured::start();
        let workspace = api.workspace(API_KEY);
        let dropbox = FakeDropbox::start();
        dropbox.accept(APP_KEY, APP_SECRET, REFRESH_TOKEN);
        let pinecone = FakePinecone::start();
        pinecone.accept(PINECONE_KEY, &["contracts"]);
        let directory = tempfile::tempdir()?;
        let settings = Settings {
            binary: PathBuf::from(binary),
            directory: directory.path().to_owned(),
            environment: environment(
                plane.kubeconfig_path(),
                &namespace,
                &api.url(),
                &dropbox.url(),
            ),
        };
        let mut stage = Self {
            client,
            plane,
            namespace,
            api,
            workspace,
            dropbox,
            pinecone,
            kind: dropbox_source(),
            settings,
            collector: FakeCollector::start(),
            directory,
            judge: |_| Vec::new(),
            witness,
            secrets: Mutex::new(vec![API_KEY.to_owned()]),
        };
        stage.set("VALIDATE_PINECONE_CREDENTIALS", "true");
        stage.set("PINECONE_API_URL", &stage.pinecone.url());
        Ok(stage)
    }

    /// A directory that goes with the stage.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sets an environment variable of the operators that are started from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.environment.retain(|(known, _)| known != name);
        self.settings
            .environment
            .push((name.to_owned(), value.to_owned()));
    }

    /// Lets the operators that are started from now on send their traces.
    pub fn trace(&mut self) {
        let collector = self.collector.url();
        self.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector);
        // Milliseconds until a batch is sent that is not full.
        self.set("OTEL_BSP_SCHEDULE_DELAY", "100");
    }

    /// Starts an operator and waits until it works.
    pub async fn operator(&self) -> Result<Operator> {
        let mut operator = self.begin().await?;
        operator.ready().await?;
        Ok(operator)
    }

    /// Starts an operator that may have to wait for something before it works.
    pub async fn begin(&self) -> Result<Operator> {
        Operator::start(&self.settings).await
    }

    /// The resources of this namespace that are of the kind that is played with.
    pub fn sources(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &self.kind)
    }

    /// Creates a resource of the kind that is played with, whose spec is exactly this.
    pub async fn create_plain(&self, name: &str, spec: &Value) -> kube::Result<DynamicObject> {
        let mut object = DynamicObject::new(name, &self.kind);
        object.data = json!({ "spec": spec });
        self.sources().create(&PostParams::default(), &object).await
    }

    /// Every version of every resource that could be seen until now, oldest first.
    pub async fn versions(&self) -> Result<Vec<DynamicObject>> {
        let now = self.sources().list(&ListParams::default()).await?;
        // The witness may lag behind.
        eventually("the witness sees what is there", || {
            let seen = self.witness.versions();
            let is_seen = |object: &DynamicObject| {
                let version = object.resource_version();
                seen.iter().any(|seen| seen.resource_version() == version)
            };
            now.items.iter().all(is_seen).then_some(seen)
        })
        .await
    }

    /// The Secrets of this namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Remembers a value that must not be found anywhere outside of a Secret and the fakes.
    pub fn keep_secret(&self, value: &str) {
        // Shorter ones would be found where they are not.
        const SHORTEST: usize = 8;
        let value = value.trim();
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if value.len() >= SHORTEST && !secrets.iter().any(|known| known == value) {
            secrets.push(value.to_owned());
        }
    }

    /// Creates the Secret `name` with these entries, or replaces all of its entries.
    pub async fn secret(&self, name: &str, entries: &[(&str, &str)]) -> Result<()> {
        let data: serde_json::Map<String, Value> = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        for (_, value) in entries {
            self.keep_secret(value);
        }
        let secret: Secret =
            serde_json::from_value(json!({ "metadata": { "name": name }, "stringData": data }))?;
        let (secrets, params) = (self.secrets(), PostParams::default());
        match secrets.create(&params, &secret).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                secrets.replace(name, &params, &secret).await
            }
            created => created,
        }
        .context("the Secret cannot be written")?;
        Ok(())
    }

    /// Changes one entry of a Secret, as a rotation does.
    pub async fn rotate(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.keep_secret(value);
        let patch = json!({ "stringData": { key: value } });
        self.secrets()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Creates the Secret `dropbox` with credentials that are good.
    pub async fn good_secret(&self) -> Result<()> {
        let entries = [
            ("app_key", APP_KEY),
            ("app_secret", APP_SECRET),
            ("refresh_token", REFRESH_TOKEN),
        ];
        self.secret("dropbox", &entries).await
    }

    /// Creates a resource whose spec is `spec` over a sensible default (folder `dropbox://data`, Secret `dropbox`).
    pub async fn create(&self, name: &str, spec: Value) -> kube::Result<DynamicObject> {
        let object: DynamicObject = manifest(name, spec);
        self.sources().create(&PostParams::default(), &object).await
    }

    /// Changes the spec of a resource by a merge patch.
    pub async fn edit(&self, name: &str, spec: Value) -> kube::Result<DynamicObject> {
        self.sources()
            .patch(
                name,
                &PatchParams::default(),
                &Patch::Merge(json!({ "spec": spec })),
            )
            .await
    }

    /// Writes the whole status as a backup tool does, under a field manager of its own.
    pub async fn overwrite_status(&self, name: &str, status: &Value) -> Result<()> {
        let mut object = self.sources().get(name).await?;
        object.data["status"] = status.clone();
        let params = PostParams {
            field_manager: Some("velero".to_owned()),
            ..PostParams::default()
        };
        self.sources()
            .replace_subresource("status", name, &params, &object)
            .await?;
        Ok(())
    }

    /// Sets an annotation.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) -> Result<()> {
        let patch = json!({ "metadata": { "annotations": { annotation: value } } });
        self.sources()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Asks for the deletion of a resource.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.sources()
            .delete(name, &DeleteParams::default())
            .await?;
        Ok(())
    }

    /// Waits until the resource is gone.
    pub async fn gone(&self, name: &str) -> Result<()> {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut last = None;
        while tokio::time::Instant::now() < end {
            match self.sources().get_opt(name).await? {
                None => return Ok(()),
                Some(object) => last = Some(object),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{name} is still there: {}", show(last.as_ref()))
    }

    /// Waits until a resource satisfies `what` and returns it.
    pub async fn until(
        &self,
        name: &str,
        what: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut last = None;
        while tokio::time::Instant::now() < end {
            last = self.sources().get_opt(name).await?;
            if let Some(object) = last.as_ref().filter(|object| what(object)) {
                return Ok(object.clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!(
            "{name} never became what was waited for; it is {}",
            show(last.as_ref())
        )
    }

    /// Waits until a resource is Ready for its present generation.
    pub async fn until_ready(&self, name: &str) -> Result<DynamicObject> {
        self.until(name, |object| {
            condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
                && observed(object)
        })
        .await
    }

    /// Creates a resource, waits until it is ready and tells the id of its connector.
    pub async fn create_ready(&self, name: &str, spec: Value) -> Result<String> {
        self.create(name, spec).await?;
        let ready = self.until_ready(name).await?;
        let id = source_id(&ready).context("a resource without a connector is ready")?;
        Ok(id.to_owned())
    }

    /// Waits until a resource's Ready condition has this reason, for its present generation.
    pub async fn until_reason(&self, name: &str, reason: &str) -> Result<DynamicObject> {
        self.until(name, |object| {
            condition(object, "Ready").is_some_and(|ready| ready["reason"] == reason)
                && observed(object)
        })
        .await
    }

    /// The events about a resource, as (type, reason, note).
    pub async fn events(&self, name: &str) -> Result<Vec<(String, String, String)>> {
        let events: Api<k8s_openapi::api::events::v1::Event> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let all = events.list(&ListParams::default()).await?;
        let about = all.items.into_iter().filter(|event| {
            event
                .regarding
                .as_ref()
                .is_some_and(|r| r.name.as_deref() == Some(name))
        });
        let text = |text: Option<String>| text.unwrap_or_default();
        Ok(about
            .map(|event| (text(event.type_), text(event.reason), text(event.note)))
            .collect())
    }

    /// Waits until an event with this reason about a resource exists and returns its note.
    pub async fn until_event(&self, name: &str, reason: &str) -> Result<String> {
        let end = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < end {
            if let Some((_, _, note)) = self
                .events(name)
                .await?
                .into_iter()
                .find(|(_, known, _)| known == reason)
            {
                return Ok(note);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!(
            "no event {reason} about {name}; there are {:?}",
            self.events(name).await?
        )
    }

    /// The requests for a connector that the fake of Unstructured received.
    pub fn creates(&self) -> Vec<Recorded> {
        self.requests("POST", |path| path == COLLECTION)
    }

    /// The requests for a list of connectors.
    pub fn lists(&self) -> Vec<Recorded> {
        self.requests("GET", |path| path == COLLECTION)
    }

    /// The requests that replace a configuration.
    pub fn updates(&self) -> Vec<Recorded> {
        self.requests("PUT", |_| true)
    }

    /// The requests to delete a connector.
    pub fn deletes(&self) -> Vec<Recorded> {
        self.requests("DELETE", |_| true)
    }

    /// The requests for a connection check.
    pub fn checks(&self) -> Vec<Recorded> {
        self.requests("POST", |path| path.ends_with("/connection-check"))
    }

    fn requests(&self, method: &str, path: impl Fn(&str) -> bool) -> Vec<Recorded> {
        let mut requests = self.api.requests();
        requests.retain(|request| request.method == method && path(&request.path));
        requests
    }

    /// Waits until the workspace of the operator's own key was listed, and the list answered, this many more times.
    pub async fn after_sweeps(&self, count: usize) -> Result<()> {
        let answered = |requests: &[Recorded]| {
            let ours = |request: &&Recorded| {
                request.method == "GET"
                    && request.path == COLLECTION
                    && request.api_key() == Some(API_KEY)
                    && request.status().is_some()
            };
            requests.iter().filter(ours).count()
        };
        let before = answered(&self.api.requests());
        let enough = |requests: &[Recorded]| answered(requests) >= before + count;
        self.api.wait_for(enough, PATIENCE).await?;
        Ok(())
    }

    /// How many requests have written anything to Unstructured.
    pub fn writes(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|request| request.method != "GET")
            .count()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let versions = self.witness.versions();
        let complaints = self.witness.judged_by(self.judge);
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));

        let secrets = self.secrets.get_mut();
        let secrets = secrets.unwrap_or_else(PoisonError::into_inner);
        let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
        let canary = canary(&secrets);
        let statuses = versions
            .iter()
            .map(|object| format!("{}\n", object.data["status"]));
        canary.assert_absent("a status", &statuses.collect::<String>());
        for batch in self.collector.requests() {
            // As bytes too: what the fake does not read of a span might hold it.
            canary.assert_absent("a trace", &format!("{:?}", collector::spans(&batch)));
            canary.assert_absent("a trace", &String::from_utf8_lossy(&batch.body));
        }
        let logs = std::fs::read_dir(self.directory.path())
            .into_iter()
            .flatten();
        for log in logs.flatten().filter(|file| is_log(&file.path())) {
            let bytes = std::fs::read(log.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            canary.assert_absent("a log", &text);
            let panics = text
                .lines()
                .filter(|line| line.contains("\"message\":\"panic\""));
            let panics: Vec<_> = panics.collect();
            assert!(panics.is_empty(), "an operator panicked: {panics:?}");
        }
    }
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

/// Path of all connectors.
const COLLECTION: &str = "/api/v1/sources/";

/// A resource whose spec is `spec` over a sensible default.
pub fn manifest(name: &str, spec: Value) -> DynamicObject {
    let mut complete = json!({
        "remoteUrl": "dropbox://data",
        "credentials": { "secretRef": { "name": "dropbox" } },
    });
    if let (Some(complete), Value::Object(spec)) = (complete.as_object_mut(), spec) {
        complete.extend(spec);
    }
    DynamicObject::new(name, &dropbox_source()).data(json!({ "spec": complete }))
}

/// A condition of a resource.
pub fn condition<'a>(object: &'a DynamicObject, kind: &str) -> Option<&'a Value> {
    object.data["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// The message of a condition, empty without one.
pub fn message<'a>(object: &'a DynamicObject, kind: &str) -> &'a str {
    condition(object, kind)
        .and_then(|condition| condition["message"].as_str())
        .unwrap_or_default()
}

/// The id of the resource's connector.
pub fn source_id(object: &DynamicObject) -> Option<&str> {
    object.data["status"]["sourceId"].as_str()
}

fn observed(object: &DynamicObject) -> bool {
    object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
}

fn show(object: Option<&DynamicObject>) -> String {
    object.map_or_else(
        || "not there".to_owned(),
        |object| serde_json::to_string_pretty(object).unwrap_or_default(),
    )
}

fn resources(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &dropbox_source())
}

/// How the API server knows `DropboxSource`.
pub fn dropbox_source() -> ApiResource {
    kind("DropboxSource")
}

/// How the API server knows a kind of ours.
pub fn kind(name: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("connectors.unstructured.io", "v1alpha1", name);
    ApiResource::from_gvk_with_plural(&kind, &format!("{}s", name.to_lowercase()))
}

/// The environment of an operator that works on these.
pub fn environment(
    kubeconfig: &Path,
    namespace: &str,
    api: &str,
    dropbox: &str,
) -> Vec<(String, String)> {
    let pairs = [
        ("KUBECONFIG", kubeconfig.display().to_string()),
        ("UNSTRUCTURED_API_URL", api.to_owned()),
        ("UNSTRUCTURED_API_KEY", API_KEY.to_owned()),
        ("DROPBOX_API_URL", dropbox.to_owned()),
        // Whoever has a fake of it says so.
        ("VALIDATE_PINECONE_CREDENTIALS", "false".to_owned()),
        ("ALLOW_INSECURE_HTTP", "true".to_owned()),
        ("WATCH_NAMESPACES", namespace.to_owned()),
        ("POD_NAMESPACE", namespace.to_owned()),
        ("CLUSTER_NAME", "test".to_owned()),
        ("REQUEST_TIMEOUT", "5s".to_owned()),
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("LOG_FORMAT", "json".to_owned()),
        ("LOG_LEVEL", "trace".to_owned()),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// Creates a namespace.
pub async fn create_namespace(client: &Client, name: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .context("the namespace cannot be created")?;
    Ok(())
}

/// Applies the checked-in definitions and waits until the API server serves them.
pub async fn install_definition(client: &Client) -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let files = std::fs::read_dir(&directory)
        .with_context(|| format!("cannot read {}", directory.display()))?;
    for file in files {
        let text = std::fs::read_to_string(file?.path())?;
        install(client, serde_yaml::from_str(&text)?).await?;
    }
    Ok(())
}

async fn install(client: &Client, definition: CustomResourceDefinition) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = definition.name_any();
    let params = PatchParams::apply("tests").force();
    definitions
        .patch(&name, &params, &Patch::Apply(&definition))
        .await
        .context("the definition is refused")?;
    let established = await_condition(definitions, &name, conditions::is_crd_established());
    tokio::time::timeout(PATIENCE, established)
        .await
        .context("the definition is never established")??;
    // Its objects can be listed a moment later.
    let names = definition.spec.names;
    let kind = GroupVersionKind::gvk(&definition.spec.group, "v1alpha1", &names.kind);
    let kind = ApiResource::from_gvk_with_plural(&kind, &names.plural);
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = objects.list(&ListParams::default().limit(1)).await {
        if tokio::time::Instant::now() > end {
            return Err(error).context("the kind is never served");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits until `what` holds.
pub async fn eventually<T: Debug>(what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < end {
        if let Some(found) = probe() {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("never happened: {what}")
}
