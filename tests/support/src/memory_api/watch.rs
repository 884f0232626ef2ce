//! Watches: what happened since a version, then what happens, until their time is over or the server restarts. A version that is
//! forgotten is answered as the real server does it, by an event in a stream that begins well.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::refusal::Refusal;
use super::selector::Selector;
use super::store::Event;
use super::target::Target;
use super::{Answer, MemoryApi, lock, respond, shown};

/// One watch of a client.
struct Watch {
    api: MemoryApi,
    target: Target,
    selector: Selector,
    from: u64,
    life: u64,
}

impl MemoryApi {
    pub(super) fn watch(
        self,
        target: Target,
        query: &BTreeMap<String, String>,
        selector: Selector,
        metadata_only: bool,
    ) -> Answer {
        let number = |name: &str| query.get(name).and_then(|text| text.parse().ok());
        let end = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(300));
        let life = lock(&self.0.store).life;
        let watch = Watch {
            api: self,
            target,
            selector,
            from: number("resourceVersion").unwrap_or_default(),
            life,
        };
        let changes = stream::unfold(Some(watch), move |watch| async move {
            let mut watch = watch?;
            match timeout_at(end, watch.next()).await.ok()? {
                Some(Ok(events)) => {
                    watch.lag().await;
                    watch.from = events.last()?.version;
                    let lines = events
                        .iter()
                        .filter_map(|event| watch.line(event, metadata_only));
                    Some((lines.collect::<Vec<_>>(), Some(watch)))
                }
                Some(Err(refusal)) => {
                    let last = json!({ "type": "ERROR", "object": refusal.status() });
                    Some((vec![last], None))
                }
                None => None,
            }
        });
        let lines = changes
            .flat_map(stream::iter)
            .map(|line| Ok(Frame::data(Bytes::from(format!("{line}\n")))));
        respond(200, StreamBody::new(lines).boxed_unsync())
    }
}

impl Watch {
    /// What has happened is on its way.
    async fn lag(&self) {
        let lag = lock(&self.api.0.lag).clone();
        if let Some(lag) = lag {
            sleep(lag()).await;
        }
    }

    /// Waits for events. `None`: the server was restarted, or the definition is gone.
    async fn next(&self) -> Option<Result<Vec<Event>, Refusal>> {
        loop {
            let changed = self.api.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let store = lock(&self.api.0.store);
                if store.life != self.life {
                    return None;
                }
                match store.since(self.from, &self.target) {
                    Ok(events) if events.is_empty() => {}
                    outcome => return Some(outcome),
                }
                if store.definition_of(&self.target).is_err() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// An event as this watch shows it: what comes into the selection is added, what leaves it is deleted.
    fn line(&self, event: &Event, metadata_only: bool) -> Option<Value> {
        let selects = |labels: &Value| self.selector.selects(labels);
        let now = event.kind != "DELETED" && selects(&event.object["metadata"]["labels"]);
        let before = event.labels_before.as_ref().is_some_and(selects);
        let kind = match (before, now) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(json!({ "type": kind, "object": shown(&event.object, metadata_only) }))
    }
}
