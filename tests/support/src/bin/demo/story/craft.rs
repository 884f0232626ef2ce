//! What the steps are made of.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use kube::api::DynamicObject;
use kube::runtime::wait::await_condition;
use serde_json::Value;
use support::fake::Recorded;
use support::fake::unstructured::StoredSource;
use support::stage::{condition, source_id};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{PATIENCE, Story};
use crate::ground::API_KEY;
use crate::screen;
use crate::traffic;

impl Story<'_> {
    pub(super) fn step(&mut self, title: &'static str) {
        self.step = title;
        self.screen.heading(title);
    }

    pub(super) fn claim(&self, holds: bool, text: &str) -> Result<()> {
        ensure!(holds, "this does not hold: {text}");
        self.screen.claim(text);
        Ok(())
    }

    pub(super) async fn wait_ready(&self) -> Result<()> {
        let resource = format!("dropboxsource/{}", self.resource);
        self.kubectl(&["wait", "--for=condition=Ready", &resource, "--timeout=60s"])
            .await
    }

    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        let line = format!("kubectl {}", typed(arguments));
        self.screen.command(&line);
        let output = self
            .ground
            .plane
            .kubectl()
            .args(arguments)
            .current_dir(&self.ground.root)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        screen::output(&String::from_utf8_lossy(&output.stdout));
        screen::output(&String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.success(),
            "`{line}` ended with {}",
            output.status
        );
        Ok(())
    }

    /// Prints the different lines of a kubectl that watches, until `enough` says so of one.
    pub(super) async fn kubectl_watch(
        &self,
        arguments: &[&str],
        enough: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let line = format!("kubectl {}", typed(arguments));
        self.screen.command(&line);
        let mut watching = self
            .ground
            .plane
            .kubectl()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = watching.stdout.take().context("no output")?;
        let mut rows = BufReader::new(output).lines();
        let watched = async {
            let mut last = String::new();
            while let Some(row) = rows.next_line().await? {
                if row != last {
                    screen::output(&row);
                }
                if enough(&row) {
                    return Ok(());
                }
                last = row;
            }
            bail!("`{line}` ended before what it waits for")
        };
        tokio::time::timeout(PATIENCE, watched)
            .await
            .with_context(|| format!("`{line}` has not shown it in {PATIENCE:?}"))??;
        watching.kill().await?;
        Ok(())
    }

    /// What curl would do, so that the machine need not have it. `path` is below the API's base.
    pub(super) async fn curl(&self, method: &str, path: &str, body: Option<Value>) -> Result<()> {
        let (url, key) = (
            format!("{}{path}", self.ground.api.url()),
            format!("unstructured-api-key: {API_KEY}"),
        );
        let text = body.as_ref().map(Value::to_string);
        let mut words = vec!["-H", &key];
        if method != "GET" {
            words.extend(["-X", method]);
        }
        if let Some(text) = &text {
            words.extend(["-H", "content-type: application/json", "-d", text]);
        }
        words.push(&url);
        let line = format!("curl {}", typed(&words));
        self.screen.command(&line);
        let request = reqwest::Client::new()
            .request(method.parse()?, &url)
            .header("unstructured-api-key", API_KEY);
        let request = match text {
            Some(text) => request
                .header("content-type", "application/json")
                .body(text),
            None => request,
        };
        let answer = request.send().await?;
        let status = answer.status();
        screen::output(&answer.text().await?);
        ensure!(status.is_success(), "`{line}` got the response {status}");
        Ok(())
    }

    /// Shows what the operator asked since this was last called, and returns what it asked Unstructured.
    pub(super) fn show_requests(&mut self) -> Vec<Recorded> {
        let news = |mut requests: Vec<Recorded>, seen: &mut usize| {
            let news = requests.split_off(*seen);
            *seen += news.len();
            news.into_iter().filter(traffic::is_operators)
        };
        let [seen, seen_dropbox, seen_pinecone] = &mut self.shown;
        let api: Vec<_> = news(self.ground.api.requests(), seen).collect();
        let dropbox = news(self.ground.dropbox.requests(), seen_dropbox);
        let pinecone = news(self.ground.pinecone.requests(), seen_pinecone);
        let mut all: Vec<_> = api
            .iter()
            .cloned()
            .map(|request| ("unstructured", request))
            .chain(dropbox.map(|request| ("dropbox     ", request)))
            .chain(pinecone.map(|request| ("pinecone    ", request)))
            .collect();
        all.sort_by_key(|(_, request)| request.instant);
        let of_runs = all.len();
        all.retain(|(_, request)| !traffic::follows_runs(request));
        let of_runs = of_runs - all.len();
        let lines: Vec<_> = all
            .iter()
            .map(|(host, request)| format!("{host} {}", traffic::line(request)))
            .collect();
        for same in lines.chunk_by(|one, next| one == next) {
            match same.len() {
                1 => self.screen.request(&same[0]),
                times => self.screen.request(&format!("{} ({times} times)", same[0])),
            }
        }
        if of_runs > 0 {
            self.screen.request(&format!(
                "unstructured GET /api/v1/workflows/ and /api/v1/jobs/, the lists ({of_runs} times)"
            ));
        }
        api
    }

    pub(super) async fn now(&self) -> Result<DynamicObject> {
        Ok(self.ground.sources().get(&self.resource).await?)
    }

    /// Waits until the resource is Ready on a connection check that `before` does not know.
    pub(super) async fn verified(&self, before: Option<&DynamicObject>) -> Result<DynamicObject> {
        let check = |object: &DynamicObject| object.data["status"]["connectionCheck"].clone();
        let known = before.map_or(Value::Null, check);
        let holds = move |object: Option<&DynamicObject>| {
            object.is_some_and(|object| {
                check(object)["status"] == "SUCCESS"
                    && check(object)["id"] != known["id"]
                    && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
                    && object.data["status"]["observedGeneration"].as_i64()
                        == object.metadata.generation
            })
        };
        let verified = await_condition(self.ground.sources(), &self.resource, holds);
        tokio::time::timeout(PATIENCE, verified)
            .await
            .with_context(|| format!("it has not become Ready in {PATIENCE:?}"))??
            .context("the resource is gone")
    }

    /// Whether the connector that the status names stores what is desired.
    pub(super) fn is_desired(&self, resource: &DynamicObject) -> Result<bool> {
        let id = source_id(resource).context("the resource has no connector")?;
        let source = self.ground.workspace.source(id);
        Ok(source.is_some_and(|source| Value::Object(source.config) == self.desired))
    }

    /// All connectors but the foreign one.
    pub(super) fn ours(&self) -> Vec<StoredSource> {
        let mut sources = self.ground.workspace.sources();
        sources.retain(|source| source.id != self.foreign.id);
        sources
    }
}

/// The operator's accepted requests with this method on this path below the API's base.
pub(super) fn accepted<'r>(
    requests: &'r [Recorded],
    method: &str,
    path: &str,
) -> Vec<&'r Recorded> {
    let path = format!("/api/v1{path}");
    requests
        .iter()
        .filter(|request| traffic::is_accepted(request, method) && request.path == path)
        .collect()
}

/// The operator's requests with this method on this path, whatever came of them.
pub(super) fn sent<'r>(requests: &'r [Recorded], method: &str, path: &str) -> Vec<&'r Recorded> {
    let path = format!("/api/v1{path}");
    let mut sent: Vec<_> = requests.iter().collect();
    sent.retain(|request| {
        traffic::is_operators(request) && request.method == method && request.path == path
    });
    sent
}

pub(super) fn connector_path(resource: &DynamicObject) -> Result<String> {
    let id = source_id(resource).context("the resource has no connector")?;
    Ok(format!("/sources/{id}"))
}

/// Arguments as a shell takes them.
fn typed(arguments: &[&str]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,".contains(c);
    let quoted: Vec<_> = arguments
        .iter()
        .map(|argument| {
            if argument.chars().all(plain) {
                (*argument).to_owned()
            } else {
                format!("'{argument}'")
            }
        })
        .collect();
    quoted.join(" ")
}
