//! Alerts and the dashboard: that they use what is exposed, and that each has its page.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use unstructured_operator::crd::Reason;
use unstructured_operator::runtime::metrics::{
    CheckResult, ConditionState, Metrics, ReconcileResult,
};
use unstructured_operator::runtime::run_metrics::EndedRun;

use super::read;

#[test]
fn alerts_and_dashboard_use_metrics_and_reasons_that_exist() -> Result<()> {
    let exposed = series();
    let alerts = read("charts/unstructured-operator/files/alerts.yaml")?;
    let dashboard = read("charts/unstructured-operator/files/dashboard.json")?;
    for (file, text) in [("alerts.yaml", &alerts), ("dashboard.json", &dashboard)] {
        let used = words(text, "unstructured_operator_");
        assert!(used.len() > 5, "{file} uses {used:?}");
        for metric in used {
            assert!(
                exposed.contains(metric),
                "{file} uses {metric}, which is not exposed; there are {exposed:?}"
            );
        }
    }
    for reason in ["DeletionBlocked", "Suspended"] {
        assert!(Reason::ALL.iter().any(|known| known.as_str() == reason));
    }
    Ok(())
}

/// What `/metrics` shows once everything has happened.
pub fn exposition() -> String {
    let (metrics, second) = (Metrics::new(), Duration::from_secs(1));
    let state = ConditionState {
        kind: "DropboxSource",
        condition: "Ready",
        status: "True",
        reason: "Ready",
    };
    metrics.reconciled("DropboxSource", ReconcileResult::Settled, second);
    metrics.queue("changed", 1, second);
    metrics.api_request("create_source", "success", second);
    metrics.credential_check("dropbox", CheckResult::Accepted);
    metrics.resources(&[(state, 1)].into());
    metrics.watch_failed("secrets");
    metrics.runs().job_finished("legal", "flow", "Succeeded");
    metrics.runs().run_ended(&EndedRun {
        namespace: "legal",
        workflow: "flow",
        phase: "Succeeded",
        documents: (1, 0),
        failures: 0,
        at: 1,
    });
    metrics.encode()
}

/// Every series name that the operator can expose.
fn series() -> BTreeSet<String> {
    exposition()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next().map(str::to_owned))
        .collect()
}

/// The words in `text` that begin with `prefix`.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(prefix))
        .collect()
}

#[test]
fn every_alert_has_a_runbook() -> Result<()> {
    let alerts: Value =
        serde_yaml::from_str(&read("charts/unstructured-operator/files/alerts.yaml")?)?;
    let runbooks = read("docs/operations.md")?;
    let rules = alerts["groups"][0]["rules"].as_array().context("rules")?;
    assert!(rules.len() > 10);
    for rule in rules {
        let name = rule["alert"].as_str().context("a name")?;
        assert!(
            runbooks.contains(&format!("\n### {name}\n")),
            "docs/operations.md has no section {name}"
        );
    }
    Ok(())
}

#[test]
fn the_schema_knows_every_alert() -> Result<()> {
    let alerts: Value =
        serde_yaml::from_str(&read("charts/unstructured-operator/files/alerts.yaml")?)?;
    let schema: Value =
        serde_json::from_str(&read("charts/unstructured-operator/values.schema.json")?)?;
    let known = schema
        .pointer("/properties/metrics/properties/prometheusRule/properties/disabled/items/enum");
    let rules = alerts["groups"][0]["rules"].as_array().context("rules")?;
    let names: Vec<_> = rules.iter().map(|rule| rule["alert"].clone()).collect();
    assert_eq!(known, Some(&Value::Array(names)));
    Ok(())
}

#[test]
fn every_panel_is_explained_and_leads_to_a_runbook() -> Result<()> {
    let dashboard: Value =
        serde_json::from_str(&read("charts/unstructured-operator/files/dashboard.json")?)?;
    let runbooks = read("docs/operations.md")?.to_lowercase();
    let panels = dashboard["panels"].as_array().context("panels")?;
    assert!(panels.len() > 15);
    for panel in panels {
        let title = &panel["title"];
        let description = panel["description"].as_str().unwrap_or_default();
        ensure!(description.len() > 20, "{title} has no description");
        let link = panel["links"][0]["url"].as_str().unwrap_or_default();
        let runbook = link.strip_prefix("${runbooks}").unwrap_or_default();
        let heading = format!("\n### {runbook}\n");
        ensure!(runbooks.contains(&heading), "{title} leads to {link}");
        let steps = panel.pointer("/fieldConfig/defaults/thresholds/steps");
        let steps = steps.and_then(Value::as_array).context("thresholds")?;
        ensure!(!steps.is_empty(), "{title} has no thresholds");
    }
    Ok(())
}
