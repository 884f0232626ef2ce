//! Watches one job to its end, and lets the operator know that somebody looks.

use std::time::Duration;

use futures::StreamExt;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::screen::Screen;
use super::text::ways_on;
use crate::clock;
use crate::cluster::sentence;
use crate::crd::{FOLLOWED_UNTIL, UnstructuredJob};
use crate::exit::Exit;
use crate::kube_error::is_forbidden;
use crate::options::Cluster;
use crate::output::say;

/// For how long the operator is told that somebody looks.
const FOLLOWED_FOR: Duration = Duration::from_mins(2);

/// How often it is told anew.
const RENEWAL: Duration = Duration::from_mins(1);

/// How long the cluster may fail before nobody waits for it any more.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long an operator has until it is missed.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// Follows a job to its end.
pub(super) async fn to_the_end(
    client: &Client,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<(), Exit> {
    let jobs: Api<UnstructuredJob> = Api::namespaced(client.clone(), namespace);
    let mut screen = Screen::new();
    tokio::select! {
        ended = watched(&jobs, cluster, namespace, name, &mut screen) => match ended {
            Ok(last) => screen.end(&last.status.unwrap_or_default()),
            Err(exit) => {
                screen.close();
                Err(exit)
            }
        },
        _ = tokio::signal::ctrl_c() => {
            screen.close();
            say(&cluster.complete(&ways_on(namespace, name)));
            Err(Exit::Interrupted)
        }
    }
}

/// Shows the job until it has ended, and returns it as it is then.
async fn watched(
    jobs: &Api<UnstructuredJob>,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    screen: &mut Screen,
) -> Result<UnstructuredJob, Exit> {
    let what = format!("the UnstructuredJob {namespace}/{name} cannot be watched");
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(jobs.clone(), config).default_backoff());
    let mut renewal = interval(RENEWAL);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let missed_at = Instant::now() + FIRST_LOOK;
    let mut uid = None;
    let mut is_seen = false;
    // That somebody looks is said once the job is there.
    let mut renews = false;
    let mut misses = true;
    let mut failing: Option<Instant> = None;
    loop {
        tokio::select! {
            event = events.next() => {
                let event = match event {
                    Some(Ok(event)) => event,
                    Some(Err(error)) => {
                        let lasts = failing.is_some_and(|since| since.elapsed() > PATIENCE);
                        if is_final(&error) || lasts {
                            return Err(Exit::Failed(told(&error, &what)));
                        }
                        failing.get_or_insert_with(|| {
                            screen.say("The cluster does not respond; trying again.");
                            Instant::now()
                        });
                        continue;
                    }
                    None => return Err(Exit::Failed(format!("{what}: the watch ended; do this again"))),
                };
                // A list begins before it fails.
                if !matches!(event, watcher::Event::Init) {
                    failing = None;
                }
                match event {
                    watcher::Event::InitApply(job) | watcher::Event::Apply(job) => {
                        let now = job.metadata.uid.clone();
                        if uid.as_ref().is_some_and(|uid| Some(uid) != now.as_ref()) {
                            return Err(deleted(namespace, name));
                        }
                        renews |= uid.is_none();
                        uid = now;
                        is_seen = true;
                        let status = job.status.clone().unwrap_or_default();
                        misses &= status.observed_generation < 0;
                        screen.show(&status);
                        if status.phase.is_final() {
                            return Ok(job);
                        }
                    }
                    watcher::Event::Init => is_seen = false,
                    watcher::Event::InitDone if !is_seen => {
                        return Err(if uid.is_some() {
                            deleted(namespace, name)
                        } else {
                            Exit::Failed(format!(
                                "there is no UnstructuredJob {namespace}/{name}: name one that kubectl get ujob -n {namespace} shows, or \
                                 another namespace with -n"
                            ))
                        });
                    }
                    watcher::Event::InitDone => {}
                    watcher::Event::Delete(_) => return Err(deleted(namespace, name)),
                }
            }
            _ = renewal.tick(), if renews => {
                // It goes on without: another attempt follows, or the watch tells what is wrong.
                if let Err(error) = renew(jobs, name).await
                    && is_forbidden(&error)
                {
                    screen.say("You lack the permission to patch the job, so it is followed without counts.");
                    renews = false;
                }
            }
            () = sleep_until(missed_at), if misses => {
                let doctor = format!("unstructured-operator doctor -n {namespace}");
                screen.say(&format!(
                    "No operator has looked at the job yet. To find out why: {}",
                    cluster.complete(&doctor)
                ));
                misses = false;
            }
        }
    }
}

/// Lets the operator know that somebody looks.
async fn renew(jobs: &Api<UnstructuredJob>, name: &str) -> Result<(), kube::Error> {
    let until = clock::second() + FOLLOWED_FOR;
    let patch = json!({ "metadata": { "annotations": { FOLLOWED_UNTIL: until.to_string() } } });
    jobs.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

/// Whether trying again is of no use.
fn is_final(error: &watcher::Error) -> bool {
    cause(error).is_some_and(
        |error| matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404)),
    )
}

fn cause(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(error),
        _ => None,
    }
}

fn told(error: &watcher::Error, what: &str) -> String {
    match cause(error) {
        Some(error) => sentence(error, what),
        None => format!("{what}: the cluster ended the watch; check it with kubectl version"),
    }
}

fn deleted(namespace: &str, name: &str) -> Exit {
    Exit::Failed(format!(
        "the UnstructuredJob {namespace}/{name} was deleted: if it had started its run, that is cancelled"
    ))
}
