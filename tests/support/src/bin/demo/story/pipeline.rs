//! The pipeline from nothing to documents in an index, and its runs.

use anyhow::{Context, Result, ensure};
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use support::fake::Fault;
use support::fake::unstructured::{JobEnd, JobStatus, Route};
use support::stage::{condition, kind};

use super::craft::{accepted, sent};
use super::{DESTINATION, JOB, MANIFESTS, PATIENCE, Story, WORKFLOW, name_in};

/// What becomes of one document of the second run.
const ENCRYPTED: &str = "the file is encrypted";
/// Prints a line for each document that failed.
const FAILED_FILES: &str =
    r#"jsonpath={range .status.failedFiles[*]}{.document}: {.error}{"\n"}{end}"#;

impl Story<'_> {
    /// Everything is applied at once; runs stand still until the next step.
    pub(super) async fn apply(&mut self) -> Result<()> {
        self.step("Manifests become a pipeline");
        self.ground.workspace.hold_jobs(true);
        let mut words = vec!["apply"];
        words.extend(MANIFESTS.iter().flat_map(|path| ["-f", *path]));
        self.kubectl(&words).await?;
        self.wait_ready().await?;
        let destination = name_in(&self.manifest(DESTINATION)?)?;
        let destination = format!("pineconedestination/{destination}");
        let workflow = format!("unstructuredworkflow/{}", self.workflow);
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            &destination,
            &workflow,
            "--timeout=60s",
        ])
        .await?;
        let job = self.job_in(JOB)?;
        self.in_phase(&job, "Scheduled").await?;
        let resource = self.verified(None).await?;
        let requests = self.show_requests();

        let made = |path| accepted(&requests, "POST", path).len() == 1;
        self.claim(
            made("/sources/") && made("/destinations/") && made("/workflows/"),
            "a source, a destination and a workflow were created, each once",
        )?;
        let mut source = accepted(&requests, "POST", "/sources/")[0].json();
        let key = source["key"].take();
        let named = |key: &Value| key.as_str().is_some_and(|key| key.starts_with("default-"));
        let expected = json!({
            "name": format!("default.{}.demo", self.resource),
            "key": null,
            "type": "dropbox",
            "config": self.desired,
        });
        self.claim(
            named(&key) && source == expected && self.is_desired(&resource)?,
            "the source has the folder of its spec, the three values of its Secret, and a key that says whose it is",
        )?;
        let destination = &self.ground.workspace.destinations()[0];
        let config = self.pinecone_config()?;
        self.claim(
            Value::Object(destination.config.clone()) == config,
            "the destination has the index of its spec and the key of its Secret",
        )?;
        self.claim(
            self.is_connected(&resource)?,
            "the workflow leads from the one to the other",
        )
    }

    /// The run that was asked for, from its beginning to its end.
    pub(super) async fn run(&mut self) -> Result<()> {
        self.step("A run, and its progress");
        let job = self.job_in(JOB)?;
        let id = self.workflow_id()?;
        self.watch_run(&job, &id).await?;
        self.ground.workspace.hold_jobs(false);
        let resource = format!("unstructuredjob/{job}");
        self.kubectl(&["wait", "--for=condition=Complete", &resource])
            .await?;
        let workflow = format!("unstructuredworkflow/{}", self.workflow);
        self.kubectl(&[
            "wait",
            "--for=condition=LastJobSucceeded",
            &workflow,
            "--timeout=60s",
        ])
        .await?;
        self.kubectl(&["get", "unstructured"]).await?;
        self.show_requests();
        self.claim(self.ground.workspace.runs(&id) == 1, "it was started once")?;
        let status = self.job(&job).await?.data["status"].clone();
        let documents = self.documents();
        self.claim(
            documents == 3
                && status["documents"] == json!({ "total": 3, "succeeded": 3, "failed": 0 }),
            "3 documents are in the index",
        )
    }

    /// A second run, whose start is answered by nothing, and one of whose documents fails.
    pub(super) async fn run_partly(&mut self) -> Result<()> {
        self.step("A second run: its response is lost, and a document fails");
        let id = self.workflow_id()?;
        let ends = [JobEnd::some_failed(1, 4, ENCRYPTED), JobEnd::all(3)];
        self.ground.workspace.script_jobs(&id, ends);
        let lost = Fault::disconnect().committed();
        self.ground.api.inject(Route::RunWorkflow, lost);
        let workflow = format!("unstructuredworkflow/{}", self.workflow);
        self.kubectl(&[
            "annotate",
            &workflow,
            "connectors.unstructured.io/run-at=monday",
        ])
        .await?;
        self.kubectl(&[
            "wait",
            "--for=condition=LastJobSucceeded=False",
            &workflow,
            "--timeout=60s",
        ])
        .await?;
        let job = self.annotated_job().await?;
        self.in_phase(&job, "PartiallyFailed").await?;
        self.kubectl(&["get", "ujob"]).await?;
        self.kubectl(&["get", "ujob", &job, "-o", FAILED_FILES])
            .await?;
        let requests = self.show_requests();

        let asked = sent(&requests, "POST", &format!("/workflows/{id}/run"));
        self.claim(
            asked.len() == 1 && self.ground.workspace.runs(&id) == 2,
            "the run whose response was lost was found, and not started again",
        )?;
        let status = self.job(&job).await?.data["status"].clone();
        let error = status["failedFiles"][0]["error"].as_str();
        self.claim(
            status["documents"] == json!({ "total": 4, "succeeded": 3, "failed": 1 })
                && error.is_some_and(|error| error.contains(ENCRYPTED))
                && self.documents() == 6,
            "Unstructured calls it completed; its job does not, and says which document failed and why",
        )?;
        let workflow: Api<DynamicObject> = self.api(WORKFLOW);
        let workflow = workflow.get(&self.workflow).await?;
        self.claim(
            condition(&workflow, "Ready").is_some_and(|ready| ready["status"] == "True"),
            "the workflow stays Ready: what the data did is no fault of the configuration",
        )
    }

    /// Whether the one workflow leads from the resource's connector to the destination's.
    pub(super) fn is_connected(&self, source: &DynamicObject) -> Result<bool> {
        let workspace = &self.ground.workspace;
        let (workflows, destinations) = (workspace.workflows(), workspace.destinations());
        ensure!(
            workflows.len() == 1 && destinations.len() == 1,
            "there are {} workflows and {} destinations",
            workflows.len(),
            destinations.len()
        );
        let id = source.data["status"]["sourceId"].as_str();
        let id = id.context("the resource has no connector")?;
        Ok(workflows[0].sources == [id]
            && workflows[0].destinations == [destinations[0].id.as_str()])
    }

    /// Waits until the workflow has taken up the connector that the source has now.
    pub(super) async fn follows(&self, source: &DynamicObject) -> Result<()> {
        let id = source.data["status"]["sourceId"].clone();
        let workflows = self.api(WORKFLOW);
        let follows = move |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                object.data["status"]["sourceId"] == id
                    && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
            })
        };
        tokio::time::timeout(
            PATIENCE,
            await_condition(workflows, &self.workflow, follows),
        )
        .await
        .with_context(|| format!("the workflow has not followed in {PATIENCE:?}"))??;
        Ok(())
    }

    /// The objects of a kind in the namespace that kubectl uses unasked.
    pub(super) fn api(&self, name: &str) -> Api<DynamicObject> {
        Api::default_namespaced_with(self.ground.client.clone(), &kind(name))
    }

    /// The key that the Secret of the destination holds.
    pub(super) fn pinecone_key(&self) -> Result<String> {
        let secret = self.manifest(super::PINECONE_SECRET)?;
        let key = secret["stringData"]["api_key"].as_str();
        Ok(key.context("the Secret has no key")?.to_owned())
    }

    fn pinecone_config(&self) -> Result<Value> {
        let manifest = self.manifest(DESTINATION)?;
        Ok(json!({
            "index_name": manifest["spec"]["indexName"],
            "namespace": "default",
            "batch_size": 50,
            "api_key": self.pinecone_key()?,
        }))
    }

    /// Has the run move on whenever its row shows that it stands still, and prints the rows as kubectl does.
    async fn watch_run(&self, job: &str, workflow: &str) -> Result<()> {
        let workspace = &self.ground.workspace;
        let advance = |row: &str| {
            let phase = row.split_whitespace().nth(2).unwrap_or_default();
            for run in workspace.jobs(workflow) {
                let still = matches!(
                    (run.status, phase),
                    (JobStatus::Scheduled, "Scheduled") | (JobStatus::InProgress, "Running")
                );
                if still {
                    workspace.advance_job(&run.id);
                }
            }
            phase == "Succeeded"
        };
        self.kubectl_watch(&["get", "ujob", job, "--watch"], advance)
            .await
    }

    fn workflow_id(&self) -> Result<String> {
        let workflows = self.ground.workspace.workflows();
        let workflow = workflows.first().context("there is no workflow")?;
        Ok(workflow.id.clone())
    }

    /// How many documents are in the index of the destination.
    fn documents(&self) -> u64 {
        let workspace = &self.ground.workspace;
        let ids = workspace.destinations();
        ids.first()
            .map_or(0, |it| workspace.documents_in_index(&it.id))
    }

    fn job_in(&self, path: &str) -> Result<String> {
        name_in(&self.manifest(path)?)
    }

    async fn job(&self, name: &str) -> Result<DynamicObject> {
        Ok(self.api("UnstructuredJob").get(name).await?)
    }

    /// The name of the job that the annotation made.
    async fn annotated_job(&self) -> Result<String> {
        let jobs = self.api("UnstructuredJob");
        let jobs = jobs.list(&ListParams::default()).await?;
        let first = self.job_in(JOB)?;
        let mut names: Vec<_> = jobs
            .items
            .into_iter()
            .filter_map(|job| job.metadata.name)
            .collect();
        names.retain(|name| *name != first);
        ensure!(names.len() == 1, "the annotation made the jobs {names:?}");
        Ok(names.remove(0))
    }

    async fn in_phase(&self, job: &str, phase: &'static str) -> Result<()> {
        let is = move |object: Option<&DynamicObject>| {
            object.is_some_and(|object| object.data["status"]["phase"] == phase)
        };
        let jobs = self.api("UnstructuredJob");
        tokio::time::timeout(PATIENCE, await_condition(jobs, job, is))
            .await
            .with_context(|| format!("the job {job} is not {phase} after {PATIENCE:?}"))??;
        Ok(())
    }
}
