//! Secrets while nobody tells of their changes: the watch is not allowed, or fails. Their versions are then compared at every sync
//! interval with those that the passes read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::iter;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::Context;
use super::index::SecretKey;
use super::queue::Priority;
use super::triggers::queue_readers;

/// Requests for versions under way at once.
const AT_ONCE: usize = 4;

/// The version of each Secret as a pass read it last, `None` where there was none, and when the watch failed last.
#[derive(Default)]
pub struct SecretVersions(Mutex<State>);

#[derive(Default)]
struct State {
    read: HashMap<SecretKey, Option<String>>,
    watch_failed: Option<Instant>,
}

impl SecretVersions {
    /// Takes note of what a pass has read.
    pub fn read(&self, secret: SecretKey, version: Option<String>) {
        self.lock().read.insert(secret, version);
    }

    /// Takes note that the watch failed.
    pub fn watch_failed(&self) {
        self.lock().watch_failed = Some(Instant::now());
    }

    /// Forgets the Secrets that nobody uses.
    fn keep(&self, used: &HashSet<SecretKey>) {
        self.lock().read.retain(|secret, _| used.contains(secret));
    }

    /// Whether the watch failed since then.
    fn failed_since(&self, then: Instant) -> bool {
        self.lock().watch_failed.is_some_and(|at| at >= then)
    }

    /// Whether a pass has read another version than this one.
    fn is_news(&self, secret: &SecretKey, version: Option<&str>) -> bool {
        let state = self.lock();
        let read = state.read.get(secret);
        read.is_some_and(|read| read.as_deref() != version)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the Secrets in use after every sync interval in which the watch failed. One that works again makes up for what it missed.
pub async fn follow(context: Arc<Context>) {
    loop {
        let before = Instant::now();
        tokio::time::sleep(context.policy.sync_interval).await;
        let used = context.index.secrets();
        context.secret_versions.keep(&used);
        if context.secret_versions.failed_since(before) {
            compare(&context, used).await;
        }
    }
}

async fn compare(context: &Context, used: HashSet<SecretKey>) {
    tracing::debug!(
        secrets = used.len(),
        "the watch on Secrets fails; comparing their versions"
    );
    let looks = iter(used).map(|secret| look(context, secret));
    looks.buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn look(context: &Context, secret: SecretKey) {
    let since = Instant::now();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &secret.namespace);
    // What cannot be read is looked at again after another interval.
    let Ok(found) = secrets.get_metadata_opt(&secret.name).await else {
        return;
    };
    let version = found.and_then(|found| found.resource_version());
    if context.secret_versions.is_news(&secret, version.as_deref()) {
        queue_readers(context, &secret, Priority::Changed, since);
    }
}
