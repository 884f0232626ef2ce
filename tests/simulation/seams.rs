//! Seeds that play what the operator once went wrong at: a sequence of which each step is usual and the whole is so rare that chance
//! alone seldom finds it. Order and steps are given; times, names, policies and what else happens are drawn.

use std::time::Duration;

use serde_json::{Value, json};

use super::agenda::{self, Agenda, Name, Setting, Step, Writer};
use super::ground::NAMESPACES;
use super::weather::{Weather, hits};

const HOME: &str = NAMESPACES[0];
const ELSEWHERE: &str = NAMESPACES[1];

/// In a process that begins anew nothing is left of most of it.
pub const RESTARTS: u8 = 10;

/// Whether a seed plays one: a sixth of them does. It alone says it, as it does of pipelines.
pub fn are_in(seed: u64) -> bool {
    seed % 6 == 3
}

/// The sequences.
const SEAMS: u64 = 9;

/// Whether a seed plays the one in which a provider hangs, and nothing else is wrong.
pub fn hangs(seed: u64) -> bool {
    are_in(seed) && seed / 6 % SEAMS == 7
}

/// What happens in such a seed, and to whom.
pub fn draw(seed: u64) -> (Setting, Agenda) {
    let mut scene = Scene::default();
    let setting = match seed / 6 % SEAMS {
        0 => scene.another_is_named(),
        1 => scene.retained_are_taken_over(),
        2 => scene.backup_goes_over_a_new_one(),
        3 => scene.requests_are_refused(),
        4 => scene.namespace_follows_a_blocked_deletion(),
        5 => scene.lists_are_missing(),
        6 => scene.namespace_goes_with_its_keys(),
        7 => scene.provider_hangs(),
        _ => scene.definition_goes_after_the_rights(),
    };
    // Somebody does something else meanwhile, or nobody does, so that nothing else brings back what rests.
    if !hangs(seed) && hits(40) {
        for _ in 0..fastrand::usize(1..4) {
            let at = Duration::from_millis(fastrand::u64(..scene.length()));
            agenda::act(&mut scene.agenda, setting, at);
        }
    }
    (setting, scene.agenda.steps)
}

/// Steps one after the other.
#[derive(Default)]
struct Scene {
    agenda: Writer,
    at: Duration,
}

impl Scene {
    fn length(&self) -> u64 {
        u64::try_from(self.at.as_millis())
            .unwrap_or_default()
            .max(1)
    }

    fn now(&mut self, step: Step) -> &mut Self {
        self.agenda.add(self.at, step);
        self
    }

    fn weather(&mut self, weather: Weather) -> &mut Self {
        self.now(Step::Change(weather))
    }

    /// Within a moment: a client that does one thing after the other.
    fn at_once(&mut self) -> &mut Self {
        self.pass(0, 400)
    }

    /// Within seconds.
    fn soon(&mut self) -> &mut Self {
        self.pass(300, 20_000)
    }

    /// When everything before it has settled.
    fn later(&mut self) -> &mut Self {
        self.pass(70_000, 240_000)
    }

    fn pass(&mut self, least: u64, most: u64) -> &mut Self {
        self.at += Duration::from_millis(fastrand::u64(least..most));
        self
    }

    /// What was retained has a name that a new resource finds as its own, and that one names another connector.
    fn another_is_named(&mut self) -> Setting {
        let a = Name(HOME, "a");
        let other = "foreign-0";
        self.now(Step::Insert(other.to_owned()))
            .now(Step::Create(a.clone(), retained()))
            .later()
            .now(Step::Delete(a.clone()))
            .soon()
            .now(Step::Create(a, naming(other)))
            .later();
        whole()
    }

    /// Many that were retained go with their Secrets, and others name what they leave. Watches lag behind, that of another namespace
    /// by another time.
    fn retained_are_taken_over(&mut self) -> Setting {
        let lag = [50, 500, 5_000][fastrand::usize(..3)];
        let setting = whole_or(50, Setting::Each);
        let takers = if setting == Setting::Each {
            ELSEWHERE
        } else {
            HOME
        };
        let names = ["a", "b", "c", "d"];
        for name in names {
            let mut spec = if hits(70) { retained() } else { plain() };
            if hits(50) {
                spec["workspace"] = tenant();
            }
            self.now(Step::Create(Name(HOME, name), spec)).at_once();
        }
        self.later().weather(Weather {
            lag,
            ..Weather::default()
        });
        for name in names {
            self.now(Step::Delete(Name(HOME, name))).pass(0, 60);
            let secret = if hits(50) { "dropbox" } else { "workspace" };
            self.now(Step::LoseSecret(HOME, secret)).pass(0, 60);
            self.now(Step::PutSecrets);
        }
        if hits(50) {
            self.soon();
        }
        for (name, old) in ["e", "f", "g", "h"].into_iter().zip(names) {
            let mut spec = naming(&format!("{HOME}.{old}.test"));
            if hits(50) {
                spec["workspace"] = tenant();
            }
            self.now(Step::Create(Name(takers, name), spec)).at_once();
        }
        self.later().weather(Weather::default());
        setting
    }

    /// A resource is made again beside its former connector, which another holds by now; then its former status is put over it, and
    /// it is deleted.
    fn backup_goes_over_a_new_one(&mut self) -> Setting {
        let (a, b) = (Name(HOME, "a"), Name(HOME, "b"));
        self.now(Step::Create(a.clone(), retained()))
            .later()
            .now(Step::BackUp)
            .at_once()
            .now(Step::Delete(a.clone()))
            .soon()
            .now(Step::Create(b, naming(&format!("{HOME}.a.test"))))
            .later()
            .now(Step::Create(a.clone(), plain()))
            .later()
            .now(Step::Kill)
            .soon()
            .now(Step::RestoreStatuses(HOME))
            .soon()
            .now(Step::Begin)
            .soon()
            .now(Step::Delete(a))
            .later();
        whole()
    }

    /// What asks and sends nothing of the user's is refused for a while, to a process that begins or to one that goes on.
    fn requests_are_refused(&mut self) -> Setting {
        let refuses = Weather {
            refuses: true,
            ..Weather::default()
        };
        self.now(Step::Create(Name(HOME, "a"), plain())).at_once();
        if hits(50) {
            self.soon();
        } else {
            self.later();
        }
        self.now(Step::Create(Name(HOME, "b"), plain())).at_once();
        let restarts = hits(60);
        if restarts {
            self.now(Step::Kill).at_once();
        }
        self.weather(refuses).at_once();
        if restarts {
            self.now(Step::Begin);
        } else {
            self.now(Step::Force(Name(HOME, "a")));
        }
        self.soon().weather(Weather::default()).later();
        whole()
    }

    /// The Secrets go, then the resource, whose key nobody has in mind; then the namespace.
    fn namespace_follows_a_blocked_deletion(&mut self) -> Setting {
        let a = Name(HOME, "a");
        let mut spec = plain();
        spec["workspace"] = tenant();
        self.now(Step::Create(a.clone(), spec))
            .later()
            .now(Step::Kill)
            .at_once()
            .now(Step::LoseSecret(HOME, "workspace"))
            .at_once()
            .now(Step::LoseSecret(HOME, "dropbox"))
            .at_once()
            .now(Step::Begin)
            .soon()
            .now(Step::Delete(a))
            .soon()
            .now(Step::DeleteNamespace(HOME))
            .later();
        whole_or(15, Setting::Confined)
    }

    /// A process begins and does not get to see what holds a connector; somebody else wants that connector.
    fn lists_are_missing(&mut self) -> Setting {
        let (holder, thief) = (Name(HOME, "holder"), Name(ELSEWHERE, "thief"));
        let mut held = plain();
        let by_name = hits(60);
        let stolen = if by_name {
            held["connectorName"] = json!("shared");
            let mut spec = plain();
            spec["connectorName"] = json!("shared");
            spec["adoptionPolicy"] = json!("ByName");
            spec
        } else {
            naming(&format!("{HOME}.holder.test"))
        };
        self.now(Step::Create(holder, held))
            .later()
            .now(Step::Kill)
            .at_once()
            .weather(Weather {
                unlisted: Some(HOME),
                ..Weather::default()
            });
        if hits(50) {
            self.now(Step::Create(thief.clone(), stolen.clone()));
        }
        self.at_once()
            .now(Step::Begin)
            .soon()
            .now(Step::Create(thief.clone(), stolen))
            .pass(15_000, 120_000);
        if hits(40) {
            self.now(Step::Delete(thief)).soon();
        }
        self.weather(Weather::default()).later();
        if hits(50) {
            Setting::Each
        } else {
            Setting::Shards
        }
    }

    /// A namespace goes, and the Secret with the key goes first.
    fn namespace_goes_with_its_keys(&mut self) -> Setting {
        for name in ["a", "b", "c"] {
            let mut spec = plain();
            spec["workspace"] = tenant();
            self.now(Step::Create(Name(HOME, name), spec)).at_once();
        }
        self.later().now(Step::DeleteNamespace(HOME)).later();
        whole_or(50, Setting::Confined)
    }

    /// An operator that has seen the definition may not see it any more, and keeps what rights its namespace gives; then the definition
    /// goes, and all resources with it.
    fn definition_goes_after_the_rights(&mut self) -> Setting {
        let b = Name(HOME, "b");
        self.now(Step::Create(Name(HOME, "a"), plain()))
            .at_once()
            .now(Step::Create(b.clone(), plain()))
            .later()
            .now(Step::Delete(b))
            .soon()
            .now(Step::Uninstall {
                definition_too: true,
            })
            .pass(5_000, 30_000)
            .now(Step::Kill)
            .soon()
            .now(Step::Reinstall)
            .later();
        Setting::Confined
    }

    /// Many new resources wait for a provider that hangs, when an old one is deleted.
    fn provider_hangs(&mut self) -> Setting {
        const NEW: [&str; 12] = [
            "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10", "n11",
        ];
        let a = Name(HOME, "a");
        self.now(Step::Create(a.clone(), plain()))
            .later()
            .weather(Weather {
                dropbox_hangs: true,
                ..Weather::default()
            });
        for name in NEW {
            self.now(Step::Create(Name(HOME, name), plain())).at_once();
        }
        self.soon()
            .now(Step::Delete(a))
            .later()
            .weather(Weather::default())
            .later();
        Setting::Whole
    }
}

fn whole() -> Setting {
    whole_or(20, Setting::Each)
}

fn whole_or(percent: u8, other: Setting) -> Setting {
    if hits(percent) { other } else { Setting::Whole }
}

fn plain() -> Value {
    json!({
        "remoteUrl": format!("dropbox://folder-{}", fastrand::u8(..5)),
        "recursive": hits(30),
        "credentials": { "secretRef": { "name": "dropbox" } },
    })
}

fn retained() -> Value {
    let mut spec = plain();
    spec["deletionPolicy"] = json!("Retain");
    spec
}

/// Takes over the connector of this name.
fn naming(connector: &str) -> Value {
    let mut spec = plain();
    spec["existingSourceId"] = json!(connector);
    spec
}

/// The reference to the tenant's workspace.
fn tenant() -> Value {
    json!({ "apiKeySecretRef": { "name": "workspace" } })
}
