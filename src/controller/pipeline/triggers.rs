//! What makes the controller look at a workflow or a job.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::super::context::Context;
use super::super::listing::Listing;
use super::super::wake;
use super::super::watching::watch;
use super::catalogue::Cached;
use super::object::Object;
use super::wake::{jobs_look_again, lane_of, look_again};
use crate::crd::{FOLLOWED_UNTIL, RUN_AT, UnstructuredJob, UnstructuredWorkflow};
use crate::engine::index::OURS;
use crate::engine::key::Key;
use crate::engine::queue::Priority;

/// Follows the workflows of one namespace, or of all.
pub async fn workflows(context: Arc<Context>, namespace: Option<String>, listing: Listing) {
    follow::<UnstructuredWorkflow>(context, namespace, listing, |context, before, workflow| {
        let key = workflow.key();
        if before.is_none_or(|before| asked(before) != asked(workflow)) {
            see(context, &key, before.is_none());
        }
        if before.is_some_and(|before| before.spec != workflow.spec) {
            wake_connectors(context, &key.namespace);
        }
        // Its jobs wait for it to be ready, and must not go on without it.
        jobs_look_again(context, &key);
    })
    .await;
}

/// Follows the jobs of one namespace, or of all.
pub async fn jobs(context: Arc<Context>, namespace: Option<String>, listing: Listing) {
    follow::<UnstructuredJob>(context, namespace, listing, |context, before, job| {
        let key = job.key();
        if before.is_none_or(|before| asked(before) != asked(job)) {
            see(context, &key, before.is_none());
        }
        let phase = |job: &UnstructuredJob| job.status().map(|status| status.phase);
        if before.and_then(phase) != phase(job) {
            let workflow = Key::new(
                UnstructuredWorkflow::KIND,
                &key.namespace,
                &job.spec.workflow_ref.name,
            );
            // Others wait for its run to end.
            for other in context.catalogue.jobs_of(&workflow) {
                let waits = other
                    .status()
                    .is_some_and(|status| !status.phase.is_final());
                if other.uid() != job.uid() && waits {
                    look_again(context, &other.key(), Priority::Changed);
                }
            }
        }
    })
    .await;
}

async fn follow<K: Cached>(
    context: Arc<Context>,
    namespace: Option<String>,
    listing: Listing,
    seen: impl Fn(&Context, Option<&K>, &K),
) {
    let api: Api<K> = match &namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let mut config = watcher::Config::default();
    if let Some(selector) = &context.policy.label_selector {
        config = config.labels(selector);
    }
    let failed = |error: &watcher::Error| listing.failed(error);
    let mut events = std::pin::pin!(watch("resources", K::KIND, &context, api, config, failed));
    let cache = K::cache(&context.catalogue);
    let (mut listed, mut asked) = (BTreeSet::new(), None);
    while let Some(event) = events.next().await {
        match event {
            watcher::Event::Init => {
                listed.clear();
                asked = Some(Instant::now());
            }
            watcher::Event::InitApply(object) => {
                listed.insert(object.key());
                apply(&context, object, asked, &seen);
            }
            watcher::Event::Apply(object) => apply(&context, object, None, &seen),
            watcher::Event::InitDone => {
                for key in cache.keys(namespace.as_deref()).difference(&listed) {
                    cache.remove(key);
                    context.queue.forget(key);
                }
                listed.clear();
                listing.is_done();
            }
            watcher::Event::Delete(object) => {
                let key = object.key();
                cache.remove(&key);
                context.queue.forget(&key);
                gone(&context, &object);
            }
        }
    }
}

fn apply<K: Cached>(
    context: &Context,
    mut object: K,
    listed: Option<Instant>,
    seen: &impl Fn(&Context, Option<&K>, &K),
) {
    object.meta_mut().managed_fields = None;
    let shown = object.clone();
    let before = K::cache(&context.catalogue).apply(object, listed);
    seen(context, before.as_deref(), &shown);
}

/// Whoever is concerned by it looks again.
fn gone<K: Object>(context: &Context, object: &K) {
    let key = object.key();
    for job in context.catalogue.jobs_of(&key) {
        look_again(context, &job.key(), Priority::Changed);
    }
    wake_connectors(context, &key.namespace);
}

/// Connectors that are being deleted may wait for a workflow.
fn wake_connectors(context: &Context, namespace: &str) {
    for connector in waiting_connectors(context, namespace) {
        wake::look_again(context, &connector, Priority::Changed);
    }
}

/// The connectors of a namespace that are being deleted, which may wait for a workflow.
fn waiting_connectors(context: &Context, namespace: &str) -> Vec<Key> {
    let mut waiting = Vec::new();
    context.index.for_each(|key, resource| {
        if *key.namespace == *namespace && resource.metadata.deletion_timestamp.is_some() {
            waiting.push(key.clone());
        }
    });
    waiting
}

fn see(context: &Context, key: &Key, is_new: bool) {
    let priority = if is_new {
        Priority::Retry
    } else {
        Priority::Changed
    };
    context
        .queue
        .add(key, lane_of(key), priority, Instant::now());
}

/// What a pass is made for.
fn asked<K: Object>(object: &K) -> impl PartialEq + use<K> {
    let meta = object.meta();
    let ours: Vec<_> = OURS
        .iter()
        .chain([&RUN_AT])
        .map(|name| object.annotations().get(*name).cloned())
        .collect();
    (
        meta.uid.clone(),
        meta.generation,
        meta.deletion_timestamp.clone(),
        object.is_finalized(),
        // Not its value, which is renewed again and again.
        object.annotations().contains_key(FOLLOWED_UNTIL),
        ours,
    )
}
