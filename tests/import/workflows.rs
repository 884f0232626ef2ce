//! The workflows of a workspace: their manifests are adopted, and change nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use support::canary::canary;
use support::fake::unstructured::{Family, StoredWorkflow};
use support::stage::{API_KEY, APP_KEY, APP_SECRET, PINECONE_KEY, REFRESH_TOKEN, Stage, condition};

use super::{S3_SECRET, config, import, insert_pinecone, rehearse, with_name};
use crate::pipeline::{WORKFLOW, begin, objects, requests, until};

const NODE_SECRET: &str = "hush-of-a-node-7d10";
const OTHER_SECRET: &str = "hush-of-another-node-c2e4";
const RECONCILE_AT: &str = "connectors.unstructured.io/reconcile-at";
const KINDS: [&str; 5] = [
    "DropboxSource",
    "UnstructuredSource",
    "PineconeDestination",
    "UnstructuredDestination",
    WORKFLOW,
];

fn nodes() -> Value {
    json!([
        { "name": "Partitioner", "type": "partition", "subtype": "vlm",
          "settings": { "is_dynamic": true, "provider_api_key": NODE_SECRET, "prompt": "no" } },
        { "name": "Pictures", "type": "prompter", "subtype": "openai_image_description", "settings": { "model": "010" } },
        { "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max_characters": 2048 } },
        { "name": "Embedder", "type": "embed", "subtype": "azure_openai", "settings": { "model_name": "text-embedding-3-small" } },
    ])
}

async fn apply(stage: &Stage, yaml: &str) -> Result<()> {
    let file = stage.directory().join("apply.yaml");
    std::fs::write(&file, yaml)?;
    let mut kubectl = stage.plane.kubectl();
    let applied = kubectl.args(["apply", "-f"]).arg(&file).output().await?;
    let said = String::from_utf8_lossy(&applied.stderr);
    ensure!(applied.status.success(), "{said}");
    Ok(())
}

/// Every resource that can be there.
async fn all(stage: &Stage) -> Result<Vec<(&'static str, DynamicObject)>> {
    let mut all = Vec::new();
    for kind in KINDS {
        let list = objects(stage, kind).list(&ListParams::default()).await?;
        all.extend(list.items.into_iter().map(|object| (kind, object)));
    }
    Ok(all)
}

fn is_ready(object: &DynamicObject) -> bool {
    condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

async fn all_ready(stage: &Stage) -> Result<usize> {
    let all = all(stage).await?;
    for (kind, object) in &all {
        let name = object.metadata.name.as_deref().context("a name")?;
        until(stage, kind, name, is_ready).await?;
    }
    Ok(all.len())
}

/// Has the operator look at everything again, and waits until it has.
async fn look_again(stage: &Stage, value: &str) -> Result<()> {
    let patch = json!({ "metadata": { "annotations": { RECONCILE_AT: value } } });
    for (kind, object) in all(stage).await? {
        let name = object.metadata.name.as_deref().context("a name")?;
        let params = PatchParams::default();
        let objects = objects(stage, kind);
        objects.patch(name, &params, &Patch::Merge(&patch)).await?;
        until(stage, kind, name, |o| {
            o.data["status"]["lastHandledReconcileAt"] == value && is_ready(o)
        })
        .await?;
    }
    Ok(())
}

/// All that a person may care for, without what the service fills in: nodes in the order in which documents pass them.
fn essence(workflow: &StoredWorkflow) -> Value {
    let nodes = workflow.nodes.iter().map(|node| {
        json!([
            node.name,
            node.node_type,
            node.subtype,
            node.settings.get("provider_api_key"),
            node.settings.get("max_characters"),
            node.settings.get("model_name")
        ])
    });
    json!([
        workflow.id,
        workflow.name,
        workflow.workflow_type,
        workflow.sources,
        workflow.destinations,
        workflow.schedule,
        workflow.status,
        workflow.reprocess_all,
        nodes.collect::<Vec<_>>(),
    ])
}

#[tokio::test]
async fn a_whole_workspace_is_adopted_by_one_request_for_each_object_and_then_left_alone()
-> Result<()> {
    let mut stage = crate::stage().await?;
    stage.set("SYNC_INTERVAL", "2s");
    let sources = stage.workspace.of(Family::Sources);
    let folder = sources.insert("dropbox", "Contracts", config("dropbox://contracts", true));
    let bucket = json!({ "remote_url": "s3://archive", "recursive": true, "key": "s3-key-id-0c55", "secret": S3_SECRET });
    let bucket = sources.insert("s3", "archive", bucket);
    let index = insert_pinecone(&stage, "index", "contracts", json!({}));
    let search = json!({ "hosts": ["https://search.example:9243"], "index_name": "a", "es_api_key": "theirs-71ac" });
    let destinations = stage.workspace.of(Family::Destinations);
    let search = destinations.insert("elasticsearch", "search", search);
    stage.workspace.insert_workflow(json!({
        "name": "Contracts: daily", "workflow_type": "custom", "source_id": folder, "destination_id": index,
        "workflow_nodes": nodes(), "schedule": "daily",
    }));
    let plain = json!([
        { "name": "P", "type": "partition", "subtype": "unstructured_api", "settings": { "strategy": "hi_res" } },
        { "name": "C", "type": "chunk", "subtype": "chunk_by_page", "settings": { "unstructured_api_key": OTHER_SECRET } },
    ]);
    let second = stage.workspace.insert_workflow(json!({
        "name": "on", "workflow_type": "custom", "source_id": bucket, "destination_id": search,
        "workflow_nodes": plain, "reprocess_all": true,
    }));
    stage
        .workspace
        .set_workflow(&second, json!({ "state": "inactive" }));
    let before: Vec<_> = stage.workspace.workflows().iter().map(essence).collect();

    let output = import(&stage, &["-n", &stage.namespace]).await?;
    let yaml = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{stderr}");
    ensure!(
        stderr.contains("4 of 4 connectors, 2 of 2 workflows"),
        "{stderr}"
    );
    canary(&[API_KEY, NODE_SECRET, OTHER_SECRET, S3_SECRET, PINECONE_KEY])
        .assert_absent("the output", &(yaml.clone() + &stderr));
    assert_eq!(stage.writes(), 0, "nothing is written to the workspace");

    // Each Secret that it names, with each key.
    let mut secrets: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (secret, key, value) in [
        ("dropbox", "app_key", APP_KEY),
        ("dropbox", "app_secret", APP_SECRET),
        ("dropbox", "refresh_token", REFRESH_TOKEN),
        ("archive-credentials", "key", "s3-key-id-0c55"),
        ("archive-credentials", "secret", S3_SECRET),
        ("index-credentials", "api_key", PINECONE_KEY),
        ("search-credentials", "es_api_key", "theirs-71ac"),
        (
            "contracts-daily-credentials",
            "provider_api_key",
            NODE_SECRET,
        ),
        ("on-credentials", "unstructured_api_key", OTHER_SECRET),
    ] {
        secrets.entry(secret).or_default().push((key, value));
    }
    for (name, entries) in &secrets {
        let keys: Vec<_> = entries.iter().map(|(key, _)| *key).collect();
        let line = format!(
            "create the Secret {name} with the keys {}\n",
            keys.join(", ")
        );
        assert_eq!(stderr.matches(&line).count(), 1, "{line}: {stderr}");
        stage.secret(name, entries).await?;
    }

    let _operator = stage.operator().await?;
    apply(&stage, &yaml).await?;
    assert_eq!(all_ready(&stage).await?, 6);
    let puts = requests(&stage, "PUT", "/");
    assert_eq!(
        puts, 6,
        "each is written once, as its secrets cannot be read"
    );
    look_again(&stage, "1").await?;
    stage.after_sweeps(2).await?;
    assert_eq!(requests(&stage, "PUT", "/"), puts, "at rest nothing is");
    assert_eq!(requests(&stage, "DELETE", "/"), 0);
    let creates = stage.api.requests();
    let mut creates = creates.iter().filter(|r| r.method == "POST");
    ensure!(
        creates.all(|post| post.path.ends_with("/connection-check")),
        "something was made"
    );
    let after: Vec<_> = stage.workspace.workflows().iter().map(essence).collect();
    assert_eq!(after, before);

    let spec = &objects(&stage, WORKFLOW).get("contracts-daily").await?.data["spec"];
    let to = |kind: &str, name: &str| json!({ "kind": kind, "name": name });
    assert_eq!(spec["sourceRef"], to("DropboxSource", "contracts"));
    assert_eq!(spec["destinationRef"], to("PineconeDestination", "index"));
    assert_eq!(spec["schedule"], "daily");
    let spec = &objects(&stage, WORKFLOW).get("on").await?.data["spec"];
    assert_eq!(spec["sourceRef"], to("UnstructuredSource", "archive"));
    assert_eq!(
        spec["destinationRef"],
        to("UnstructuredDestination", "search")
    );
    assert_eq!(
        (&spec["state"], &spec["reprocessAll"]),
        (&json!("Inactive"), &json!(true))
    );
    Ok(())
}

#[tokio::test]
async fn what_a_manifest_cannot_say_is_told_and_nothing_is_written_before_somebody_has_looked()
-> Result<()> {
    let stage = crate::stage().await?;
    let sources = stage.workspace.of(Family::Sources);
    let root = sources.insert("dropbox", "root", config("dropbox://", true));
    let other = sources.insert("dropbox", "other", config("dropbox://other", true));
    let index = insert_pinecone(&stage, "index", "contracts", json!({}));
    let add = |name: &str, nodes: &Value| {
        stage.workspace.insert_workflow(json!({
            "name": name, "workflow_type": "custom", "source_id": root, "destination_id": index, "workflow_nodes": nodes,
        }))
    };
    let odd = add("odd", &nodes());
    stage.workspace.edit_workflow(&odd, |workflow| {
        workflow.workflow_type = "basic".to_owned();
        workflow.schedule = Some("5 4 * * *".to_owned());
        workflow.status = "paused".to_owned();
    });
    let mut several = nodes();
    several[1]["subtype"] = json!("openai_ner");
    add("several", &several);
    let long = add("long", &nodes());
    stage
        .workspace
        .edit_workflow(&long, |workflow| workflow.name = "x".repeat(101));
    let two = add("two sources", &nodes());
    stage
        .workspace
        .edit_workflow(&two, |workflow| workflow.sources.push(other.clone()));
    let none = add("local", &nodes());
    stage
        .workspace
        .edit_workflow(&none, |workflow| workflow.sources.clear());
    let mut inside = nodes();
    inside[1] = json!({ "name": "New", "type": "prompter", "subtype": "new", "settings": { "host": { "api_key": NODE_SECRET } } });
    add("inside", &inside);
    add("empty", &json!([]));

    let output = import(&stage, &["-n", &stage.namespace]).await?;
    assert_eq!(output.status.code(), Some(1));
    let yaml = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8(output.stderr)?;
    canary(&[NODE_SECRET]).assert_absent("the output", &(yaml.clone() + &stderr));
    ensure!(
        stderr.contains("2 of 3 connectors, 3 of 7 workflows"),
        "{stderr}"
    );
    for (name, why) in [
        ("two sources", "it has 2 sources"),
        ("local", "it has no source"),
        ("inside", "a secret inside of a setting"),
        ("empty", "it has 0 nodes"),
    ] {
        let line = stderr
            .lines()
            .find(|line| line.contains(&format!("{name:?}")));
        let line = line.with_context(|| format!("{name}: {stderr}"))?;
        ensure!(
            line.contains("left out workflow") && line.contains(why),
            "{line}"
        );
    }
    for said in [
        "It is of the type \"basic\".",
        "Unstructured runs it by \"5 4 * * *\"",
        "Its status is \"paused\".",
        "in no particular order",
        "none that workflowName can have",
    ] {
        assert_eq!(yaml.matches(said).count(), 1, "{said}: {yaml}");
    }

    let applied = rehearse(&stage, &yaml).await?;
    let spec = &with_name(&applied, WORKFLOW, "odd")?["spec"];
    assert_eq!(
        spec["sourceId"],
        json!(root),
        "what has no manifest goes by its id"
    );
    let _operator = stage.operator().await?;
    stage
        .secret("index-credentials", &[("api_key", PINECONE_KEY)])
        .await?;
    stage
        .secret("odd-credentials", &[("provider_api_key", NODE_SECRET)])
        .await?;
    stage.good_secret().await?;
    apply(&stage, &yaml).await?;
    let long = "x".repeat(50);
    for name in ["odd", "several", &long] {
        until(&stage, WORKFLOW, name, |o| {
            condition(o, "Ready").is_some_and(|ready| ready["reason"] == "Suspended")
        })
        .await?;
        ensure!(
            stderr.contains(&format!("workflow {name} is suspended")),
            "{stderr}"
        );
    }
    assert_eq!(requests(&stage, "PUT", "/workflows/"), 0);
    Ok(())
}

#[tokio::test]
async fn what_an_operator_made_is_marked_and_comes_back_under_its_name_once_its_resources_are_gone()
-> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let output = import(&stage, &["-n", &stage.namespace]).await?;
    let yaml = String::from_utf8(output.stdout)?;
    assert_eq!(
        yaml.matches("# An operator created it").count(),
        3,
        "{yaml}"
    );
    // While they are there, no second resource takes what they hold.
    let before = essence(&stage.workspace.workflows()[0]);

    let retain = json!({ "spec": { "deletionPolicy": "Retain" } });
    for kind in [WORKFLOW, "DropboxSource", "PineconeDestination"] {
        for (_, object) in all(&stage).await?.iter().filter(|(of, _)| *of == kind) {
            let name = object.metadata.name.as_deref().context("a name")?;
            let objects = objects(&stage, kind);
            let params = PatchParams::default();
            objects.patch(name, &params, &Patch::Merge(&retain)).await?;
            objects.delete(name, &DeleteParams::default()).await?;
        }
    }
    while !all(&stage).await?.is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let secret = secret_of_the_index(&yaml)?;
    stage.secret(&secret, &[("api_key", PINECONE_KEY)]).await?;
    apply(&stage, &yaml).await?;
    assert_eq!(all_ready(&stage).await?, 3);
    let flow = objects(&stage, WORKFLOW).get("flow").await?;
    assert_eq!(flow.data["status"]["workflowId"], json!(id));
    assert_eq!(essence(&stage.workspace.workflows()[0]), before);
    assert_eq!(stage.workspace.workflows().len(), 1);
    Ok(())
}

/// The Secret of the Pinecone destination in these manifests.
fn secret_of_the_index(yaml: &str) -> Result<String> {
    for document in yaml.split("---\n") {
        let manifest: Value = serde_yaml::from_str(document)?;
        if manifest["kind"] == "PineconeDestination" {
            let name = manifest["spec"]["credentials"]["secretRef"]["name"].as_str();
            return Ok(name.context("a name")?.to_owned());
        }
    }
    anyhow::bail!("there is no PineconeDestination: {yaml}")
}
