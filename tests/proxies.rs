//! What stands between the operator and the APIs: a proxy, and authorities that are not the public ones.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use support::fake::unstructured::FakeUnstructured;
use support::stage::{API_KEY, Stage, condition, message};

use crate::stage;

/// The API key of a tenant.
const KEY: &str = "tenant-key-0031";

/// A stage whose operator's own API is away, beside a tenant's.
async fn stage_with_a_tenant() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.set("UNSTRUCTURED_API_URL", "https://own.example.com");
    stage.set("ALLOW_INSECURE_HTTP", "false");
    stage.set("PINECONE_API_URL", "https://pinecone.example");
    stage.set("VALIDATE_PINECONE_CREDENTIALS", "false");
    stage.set("VALIDATE_DROPBOX_CREDENTIALS", "false");
    stage.set("DROPBOX_API_URL", "https://api.dropbox.com");
    stage.good_secret().await?;
    stage.secret("workspace", &[("api_key", KEY)]).await?;
    Ok(stage)
}

fn workspace(url: &str) -> Value {
    json!({ "workspace": { "apiUrl": url, "apiKeySecretRef": { "name": "workspace" } } })
}

#[tokio::test]
async fn a_tenants_api_is_reached_through_the_proxy_wherever_that_is() -> Result<()> {
    let mut stage = stage_with_a_tenant().await?;
    // To a proxy, the fake is none that allows anything: 404, for a CONNECT.
    let proxy = FakeUnstructured::start();
    let port = proxy.address().port();
    stage.set(
        "HTTPS_PROXY",
        &format!("http://user:{API_KEY}@localhost:{port}"),
    );
    // A list that Go reads, and so kubectl does.
    stage.set(
        "NO_PROXY",
        "169.254.169.254,<local>,.svc, direct.example.com:8443,",
    );
    let _operator = stage.operator().await?;

    stage
        .create("through", workspace("https://api.tenant.example"))
        .await?;
    let told = stage.until_reason("through", "ApiUnavailable").await?;
    let said = message(&told, "Ready");
    assert!(
        said.contains(&format!("through the proxy localhost:{port}: "))
            && said.contains("have this host allowed there"),
        "{said}"
    );
    assert!(
        proxy
            .requests()
            .iter()
            .any(|request| request.method == "CONNECT")
    );

    stage
        .create("inside", workspace("https://169.254.169.254"))
        .await?;
    let told = stage.until_reason("inside", "InvalidConfiguration").await?;
    assert!(message(&told, "Ready").contains("inside the cluster"));
    proxy.take_violations();
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_cannot_be_used_is_told_and_waited_for() -> Result<()> {
    let mut stage = stage_with_a_tenant().await?;
    let bundle = stage.directory().join("authorities.pem");
    fs::write(&bundle, authority()?)?;
    stage.set("SSL_CERT_FILE", &bundle.display().to_string());
    // Beside one that is good: the library is content with either.
    stage.set("SSL_CERT_DIR", "/etc/ssl/certs");
    stage.set("HTTPS_PROXY", "http://127.0.0.1:1");
    let _operator = stage.operator().await?;
    for (name, broken, why) in [
        ("empty", Some(""), "holds no certificate"),
        ("gone", None, "cannot be read"),
    ] {
        match broken {
            Some(text) => fs::write(&bundle, text)?,
            None => fs::remove_file(&bundle)?,
        }
        let url = format!("https://{name}.tenant.example");
        stage.create(name, workspace(&url)).await?;
        let told = stage.until_reason(name, "ApiUnavailable").await?;
        let said = message(&told, "Ready");
        assert!(
            said.contains("SSL_CERT_FILE") && said.contains(why),
            "{said}"
        );
        assert!(
            condition(&told, "Stalled").is_none(),
            "the spec is not blamed"
        );

        fs::write(&bundle, authority()?)?;
        stage
            .until(name, |told| {
                message(told, "Ready").contains("through the proxy")
            })
            .await
            .context("it is never tried again")?;
    }
    Ok(())
}

fn authority() -> Result<String> {
    let own = rcgen::generate_simple_self_signed(["authority.example".to_owned()])?;
    Ok(own.cert.pem())
}
