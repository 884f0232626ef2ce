//! What makes the controller look at a resource: one task for each watch, so that one that fails delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::claims::Claimant;
use super::index::{Key, OURS, Shown, strip};
use super::memory::News;
use super::pass::forget;
use super::queue::Priority;
use super::watched::{Holding, Watched};
use super::{Context, lane_of};
use crate::cluster::{NOT_INSTALLED, is_missing};
use crate::kinds::SourceKind;
use crate::runtime::http::Gate;

/// Follows the resources of one namespace, or of all. `listing` is dropped once they are listed, and `filled` opened once all are.
pub async fn resources<K: SourceKind>(
    context: Arc<Context<K>>,
    namespace: Option<String>,
    filled: Gate,
    listing: mpsc::Sender<()>,
) {
    let mut listing = Some(listing);
    let api: Api<Watched<K>> = scoped(&context, namespace.as_deref());
    let mut config = watcher::Config::default();
    if let Some(selector) = &context.policy.label_selector {
        config = config.labels(selector);
    }
    let mut events = std::pin::pin!(watch("resources", &context, api, config, || {}));
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(watched) => {
                listed.insert(Key::of(&watched));
                see(&context, watched);
            }
            watcher::Event::InitDone => {
                // What vanished between two lists was never announced as deleted.
                for key in context.index.keys(namespace.as_deref()).difference(&listed) {
                    gone(&context, key);
                }
                listed.clear();
                all_listed(&context, &filled, &mut listing);
                tracing::info!(resources = context.index.len(), "the resources are listed");
            }
            watcher::Event::Apply(watched) => see(&context, watched),
            watcher::Event::Delete(watched) => gone(&context, &Key::of(&watched)),
        }
    }
}

/// Follows what all resources hold, those of other shards too: a shard works on its own resources, and takes nothing from others.
pub async fn holdings<K: SourceKind>(
    context: Arc<Context<K>>,
    namespace: Option<String>,
    filled: Gate,
    listing: mpsc::Sender<()>,
) {
    let mut listing = Some(listing);
    let api: Api<Holding<K>> = scoped(&context, namespace.as_deref());
    let mut events = std::pin::pin!(watch(
        "holdings",
        &context,
        api,
        watcher::Config::default(),
        || {}
    ));
    let mut known: BTreeMap<Key, String> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(holding) | watcher::Event::Apply(holding) => {
                let key = Key::of(&holding);
                listed.insert(key.clone());
                known.insert(key, holding.uid().unwrap_or_default());
                hold(&context, &holding);
            }
            watcher::Event::InitDone => {
                known.retain(|key, uid| {
                    let stays = listed.contains(key);
                    if !stays {
                        context.index.claims(|claims| claims.forget(key, uid));
                    }
                    stays
                });
                listed.clear();
                all_listed(&context, &filled, &mut listing);
            }
            watcher::Event::Delete(holding) => {
                let key = Key::of(&holding);
                known.remove(&key);
                let uid = holding.uid().unwrap_or_default();
                context.index.claims(|claims| claims.forget(&key, &uid));
            }
        }
    }
}

/// A watch has listed its objects. The first time it drops `listing`, which tells the work to begin.
fn all_listed<K>(context: &Context<K>, filled: &Gate, listing: &mut Option<mpsc::Sender<()>>) {
    if listing.take().is_some() {
        context.unlisted.listed();
    }
    if context.unlisted.none() {
        filled.open();
    }
}

/// Follows the Secrets of one namespace, or of all, by their metadata only: values are fetched when a pass needs them.
/// `listing` is dropped once they are listed; it is closed once the work has begun.
pub async fn secrets<K: SourceKind>(
    context: Arc<Context<K>>,
    namespace: Option<String>,
    listing: mpsc::Sender<()>,
) {
    let mut listing = Some(listing);
    let api: Api<PartialObjectMeta<Secret>> = scoped(&context, namespace.as_deref());
    let config = watcher::Config::default();
    let failed = {
        let context = context.clone();
        move || context.secret_versions.watch_failed()
    };
    let mut events = std::pin::pin!(watch("secrets", &context, api, config, failed));
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        let since = Instant::now();
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(secret) => listed.push(Key::of(&secret)),
            watcher::Event::InitDone => {
                // Passes may have read these Secrets before they changed for the last time, unless none has read any yet.
                if listing.take().is_none_or(|listing| listing.is_closed()) {
                    for secret in &listed {
                        queue_readers(&context, secret, Priority::Drift, since);
                    }
                }
                listed = Vec::new();
            }
            watcher::Event::Apply(secret) | watcher::Event::Delete(secret) => {
                queue_readers(&context, &Key::of(&secret), Priority::Changed, since);
            }
        }
    }
}

/// How often the file with the operator's own key is read again. Mounted Secrets change without any event that can be trusted.
const KEY_FILE_INTERVAL: Duration = Duration::from_secs(5);

/// Follows the file that holds the operator's own API key.
pub async fn key_file<K: SourceKind>(context: Arc<Context<K>>) {
    loop {
        tokio::time::sleep(KEY_FILE_INTERVAL).await;
        match context.own_key.refresh(&context.policy.api_url) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the operator's API key changed");
                let since = Instant::now();
                let mut concerned = Vec::new();
                context.index.for_each(|key, resource| {
                    if resource.options().workspace.is_none() {
                        concerned.push((key.clone(), lane_of(resource)));
                    }
                });
                for (key, lane) in concerned {
                    context.queue.add(&key, lane, Priority::Changed, since);
                }
            }
            Err(error) => tracing::warn!("{error}; the key read before stays in use"),
        }
    }
}

fn scoped<K, T>(context: &Context<K>, namespace: Option<&str>) -> Api<T>
where
    T: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    }
}

/// A watch that fails is tried again after a time between the first and the second of these. The longest is short: until it works
/// again nothing new is seen, and one request in that time is no burden.
const WATCH_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A watch that goes on for ever: errors are counted, logged by their kind, told to `failed`, and waited out.
fn watch<K, T>(
    name: &'static str,
    context: &Arc<Context<K>>,
    api: Api<T>,
    config: watcher::Config,
    failed: impl Fn(),
) -> impl Stream<Item = watcher::Event<T>>
where
    K: SourceKind,
    T: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    T::DynamicType: Default,
{
    let context = context.clone();
    let (shortest, longest) = WATCH_BACKOFF;
    let backoff = ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times();
    let backoff = ExponentialBackoff::from(backoff);
    // What goes on is said once.
    let mut said = None;
    watcher(api, config)
        .backoff(backoff)
        .filter_map(move |event| {
            let event = match event {
                Ok(event) => {
                    // A list begins before it fails.
                    if !matches!(event, watcher::Event::Init) {
                        said = None;
                    }
                    Some(event)
                }
                Err(error) => {
                    context.metrics.watch_failed(name);
                    failed();
                    let error = describe(&error);
                    if said.as_ref() != Some(&error) {
                        tracing::warn!(
                            watch = name,
                            error,
                            "a watch failed; trying again until it works"
                        );
                        said = Some(error);
                    }
                    None
                }
            };
            futures::future::ready(event)
        })
}

fn describe(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)
            if is_missing(error) =>
        {
            NOT_INSTALLED.to_owned()
        }
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => {
            format!("{} ({})", status.reason, status.code)
        }
        watcher::Error::WatchError(status) => format!("{} ({})", status.reason, status.code),
        _ => "the Kubernetes API cannot be reached".to_owned(),
    }
}

fn see<K: SourceKind>(context: &Context<K>, watched: Watched<K>) {
    let mut resource = match watched {
        Watched::Readable(resource) => resource,
        Watched::Unreadable(holding) => return set_aside(context, &holding),
    };
    strip(resource.meta_mut());
    let resource = Arc::new(resource);
    let key = Key::of(&*resource);
    let Shown { before, loser } = context.index.apply(resource.clone());
    if let Some(loser) = loser {
        look_again(context, &loser, Priority::Changed);
    }
    let news = context
        .memories
        .take_note(&key, before.as_ref(), &*resource, context.has_settled());
    let matters = before
        .as_deref()
        .is_none_or(|before| matters(before, &resource, news));
    if !matters {
        return;
    }
    // A resource that was settled when it was last seen only has to be compared.
    let settled = before.is_none() && is_settled(&*resource);
    let priority = if settled {
        Priority::Drift
    } else {
        Priority::Changed
    };
    let lane = lane_of(&*resource);
    match news {
        News::Overwritten(delay) if !delay.is_zero() => {
            context.queue.add_after(&key, lane, priority, delay);
        }
        _ => context.queue.add(&key, lane, priority, Instant::now()),
    }
}

/// A resource that does not fit the operator's types is not worked on, and keeps what it holds.
fn set_aside<K: SourceKind>(context: &Context<K>, holding: &Holding<K>) {
    let key = Key::of(holding);
    tracing::error!(
        resource = %key,
        "a resource cannot be read: it does not fit the installed definition; apply the definition of this release"
    );
    hold(context, holding);
    context.index.remove(&key, false);
    context.queue.forget(&key);
}

fn hold<K: SourceKind>(context: &Context<K>, holding: &Holding<K>) {
    let Some(id) = holding.connector else {
        return;
    };
    let who = Claimant::of(holding);
    let claim = context.index.claims(|claims| claims.recorded(&who, id));
    if let Ok(Some(loser)) = claim {
        look_again(context, &loser, Priority::Changed);
    }
}

/// Asks for a pass over a resource, if there is such a one here.
pub fn look_again<K: SourceKind>(context: &Context<K>, key: &Key, priority: Priority) {
    if let Some(resource) = context.index.get(key) {
        let lane = lane_of(&*resource);
        context.queue.add(key, lane, priority, Instant::now());
    }
}

fn is_settled<K: SourceKind>(resource: &K) -> bool {
    let observed = resource
        .status()
        .is_some_and(|status| Some(status.observed_generation) == resource.meta().generation);
    observed && resource.meta().deletion_timestamp.is_none()
}

/// Whether a change is one that the operator has to look at: not its own writes, and no bookkeeping of others. A status that
/// somebody else wrote is put right, even one that the watch has shown before: it may have left out what came between.
fn matters<K: SourceKind>(before: &K, after: &K, news: News) -> bool {
    let (old, new) = (before.meta(), after.meta());
    let annotation =
        |name: &&str| before.annotations().get(*name) != after.annotations().get(*name);
    old.uid != new.uid
        || old.generation != new.generation
        || old.deletion_timestamp != new.deletion_timestamp
        || matches!(news, News::Overwritten(_))
        || (news == News::Foreign
            && (old.finalizers != new.finalizers || before.status() != after.status()))
        || OURS.iter().any(annotation)
}

fn gone<K: SourceKind>(context: &Context<K>, key: &Key) {
    // Of a resource that only left the shard, others say what it holds.
    let told_here = context.policy.label_selector.is_none();
    context.index.remove(key, told_here);
    forget(context, key);
    context.queue.forget(key);
}

/// Asks for passes over the resources that read a Secret.
pub(super) fn queue_readers<K: SourceKind>(
    context: &Context<K>,
    secret: &Key,
    priority: Priority,
    since: Instant,
) {
    for key in context.index.readers(secret) {
        if let Some(resource) = context.index.get(&key) {
            context
                .queue
                .add(&key, lane_of(&*resource), priority, since);
        }
    }
}
