//! An API server that refuses everything that one service account asks for, with 429, by API Priority and Fairness.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::controlplane::ControlPlane;
use crate::stage::{PATIENCE, Stage};

/// Lasts until it is [ended](Refusal::end). One in each namespace.
pub struct Refusal {
    manifest: PathBuf,
    plane: &'static ControlPlane,
    occupant: JoinHandle<()>,
    /// Takes connections and says nothing.
    _webhook: TcpListener,
}

impl Refusal {
    /// Begins when this returns. `client` asks as the service account `account` of the stage's namespace.
    pub async fn of(account: &str, client: &Client, stage: &Stage) -> Result<Self> {
        let name = &stage.namespace;
        // Even a level without any share serves one request at a time; it does not let others wait.
        let level = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "PriorityLevelConfiguration",
            "metadata": { "name": name },
            "spec": { "type": "Limited", "limited": {
                "nominalConcurrencyShares": 0,
                "borrowingLimitPercent": 0,
                "limitResponse": { "type": "Reject" },
            }},
        });
        let everything = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"] });
        let flow = json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
            "kind": "FlowSchema",
            "metadata": { "name": name },
            "spec": {
                "matchingPrecedence": 2,
                "priorityLevelConfiguration": { "name": name },
                "rules": [{
                    "subjects": [{ "kind": "ServiceAccount", "serviceAccount": { "name": account, "namespace": name } }],
                    "resourceRules": [everything],
                }],
            },
        });
        let webhook = TcpListener::bind("127.0.0.1:0")?;
        let hook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": [{
                "name": "silence.example.com",
                "clientConfig": { "url": format!("https://{}/", webhook.local_addr()?) },
                "rules": [{ "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"] }],
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } },
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 30,
            }],
        });
        let manifest = stage.directory().join("refusal.json");
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [hook, level, flow] });
        std::fs::write(&manifest, list.to_string())?;
        kubectl(stage.plane, "apply", &manifest).await?;
        let occupant = tokio::spawn(occupy(client.clone(), name.clone()));
        let refusal = Self {
            manifest,
            plane: stage.plane,
            occupant,
            _webhook: webhook,
        };
        let refused = async {
            let probe = || Request::get("/api/v1/namespaces/default").body(Vec::new());
            while !matches!(client.request_text(probe()?).await, Err(kube::Error::Api(status)) if status.code == 429)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, refused)
            .await
            .context("nothing is refused")??;
        Ok(refusal)
    }

    /// Has the API server serve the account again.
    pub async fn end(self) -> Result<()> {
        self.occupant.abort();
        kubectl(self.plane, "delete", &self.manifest).await
    }
}

/// Takes the one place that there is, by writes that a webhook never lets through.
async fn occupy(client: Client, namespace: String) {
    let config_maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    loop {
        let occupant = ConfigMap {
            metadata: ObjectMeta {
                name: Some("occupant".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        let _ = config_maps.create(&PostParams::default(), &occupant).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn kubectl(plane: &ControlPlane, verb: &str, manifest: &Path) -> Result<()> {
    let mut kubectl = plane.kubectl();
    let output = kubectl.args([verb, "-f"]).arg(manifest).output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "kubectl {verb}: {complaint}");
    Ok(())
}
