//! Seeds with whole pipelines: sources, destinations, the workflows between them and their runs, and whoever makes, changes, runs and
//! deletes them.

use std::time::Duration;

use serde_json::{Value, json};

use super::agenda::{Agenda, BUSY, Name, Setting, Step, Writer, gap};
use super::ground::{Ground, NAMESPACES};
use super::weather::{Weather, hits};

/// A kind of object, by its plural.
pub const SOURCES: &str = "dropboxsources";
pub const DESTINATIONS: &str = "pineconedestinations";
pub const WORKFLOWS: &str = "unstructuredworkflows";
pub const JOBS: &str = "unstructuredjobs";

/// One thing that somebody does to a pipeline.
#[derive(Clone, Debug)]
pub enum Deed {
    // Users.
    Make(&'static str, Name, Value),
    Change(&'static str, Name, Value),
    Delete(&'static str, Name),
    /// All of a namespace at once, in this order of kinds.
    DeleteAll(&'static str, [&'static str; 4]),
    // Somebody at the console.
    Run,
    Tick,
    EditWorkflow,
    DeleteWorkflow,
    LoseRun,
}

/// Whether there are pipelines in this seed: in a third of them. It alone says it, so that the others, some of which are named in
/// `docs/protocol.md`, stay as they are.
pub fn are_in(seed: u64) -> bool {
    seed % 6 < 2
}

pub fn setting() -> Setting {
    if hits(20) {
        Setting::Confined
    } else {
        Setting::Whole
    }
}

/// What happens in such a seed.
pub fn draw() -> Agenda {
    let mut agenda = Writer::default();
    let mut at = Duration::ZERO;
    let home = NAMESPACES[0];
    let mut first = vec![
        Deed::Make(SOURCES, Name(home, "a"), source()),
        Deed::Make(DESTINATIONS, Name(home, "x"), destination()),
        Deed::Make(WORKFLOWS, Name(home, "f"), workflow()),
        Deed::Make(JOBS, Name(home, "j0"), job()),
    ];
    fastrand::shuffle(&mut first);
    for deed in first {
        agenda.add(at, Step::Pipeline(deed));
        at += Duration::from_millis(fastrand::u64(..2_000));
    }
    for _ in 0..fastrand::usize(4..22) {
        at += gap();
        if at >= BUSY {
            break;
        }
        act_at(&mut agenda, at);
    }
    agenda.steps
}

fn act_at(agenda: &mut Writer, at: Duration) {
    let later = |most: u64| at + Duration::from_millis(fastrand::u64(..most * 1_000));
    let deed = match fastrand::u8(..52) {
        0..2 => Deed::Make(SOURCES, named("ab"), source()),
        2..4 => Deed::Make(DESTINATIONS, named("x"), destination()),
        4..7 => Deed::Make(WORKFLOWS, named("fg"), workflow()),
        7..15 => Deed::Make(JOBS, job_name(), job()),
        15..17 => Deed::Delete(SOURCES, named("ab")),
        17 => Deed::Delete(DESTINATIONS, named("x")),
        18..20 => Deed::Delete(WORKFLOWS, named("fg")),
        20..22 => Deed::Delete(JOBS, job_name()),
        22..24 => {
            let mut kinds = [SOURCES, DESTINATIONS, WORKFLOWS, JOBS];
            fastrand::shuffle(&mut kinds);
            Deed::DeleteAll(namespace(), kinds)
        }
        24..26 => Deed::Change(WORKFLOWS, named("fg"), change_of_workflow()),
        26 => {
            let url = format!("dropbox://folder-{}", fastrand::u8(..5));
            Deed::Change(
                SOURCES,
                named("ab"),
                json!({ "spec": { "remoteUrl": url } }),
            )
        }
        27..29 => {
            let at = fastrand::u8(..4).to_string();
            let run = json!({ "connectors.unstructured.io/run-at": at });
            Deed::Change(
                WORKFLOWS,
                named("fg"),
                json!({ "metadata": { "annotations": run } }),
            )
        }
        29 => Deed::Change(JOBS, job_name(), json!({ "spec": { "cancel": true } })),
        30 => Deed::Run,
        31 => Deed::Tick,
        32 => Deed::EditWorkflow,
        33 => Deed::DeleteWorkflow,
        34 => Deed::LoseRun,
        _ => return trouble(agenda, at, later),
    };
    agenda.add(at, Step::Pipeline(deed));
}

/// What goes wrong around a pipeline.
fn trouble(agenda: &mut Writer, at: Duration, later: impl Fn(u64) -> Duration) {
    match fastrand::u8(..16) {
        0..4 => {
            agenda.add(at, Step::Kill);
            agenda.add(later(60), Step::Begin);
        }
        4 => agenda.add(at, Step::RestartApiServer),
        5 => agenda.add(at, Step::ForgetHistory),
        6..11 => {
            let bad = |likely| if hits(likely) { fastrand::u8(5..60) } else { 0 };
            let weather = Weather {
                kubernetes: bad(50),
                api: bad(70),
                ..Weather::default()
            };
            agenda.add(at, Step::Change(weather));
            agenda.add(later(400), Step::Change(Weather::default()));
        }
        11 => {
            agenda.add(at, Step::StopUnstructured);
            agenda.add(later(300), Step::StartUnstructured);
        }
        12 => {
            let namespace = namespace();
            agenda.add(at, Step::DeleteNamespace(namespace));
            agenda.add(later(900), Step::MakeNamespace(namespace));
        }
        13 => agenda.add(at, Step::ConsoleDelete),
        14 => agenda.add(at, Step::ClockJump(fastrand::i64(-100_000..100_000))),
        _ => agenda.add(at, Step::RotateCredentials),
    }
}

/// Mostly one, so that what belongs together is together.
fn namespace() -> &'static str {
    NAMESPACES[usize::from(hits(8))]
}

/// One of these names, each a letter, and mostly the first.
fn named(names: &'static str) -> Name {
    let at = if hits(60) {
        0
    } else {
        fastrand::usize(..names.len())
    };
    Name(namespace(), &names[at..=at])
}

fn job_name() -> Name {
    let names = ["j0", "j1", "j2", "j3"];
    Name(namespace(), names[fastrand::usize(..names.len())])
}

fn source() -> Value {
    json!({
        "remoteUrl": format!("dropbox://folder-{}", fastrand::u8(..5)),
        "credentials": { "secretRef": { "name": "dropbox" } },
        "verify": hits(50),
    })
}

fn destination() -> Value {
    json!({ "indexName": "contracts", "credentials": { "secretRef": { "name": "pinecone" } } })
}

fn source_reference() -> Value {
    json!({ "kind": "DropboxSource", "name": if hits(90) { "a" } else { "b" } })
}

fn nodes() -> Value {
    json!([
        { "name": "Partitioner", "type": "partition", "subtype": "vlm", "settings": { "is_dynamic": true } },
        { "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title",
          "settings": { "max_characters": 1_000 + 100 * u32::from(fastrand::u8(..3)) } },
    ])
}

fn workflow() -> Value {
    let mut spec = json!({
        "sourceRef": source_reference(),
        "destinationRef": { "kind": "PineconeDestination", "name": "x" },
        "nodes": nodes(),
    });
    if hits(30) {
        spec["schedule"] = json!("every hour");
    }
    if hits(15) {
        spec["deletionPolicy"] = json!("Retain");
    }
    if hits(20) {
        spec["state"] = json!("Inactive");
    }
    if hits(20) {
        spec["workflowName"] = json!(format!("chosen-{}", fastrand::u8(..2)));
    }
    spec
}

fn change_of_workflow() -> Value {
    match fastrand::u8(..4) {
        0 => json!({ "spec": { "sourceRef": source_reference() } }),
        1 => json!({ "spec": { "nodes": nodes() } }),
        2 => json!({ "spec": { "schedule": if hits(50) { json!("daily") } else { Value::Null } } }),
        _ => json!({ "spec": { "state": if hits(50) { "Active" } else { "Inactive" } } }),
    }
}

fn job() -> Value {
    let mut spec = json!({ "workflowRef": { "name": if hits(90) { "f" } else { "g" } } });
    match fastrand::u8(..6) {
        0 => spec["onActive"] = json!("Adopt"),
        1 => spec["onActive"] = json!("Fail"),
        2 => spec["ttlAfterFinished"] = json!("1m"),
        3 => spec["timeout"] = json!("1m"),
        _ => {}
    }
    spec
}

/// The path of a collection in a namespace.
pub fn collection(plural: &str, namespace: &str) -> String {
    format!("/apis/connectors.unstructured.io/v1alpha1/namespaces/{namespace}/{plural}")
}

fn kind(plural: &str) -> &'static str {
    match plural {
        SOURCES => "DropboxSource",
        DESTINATIONS => "PineconeDestination",
        WORKFLOWS => "UnstructuredWorkflow",
        _ => "UnstructuredJob",
    }
}

pub fn act(ground: &Ground, deed: &Deed) {
    let kubernetes = &ground.cluster.kubernetes;
    let path = |plural: &str, Name(namespace, name): &Name| {
        format!("{}/{name}", collection(plural, namespace))
    };
    // What is there already, or is not, answers for itself.
    match deed {
        Deed::Make(plural, Name(namespace, name), spec) => {
            let object = json!({
                "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": kind(plural),
                "metadata": { "name": name }, "spec": spec,
            });
            let _ = kubernetes.create(&collection(plural, namespace), object);
        }
        Deed::Change(plural, name, change) => {
            let _ = kubernetes.patch(&path(plural, name), change.clone());
        }
        Deed::Delete(plural, name) => {
            let _ = kubernetes.delete(&path(plural, name));
        }
        Deed::DeleteAll(namespace, kinds) => {
            for plural in kinds {
                let collection = collection(plural, namespace);
                for object in kubernetes.list(&collection) {
                    let name = object["metadata"]["name"].as_str().unwrap_or_default();
                    let _ = kubernetes.delete(&format!("{collection}/{name}"));
                }
            }
        }
        Deed::Run | Deed::Tick | Deed::EditWorkflow | Deed::DeleteWorkflow | Deed::LoseRun => {
            at_the_console(ground, deed);
        }
    }
}

fn at_the_console(ground: &Ground, deed: &Deed) {
    let workspace = &ground.own;
    let there = workspace.workflows();
    let Some(one) = there.get(fastrand::usize(..there.len().max(1))) else {
        return;
    };
    match deed {
        Deed::Run => {
            workspace.run_by_hand(&one.id);
        }
        Deed::Tick => {
            workspace.tick(&one.id);
        }
        Deed::EditWorkflow => {
            workspace.set_workflow(&one.id, json!({ "reprocess_all": true }));
        }
        Deed::DeleteWorkflow => {
            workspace.remove_workflow(&one.id);
        }
        _ => {
            let runs = workspace.jobs(&one.id);
            if let Some(run) = runs.get(fastrand::usize(..runs.len().max(1))) {
                workspace.lose_job(&run.id);
            }
        }
    }
}
