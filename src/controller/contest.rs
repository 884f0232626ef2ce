//! Somebody else writes to the status, which is the operator's alone: a backup that is restored over a living resource, a hand, or
//! a second operator. What this process knows to be true is put back, and who goes on is answered ever more slowly.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use tokio::time::Instant;

use super::backoff::doubled;
use super::index::Key;
use super::{Context, MANAGER};
use crate::crd::EventReason;
use crate::kinds::Resource;
use crate::runtime::events::{EventNote, EventType};

/// Foreign writes that are answered at once: a restore is one or two.
const FORBEARANCE: u32 = 3;
/// The first delay after these; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// After this many somebody has to be told.
const TOLD: u32 = 6;
/// A quiet time that ends a contest.
const PEACE: Duration = Duration::from_mins(10);

/// What was overwritten, and how often that happened.
pub struct Contest {
    /// The resource as our own last write left it, until our next write.
    pub ours: Option<Arc<Resource>>,
    times: u32,
    told: bool,
    last: Instant,
}

impl Default for Contest {
    fn default() -> Self {
        Self {
            ours: None,
            times: 0,
            told: false,
            last: Instant::now(),
        }
    }
}

impl Contest {
    /// Takes note that the status `ours` was overwritten. Returns how long to leave it at that.
    pub fn overwritten(&mut self, ours: Arc<Resource>) -> Duration {
        if self.last.elapsed() > PEACE {
            self.times = 0;
            self.told = false;
        }
        self.last = Instant::now();
        self.times = self.times.saturating_add(1);
        // Overwritten again before it was put back: what was ours is still what it was.
        self.ours.get_or_insert(ours);
        match self.times.saturating_sub(FORBEARANCE) {
            0 => Duration::ZERO,
            further => doubled(FIRST_DELAY, further, LONGEST_DELAY),
        }
    }

    /// Whether it has become worth telling, which is said once.
    pub fn is_news(&mut self) -> bool {
        self.times >= TOLD && !std::mem::replace(&mut self.told, true)
    }
}

/// Tells who it is, as far as the API server knows.
pub async fn tell(context: &Context, key: &Key, resource: &Resource) {
    let api = context.api(resource.kind, &key.namespace);
    let writer = match api.get_metadata(&key.name).await {
        Ok(object) => status_writer(&object.metadata),
        Err(_) => "unknown".to_owned(),
    };
    tracing::warn!(resource = %key, writer, "somebody else keeps writing to the status");
    let note = format!(
        "The status is the operator's alone, and another writer (field manager {writer:?}) keeps changing it. Stop that writer: a \
         second operator for this resource, or a tool that restores its status again and again."
    );
    context.recorder.publish(
        &resource.object_ref(&resource.kind),
        EventNote {
            type_: EventType::Warning,
            reason: EventReason::StatusContested.as_str(),
            action: "WriteStatus",
            note,
        },
    );
}

/// The field manager that wrote to the status last, other than this operator's where there is another.
fn status_writer(meta: &ObjectMeta) -> String {
    let writers = meta.managed_fields.iter().flatten();
    let mut writers: Vec<_> = writers
        .filter(|entry| entry.subresource.as_deref() == Some("status"))
        .collect();
    writers.sort_by_key(|entry| {
        let ours = entry.manager.as_deref() == Some(MANAGER);
        (!ours, entry.time.as_ref().map(|time| time.0))
    });
    let last = writers.last().and_then(|entry| entry.manager.clone());
    last.unwrap_or_else(|| MANAGER.to_owned())
}
