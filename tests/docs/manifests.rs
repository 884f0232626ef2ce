//! The manifests of the documentation, as the API server sees them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kube::Api;
use kube::api::{DynamicObject, PostParams};
use serde::Deserialize;
use unstructured_operator::crd;

use super::pages;
use crate::stage;

#[tokio::test]
async fn every_resource_that_is_shown_is_accepted() -> Result<()> {
    let stage = stage().await?;
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut shown = BTreeMap::new();
    for page in pages()? {
        let blocks = page.blocks();
        for block in blocks.iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.path, block.line);
            for document in serde_yaml::Deserializer::from_str(&block.text) {
                let object = DynamicObject::deserialize(document);
                let mut object = object.with_context(|| format!("{place} is no manifest"))?;
                let named = object.types.as_ref().map(|types| types.kind.as_str());
                let Some(kind) = crd::ALL.iter().find(|kind| Some(kind.name) == named) else {
                    continue;
                };
                object.metadata.namespace = None;
                let api: Api<DynamicObject> = Api::namespaced_with(
                    stage.client.clone(),
                    &stage.namespace,
                    &kind.api_resource(),
                );
                let accepted = api.create(&rehearsal, &object).await;
                accepted.with_context(|| format!("{place} is refused"))?;
                *shown.entry(kind.name).or_insert(0) += 1;
            }
        }
    }
    ensure!(shown.values().sum::<i32>() > 6, "only {shown:?} are shown");
    ensure!(shown.len() == crd::ALL.len(), "only {shown:?} are shown");
    Ok(())
}
