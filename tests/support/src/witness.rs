//! Watches what everybody could see: every version of every resource of a namespace, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use tokio::task::JoinHandle;

/// Says what is wrong with the versions of the resources, oldest first; says nothing when all is well.
pub type Judge = fn(&[DynamicObject]) -> Vec<String>;

/// Sees every version while the test's runtime runs, and hands them to a judge in the end.
pub struct Witness {
    seen: Arc<Mutex<Vec<DynamicObject>>>,
    task: JoinHandle<()>,
}

impl Witness {
    /// Begins to watch.
    pub fn of(resources: Api<DynamicObject>) -> Self {
        let seen: Arc<Mutex<Vec<DynamicObject>>> = Arc::default();
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(resources, watcher::Config::default()));
            while let Some(event) = events.next().await {
                if let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event
                {
                    lock(&log).push(object);
                }
            }
        });
        Self { seen, task }
    }

    /// Every version so far, oldest first.
    pub fn versions(&self) -> Vec<DynamicObject> {
        lock(&self.seen).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
