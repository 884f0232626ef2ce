//! Jobs: how they pass, what they come to, and each switch once.

use super::{
    workflows::{Pipeline, id, pipeline},
    *,
};
use crate::fake::Fault;

impl Pipeline {
    async fn run(&self, workflow: &Value) -> (u16, Value) {
        let path = format!("/workflows/{}/run", id(workflow));
        self.ground.caller.call(POST, &path).await
    }

    /// Runs it and returns the job.
    async fn started(&self, workflow: &Value) -> String {
        let (status, job) = self.run(workflow).await;
        assert_eq!(
            (status, &job["status"]),
            (202, &json!("SCHEDULED")),
            "{job}"
        );
        id(&job).to_owned()
    }

    async fn status(&self, job: &str) -> String {
        let (_, job) = self.ground.caller.call(GET, &format!("/jobs/{job}")).await;
        job["status"].as_str().expect("a status").to_owned()
    }

    /// Looks until it has ended, and returns every status it saw.
    async fn statuses(&self, job: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..10 {
            seen.push(self.status(job).await);
            if seen
                .last()
                .is_some_and(|status| !status.contains('_') && status != "SCHEDULED")
            {
                break;
            }
        }
        seen
    }

    async fn part(&self, job: &str, part: &str) -> Value {
        let (status, body) = self
            .ground
            .caller
            .call(GET, &format!("/jobs/{job}/{part}"))
            .await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn cancel(&self, job: &str) -> u16 {
        let path = format!("/jobs/{job}/cancel");
        self.ground.caller.call(POST, &path).await.0
    }

    async fn listed(&self, query: &str) -> usize {
        let (status, list) = self
            .ground
            .caller
            .call(GET, &format!("/jobs/{query}"))
            .await;
        assert_eq!(status, 200, "{list}");
        list.as_array().expect("a list").len()
    }
}

#[tokio::test]
async fn a_job_passes_as_it_is_looked_at() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    let workflow = pipeline.create(&json!({})).await;
    let (_, run) = pipeline.run(&workflow).await;
    let job = id(&run);
    assert_eq!(run["job_type"], "ephemeral");
    assert_eq!(run["workflow_id"], workflow["id"]);
    assert!(
        run["created_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z'))
    );
    assert_eq!(run.get("runtime"), None);

    let (status, second) = pipeline.run(&workflow).await;
    assert_eq!((status, second.get("id")), (202, None));
    assert!(second["detail"].is_string());

    let details = pipeline.part(job, "details").await;
    assert_eq!(details["processing_status"], "SCHEDULED");
    let (_, got) = pipeline
        .ground
        .caller
        .call(GET, &format!("/jobs/{job}"))
        .await;
    assert_eq!(
        (&got["status"], &got["runtime"]),
        (&json!("SCHEDULED"), &json!("PT0S"))
    );
    assert!(
        got["created_at"]
            .as_str()
            .is_some_and(|at| !at.ends_with('Z'))
    );
    assert_eq!(pipeline.statuses(job).await, ["IN_PROGRESS", "COMPLETED"]);
    let details = pipeline.part(job, "details").await;
    assert_eq!(details["processing_status"], "SUCCESS");
    let summary = json!({ "total_docs": 3, "total_docs_succeeded": 3, "total_docs_failed": 0 });
    assert_eq!(details["summary"], summary);
    let nodes = details["node_stats"].as_array().expect("one for each node");
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["success"] == 3));
    assert_eq!(
        pipeline.part(job, "failed-files").await,
        json!({ "failed_files": [] })
    );
    assert_eq!(workspace.documents_in_index(&pipeline.destination), 3);

    pipeline.started(&workflow).await;
    assert_eq!(workspace.runs(id(&workflow)), 2);
    assert_eq!(workspace.jobs(id(&workflow)).len(), 2);
}

#[tokio::test]
async fn a_list_of_jobs_is_unbounded_and_moves_them_on() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    let workflow = pipeline.create(&json!({})).await;
    for _ in 0..150 {
        workspace.insert_job(id(&workflow), JobStatus::Completed, crate::wall::now());
    }
    pipeline.started(&workflow).await;
    let ours = format!("?workflow_id={}", id(&workflow));
    assert_eq!(pipeline.listed("?status=scheduled").await, 1);
    assert_eq!(
        pipeline.listed(&format!("{ours}&status=IN_PROGRESS")).await,
        1
    );
    assert_eq!(pipeline.listed(&ours).await, 151);
    assert_eq!(pipeline.listed("?status=COMPLETED").await, 151);
    assert_eq!(pipeline.listed(&format!("?workflow_id={NOBODY}")).await, 0);
    let bad = pipeline
        .ground
        .caller
        .call(GET, "/jobs/?workflow_id=x")
        .await;
    assert_eq!(bad.0, 422);
    let none = pipeline
        .ground
        .caller
        .call(GET, &format!("/jobs/{NOBODY}"))
        .await;
    assert_eq!(none, (404, json!({ "detail": "Job not found" })));
}

#[tokio::test]
async fn a_job_comes_to_what_the_test_says() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    let workflow = pipeline.create(&json!({})).await;
    let ends = [
        JobEnd::some_failed(1, 4, "no such page"),
        JobEnd::some_failed(2, 2, "no such page"),
        JobEnd::all(0),
        JobEnd::Failed("the key sk-1 is wrong".to_owned()),
    ];
    workspace.script_jobs(id(&workflow), ends);
    let table = [
        ("COMPLETED", "COMPLETED_WITH_ERRORS", 1, Value::Null),
        ("FAILED", "FAILED", 2, Value::Null),
        ("COMPLETED", "SUCCESS", 0, Value::Null),
        ("FAILED", "FAILED", 0, json!("the key sk-1 is wrong")),
    ];
    for (status, processing_status, failed, message) in table {
        let job = pipeline.started(&workflow).await;
        assert_eq!(
            pipeline.statuses(&job).await,
            ["SCHEDULED", "IN_PROGRESS", status]
        );
        let details = pipeline.part(&job, "details").await;
        assert_eq!(details["processing_status"], processing_status);
        assert_eq!(
            (
                &details["message"],
                &details["summary"]["total_docs_failed"]
            ),
            (&message, &json!(failed))
        );
        let files = pipeline.part(&job, "failed-files").await;
        let files = files["failed_files"].as_array().expect("a list").clone();
        assert_eq!(files.len(), failed);
        assert!(files.iter().all(|file| file["error"] == "no such page"));
    }
    assert_eq!(workspace.documents_in_index(&pipeline.destination), 3);

    workspace.set_jobs(|_| JobEnd::Never);
    let other = pipeline.create(&json!({ "name": "stuck" })).await;
    let stuck = pipeline.started(&other).await;
    assert_eq!(pipeline.statuses(&stuck).await.len(), 10);
    workspace.finish_job(&stuck, JobEnd::all(2));
    assert_eq!(pipeline.status(&stuck).await, "COMPLETED");
    assert_eq!(workspace.documents_in_index(&pipeline.destination), 5);
}

#[tokio::test]
async fn a_job_can_be_held_and_moved() {
    let pipeline = pipeline(|rules| rules.pipelines.polls_per_state = 2);
    let workspace = &pipeline.ground.workspace;
    let workflow = pipeline.create(&json!({})).await;
    workspace.hold_jobs(true);
    let job = pipeline.started(&workflow).await;
    assert_eq!(pipeline.statuses(&job).await, ["SCHEDULED"; 10]);
    workspace.advance_job(&job);
    assert_eq!(pipeline.status(&job).await, "IN_PROGRESS");
    workspace.hold_jobs(false);
    assert_eq!(
        pipeline.statuses(&job).await,
        ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    );
    let at = workspace.job(&job).expect("the job");
    assert!(!at.is_active());
}

#[tokio::test]
async fn nothing_gets_into_an_index_without_vectors_or_from_nowhere() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    let mut nodes = pipeline.body()["workflow_nodes"].clone();
    nodes.as_array_mut().expect("nodes").pop();
    let plain = pipeline.create(&json!({ "workflow_nodes": nodes })).await;
    let job = pipeline.started(&plain).await;
    assert_eq!(
        pipeline.statuses(&job).await.last().map(String::as_str),
        Some("COMPLETED")
    );
    assert_eq!(workspace.documents_in_index(&pipeline.destination), 0);

    let workflow = pipeline.create(&json!({})).await;
    workspace.remove(&pipeline.source);
    let script = [JobEnd::all(7), JobEnd::all(8)];
    workspace.script_jobs(id(&workflow), script.clone());
    let job = pipeline.started(&workflow).await;
    assert_eq!(
        pipeline.statuses(&job).await.last().map(String::as_str),
        Some("FAILED")
    );
    let details = pipeline.part(&job, "details").await;
    assert_eq!(details["message"], "Source connector not found");

    let source = workspace.insert("dropbox", "s2", config("data"));
    workspace.set_workflow(id(&workflow), json!({ "source_id": source }));
    let job = pipeline.started(&workflow).await;
    let end = workspace.job(&job).map(|job| job.end);
    assert_eq!(end.as_ref(), script.first(), "the script waited");
}

#[tokio::test]
async fn a_cancelled_job_stops_a_poll_later() {
    let pipeline = pipeline(|_| {});
    let (api, workspace) = (&pipeline.ground.api, &pipeline.ground.workspace);
    let workflow = pipeline.create(&json!({})).await;
    workspace.hold_jobs(true);
    let job = pipeline.started(&workflow).await;
    let path = format!("/jobs/{job}/cancel");
    let body =
        json!({ "id": job, "status": "cancelled", "message": "Job successfully cancelled." });
    assert_eq!(pipeline.ground.caller.call(POST, &path).await, (200, body));
    assert_eq!(pipeline.statuses(&job).await, ["SCHEDULED", "STOPPED"]);
    assert_eq!(pipeline.cancel(&job).await, 200);
    api.configure(|rules| rules.pipelines.cancel_ended = Permission::Refused(409));
    assert_eq!(pipeline.cancel(&job).await, 409);

    let job = pipeline.started(&workflow).await;
    for (cancel, status) in [(Cancel::NeverStops, 200), (Cancel::NotFound, 404)] {
        api.configure(|rules| rules.pipelines.cancel = cancel);
        assert_eq!(pipeline.cancel(&job).await, status);
    }
    assert_eq!(pipeline.statuses(&job).await.len(), 10);
}

#[tokio::test]
async fn a_schedule_starts_jobs_or_queues_them() {
    let pipeline = pipeline(|_| {});
    let workspace = &pipeline.ground.workspace;
    let workflow = pipeline.create(&json!({})).await;
    let Tick::Started(first) = workspace.tick(id(&workflow)) else {
        panic!("nothing else runs");
    };
    assert_eq!(workspace.tick(id(&workflow)), Tick::Queued);
    let (_, second) = pipeline.run(&workflow).await;
    assert_eq!(second.get("id"), None);
    pipeline.statuses(&first).await;
    let jobs = workspace.jobs(id(&workflow));
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.job_type == "scheduled"));
    assert!(jobs[1].is_active());
    assert_eq!(workspace.runs(id(&workflow)), 0, "nobody asked for one");
    workspace.set_workflow(id(&workflow), json!({ "state": "inactive" }));
    assert_eq!(workspace.tick(id(&workflow)), Tick::Nothing);
    let manual = pipeline.create(&json!({ "schedule": null })).await;
    assert_eq!(workspace.tick(id(&manual)), Tick::Nothing);
}

#[tokio::test]
async fn the_job_of_a_deleted_workflow_goes_on_or_not() {
    for (rule, status, last) in [
        (DeleteWhileActive::GoesOn, 200, "COMPLETED"),
        (DeleteWhileActive::CancelsJob, 200, "STOPPED"),
        (DeleteWhileActive::Refused(409), 409, "COMPLETED"),
    ] {
        let pipeline = pipeline(|rules| rules.pipelines.delete_while_active = rule);
        let workflow = pipeline.create(&json!({})).await;
        let job = pipeline.started(&workflow).await;
        let path = format!("/workflows/{}", id(&workflow));
        let answer = pipeline.ground.caller.call(DELETE, &path).await;
        assert_eq!(answer.0, status, "{rule:?}");
        let statuses = pipeline.statuses(&job).await;
        assert_eq!(statuses.last().map(String::as_str), Some(last), "{rule:?}");
    }
}

#[tokio::test]
async fn runs_and_jobs_have_their_switches() {
    let pipeline = pipeline(|rules| {
        rules.pipelines.run_inactive = Permission::Refused(409);
        rules.pipelines.run_while_active = Permission::Refused(409);
        rules.pipelines.zoned_job_times = true;
        rules.pipelines.lower_case_status = true;
    });
    let (api, workspace) = (&pipeline.ground.api, &pipeline.ground.workspace);
    let workflow = pipeline.create(&json!({})).await;
    workspace.set_workflow(id(&workflow), json!({ "state": "inactive" }));
    assert_eq!(pipeline.run(&workflow).await.0, 409);
    api.configure(|rules| rules.pipelines.run_inactive = Permission::Allowed);
    let (status, job) = pipeline.run(&workflow).await;
    assert_eq!((status, &job["status"]), (202, &json!("scheduled")));
    assert_eq!(pipeline.run(&workflow).await.0, 409);
    let path = format!("/jobs/{}", id(&job));
    let (_, got) = pipeline.ground.caller.call(GET, &path).await;
    assert_eq!(got, job, "with its zone, and no runtime");
}

#[tokio::test]
async fn a_run_can_lose_its_answer() {
    let pipeline = pipeline(|_| {});
    let workflow = pipeline.create(&json!({})).await;
    let gone = Fault::answer(answers::unavailable()).committed();
    pipeline.ground.api.inject(Route::RunWorkflow, gone);
    assert_eq!(pipeline.run(&workflow).await.0, 503);
    let workspace = &pipeline.ground.workspace;
    assert_eq!(workspace.runs(id(&workflow)), 1);
    assert_eq!(pipeline.listed("?status=SCHEDULED").await, 1);
}
