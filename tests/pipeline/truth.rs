//! What a status says is true: of nothing more than the service has said, and without what it should not have said.

use jiff::{SignedDuration, Timestamp};
use support::fake::unstructured::JobStatus;

use super::*;

fn answer(body: &Value) -> Fault {
    Fault::answer(Answer::json(200, body))
}

fn missing(what: &str) -> Fault {
    Fault::answer(Answer::json(404, &json!({ "detail": what })))
}

/// The message of `Ready`, wherever it says this.
async fn until_said(stage: &Stage, of: &str, name: &str, reason: &str) -> Result<String> {
    let object = until(stage, of, name, |o| is(o, "Ready", "False", reason)).await?;
    Ok(message(&object, "Ready").to_owned())
}

#[tokio::test]
async fn no_secret_comes_to_light_where_the_service_names_a_node_or_refuses_a_run() -> Result<()> {
    let (stage, _operator) = with_a_secret_in_a_node().await?;
    let id = stage.workspace.workflows()[0].id.clone();
    let said = format!("refused {PINECONE_KEY} and zebra crossing at dawn");
    let node = json!({
        "node_name": said, "node_type": said, "node_subtype": said,
        "ready": 0, "in_progress": 1, "success": 0, "failure": 0,
    });
    let details = |word| answer(&json!({ "processing_status": word, "node_stats": [node] }));

    stage.workspace.script_jobs(&id, [JobEnd::Never]);
    let under_way = details("IN_PROGRESS").always();
    stage.api.inject(Route::JobDetails, under_way);
    let mut followed = DynamicObject::new("followed", &kind(JOB)).data(json!({ "spec": job() }));
    let end = Timestamp::now() + SignedDuration::from_mins(5);
    let mark = "connectors.unstructured.io/followed-until".to_owned();
    followed.metadata.annotations = Some([(mark, end.to_string())].into());
    let jobs = objects(&stage, JOB);
    jobs.create(&PostParams::default(), &followed).await?;
    let has_nodes = |o: &DynamicObject| o.data["status"]["nodes"].is_array();
    let running = until(&stage, JOB, "followed", has_nodes).await?;
    stage.api.clear_faults();
    let ended = details("SUCCESS").always();
    stage.api.inject(Route::JobDetails, ended);
    let run = running.data["status"]["jobId"].as_str().context("a run")?;
    stage.workspace.finish_job(run, JobEnd::all(1));
    let ended = phase(&stage, "followed", "Succeeded").await?;
    for object in [running, ended] {
        let shown = serde_json::to_string(&object.data["status"])?;
        let is_scrubbed = shown.contains("refused [redacted] and [redacted]");
        ensure!(is_scrubbed && !shown.contains("zebra"), "{shown}");
    }

    stage.api.clear_faults();
    let refusal = Fault::answer(Answer::json(422, &json!({ "detail": said })));
    stage.api.inject(Route::RunWorkflow, refusal);
    create(&stage, JOB, "refused", job()).await?;
    let refused = phase(&stage, "refused", "Failed").await?;
    let shown = serde_json::to_string(&refused.data["status"])?;
    ensure!(
        shown.contains("did not start the run") && !shown.contains("zebra"),
        "{shown}"
    );
    Ok(())
}

/// The service calls a run completed before it has counted its documents.
#[tokio::test]
async fn what_a_run_came_to_is_not_concluded_from_counts_that_still_change() -> Result<()> {
    let mut stage = pipeline().await?;
    stage.set("SETTLE_TIME", "20s");
    let (stage, _operator, id) = begin_on(stage).await?;
    let partly = JobEnd::some_failed(2, 5, "the file is encrypted");
    stage.workspace.script_jobs(&id, [partly]);
    let early = json!({
        "processing_status": "IN_PROGRESS", "node_stats": [],
        "summary": { "total_docs": 1, "total_docs_succeeded": 1, "total_docs_failed": 0 },
    });
    stage.api.inject(Route::JobDetails, answer(&early).always());
    patch(
        &stage,
        WORKFLOW,
        "flow",
        &json!({ "spec": { "schedule": "daily" } }),
    )
    .await?;
    let run = eventually("the schedule is there", || {
        match stage.workspace.tick(&id) {
            Tick::Started(run) => Some(run),
            _ => None,
        }
    })
    .await?;
    eventually("it is told of the counts so far", || {
        (requests(&stage, "GET", "/details") >= 3).then_some(())
    })
    .await?;
    let waits = objects(&stage, WORKFLOW).get("flow").await?;
    let status = &waits.data["status"];
    ensure!(status.get("lastJob").is_none(), "concluded: {status}");
    assert_eq!(status["activeJob"]["id"], json!(run), "{status}");

    stage.api.clear_faults();
    let flow = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "LastJobSucceeded", "False", "CompletedWithErrors")
    })
    .await?;
    let status = &flow.data["status"];
    let documents = json!({ "total": 5, "succeeded": 3, "failed": 2 });
    assert_eq!(status["lastJob"]["documents"], documents);
    ensure!(status.get("activeJob").is_none(), "{status}");
    Ok(())
}

#[tokio::test]
async fn details_that_are_not_there_yet_are_waited_for_and_not_taken_for_success() -> Result<()> {
    let mut stage = pipeline().await?;
    stage.set("SETTLE_TIME", "4s");
    let (stage, _operator, id) = begin_on(stage).await?;
    let partly = JobEnd::some_failed(2, 5, "the file is encrypted");
    stage.workspace.script_jobs(&id, [partly, JobEnd::all(3)]);
    let late = missing("Job not found").times(3);
    stage.api.inject(Route::JobDetails, late);
    create(&stage, JOB, "late", job()).await?;
    let late = phase(&stage, "late", "PartiallyFailed").await?;
    let documents = json!({ "total": 5, "succeeded": 3, "failed": 2 });
    assert_eq!(late.data["status"]["documents"], documents);

    // Of a run whose details never come, nobody knows what came of its documents.
    let never = missing("Job not found").always();
    stage.api.inject(Route::JobDetails, never);
    create(&stage, JOB, "untold", job()).await?;
    let untold = phase(&stage, "untold", "Succeeded").await?;
    ensure!(
        is(&untold, "Complete", "True", "DocumentsUnknown")
            && message(&untold, "Complete").contains("does not say what came of its documents"),
        "{untold:?}"
    );
    let flow = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "LastJobSucceeded", "Unknown", "DocumentsUnknown")
    })
    .await?;
    let said = message(&flow, "LastJobSucceeded");
    ensure!(!said.contains("succeeded"), "{said}");
    let status = &flow.data["status"];
    ensure!(status.get("lastSuccessTime").is_none(), "{status}");
    assert_eq!(status["lastJob"]["id"], untold.data["status"]["jobId"]);
    Ok(())
}

/// It is not the URL that is wrong.
#[tokio::test]
async fn a_connector_that_the_workspace_does_not_know_is_named() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let unknown = "0b0e7a52-5f3c-4f0e-9d43-6f1f8c1d2e3a";
    let mut spec = workflow();
    let spec_of = spec.as_object_mut().context("a spec")?;
    spec_of.remove("sourceRef");
    spec_of.insert("sourceId".to_owned(), json!(unknown));
    create(&stage, WORKFLOW, "flow", spec).await?;
    let _operator = stage.operator().await?;
    let said = until_said(&stage, WORKFLOW, "flow", "SourceNotFound").await?;
    ensure!(
        said.contains(unknown) && said.contains("spec.sourceId") && !said.contains("URL"),
        "{said}"
    );

    // One that a resource stands for is made anew, and the workflow follows.
    let mut spec = workflow();
    spec["workflowName"] = json!("second");
    let gone = missing("Destination not found").always();
    stage.api.inject(Route::CreateWorkflow, gone);
    create(&stage, WORKFLOW, "second", spec).await?;
    let said = until_said(&stage, WORKFLOW, "second", "DestinationNotFound").await?;
    stage.api.clear_faults();
    ensure!(
        said.contains("PineconeDestination \"index\"") && !said.contains("URL"),
        "{said}"
    );
    until(&stage, WORKFLOW, "second", |o| {
        is(o, "Ready", "True", "Ready")
    })
    .await?;
    let gone = missing("Source not found").always();
    stage.api.inject(Route::UpdateWorkflow, gone);
    let change = json!({ "spec": { "schedule": "daily" } });
    patch(&stage, WORKFLOW, "second", &change).await?;
    let said = until_said(&stage, WORKFLOW, "second", "SourceNotFound").await?;
    stage.api.clear_faults();
    ensure!(
        said.contains("DropboxSource \"contracts\"") && !said.contains("URL"),
        "{said}"
    );
    until(&stage, WORKFLOW, "second", |o| {
        is(o, "Ready", "True", "Ready")
    })
    .await?;
    Ok(())
}

/// Each kind names Secrets under a field of its own.
#[tokio::test]
async fn a_missing_secret_is_looked_for_under_the_field_of_its_kind() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let entries = [("other", "value")];
    stage.secret("half", &entries).await?;
    let place = |name: &str| json!({ "name": name, "key": "token" });
    let generic =
        |name| json!({ "type": "custom", "config": {}, "secretConfig": { "token": place(name) } });
    create(&stage, "UnstructuredSource", "none", generic("nowhere")).await?;
    create(&stage, "UnstructuredDestination", "half", generic("half")).await?;
    let mut spec = workflow();
    spec["nodes"][0]["secretSettings"] = json!({ "provider_api_key": place("nowhere") });
    create(&stage, WORKFLOW, "flow", spec).await?;
    let typed = json!({ "indexName": "x", "credentials": { "secretRef": { "name": "nowhere" } } });
    create(&stage, "PineconeDestination", "typed", typed).await?;
    let _operator = stage.operator().await?;
    for (of, name, reason, field) in [
        (
            "UnstructuredSource",
            "none",
            "SecretNotFound",
            "correct spec.secretConfig.token.name",
        ),
        (
            "UnstructuredDestination",
            "half",
            "SecretKeyMissing",
            "correct spec.secretConfig.token.key",
        ),
        (
            WORKFLOW,
            "flow",
            "SecretNotFound",
            "correct spec.nodes[Partitioner].secretSettings.provider_api_key.name",
        ),
        (
            "PineconeDestination",
            "typed",
            "SecretNotFound",
            "correct spec.credentials.secretRef.name",
        ),
    ] {
        let said = until_said(&stage, of, name, reason).await?;
        ensure!(said.contains(field), "{of}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_copied_with_its_mark_says_so() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    create(&stage, JOB, "first", job()).await?;
    let done = phase(&stage, "first", "Succeeded").await?;
    let mut copy = DynamicObject::new("copy", &kind(JOB)).data(json!({ "spec": job() }));
    copy.metadata.annotations = done.metadata.annotations;
    let jobs = objects(&stage, JOB);
    jobs.create(&PostParams::default(), &copy).await?;
    let marked = phase(&stage, "copy", "Abandoned").await?;
    let said = message(&marked, "Failed");
    ensure!(
        is(&marked, "Failed", "True", "AlreadyRun")
            && said.contains("annotation connectors.unstructured.io/run")
            && said.contains("create it without the annotation"),
        "{said}"
    );

    // And that is all that it takes.
    jobs.delete("copy", &DeleteParams::default()).await?;
    gone(&stage, JOB, "copy").await?;
    create(&stage, JOB, "copy", job()).await?;
    phase(&stage, "copy", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 2);
    Ok(())
}

/// The service makes every workflow active; the update that follows is what it is told.
#[tokio::test]
async fn a_workflow_that_is_made_inactive_is_no_setting_that_was_ignored() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let mut spec = workflow();
    spec["state"] = json!("Inactive");
    create(&stage, WORKFLOW, "flow", spec).await?;
    let _operator = stage.operator().await?;
    ready(&stage).await?;
    assert_eq!(stage.workspace.workflows()[0].status, "inactive");
    let mut stage = stage;
    stage.kind = kind(WORKFLOW);
    let events = stage.events("flow").await?;
    ensure!(
        events
            .iter()
            .all(|(_, reason, _)| reason != "SettingIgnored"),
        "{events:?}"
    );
    Ok(())
}

/// A run that ended long ago, in a word that is not in the documentation, holds nobody up.
#[tokio::test]
async fn a_run_that_ended_in_other_words_is_not_waited_for() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let long_ago = Timestamp::now() - SignedDuration::from_hours(24);
    for (n, word) in ["COMPLETED_WITH_ERRORS", "success", "CANCELLED", "ERROR"]
        .into_iter()
        .enumerate()
    {
        let status = JobStatus::Other(word);
        let at = long_ago + SignedDuration::from_mins(n.try_into()?);
        stage.workspace.insert_job(&id, status, at);
    }
    create(&stage, JOB, "next", job()).await?;
    phase(&stage, "next", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    Ok(())
}

#[tokio::test]
async fn a_create_that_is_answered_with_another_workflow_is_looked_for() -> Result<()> {
    let mut stage = pipeline().await?;
    stage.set("SETTLE_TIME", "2s");
    stage.set("REQUEST_TIMEOUT", "1s");
    connectors(&stage).await?;
    let _operator = stage.operator().await?;
    let theirs = json!({
        "id": "5cf30ead-cf54-479f-a897-b5fbe8790b76", "name": "somebody's", "workflow_type": "custom", "status": "active",
        "sources": ["6cf30ead-cf54-479f-a897-b5fbe8790b76"], "destinations": ["7cf30ead-cf54-479f-a897-b5fbe8790b76"],
        "created_at": "2026-01-01T00:00:00Z", "workflow_nodes": [],
    });
    stage
        .api
        .inject(Route::CreateWorkflow, answer(&theirs).committed());
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let ready = until(&stage, WORKFLOW, "flow", |o| {
        is(o, "Ready", "True", "Ready")
    })
    .await?;
    assert_ne!(ready.data["status"]["workflowId"], theirs["id"]);
    assert_eq!(requests(&stage, "POST", "/workflows/"), 1);
    Ok(())
}
