//! What a status says is true: of nothing more than the service has said, and without what it should not have said.

use jiff::{SignedDuration, Timestamp};

use super::*;

fn answer(body: &Value) -> Fault {
    Fault::answer(Answer::json(200, body))
}

#[tokio::test]
async fn no_secret_comes_to_light_where_the_service_names_a_node_or_refuses_a_run() -> Result<()> {
    let stage = pipeline().await?;
    connectors(&stage).await?;
    let entries = [("key", "zebra crossing at dawn")];
    stage.secret("nodes", &entries).await?;
    let mut spec = workflow();
    spec["nodes"][0]["secretSettings"] =
        json!({ "provider_api_key": { "name": "nodes", "key": "key" } });
    create(&stage, WORKFLOW, "flow", spec).await?;
    let _operator = stage.operator().await?;
    ready(&stage).await?;
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
