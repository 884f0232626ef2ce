//! Watches: what happened since a version, then what happens, until their time is over.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::store::{Event, Target};
use super::{Answer, MemoryApi, lock, refused, respond, shown};

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
        if let Err(expired) = lock(&self.0.store).since(from, &target) {
            return refused(expired);
        }
        let changes = stream::unfold(
            (self, target, from),
            move |(api, target, from)| async move {
                let events = timeout_at(end, api.after(from, &target)).await.ok()?;
                let last = events.last()?.version;
                Some((events, (api, target, last)))
            },
        );
        let lines = changes.flat_map(stream::iter).map(move |event| {
            let line = json!({ "type": event.kind, "object": shown(&event.object, metadata_only) });
            Ok(Frame::data(Bytes::from(format!("{line}\n"))))
        });
        respond(200, StreamBody::new(lines).boxed_unsync())
    }

    /// Waits for events. None at all means that they are forgotten already; the client then begins anew.
    async fn after(&self, version: u64, target: &Target) -> Vec<Event> {
        let mut changed = self.0.changed.subscribe();
        loop {
            match lock(&self.0.store).since(version, target) {
                Ok(events) if events.is_empty() => {}
                outcome => return outcome.unwrap_or_default(),
            }
            // The sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }
}
