//! Every operation that the schema offers on a live resource, field by field, right and wrong values alike.
//!
//! The candidates come from the schema of the checked-in definition, and from a few facts that it cannot know. What has to be true
//! after each is not written down with the candidate: it follows from the spec that the API server made of it, by [`truth`].
//! The order follows from a seed; `EXPLORE_SEED` repeats it.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Map, Value, json};
use support::fake::unstructured::StoredSource;
use support::stage::{API_KEY, APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage, condition, source_id};

use crate::stage;

const RESOURCE: &str = "contracts";

const OTHER_APP_KEY: &str = "other-app-key-20c7";
const OTHER_APP_SECRET: &str = "other-app-secret-b3f8";
const OTHER_REFRESH_TOKEN: &str = "other-refresh-token-5ad1";

/// All Secrets there are.
const SECRETS: [(&str, &[(&str, &str)]); 3] = [
    (
        "dropbox",
        &[
            ("app_key", APP_KEY),
            ("app_secret", APP_SECRET),
            ("refresh_token", REFRESH_TOKEN),
        ],
    ),
    (
        "other",
        &[
            ("app_key", OTHER_APP_KEY),
            ("app_secret", OTHER_APP_SECRET),
            ("refresh_token", OTHER_REFRESH_TOKEN),
        ],
    ),
    (
        "workspace",
        &[
            ("api_key", API_KEY),
            ("spare", API_KEY),
            ("wrong", "nobodys-api-key-e19b"),
        ],
    ),
];

/// What Dropbox accepts: app key, app secret, refresh token.
const ACCEPTED: [[&str; 3]; 2] = [
    [APP_KEY, APP_SECRET, REFRESH_TOKEN],
    [OTHER_APP_KEY, OTHER_APP_SECRET, OTHER_REFRESH_TOKEN],
];

/// The fields whose meaning [`truth`] and the semantic candidates know.
const UNDERSTOOD: [&str; 21] = [
    "",
    "adoptionPolicy",
    "connectorName",
    "credentials",
    "credentials.keys",
    "credentials.keys.appKey",
    "credentials.keys.appSecret",
    "credentials.keys.refreshToken",
    "credentials.secretRef",
    "credentials.secretRef.name",
    "deletionPolicy",
    "existingSourceId",
    "recursive",
    "remoteUrl",
    "suspend",
    "verify",
    "workspace",
    "workspace.apiKeySecretRef",
    "workspace.apiKeySecretRef.key",
    "workspace.apiKeySecretRef.name",
    "workspace.apiUrl",
];

#[tokio::test]
async fn whatever_is_done_to_a_resource_that_says_little_is_refused_or_comes_true() -> Result<()> {
    let stage = prepared().await?;
    let _operator = stage.operator().await?;
    explore(&stage, json!({})).await?;

    assert_eq!(stage.creates().len(), 1);
    stage.delete(RESOURCE).await?;
    stage.gone(RESOURCE).await?;
    assert_eq!(stage.workspace.sources(), []);
    Ok(())
}

#[tokio::test]
async fn whatever_is_done_to_a_resource_that_says_everything_is_refused_or_comes_true() -> Result<()>
{
    let stage = prepared().await?;
    let theirs = json!({
        "remote_url": "dropbox://theirs",
        "app_key": APP_KEY,
        "app_secret": APP_SECRET,
        "refresh_token": REFRESH_TOKEN,
    });
    let id = stage.workspace.insert("dropbox", "by hand", theirs);
    let everything = json!({
        "remoteUrl": "dropbox://data/2026",
        "recursive": true,
        "credentials": {
            "secretRef": { "name": "dropbox" },
            "keys": { "appKey": "app_key", "appSecret": "app_secret", "refreshToken": "refresh_token" },
        },
        "connectorName": "by hand",
        "existingSourceId": id,
        "adoptionPolicy": "ByName",
        "workspace": {
            "apiUrl": stage.api.url(),
            "apiKeySecretRef": { "name": "workspace", "key": "api_key" },
        },
        "verify": false,
        "deletionPolicy": "Retain",
        "suspend": false,
    });
    let _operator = stage.operator().await?;
    explore(&stage, everything).await?;

    assert_eq!(stage.creates().len(), 0);
    let before = stage.workspace.sources();
    stage.delete(RESOURCE).await?;
    stage.gone(RESOURCE).await?;
    assert_eq!(stage.workspace.sources(), before, "Retain");
    Ok(())
}

async fn prepared() -> Result<Stage> {
    let mut stage = stage().await?;
    stage.set("MAX_REQUESTS_PER_SECOND", "1000");
    for [key, secret, token] in ACCEPTED {
        stage.dropbox.accept(key, secret, token);
    }
    for (name, entries) in SECRETS {
        stage.secret(name, entries).await?;
    }
    Ok(stage)
}

/// Applies every candidate to a resource of this spec, each followed by the way back.
async fn explore(stage: &Stage, spec: Value) -> Result<()> {
    let seed = match std::env::var("EXPLORE_SEED") {
        Ok(seed) => seed
            .parse()
            .context("EXPLORE_SEED has to be a whole number")?,
        Err(_) => fastrand::u64(..),
    };
    let schema = spec_schema()?;
    let mut candidates = Vec::new();
    from_schema(&schema, &[], &mut candidates)?;
    candidates.extend(beyond_schema());
    Rng::with_seed(seed).shuffle(&mut candidates);

    stage.create(RESOURCE, spec).await?;
    let live = Live {
        stage,
        home: stage.until_ready(RESOURCE).await?,
    };
    let (mut visited, mut refused, mut effective) = (BTreeSet::new(), 0, 0);
    for candidate in &candidates {
        let outcome = live
            .try_out(candidate)
            .await
            .with_context(|| format!("{candidate}\nEXPLORE_SEED={seed} repeats it"))?;
        visited.insert(candidate.path.join("."));
        refused += usize::from(outcome == Outcome::Refused);
        effective += usize::from(outcome == Outcome::Changed);
    }

    let all = candidates.len();
    println!("EXPLORE_SEED={seed}: of {all} candidates {refused} refused, {effective} in effect");

    let understood: BTreeSet<_> = UNDERSTOOD.map(str::to_owned).into();
    assert_eq!(
        visited, understood,
        "a field of the schema whose meaning the exploration does not know, or one that is gone"
    );
    assert!(refused >= 140, "only {refused} candidates were refused");
    assert!(effective >= 20, "only {effective} candidates had an effect");
    Ok(())
}

/// One operation on one field.
struct Candidate {
    /// The field below `spec`; the spec itself when empty.
    path: Vec<String>,
    operation: Operation,
    /// Whether the schema rules it out.
    wrong: bool,
}

/// What is done to a field.
enum Operation {
    /// A merge patch with this value; null removes the field.
    Merge(Value),
    /// A JSON patch that puts a literal null there.
    Null,
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{} := ", self.path.join("."))?;
        match &self.operation {
            Operation::Merge(value) => write!(f, "{value}"),
            Operation::Null => f.write_str("a literal null"),
        }
    }
}

/// The schema of `spec` in the checked-in definition.
fn spec_schema() -> Result<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/dropboxsources.yaml");
    let definition: Value = serde_yaml::from_str(&std::fs::read_to_string(file)?)?;
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let schema = definition
        .pointer(schema)
        .context("the definition has no spec")?;
    Ok(schema.clone())
}

/// What a field's schema allows and what it does not, for this field and all below.
fn from_schema(schema: &Value, path: &[String], to: &mut Vec<Candidate>) -> Result<()> {
    let mut add = |path: &[String], operation, wrong| {
        to.push(Candidate {
            path: path.to_owned(),
            operation,
            wrong,
        });
    };
    let kind = schema["type"].as_str().unwrap_or_default();
    add(path, Operation::Merge(Value::Null), false);
    add(path, Operation::Null, false);
    let samples = [
        ("string", json!("true")),
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("array", json!([])),
        ("object", json!({})),
    ];
    for (other, value) in samples {
        if other != kind {
            add(path, Operation::Merge(value), true);
        }
    }
    match kind {
        "boolean" => {
            for value in [true, false] {
                add(path, Operation::Merge(value.into()), false);
            }
        }
        "string" => {
            for (value, wrong) in texts(schema) {
                add(path, Operation::Merge(value.into()), wrong);
            }
        }
        "object" => {
            add(path, Operation::Merge(json!({ "noSuchField": 1 })), true);
            let properties = schema["properties"].as_object();
            let properties = properties.context("an object without properties")?;
            for (name, schema) in properties {
                from_schema(schema, &[path, std::slice::from_ref(name)].concat(), to)?;
            }
        }
        _ => bail!("no candidates are known for {}: {schema}", path.join(".")),
    }
    Ok(())
}

/// Texts at the limits of a schema, and whether it rules them out. One that it allows may still fail a pattern or a rule.
fn texts(schema: &Value) -> Vec<(String, bool)> {
    let length = |limit: &str| schema[limit].as_u64().and_then(|n| usize::try_from(n).ok());
    let mut texts = Vec::new();
    if let Some(members) = schema["enum"].as_array() {
        for member in members.iter().filter_map(Value::as_str) {
            texts.push((member.to_owned(), false));
            texts.push((member.to_lowercase(), true));
        }
    }
    if let Some(least) = length("minLength") {
        texts.push(("x".repeat(least), false));
        texts.extend(least.checked_sub(1).map(|less| ("x".repeat(less), true)));
    }
    if let Some(most) = length("maxLength") {
        texts.push(("x".repeat(most), false));
        texts.push(("x".repeat(most + 1), true));
    }
    if schema["pattern"].is_string() {
        // No pattern of this schema lets a space through.
        texts.push(("a b".to_owned(), true));
    }
    texts
}

/// What the schema cannot know: other Secrets, other folders, other places.
fn beyond_schema() -> Vec<Candidate> {
    let id = "5f0c1d2e-3b4a-4c5d-8e6f-708192a3b4c5";
    let values = [
        ("remoteUrl", json!("dropbox://elsewhere")),
        ("remoteUrl", json!("dropbox://elsewhere/")),
        ("remoteUrl", json!("dropbox://Verträge/2026 Q1/.x")),
        ("remoteUrl", json!("dropbox://")),
        ("remoteUrl", json!("s3://data")),
        ("remoteUrl", json!("dropbox://a/../b")),
        ("connectorName", json!("another")),
        ("existingSourceId", json!(id)),
        ("credentials.secretRef.name", json!("other")),
        ("credentials.secretRef.name", json!("absent")),
        ("credentials.secretRef.name", json!("workspace")),
        ("credentials.keys.appKey", json!("absent")),
        ("credentials.keys.appKey", json!("app_secret")),
        ("credentials.keys.appSecret", json!("absent")),
        ("credentials.keys.appSecret", json!("app_key")),
        ("credentials.keys.refreshToken", json!("absent")),
        ("credentials.keys.refreshToken", json!("app_key")),
        (
            "workspace",
            json!({ "apiKeySecretRef": { "name": "workspace" } }),
        ),
        ("workspace.apiUrl", json!("https://elsewhere.example")),
        ("workspace.apiKeySecretRef.name", json!("absent")),
        ("workspace.apiKeySecretRef.name", json!("dropbox")),
        ("workspace.apiKeySecretRef.key", json!("spare")),
        ("workspace.apiKeySecretRef.key", json!("wrong")),
        ("workspace.apiKeySecretRef.key", json!("absent")),
    ];
    let candidate = |(path, value): (&str, Value)| Candidate {
        path: path.split('.').map(str::to_owned).collect(),
        operation: Operation::Merge(value),
        wrong: false,
    };
    values.into_iter().map(candidate).collect()
}

/// What a spec, with the Secrets as they are, has to lead to.
#[derive(Debug, PartialEq, Eq)]
enum Truth {
    /// `Ready` is True, and the connector has this configuration.
    Ready(Map<String, Value>),
    /// `Ready` is False for this reason, and the connector is as it was.
    Held(&'static str),
    /// `Ready` is True, because nothing is unsent, and the connector is as it was.
    Suspended,
}

fn truth(spec: &Value) -> Result<Truth> {
    let text = |pointer: &str| {
        let text = spec.pointer(pointer).and_then(Value::as_str);
        text.with_context(|| format!("there is no {pointer} in {spec}"))
    };
    if spec["suspend"] == true {
        return Ok(Truth::Suspended);
    }
    if spec.get("workspace").is_some() {
        let name = text("/workspace/apiKeySecretRef/name")?;
        let key = text("/workspace/apiKeySecretRef/key")?;
        match secret(name).and_then(|entries| entry(entries, key)) {
            None => return Ok(Truth::Held("WorkspaceKeyMissing")),
            Some(API_KEY) => {}
            Some(_) => return Ok(Truth::Held("Unauthorized")),
        }
    }
    let Some(entries) = secret(text("/credentials/secretRef/name")?) else {
        return Ok(Truth::Held("SecretNotFound"));
    };
    let app_key = entry(entries, text("/credentials/keys/appKey")?);
    let app_secret = entry(entries, text("/credentials/keys/appSecret")?);
    let refresh_token = entry(entries, text("/credentials/keys/refreshToken")?);
    let (Some(app_key), Some(app_secret), Some(refresh_token)) =
        (app_key, app_secret, refresh_token)
    else {
        return Ok(Truth::Held("SecretKeyMissing"));
    };
    if !ACCEPTED.contains(&[app_key, app_secret, refresh_token]) {
        return Ok(Truth::Held("CredentialsRejected"));
    }
    let config = [
        ("remote_url", json!(text("/remoteUrl")?)),
        ("recursive", json!(spec["recursive"] == true)),
        ("app_key", json!(app_key)),
        ("app_secret", json!(app_secret)),
        ("refresh_token", json!(refresh_token)),
    ];
    let config = config.map(|(name, value)| (name.to_owned(), value));
    Ok(Truth::Ready(config.into_iter().collect()))
}

fn secret(name: &str) -> Option<&'static [(&'static str, &'static str)]> {
    let found = SECRETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, entries)| *entries)
}

fn entry(entries: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let found = entries.iter().find(|(known, _)| *known == key);
    found.map(|(_, value)| *value)
}

/// What became of a candidate.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The API server refused it.
    Refused,
    /// The API server made nothing of it: the spec is what it was.
    Unchanged,
    /// The spec is another one.
    Changed,
}

/// The resource that is explored, at rest between two candidates.
struct Live<'a> {
    stage: &'a Stage,
    /// The resource before the first candidate.
    home: DynamicObject,
}

/// What Unstructured has seen and holds.
#[derive(Debug, PartialEq)]
struct Workspace {
    connector: StoredSource,
    writes: usize,
    updates: usize,
}

impl Live<'_> {
    async fn try_out(&self, candidate: &Candidate) -> Result<Outcome> {
        let Some(patch) = self.patch(candidate)? else {
            return Ok(Outcome::Unchanged);
        };
        let before = self.stage.sources().get(RESOURCE).await?;
        let workspace = self.workspace()?;
        match self.apply(patch).await {
            Err(kube::Error::Api(status)) => {
                ensure!([400, 422].contains(&status.code), "{status:?}");
                let field = candidate.path.first().map_or("spec", String::as_str);
                let told = &status.message;
                ensure!(told.contains(field), "the field is not named: {told}");
                let after = self.stage.sources().get(RESOURCE).await?;
                ensure!(after == before, "refused, yet it became {after:?}");
                let now = self.workspace()?;
                ensure!(
                    now == workspace,
                    "refused, yet {workspace:?} became {now:?}"
                );
                Ok(Outcome::Refused)
            }
            Err(error) => Err(error.into()),
            Ok(after) if after.data["spec"] == before.data["spec"] => {
                let generations = [&after, &before].map(|object| object.metadata.generation);
                ensure!(generations[0] == generations[1], "{generations:?}");
                Ok(Outcome::Unchanged)
            }
            Ok(after) => {
                let spec = &after.data["spec"];
                ensure!(!candidate.wrong, "the schema let it through: {spec}");
                let settled = self.settles_to(spec, workspace).await;
                settled.with_context(|| format!("the spec became {spec}"))?;
                self.go_home().await.context("on the way back")?;
                Ok(Outcome::Changed)
            }
        }
    }

    /// The request for a candidate; none where a literal null has no parent to stand in.
    fn patch(&self, candidate: &Candidate) -> Result<Option<Patch<Value>>> {
        match &candidate.operation {
            Operation::Merge(value) => {
                let wrap = |inner, name: &String| json!({ name: inner });
                let spec = candidate.path.iter().rev().fold(value.clone(), wrap);
                Ok(Some(Patch::Merge(json!({ "spec": spec }))))
            }
            Operation::Null => {
                let names = candidate.path.iter().map(|name| format!("/{name}"));
                let pointer = format!("/spec{}", names.collect::<String>());
                let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
                let there = self.home.data.pointer(parent).is_some();
                there.then(|| put(&pointer, &Value::Null)).transpose()
            }
        }
    }

    async fn apply(&self, patch: Patch<Value>) -> kube::Result<DynamicObject> {
        let params = PatchParams::default();
        self.stage.sources().patch(RESOURCE, &params, &patch).await
    }

    /// Puts the first spec back and waits until all is as it was.
    async fn go_home(&self) -> Result<()> {
        let (spec, workspace) = (&self.home.data["spec"], self.workspace()?);
        let back = self.apply(put("/spec", spec)?).await?.data;
        ensure!(back["spec"] == *spec, "the spec became {}", back["spec"]);
        self.settles_to(spec, workspace).await
    }

    /// Waits until the resource is at rest, and compares it and the connector with the truth about its spec.
    async fn settles_to(&self, spec: &Value, before: Workspace) -> Result<()> {
        let expected = truth(spec)?;
        let settled = self.stage.until(RESOURCE, at_rest).await?;
        let seen = format!("status {:#}", settled.data["status"]);
        let ready = condition(&settled, "Ready").context("it has no Ready")?;
        let (status, reason, config) = match &expected {
            Truth::Ready(config) => ("True", "Ready", config),
            Truth::Held(reason) => ("False", *reason, &before.connector.config),
            Truth::Suspended => ("True", "Suspended", &before.connector.config),
        };
        ensure!(
            ready["status"] == status && ready["reason"] == reason,
            "expected Ready {status} for {reason}, but: {seen}"
        );
        ensure!(source_id(&settled) == source_id(&self.home), "{seen}");

        let now = self.workspace()?;
        let is = &now.connector;
        ensure!(is.config == *config, "not {config:?} but {is:?}; {seen}");
        ensure!(is.id == before.connector.id && is.name == before.connector.name);
        let (updates, needed) = (
            now.updates - before.updates,
            usize::from(*config != before.connector.config),
        );
        ensure!(updates == needed, "{updates} updates; {seen}");
        Ok(())
    }

    /// Fails when there is not exactly one connector.
    fn workspace(&self) -> Result<Workspace> {
        let sources = self.stage.workspace.sources();
        let [connector] = sources.as_slice() else {
            bail!("not one connector, but {sources:?}");
        };
        Ok(Workspace {
            connector: connector.clone(),
            writes: self.stage.writes(),
            updates: self.stage.updates().len(),
        })
    }
}

/// Puts a value into the resource.
fn put(pointer: &str, value: &Value) -> Result<Patch<Value>> {
    let patch = json!([{ "op": "add", "path": pointer, "value": value }]);
    Ok(Patch::Json(serde_json::from_value(patch)?))
}

/// Whether nothing is under way for the present spec.
fn at_rest(object: &DynamicObject) -> bool {
    let observed = object.data["status"]["observedGeneration"].as_i64();
    let ready = condition(object, "Ready");
    observed == object.metadata.generation
        && ready.is_some_and(|ready| {
            let waits = ["SecretNotFound", "SecretKeyMissing", "WorkspaceKeyMissing"];
            ready["status"] == "True"
                || waits.iter().any(|reason| ready["reason"] == *reason)
                || condition(object, "Stalled").is_some()
        })
}
