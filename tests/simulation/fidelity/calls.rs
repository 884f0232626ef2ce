//! The calls of a script, and how they are made through an ordinary client.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use support::stage::dropbox_source;

const NAMES: [&str; 2] = ["a", "b"];
const MANAGERS: [&str; 3] = ["unstructured-operator", "velero", "kubectl-edit"];
const FINALIZERS: [&str; 2] = ["example.com/one", "example.com/two"];

/// Which version or UID a precondition names.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    Nothing,
    Current,
    /// Of an object that is no more, or of an earlier version.
    Old,
}

/// One call.
#[derive(Clone, Debug)]
pub enum Call {
    Create(&'static str, Value),
    Get(&'static str),
    List(&'static str),
    Replace(&'static str, Value, Known),
    ReplaceStatus(&'static str, Value, Known, &'static str),
    Merge(&'static str, Value, Known),
    MergeStatus(&'static str, Value),
    Apply(&'static str, Value, &'static str),
    /// Never in the foreground: when the garbage collector comes is not the server's to say.
    Delete(&'static str, Known),
}

impl Call {
    pub fn draw(dice: &mut fastrand::Rng) -> Self {
        let name = NAMES[dice.usize(..NAMES.len())];
        let manager = MANAGERS[dice.usize(..MANAGERS.len())];
        match dice.u8(..20) {
            0..4 => Self::Create(name, spec(dice)),
            4 => Self::Get(name),
            5 => Self::List(["", "team=a", "team!=a", "team in (a,b)", "!team"][dice.usize(..5)]),
            6 | 7 => Self::Replace(name, spec(dice), known(dice)),
            8..11 => Self::ReplaceStatus(name, status(dice), known(dice), manager),
            11..14 => Self::Merge(name, patch(dice), known(dice)),
            14 => Self::MergeStatus(name, json!({ "status": status(dice) })),
            15..18 => Self::Apply(name, spec(dice), manager),
            _ => Self::Delete(name, known(dice)),
        }
    }
}

fn known(dice: &mut fastrand::Rng) -> Known {
    match dice.u8(..6) {
        0 => Known::Nothing,
        1 => Known::Old,
        _ => Known::Current,
    }
}

fn spec(dice: &mut fastrand::Rng) -> Value {
    let mut spec = json!({
        "remoteUrl": format!("dropbox://folder-{}", dice.u8(..3)),
        "credentials": { "secretRef": { "name": "dropbox" } },
    });
    match dice.u8(..10) {
        0 => spec["recursive"] = json!(dice.bool()),
        1 => spec["deletionPolicy"] = json!("Perhaps"),
        2 => spec["remoteUrl"] = Value::Null,
        3 => spec["unknown"] = json!({ "field": 1 }),
        4 => spec["suspend"] = json!("yes"),
        5 => spec["credentials"]["keys"] = json!({ "appKey": "key" }),
        _ => {}
    }
    spec
}

fn status(dice: &mut fastrand::Rng) -> Value {
    let mut status = json!({ "observedGeneration": dice.u8(..3) });
    if dice.bool() {
        status["sourceId"] = json!(format!("id-{}", dice.u8(..2)));
    }
    if dice.bool() {
        status["create"] = json!({ "name": "n", "startedAt": "2026-01-01T00:00:00Z" });
    }
    if dice.u8(..4) == 0 {
        status["unknown"] = json!(true);
    }
    if dice.u8(..8) == 0 {
        status["create"] = json!({ "name": "n" });
    }
    let kinds = ["Ready", "Reconciling", "Stalled"];
    let kinds = kinds.iter().filter(|_| dice.bool());
    let conditions: Vec<_> = kinds.map(|kind| json!({ "type": kind })).collect();
    let complete = conditions.into_iter().map(|mut condition| {
        condition["status"] = json!(if dice.bool() { "True" } else { "False" });
        condition["reason"] = json!(format!("Reason{}", dice.u8(..2)));
        condition["message"] = json!("");
        condition["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        condition
    });
    status["conditions"] = complete.collect();
    status
}

fn patch(dice: &mut fastrand::Rng) -> Value {
    match dice.u8(..6) {
        0 => json!({ "spec": { "recursive": dice.bool() } }),
        1 => json!({ "spec": { "remoteUrl": null } }),
        2 => {
            json!({ "metadata": { "labels": { "team": if dice.bool() { json!("a") } else { Value::Null } } } })
        }
        3 => json!({ "status": { "sourceId": "by-the-wrong-door" } }),
        4 => json!({ "metadata": { "finalizers": null } }),
        _ => json!({ "metadata": { "finalizers": [FINALIZERS[dice.usize(..2)]] } }),
    }
}

/// What is known of an object from its last answer.
#[derive(Clone, Default)]
struct Memory {
    version: String,
    uid: String,
    earlier: Option<(String, String)>,
    content: String,
}

/// Makes calls to one of the servers, and remembers what it was told.
pub struct Caller {
    api: Api<DynamicObject>,
    resource: ApiResource,
    known: BTreeMap<&'static str, Memory>,
}

impl Caller {
    pub fn new(client: Client, namespace: &str) -> Self {
        let resource = dropbox_source();
        Self {
            api: Api::namespaced_with(client, namespace, &resource),
            resource,
            known: BTreeMap::new(),
        }
    }

    /// The answer, as far as it has to be the same.
    pub async fn make(&mut self, call: &Call) -> String {
        let answer = self.answer(call).await;
        match answer {
            Ok(Answer::Object(name, object)) => {
                let told = self.told(name, &object);
                format!("{call_name} {told}", call_name = short(call))
            }
            Ok(Answer::Deleted) => "deleted".to_owned(),
            Ok(Answer::List(names)) => format!("listed {names:?}"),
            Err(kube::Error::Api(status)) => format!("refused: {} {}", status.code, status.reason),
            Err(error) => format!("failed: {error}"),
        }
    }

    async fn answer(&self, call: &Call) -> kube::Result<Answer> {
        let post = |manager: &str| PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        let object = match call {
            Call::Create(name, spec) => {
                let object = self.object(name, json!({ "spec": spec }), Known::Nothing);
                (name, self.api.create(&post("kubectl"), &object).await?)
            }
            Call::Get(name) => (name, self.api.get(name).await?),
            Call::List(selector) => {
                let list = self
                    .api
                    .list(&ListParams::default().labels(selector))
                    .await?;
                return Ok(Answer::List(
                    list.iter().map(ResourceExt::name_any).collect(),
                ));
            }
            Call::Replace(name, spec, known) => {
                let object = self.object(name, json!({ "spec": spec }), *known);
                (
                    name,
                    self.api.replace(name, &post("kubectl"), &object).await?,
                )
            }
            Call::ReplaceStatus(name, status, known, manager) => {
                let object = self.object(name, json!({ "status": status, "spec": {} }), *known);
                (
                    name,
                    self.api
                        .replace_status(name, &post(manager), &object)
                        .await?,
                )
            }
            Call::Merge(name, patch, known) => {
                let mut patch = patch.clone();
                if let Some((version, _)) = self.precondition(name, *known) {
                    patch["metadata"]["resourceVersion"] = json!(version);
                }
                let params = PatchParams::default();
                (
                    name,
                    self.api.patch(name, &params, &Patch::Merge(patch)).await?,
                )
            }
            Call::MergeStatus(name, patch) => {
                let params = PatchParams::default();
                (
                    name,
                    self.api
                        .patch_status(name, &params, &Patch::Merge(patch))
                        .await?,
                )
            }
            Call::Apply(name, spec, manager) => {
                let object = self.object(name, json!({ "spec": spec }), Known::Nothing);
                let params = PatchParams::apply(manager).force();
                (
                    name,
                    self.api.patch(name, &params, &Patch::Apply(object)).await?,
                )
            }
            Call::Delete(name, known) => {
                let mut params = DeleteParams::default();
                if let Some((version, uid)) = self.precondition(name, *known) {
                    params = params.preconditions(kube::api::Preconditions {
                        resource_version: Some(version),
                        uid: Some(uid),
                    });
                }
                match self.api.delete(name, &params).await?.left() {
                    Some(object) => (name, object),
                    None => return Ok(Answer::Deleted),
                }
            }
        };
        Ok(Answer::Object(object.0, Box::new(object.1)))
    }

    fn object(&self, name: &str, content: Value, known: Known) -> DynamicObject {
        let mut object = DynamicObject::new(name, &self.resource);
        object.data = content;
        if let Some((version, _)) = self.precondition(name, known) {
            object.metadata.resource_version = Some(version);
        }
        object
    }

    fn precondition(&self, name: &str, known: Known) -> Option<(String, String)> {
        let memory = self.known.get(name)?;
        match known {
            Known::Nothing => None,
            Known::Current => Some((memory.version.clone(), memory.uid.clone())),
            Known::Old => memory.earlier.clone(),
        }
    }

    /// What an object says: everything but what no two servers share.
    fn told(&mut self, name: &'static str, object: &DynamicObject) -> String {
        let meta = &object.metadata;
        let memory = self.known.entry(name).or_default();
        let version = meta.resource_version.clone().unwrap_or_default();
        let uid = meta.uid.clone().unwrap_or_default();
        let (moved, anew) = (version != memory.version, uid != memory.uid);
        if moved {
            memory.earlier = Some((memory.version.clone(), memory.uid.clone()))
                .filter(|(version, _)| !version.is_empty());
        }
        (memory.version, memory.uid) = (version, uid);
        let mut shown = object.data.clone();
        // The order of a keyed list says nothing.
        if let Some(conditions) = shown["status"]["conditions"].as_array_mut() {
            conditions.sort_by_key(|condition| condition["type"].to_string());
        }
        // Whether a write that changes nothing moves the version is for the record of managed fields to say, which is not kept.
        let content = shown.to_string();
        // Nor does it matter for an object that goes with this very write.
        let goes = meta.deletion_timestamp.is_some() && meta.finalizers.is_none();
        if std::mem::replace(&mut memory.content, content.clone()) != content && !goes {
            shown["moved"] = json!(moved);
        }
        shown["anew"] = json!(anew);
        shown["generation"] = json!(meta.generation);
        shown["labels"] = json!(meta.labels);
        shown["finalizers"] = json!(meta.finalizers);
        shown["going"] = json!(meta.deletion_timestamp.is_some());
        shown.to_string()
    }
}

enum Answer {
    Object(&'static str, Box<DynamicObject>),
    Deleted,
    List(Vec<String>),
}

fn short(call: &Call) -> String {
    let text = format!("{call:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}
