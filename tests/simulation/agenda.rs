//! What the actors are going to do, and when: drawn from the seed before anything happens, in the order in which it will.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::ground::NAMESPACES;
use super::pipelines::Deed;
use super::weather::{Weather, hits};

/// A resource as actors call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(pub &'static str, pub &'static str);

/// One thing that somebody does.
#[derive(Clone, Debug)]
pub enum Step {
    // Users.
    Create(Name, Value),
    Edit(Name, Value),
    Delete(Name),
    DeleteInForeground(Name),
    RotateCredentials,
    LoseSecret(&'static str, &'static str),
    PutSecrets,
    Force(Name),
    DropFinalizer(Name),
    // A backup tool.
    BackUp,
    RestoreObjects(&'static str),
    RestoreStatuses(&'static str),
    TouchStatus(Name),
    CopyToStaging(Name),
    // Somebody at Unstructured's console.
    Insert(String),
    ConsoleEdit,
    ConsoleDelete,
    // Those who run the cluster.
    Kill,
    Begin,
    RestartApiServer,
    Snapshot,
    RollBack,
    ForgetHistory,
    Change(Weather),
    ClockJump(i64),
    OlderDefinition(&'static str),
    UpgradeDefinition,
    StopUnstructured,
    StartUnstructured,
    DeleteNamespace(&'static str),
    MakeNamespace(&'static str),
    Uninstall { definition_too: bool },
    Reinstall,
    // All of these, with a pipeline.
    Pipeline(Deed),
}

/// Which processes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// One operator for the whole cluster.
    Whole,
    /// One that is confined to the first namespace.
    Confined,
    /// One shard for each half of the resources.
    Shards,
    /// One that follows both namespaces one by one.
    Each,
    /// One for the cluster and one for another that uses the same workspaces.
    Staging,
    /// Two for the whole cluster that do not know of each other, with keys of different workspaces.
    Rivals,
}

pub type Agenda = BTreeMap<(Duration, usize), Step>;

/// What a definition that is older than the operator may lack.
const STATUS_FIELDS: [&str; 8] = [
    "sourceId",
    "connectorName",
    "workspace",
    "appliedDigest",
    "connectionCheck",
    "create",
    "lostCreates",
    "resendAfter",
];

/// How long the actors are at work.
pub const BUSY: Duration = Duration::from_mins(40);

pub fn setting() -> Setting {
    match fastrand::u8(..20) {
        0..3 => Setting::Confined,
        3..6 => Setting::Shards,
        6..9 => Setting::Staging,
        9 => Setting::Rivals,
        _ => Setting::Whole,
    }
}

/// What happens in this seed.
pub fn draw(setting: Setting) -> Agenda {
    let mut agenda = Writer::default();
    let mut at = Duration::ZERO;
    let count = fastrand::usize(4..22);
    if hits(8) {
        // Before anything is made: what a definition loses, a server shows no more, and nobody could know it.
        let field = STATUS_FIELDS[fastrand::usize(..STATUS_FIELDS.len())];
        agenda.add(at, Step::OlderDefinition(field));
        let upgraded = Duration::from_secs(fastrand::u64(1..1_500));
        agenda.add(upgraded, Step::UpgradeDefinition);
    }
    for _ in 0..fastrand::usize(1..4) {
        agenda.add(at, Step::Create(resource(), spec()));
        at += Duration::from_millis(fastrand::u64(..2_000));
    }
    for _ in 0..count {
        at += gap();
        if at >= BUSY {
            break;
        }
        act(&mut agenda, setting, at);
    }
    agenda.steps
}

/// Often at once, mostly within seconds, sometimes after everything has settled.
pub fn gap() -> Duration {
    match fastrand::u8(..10) {
        0..3 => Duration::from_millis(fastrand::u64(..300)),
        3..7 => Duration::from_millis(fastrand::u64(..20_000)),
        _ => Duration::from_secs(fastrand::u64(20..500)),
    }
}

#[derive(Default)]
pub struct Writer {
    pub steps: Agenda,
    count: usize,
}

impl Writer {
    pub fn add(&mut self, at: Duration, step: Step) {
        self.count += 1;
        self.steps.insert((at.min(BUSY), self.count), step);
    }
}

/// Whatever anybody does.
pub fn act(agenda: &mut Writer, setting: Setting, at: Duration) {
    let later = |most: u64| at + Duration::from_millis(fastrand::u64(..most * 1_000));
    match fastrand::u8(..47) {
        0..9 => agenda.add(at, Step::Create(resource(), spec())),
        9..14 => agenda.add(at, Step::Edit(resource(), change())),
        14..19 => agenda.add(at, Step::Delete(resource())),
        19 => agenda.add(at, Step::DeleteInForeground(resource())),
        20..22 => agenda.add(at, Step::RotateCredentials),
        22 => {
            let namespace = namespace();
            let secret = if hits(50) { "dropbox" } else { "workspace" };
            agenda.add(at, Step::LoseSecret(namespace, secret));
            agenda.add(later(900), Step::PutSecrets);
        }
        23 => agenda.add(at, Step::Force(resource())),
        24..26 => {
            let namespace = namespace();
            agenda.add(at, Step::BackUp);
            agenda.add(later(900), Step::RestoreObjects(namespace));
            agenda.add(later(1_200), Step::RestoreStatuses(namespace));
        }
        26 if hits(20) => agenda.add(at, Step::DropFinalizer(resource())),
        26 => agenda.add(at, Step::TouchStatus(resource())),
        27 if setting == Setting::Staging => agenda.add(at, Step::CopyToStaging(resource())),
        27 | 28 => agenda.add(at, Step::Insert(connector_name())),
        29 => agenda.add(at, Step::ConsoleEdit),
        30 => agenda.add(at, Step::ConsoleDelete),
        31..34 => {
            agenda.add(at, Step::Kill);
            agenda.add(later(60), Step::Begin);
        }
        34 => agenda.add(
            at,
            if hits(50) {
                Step::RestartApiServer
            } else {
                Step::ForgetHistory
            },
        ),
        35..39 => {
            let bad = |likely| if hits(likely) { fastrand::u8(5..60) } else { 0 };
            let weather = Weather {
                kubernetes: bad(50),
                api: bad(70),
                dropbox_hangs: hits(15),
                ..Weather::default()
            };
            agenda.add(at, Step::Change(weather));
            agenda.add(later(400), Step::Change(Weather::default()));
        }
        39 => agenda.add(at, Step::ClockJump(fastrand::i64(-100_000..100_000))),
        40 => {
            agenda.add(at, Step::StopUnstructured);
            agenda.add(later(300), Step::StartUnstructured);
        }
        41 => {
            let namespace = namespace();
            agenda.add(at, Step::DeleteNamespace(namespace));
            agenda.add(later(900), Step::MakeNamespace(namespace));
        }
        42 => {
            agenda.add(
                at,
                Step::Uninstall {
                    definition_too: hits(60),
                },
            );
            let dies = later(10);
            agenda.add(dies, Step::Kill);
            agenda.add(
                dies + Duration::from_secs(fastrand::u64(1..600)),
                Step::Reinstall,
            );
        }
        43 => {
            agenda.add(at, Step::Snapshot);
            let restored = later(900);
            agenda.add(restored, Step::RollBack);
            // Whoever restores etcd starts everything anew that has it in mind.
            agenda.add(restored, Step::Kill);
            agenda.add(
                restored + Duration::from_secs(fastrand::u64(..60)),
                Step::Begin,
            );
        }
        _ => {
            let name = resource();
            agenda.add(at, Step::Delete(name.clone()));
            agenda.add(later(3), Step::Create(name, spec()));
        }
    }
}

pub fn namespace() -> &'static str {
    NAMESPACES[usize::from(hits(25))]
}

/// Few names, so that they are used again.
fn resource() -> Name {
    let names = ["a", "b", "c", "d"];
    Name(namespace(), names[fastrand::usize(..names.len())])
}

/// Names that resources want, and others.
fn connector_name() -> String {
    match fastrand::u8(..4) {
        0 => "shared".to_owned(),
        1 => "wanted".to_owned(),
        2 => {
            let Name(namespace, name) = resource();
            format!("{namespace}.{name}.test")
        }
        _ => format!("foreign-{}", fastrand::u8(..3)),
    }
}

/// `existingSourceId: ""` stands for one that is there when the resource is made.
fn spec() -> Value {
    let mut spec = json!({
        "remoteUrl": format!("dropbox://folder-{}", fastrand::u8(..5)),
        "recursive": hits(30),
        "credentials": { "secretRef": { "name": "dropbox" } },
    });
    if hits(25) {
        spec["deletionPolicy"] = json!("Retain");
    }
    match fastrand::u8(..10) {
        0 => spec["connectorName"] = json!("shared"),
        1 => {
            spec["connectorName"] = json!(if hits(50) { "shared" } else { "wanted" });
            spec["adoptionPolicy"] = json!("ByName");
        }
        2 => spec["existingSourceId"] = json!(""),
        _ => {}
    }
    if hits(25) {
        spec["workspace"] = json!({ "apiKeySecretRef": { "name": "workspace" } });
    }
    if hits(30) {
        spec["verify"] = json!(false);
    }
    spec
}

fn change() -> Value {
    match fastrand::u8(..6) {
        0 => json!({ "recursive": hits(50) }),
        1 => json!({ "deletionPolicy": if hits(50) { "Retain" } else { "Delete" } }),
        2 => json!({ "suspend": hits(50) }),
        _ => json!({ "remoteUrl": format!("dropbox://folder-{}", fastrand::u8(..5)) }),
    }
}
