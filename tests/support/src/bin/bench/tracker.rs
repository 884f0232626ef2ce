//! Follows the resources of a run, as any user could.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use support::stage::condition;
use tokio::task::JoinHandle;

/// Nothing on a machine however busy should take longer.
const PATIENCE: Duration = Duration::from_mins(20);

/// Sees when objects are Ready, or whatever they are to become, and when they go.
pub struct Tracker {
    ready: Arc<Mutex<HashMap<String, bool>>>,
    task: JoinHandle<()>,
}

impl Tracker {
    /// Begins to watch objects, each of which is to become so.
    pub fn of(objects: Api<DynamicObject>, is_so: fn(&DynamicObject) -> bool) -> Self {
        let ready: Arc<Mutex<HashMap<String, bool>>> = Arc::default();
        let seen = Arc::clone(&ready);
        let task = tokio::spawn(async move {
            let watch = watcher(objects, watcher::Config::default()).default_backoff();
            let mut events = std::pin::pin!(watch);
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        lock(&seen).insert(object.name_any(), is_so(&object));
                    }
                    Ok(watcher::Event::Delete(object)) => {
                        lock(&seen).remove(&object.name_any());
                    }
                    Ok(watcher::Event::Init) => lock(&seen).clear(),
                    Ok(watcher::Event::InitDone) | Err(_) => {}
                }
            }
        });
        Self { ready, task }
    }

    /// Waits until this many resources are Ready.
    pub async fn until_ready(&self, count: usize) -> Result<()> {
        let ready = || lock(&self.ready).values().filter(|ready| **ready).count();
        wait(&format!("{count} resources are Ready"), || ready() >= count).await
    }

    /// Waits until this resource is Ready.
    pub async fn until_this_is_ready(&self, name: &str) -> Result<()> {
        let ready = || lock(&self.ready).get(name) == Some(&true);
        wait(&format!("{name} is Ready"), ready).await
    }

    /// Waits until no resource is left.
    pub async fn until_empty(&self) -> Result<()> {
        wait("no resource is left", || lock(&self.ready).is_empty()).await
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until something is so.
pub async fn wait(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            bail!("given up after {PATIENCE:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Whether it is Ready as it was last changed.
pub fn is_ready(object: &DynamicObject) -> bool {
    let observed = object.data["status"]["observedGeneration"].as_i64();
    observed == object.metadata.generation
        && condition(object, "Ready").is_some_and(|ready| ready["status"] == "True")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
