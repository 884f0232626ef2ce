//! What makes the controller look at a resource: one task for each watch, so that one that fails delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connector::memory::News;
use super::connector::recall::{self, Writer};
use super::context::Context;
use super::listing::{Listing, has_nothing};
use super::pipeline::wake::connector_changed;
use super::wake::{forget, lane_of, look_again, queue_readers, secrets_in_use};
use super::watching::watch;
use crate::engine::claims::Claimant;
use crate::engine::index::{OURS, Shown, strip};
use crate::engine::key::{Key, SecretKey};
use crate::engine::queue::Priority;
use crate::kinds::{Holding, Kind, Resource};

/// Follows the resources of one kind in one namespace, or in all.
pub async fn resources(
    context: Arc<Context>,
    kind: &'static Kind,
    namespace: Option<String>,
    listing: Listing,
) {
    let api = objects(&context, kind, namespace.as_deref());
    let mut config = watcher::Config::default();
    if let Some(selector) = &context.policy.label_selector {
        config = config.labels(selector);
    }
    let failed = |error: &watcher::Error| listing.failed(error);
    let mut events = std::pin::pin!(watch("resources", kind.name, &context, api, config, failed));
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(object) => {
                listed.insert(Key::of(kind, &object.metadata));
                see(&context, kind, object);
            }
            watcher::Event::InitDone => {
                // What vanished between two lists was never announced as deleted.
                let known = context.index.keys(kind, namespace.as_deref());
                for key in known.difference(&listed) {
                    gone(&context, key);
                }
                tracing::info!(
                    kind = kind.name,
                    resources = listed.len(),
                    "listed the resources"
                );
                listed.clear();
                listing.is_done();
            }
            watcher::Event::Apply(object) => see(&context, kind, object),
            watcher::Event::Delete(object) => gone(&context, &Key::of(kind, &object.metadata)),
        }
    }
}

/// Follows what all resources of one kind hold, those of other shards too: a shard works on its own resources, and takes nothing from
/// others.
pub async fn holdings(
    context: Arc<Context>,
    kind: &'static Kind,
    namespace: Option<String>,
    listing: Listing,
) {
    let api = objects(&context, kind, namespace.as_deref());
    let failed = |error: &watcher::Error| listing.failed(error);
    let config = watcher::Config::default();
    let mut events = std::pin::pin!(watch("holdings", kind.name, &context, api, config, failed));
    let mut known: BTreeMap<Key, String> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                let key = Key::of(kind, &object.metadata);
                listed.insert(key.clone());
                let uid = object.uid().unwrap_or_default();
                context.index.seen_in_a_shard(&key, &uid);
                known.insert(key, uid);
                hold(&context, &kind.holding(object));
            }
            watcher::Event::InitDone => {
                known.retain(|key, uid| {
                    let stays = listed.contains(key);
                    if !stays {
                        context.index.gone_from_all_shards(key, uid);
                    }
                    stays
                });
                listed.clear();
                listing.is_done();
            }
            watcher::Event::Delete(object) => {
                let key = Key::of(kind, &object.metadata);
                known.remove(&key);
                let uid = object.uid().unwrap_or_default();
                context.index.gone_from_all_shards(&key, &uid);
            }
        }
    }
}

/// Follows the Secrets of one namespace, or of all, by their metadata only: values are fetched when a pass needs them.
/// `listing` is dropped once they are listed, or there are none to list; it is closed once the work has begun.
pub async fn secrets(context: Arc<Context>, namespace: Option<String>, listing: mpsc::Sender<()>) {
    let listing = Mutex::new(Some(listing));
    let listed = || {
        listing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    };
    let api: Api<PartialObjectMeta<Secret>> = match &namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let config = watcher::Config::default();
    let failed = |error: &watcher::Error| {
        context.secret_versions.watch_failed();
        let nothing = has_nothing(&context, namespace.as_deref(), error);
        async {
            if nothing.await {
                listed();
            }
        }
    };
    let mut events = std::pin::pin!(watch("secrets", "Secret", &context, api, config, failed));
    while let Some(event) = events.next().await {
        let since = Instant::now();
        match event {
            // Most Secrets are none of ours, and there may be very many.
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
            watcher::Event::InitDone => {
                // Passes may have read Secrets before they changed or went for the last time, unless none has read any yet.
                if listed().is_none_or(|listing| listing.is_closed()) {
                    let is_here = |secret: &SecretKey| {
                        let here = namespace.as_deref();
                        here.is_none_or(|here| *here == *secret.namespace)
                    };
                    for secret in secrets_in_use(&context).iter().filter(|s| is_here(s)) {
                        queue_readers(&context, secret, Priority::Drift, since);
                    }
                }
            }
            watcher::Event::Apply(secret) | watcher::Event::Delete(secret) => {
                queue_readers(
                    &context,
                    &SecretKey::of(&secret.metadata),
                    Priority::Changed,
                    since,
                );
            }
        }
    }
}

/// How often the file with the operator's own key is read again. Mounted Secrets change without any event that can be trusted.
const KEY_FILE_INTERVAL: Duration = Duration::from_secs(5);

/// Follows the file that holds the operator's own API key.
pub async fn key_file(context: Arc<Context>) {
    loop {
        tokio::time::sleep(KEY_FILE_INTERVAL).await;
        match context.own_key.refresh(&context.policy.api_url) {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!("the operator's API key changed");
                let since = Instant::now();
                let mut concerned = Vec::new();
                context.index.for_each(|key, resource| {
                    if resource.spec.options().workspace.is_none() {
                        concerned.push((key.clone(), lane_of(resource)));
                    }
                });
                for (key, lane) in concerned {
                    context.queue.add(&key, lane, Priority::Changed, since);
                }
            }
            Err(error) => tracing::warn!("{error}; keeping the previous key"),
        }
    }
}

fn objects(context: &Context, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => context.api(kind, namespace),
        None => Api::all_with(context.client.clone(), &kind.api_resource()),
    }
}

fn see(context: &Context, kind: &'static Kind, object: DynamicObject) {
    let mut resource = match kind.read(object) {
        Ok(resource) => resource,
        Err(holding) => return set_aside(context, &holding),
    };
    strip(&mut resource.metadata);
    let resource = Arc::new(resource);
    let key = resource.key();
    let Shown { before, loser } = context.index.apply(resource.clone());
    if let Some(loser) = loser {
        look_again(context, &loser, Priority::Changed);
    }
    connector_changed(context, &key);
    let news = context
        .memories
        .take_note(&key, before.as_ref(), &resource, context.has_settled());
    let matters = before
        .as_deref()
        .is_none_or(|before| matters(before, &resource, news));
    if !matters {
        return;
    }
    // A resource that was settled when it was last seen only has to be compared.
    let settled = before.is_none() && is_settled(&resource);
    let priority = if settled {
        Priority::Drift
    } else {
        Priority::Changed
    };
    let lane = lane_of(&resource);
    match news {
        News::Overwritten(delay) if !delay.is_zero() => {
            context.queue.add_after(&key, lane, priority, delay);
        }
        _ => context.queue.add(&key, lane, priority, Instant::now()),
    }
}

/// A resource that does not fit the operator's types is not worked on, and keeps what it holds.
fn set_aside(context: &Context, holding: &Holding) {
    let key = Key::of(holding.kind, &holding.metadata);
    tracing::error!(
        resource = %key,
        "cannot read a resource: it does not match the CRD; apply the CRD of this release"
    );
    hold(context, holding);
    context.index.set_aside(&key);
    context.queue.forget(&key);
}

fn hold(context: &Context, holding: &Holding) {
    let Some(id) = holding.connector else {
        return;
    };
    let who = Claimant::of_object(holding.kind, &holding.metadata);
    let claim = context.index.claims(|claims| claims.recorded(&who, id));
    if let Ok(Some(loser)) = claim {
        look_again(context, &loser, Priority::Changed);
    }
}

fn is_settled(resource: &Resource) -> bool {
    let observed = resource
        .status()
        .is_some_and(|status| Some(status.observed_generation) == resource.metadata.generation);
    observed && resource.metadata.deletion_timestamp.is_none()
}

/// [`recall::matters`], of two versions of a resource.
fn matters(before: &Resource, after: &Resource, news: News) -> bool {
    let recorded = (
        (&before.metadata.finalizers, before.status()),
        (&after.metadata.finalizers, after.status()),
    );
    let writer = match news {
        News::Own => Writer::Us,
        News::Foreign => Writer::Another,
        News::Overwritten(_) => Writer::Overwriter,
    };
    recall::matters(&(asked(before), asked(after)), &recorded, writer)
}

/// What a pass is made for.
fn asked(resource: &Resource) -> impl PartialEq {
    let meta = &resource.metadata;
    (
        meta.uid.as_deref(),
        meta.generation,
        meta.deletion_timestamp.as_ref(),
        OURS.map(|name| resource.annotations().get(name)),
    )
}

fn gone(context: &Context, key: &Key) {
    connector_changed(context, key);
    context.index.remove(key);
    forget(context, key);
    context.queue.forget(key);
}
