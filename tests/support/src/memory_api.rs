//! A Kubernetes API in memory, for tests that stop the clock or the operator at an exact place.
//!
//! It keeps what the operator relies on, as the real server does it: resource versions and preconditions, generations, finalizers,
//! definitions with their schemas and the status as a subresource, owners of fields, rights, selectors, lists and watches that
//! resume, and the way in which namespaces, definitions and foreground deletions end. `simulation::fidelity` compares the two. It
//! knows no rules of admission (CEL), and merge patches only.

mod checks;
mod fields;
mod lifecycle;
mod refusal;
mod rights;
mod schema;
mod selector;
mod store;
mod target;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use kube::client::{Body, Client};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::aside::Aside;
pub use refusal::Refusal;
pub use rights::Caller;
use selector::Selector;
use store::Store;
use target::{NAMESPACES, Target};
use write::{Write, Written};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A request to the API.
pub type Request = http::Request<Body>;
/// An answer of the API.
pub type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out and never answered.
    Unanswered,
    /// It is neither carried out nor answered.
    Swallowed,
    /// It is refused with this status.
    Refused(u16),
}

/// What a server held at some time.
pub struct Snapshot(Store);

type Tap = Arc<dyn Fn(&str, &Value) + Send + Sync>;
type Judge = Box<dyn FnMut(&Method, &str) -> Fate + Send>;
type Lag = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The API. Clones share it, and it belongs to no runtime.
#[derive(Clone)]
pub struct MemoryApi(Arc<Shared>);

#[derive(Default)]
struct Shared {
    store: Mutex<Store>,
    judge: Mutex<Option<Judge>>,
    tap: Mutex<Option<Tap>>,
    lag: Mutex<Option<Lag>>,
    changed: Notify,
}

/// An empty cluster.
impl Default for MemoryApi {
    fn default() -> Self {
        let api = Self(Arc::default());
        for namespace in ["default", "kube-system"] {
            api.create_namespace(namespace);
        }
        api
    }
}

impl MemoryApi {
    /// A client for it that may do everything. Its requests are served where they are made: dropping a request drops its handling,
    /// but never halfway through a write.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request| {
            let api = api.clone();
            Aside::future(async move {
                let answer = api.serve(&Caller::Administrator, request).await;
                answer.map(|answer| answer.map(Aside))
            })
        });
        Client::new(service, "default")
    }

    /// Lets `judge` decide on every write of a client, by method and path.
    pub fn judge_writes(&self, judge: impl FnMut(&Method, &str) -> Fate + Send + 'static) {
        *lock(&self.0.judge) = Some(Box::new(judge));
    }

    /// Calls `tap` with the path and the object after each write, the last state of an object that is gone included.
    pub fn on_write(&self, tap: impl Fn(&str, &Value) + Send + Sync + 'static) {
        *lock(&self.0.tap) = Some(Arc::new(tap));
    }

    /// Lets watches show what has happened only after this time, asked for anew whenever something has.
    pub fn delay_watches(&self, lag: impl Fn() -> Duration + Send + Sync + 'static) {
        *lock(&self.0.lag) = Some(Arc::new(lag));
    }

    /// Creates an object at `path`, the path of its collection, as a user who meets no fault.
    pub fn create(&self, path: &str, object: Value) -> Result<Value, Refusal> {
        self.admin(path, Write::Create(object))
    }

    /// Creates a namespace.
    pub fn create_namespace(&self, name: &str) {
        let namespace =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.create(&format!("/{NAMESPACES}"), namespace)
            .expect("a new namespace");
    }

    /// Changes the object at `path` by a merge patch, as a user who meets no fault.
    pub fn patch(&self, path: &str, change: Value) -> Result<Value, Refusal> {
        self.admin(path, Write::Merge(change))
    }

    /// Replaces the object at `path`, as this field manager.
    pub fn replace(&self, path: &str, manager: &str, object: Value) -> Result<Value, Refusal> {
        self.write(path, manager, Write::Replace(object))
            .map(|written| (**written.object()).clone())
    }

    /// Deletes the object at `path`, as a user who meets no fault. With finalizers it stays, marked.
    pub fn delete(&self, path: &str) -> Result<Value, Refusal> {
        self.admin(path, Write::Delete(Value::Null))
    }

    /// The object at `path`.
    pub fn get(&self, path: &str) -> Option<Value> {
        let place = Target::parse(path)?.place()?;
        lock(&self.0.store).get(&place).cloned()
    }

    /// Whether there is an object at `path`.
    pub fn is_there(&self, path: &str) -> bool {
        self.look(path, |_| ()).is_some()
    }

    /// Whether the object at `path` is being deleted.
    pub fn is_going(&self, path: &str) -> bool {
        self.look(path, store::is_going).unwrap_or_default()
    }

    fn look<T>(&self, path: &str, see: impl FnOnce(&Value) -> T) -> Option<T> {
        let place = Target::parse(path)?.place()?;
        lock(&self.0.store).get(&place).map(see)
    }

    /// The objects of the collection at `path`, in the order of their names.
    pub fn list(&self, path: &str) -> Vec<Value> {
        let store = lock(&self.0.store);
        let (target, every) = (Target::parse(path), Selector::default());
        target
            .iter()
            .flat_map(|target| store.list(target, &every).cloned())
            .collect()
    }

    /// Forgets what was before now: a watch that lags behind is answered 410.
    pub fn compact(&self) {
        lock(&self.0.store).compact();
        self.0.changed.notify_waiters();
    }

    /// All that it holds now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(lock(&self.0.store).clone())
    }

    /// All that it holds becomes what it was at the time of a snapshot. Nobody is told of it as of a write.
    pub fn roll_back(&self, earlier: &Snapshot) {
        lock(&self.0.store).roll_back(&earlier.0);
        self.0.changed.notify_waiters();
    }

    /// The server goes and comes back: every watch ends.
    pub fn restart(&self) {
        lock(&self.0.store).life += 1;
        self.0.changed.notify_waiters();
    }

    fn admin(&self, path: &str, write: Write) -> Result<Value, Refusal> {
        self.write(path, "kubectl", write)
            .map(|written| (**written.object()).clone())
    }

    fn write(&self, path: &str, manager: &str, write: Write) -> Result<Written, Refusal> {
        let target = Target::parse(path).ok_or_else(Refusal::no_such_path)?;
        let answer = lock(&self.0.store).write(&target, manager, write);
        if let Ok(written) = &answer {
            let tap = lock(&self.0.tap).clone();
            if let Some(tap) = tap {
                tap(path, written.object());
            }
            self.0.changed.notify_waiters();
        }
        answer
    }

    /// What a proxy in front of it, or a server that is not ready, answers.
    pub fn refusal(code: u16) -> Answer {
        refused(&Refusal::new(code, "InternalError", "a fault"))
    }

    /// Answers a request.
    pub async fn serve(self, caller: &Caller, request: Request) -> Result<Answer, BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let header = |name| {
            let value = head.headers.get(name).map(http::HeaderValue::as_bytes);
            value.unwrap_or_default()
        };
        let path = head.uri.path();
        let Some(target) = Target::parse(path) else {
            return Ok(refused(&Refusal::no_such_path()));
        };
        let watches = query
            .get("watch")
            .is_some_and(|watch| watch == "true" || watch == "1");
        let verb = verb(&head.method, target.name.is_some(), watches);
        let allowed = {
            let store = lock(&self.0.store);
            let allowed = store.authorize(caller, verb, &target);
            allowed.and_then(|()| store.definition_of(&target).map(drop))
        };
        if let Err(refusal) = allowed {
            return Ok(refused(&refusal));
        }
        if head.method != Method::GET {
            let force = query.get("force").is_some_and(|force| force == "true");
            let write = Write::of(&head.method, header(header::CONTENT_TYPE), force, &body)?;
            let manager = query.get("fieldManager").map_or("unknown", String::as_str);
            if query.get("fieldValidation").map(String::as_str) == Some("Strict")
                && let Err(refusal) = lock(&self.0.store).knows_all_of(&target, &write)
            {
                return Ok(refused(&refusal));
            }
            // A dry run changes nothing, and so is no effect that a judge could lose.
            if query.contains_key("dryRun") {
                let mut copy = lock(&self.0.store).clone();
                return Ok(told(&head.method, copy.write(&target, manager, write)));
            }
            return Ok(self.carry_out(&head.method, path, manager, write).await);
        }
        let accept = String::from_utf8_lossy(header(header::ACCEPT)).into_owned();
        let metadata_only = accept.contains("PartialObjectMetadata");
        let selector = query.get("labelSelector").map(|text| Selector::parse(text));
        let selector = selector.unwrap_or_default();
        let Some(place) = target.place() else {
            if watches {
                return Ok(self.watch(target, &query, selector, metadata_only));
            }
            let store = lock(&self.0.store);
            let items = store
                .list(&target, &selector)
                .map(|object| shown(object, metadata_only));
            let list = json!({
                "apiVersion": "v1",
                "kind": "List",
                "metadata": { "resourceVersion": store.version().to_string() },
                "items": items.collect::<Vec<_>>(),
            });
            return Ok(answered(200, &list));
        };
        let store = lock(&self.0.store);
        Ok(match store.get(&place) {
            Some(object) => answered(200, &shown(object, metadata_only)),
            None => refused(&Refusal::not_found(&target, &place.name)),
        })
    }

    async fn carry_out(&self, method: &Method, path: &str, manager: &str, write: Write) -> Answer {
        let fate = lock(&self.0.judge)
            .as_mut()
            .map_or(Fate::Answered, |judge| judge(method, path));
        match fate {
            Fate::Swallowed => pending().await,
            Fate::Refused(code) => refused(&Refusal::new(code, "InternalError", "a fault")),
            Fate::Answered | Fate::Unanswered => {
                let answer = self.write(path, manager, write);
                if fate == Fate::Unanswered {
                    return pending().await;
                }
                told(method, answer)
            }
        }
    }
}

impl Written {
    fn object(&self) -> &Arc<Value> {
        match self {
            Self::Created(object) | Self::Changed(object) | Self::Removed(object) => object,
        }
    }
}

fn told(method: &Method, answer: Result<Written, Refusal>) -> Answer {
    match answer {
        Ok(Written::Created(object)) => answered(201, &object),
        Ok(Written::Removed(object)) if *method == Method::DELETE => {
            answered(200, &removal(&object))
        }
        Ok(Written::Changed(object) | Written::Removed(object)) => answered(200, &object),
        Err(refusal) => refused(&refusal),
    }
}

fn verb(method: &Method, named: bool, watches: bool) -> &'static str {
    match (method.as_str(), named) {
        ("GET", true) => "get",
        ("GET", false) if watches => "watch",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("DELETE", _) => "delete",
        _ => "patch",
    }
}

fn removal(object: &Value) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": { "name": object["metadata"]["name"], "uid": object["metadata"]["uid"] },
    })
}

fn shown(object: &Value, metadata_only: bool) -> Value {
    if metadata_only {
        json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": object["metadata"],
        })
    } else {
        object.clone()
    }
}

fn answered(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string()));
    respond(code, body.map_err(|never| match never {}).boxed_unsync())
}

fn respond(code: u16, body: UnsyncBoxBody<Bytes, BoxError>) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code.try_into().expect("a status from 100 to 999");
    response
}

fn refused(refusal: &Refusal) -> Answer {
    answered(refusal.code, &refusal.status())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
