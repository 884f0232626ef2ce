//! Create, update, delete: what every user does.

use anyhow::Result;
use serde_json::json;
use support::stage::{API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage, condition, source_id};

use crate::OPERATOR;

#[tokio::test]
async fn a_resource_becomes_one_connector_and_is_ready() -> Result<()> {
    let stage = Stage::new(OPERATOR).await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .create(
            "contracts",
            json!({ "remoteUrl": "dropbox://contracts/2026" }),
        )
        .await?;

    let ready = stage.until_ready("contracts").await?;

    let posts = stage.api.requests_matching("POST", "/api/v1/sources/");
    let creates: Vec<_> = posts
        .iter()
        .filter(|request| request.path == "/api/v1/sources/")
        .collect();
    assert_eq!(creates.len(), 1, "one POST: {creates:?}");
    assert_eq!(
        creates[0].json(),
        json!({
            "name": format!("{}.contracts.test", stage.namespace),
            "type": "dropbox",
            "config": {
                "remote_url": "dropbox://contracts/2026",
                "recursive": false,
                "app_key": APP_KEY,
                "app_secret": APP_SECRET,
                "refresh_token": REFRESH_TOKEN,
            },
        })
    );
    assert_eq!(creates[0].api_key(), Some(API_KEY));
    let sources = stage.workspace.sources();
    assert_eq!(sources.len(), 1);
    assert_eq!(source_id(&ready), Some(sources[0].id.clone().as_str()));
    assert_eq!(
        ready.data["status"]["connectorName"],
        format!("{}.contracts.test", stage.namespace)
    );
    assert_eq!(
        condition(&ready, "ConnectionVerified").map(|c| c["status"].clone()),
        Some(json!("True"))
    );
    assert!(condition(&ready, "Reconciling").is_none());
    Ok(())
}
