//! The steps, in the order in which a user meets them. Each says what it does, shows what came of it, and checks it.

mod craft;
mod pipeline;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::DynamicObject;
use serde_json::{Value, json};
use support::canary::canary;
use support::fake::Fault;
use support::fake::unstructured::{Route, StoredSource};
use support::stage::source_id;

use crate::ground::{API_KEY, Ground};
use crate::screen::{self, Screen};
use crate::traffic;
use craft::{accepted, connector_path, sent};

/// The manifests of the documentation, in the order of the pipeline.
const MANIFESTS: [&str; 6] = [SECRET, PINECONE_SECRET, SOURCE, DESTINATION, PIPELINE, JOB];
const SECRET: &str = "examples/secret.yaml";
const PINECONE_SECRET: &str = "examples/pinecone-secret.yaml";
const SOURCE: &str = "examples/dropboxsource.yaml";
const DESTINATION: &str = "examples/pineconedestination.yaml";
const PIPELINE: &str = "examples/unstructuredworkflow.yaml";
const JOB: &str = "examples/unstructuredjob.yaml";

const WORKFLOW: &str = "UnstructuredWorkflow";

/// What the user rotates to.
const ROTATED: &str = "your-next-refresh-token";

/// A step is over much sooner; a machine under load gets the time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the story stands.
pub struct Story<'a> {
    screen: &'a Screen,
    ground: &'a mut Ground,
    /// Name of the source.
    resource: String,
    /// Name of its Secret.
    secret: String,
    /// Name of the workflow.
    workflow: String,
    /// The configuration that the connector has to have.
    desired: Value,
    /// A connector in the same workspace that is not the operator's.
    foreign: StoredSource,
    /// How many requests to each API were shown.
    shown: [usize; 3],
    step: &'static str,
}

impl<'a> Story<'a> {
    /// Reads the manifests and prepares what lies on the other side: a Dropbox app that is good, a workspace in use.
    pub fn begin(screen: &'a Screen, ground: &'a mut Ground) -> Result<Self> {
        let read = |path: &str| read(&ground.root, path);
        let (secret, source) = (read(SECRET)?, read(SOURCE)?);
        let (pinecone, destination) = (read(PINECONE_SECRET)?, read(DESTINATION)?);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let [app_key, app_secret, refresh_token] =
            ["app_key", "app_secret", "refresh_token"].map(|key| text(&secret["stringData"][key]));
        ground.dropbox.accept(&app_key, &app_secret, &refresh_token);
        ground.dropbox.accept(&app_key, &app_secret, ROTATED);
        let key = text(&pinecone["stringData"]["api_key"]);
        let index = text(&destination["spec"]["indexName"]);
        ground.pinecone.accept(&key, &[&index]);

        let elsewhere = json!({ "remote_url": "s3://archive", "anonymous": true });
        let foreign = ground.workspace.insert("s3", "somebody-elses", elsewhere);
        let foreign = ground
            .workspace
            .source(&foreign)
            .context("the workspace forgot a connector")?;
        Ok(Self {
            resource: name_in(&source)?,
            secret: name_in(&secret)?,
            workflow: name_in(&read(PIPELINE)?)?,
            desired: json!({
                "remote_url": source["spec"]["remoteUrl"],
                "recursive": false,
                "app_key": app_key,
                "app_secret": app_secret,
                "refresh_token": refresh_token,
            }),
            foreign,
            shown: [0; 3],
            step: "",
            screen,
            ground,
        })
    }

    /// Tells it to the end.
    pub async fn tell(mut self) -> Result<()> {
        let told = self.every_step().await;
        told.with_context(|| format!("the step {:?} failed", self.step))
    }

    async fn every_step(&mut self) -> Result<()> {
        self.install().await?;
        self.apply().await?;
        self.run().await?;
        self.run_partly().await?;
        self.rotate().await?;
        self.mend().await?;
        self.recreate().await?;
        self.delete().await?;
        self.look_back()
    }

    async fn install(&mut self) -> Result<()> {
        self.step("Install: the definitions, then the operator");
        self.kubectl(&["apply", "-f", "crds/"]).await?;
        self.kubectl(&["wait", "--for=condition=Established", "-f", "crds/"])
            .await?;
        let variables = self.ground.environment();
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        self.screen.command(&format!(
            "{} \\\n  unstructured-operator 2>operator.log &",
            variables.join(" \\\n  ")
        ));
        self.ground.start_operator().await?;
        let operator = self.ground.operator()?;
        self.screen
            .command(&format!("curl http://{}/readyz", operator.address()));
        let (status, body) = operator.get("/readyz").await?;
        screen::output(&body);
        self.claim(status == 200, "the operator is ready")
    }

    async fn rotate(&mut self) -> Result<()> {
        self.step("The Secret is rotated");
        let before = self.now().await?;
        let patch = json!({ "stringData": { "refresh_token": ROTATED } }).to_string();
        self.kubectl(&[
            "patch",
            "secret",
            &self.secret,
            "--type=merge",
            "-p",
            &patch,
        ])
        .await?;
        self.desired["refresh_token"] = ROTATED.into();
        self.replaced(
            &before,
            "the connector has the new refresh token, without anybody touching the resource",
        )
        .await
    }

    async fn mend(&mut self) -> Result<()> {
        self.step("Somebody changes the connector behind the operator's back");
        let before = self.now().await?;
        let path = connector_path(&before)?;
        let theirs = json!({ "config": {
            "remote_url": "dropbox://elsewhere",
            "recursive": true,
            "app_key": "another-app",
            "app_secret": "another-secret",
            "refresh_token": "another-token",
        } });
        self.curl("PUT", &path, Some(theirs)).await?;
        screen::say("(The operator looks once every sync interval: 10 minutes, here 2 seconds.)");
        self.replaced(&before, "folder, flag and all three secrets are back")
            .await
    }

    async fn recreate(&mut self) -> Result<()> {
        self.step("Somebody deletes the connector, and the response to its creation is lost");
        let before = self.now().await?;
        let path = connector_path(&before)?;
        let lost = Fault::disconnect().committed();
        self.ground.api.inject(Route::Create, lost);
        self.curl("DELETE", &path, None).await?;
        let after = self.verified(Some(&before)).await?;
        self.follows(&after).await?;
        let requests = self.show_requests();
        self.claim(
            sent(&requests, "POST", "/sources/").len() == 1 && self.ours().len() == 1,
            "it is there again, once: its key says whose it is",
        )?;
        self.claim(
            self.is_desired(&after)? && self.is_connected(&after)?,
            "as it has to be, under a new id, which the workflow has taken up",
        )?;
        self.kubectl(&[
            "events",
            "--for",
            &format!("dropboxsource/{}", self.resource),
        ])
        .await?;
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        self.step("Everything is deleted at once");
        self.kubectl(&["delete", "unstructured", "--all", "--timeout=60s"])
            .await?;
        self.kubectl(&["get", "unstructured"]).await?;
        let requests = self.show_requests();
        let deleted: Vec<_> = requests
            .iter()
            .filter(|request| traffic::is_accepted(request, "DELETE"))
            .map(|request| request.path.starts_with("/api/v1/workflows/"))
            .collect();
        self.claim(
            deleted == [true, false, false],
            "the workflow went first: no connector goes while one leads through it",
        )?;
        let workspace = &self.ground.workspace;
        self.claim(
            workspace.workflows().is_empty()
                && workspace.destinations().is_empty()
                && self.ours().is_empty(),
            "workflow and connectors went with their resources",
        )?;
        self.curl("GET", "/sources/", None).await?;
        let others = self.ground.workspace.source(&self.foreign.id);
        self.claim(
            others.as_ref() == Some(&self.foreign),
            "the connector that was never the operator's is as it always was",
        )
    }

    fn look_back(&mut self) -> Result<()> {
        self.step("Looking back");
        let violations = [
            self.ground.api.take_violations(),
            self.ground.dropbox.take_violations(),
            self.ground.pinecone.take_violations(),
        ];
        self.claim(
            violations.concat().is_empty(),
            "the fakes, strict as they are, found nothing wrong with any request",
        )?;
        let secrets = ["app_key", "app_secret", "refresh_token"];
        let first = self.manifest(SECRET)?;
        let mut values: Vec<_> = secrets
            .iter()
            .filter_map(|key| first["stringData"][key].as_str())
            .collect();
        let pinecone = self.pinecone_key()?;
        values.extend([ROTATED, API_KEY, &pinecone]);
        let log = self.ground.operator()?.output();
        self.claim(
            canary(&values).find(&log).is_empty(),
            &format!(
                "none of the {} secret values is in the {} lines of the operator's log, in any encoding",
                values.len(),
                log.lines().count()
            ),
        )
    }

    /// Waits until the operator has replaced the whole configuration of the connector, which stays the same one.
    async fn replaced(&mut self, before: &DynamicObject, meaning: &str) -> Result<()> {
        let after = self.verified(Some(before)).await?;
        self.wait_ready().await?;
        let requests = self.show_requests();
        let updates = accepted(&requests, "PUT", &connector_path(before)?);
        self.claim(
            updates.len() == 1 && updates[0].json() == json!({ "config": self.desired }),
            "one PUT, with the whole configuration",
        )?;
        let same = source_id(before) == source_id(&after) && self.ours().len() == 1;
        self.claim(same && self.is_desired(&after)?, meaning)
    }

    fn manifest(&self, path: &str) -> Result<Value> {
        read(&self.ground.root, path)
    }
}

fn read(root: &Path, path: &str) -> Result<Value> {
    let text = fs::read_to_string(root.join(path));
    let text = text.with_context(|| format!("cannot read {path}"))?;
    Ok(serde_yaml::from_str(&text)?)
}

/// The name of the object that a manifest describes.
fn name_in(manifest: &Value) -> Result<String> {
    let name = manifest["metadata"]["name"].as_str();
    Ok(name.context("a manifest has no name")?.to_owned())
}
