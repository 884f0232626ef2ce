//! What the API server refuses by itself, with words that help.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use support::stage::{Stage, condition, manifest};

use crate::stage;

async fn refusal(stage: &Stage, name: &str, spec: Value) -> String {
    match stage.create(name, spec.clone()).await {
        Ok(_) => panic!("accepted: {spec}"),
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 422, "{status:?}");
            status.message
        }
        Err(error) => panic!("{error}"),
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one table is read more easily than two halves of it"
)]
#[tokio::test]
async fn a_spec_that_cannot_work_is_refused_with_the_reason() -> Result<()> {
    let stage = stage().await?;
    let url = "remoteUrl must be dropbox://<subfolder>";
    let dots = "remoteUrl must not contain '.' or '..'";
    let keys = |key: &str| json!({ "credentials": { "secretRef": { "name": "s" }, "keys": { "appKey": key } } });
    let workspace =
        |api: &str| json!({ "workspace": { "apiUrl": api, "apiKeySecretRef": { "name": "w" } } });
    let cases = [
        (json!({ "remoteUrl": "" }), url),
        (json!({ "remoteUrl": "/contracts" }), url),
        (json!({ "remoteUrl": "s3://contracts" }), url),
        (json!({ "remoteUrl": "Dropbox://contracts" }), url),
        (json!({ "remoteUrl": "dropbox://" }), url),
        (json!({ "remoteUrl": "dropbox:///" }), url),
        (json!({ "remoteUrl": "dropbox:///contracts" }), url),
        (json!({ "remoteUrl": "dropbox://contracts//2026" }), url),
        (json!({ "remoteUrl": "dropbox://a\nb" }), url),
        (json!({ "remoteUrl": "dropbox:// a" }), url),
        (json!({ "remoteUrl": "dropbox://a/../b" }), dots),
        (json!({ "remoteUrl": "dropbox://a/." }), dots),
        (json!({ "remoteUrl": "dropbox://a " }), dots),
        (json!({ "remoteUrl": "dropbox://a /" }), dots),
        (
            json!({ "remoteUrl": format!("dropbox://{}", "a".repeat(1020)) }),
            "1024",
        ),
        (
            json!({ "remoteUrl": null }),
            "spec.remoteUrl: Required value",
        ),
        (json!({ "remoteUrl": 7 }), "spec.remoteUrl"),
        (
            json!({ "credentials": null }),
            "spec.credentials: Required value",
        ),
        (json!({ "credentials": {} }), "secretRef: Required value"),
        (
            json!({ "credentials": { "secretRef": { "name": "" } } }),
            "spec.credentials.secretRef.name",
        ),
        (
            json!({ "credentials": { "secretRef": { "name": "../../kube-system/secrets/s" } } }),
            "spec.credentials.secretRef.name",
        ),
        (
            json!({ "credentials": { "secretRef": { "name": "s?watch=true" } } }),
            "spec.credentials.secretRef.name",
        ),
        (
            json!({ "workspace": { "apiKeySecretRef": { "name": "My Key" } } }),
            "spec.workspace.apiKeySecretRef.name",
        ),
        (keys(""), "spec.credentials.keys.appKey"),
        (keys("a b"), "spec.credentials.keys.appKey"),
        (json!({ "connectorName": "" }), "spec.connectorName"),
        (
            json!({ "connectorName": "x".repeat(101) }),
            "spec.connectorName",
        ),
        (
            json!({ "connectorName": " x" }),
            "connectorName must not begin or end with white space",
        ),
        (
            json!({ "connectorName": "a\tb" }),
            "connectorName must not begin or end with white space",
        ),
        (
            json!({ "existingSourceId": "seven" }),
            "spec.existingSourceId",
        ),
        (
            json!({ "adoptionPolicy": "ByName" }),
            "adoptionPolicy ByName needs connectorName",
        ),
        (
            json!({ "adoptionPolicy": "Always" }),
            "supported values: \"Never\", \"ByName\"",
        ),
        (
            json!({ "deletionPolicy": "Keep" }),
            "supported values: \"Delete\", \"Retain\"",
        ),
        (
            json!({ "workspace": { "apiUrl": "https://a.example" } }),
            "apiKeySecretRef: Required value",
        ),
        (workspace("ftp://a.example"), "spec.workspace.apiUrl"),
        (
            workspace("https://user:pass@a.example"),
            "spec.workspace.apiUrl",
        ),
        (
            workspace("https://a.example?key=1"),
            "spec.workspace.apiUrl",
        ),
        (json!({ "verify": "yes" }), "spec.verify"),
    ];
    for (n, (spec, words)) in cases.into_iter().enumerate() {
        let told = refusal(&stage, &format!("bad-{n}"), spec.clone()).await;
        assert!(told.contains(words), "{spec}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_spec_that_can_work_is_accepted_and_its_defaults_are_visible() -> Result<()> {
    let stage = stage().await?;
    let specs = [
        json!({ "remoteUrl": "dropbox://a" }),
        json!({ "remoteUrl": "dropbox://a/" }),
        json!({ "remoteUrl": "dropbox://Verträge/2026 Q1/.hidden/a..b" }),
        json!({ "connectorName": "Our contracts (legal)" }),
        json!({ "connectorName": "x", "adoptionPolicy": "ByName" }),
        json!({ "existingSourceId": "5F0C1D2E-3b4a-4c5d-8e6f-708192a3b4c5" }),
        json!({ "workspace": { "apiKeySecretRef": { "name": "w" } } }),
        json!({ "workspace": { "apiUrl": "https://a.example/api/v1/", "apiKeySecretRef": { "name": "w", "key": "k" } } }),
    ];
    for (n, spec) in specs.into_iter().enumerate() {
        stage.create(&format!("good-{n}"), spec).await?;
    }
    let plain = stage.create("plain", json!({})).await?;
    assert_eq!(
        plain.data["spec"],
        json!({
            "remoteUrl": "dropbox://data",
            "recursive": false,
            "credentials": {
                "secretRef": { "name": "dropbox" },
                "keys": { "appKey": "app_key", "appSecret": "app_secret", "refreshToken": "refresh_token" },
            },
            "adoptionPolicy": "Never",
            "verify": true,
            "deletionPolicy": "Delete",
            "suspend": false,
        })
    );
    assert_eq!(
        plain.data["status"]["observedGeneration"], -1,
        "nobody takes it for ready"
    );
    assert!(condition(&plain, "Ready").is_none());
    Ok(())
}

#[tokio::test]
async fn what_a_connector_is_known_by_cannot_be_edited() -> Result<()> {
    let stage = stage().await?;
    let id = "5f0c1d2e-3b4a-4c5d-8e6f-708192a3b4c5";
    let other = "5f0c1d2e-3b4a-4c5d-8e6f-708192a3b4c6";
    let key = json!({ "name": "w" });
    let url = json!({ "apiUrl": "https://a.example", "apiKeySecretRef": key });
    let name = "connectorName cannot be added, removed or changed: the Unstructured API cannot rename a connector";
    let existing = "existingSourceId cannot be added, removed or changed";
    let place = "workspace cannot be added or removed";
    let api = "workspace.apiUrl cannot be changed: a connector cannot move";
    let cases = [
        (
            json!({ "connectorName": "a" }),
            json!({ "connectorName": "b" }),
            name,
        ),
        (
            json!({ "connectorName": "a" }),
            json!({ "connectorName": null }),
            name,
        ),
        (json!({}), json!({ "connectorName": "b" }), name),
        (
            json!({ "existingSourceId": id }),
            json!({ "existingSourceId": other }),
            existing,
        ),
        (
            json!({ "existingSourceId": id }),
            json!({ "existingSourceId": null }),
            existing,
        ),
        (json!({}), json!({ "existingSourceId": id }), existing),
        (json!({}), json!({ "workspace": url }), place),
        (
            json!({ "workspace": url }),
            json!({ "workspace": null }),
            place,
        ),
        (
            json!({ "workspace": url }),
            json!({ "workspace": { "apiUrl": "https://b.example" } }),
            api,
        ),
        (
            json!({ "workspace": url }),
            json!({ "workspace": { "apiUrl": null } }),
            api,
        ),
        (
            json!({ "workspace": { "apiKeySecretRef": key } }),
            json!({ "workspace": { "apiUrl": "https://b.example" } }),
            api,
        ),
        (
            json!({}),
            json!({ "adoptionPolicy": "ByName" }),
            "adoptionPolicy ByName needs connectorName",
        ),
        (
            json!({}),
            json!({ "remoteUrl": "dropbox://" }),
            "remoteUrl must be dropbox://<subfolder>",
        ),
    ];
    for (n, (before, change, words)) in cases.into_iter().enumerate() {
        let resource = format!("edited-{n}");
        stage.create(&resource, before).await?;
        match stage.edit(&resource, change.clone()).await {
            Ok(_) => panic!("accepted: {change}"),
            Err(kube::Error::Api(status)) => {
                assert_eq!(status.code, 422, "{status:?}");
                assert!(
                    status.message.contains(words),
                    "{change}: {}",
                    status.message
                );
                let anew = status.message.contains("create a new one");
                let warned = status
                    .message
                    .contains("deletes its connector unless deletionPolicy is Retain");
                assert_eq!(anew, warned, "{}", status.message);
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Rotation is no move.
    let before = json!({ "workspace": { "apiUrl": "https://a.example", "apiKeySecretRef": key } });
    stage.create("rotated", before).await?;
    let change = json!({ "workspace": { "apiKeySecretRef": { "name": "other", "key": "k" } } });
    stage.edit("rotated", change).await?;
    Ok(())
}

#[tokio::test]
async fn a_misspelt_field_is_refused_by_kubectl() -> Result<()> {
    let stage = stage().await?;
    let object = manifest("strict", json!({ "remoteURL": "dropbox://typo" }));
    let file = stage.directory().join("misspelt.json");
    std::fs::write(&file, serde_json::to_vec(&object)?)?;
    let mut kubectl = stage.plane.kubectl();
    kubectl
        .args(["create", "-n", &stage.namespace, "-f"])
        .arg(&file);
    let output = kubectl.output().await?;
    let said = String::from_utf8(output.stderr)?;
    assert!(!output.status.success());
    assert!(said.contains("unknown field \"spec.remoteURL\""), "{said}");
    Ok(())
}

#[tokio::test]
async fn kubectl_explains_every_field() -> Result<()> {
    let stage = stage().await?;
    let explain = |path: &'static str| {
        let mut kubectl = stage.plane.kubectl();
        kubectl.args(["explain", path, "--recursive=false"]);
        async move {
            let output = kubectl.output().await?;
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            anyhow::Ok(String::from_utf8(output.stdout)?)
        }
    };
    let spec = explain("dropboxsource.spec").await?;
    for words in [
        "remoteUrl",
        "-required-",
        "dropbox://<subfolder>",
        "Whether to read files in subfolders too.",
        "enum: Never, ByName",
        "What happens to the connector when this resource is deleted",
        "writes nothing to Unstructured",
    ] {
        assert!(spec.contains(words), "{words} in {spec}");
    }
    assert!(!spec.contains("<no description>"), "{spec}");
    for path in [
        "dropboxsource",
        "dropboxsource.spec.credentials.keys",
        "dropboxsource.spec.workspace",
        "dropboxsource.status",
        "dropboxsource.status.create",
        "dropboxsource.status.workspace",
    ] {
        let text = explain(path).await?;
        assert!(!text.contains("<no description>"), "{path}: {text}");
        assert!(!text.contains("<empty>"), "{path}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_spec_is_never_written_by_the_operator() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    stage.good_secret().await?;
    let object = manifest("contracts", json!({ "recursive": true }));
    let params = PatchParams::apply("gitops");
    stage
        .sources()
        .patch("contracts", &params, &Patch::Apply(&object))
        .await?;
    let ready = stage.until_ready("contracts").await?;

    assert_eq!(ready.metadata.generation, Some(1));
    let fields = ready.metadata.managed_fields.unwrap_or_default();
    let ours = fields
        .iter()
        .filter(|f| f.manager.as_deref() == Some("unstructured-operator"));
    for managed in ours {
        let owned = serde_json::to_string(&managed.fields_v1)?;
        assert!(!owned.contains("f:spec"), "{owned}");
    }
    Ok(())
}
