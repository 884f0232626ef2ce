//! A workspace: its sources, as they are stored, and what its next answers depend on.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    check::{Check, CheckScript, timestamp},
    config::{Config, shown},
    rules::{ListOrder, RateLimit, Rules},
};
use crate::wall;

/// A source connector as the service stores it: secrets in clear.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSource {
    /// UUID, hyphenated, lower case.
    pub id: String,
    /// Name, not necessarily unique.
    pub name: String,
    /// `dropbox`, `s3`…
    pub source_type: String,
    /// Exactly what was last stored.
    pub config: Config,
    /// Set once.
    pub created_at: Timestamp,
    /// Moves with every change.
    pub updated_at: Option<Timestamp>,
    /// A workflow refers to it; see [`Rules::delete_in_use`].
    pub in_use: bool,
}

impl StoredSource {
    /// A member of the configuration that is a string, or the empty string.
    pub fn text(&self, member: &str) -> &str {
        self.config
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or("")
    }

    /// Marks a change: later than any before it, even within one tick of the clock.
    pub(super) fn touch(&mut self) {
        let least = self.updated_at.unwrap_or(self.created_at) + SignedDuration::from_micros(1);
        self.updated_at = Some(wall::now().max(least));
    }

    pub(super) fn body(&self, rules: &Rules) -> Value {
        let config = shown(
            &self.source_type,
            &self.config,
            rules.masking,
            rules.fill_defaults,
        );
        let mut body = json!({
            "id": self.id,
            "name": self.name,
            "type": self.source_type,
            "config": config,
            "created_at": timestamp(self.created_at),
            "updated_at": self.updated_at.map(timestamp),
        });
        if rules.extra_fields {
            body["key"] = Value::Null;
        }
        body
    }
}

/// Decides what a new connection check of a source will show.
pub(super) type CheckRule = Box<dyn Fn(&StoredSource) -> CheckScript + Send>;

pub(super) struct Workspace {
    pub(super) sources: Vec<StoredSource>,
    /// By source, oldest first.
    pub(super) checks: HashMap<String, Vec<Check>>,
    pub(super) check_rule: CheckRule,
    /// What lists show instead of the sources, and how many more do.
    stale: Option<(Vec<StoredSource>, u32)>,
    rotation: usize,
    bucket: Option<(f64, Instant)>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            checks: HashMap::new(),
            check_rule: Box::new(|_| CheckScript::success_after(1)),
            stale: None,
            rotation: 0,
            bucket: None,
        }
    }
}

impl Workspace {
    /// Stores a new source and returns its id.
    pub(super) fn create(&mut self, source_type: &str, name: &str, config: Config) -> String {
        let id = wall::uuid().to_string();
        let created_at = wall::now();
        self.sources.push(StoredSource {
            id: id.clone(),
            name: name.to_owned(),
            source_type: source_type.to_owned(),
            config,
            created_at,
            updated_at: Some(created_at + SignedDuration::from_millis(100)),
            in_use: false,
        });
        id
    }

    pub(super) fn source(&mut self, id: &str) -> Option<&mut StoredSource> {
        self.sources.iter_mut().find(|source| source.id == id)
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<StoredSource> {
        let position = self.sources.iter().position(|source| source.id == id)?;
        self.checks.remove(id);
        Some(self.sources.remove(position))
    }

    /// To be called before a write: the next `lag` lists show what is there now.
    pub(super) fn freeze_list(&mut self, lag: u32) {
        if lag > 0 && self.stale.is_none() {
            self.stale = Some((self.sources.clone(), lag));
        }
    }

    pub(super) fn listed(&mut self, order: ListOrder) -> Vec<StoredSource> {
        let mut listed = match &mut self.stale {
            Some((sources, left)) => {
                *left -= 1;
                let sources = sources.clone();
                if *left == 0 {
                    self.stale = None;
                }
                sources
            }
            None => self.sources.clone(),
        };
        if order == ListOrder::Rotating && !listed.is_empty() {
            self.rotation += 1;
            let first = self.rotation % listed.len();
            listed.rotate_left(first);
        }
        listed
    }

    /// Takes a token from the bucket, when there is one.
    pub(super) fn admit(&mut self, limit: &RateLimit) -> bool {
        let now = Instant::now();
        let (tokens, since) = self.bucket.unwrap_or((limit.burst, now));
        let refilled = tokens + now.duration_since(since).as_secs_f64() * limit.per_second;
        let tokens = refilled.min(limit.burst);
        let admitted = tokens >= 1.0;
        self.bucket = Some((tokens - f64::from(u8::from(admitted)), now));
        admitted
    }
}
