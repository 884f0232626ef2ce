//! What is measured on: a control plane, both fakes, and the operator as a process.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use support::controlplane::{Component, ControlPlane};
use support::fake::unstructured::WorkspaceHandle;
use support::fake::{FakeDropbox, FakeUnstructured};
use support::operator::{Operator, Settings};
use support::stage::{self, API_KEY, environment, install_definition};
use tempfile::TempDir;

use crate::Options;
use crate::measure::{Reading, Tally};

/// Requests of ours that are under way at once while many objects are made.
pub const WRITERS: usize = 32;

/// Everything that runs. Dropping it ends all of it.
pub struct Ground {
    /// Talks to the control plane as its administrator.
    pub client: Client,
    /// The fake of Unstructured.
    pub api: FakeUnstructured,
    /// Its workspace.
    pub workspace: WorkspaceHandle,
    /// What the fakes were asked.
    pub tally: Tally,
    /// The namespace of the run.
    pub namespace: String,
    plane: ControlPlane,
    _dropbox: FakeDropbox,
    operator: Option<Operator>,
    settings: Settings,
    _logs: TempDir,
}

impl Ground {
    /// Starts everything but the operator.
    pub async fn prepare(binary: PathBuf, options: &Options) -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let client = plane.client()?;
        install_definition(&client).await?;
        let api = FakeUnstructured::start();
        let workspace = api.workspace(API_KEY);
        let dropbox = FakeDropbox::start();
        dropbox.accept_anything();
        let tally = Tally::of(&api, &dropbox);
        let logs = tempfile::tempdir()?;
        let mut settings = Settings {
            binary,
            directory: logs.path().to_owned(),
            environment: environment(
                plane.kubeconfig_path(),
                "default",
                &api.url(),
                &dropbox.url(),
            ),
        };
        let (rate, concurrency) = (options.rate.to_string(), options.concurrency.to_string());
        for (name, value) in [
            ("WATCH_NAMESPACES", ""),
            ("LOG_LEVEL", "info"),
            ("REQUEST_TIMEOUT", "30s"),
            ("MAX_REQUESTS_PER_SECOND", &rate),
            ("MAX_CONCURRENT_REQUESTS", &concurrency),
        ] {
            set(&mut settings, name, value);
        }
        Ok(Self {
            client,
            api,
            workspace,
            tally,
            namespace: "default".to_owned(),
            plane,
            _dropbox: dropbox,
            operator: None,
            settings,
            _logs: logs,
        })
    }

    /// Goes to a namespace of its own, as yet empty.
    pub async fn enter(&mut self, namespace: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let object = serde_json::from_value(json!({ "metadata": { "name": namespace } }))?;
        namespaces.create(&PostParams::default(), &object).await?;
        namespace.clone_into(&mut self.namespace);
        Ok(())
    }

    /// Starts the operator, in place of the one that runs.
    pub async fn start(&mut self, sync_interval: Duration) -> Result<()> {
        self.stop().await?;
        let interval = format!("{}ms", sync_interval.as_millis());
        set(&mut self.settings, "SYNC_INTERVAL", &interval);
        self.operator = Some(Operator::start(&self.settings).await?);
        Ok(())
    }

    /// Waits until the operator works.
    pub async fn ready(&mut self) -> Result<()> {
        let operator = self.operator.as_mut();
        operator
            .context("the operator is not running")?
            .ready()
            .await
    }

    /// Stops the operator as Kubernetes would.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.stop().await?;
        }
        Ok(())
    }

    /// What everything has cost so far.
    pub async fn read(&self) -> Result<Reading> {
        let operator = self.operator.as_ref().map(Operator::id);
        let plane = [Component::ApiServer, Component::Etcd].map(|c| self.plane.process_id(c));
        let plane: Vec<_> = plane.into_iter().flatten().collect();
        Reading::take(&self.client, &self.tally, operator, &plane).await
    }

    /// Waits until the operator has nothing left to do: for a second it hardly needed the processor and asked nobody anything.
    pub async fn settle(&self) -> Result<()> {
        const HARDLY: Duration = Duration::from_millis(20);
        loop {
            let before = self.read().await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.read().await?;
            if now.cpu.saturating_sub(before.cpu) <= HARDLY && now.requests == before.requests {
                return Ok(());
            }
        }
    }

    /// The objects of a kind, of the run.
    pub fn objects(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &stage::kind(kind))
    }

    /// Creates objects of a kind, each with its spec.
    pub async fn create(
        &self,
        kind: &str,
        manifests: impl IntoIterator<Item = (String, serde_json::Value)>,
    ) -> Result<()> {
        let (api, params) = (&self.objects(kind), &PostParams::default());
        stream::iter(manifests)
            .map(|(name, spec)| async move {
                let object = DynamicObject::new(&name, &stage::kind(kind));
                let object = object.data(json!({ "spec": spec }));
                api.create(params, &object).await
            })
            .buffer_unordered(WRITERS)
            .try_for_each(async |_| Ok(()))
            .await?;
        Ok(())
    }

    /// Creates or changes a Secret with credentials, told apart by `value`.
    pub async fn credentials(&self, name: &str, value: &str) -> Result<()> {
        let entries = json!({ "app_key": "key", "app_secret": value, "refresh_token": "token" });
        self.secret(name, &entries).await
    }

    /// Creates or changes a Secret.
    pub async fn secret(&self, name: &str, entries: &serde_json::Value) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name },
            "stringData": entries,
        });
        let params = PatchParams::apply("bench").force();
        secrets.patch(name, &params, &Patch::Apply(secret)).await?;
        Ok(())
    }

    /// Creates Secrets that no resource reads.
    pub async fn foreign_secrets(&self, prefix: &str, count: usize, bytes: usize) -> Result<()> {
        let secrets: &Api<Secret> = &Api::namespaced(self.client.clone(), "default");
        let (value, params) = (&"x".repeat(bytes), &PostParams::default());
        stream::iter(0..count)
            .map(|number| async move {
                let secret = serde_json::from_value(json!({
                    "metadata": { "name": format!("{prefix}-{number}") },
                    "stringData": { "value": value },
                }))?;
                anyhow::Ok(secrets.create(params, &secret).await?)
            })
            .buffer_unordered(WRITERS)
            .try_for_each(async |_| Ok(()))
            .await
    }
}

fn set(settings: &mut Settings, name: &str, value: &str) {
    settings.environment.retain(|(known, _)| known != name);
    let pair = (name.to_owned(), value.to_owned());
    settings.environment.push(pair);
}
