//! A destination beside the source.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Story;
use super::craft::accepted;

/// The manifests of the documentation.
const SECRET: &str = "examples/pinecone-secret.yaml";
const DESTINATION: &str = "examples/pineconedestination.yaml";

impl Story<'_> {
    /// A Pinecone index that is good becomes a connector of the other family.
    pub(super) async fn add_destination(&mut self) -> Result<()> {
        self.step("A destination beside the source");
        let manifest = self.manifest(DESTINATION)?;
        let key = self.pinecone_key()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, index) = (
            text(&manifest["metadata"]["name"]),
            text(&manifest["spec"]["indexName"]),
        );
        self.ground.pinecone.accept(&key, &[&index]);
        self.kubectl(&["apply", "-f", SECRET, "-f", DESTINATION])
            .await?;
        let resource = format!("pineconedestination/{name}");
        self.kubectl(&["wait", "--for=condition=Ready", &resource, "--timeout=60s"])
            .await?;
        self.kubectl(&["get", "unstructured"]).await?;
        let requests = self.show_requests();
        let creates = accepted(&requests, "POST", "/destinations/");
        let expected = json!({
            "name": format!("default.{name}.PineconeDestination.demo"),
            "type": "pinecone",
            "config": {
                "index_name": index,
                "namespace": "default",
                "batch_size": 50,
                "api_key": key,
            },
        });
        self.claim(
            creates.len() == 1 && creates[0].json() == expected,
            "one connector was created, with the index of the spec and the key of the Secret",
        )?;
        let made = self.ground.workspace.destinations();
        let path = self.destination_path().await?;
        self.claim(
            made.len() == 1
                && path == format!("/destinations/{}", made[0].id)
                && self.ours().len() == 1
                && self.is_desired(&self.now().await?)?,
            "status.destinationId is its id, and the source's connector is as it was",
        )
    }

    /// Where its connector is, below the API's base.
    pub(super) async fn destination_path(&self) -> Result<String> {
        let manifest = self.manifest(DESTINATION)?;
        let name = manifest["metadata"]["name"].as_str();
        let name = name.context("the destination has no name")?;
        let destination = self.ground.destinations().get(name).await?;
        let id = destination.data["status"]["destinationId"].as_str();
        let id = id.context("the destination has no connector")?;
        Ok(format!("/destinations/{id}"))
    }

    /// The key that the Secret holds.
    pub(super) fn pinecone_key(&self) -> Result<String> {
        let secret = self.manifest(SECRET)?;
        let key = secret["stringData"]["api_key"].as_str();
        Ok(key.context("the Secret has no key")?.to_owned())
    }

    fn manifest(&self, path: &str) -> Result<Value> {
        let text = fs::read_to_string(self.ground.root.join(path))
            .with_context(|| format!("cannot read {path}"))?;
        Ok(serde_yaml::from_str(&text)?)
    }
}
