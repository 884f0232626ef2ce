//! A key that was told to wait waits, whichever process holds it by then.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use support::fake::unstructured::answers;
use support::fake::{Fault, On};
use support::stage::{PATIENCE, Stage};
use unstructured_operator::runtime::leader::NOT_BEFORE;

use crate::stage;

/// Longer than a killed leader's Lease lasts.
const RETRY_AFTER: Duration = Duration::from_secs(25);

/// Waits until the Lease says that some key has to wait, or that none has.
async fn until_noted(stage: &Stage, noted: bool) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let lease = leases.get("unstructured-operator").await?;
        let annotations = lease.metadata.annotations.unwrap_or_default();
        if annotations.contains_key(NOT_BEFORE) == noted {
            return Ok(());
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < end,
            "noted is not {noted}: {annotations:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_successor_sends_nothing_with_a_key_that_was_told_to_wait() -> Result<()> {
    const KEY: &str = "tenant-key-limited";
    let stage = stage().await?;
    let limited = stage.api.workspace(KEY);
    let first = stage.operator().await?;
    stage.good_secret().await?;
    stage.secret("workspace", &[("api_key", KEY)]).await?;
    let seconds = RETRY_AFTER.as_secs().to_string();
    limited.inject(
        On::Every,
        Fault::answer(answers::too_many_requests(Some(&seconds))),
    );
    let spec =
        json!({ "verify": false, "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
    stage.create("limited", spec).await?;
    stage.until_reason("limited", "RateLimited").await?;
    until_noted(&stage, true).await?;

    first.kill()?;
    let second = stage.operator().await?;
    stage
        .create("elsewhere", json!({ "verify": false }))
        .await?;
    stage.until_ready("elsewhere").await?;
    // One after the other, and each says what it knows to the next.
    assert!(second.stop().await?.success());
    let _third = stage.operator().await?;
    stage.until_ready("limited").await?;

    let mut sent = stage.api.requests();
    sent.retain(|request| request.api_key() == Some(KEY));
    let pause = sent[1].instant - sent[0].instant;
    assert!(pause >= RETRY_AFTER, "{pause:?}");
    let made = &stage.creates()[0];
    assert!(
        made.instant < sent[1].instant,
        "nobody else had to wait: {made}"
    );
    assert_eq!(stage.creates().len(), 2);
    until_noted(&stage, false).await?;
    Ok(())
}
