//! Whole pipelines: two connectors, the workflow between them, and its runs. Each run costs money, so they are counted.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::clock::skew;
use support::fake::unstructured::{CheckScript, GivenKey, JobEnd, NodeOrder, Route, Tick};
use support::fake::{Answer, Fault};
use support::operator::Operator;
use support::stage::{PATIENCE, PINECONE_KEY, Stage, condition, eventually, kind, message};

use crate::stage;

mod truth;

pub const WORKFLOW: &str = "UnstructuredWorkflow";
pub const JOB: &str = "UnstructuredJob";
const RUN_AT: &str = "connectors.unstructured.io/run-at";

/// A stage with both connectors, which nobody has looked at yet.
pub async fn pipeline() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.set("JOB_INTERVAL", "200ms");
    stage.set("SYNC_INTERVAL", "2s");
    stage.set("REQUEST_TIMEOUT", "1s");
    stage.set("LEADER_ELECT", "false");
    stage.good_secret().await?;
    let entries = [("api_key", PINECONE_KEY)];
    stage.secret("pinecone", &entries).await?;
    Ok(stage)
}

pub async fn connectors(stage: &Stage) -> Result<()> {
    stage.create("contracts", json!({})).await?;
    let index =
        json!({ "indexName": "contracts", "credentials": { "secretRef": { "name": "pinecone" } } });
    create(stage, "PineconeDestination", "index", index).await
}

pub fn objects(stage: &Stage, name: &str) -> Api<DynamicObject> {
    Api::namespaced_with(stage.client.clone(), &stage.namespace, &kind(name))
}

pub async fn create(stage: &Stage, of: &str, name: &str, spec: Value) -> Result<()> {
    let object = DynamicObject::new(name, &kind(of)).data(json!({ "spec": spec }));
    let objects = objects(stage, of);
    let created = objects.create(&PostParams::default(), &object).await;
    created.with_context(|| format!("{of} {name} is refused"))?;
    Ok(())
}

pub fn workflow() -> Value {
    json!({
        "sourceRef": { "kind": "DropboxSource", "name": "contracts" },
        "destinationRef": { "kind": "PineconeDestination", "name": "index" },
        "nodes": [
            { "name": "Partitioner", "type": "partition", "subtype": "vlm", "settings": { "is_dynamic": true } },
            { "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max_characters": 2048 } },
            { "name": "Embedder", "type": "embed", "subtype": "azure_openai", "settings": { "model_name": "text-embedding-3-small" } },
        ],
    })
}

pub fn job() -> Value {
    json!({ "workflowRef": { "name": "flow" } })
}

pub async fn patch(stage: &Stage, of: &str, name: &str, patch: &Value) -> Result<()> {
    let params = PatchParams::default();
    objects(stage, of)
        .patch(name, &params, &Patch::Merge(patch))
        .await?;
    Ok(())
}

/// Waits until an object is as it should be.
pub async fn until(
    stage: &Stage,
    of: &str,
    name: &str,
    what: impl Fn(&DynamicObject) -> bool,
) -> Result<DynamicObject> {
    let objects = objects(stage, of);
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut last = None;
    while tokio::time::Instant::now() < end {
        last = objects.get_opt(name).await?;
        if let Some(object) = last.as_ref().filter(|object| what(object)) {
            return Ok(object.clone());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!(
        "{of} {name} never became what was waited for: {}",
        serde_json::to_string_pretty(&last)?
    )
}

async fn gone(stage: &Stage, of: &str, name: &str) -> Result<()> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while objects(stage, of).get_opt(name).await?.is_some() {
        ensure!(tokio::time::Instant::now() < end, "{of} {name} never goes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn is(object: &DynamicObject, kind: &str, status: &str, reason: &str) -> bool {
    condition(object, kind).is_some_and(|c| c["status"] == status && c["reason"] == reason)
        && object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
}

pub async fn ready(stage: &Stage) -> Result<DynamicObject> {
    until(stage, WORKFLOW, "flow", |o| is(o, "Ready", "True", "Ready")).await
}

pub async fn phase(stage: &Stage, name: &str, phase: &str) -> Result<DynamicObject> {
    until(stage, JOB, name, |o| o.data["status"]["phase"] == phase).await
}

/// Waits until nothing of these kinds is left.
async fn all_gone(stage: &Stage) -> Result<()> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut left = Vec::new();
        for of in ["DropboxSource", "PineconeDestination", WORKFLOW, JOB] {
            left.extend(objects(stage, of).list(&ListParams::default()).await?.items);
        }
        if left.is_empty() {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < end,
            "left: {}",
            serde_json::to_string_pretty(&left)?
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn begin() -> Result<(Stage, Operator, String)> {
    begin_on(pipeline().await?).await
}

pub async fn begin_on(stage: Stage) -> Result<(Stage, Operator, String)> {
    connectors(&stage).await?;
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let operator = stage.operator().await?;
    ready(&stage).await?;
    let id = stage.workspace.workflows()[0].id.clone();
    Ok((stage, operator, id))
}

/// A pipeline that is ready, one of whose nodes has a secret of its own.
async fn with_a_secret_in_a_node() -> Result<(Stage, Operator)> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let entries = [("key", "zebra crossing at dawn")];
    stage.secret("nodes", &entries).await?;
    let mut spec = workflow();
    spec["nodes"][0]["secretSettings"] =
        json!({ "provider_api_key": { "name": "nodes", "key": "key" } });
    create(&stage, WORKFLOW, "flow", spec).await?;
    let operator = stage.operator().await?;
    ready(&stage).await?;
    Ok((stage, operator))
}

pub fn requests(stage: &Stage, method: &str, path: &str) -> usize {
    let requests = stage.api.requests();
    let all = requests
        .iter()
        .filter(|r| r.method == method && r.path.contains(path));
    all.count()
}

#[tokio::test]
async fn five_manifests_in_any_order_become_documents_in_the_index() -> Result<()> {
    let stage = pipeline().await?;
    let _operator = stage.operator().await?;
    create(&stage, JOB, "first", job()).await?;
    phase(&stage, "first", "Pending").await?;
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let waits = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "ReferencesReady", "False", "SourceNotFound")
    })
    .await?;
    ensure!(message(&waits, "Ready").contains("contracts"), "{waits:?}");
    assert_eq!(stage.workspace.workflows(), []);
    connectors(&stage).await?;

    let done = phase(&stage, "first", "Succeeded").await?;
    assert_eq!(
        done.data["status"]["documents"],
        json!({ "total": 3, "succeeded": 3, "failed": 0 })
    );
    ensure!(is(&done, "Complete", "True", "Succeeded"), "{done:?}");
    let flow = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "LastJobSucceeded", "True", "Succeeded")
    })
    .await?;
    let made = stage.workspace.workflows();
    assert_eq!(made.len(), 1);
    assert_eq!(flow.data["status"]["workflowId"], json!(made[0].id));
    ensure!(made[0].key.is_some(), "{made:?}");
    assert_eq!(flow.data["status"]["key"], json!(made[0].key));
    assert_eq!(stage.workspace.runs(&made[0].id), 1);
    assert_eq!(
        stage.workspace.documents_in_index(&made[0].destinations[0]),
        3
    );
    Ok(())
}

/// The workflow is ready as soon as its connectors are as they should be; the job waits until they work, and nothing but the connector
/// says so.
#[tokio::test]
async fn a_job_begins_when_the_connector_that_it_waited_for_works() -> Result<()> {
    let mut stage = pipeline().await?;
    stage.set("SYNC_INTERVAL", "1h");
    stage
        .workspace
        .set_checks(|_| CheckScript::failure("the folder is not there"));
    let (stage, _operator, id) = begin_on(stage).await?;
    stage
        .until_reason("contracts", "VerificationFailed")
        .await?;
    create(&stage, JOB, "first", job()).await?;
    until(&stage, JOB, "first", |o| {
        is(o, "Ready", "False", "WorkflowNotReady") && message(o, "Ready").contains("contracts")
    })
    .await?;

    stage
        .workspace
        .set_checks(|_| CheckScript::success_after(0));
    let again = json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": "again" } } });
    patch(&stage, "DropboxSource", "contracts", &again).await?;
    phase(&stage, "first", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    Ok(())
}

#[tokio::test]
async fn at_rest_no_workflow_is_written_whatever_the_service_shuffles_fills_in_or_drops()
-> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage
        .workspace
        .drift_default("vlm", "model", json!("another-model"));
    for seed in 1..4 {
        stage
            .api
            .configure(|rules| rules.pipelines.node_order = NodeOrder::Shuffled(seed));
        patch(
            &stage,
            WORKFLOW,
            "flow",
            &json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": seed.to_string() } } }),
        )
        .await?;
        until(&stage, WORKFLOW, "flow", |o| {
            o.data["status"]["lastHandledReconcileAt"] == json!(seed.to_string())
        })
        .await?;
    }
    assert_eq!(requests(&stage, "PUT", "/workflows/"), 0);

    // What a person changes is put back, by one request.
    stage
        .workspace
        .set_workflow(&id, json!({ "schedule": "daily", "state": "inactive" }));
    patch(
        &stage,
        WORKFLOW,
        "flow",
        &json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": "drift" } } }),
    )
    .await?;
    until(&stage, WORKFLOW, "flow", |o| {
        o.data["status"]["lastHandledReconcileAt"] == "drift"
    })
    .await?;
    let now = stage.workspace.workflow(&id).context("it is there")?;
    assert_eq!((now.status.as_str(), now.schedule), ("active", None));
    assert_eq!(requests(&stage, "PUT", "/workflows/"), 1);
    Ok(())
}

#[tokio::test]
async fn a_change_of_the_resource_is_one_update_and_the_id_stays() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let spec = json!({ "spec": { "schedule": "every 2 hours", "state": "Inactive", "workflowName": "by hand" } });
    patch(&stage, WORKFLOW, "flow", &spec).await?;
    ready(&stage).await?;
    let now = stage.workspace.workflow(&id).context("it is there")?;
    assert_eq!(
        (now.name.as_str(), now.status.as_str()),
        ("by hand", "inactive")
    );
    ensure!(now.schedule.is_some());
    assert_eq!(requests(&stage, "PUT", "/workflows/"), 1);
    assert_eq!(requests(&stage, "POST", "/workflows/"), 1);
    Ok(())
}

#[tokio::test]
async fn a_workflow_whose_answer_is_lost_is_made_once() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    stage
        .api
        .inject(Route::CreateWorkflow, Fault::disconnect().committed());
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let _operator = stage.operator().await?;
    ready(&stage).await?;
    assert_eq!(stage.workspace.workflows().len(), 1);
    assert_eq!(requests(&stage, "POST", "/workflows/"), 1);
    Ok(())
}

#[tokio::test]
async fn a_workflow_deleted_behind_our_back_is_made_anew_and_a_new_source_is_followed() -> Result<()>
{
    let (stage, _operator, id) = begin().await?;
    stage.workspace.remove_workflow(&id);
    let nudge = json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": "gone" } } });
    patch(&stage, WORKFLOW, "flow", &nudge).await?;
    until(&stage, WORKFLOW, "flow", |o| {
        o.data["status"]["workflowId"]
            .as_str()
            .is_some_and(|now| now != id)
            && is(o, "Ready", "True", "Ready")
    })
    .await?;
    assert_eq!(stage.workspace.workflows().len(), 1);

    let before = stage.workspace.workflows()[0].sources.clone();
    let source = stage.workspace.sources()[0].id.clone();
    assert_eq!(before, std::slice::from_ref(&source));
    stage.workspace.remove(&source);
    let nudge = json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": "gone" } } });
    patch(&stage, "DropboxSource", "contracts", &nudge).await?;
    until(&stage, WORKFLOW, "flow", |o| {
        o.data["status"]["sourceId"] != json!(source) && is(o, "Ready", "True", "Ready")
    })
    .await?;
    let now = &stage.workspace.workflows()[0];
    assert_eq!(now.sources, [stage.workspace.sources()[0].id.clone()]);
    Ok(())
}

#[tokio::test]
async fn a_run_whose_answer_is_lost_is_found_and_not_started_again() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage
        .api
        .inject(Route::RunWorkflow, Fault::disconnect().committed());
    create(&stage, JOB, "once", job()).await?;
    phase(&stage, "once", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    assert_eq!(requests(&stage, "POST", "/run"), 1);

    // Lost before it was carried out, it is asked for again, once that is certain.
    stage.api.inject(Route::RunWorkflow, Fault::disconnect());
    create(&stage, JOB, "again", job()).await?;
    phase(&stage, "again", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 2);
    Ok(())
}

/// Times of the service are compared with each other, never with those of the cluster.
#[tokio::test]
async fn a_run_whose_answer_is_lost_is_found_by_whoever_leads_next_whatever_the_services_clock_says()
-> Result<()> {
    let (stage, operator, id) = begin().await?;
    let behind = Duration::from_hours(1);
    stage
        .api
        .configure(|rules| rules.pipelines.clock_behind = behind);
    create(&stage, JOB, "before", job()).await?;
    phase(&stage, "before", "Succeeded").await?;
    let late = Fault::none().held_back(Duration::from_secs(20));
    stage.api.inject(Route::RunWorkflow, late);
    create(&stage, JOB, "once", job()).await?;
    eventually("the second run", || {
        (stage.workspace.runs(&id) >= 2).then_some(())
    })
    .await?;
    operator.kill()?;
    let _operator = stage.operator().await?;
    phase(&stage, "once", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 2);
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_refused_for_a_while_is_asked_for_until_it_is_taken() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    for status in [401, 404, 409] {
        let refusal = Answer::json(status, &json!({ "detail": "not now" }));
        stage.api.inject(Route::RunWorkflow, Fault::answer(refusal));
    }
    create(&stage, JOB, "refused", job()).await?;
    phase(&stage, "refused", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    Ok(())
}

#[tokio::test]
async fn what_the_service_does_not_show_of_a_run_yet_is_waited_for() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let partly = JobEnd::some_failed(1, 3, "the file is encrypted");
    stage.workspace.script_jobs(&id, [partly]);
    let unknown = Fault::answer(Answer::json(404, &json!({ "detail": "Job not found" })));
    stage.api.inject(Route::GetJob, unknown.times(2));
    let early = json!({ "processing_status": "IN_PROGRESS", "node_stats": [], "summary": null });
    let early = Fault::answer(Answer::json(200, &early));
    stage.api.inject(Route::JobDetails, early);
    // What is only for show is not waited for for ever.
    let broken = Fault::answer(Answer::text(500, "Internal Server Error"));
    stage.api.inject(Route::FailedFiles, broken.always());
    create(&stage, JOB, "slow", job()).await?;
    let slow = phase(&stage, "slow", "PartiallyFailed").await?;
    let documents = json!({ "total": 3, "succeeded": 2, "failed": 1 });
    assert_eq!(slow.data["status"]["documents"], documents);
    Ok(())
}

/// Only the workflow said in which workspace it runs.
#[tokio::test]
async fn a_job_whose_workflow_is_gone_is_given_up_by_a_new_operator() -> Result<()> {
    let (stage, operator, id) = begin().await?;
    let leave = json!({ "spec": { "cancelJobOnDelete": false } });
    patch(&stage, WORKFLOW, "flow", &leave).await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "left", job()).await?;
    eventually("it runs", || (stage.workspace.runs(&id) == 1).then_some(())).await?;
    until(&stage, JOB, "left", |o| {
        !o.data["status"]["jobId"].is_null()
    })
    .await?;
    objects(&stage, WORKFLOW)
        .delete("flow", &DeleteParams::default())
        .await?;
    gone(&stage, WORKFLOW, "flow").await?;
    operator.kill()?;
    let _operator = stage.operator().await?;
    phase(&stage, "left", "Abandoned").await?;
    Ok(())
}

/// Which run came of a request, the service's clock says: ours may be wrong.
#[tokio::test]
async fn a_clock_that_is_wrong_starts_no_second_run_and_takes_none_for_its_own() -> Result<()> {
    for seconds in [600, -600] {
        let mut stage = pipeline().await?;
        skew(&mut stage, seconds)?;
        let (stage, operator, id) = begin_on(stage).await?;
        create(&stage, JOB, "first", job()).await?;
        phase(&stage, "first", "Succeeded").await?;
        objects(&stage, JOB)
            .delete("first", &DeleteParams::default())
            .await?;
        stage
            .api
            .inject(Route::RunWorkflow, Fault::hang().committed());
        create(&stage, JOB, "once", job()).await?;
        until(&stage, JOB, "once", |o| {
            o.data["status"]["phase"] == "Starting"
        })
        .await?;
        eventually("the run is under way", || {
            (stage.workspace.runs(&id) == 2).then_some(())
        })
        .await?;
        operator.kill()?;
        let _operator = stage.operator().await?;
        let once = phase(&stage, "once", "Succeeded").await?;
        assert_eq!(stage.workspace.runs(&id), 2);
        let newest = stage.workspace.jobs(&id).pop().context("it ran")?;
        assert_eq!(once.data["status"]["jobId"], json!(newest.id));
    }
    Ok(())
}

/// `KILLS` sets how many; each at another moment of the protocol.
#[tokio::test]
async fn an_operator_that_is_killed_again_and_again_starts_each_run_once() -> Result<()> {
    let kills: u64 = std::env::var("KILLS").map_or(Ok(4), |kills| kills.parse())?;
    let (stage, operator, id) = begin().await?;
    let mut operator = Some(operator);
    for n in 0..kills {
        if n % 3 == 2 {
            let lost = Fault::disconnect();
            let lost = if n % 2 == 0 { lost.committed() } else { lost };
            stage.api.inject(Route::RunWorkflow, lost);
        }
        create(&stage, JOB, &format!("job{n}"), job()).await?;
        tokio::time::sleep(Duration::from_millis(n * 37 % 150)).await;
        operator.take().context("an operator")?.kill()?;
        operator = Some(stage.operator().await?);
    }
    for n in 0..kills {
        phase(&stage, &format!("job{n}"), "Succeeded").await?;
    }
    assert_eq!(stage.workspace.runs(&id), usize::try_from(kills)?);
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_goes_takes_the_whole_pipeline_with_it() -> Result<()> {
    let (stage, _operator, _) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "running", job()).await?;
    phase(&stage, "running", "Scheduled").await?;
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces
        .delete(&stage.namespace, &DeleteParams::default())
        .await?;
    let end = tokio::time::Instant::now() + PATIENCE;
    while namespaces.get_opt(&stage.namespace).await?.is_some() {
        ensure!(tokio::time::Instant::now() < end, "it never goes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.workspace.workflows(), []);
    assert_eq!(stage.workspace.sources(), []);
    assert_eq!(stage.workspace.destinations(), []);
    Ok(())
}

#[tokio::test]
async fn no_secret_comes_to_light_in_what_a_run_says() -> Result<()> {
    let (stage, _operator) = with_a_secret_in_a_node().await?;
    let made = &stage.workspace.workflows()[0];
    ensure!(
        made.nodes
            .iter()
            .any(|node| node.settings["provider_api_key"] == "zebra crossing at dawn")
    );
    let said = format!("refused {PINECONE_KEY} and zebra crossing at dawn");
    let ends = [
        JobEnd::some_failed(1, 2, &said),
        JobEnd::Failed(said.clone()),
    ];
    stage.workspace.script_jobs(&made.id, ends);
    for (name, end) in [("partly", "PartiallyFailed"), ("broken", "Failed")] {
        create(&stage, JOB, name, job()).await?;
        let object = phase(&stage, name, end).await?;
        let shown = serde_json::to_string(&object.data["status"])?;
        ensure!(!shown.contains(PINECONE_KEY), "{shown}");
        ensure!(!shown.contains("zebra"), "{shown}");
    }
    Ok(())
}

/// What was in a Secret when the run began cannot be taken out of what is said of it any more.
#[tokio::test]
async fn a_run_that_quotes_credentials_which_changed_meanwhile_is_not_quoted() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "rotated", job()).await?;
    let started = phase(&stage, "rotated", "Scheduled").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = "pcsk-9b31c7e2f05d4a68";
    stage.pinecone.accept(next, &["contracts"]);
    stage.secret("pinecone", &[("api_key", next)]).await?;
    let is_sent = |o: &DynamicObject| {
        let sent = o.data["status"]["lastSyncTime"].as_str();
        sent > started.data["status"]["startedAt"].as_str()
    };
    until(&stage, "PineconeDestination", "index", is_sent).await?;
    let run = stage.workspace.jobs(&id)[0].id.clone();
    let quoted = JobEnd::some_failed(1, 2, format!("refused {PINECONE_KEY}"));
    stage.workspace.finish_job(&run, quoted);
    let rotated = phase(&stage, "rotated", "PartiallyFailed").await?;
    let error = &rotated.data["status"]["failedFiles"][0]["error"];
    ensure!(
        error.as_str().is_some_and(|e| e.starts_with("not shown")),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn jobs_of_one_workflow_run_one_after_the_other() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "one", job()).await?;
    phase(&stage, "one", "Scheduled").await?;
    for name in ["two", "three"] {
        create(&stage, JOB, name, job()).await?;
        phase(&stage, name, "Waiting").await?;
    }
    create(
        &stage,
        JOB,
        "joins",
        json!({ "workflowRef": { "name": "flow" }, "onActive": "Adopt" }),
    )
    .await?;
    create(
        &stage,
        JOB,
        "fails",
        json!({ "workflowRef": { "name": "flow" }, "onActive": "Fail" }),
    )
    .await?;
    let joined = until(&stage, JOB, "joins", |o| {
        o.data["status"]["jobId"].is_string()
    })
    .await?;
    assert_eq!(joined.data["status"]["adopted"], json!(true));
    let failed = phase(&stage, "fails", "Failed").await?;
    ensure!(is(&failed, "Failed", "True", "WorkflowBusy"), "{failed:?}");
    assert_eq!(stage.workspace.runs(&id), 1);
    stage.workspace.hold_jobs(false);
    for name in ["one", "two", "three", "joins"] {
        phase(&stage, name, "Succeeded").await?;
    }
    assert_eq!(stage.workspace.runs(&id), 3);
    Ok(())
}

#[tokio::test]
async fn completed_is_not_success_and_what_failed_is_named() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let ends = [
        JobEnd::some_failed(2, 5, "the file is encrypted"),
        JobEnd::all(0),
        JobEnd::Failed("no credits".to_owned()),
    ];
    stage.workspace.script_jobs(&id, ends);
    create(&stage, JOB, "partly", job()).await?;
    let partly = phase(&stage, "partly", "PartiallyFailed").await?;
    let status = &partly.data["status"];
    assert_eq!(
        status["documents"],
        json!({ "total": 5, "succeeded": 3, "failed": 2 })
    );
    assert_eq!(status["failedFilesTotal"], json!(2));
    ensure!(
        status["failedFiles"][0]["error"]
            .as_str()
            .is_some_and(|e| e.contains("encrypted")),
        "{status}"
    );
    ensure!(
        is(&partly, "Failed", "True", "CompletedWithErrors"),
        "{partly:?}"
    );
    create(&stage, JOB, "empty", job()).await?;
    let empty = phase(&stage, "empty", "Succeeded").await?;
    ensure!(is(&empty, "Complete", "True", "NoDocuments"), "{empty:?}");
    create(&stage, JOB, "broken", job()).await?;
    let broken = phase(&stage, "broken", "Failed").await?;
    ensure!(
        message(&broken, "Failed").contains("no credits"),
        "{broken:?}"
    );
    let flow = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "LastJobSucceeded", "False", "Failed")
    })
    .await?;
    ensure!(
        is(&flow, "Ready", "True", "Ready"),
        "what a run did unset Ready: {flow:?}"
    );
    assert_eq!(stage.workspace.runs(&id), 3);
    Ok(())
}

#[tokio::test]
async fn a_run_is_cancelled_by_its_field_its_timeout_and_its_deletion() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "field", job()).await?;
    phase(&stage, "field", "Scheduled").await?;
    patch(&stage, JOB, "field", &json!({ "spec": { "cancel": true } })).await?;
    phase(&stage, "field", "Stopped").await?;
    // What is changed afterwards is seen, and changes nothing.
    let ttl = json!({ "spec": { "ttlAfterFinished": "1h" } });
    patch(&stage, JOB, "field", &ttl).await?;
    until(&stage, JOB, "field", |o| is(o, "Failed", "True", "Stopped")).await?;
    create(
        &stage,
        JOB,
        "timeout",
        json!({ "workflowRef": { "name": "flow" }, "timeout": "1s" }),
    )
    .await?;
    let late = phase(&stage, "timeout", "Stopped").await?;
    ensure!(is(&late, "Failed", "True", "TimedOut"), "{late:?}");
    create(&stage, JOB, "deleted", job()).await?;
    let running = phase(&stage, "deleted", "Scheduled").await?;
    let run = running.data["status"]["jobId"]
        .as_str()
        .context("a run")?
        .to_owned();
    objects(&stage, JOB)
        .delete("deleted", &DeleteParams::default())
        .await?;
    gone(&stage, JOB, "deleted").await?;
    assert_eq!(requests(&stage, "POST", &format!("/jobs/{run}/cancel")), 1);
    assert_eq!(stage.workspace.runs(&id), 3);
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_restored_or_made_again_costs_nothing() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    create(&stage, JOB, "first", job()).await?;
    let done = phase(&stage, "first", "Succeeded").await?;
    objects(&stage, JOB)
        .delete("first", &DeleteParams::default())
        .await?;
    gone(&stage, JOB, "first").await?;
    // A GitOps tool makes it again.
    create(&stage, JOB, "first", job()).await?;
    let again = phase(&stage, "first", "Abandoned").await?;
    ensure!(is(&again, "Failed", "True", "AlreadyRun"), "{again:?}");

    // A backup brings it back under another name, without its status.
    let mut restored = DynamicObject::new("restored", &kind(JOB)).data(json!({ "spec": job() }));
    restored.metadata.annotations = done.metadata.annotations;
    objects(&stage, JOB)
        .create(&PostParams::default(), &restored)
        .await?;
    phase(&stage, "restored", "Abandoned").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    Ok(())
}

#[tokio::test]
async fn a_workflow_that_was_restored_without_its_status_runs_nothing() -> Result<()> {
    let (stage, _operator, _) = begin().await?;
    let asked = json!({ "metadata": { "annotations": { RUN_AT: "monday" } } });
    patch(&stage, WORKFLOW, "flow", &asked).await?;
    let is_handled = |o: &DynamicObject| o.data["status"]["lastHandledRunAt"] == "monday";
    let backup = until(&stage, WORKFLOW, "flow", is_handled).await?;
    eventually("the run is there", || {
        (requests(&stage, "POST", "/run") == 1).then_some(())
    })
    .await?;
    let flows = objects(&stage, WORKFLOW);
    flows.delete("flow", &DeleteParams::default()).await?;
    gone(&stage, WORKFLOW, "flow").await?;

    let mut restored =
        DynamicObject::new("flow", &kind(WORKFLOW)).data(json!({ "spec": backup.data["spec"] }));
    restored.metadata.annotations = backup.metadata.annotations;
    flows.create(&PostParams::default(), &restored).await?;
    ready(&stage).await?;
    until(&stage, WORKFLOW, "flow", is_handled).await?;
    let jobs = objects(&stage, JOB);
    let of_the_first = backup.metadata.uid;
    for job in jobs.list(&ListParams::default()).await?.items {
        let owners = job.metadata.owner_references.unwrap_or_default();
        ensure!(owners.iter().all(|o| Some(&o.uid) == of_the_first.as_ref()));
    }

    // A new value is a new wish.
    let asked = json!({ "metadata": { "annotations": { RUN_AT: "tuesday" } } });
    patch(&stage, WORKFLOW, "flow", &asked).await?;
    eventually("it runs once more", || {
        (requests(&stage, "POST", "/run") == 2).then_some(())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn the_annotation_makes_one_job_for_each_value_and_the_schedule_is_followed() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let asked = json!({ "metadata": { "annotations": { RUN_AT: "monday" } }, "spec": { "schedule": "daily" } });
    patch(&stage, WORKFLOW, "flow", &asked).await?;
    until(&stage, WORKFLOW, "flow", |o| {
        o.data["status"]["lastHandledRunAt"] == "monday"
            && is(o, "LastJobSucceeded", "True", "Succeeded")
    })
    .await?;
    let jobs = objects(&stage, JOB).list(&ListParams::default()).await?;
    assert_eq!((jobs.items.len(), stage.workspace.runs(&id)), (1, 1));
    ensure!(jobs.items[0].metadata.owner_references.is_some());

    stage
        .workspace
        .script_jobs(&id, [JobEnd::some_failed(1, 4, "too large")]);
    let Tick::Started(run) = stage.workspace.tick(&id) else {
        bail!("the schedule starts nothing");
    };
    let flow = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "LastJobSucceeded", "False", "CompletedWithErrors")
    })
    .await?;
    assert_eq!(flow.data["status"]["lastJob"]["id"], json!(run));
    assert_eq!(flow.data["status"]["consecutiveFailures"], json!(1));
    assert_eq!(stage.workspace.runs(&id), 1);
    Ok(())
}

/// A cancel that is refused, a list that is not there, and a gateway that knows no path: none of them holds a deletion up or ends it early.
#[tokio::test]
async fn a_workflow_goes_whatever_the_service_says_to_the_end_of_its_runs() -> Result<()> {
    let (stage, _operator, _) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "held", job()).await?;
    phase(&stage, "held", "Scheduled").await?;
    let broken = Fault::answer(Answer::text(500, "Internal Server Error"));
    stage.api.inject(Route::CancelJob, broken.always());
    let unknown = || Fault::answer(Answer::json(404, &json!({ "detail": "Not Found" })));
    stage.api.inject(Route::DeleteWorkflow, unknown());
    for of in [JOB, WORKFLOW] {
        let params = (&DeleteParams::default(), &ListParams::default());
        objects(&stage, of)
            .delete_collection(params.0, params.1)
            .await?;
    }
    gone(&stage, WORKFLOW, "flow").await?;
    assert_eq!(stage.workspace.workflows().len(), 0);

    // Gone behind our back, with a service that lists no runs of what is not there.
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    ready(&stage).await?;
    stage
        .workspace
        .remove_workflow(&stage.workspace.workflows()[0].id);
    stage.api.inject(Route::ListJobs, unknown().always());
    objects(&stage, WORKFLOW)
        .delete("flow", &DeleteParams::default())
        .await?;
    gone(&stage, WORKFLOW, "flow").await?;
    Ok(())
}

/// The first create is carried out after the operator has given it up.
#[tokio::test]
async fn a_second_workflow_that_a_late_create_makes_is_deleted() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let late = || Fault::disconnect().committed_late(Duration::from_secs(5));
    stage.api.inject(Route::CreateWorkflow, late());
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let _operator = stage.operator().await?;
    let flow = ready(&stage).await?;
    let id = flow.data["status"]["workflowId"]
        .as_str()
        .context("an id")?;
    let left = || stage.workspace.workflows();
    eventually("the duplicate is made", || {
        (left().len() == 2).then_some(())
    })
    .await?;
    eventually("and is deleted", || (left().len() == 1).then_some(())).await?;
    assert_eq!(left()[0].id, id);
    Ok(())
}

#[tokio::test]
async fn everything_deleted_at_once_leaves_nothing() -> Result<()> {
    let (stage, _operator, _) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "running", job()).await?;
    phase(&stage, "running", "Scheduled").await?;
    for of in ["DropboxSource", "PineconeDestination", WORKFLOW, JOB] {
        objects(&stage, of)
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
    }
    all_gone(&stage).await?;
    assert_eq!(stage.workspace.workflows(), []);
    assert_eq!(stage.workspace.sources(), []);
    assert_eq!(stage.workspace.destinations(), []);
    Ok(())
}

#[tokio::test]
async fn a_setting_that_the_service_drops_is_told_once_and_sent_no_more() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let mut spec = workflow();
    spec["nodes"][0]["settings"]["strategy"] = json!("auto");
    create(&stage, WORKFLOW, "flow", spec).await?;
    let _operator = stage.operator().await?;
    ready(&stage).await?;
    let mut stage = stage;
    stage.kind = kind(WORKFLOW);
    let note = stage.until_event("flow", "SettingIgnored").await?;
    ensure!(note.contains("strategy"), "{note}");
    stage
        .annotate("flow", "connectors.unstructured.io/reconcile-at", "1")
        .await?;
    until(&stage, WORKFLOW, "flow", |o| {
        o.data["status"]["lastHandledReconcileAt"] == "1"
    })
    .await?;
    assert_eq!(requests(&stage, "PUT", "/workflows/"), 0);
    Ok(())
}

#[tokio::test]
async fn a_connector_stays_while_anything_runs_through_it_and_every_way_out_works() -> Result<()> {
    let (stage, _operator, _) = begin().await?;
    let by_hand = stage.workspace.sources()[0].id.clone();
    let index = stage.workspace.destinations()[0].id.clone();
    let foreign = json!({
        "name": "made in the console", "workflow_type": "custom", "source_id": by_hand, "destination_id": index,
        "workflow_nodes": [{ "name": "P", "type": "partition", "subtype": "vlm" }],
    });
    let foreign = stage.workspace.insert_workflow(foreign);
    for of in [
        ("DropboxSource", "contracts"),
        ("PineconeDestination", "index"),
    ] {
        objects(&stage, of.0)
            .delete(of.1, &DeleteParams::default())
            .await?;
        let blocked = until(&stage, of.0, of.1, |o| {
            condition(o, "Ready").is_some_and(|c| c["reason"] == "InUse")
        })
        .await?;
        let said = message(&blocked, "Ready");
        let managed = said.find("UnstructuredWorkflow \"flow\"");
        let remote = said.find("made in the console");
        ensure!(managed.is_some() && managed < remote, "{said}");
    }
    assert_eq!(stage.workspace.sources().len(), 1);

    // Without the managed one, the other is still in the way.
    objects(&stage, WORKFLOW)
        .delete("flow", &DeleteParams::default())
        .await?;
    until(&stage, "DropboxSource", "contracts", |o| {
        let said = message(o, "Ready");
        said.contains("console") && !said.contains("UnstructuredWorkflow")
    })
    .await?;
    assert_eq!(stage.workspace.workflows().len(), 1);
    let force = json!({ "metadata": { "annotations": { "connectors.unstructured.io/force-delete": "true" } } });
    patch(&stage, "DropboxSource", "contracts", &force).await?;
    let retain = json!({ "spec": { "deletionPolicy": "Retain" } });
    patch(&stage, "PineconeDestination", "index", &retain).await?;
    all_gone(&stage).await?;
    assert_eq!(stage.workspace.sources(), []);
    assert_eq!(stage.workspace.destinations().len(), 1);
    ensure!(stage.workspace.workflow(&foreign).is_some());
    Ok(())
}

#[tokio::test]
async fn a_connector_goes_when_the_workflow_is_pointed_elsewhere() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage
        .create("other", json!({ "remoteUrl": "dropbox://other" }))
        .await?;
    // Until the service has taken it, the workflow still runs through the one that it was pointed away from.
    let nowhere = json!({ "spec": { "sourceRef": { "name": "nowhere" } } });
    patch(&stage, WORKFLOW, "flow", &nowhere).await?;
    until(&stage, WORKFLOW, "flow", |o| {
        is(o, "ReferencesReady", "False", "SourceNotFound")
    })
    .await?;
    objects(&stage, "DropboxSource")
        .delete("contracts", &DeleteParams::default())
        .await?;
    let blocked = until(&stage, "DropboxSource", "contracts", |o| {
        condition(o, "Ready").is_some_and(|c| c["reason"] == "InUse")
    })
    .await?;
    let said = message(&blocked, "Ready");
    ensure!(said.contains("UnstructuredWorkflow \"flow\""), "{said}");
    ensure!(!said.contains("in Unstructured"), "{said}");
    let elsewhere = json!({ "spec": { "sourceRef": { "name": "other" } } });
    patch(&stage, WORKFLOW, "flow", &elsewhere).await?;
    stage.gone("contracts").await?;
    ready(&stage).await?;
    let left = stage.workspace.sources();
    let now = stage.workspace.workflow(&id).context("it is there")?;
    assert_eq!(now.sources, [left[0].id.clone()]);
    assert_eq!(left.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_finished_job_goes_when_its_time_is_over() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let spec = json!({ "workflowRef": { "name": "flow" }, "ttlAfterFinished": "1s" });
    create(&stage, JOB, "short", spec).await?;
    gone(&stage, JOB, "short").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    Ok(())
}

/// The value of the only secret setting, as the service has it.
fn sent_secret(stage: &Stage) -> Value {
    let made = &stage.workspace.workflows()[0];
    made.nodes[0].settings["provider_api_key"].clone()
}

async fn begin_with_a_secret(stage: &Stage, value: &str) -> Result<Operator> {
    stage
        .api
        .configure(|rules| rules.pipelines.masked_settings = true);
    connectors(stage).await?;
    stage.secret("nodes", &[("key", value)]).await?;
    let mut spec = workflow();
    spec["nodes"][0]["secretSettings"] =
        json!({ "provider_api_key": { "name": "nodes", "key": "key" } });
    create(stage, WORKFLOW, "flow", spec).await?;
    let operator = stage.operator().await?;
    ready(stage).await?;
    Ok(operator)
}

async fn until_secret(stage: &Stage, value: &str) -> Result<()> {
    let is_sent = || (sent_secret(stage) == value).then_some(());
    eventually("the secret is sent", is_sent).await
}

/// What secret a workflow has, nobody can read: the digest on record must not say that it is the old one.
#[tokio::test]
async fn a_secret_that_is_put_back_while_the_operator_is_dead_is_sent_again() -> Result<()> {
    let stage = pipeline().await?;
    let operator = begin_with_a_secret(&stage, "the first of two").await?;
    stage
        .api
        .inject(Route::UpdateWorkflow, Fault::hang().committed());
    stage
        .secret("nodes", &[("key", "the second of two")])
        .await?;
    until_secret(&stage, "the second of two").await?;
    operator.kill()?;
    stage
        .secret("nodes", &[("key", "the first of two")])
        .await?;
    let _operator = stage.operator().await?;
    until_secret(&stage, "the first of two").await?;
    ready(&stage).await?;
    Ok(())
}

/// The update that was lost is carried out after the one that was accepted.
#[tokio::test]
async fn an_old_secret_that_a_late_update_restores_is_replaced() -> Result<()> {
    let mut stage = pipeline().await?;
    stage.set("SETTLE_TIME", "3s");
    let _operator = begin_with_a_secret(&stage, "the first of two").await?;
    let late = Fault::disconnect().committed_late(Duration::from_millis(800));
    stage.api.inject(Route::UpdateWorkflow, late);
    stage
        .secret("nodes", &[("key", "the second of two")])
        .await?;
    eventually("an update", || {
        (requests(&stage, "PUT", "/workflows/") > 0).then_some(())
    })
    .await?;
    stage
        .secret("nodes", &[("key", "the first of two")])
        .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    until(&stage, WORKFLOW, "flow", |o| {
        is(o, "Ready", "True", "Ready") && o.data["status"].get("resendAfter").is_none()
    })
    .await?;
    assert_eq!(sent_secret(&stage), "the first of two");
    ensure!(requests(&stage, "PUT", "/workflows/") >= 3);
    Ok(())
}

#[tokio::test]
async fn a_workflow_whose_key_is_taken_says_so_and_nothing_is_made_in_its_place() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let taken = json!({ "detail": [{ "loc": ["body", "key"], "msg": "already exists", "type": "value_error" }] });
    for status in [409, 412, 422] {
        let name = format!("flow-{status}");
        let taken = Fault::answer(Answer::json(status, &taken));
        stage.api.inject(Route::CreateWorkflow, taken.clone());
        create(&stage, WORKFLOW, &name, workflow()).await?;
    }
    let _operator = stage.operator().await?;
    for status in [409, 412, 422] {
        let name = format!("flow-{status}");
        let told = until(&stage, WORKFLOW, &name, |o| {
            is(o, "Stalled", "True", "KeyTaken")
        })
        .await?;
        ensure!(message(&told, "Ready").contains("Nothing was created"));
        ensure!(told.data["status"].get("create").is_none(), "{told:?}");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        requests(&stage, "POST", "/workflows/"),
        3,
        "it is not sent again"
    );

    let nudge = json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": "now" } } });
    patch(&stage, WORKFLOW, "flow-409", &nudge).await?;
    until(&stage, WORKFLOW, "flow-409", |o| {
        is(o, "Ready", "True", "Ready")
    })
    .await?;
    assert_eq!(requests(&stage, "POST", "/workflows/"), 4);
    Ok(())
}

#[tokio::test]
async fn a_workspace_that_refuses_keys_is_sent_none_with_a_workflow() -> Result<()> {
    let stage = pipeline().await?;
    stage
        .workspace
        .configure_keys(|keys| keys.given = GivenKey::Refused(422));
    let (stage, _operator, _) = begin_on(stage).await?;
    assert_eq!(requests(&stage, "POST", "/workflows/"), 1);
    ensure!(ready(&stage).await?.data["status"].get("key").is_none());
    Ok(())
}

/// As an old status that was restored has it: of two jobs of one workflow that ask at once, one goes first.
#[tokio::test]
async fn two_jobs_that_both_say_that_they_ask_run_one_after_the_other() -> Result<()> {
    let (stage, operator, id) = begin().await?;
    operator.kill()?;
    for name in ["first", "second"] {
        create(&stage, JOB, name, job()).await?;
        let asking = json!({ "status": {
            "observedGeneration": 1, "phase": "Starting", "workflowId": id,
            "request": { "startedAt": "2026-01-01T00:00:00Z" },
        } });
        let params = PatchParams::default();
        objects(&stage, JOB)
            .patch_status(name, &params, &Patch::Merge(&asking))
            .await?;
    }
    let _operator = stage.operator().await?;
    for name in ["first", "second"] {
        phase(&stage, name, "Succeeded").await?;
    }
    assert_eq!(stage.workspace.runs(&id), 2);
    Ok(())
}
