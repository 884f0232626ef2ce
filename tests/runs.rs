//! Runs that nobody knows yet when their job, their workflow or all of it goes, and jobs that end before they have one.

use std::time::Duration;

use anyhow::Result;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use serde_json::json;
use support::fake::unstructured::Route;
use support::fake::{Answer, Fault};
use support::operator::Operator;
use support::stage::{Stage, condition, eventually};

use crate::pipeline::{
    JOB, WORKFLOW, begin_on, create, job, objects, patch, phase, pipeline, requests, until,
};

/// A pipeline that is ready, and the id of its workflow. What is lost is settled soon.
async fn begin() -> Result<(Stage, Operator, String)> {
    let mut stage = pipeline().await?;
    stage.set("SETTLE_TIME", "3s");
    begin_on(stage).await
}

async fn delete(stage: &Stage, of: &str, name: &str) -> Result<()> {
    objects(stage, of)
        .delete(name, &DeleteParams::default())
        .await?;
    Ok(())
}

/// Waits until the only run of a workflow was told to stop.
async fn stopped(stage: &Stage, id: &str) -> Result<()> {
    eventually("the run is told to stop", || {
        let runs = stage.workspace.jobs(id);
        let [run] = &runs[..] else {
            return None;
        };
        let cancel = format!("/jobs/{}/cancel", run.id);
        (requests(stage, "POST", &cancel) > 0).then_some(())
    })
    .await
}

/// Runs go on for ever, and no list shows them for so long.
fn hold_and_hide(stage: &Stage, lag: Duration) {
    stage.workspace.hold_jobs(true);
    stage
        .api
        .configure(|rules| rules.pipelines.job_list_lag = lag);
}

async fn asks(stage: &Stage, name: &str) -> Result<()> {
    let asks = |object: &DynamicObject| {
        let status = &object.data["status"];
        !status["request"].is_null() && status["jobId"].is_null()
    };
    until(stage, JOB, name, asks).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_that_ends_before_it_has_a_run_blocks_no_other() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let refusal = json!({ "detail": "Workflow is inactive" });
    let refusal = Fault::answer(Answer::json(422, &refusal));
    stage.api.inject(Route::RunWorkflow, refusal);
    create(&stage, JOB, "refused", job()).await?;
    phase(&stage, "refused", "Failed").await?;
    create(&stage, JOB, "after-a-refusal", job()).await?;
    phase(&stage, "after-a-refusal", "Succeeded").await?;

    stage.api.inject(Route::RunWorkflow, Fault::disconnect());
    create(&stage, JOB, "cancelled", job()).await?;
    asks(&stage, "cancelled").await?;
    let cancel = json!({ "spec": { "cancel": true } });
    patch(&stage, JOB, "cancelled", &cancel).await?;
    phase(&stage, "cancelled", "Stopped").await?;
    create(&stage, JOB, "after-a-cancel", job()).await?;
    phase(&stage, "after-a-cancel", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 2);
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_replaced_as_a_whole_still_stops_its_run_when_it_goes() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "once", job()).await?;
    let mut running = phase(&stage, "once", "Scheduled").await?;
    // As `kubectl replace` does with the manifest.
    running.metadata.finalizers = None;
    running.metadata.annotations = None;
    objects(&stage, JOB)
        .replace("once", &PostParams::default(), &running)
        .await?;
    until(&stage, JOB, "once", |o| o.metadata.finalizers.is_some()).await?;
    delete(&stage, JOB, "once").await?;
    stopped(&stage, &id).await
}

#[tokio::test]
async fn a_run_that_no_list_shows_yet_is_stopped_with_its_workflow() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    hold_and_hide(&stage, Duration::from_mins(10));
    create(&stage, JOB, "once", job()).await?;
    phase(&stage, "once", "Scheduled").await?;
    delete(&stage, WORKFLOW, "flow").await?;
    stopped(&stage, &id).await
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_stopped_with_its_workflow_once_it_shows() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    hold_and_hide(&stage, Duration::from_secs(1));
    let lost = Fault::disconnect().committed();
    stage.api.inject(Route::RunWorkflow, lost);
    create(&stage, JOB, "once", job()).await?;
    asks(&stage, "once").await?;
    eventually("it runs", || (stage.workspace.runs(&id) == 1).then_some(())).await?;
    for (of, name) in [
        (WORKFLOW, "flow"),
        ("DropboxSource", "contracts"),
        ("PineconeDestination", "index"),
    ] {
        delete(&stage, of, name).await?;
    }
    stopped(&stage, &id).await?;
    let ended = |object: &DynamicObject| {
        condition(object, "Failed").is_some_and(|failed| failed["status"] == "True")
    };
    until(&stage, JOB, "once", ended).await?;
    eventually("nothing is left", || {
        let workspace = &stage.workspace;
        let left = workspace.workflows().len()
            + workspace.sources().len()
            + workspace.destinations().len();
        (left == 0).then_some(())
    })
    .await
}

/// A proxy may send a request twice: the second time it meets the run of the first.
#[tokio::test]
async fn a_conflict_with_the_run_that_was_asked_for_costs_no_second_one() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let detail = json!({ "detail": "Workflow already has a job scheduled or in progress" });
    let conflict = Fault::answer(Answer::json(409, &detail)).committed();
    stage.api.inject(Route::RunWorkflow, conflict);
    create(&stage, JOB, "once", job()).await?;
    let once = phase(&stage, "once", "Succeeded").await?;
    assert_eq!(stage.workspace.runs(&id), 1);
    let run = &stage.workspace.jobs(&id)[0];
    assert_eq!(once.data["status"]["jobId"], json!(run.id));
    Ok(())
}
