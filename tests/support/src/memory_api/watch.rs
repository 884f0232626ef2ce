//! Watches: what happened since a version, then what happens, until their time is over. A version that is forgotten is answered
//! as the real server does it, by an event in a stream that begins well.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::store::{Event, Refusal, Target};
use super::{Answer, MemoryApi, lock, respond, shown};

impl MemoryApi {
    pub(super) fn watch(
        self,
        target: Target,
        query: &BTreeMap<String, String>,
        metadata_only: bool,
    ) -> Answer {
        let number = |name: &str| query.get(name).and_then(|text| text.parse().ok());
        let from = number("resourceVersion").unwrap_or_default();
        let end = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(300));
        let changes = stream::unfold(Some((self, target, from)), move |state| async move {
            let (api, target, from) = state?;
            match timeout_at(end, api.after(from, &target)).await.ok()? {
                Ok(events) => {
                    let last = events.last()?.version;
                    let lines = events.iter().map(|event| {
                        let object = shown(&event.object, metadata_only);
                        json!({ "type": event.kind, "object": object })
                    });
                    Some((lines.collect::<Vec<_>>(), Some((api, target, last))))
                }
                Err(refusal) => {
                    let line = json!({ "type": "ERROR", "object": refusal.status() });
                    Some((vec![line], None))
                }
            }
        });
        let lines = changes
            .flat_map(stream::iter)
            .map(|line| Ok(Frame::data(Bytes::from(format!("{line}\n")))));
        respond(200, StreamBody::new(lines).boxed_unsync())
    }

    /// Waits for events.
    async fn after(&self, version: u64, target: &Target) -> Result<Vec<Event>, Refusal> {
        let mut changed = self.0.changed.subscribe();
        loop {
            match lock(&self.0.store).since(version, target) {
                Ok(events) if events.is_empty() => {}
                outcome => return outcome,
            }
            // The sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }
}
