//! Values: what the chart refuses, what it makes of odd ones, and that none is forgotten.

use std::collections::BTreeSet;
use std::ffi::OsString;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::controlplane::ControlPlane;
use unstructured_operator::cli;

use super::{NAMESPACE, chart, helm, read, template};

#[tokio::test]
async fn values_that_are_misspelt_or_contradict_each_other_are_refused() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let refused = [
        ("replicaCuont=1", "replicaCuont"),
        ("config.syncIntervall=1m", "syncIntervall"),
        ("image.digest=latest", "digest"),
        ("watchNamespaces={a}", "watchNamespaces needs clusterName"),
        ("clusterName=Production", "clusterName"),
        ("apiKey.value=k,apiKey.existingSecret=s", "keep one"),
        (
            "image.registry=registry.example.com",
            "no image is published yet",
        ),
        (
            "commonLabels.app\\.kubernetes\\.io/name=x",
            "commonLabels sets app.kubernetes.io/name, which the chart sets",
        ),
        (
            "podLabels.app\\.kubernetes\\.io/instance=x",
            "podLabels sets app.kubernetes.io/instance, which the chart sets",
        ),
        (
            "metrics.prometheusRule.disabled={UnstructuredOperatorPanic}",
            "disabled",
        ),
        (
            "extraEnv[0].name=LEASE_NAME,extraEnv[0].value=x",
            "fullnameOverride",
        ),
        (
            "extraEnv[0].name=WATCH_NAMESPACES,extraEnv[0].value=x",
            "use watchNamespaces",
        ),
        (
            "apiKey.existingSecret=s,extraEnv[0].name=UNSTRUCTURED_API_KEY,extraEnv[0].value=x",
            "extraEnv sets UNSTRUCTURED_API_KEY, and apiKey gives a key too",
        ),
        ("extraEnv[0].value=x", "name"),
        ("watchNamespaces={2024}", "watchNamespaces"),
        (
            "metrics.serviceMonitor.enabled=true,metrics.service.create=false",
            "metrics.service.create",
        ),
    ];
    for (values, names) in refused {
        let answer = template(plane, NAMESPACE, &["--set", values]).await;
        let error = answer
            .err()
            .with_context(|| format!("{values} was accepted"))?;
        ensure!(
            error.to_string().contains(names),
            "{values}: the message does not name {names}: {error}"
        );
    }
    Ok(())
}

#[test]
fn every_value_is_described_by_the_schema_and_every_described_value_exists() -> Result<()> {
    fn compare(path: &str, schema: &Value, value: &Value) {
        let (Some(properties), Some(values)) =
            (schema["properties"].as_object(), value.as_object())
        else {
            return;
        };
        for (name, schema) in properties.iter().filter(|(name, _)| *name != "global") {
            let value = values.get(name);
            assert!(value.is_some(), "{path}{name} is only in the schema");
            compare(
                &format!("{path}{name}."),
                schema,
                value.unwrap_or(&Value::Null),
            );
        }
        for name in values.keys() {
            assert!(
                properties.contains_key(name),
                "{path}{name} is not in the schema"
            );
        }
    }
    let schema = read("charts/unstructured-operator/values.schema.json")?;
    let values = read("charts/unstructured-operator/values.yaml")?;
    compare(
        "",
        &serde_json::from_str(&schema)?,
        &serde_yaml::from_str(&values)?,
    );
    Ok(())
}

/// Every path of values.yaml, groups included.
fn paths(values: &Value) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (name, value) in values.as_object().into_iter().flatten() {
        paths.push(vec![name.clone()]);
        let below = paths_below(name, value);
        paths.extend(below);
    }
    paths
}

fn paths_below(name: &str, value: &Value) -> Vec<Vec<String>> {
    let below = paths(value).into_iter();
    below
        .map(|path| [vec![name.to_owned()], path].concat())
        .collect()
}

#[tokio::test]
async fn a_value_or_a_group_that_is_left_empty_is_as_if_it_were_not_there() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let values: Value = serde_yaml::from_str(&read("charts/unstructured-operator/values.yaml")?)?;
    let everything = chart().join("ci/everything-values.yaml");
    let everything = everything.display().to_string();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("empty.yaml");
    let empty = file.display().to_string();
    for path in paths(&values) {
        let nothing = path
            .iter()
            .rev()
            .fold(Value::Null, |below, name| json!({ name.as_str(): below }));
        std::fs::write(&file, nothing.to_string())?;
        let rendered = template(plane, NAMESPACE, &["-f", &everything, "-f", &empty]).await;
        rendered.with_context(|| path.join("."))?;
    }
    // What protects everybody's resources is on unless it is switched off.
    std::fs::write(&file, json!({ "crds": null, "rbac": null }).to_string())?;
    let rendered = template(plane, NAMESPACE, &["-f", &empty]).await?;
    let definition = of_kind(&rendered, "CustomResourceDefinition")?;
    assert_eq!(
        definition["metadata"]["annotations"]["helm.sh/resource-policy"],
        "keep"
    );
    of_kind(&rendered, "ClusterRoleBinding")?;
    // No key is no Secret, rather than one without a name.
    let keyless = ["--set", "apiKey.existingSecret=null"];
    let rendered = template(plane, NAMESPACE, &keyless).await?;
    let deployment = of_kind(&rendered, "Deployment")?;
    assert_eq!(
        deployment["spec"]["template"]["spec"]["volumes"],
        Value::Null
    );
    assert!(!environment(&rendered)?.contains_key("UNSTRUCTURED_API_KEY_FILE"));
    Ok(())
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Result<&'a Value> {
    let found = objects.iter().find(|object| object["kind"] == kind);
    found.with_context(|| format!("no {kind}"))
}

/// The container's variables by name; a name that is there twice fails.
fn environment(objects: &[Value]) -> Result<serde_json::Map<String, Value>> {
    let deployment = of_kind(objects, "Deployment")?;
    let variables = deployment
        .pointer("/spec/template/spec/containers/0/env")
        .and_then(Value::as_array)
        .context("no environment")?;
    let mut environment = serde_json::Map::new();
    for variable in variables {
        let name = variable["name"].as_str().context("a name")?;
        let twice = environment.insert(name.to_owned(), variable["value"].clone());
        ensure!(twice.is_none(), "{name} is there twice");
    }
    Ok(environment)
}

#[tokio::test]
async fn names_that_yaml_takes_for_numbers_stay_names() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for name in ["2024", "0x1f", "1e3", "no"] {
        let values = format!(
            "apiKey.existingSecret={name},apiKey.key={name},watchNamespaces={{{name}}},clusterName={name},fullnameOverride={name},\
             serviceAccount.name={name},image.tag={name},priorityClassName={name}"
        );
        let rendered = template(plane, name, &["--set-string", &values]).await?;
        for object in &rendered {
            let metadata = &object["metadata"];
            ensure!(metadata["name"].is_string(), "{metadata}");
            let namespace = &metadata["namespace"];
            ensure!(namespace.is_null() || namespace == name, "{metadata}");
            let labels = metadata["labels"].as_object().context("labels")?;
            ensure!(labels.values().all(Value::is_string), "{metadata}");
        }
        let pod = &of_kind(&rendered, "Deployment")?["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], *name);
        assert_eq!(pod["volumes"][0]["secret"]["secretName"], *name);
        assert_eq!(pod["volumes"][0]["secret"]["items"][0]["key"], *name);
        assert_eq!(environment(&rendered)?["WATCH_NAMESPACES"], *name);
        assert_eq!(environment(&rendered)?["CLUSTER_NAME"], *name);
        for binding in rendered.iter().filter(|object| {
            object["kind"] == "RoleBinding" || object["kind"] == "ClusterRoleBinding"
        }) {
            let role = binding["roleRef"]["name"].as_str().context("a name")?;
            ensure!(role.ends_with(name), "{binding}");
            assert_eq!(binding["subjects"][0]["namespace"], *name);
        }
    }
    Ok(())
}

#[tokio::test]
async fn releases_of_one_name_in_two_namespaces_share_nothing_but_the_definition() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let confined = "watchNamespaces={legal},clusterName=test";
    for more in ["crds.keep=false", confined] {
        let mut known = BTreeSet::new();
        for namespace in ["one", "two"] {
            let hooks = ["--api-versions", "batch/v1/Job", "--set", more];
            for object in template(plane, namespace, &hooks).await? {
                let metadata = &object["metadata"];
                let identity = [&object["kind"], &metadata["namespace"], &metadata["name"]];
                let identity = identity.map(ToString::to_string).join(" ");
                let shared = object["kind"] == "CustomResourceDefinition";
                ensure!(known.insert(identity.clone()) || shared, "{identity}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_namespaced_object_says_where_it_belongs() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let cluster_scoped = [
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleBinding",
    ];
    for (override_, expected) in [("", "ops"), ("elsewhere", "elsewhere")] {
        let values = format!("namespaceOverride={override_},crds.keep=false,apiKey.value=k");
        let hooks = ["--api-versions", "batch/v1/Job", "--set", &values];
        for object in template(plane, "ops", &hooks).await? {
            let namespace = &object["metadata"]["namespace"];
            if cluster_scoped.iter().any(|kind| object["kind"] == *kind) {
                ensure!(namespace.is_null(), "{object}");
            } else {
                assert_eq!(namespace, expected, "{object}");
            }
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], expected);
            }
        }
    }
    Ok(())
}

/// Whoever pipes `helm template` into `kubectl apply` would run the hook that deletes the definition.
#[tokio::test]
async fn a_hook_is_rendered_for_those_who_heed_hooks_only() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let rendered = template(plane, NAMESPACE, &["--set", "crds.keep=false"]).await?;
    ensure!(of_kind(&rendered, "Job").is_err());
    let hooks = ["--api-versions", "batch/v1/Job"];
    let kept = template(plane, NAMESPACE, &hooks).await?;
    ensure!(of_kind(&kept, "Job").is_err());
    let heeded = [&hooks[..], &["--set", "crds.keep=false"]].concat();
    let rendered = template(plane, NAMESPACE, &heeded).await?;
    let job = of_kind(&rendered, "Job")?;
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-delete");
    Ok(())
}

#[tokio::test]
async fn a_parent_chart_can_switch_it_off_and_share_its_labels() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let directory = tempfile::tempdir()?;
    let parent = directory.path();
    std::fs::create_dir_all(parent.join("charts"))?;
    std::os::unix::fs::symlink(chart(), parent.join("charts/unstructured-operator"))?;
    let about = json!({ "apiVersion": "v2", "name": "platform", "version": "0.1.0", "dependencies": [
        { "name": "unstructured-operator", "version": env!("CARGO_PKG_VERSION"), "condition": "unstructured-operator.enabled" },
    ]});
    std::fs::write(parent.join("Chart.yaml"), about.to_string())?;
    let parent = parent.display().to_string();
    let render = async |enabled: bool| {
        let values = format!(
            "unstructured-operator.enabled={enabled},unstructured-operator.image.registry=registry.example.org,global.team=data"
        );
        helm(plane, &["template", "platform", &parent, "--set", &values]).await
    };
    ensure!(render(true).await?.contains("kind: Deployment"));
    ensure!(!render(false).await?.contains("kind: Deployment"));
    Ok(())
}

#[tokio::test]
async fn a_variable_of_ones_own_wins_over_the_value_and_is_there_once() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let values = "config.logLevel=debug,extraEnv[0].name=LOG_LEVEL,extraEnv[0].value=trace";
    let environment = environment(&template(plane, NAMESPACE, &["--set", values]).await?)?;
    assert_eq!(environment["LOG_LEVEL"], "trace");
    Ok(())
}

/// What `docs/reference/options.md` says: the chart has a value for each option but those that it sets itself.
#[tokio::test]
async fn every_option_of_the_operator_is_a_value() -> Result<()> {
    const BY_THE_CHART: [&str; 4] = [
        "LEADER_ELECT",
        "LEASE_NAME",
        "LISTEN",
        "UNSTRUCTURED_API_KEY_FILE",
    ];
    let plane = ControlPlane::shared().await?;
    let everything = chart().join("ci/everything-values.yaml");
    let values = [
        "-f",
        &everything.display().to_string(),
        "--set",
        "watchNamespaces={legal}",
    ];
    let given = environment(&template(plane, NAMESPACE, &values).await?)?;
    let page = read("docs/reference/options.md")?;
    let rows = page.lines().filter(|line| line.starts_with("| `--"));
    let variables = rows.filter_map(|row| row.split('`').nth(3));
    let mut known = 0;
    for variable in variables {
        known += 1;
        if BY_THE_CHART.contains(&variable) {
            let intro = page.split("<!-- options: generated -->").next();
            let flag = format!(
                "`--{}`",
                variable
                    .replace("UNSTRUCTURED_", "")
                    .replace('_', "-")
                    .to_lowercase()
            );
            ensure!(intro.is_some_and(|intro| intro.contains(&flag)), "{flag}");
        } else {
            ensure!(given.contains_key(variable), "no value gives {variable}");
        }
    }
    assert!(known > 15);
    Ok(())
}

/// What would only show when the pods do not start: the schema refuses what the operator refuses, and nothing that it takes.
#[tokio::test]
async fn the_schema_and_the_operator_agree_on_what_an_option_may_be() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    for (value, variable, samples) in [
        (
            "config.syncInterval",
            "SYNC_INTERVAL",
            &[
                "30s", "10m", "1h 30m", "1h30m", "0s", "1x", "10", "soon", "-1m",
            ][..],
        ),
        (
            "config.logLevel",
            "LOG_LEVEL",
            &[
                "info",
                "info\\,unstructured_operator=debug",
                "verbose",
                "unstructured_operator=verbose",
            ],
        ),
        ("config.logFormat", "LOG_FORMAT", &["json", "text", "xml"]),
        (
            "config.allowedApiHosts[0]",
            "ALLOWED_API_HOSTS",
            &[
                "api.example.com",
                "*.corp.example",
                "https://api.example.com",
                "a.*.b",
            ],
        ),
        (
            "config.apiUrl",
            "UNSTRUCTURED_API_URL",
            &[
                "https://api.example.com/api/v1",
                "api.example.com",
                "ftp://api.example.com",
            ],
        ),
        (
            "clusterName",
            "CLUSTER_NAME",
            &["production-eu", "Production", "a.b"],
        ),
        (
            "config.maxRequestsPerSecond",
            "MAX_REQUESTS_PER_SECOND",
            &["1", "0", "1.5"],
        ),
    ] {
        for sample in samples {
            let set = format!("{value}={sample}");
            let rendered = template(plane, NAMESPACE, &["--set", &set]).await;
            let plain = OsString::from(sample.replace('\\', ""));
            let arguments = ["unstructured-operator", "run"].map(OsString::from);
            let parsed = cli::parse(arguments, |name| (name == variable).then(|| plain.clone()));
            let (taken, rendered) = (parsed.is_ok(), rendered.is_ok());
            assert_eq!(rendered, taken, "{set}: the operator's verdict is {taken}");
        }
    }
    Ok(())
}
