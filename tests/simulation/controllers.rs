//! The controllers of a cluster that tidy up behind its users: they empty namespaces and definitions that go, and collect garbage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use support::memory_api::MemoryApi;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::ground::{DEFINITION, NAMESPACES};
use super::weather::hits;

/// What the controllers of a cluster do now and then, in an order of their own.
pub async fn tidy_up(clusters: BTreeMap<&'static str, MemoryApi>, going: Arc<Notify>) {
    loop {
        let waits = clusters.values().any(MemoryApi::waits_to_go);
        if !waits {
            going.notified().await;
        }
        sleep(Duration::from_millis(fastrand::u64(1_000..4_000))).await;
        for kubernetes in clusters.values() {
            for namespace in NAMESPACES {
                let path = format!("/api/v1/namespaces/{namespace}");
                if kubernetes.is_going(&path) {
                    delete_some(kubernetes, kubernetes.contents(namespace));
                    kubernetes.let_go(&path);
                }
            }
            if kubernetes.is_going(DEFINITION) {
                delete_some(
                    kubernetes,
                    kubernetes.instances("dropboxsources.connectors.unstructured.io"),
                );
                kubernetes.let_go(DEFINITION);
            }
            if hits(40) {
                kubernetes.collect_garbage();
            }
        }
    }
}

/// Most of what is there, in any order.
fn delete_some(kubernetes: &MemoryApi, mut paths: Vec<String>) {
    fastrand::shuffle(&mut paths);
    for path in paths {
        if hits(70) {
            let _ = kubernetes.delete(&path);
        }
    }
}
