//! What the tools of others say of the chart and of what is served. `.ci/tools` installs them; after that:
//! `cargo test --test main second_opinions -- --ignored`.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::controlplane::ControlPlane;
use support::operator::Operator;
use support::stage::Stage;

use crate::chart::{chart, examples, helm};
use crate::install::cluster::eventually;

const INSTALL: &str = "the tool cannot be run; .ci/tools installs it";

fn tool(name: &str) -> Command {
    Command::new(support::target().join("tools/bin").join(name))
}

/// Runs a tool on what is piped into it, and expects that it finds nothing.
fn judge(name: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut child = tool(name)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(INSTALL)?;
    let mut pipe = child.stdin.take().context("a pipe")?;
    std::io::Write::write_all(&mut pipe, input.as_bytes())?;
    drop(pipe);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{name} {}:\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs kube-score"]
async fn kube_score_has_nothing_against_the_chart() -> Result<()> {
    const RULES: [&str; 8] = [
        "score",
        "-",
        "--exit-one-on-warning",
        "--output-format=ci",
        // A pod that is throttled does not renew its Lease in time.
        "--ignore-container-cpu-limit",
        // A tag of ours is never moved, and image.digest pins what must not change.
        "--ignore-test=container-image-pull-policy",
        // Replicas are spread by topology constraints.
        "--ignore-test=deployment-has-host-podantiaffinity",
        // One of the examples asks for one.
        "--min-replicas-deployment=1",
    ];
    let plane = ControlPlane::shared().await?;
    let chart = chart().display().to_string();
    for values in examples()? {
        // Off by default, since only the cluster's owner knows what must be let through.
        let policy = ["--set", "networkPolicy.enabled=true"];
        let rendered = ["template", "unstructured-operator", &chart, "-f", &values];
        let rendered = helm(plane, &[&rendered, &policy[..]].concat()).await?;
        judge("kube-score", &RULES, &rendered).with_context(|| values.clone())?;
    }
    Ok(())
}

#[test]
#[ignore = "needs promtool"]
fn promtool_sees_each_alert_fire_when_it_should_and_only_then() -> Result<()> {
    let tests = chart().join("ci/alerts_test.yml").display().to_string();
    judge("promtool", &["test", "rules", &tests], "")
}

/// An operator that has something to show.
async fn at_work() -> Result<(Stage, Operator)> {
    let stage = crate::stage().await?;
    let mut operator = stage.operator().await?;
    operator.ready().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    Ok((stage, operator))
}

#[tokio::test]
#[ignore = "needs promtool"]
async fn promtool_reads_every_metric_and_finds_it_well_named() -> Result<()> {
    let (_stage, operator) = at_work().await?;
    let (_, metrics) = operator.get("/metrics").await?;
    judge("promtool", &["check", "metrics"], &classic(&metrics))
}

#[tokio::test]
#[ignore = "needs prometheus"]
async fn prometheus_scrapes_the_operator_and_evaluates_every_alert() -> Result<()> {
    let (_stage, operator) = at_work().await?;
    let prometheus = Prometheus::start(operator.address())?;

    eventually("the leader is scraped", async || {
        let leaders = prometheus
            .query("unstructured_operator_leader == 1")
            .await?;
        Ok((leaders.len() == 1).then_some(()))
    })
    .await?;
    let ready = r#"unstructured_operator_resources{condition="Ready", status="True"} == 1"#;
    assert_eq!(prometheus.query(ready).await?.len(), 1);
    eventually("every alert is evaluated, and none is raised", async || {
        let rules = prometheus.rules().await?;
        let calm = |rule: &Value| rule["health"] == "ok" && rule["state"] == "inactive";
        Ok((!rules.is_empty() && rules.iter().all(calm)).then_some(()))
    })
    .await?;
    Ok(())
}

/// A Prometheus with the chart's alerts that scrapes one operator as if it were a pod. Dropping it kills it.
struct Prometheus {
    process: Child,
    url: String,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(operator: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let configuration = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [chart().join("files/alerts.yaml")],
            "scrape_configs": [{ "job_name": "operator", "static_configs": [{
                "targets": [operator], "labels": { "namespace": "operators", "pod": "a" },
            }] }],
        });
        let file = directory.path().join("prometheus.yaml");
        std::fs::write(&file, configuration.to_string())?;
        let process = tool("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.path().display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(INSTALL)?;
        Ok(Self {
            process,
            url: format!("http://{address}/api/v1"),
            _directory: directory,
        })
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let url = url::Url::parse_with_params(&format!("{}/{path}", self.url), query)?;
        let answer = reqwest::get(url).await?.bytes().await?;
        Ok(serde_json::from_slice::<Value>(&answer)?["data"].clone())
    }

    /// The series that an expression gives; none while it is starting.
    async fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let answer = self.get("query", &[("query", expression)]).await;
        let series = answer
            .ok()
            .and_then(|data| data["result"].as_array().cloned());
        Ok(series.unwrap_or_default())
    }

    async fn rules(&self) -> Result<Vec<Value>> {
        let groups = self.get("rules", &[]).await?;
        let rules = groups["groups"].as_array().into_iter().flatten();
        let rules = rules.filter_map(|group| group["rules"].as_array());
        Ok(rules.flatten().cloned().collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `OpenMetrics` in the format that came before it, which is the one that promtool checks: there, a family bears the name of its
/// samples, and an info is a gauge.
fn classic(metrics: &str) -> String {
    let suffix = |family: &str| {
        let kind = |kind| metrics.contains(&format!("# TYPE {family} {kind}\n"));
        match (kind("counter"), kind("info")) {
            (true, _) => "_total",
            (_, true) => "_info",
            _ => "",
        }
    };
    let mut text = String::new();
    for line in metrics.lines() {
        let line = match *line.splitn(4, ' ').collect::<Vec<_>>() {
            ["#", "TYPE", family, "info"] => format!("# TYPE {family}_info gauge"),
            ["#", what @ ("TYPE" | "HELP"), family, rest] => {
                format!("# {what} {family}{} {rest}", suffix(family))
            }
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}
