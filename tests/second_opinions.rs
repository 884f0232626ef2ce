//! What the tools of others say of the chart and of what is served. `.ci/tools` installs them; after that:
//! `cargo test --test main second_opinions -- --ignored`.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use support::controlplane::ControlPlane;

use crate::chart::{chart, examples, helm};

/// Runs a tool on what is piped into it, and expects that it finds nothing.
fn judge(tool: &str, arguments: &[&str], input: &str) -> Result<()> {
    let path = support::target().join("tools/bin").join(tool);
    let mut child = Command::new(&path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            let path = path.display();
            format!("{path} cannot be run; .ci/tools installs it")
        })?;
    let mut pipe = child.stdin.take().context("a pipe")?;
    std::io::Write::write_all(&mut pipe, input.as_bytes())?;
    drop(pipe);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{tool} {}:\n{}{}",
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

#[tokio::test]
#[ignore = "needs promtool"]
async fn promtool_reads_every_metric_and_finds_it_well_named() -> Result<()> {
    let stage = crate::stage().await?;
    let mut operator = stage.operator().await?;
    operator.ready().await?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    let (_, metrics) = operator.get("/metrics").await?;
    judge("promtool", &["check", "metrics"], &classic(&metrics))
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
