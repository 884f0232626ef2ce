//! Kubernetes Events: what `kubectl describe` tells of an object. Best effort by design: publishing never waits, never fails
//! its caller and never floods.
//!
//! kube's own recorder takes events that differ only in their note for one, and so keeps showing the first note; refuses
//! notes and names over the API's limits; and knows neither a time limit nor a rate.

use std::{collections::HashMap, fmt, num::NonZeroU32, time::Duration};

use governor::{Quota, RateLimiter, middleware::NoOpMiddleware, state::keyed::HashMapStateStore};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, error::Elapsed, timeout},
};
use tracing::{debug, warn};

use super::event_text::{INSTANCE_LIMIT, cut, event_name, shorten};
use super::metrics::Metrics;
use crate::clock;
use crate::kube_error::{is_forbidden, is_missing};
use crate::tokio_clock::TokioClock;

/// Events waiting to be written; more than these are dropped.
const QUEUE: usize = 1024;
/// How long the API server may take over one event before the next has its turn.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// An event that comes again within this time is counted in the first one's series. As in client-go.
const SERIES_LIFETIME: Duration = Duration::from_mins(6);
/// Events of one object that may come at once, and the time after which one more may. Close to kubelet's own bounds.
const BURST: NonZeroU32 = NonZeroU32::new(20).expect("it is not zero");
const REFILL: Duration = Duration::from_secs(30);
/// Series, and objects, that are remembered.
const MEMORY: usize = 2048;

/// Whether an event asks for attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// It went as it should.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventNote {
    /// Whether it asks for attention.
    pub type_: EventType,
    /// Why, for machines: `CamelCase`, at most 128 characters.
    pub reason: &'static str,
    /// What was being done, for machines: `CamelCase`, at most 128 characters.
    pub action: &'static str,
    /// What happened, for people. Cut at 1024 bytes. Holds no secret.
    pub note: String,
}

/// Publishes events. Cheap to clone; clones share one queue and its bounds.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<(ObjectReference, EventNote)>,
    metrics: Metrics,
}

impl Recorder {
    /// A recorder that reports as `controller`, a qualified name such as `example.com/operator`, and as `instance`, the
    /// pod, which lives in the namespace `home`: that is where an event goes that may not be written where it belongs.
    /// Must be called inside a tokio runtime: it spawns the one task that writes, which ends with the last clone.
    pub fn new(
        client: Client,
        controller: &'static str,
        instance: &str,
        home: Option<&str>,
        metrics: Metrics,
    ) -> Self {
        let (queue, mut published) = mpsc::channel(QUEUE);
        let mut writer = Writer {
            client,
            controller,
            instance: cut(instance, INSTANCE_LIMIT).to_owned(),
            home: home.map(ToOwned::to_owned),
            metrics: metrics.clone(),
            series: HashMap::new(),
            budgets: budgets(),
            failing: false,
        };
        tokio::spawn(async move {
            while let Some((regarding, note)) = published.recv().await {
                writer.record(regarding, note).await;
            }
        });
        Self { queue, metrics }
    }

    /// Publishes `note` about the object `regarding` names. Returns at once; an event that finds the queue full is dropped
    /// and counted.
    pub fn publish(&self, regarding: &ObjectReference, mut note: EventNote) {
        shorten(&mut note.note);
        if self.queue.try_send((regarding.clone(), note)).is_err() {
            self.metrics.event_dropped();
        }
    }
}

/// What makes two events the same one happening again. The note is part of it: another text is other news.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    object: Object,
    note: EventNote,
}

/// An object, told from an earlier one of its name by its UID.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Object {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
}

impl From<&ObjectReference> for Object {
    fn from(reference: &ObjectReference) -> Self {
        Self {
            kind: reference.kind.clone(),
            namespace: reference.namespace.clone(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        }
    }
}

/// An event in the API server and how often it has happened.
struct Series {
    event: String,
    count: i32,
    last: Instant,
}

/// What each object may still publish.
type Budgets = RateLimiter<Object, HashMapStateStore<Object>, TokioClock, NoOpMiddleware<Duration>>;

fn budgets() -> Budgets {
    let quota = Quota::with_period(REFILL).expect("it is not zero");
    RateLimiter::hashmap_with_clock(quota.allow_burst(BURST), TokioClock::start())
}

struct Writer {
    client: Client,
    controller: &'static str,
    instance: String,
    home: Option<String>,
    metrics: Metrics,
    series: HashMap<Identity, Series>,
    budgets: Budgets,
    /// Whether the last write failed: one line says so, not one per event.
    failing: bool,
}

impl Writer {
    async fn record(&mut self, regarding: ObjectReference, note: EventNote) {
        self.forget();
        let object = Object::from(&regarding);
        let allowed = self.budgets.check_key(&object).is_ok();
        let identity = Identity { object, note };
        let repeated = self
            .series
            .get_mut(&identity)
            .filter(|series| series.last.elapsed() < SERIES_LIFETIME)
            .map(|series| {
                series.count = series.count.saturating_add(1);
                series.last = Instant::now();
                (series.event.clone(), series.count)
            });
        if !allowed {
            // A repeat is not lost: the next one that may be written carries its count.
            if repeated.is_none() {
                self.metrics.event_dropped();
            }
            return;
        }
        let answer = match self
            .write(regarding, repeated.clone(), &identity.note)
            .await
        {
            // Last words are written where they can be.
            Ok(Err(error))
                if is_forbidden(&error) && !is_terminating(&error) && self.home.is_some() =>
            {
                self.write(self.pod(), repeated, &abroad(&identity)).await
            }
            answer => answer,
        };
        match answer {
            Ok(Ok(Written::Again)) => self.failing = false,
            Ok(Ok(Written::New(event))) => {
                self.failing = false;
                let series = Series {
                    event,
                    count: 1,
                    last: Instant::now(),
                };
                self.series.insert(identity, series);
            }
            // Nothing is wrong, and nobody could read it for long.
            Ok(Err(error)) if is_terminating(&error) => {
                self.metrics.event_dropped();
                debug!("skipped an event: its namespace is being deleted");
            }
            Ok(Err(error)) => self.failed(&error),
            Err(elapsed) => self.failed(&elapsed),
        }
    }

    async fn write(
        &self,
        regarding: ObjectReference,
        repeated: Option<(String, i32)>,
        note: &EventNote,
    ) -> Result<kube::Result<Written>, Elapsed> {
        let namespace = regarding.namespace.as_deref().unwrap_or("default");
        let events = Api::namespaced(self.client.clone(), namespace);
        let new = self.event(regarding, note);
        timeout(WRITE_TIMEOUT, write(&events, repeated, new)).await
    }

    /// The operator itself.
    fn pod(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(self.instance.clone()),
            namespace: self.home.clone(),
            ..ObjectReference::default()
        }
    }

    fn failed(&mut self, error: &dyn fmt::Display) {
        self.metrics.event_dropped();
        if std::mem::replace(&mut self.failing, true) {
            debug!(%error, "could not write an event");
        } else {
            warn!(
                %error,
                "cannot write events; continuing without them"
            );
        }
    }

    /// Keeps memory bounded: first what has run its time goes, then, in a storm, everything.
    fn forget(&mut self) {
        if self.series.len() >= MEMORY {
            self.series
                .retain(|_, series| series.last.elapsed() < SERIES_LIFETIME);
            if self.series.len() >= MEMORY {
                self.series.clear();
            }
        }
        if self.budgets.len() >= MEMORY {
            self.budgets.retain_recent();
            if self.budgets.len() >= MEMORY {
                self.budgets = budgets();
            }
        }
    }

    fn event(&self, regarding: ObjectReference, note: &EventNote) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(event_name(regarding.name.as_deref().unwrap_or_default())),
                namespace: Some(
                    regarding
                        .namespace
                        .clone()
                        .unwrap_or_else(|| "default".to_owned()),
                ),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(clock::now())),
            reporting_controller: Some(self.controller.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(
                match note.type_ {
                    EventType::Normal => "Normal",
                    EventType::Warning => "Warning",
                }
                .to_owned(),
            ),
            reason: Some(note.reason.to_owned()),
            action: Some(note.action.to_owned()),
            note: Some(note.note.clone()),
            regarding: Some(regarding),
            ..Event::default()
        }
    }
}

/// The note for a place where nothing else says what it is about.
fn abroad(Identity { object, note }: &Identity) -> EventNote {
    let Some(namespace) = &object.namespace else {
        return note.clone();
    };
    let kind = object.kind.as_deref().unwrap_or_default();
    let name = object.name.as_deref().unwrap_or_default();
    let mut note = EventNote {
        note: format!("{kind} {namespace}/{name}: {}", note.note),
        ..note.clone()
    };
    shorten(&mut note.note);
    note
}

/// Whether the API server refused an object because its namespace is being deleted.
fn is_terminating(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

enum Written {
    /// A new event, of this name.
    New(String),
    /// One more of a series.
    Again,
}

/// Counts the event in its series, or begins one with `new`: also when the series' event has been deleted meanwhile.
async fn write(
    events: &Api<Event>,
    repeated: Option<(String, i32)>,
    new: Event,
) -> kube::Result<Written> {
    let manager = Some(env!("CARGO_PKG_NAME").to_owned());
    if let Some((name, count)) = repeated {
        let series = EventSeries {
            count,
            last_observed_time: MicroTime(clock::now()),
        };
        let parameters = PatchParams {
            field_manager: manager.clone(),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({ "series": series }));
        match events.patch(&name, &parameters, &patch).await {
            Err(error) if is_missing(&error) => {}
            answer => return answer.map(|_| Written::Again),
        }
    }
    let parameters = PostParams {
        field_manager: manager,
        ..PostParams::default()
    };
    events.create(&parameters, &new).await?;
    Ok(Written::New(new.metadata.name.unwrap_or_default()))
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
