//! What `doctor` says to do about workflows and jobs is typed, too.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use support::fake::unstructured::JobEnd;
use support::operator::Operator;
use support::stage::{PATIENCE, PINECONE_KEY, Stage, condition};

use super::{RECONCILE_AT, another_second, doctor, is_repaired_by_the_key, succeeds, types};
use crate::pipeline::{
    JOB, WORKFLOW, connectors, create, job, objects, patch, phase, pipeline, ready, until, workflow,
};

const NODE_SECRET: &str = "hush-of-a-node-90d2";

/// A pipeline whose operator leads.
async fn begin() -> Result<(Stage, Operator, String)> {
    let mut stage = pipeline().await?;
    stage.set("LEADER_ELECT", "true");
    // What is wrong stays so until doctor has looked.
    stage.set("SYNC_INTERVAL", "10m");
    connectors(&stage).await?;
    create(&stage, WORKFLOW, "flow", workflow()).await?;
    let operator = stage.operator().await?;
    ready(&stage).await?;
    // A workflow does not wait for the checks of its connectors.
    until_reason(&stage, "DropboxSource", "contracts", "Ready").await?;
    until_reason(&stage, "PineconeDestination", "index", "Ready").await?;
    // Whatever those checks gave it to look at, it has looked at.
    let look = json!({ "metadata": { "annotations": { RECONCILE_AT: "now" } } });
    patch(&stage, WORKFLOW, "flow", &look).await?;
    until(&stage, WORKFLOW, "flow", |o| {
        o.data["status"]["lastHandledReconcileAt"] == "now"
    })
    .await?;
    let id = stage.workspace.workflows()[0].id.clone();
    Ok((stage, operator, id))
}

/// The finding of a check about an object of this kind.
async fn finding(stage: &Stage, name: &str, kind: &str, check: &str) -> Result<Option<Value>> {
    let (_, findings) = doctor(stage, &format!("-n {} {name}", stage.namespace)).await?;
    let subject = format!("{kind} {}/{name}", stage.namespace);
    let mut findings = findings.into_iter();
    Ok(
        findings
            .find(|finding| finding["subject"] == subject.as_str() && finding["check"] == check),
    )
}

/// What is said of it, which is not right, and what to do.
async fn next(stage: &Stage, name: &str, kind: &str, check: &str) -> Result<(String, String)> {
    let finding = finding(stage, name, kind, check).await?;
    let finding = finding.with_context(|| format!("nothing of {check}"))?;
    ensure!(finding["verdict"] != "right", "{finding:#}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&finding["message"]), text(&finding["next"])))
}

async fn until_right(stage: &Stage, name: &str, kind: &str, check: &str) -> Result<()> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = finding(stage, name, kind, check).await?;
        if now.as_ref().is_none_or(|f| f["verdict"] == "right") {
            return Ok(());
        }
        if tokio::time::Instant::now() > end {
            bail!("{check} is not repaired: {now:#?}");
        }
    }
}

/// Types what is to be done, and waits until all is right. Returns what was said.
async fn is_repaired(stage: &Stage, name: &str, kind: &str, check: &str) -> Result<String> {
    let (said, next) = next(stage, name, kind, check).await?;
    another_second().await?;
    succeeds(stage, &next).await?;
    until_right(stage, name, kind, check).await?;
    Ok(said)
}

/// What to do about the first thing that is wrong, where a line leads to another resource.
async fn wrong_there(stage: &Stage, line: &str) -> Result<String> {
    let told = String::from_utf8(types(stage, line).await?.stdout)?;
    let mut lines = told.lines().skip_while(|line| !line.contains("wrong: "));
    let next = lines.nth(1).and_then(|line| line.split_once("next: "));
    let (_, next) = next.with_context(|| told.clone())?;
    Ok(next.to_owned())
}

async fn edit(stage: &Stage, spec: Value) -> Result<()> {
    patch(stage, WORKFLOW, "flow", &json!({ "spec": spec })).await
}

async fn until_reason(stage: &Stage, kind: &str, name: &str, reason: &str) -> Result<()> {
    until(stage, kind, name, |o| {
        condition(o, "Ready").is_some_and(|ready| ready["reason"] == reason)
            && o.data["status"]["observedGeneration"].as_i64() == o.metadata.generation
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_doctor_says_to_do_about_a_workflow_repairs_it() -> Result<()> {
    let (mut stage, _operator, id) = begin().await?;
    let about =
        async |stage: &Stage, check: &str| is_repaired(stage, "flow", WORKFLOW, check).await;

    stage
        .workspace
        .set_workflow(&id, json!({ "schedule": "daily" }));
    let said = about(&stage, "workflow").await?;
    ensure!(said.contains("schedule"), "{said}");
    stage.workspace.remove_workflow(&id);
    about(&stage, "workflow").await?;

    edit(&stage, json!({ "suspend": true, "schedule": "weekly" })).await?;
    until_reason(&stage, WORKFLOW, "flow", "Suspended").await?;
    about(&stage, "status").await?;

    stage.set("KUBE_EDITOR", "sed -i s,gone-source,contracts,");
    let gone = json!({ "kind": "DropboxSource", "name": "gone-source" });
    edit(&stage, json!({ "sourceRef": gone })).await?;
    until_reason(&stage, WORKFLOW, "flow", "SourceNotFound").await?;
    about(&stage, "source").await?;

    let there = stage.workspace.destinations()[0].id.clone();
    let nowhere = "00000000-0000-4000-8000-000000000000";
    stage.set("KUBE_EDITOR", &format!("sed -i s,{nowhere},{there},"));
    let by_id = json!({ "destinationRef": null, "destinationId": nowhere });
    edit(&stage, by_id).await?;
    about(&stage, "destination").await?;

    stage.keep_secret(NODE_SECRET);
    fs::write(stage.directory().join("provider"), NODE_SECRET)?;
    let mut nodes = workflow()["nodes"].clone();
    nodes[0]["secretSettings"] =
        json!({ "provider_api_key": { "name": "nodes", "key": "provider" } });
    edit(&stage, json!({ "nodes": nodes })).await?;
    until_reason(&stage, WORKFLOW, "flow", "SecretNotFound").await?;
    about(&stage, "secret").await?;
    ready(&stage).await?;

    stage.set("KUBE_EDITOR", "sed -i s,99999,2048,");
    let mut nodes = workflow()["nodes"].clone();
    nodes[1]["settings"]["max_characters"] = json!(99_999);
    edit(&stage, json!({ "nodes": nodes })).await?;
    ready(&stage).await?;
    about(&stage, "advice").await?;
    stage.set("KUBE_EDITOR", "sed -i /strategy/d");
    nodes[1]["settings"] = json!({ "max_characters": 2048, "strategy": "auto" });
    edit(&stage, json!({ "nodes": nodes })).await?;
    ready(&stage).await?;
    let said = about(&stage, "settings").await?;
    ensure!(said.contains("nodes[Chunker].strategy"), "{said}");

    stage
        .workspace
        .insert_workflow(json!({ "name": "theirs", "workflow_type": "custom" }));
    let mut taken = workflow();
    taken["workflowName"] = json!("theirs");
    create(&stage, WORKFLOW, "taken", taken).await?;
    until_reason(&stage, WORKFLOW, "taken", "NameConflict").await?;
    is_repaired(&stage, "taken", WORKFLOW, "status").await?;

    let mut nothing = workflow();
    nothing["existingWorkflowId"] = json!(nowhere);
    create(&stage, WORKFLOW, "nothing", nothing).await?;
    until_reason(&stage, WORKFLOW, "nothing", "WorkflowNotFound").await?;
    let (_, said) = next(&stage, "nothing", WORKFLOW, "status").await?;
    let (said, line) = said
        .split_once("before you delete: ")
        .context(said.clone())?;
    ensure!(said.contains("deletes its workflow too"), "{said}");
    succeeds(&stage, line).await?;

    let arguments = format!("-n {} flow", stage.namespace);
    is_repaired_by_the_key(&stage, &arguments).await
}

#[tokio::test]
async fn a_workflow_is_examined_with_both_connectors() -> Result<()> {
    let (stage, _operator, _) = begin().await?;
    let (code, findings) = doctor(&stage, &format!("-n {} flow", stage.namespace)).await?;
    let wrong = findings
        .iter()
        .filter(|finding| finding["verdict"] != "right");
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<&Value>::new());
    assert_eq!(code, Some(0));
    let kinds = ["DropboxSource", "PineconeDestination", WORKFLOW];
    for (kind, name) in kinds.into_iter().zip(["contracts", "index", "flow"]) {
        let subject = format!("{kind} {}/{name}", stage.namespace);
        ensure!(
            findings.iter().any(|f| f["subject"] == subject.as_str()),
            "{subject}"
        );
    }

    fs::write(stage.directory().join("api_key"), PINECONE_KEY)?;
    stage
        .secrets()
        .delete("pinecone", &DeleteParams::default())
        .await?;
    let nudge = json!({ "metadata": { "annotations": { "connectors.unstructured.io/reconcile-at": "1" } } });
    patch(&stage, "PineconeDestination", "index", &nudge).await?;
    until_reason(&stage, "PineconeDestination", "index", "SecretNotFound").await?;
    let (_, line) = next(&stage, "flow", WORKFLOW, "destination").await?;
    let repair = wrong_there(&stage, &line).await?;
    ensure!(repair.contains("secret generic pinecone"), "{repair}");
    succeeds(&stage, &repair).await?;
    until_right(&stage, "flow", WORKFLOW, "destination").await?;
    until_right(&stage, "flow", WORKFLOW, "status").await
}

#[tokio::test]
async fn what_doctor_says_to_do_about_runs_repairs_them() -> Result<()> {
    let (stage, _operator, id) = begin().await?;
    let said = format!("it is encrypted with {PINECONE_KEY}");
    let ends = [JobEnd::some_failed(7, 9, &said), JobEnd::all(3)];
    stage.workspace.script_jobs(&id, ends);
    create(&stage, JOB, "partly", job()).await?;
    phase(&stage, "partly", "PartiallyFailed").await?;
    until(&stage, WORKFLOW, "flow", |o| {
        condition(o, "LastJobSucceeded").is_some_and(|c| c["status"] == "False")
    })
    .await?;
    let (code, findings) = doctor(&stage, &format!("-n {}", stage.namespace)).await?;
    assert_eq!(code, Some(1), "{findings:#?}");
    let (said, _) = next(&stage, "partly", JOB, "run").await?;
    for word in ["7 of 9 documents failed", "it is encrypted", "and 2 more"] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    let said = is_repaired(&stage, "flow", WORKFLOW, "last run").await?;
    for word in ["7 of 9 documents failed", "it is encrypted", "and 2 more"] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    ensure!(!said.contains(PINECONE_KEY), "{said}");
    // The run that the line started is the last one now, so what failed before is history.
    until_right(&stage, "partly", JOB, "run").await?;
    let (code, findings) = doctor(&stage, &format!("-n {}", stage.namespace)).await?;
    assert_eq!(code, Some(0), "{findings:#?}");

    stage.workspace.script_jobs(
        &id,
        [JobEnd::Failed("no credits".to_owned()), JobEnd::all(3)],
    );
    create(&stage, JOB, "broken", job()).await?;
    phase(&stage, "broken", "Failed").await?;
    let said = is_repaired(&stage, "broken", JOB, "run").await?;
    ensure!(said.contains("no credits"), "{said}");

    // A job that is made again under its name runs no second time.
    objects(&stage, JOB)
        .delete("broken", &DeleteParams::default())
        .await?;
    while objects(&stage, JOB).get_opt("broken").await?.is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    create(&stage, JOB, "broken", job()).await?;
    phase(&stage, "broken", "Abandoned").await?;
    let said = is_repaired(&stage, "broken", JOB, "run").await?;
    ensure!(said.contains("AlreadyRun"), "{said}");

    let nothing = json!({ "workflowRef": { "name": "nothing" } });
    create(&stage, JOB, "lost", nothing).await?;
    phase(&stage, "lost", "Pending").await?;
    is_repaired(&stage, "lost", JOB, "run").await?;
    ensure!(objects(&stage, JOB).get_opt("lost").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_run_under_way_is_followed_one_that_waits_too_and_one_that_hangs_is_cancelled()
-> Result<()> {
    let (stage, _operator, _) = begin().await?;
    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "first", job()).await?;
    phase(&stage, "first", "Scheduled").await?;
    create(&stage, JOB, "second", job()).await?;
    phase(&stage, "second", "Waiting").await?;
    let (said, waits) = next(&stage, "second", JOB, "run").await?;
    ensure!(said.contains("Another run of the workflow"), "{said}");
    let (said, follows) = next(&stage, "first", JOB, "run").await?;
    ensure!(said.contains("Unstructured says SCHEDULED"), "{said}");
    stage.workspace.hold_jobs(false);
    succeeds(&stage, &follows).await?;
    succeeds(&stage, &waits).await?;
    until_right(&stage, "first", JOB, "run").await?;
    until_right(&stage, "second", JOB, "run").await?;

    stage.workspace.hold_jobs(true);
    create(&stage, JOB, "hangs", job()).await?;
    phase(&stage, "hangs", "Scheduled").await?;
    let old = json!({ "status": { "startedAt": "2026-01-01T00:00:00Z" } });
    let params = PatchParams::default();
    objects(&stage, JOB)
        .patch_status("hangs", &params, &Patch::Merge(&old))
        .await?;
    let (said, cancels) = next(&stage, "hangs", JOB, "run").await?;
    ensure!(said.contains("hours"), "{said}");
    succeeds(&stage, &cancels).await?;
    phase(&stage, "hangs", "Stopped").await?;
    stage.workspace.hold_jobs(false);
    // Somebody meant it: that is not wrong, and another run makes it history.
    is_repaired(&stage, "hangs", JOB, "run").await?;

    // A job waits for a workflow that is not ready, which says why.
    edit(&stage, json!({ "suspend": true, "schedule": "daily" })).await?;
    until_reason(&stage, WORKFLOW, "flow", "Suspended").await?;
    create(&stage, JOB, "early", job()).await?;
    phase(&stage, "early", "Pending").await?;
    let (_, line) = next(&stage, "early", JOB, "run").await?;
    succeeds(&stage, &wrong_there(&stage, &line).await?).await?;
    phase(&stage, "early", "Succeeded").await?;
    Ok(())
}
