//! What happened, in order: every write on both sides, every step of the actors. Two runs of one seed tell the same story, word by
//! word.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One request that a process sent to Unstructured.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Duration,
    pub by: &'static str,
    pub method: String,
    pub path: String,
    pub status: Option<u16>,
}

/// A judge who sees a request before it takes effect, and says what is wrong with it.
type Judge = Box<dyn Fn(&Sent, &Value) -> Option<String> + Send>;

/// So many writes to Kubernetes are a flood: no run that ends has as many, and one with more might not end today.
const FLOOD: usize = 8_000;

/// The story. Clones share it.
#[derive(Clone)]
pub struct Chronicle(Arc<Mutex<Story>>, Arc<Notify>);

struct Story {
    began: Instant,
    lines: Vec<String>,
    sent: Vec<Sent>,
    violations: Vec<String>,
    judge: Option<Judge>,
    /// When what was written in Kubernetes, events apart.
    written: Vec<(Duration, String)>,
}

impl Chronicle {
    pub fn begin() -> Self {
        let story = Story {
            began: Instant::now(),
            lines: Vec::new(),
            sent: Vec::new(),
            violations: Vec::new(),
            judge: None,
            written: Vec::new(),
        };
        Self(Arc::new(Mutex::new(story)), Arc::default())
    }

    pub fn judge_by(&self, judge: impl Fn(&Sent, &Value) -> Option<String> + Send + 'static) {
        self.0.lock().unwrap().judge = Some(Box::new(judge));
    }

    pub fn tell(&self, what: &str) {
        self.0.lock().unwrap().tell(what);
    }

    /// A write to Kubernetes.
    pub fn kubernetes(&self, by: &str, what: &str) {
        let mut story = self.0.lock().unwrap();
        if !what.contains("/events") {
            let write = (story.began.elapsed(), what.to_owned());
            story.written.push(write);
        }
        if story.written.len() == FLOOD {
            let why = format!("I6: Kubernetes is written to {FLOOD} times, at last {what}");
            story.violations.push(why);
            self.1.notify_one();
        }
        story.tell(&format!("{by}: {what}"));
    }

    /// Waits until a run is not worth going on with.
    pub async fn is_flooded(&self) {
        self.1.notified().await;
    }

    /// A request to Unstructured or Dropbox, as it arrives. Its number.
    pub fn sent(&self, by: &'static str, method: &str, path: &str, body: &[u8]) -> usize {
        let mut story = self.0.lock().unwrap();
        let sent = Sent {
            at: story.began.elapsed(),
            by,
            method: method.to_owned(),
            path: path.to_owned(),
            status: None,
        };
        let body = serde_json::from_slice(body).unwrap_or_default();
        let judge = story.judge.take();
        let verdict = judge.as_ref().and_then(|judge| judge(&sent, &body));
        story.judge = judge;
        story.sent.push(sent);
        if let Some(what) = verdict {
            story.tell(&format!("VIOLATION {what}"));
            story.violations.push(what);
        }
        story.sent.len() - 1
    }

    pub fn answered(&self, number: usize, status: Option<u16>) {
        let mut story = self.0.lock().unwrap();
        story.sent[number].status = status;
        let Sent {
            by, method, path, ..
        } = story.sent[number].clone();
        let status = status.map_or("no answer".to_owned(), |status| status.to_string());
        story.tell(&format!("{by}: {method} {path} {status}"));
    }

    pub fn sent_since(&self, since: Duration) -> Vec<Sent> {
        let story = self.0.lock().unwrap();
        let later = story.sent.iter().filter(|sent| sent.at >= since);
        later.cloned().collect()
    }

    pub fn written(&self) -> Vec<(Duration, String)> {
        self.0.lock().unwrap().written.clone()
    }

    pub fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().began.elapsed()
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    pub fn violations(&self) -> Vec<String> {
        self.0.lock().unwrap().violations.clone()
    }
}

impl Story {
    fn tell(&mut self, what: &str) {
        let mut line = String::new();
        let _ = write!(line, "{:9.3} {what}", self.began.elapsed().as_secs_f64());
        self.lines.push(line);
    }
}
