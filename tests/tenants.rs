//! Two tenants in two namespaces, one of them hostile: taking, renaming into, squatting, and misusing the operator as a proxy.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use support::fake::unstructured::Route;
use support::fake::{Answer, Fault};
use support::operator::Operator;
use support::stage::{
    API_KEY, APP_KEY, APP_SECRET, PATIENCE, REFRESH_TOKEN, Stage, condition, create_namespace,
    dropbox_source, manifest, message, source_id,
};

/// The API key of the hostile tenant.
const MALLORYS_KEY: &str = "mallorys-key-0123456789";

/// A stage with a second tenant, `mallory`, beside the stage's own, `alice`.
struct Tenants {
    stage: Stage,
    mallory: String,
}

impl Tenants {
    async fn new() -> Result<(Self, Operator)> {
        Self::with(&[]).await
    }

    async fn with(settings: &[(&str, &str)]) -> Result<(Self, Operator)> {
        let mut stage = crate::stage().await?;
        for (name, value) in settings {
            stage.set(name, value);
        }
        let mallory = format!("{}-mallory", stage.namespace);
        create_namespace(&stage.client, &mallory).await?;
        stage.set(
            "WATCH_NAMESPACES",
            &format!("{},{mallory}", stage.namespace),
        );
        stage.good_secret().await?;
        let tenants = Self { stage, mallory };
        tenants
            .secret(
                "dropbox",
                &json!({ "app_key": APP_KEY, "app_secret": APP_SECRET, "refresh_token": REFRESH_TOKEN }),
            )
            .await?;
        let operator = tenants.stage.operator().await?;
        Ok((tenants, operator))
    }

    async fn secret(&self, name: &str, data: &Value) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.stage.client.clone(), &self.mallory);
        let secret =
            serde_json::from_value(json!({ "metadata": { "name": name }, "stringData": data }))?;
        secrets.create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    fn sources(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.stage.client.clone(), &self.mallory, &dropbox_source())
    }

    /// Creates a resource as mallory and waits until its Ready condition has this reason.
    async fn attack(&self, name: &str, spec: Value, reason: &str) -> Result<DynamicObject> {
        self.sources()
            .create(&PostParams::default(), &manifest(name, spec))
            .await?;
        let told = |object: Option<&DynamicObject>| {
            let ready = object.and_then(|object| condition(object, "Ready"));
            ready.is_some_and(|ready| ready["reason"] == reason)
        };
        let object = tokio::time::timeout(PATIENCE, await_condition(self.sources(), name, told));
        object
            .await
            .with_context(|| format!("{name} is never {reason}"))??
            .context("it is gone")
    }
}

#[tokio::test]
async fn nobody_takes_a_connector_that_another_resource_holds() -> Result<()> {
    let (tenants, _operator) = Tenants::new().await?;
    tenants
        .stage
        .create("contracts", json!({ "connectorName": "contracts" }))
        .await?;
    let alices = tenants.stage.until_ready("contracts").await?;
    let id = source_id(&alices).context("an id")?;

    let by_id = tenants
        .attack("by-id", json!({ "existingSourceId": id }), "ConnectorInUse")
        .await?;
    let by_name = json!({ "connectorName": "contracts", "adoptionPolicy": "ByName" });
    tenants.attack("by-name", by_name, "NameConflict").await?;

    assert_eq!(
        condition(&by_id, "Stalled").map(|c| c["status"].clone()),
        Some(json!("True"))
    );
    assert!(
        !message(&by_id, "Ready").contains("contracts"),
        "a tenant learns nothing of another's resources"
    );
    let writes = tenants.stage.writes();
    for name in ["by-id", "by-name"] {
        tenants
            .sources()
            .delete(name, &DeleteParams::default())
            .await?;
        let gone = await_condition(tenants.sources(), name, |object: Option<&DynamicObject>| {
            object.is_none()
        });
        tokio::time::timeout(PATIENCE, gone)
            .await
            .with_context(|| format!("{name} never goes"))??;
    }
    assert_eq!(
        tenants.stage.writes(),
        writes,
        "deleting the would-be thieves touches nothing"
    );
    assert_eq!(tenants.stage.workspace.sources().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_connector_cannot_be_made_under_a_name_that_another_resource_would_take_for_its_own()
-> Result<()> {
    let (tenants, _operator) = Tenants::new().await?;
    let squatted = format!("{}.contracts.test", tenants.stage.namespace);

    let object = tenants
        .attack(
            "squatter",
            json!({ "connectorName": squatted }),
            "InvalidConfiguration",
        )
        .await?;

    assert!(
        message(&object, "Ready").contains("connectorName"),
        "{}",
        message(&object, "Ready")
    );
    assert!(tenants.stage.workspace.sources().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_workspace_inside_the_cluster_or_the_node_is_refused_and_never_called() -> Result<()> {
    let (tenants, operator) = Tenants::new().await?;
    tenants
        .secret("key", &json!({ "api_key": MALLORYS_KEY }))
        .await?;
    let inside = [
        "https://169.254.169.254",
        "https://10.96.0.1/api/v1",
        "https://kubernetes.default.svc",
        "https://[fd00:ec2::254]",
    ];
    for (n, url) in inside.into_iter().enumerate() {
        let workspace =
            json!({ "workspace": { "apiUrl": url, "apiKeySecretRef": { "name": "key" } } });
        let object = tenants
            .attack(&format!("inside-{n}"), workspace, "InvalidConfiguration")
            .await?;
        assert!(
            message(&object, "Ready").contains("workspace.apiUrl"),
            "{url}: {}",
            message(&object, "Ready")
        );
    }
    assert!(
        operator
            .metric("unstructured_operator_api_requests_total")
            .await?
            < 1.0,
        "nobody was called"
    );
    Ok(())
}

#[tokio::test]
async fn a_tenants_url_never_receives_the_operators_key() -> Result<()> {
    let (tenants, _operator) = Tenants::new().await?;
    let evil = support::fake::FakeUnstructured::start();
    evil.workspace(MALLORYS_KEY);
    tenants
        .secret("key", &json!({ "api_key": MALLORYS_KEY }))
        .await?;
    let workspace =
        json!({ "workspace": { "apiUrl": evil.url(), "apiKeySecretRef": { "name": "key" } } });

    tenants.attack("phisher", workspace, "Ready").await?;

    let requests = evil.requests();
    assert!(!requests.is_empty());
    assert!(
        requests
            .iter()
            .all(|request| request.api_key() == Some(MALLORYS_KEY)),
        "{requests:?}"
    );
    assert!(
        tenants
            .stage
            .api
            .requests()
            .iter()
            .all(|request| request.api_key() == Some(API_KEY))
    );
    Ok(())
}

/// A list of connectors with so many settings each, none of which anybody asks for.
fn many(connectors: usize, settings: usize) -> Answer {
    let config = (0..settings).map(|n| format!("\"setting_{n}\":0.{n}"));
    let config = config.collect::<Vec<_>>().join(",");
    let source = |n| {
        format!(
            "{{\"id\":\"00000000-0000-4000-8000-{n:012}\",\"name\":\"a\",\"type\":\"dropbox\",\"config\":{{{config}}}}}"
        )
    };
    let sources = (0..connectors).map(source).collect::<Vec<_>>().join(",");
    Answer::typed(200, "application/json", format!("[{sources}]"))
}

#[tokio::test]
async fn who_lists_more_than_there_is_memory_for_is_told_and_shuts_out_nobody() -> Result<()> {
    let settings = [("MAX_INVENTORY_MEMORY", "8Mi"), ("REQUEST_TIMEOUT", "30s")];
    let (tenants, operator) = Tenants::with(&settings).await?;
    let stage = &tenants.stage;
    let list = async |name: &str, answer: Answer| -> Result<Value> {
        let key = format!("{MALLORYS_KEY}-{name}");
        let workspace = stage.api.workspace(&key);
        workspace.inject(Route::List, Fault::answer(answer).always());
        tenants.secret(name, &json!({ "api_key": key })).await?;
        let workspace = json!({ "apiKeySecretRef": { "name": name } });
        Ok(json!({ "verify": false, "workspace": workspace }))
    };
    stage.create("before", json!({ "verify": false })).await?;
    stage.until_ready("before").await?;

    // Six megabytes each, of which little is asked for.
    for n in 0..4 {
        let name = format!("verbose-{n}");
        let spec = list(&name, many(6_000, 60)).await?;
        tenants.attack(&name, spec, "Ready").await?;
    }
    let memory = operator.metric("process_resident_memory_bytes").await?;
    assert!(memory < 250e6, "{memory} bytes");

    let spec = list("hog", many(40_000, 0)).await?;
    let object = tenants.attack("hog", spec, "UnexpectedResponse").await?;
    let told = message(&object, "Ready");
    assert!(told.contains("--max-inventory-memory"), "{told}");
    let lists = || {
        let lists = stage.lists();
        let ours = lists.iter().filter(|list| list.api_key() == Some(API_KEY));
        ours.count()
    };
    let before = lists();
    let at = "connectors.unstructured.io/reconcile-at";
    stage.annotate("before", at, "now").await?;
    let object = stage
        .until("before", |object| {
            object.data["status"]["lastHandledReconcileAt"] == "now"
        })
        .await?;
    let ready = condition(&object, "Ready").context("it is told")?;
    assert_eq!(ready["status"], "True");
    assert!(lists() > before, "there is room for another list");
    stage.create("after", json!({ "verify": false })).await?;
    stage.until_ready("after").await?;
    let memory = operator.metric("process_resident_memory_bytes").await?;
    assert!(memory < 250e6, "{memory} bytes");
    Ok(())
}
