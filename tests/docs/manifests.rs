//! The manifests of the documentation, as the API server sees them.

use anyhow::{Context, Result, ensure};
use kube::api::{DynamicObject, PostParams};
use serde::Deserialize;

use super::pages;
use crate::stage;

#[tokio::test]
async fn every_dropbox_source_that_is_shown_is_accepted() -> Result<()> {
    let stage = stage().await?;
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut shown = 0;
    for page in pages()? {
        let blocks = page.blocks();
        for block in blocks.iter().filter(|block| block.language == "yaml") {
            let place = format!("{}:{}", page.path, block.line);
            for document in serde_yaml::Deserializer::from_str(&block.text) {
                let object = DynamicObject::deserialize(document);
                let mut object = object.with_context(|| format!("{place} is no manifest"))?;
                let kind = object.types.as_ref().map(|types| types.kind.as_str());
                if kind != Some("DropboxSource") {
                    continue;
                }
                object.metadata.namespace = None;
                let accepted = stage.sources().create(&rehearsal, &object).await;
                accepted.with_context(|| format!("{place} is refused"))?;
                shown += 1;
            }
        }
    }
    ensure!(shown > 3, "only {shown} are shown");
    Ok(())
}
