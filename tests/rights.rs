//! Rights that an operator loses on the way: it is uninstalled, or its namespace goes with its Role.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};
use support::stage::{Stage, create_namespace, eventually, message, source_id};

use crate::{stage, stage_apart};

const DEFINITION: &str = "dropboxsources.connectors.unstructured.io";

/// What the chart grants, in all namespaces or in each that is watched.
fn rules() -> Value {
    json!([
        { "apiGroups": ["connectors.unstructured.io"], "resources": ["dropboxsources", "unstructuredsources", "pineconedestinations", "unstructureddestinations", "unstructuredworkflows", "unstructuredjobs"], "verbs": ["get", "list", "watch", "patch"] },
        { "apiGroups": ["connectors.unstructured.io"], "resources": ["dropboxsources/status"], "verbs": ["update"] },
        { "apiGroups": ["connectors.unstructured.io"], "resources": ["unstructuredjobs"], "verbs": ["create", "delete"] },
        { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"] },
        { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] },
    ])
}

/// An operator's account in a namespace of its own, and what it may do there: its Lease and its last words.
async fn account(stage: &mut Stage) -> Result<String> {
    let home = format!("{}-home", stage.namespace);
    create_namespace(&stage.client, &home).await?;
    let params = PostParams::default();
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &home);
    let named = json!({ "metadata": { "name": "operator" } });
    accounts
        .create(&params, &serde_json::from_value(named)?)
        .await?;
    let at_home = json!([
        { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "patch"] },
        { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] },
    ]);
    grant_in(stage, &home, &home, &at_home).await?;
    let request = serde_json::from_value(json!({ "spec": { "audiences": [] } }))?;
    let token = accounts
        .create_token_request("operator", &params, &request)
        .await?;
    let token = token.status.context("a token")?.token;
    let text = std::fs::read_to_string(stage.plane.kubeconfig_path())?;
    let mut kubeconfig: Value = serde_json::from_str(&text)?;
    kubeconfig["users"][0]["user"] = json!({ "token": token });
    let path = stage.directory().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string())?;
    stage.set("KUBECONFIG", &path.display().to_string());
    stage.set("POD_NAMESPACE", &home);
    Ok(home)
}

fn subjects(home: &str) -> Value {
    json!([{ "kind": "ServiceAccount", "name": "operator", "namespace": home }])
}

async fn grant_in(stage: &Stage, namespace: &str, home: &str, rules: &Value) -> Result<()> {
    let params = PostParams::default();
    let role = json!({ "metadata": { "name": "operator" }, "rules": rules });
    let api: Api<Role> = Api::namespaced(stage.client.clone(), namespace);
    api.create(&params, &serde_json::from_value(role)?).await?;
    let binding = json!({
        "metadata": { "name": "operator" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator" },
        "subjects": subjects(home),
    });
    let bindings: Api<RoleBinding> = Api::namespaced(stage.client.clone(), namespace);
    bindings
        .create(&params, &serde_json::from_value(binding)?)
        .await?;
    Ok(())
}

/// Grants in all namespaces, by a role of this name.
async fn grant(stage: &Stage, home: &str, rules: &Value) -> Result<()> {
    let params = PostParams::default();
    let role = json!({ "metadata": { "name": home }, "rules": rules });
    let api: Api<ClusterRole> = Api::all(stage.client.clone());
    api.create(&params, &serde_json::from_value(role)?).await?;
    bind(stage, home).await
}

async fn bind(stage: &Stage, home: &str) -> Result<()> {
    let binding = json!({
        "metadata": { "name": home },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": home },
        "subjects": subjects(home),
    });
    let bindings: Api<ClusterRoleBinding> = Api::all(stage.client.clone());
    bindings
        .create(&PostParams::default(), &serde_json::from_value(binding)?)
        .await?;
    Ok(())
}

async fn gone<K>(what: &str, api: &Api<K>, name: &str) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let ends = kube::runtime::wait::await_condition(api.clone(), name, |o: Option<&K>| o.is_none());
    tokio::time::timeout(support::stage::PATIENCE * 2, ends)
        .await
        .with_context(|| format!("{what} never goes"))??;
    Ok(())
}

#[tokio::test]
async fn an_operator_whose_rights_go_before_the_definition_deletes_no_connector() -> Result<()> {
    let mut stage = stage_apart().await?;
    let home = account(&mut stage).await?;
    let mut cluster_wide = rules();
    if let Some(rules) = cluster_wide.as_array_mut() {
        rules.push(json!({
            "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
            "resourceNames": [DEFINITION], "verbs": ["get"],
        }));
    }
    grant(&stage, &home, &cluster_wide).await?;
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    for n in 0..5 {
        stage.create(&format!("source-{n}"), json!({})).await?;
    }
    for n in 0..5 {
        stage.until_ready(&format!("source-{n}")).await?;
    }
    // One is deleted in the ordinary way first, so that the operator has read the definition.
    stage.create("ordinary", json!({})).await?;
    stage.until_ready("ordinary").await?;
    stage.delete("ordinary").await?;
    stage.gone("ordinary").await?;
    assert_eq!(stage.deletes().len(), 1);

    // Helm's order: the rights first, then the definition, while the pods live on for a moment.
    let bindings: Api<ClusterRoleBinding> = Api::all(stage.client.clone());
    bindings.delete(&home, &DeleteParams::default()).await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.client.clone());
    definitions
        .delete(DEFINITION, &DeleteParams::default())
        .await?;
    eventually("the operator has met what it may not do", || {
        operator.output().contains("forbidden").then_some(())
    })
    .await?;
    assert_eq!(stage.deletes().len(), 1, "nobody asked for that");

    // With its rights back it lets all of them go, and leaves the connectors.
    bind(&stage, &home).await?;
    gone("the definition", &definitions, DEFINITION).await?;
    assert_eq!(stage.deletes().len(), 1);
    assert_eq!(stage.workspace.sources().len(), 5);
    Ok(())
}

#[tokio::test]
async fn of_a_namespace_that_goes_with_the_operators_role_no_connector_is_forgotten() -> Result<()>
{
    let mut stage = stage().await?;
    let home = account(&mut stage).await?;
    let team = stage.namespace.clone();
    grant_in(&stage, &team, &home, &rules()).await?;
    stage.set("WATCH_NAMESPACES", &team);
    let theirs = stage.api.workspace("tenant-key-0031");
    let operator = stage.operator().await?;
    stage.good_secret().await?;
    stage
        .secret("workspace", &[("api_key", "tenant-key-0031")])
        .await?;
    let mut ids = Vec::new();
    for n in 0..6 {
        let spec =
            json!({ "verify": false, "workspace": { "apiKeySecretRef": { "name": "workspace" } } });
        stage.create(&format!("source-{n}"), spec).await?;
    }
    for n in 0..6 {
        let ready = stage.until_ready(&format!("source-{n}")).await?;
        ids.push(source_id(&ready).context("an id")?.to_owned());
    }
    // A role that goes before the rest, as it does by chance when a namespace is deleted.
    let bindings: Api<RoleBinding> = Api::namespaced(stage.client.clone(), &team);
    bindings
        .delete("operator", &DeleteParams::default())
        .await?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&team, &DeleteParams::default()).await?;

    // Either it is deleted, or somebody is told of it where the operator may write.
    let resource = kube::core::ApiResource::erase::<k8s_openapi::api::events::v1::Event>(&());
    let events: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), &home, &resource);
    let deadline = tokio::time::Instant::now() + support::stage::PATIENCE;
    loop {
        let told: Vec<String> = events
            .list(&kube::api::ListParams::default())
            .await?
            .items
            .into_iter()
            .filter(|event| event.data["reason"] == "Stuck")
            .filter_map(|event| event.data["note"].as_str().map(ToOwned::to_owned))
            .collect();
        let left: Vec<_> = ids
            .iter()
            .filter(|id| theirs.source(id).is_some())
            .collect();
        if left
            .iter()
            .all(|id| told.iter().any(|note| note.contains(id.as_str())))
        {
            break;
        }
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "{left:?} are left and only {told:?} is told"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    while operator
        .metric("unstructured_operator_stuck_deletions")
        .await?
        < 0.5
    {
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "the metric does not count them"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    // In a terminating namespace only a cluster-wide grant can give the right back; then it ends with nothing left.
    grant(&stage, &home, &rules()).await?;
    gone("the namespace", &namespaces, &team).await?;
    assert_eq!(theirs.sources(), []);
    Ok(())
}

#[tokio::test]
async fn nothing_is_adopted_while_the_resources_of_a_namespace_are_not_known() -> Result<()> {
    let mut stage = stage().await?;
    let home = account(&mut stage).await?;
    let team = stage.namespace.clone();
    let other = format!("{team}-other");
    create_namespace(&stage.client, &other).await?;
    grant_in(&stage, &team, &home, &rules()).await?;
    stage.set("WATCH_NAMESPACES", &format!("{team},{other}"));
    stage.good_secret().await?;
    let there = json!({ "remote_url": "dropbox://data", "recursive": false });
    let id = stage.workspace.insert("dropbox", "shared", there);
    let mut operator = stage.begin().await?;
    // What needs nobody else's word is done.
    stage.create("own", json!({})).await?;
    stage.until_ready("own").await?;
    let by_name = json!({ "connectorName": "shared", "adoptionPolicy": "ByName" });
    stage.create("taker", by_name).await?;
    stage.until_reason("taker", "ResourcesUnknown").await?;
    assert_eq!(operator.get("/readyz").await?.0, 503);

    grant_in(&stage, &other, &home, &rules()).await?;
    let taken = stage.until_ready("taker").await?;
    assert_eq!(source_id(&taken), Some(id.as_str()));
    operator.ready().await?;
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_hides_nothing_and_one_that_may_not_be_seen_may()
-> Result<()> {
    let mut stage = stage().await?;
    let home = account(&mut stage).await?;
    let team = stage.namespace.clone();
    let other = format!("{team}-other");
    grant_in(&stage, &team, &home, &rules()).await?;
    stage.set("WATCH_NAMESPACES", &format!("{team},{other}"));
    stage.good_secret().await?;
    let mut operator = stage.begin().await?;
    // Whether the namespace exists, it may not ask: what is forbidden is not taken for what is missing.
    stage
        .create("named", json!({ "connectorName": "named" }))
        .await?;
    let unknown = stage.until_reason("named", "ResourcesUnknown").await?;
    let missing = format!(
        "DropboxSource, PineconeDestination, UnstructuredDestination, UnstructuredJob, UnstructuredSource, UnstructuredWorkflow in namespace {other}"
    );
    let told = message(&unknown, "Ready");
    assert!(told.contains(&missing), "{told}");
    let waits = (
        503,
        format!("waiting for: the list of resources ({missing})\n"),
    );
    assert_eq!(operator.get("/readyz").await?, waits);

    let ask = json!([{ "apiGroups": [""], "resources": ["namespaces"], "resourceNames": [team, other], "verbs": ["get"] }]);
    grant(&stage, &home, &ask).await?;
    stage.until_ready("named").await?;
    operator.ready().await?;
    stage.delete("named").await?;
    stage.gone("named").await?;
    assert_eq!(stage.workspace.sources(), []);

    // It comes to be, and may hide something again.
    create_namespace(&stage.client, &other).await?;
    let deadline = tokio::time::Instant::now() + support::stage::PATIENCE;
    while operator.get("/readyz").await?.0 != 503 {
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "the operator takes it for missing still"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    stage
        .create("late", json!({ "connectorName": "late" }))
        .await?;
    stage.until_reason("late", "ResourcesUnknown").await?;
    grant_in(&stage, &other, &home, &rules()).await?;
    stage.until_ready("late").await?;
    operator.ready().await?;
    Ok(())
}
