//! A Kubernetes API in memory, for tests that stop the clock or the operator at an exact place.
//!
//! It keeps what the operator relies on: resource versions and preconditions, generations, finalizers, the status as a
//! subresource, lists and watches that resume, metadata-only answers. It knows no admission, no permissions, no selectors, and
//! of server-side apply only what one manager sees who applies whole statuses. The real control plane is for everything else.

mod store;
mod watch;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use kube::client::{Body, Client};
use serde_json::{Value, json};

pub use store::Refusal;
use store::{Store, Target, Write};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

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

type Judge = Box<dyn FnMut(&Method, &str) -> Fate + Send>;

/// The API. Clones share it, and it belongs to no runtime.
#[derive(Clone, Default)]
pub struct MemoryApi(Arc<Shared>);

#[derive(Default)]
struct Shared {
    store: Mutex<Store>,
    judge: Mutex<Option<Judge>>,
    changed: tokio::sync::watch::Sender<()>,
}

impl MemoryApi {
    /// A client for it. Its requests are served where they are made: dropping a request drops its handling, but never halfway
    /// through a write.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request| {
            let api = api.clone();
            async move { api.serve(request).await }
        });
        Client::new(service, "default")
    }

    /// Lets `judge` decide on every write of a client, by method and path.
    pub fn judge_writes(&self, judge: impl FnMut(&Method, &str) -> Fate + Send + 'static) {
        *lock(&self.0.judge) = Some(Box::new(judge));
    }

    /// Creates an object at `path`, the path of its collection, as a user who meets no fault.
    pub fn create(&self, path: &str, object: Value) -> Result<Value, Refusal> {
        self.write(path, Write::Create(object))
    }

    /// Changes the object at `path` by a merge patch, as a user who meets no fault.
    pub fn patch(&self, path: &str, change: Value) -> Result<Value, Refusal> {
        self.write(path, Write::Merge(change))
    }

    /// Deletes the object at `path`, as a user who meets no fault. With finalizers it stays, marked.
    pub fn delete(&self, path: &str) -> Result<Value, Refusal> {
        self.write(path, Write::Delete)
    }

    /// The object at `path`.
    pub fn get(&self, path: &str) -> Option<Value> {
        let place = Target::parse(path)?.place()?;
        lock(&self.0.store).get(&place).cloned()
    }

    /// The objects of the collection at `path`, in the order of their names.
    pub fn list(&self, path: &str) -> Vec<Value> {
        let store = lock(&self.0.store);
        let target = Target::parse(path);
        target
            .iter()
            .flat_map(|target| store.list(target).cloned())
            .collect()
    }

    /// Forgets what was before now: a watch that lags behind is answered 410.
    pub fn compact(&self) {
        lock(&self.0.store).compact();
        self.0.changed.send_replace(());
    }

    fn write(&self, path: &str, write: Write) -> Result<Value, Refusal> {
        let target = Target::parse(path).ok_or(Refusal::NOT_FOUND)?;
        let answer = lock(&self.0.store).write(&target, write);
        self.0.changed.send_replace(());
        answer
    }

    async fn serve(self, request: Request<Body>) -> Result<Answer, BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let accept = head.headers.get(header::ACCEPT).map(|value| value.to_str());
        let metadata_only =
            matches!(accept, Some(Ok(accept)) if accept.contains("PartialObjectMetadata"));
        let path = head.uri.path();
        let Some(target) = Target::parse(path) else {
            return Ok(refused(Refusal::NOT_FOUND));
        };
        if query.contains_key("labelSelector") || query.contains_key("fieldSelector") {
            return Ok(refused(Refusal(501, "NotImplemented")));
        }
        if head.method != Method::GET {
            let kind = head
                .headers
                .get(header::CONTENT_TYPE)
                .map(http::HeaderValue::as_bytes);
            let write = Write::of(&head.method, kind.unwrap_or_default(), &body)?;
            // A dry run changes nothing, and so is no effect that a judge could lose.
            if query.contains_key("dryRun") {
                let answer = lock(&self.0.store).rehearse(&target, write);
                return Ok(answer.map_or_else(refused, |object| answered(200, &object)));
            }
            let fate = lock(&self.0.judge)
                .as_mut()
                .map_or(Fate::Answered, |judge| judge(&head.method, path));
            return match fate {
                Fate::Swallowed => pending().await,
                Fate::Refused(code) => Ok(refused(Refusal(code, "InternalError"))),
                Fate::Answered | Fate::Unanswered => {
                    let answer = self.write(path, write);
                    if fate == Fate::Unanswered {
                        return pending().await;
                    }
                    Ok(answer.map_or_else(refused, |object| answered(200, &object)))
                }
            };
        }
        let Some(place) = target.place() else {
            if query
                .get("watch")
                .is_some_and(|watch| watch == "true" || watch == "1")
            {
                return Ok(self.watch(target, &query, metadata_only));
            }
            let store = lock(&self.0.store);
            let items = store
                .list(&target)
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
        let object = store.get(&place).ok_or(Refusal::NOT_FOUND);
        Ok(object.map_or_else(refused, |object| {
            answered(200, &shown(object, metadata_only))
        }))
    }
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

fn refused(refusal: Refusal) -> Answer {
    answered(refusal.0, &refusal.status())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
