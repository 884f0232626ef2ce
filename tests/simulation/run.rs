//! One seed, from the first step to the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::actors::Actors;
use super::agenda::{self, BUSY};
use super::controllers::tidy_up;
use super::ground::Ground;
use super::judge;
use super::ledger::Ledger;
use super::{pipelines, runs, seams};

/// How long it takes a process that nobody starts anew to notice everything: the next comparison may be a sync interval away.
const NOTICES: Duration = Duration::from_mins(11);
/// How long everything may take to settle after the faults: a sync interval, and the longest backoff before it.
const SETTLES: Duration = Duration::from_mins(25);
/// How long it is watched afterwards, to see that nothing is done any more.
const RESTS: Duration = Duration::from_mins(15);

/// What came of a seed.
pub struct Story {
    pub lines: Vec<String>,
    pub violations: Vec<String>,
}

/// Runs a seed on this thread. Nothing else decides what happens.
pub fn seed(seed: u64) -> Story {
    fastrand::seed(seed);
    on_a_stopped_clock(async {
        let (setting, agenda) = if pipelines::are_in(seed) {
            let setting = pipelines::setting();
            (setting, pipelines::draw())
        } else if seams::are_in(seed) {
            seams::draw(seed)
        } else {
            let setting = agenda::setting();
            (setting, agenda::draw(setting))
        };
        let mut actors = stage(setting);
        actors.ground.choose_keys(seed);
        if seams::are_in(seed) {
            actors.restarts = seams::RESTARTS;
            actors.narrow = seams::hangs(seed);
            let nothing_waits = actors.narrow;
            actors
                .ledger
                .with(|books| books.nothing_waits = nothing_waits);
        }
        actors.ground.chronicle.tell(&format!("{setting:?}"));
        let chronicle = actors.ground.chronicle.clone();
        tokio::select! {
            biased;
            () = chronicle.is_flooded() => Story {
                lines: chronicle.lines(),
                violations: chronicle.violations(),
            },
            story = play(actors, &agenda) => story,
        }
    })
}

/// Everything that is to happen, and what there is in the end.
async fn play(mut actors: Actors, agenda: &agenda::Agenda) -> Story {
    actors.begin();
    let began = Instant::now();
    for ((at, _), step) in agenda {
        sleep_until(began + *at).await;
        actors.act(step);
    }
    sleep_until(began + BUSY.min(last(agenda) + Duration::from_secs(5))).await;
    conclude(actors).await
}

fn last(agenda: &agenda::Agenda) -> Duration {
    agenda
        .keys()
        .next_back()
        .map_or(Duration::ZERO, |(at, _)| *at)
}

/// Runs this on a runtime whose clock goes on only when there is nothing else to do.
pub fn on_a_stopped_clock<T>(what: impl Future<Output = T>) -> T {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(what)
}

/// The ground with its ledger and its judge, and nobody at work yet.
pub fn stage(setting: agenda::Setting) -> Actors {
    let ground = Ground::prepare();
    let ledger = Ledger::default();
    let going = Arc::new(Notify::new());
    for cluster in [&ground.cluster, &ground.staging] {
        let (books, name, going) = (ledger.clone(), cluster.name, Arc::clone(&going));
        cluster.kubernetes.on_write(move |path, object| {
            books.wrote(name, path, object);
            if !object["metadata"]["deletionTimestamp"].is_null() {
                going.notify_one();
            }
        });
    }
    let (books, own, tenant) = (ledger.clone(), ground.own.clone(), ground.tenant.clone());
    ground.chronicle.judge_by(move |sent, body| {
        let mut connectors = own.sources();
        connectors.extend(tenant.sources());
        let objection = judge::objection(&books, &connectors, sent, body);
        objection.or_else(|| runs::objection(&books, &own.workflows(), sent))
    });
    let clusters: BTreeMap<_, _> = [&ground.cluster, &ground.staging]
        .into_iter()
        .map(|cluster| (cluster.name, cluster.kubernetes.clone()))
        .collect();
    tokio::spawn(tidy_up(clusters, Arc::clone(&going)));
    Actors::new(ground, ledger, setting)
}

/// Ends the faults, gives time, and judges.
pub async fn conclude(mut actors: Actors) -> Story {
    actors.ground.chronicle.tell("the faults end");
    actors.make_peace();
    let verdict = |actors: &Actors| {
        judge::verdict(
            &actors.ground,
            &actors.ledger,
            actors.setting,
            actors.version,
        )
    };
    // What rivals leave behind is not judged, so nothing says when they have settled.
    let rivals = actors.setting == agenda::Setting::Rivals;
    let (noticed, end) = (Instant::now() + NOTICES, Instant::now() + SETTLES);
    while Instant::now() < end {
        sleep(Duration::from_secs(30)).await;
        // Whatever ended meanwhile comes back.
        if !actors.bring_back() && !rivals && verdict(&actors).is_empty() {
            break;
        }
    }
    // A check that is waited for, and what was not noticed yet.
    sleep_until(noticed.max(Instant::now() + Duration::from_secs(30))).await;
    let settled = actors.ground.chronicle.elapsed();
    sleep(RESTS).await;
    let chronicle = actors.ground.chronicle.clone();
    let mut violations = chronicle.violations();
    violations.extend(verdict(&actors));
    violations.extend(judge::strife(&chronicle));
    violations.extend(judge::carelessness(&actors.ground));
    violations.extend(runs::confidences(&actors.ledger));
    violations.extend(judge::unrest(&chronicle, &actors.ledger, settled, RESTS));
    if actors
        .processes
        .iter()
        .any(super::process::Process::broke_down)
    {
        violations.push("a process broke down".to_owned());
    }
    Story {
        lines: chronicle.lines(),
        violations,
    }
}
