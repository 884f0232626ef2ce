//! Watches what everybody could see: every version of every resource of a namespace, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::Api;
use kube::api::DynamicObject;
use kube::runtime::watcher;
use tokio::task::JoinHandle;

/// Says what is wrong with versions of resources that follow each other without a gap; says nothing when all is well.
pub type Judge = fn(&[DynamicObject]) -> Vec<String>;

/// Versions in order, none of them missed.
type Stretch = Vec<DynamicObject>;

/// Sees every version while the test's runtime runs, and hands them to a judge in the end.
pub struct Witness {
    seen: Arc<Mutex<Vec<Stretch>>>,
    task: JoinHandle<()>,
}

impl Witness {
    /// Begins to watch.
    pub fn of(resources: Api<DynamicObject>) -> Self {
        let seen: Arc<Mutex<Vec<Stretch>>> = Arc::default();
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(resources, watcher::Config::default()));
            while let Some(event) = events.next().await {
                match event {
                    // Whatever was written since the last watch ended was missed.
                    Ok(watcher::Event::Init) => lock(&log).push(Stretch::new()),
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        if let Some(stretch) = lock(&log).last_mut() {
                            stretch.push(object);
                        }
                    }
                    Ok(_) | Err(_) => {}
                }
            }
        });
        Self { seen, task }
    }

    /// Every version so far, oldest first.
    pub fn versions(&self) -> Vec<DynamicObject> {
        lock(&self.seen).concat()
    }

    /// What the judge says of every stretch.
    pub fn judged_by(&self, judge: Judge) -> Vec<String> {
        lock(&self.seen)
            .iter()
            .flat_map(|stretch| judge(stretch))
            .collect()
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
