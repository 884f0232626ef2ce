//! What was found, and how it is told.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::terminal::{Mark, Paint};

/// Everything that was found, in the order in which it was looked at.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at: `cluster`, a workspace, or namespace and name.
    subject: String,
    /// Which of its sides, in one word.
    check: &'static str,
    verdict: Verdict,
    /// A sentence, without any secret.
    message: String,
    /// What to do: a command, and nothing but the command, where one does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Right,
    Wrong,
    Unknown,
}

impl Findings {
    /// This is as it should be.
    pub fn right(&mut self, subject: &str, check: &'static str, message: impl Into<String>) {
        self.add(subject, check, Verdict::Right, message.into(), None);
    }

    /// This is not, and what to do about it.
    pub fn wrong(
        &mut self,
        subject: &str,
        check: &'static str,
        message: impl Into<String>,
        next: impl Into<String>,
    ) {
        let next = Some(next.into());
        self.add(subject, check, Verdict::Wrong, message.into(), next);
    }

    /// It cannot be told, and what would help.
    pub fn unknown(
        &mut self,
        subject: &str,
        check: &'static str,
        message: impl Into<String>,
        next: impl Into<String>,
    ) {
        let next = Some(next.into());
        self.add(subject, check, Verdict::Unknown, message.into(), next);
    }

    /// Makes whole what is to be typed.
    pub fn complete(&mut self, complete: impl Fn(&str) -> String) {
        for next in self
            .0
            .iter_mut()
            .filter_map(|finding| finding.next.as_mut())
        {
            *next = complete(next);
        }
    }

    /// Whether nothing is wrong. What cannot be told is not wrong.
    pub fn all_well(&self) -> bool {
        self.0
            .iter()
            .all(|finding| finding.verdict != Verdict::Wrong)
    }

    /// Sentences under the heading of what they are about.
    pub fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        let mut subject = "";
        for finding in &self.0 {
            if finding.subject != subject {
                subject = &finding.subject;
                let _ = writeln!(text, "{}", paint.bold(subject));
            }
            let mark = match finding.verdict {
                Verdict::Right => Mark::Good,
                Verdict::Wrong => Mark::Bad,
                Verdict::Unknown => Mark::Unknown,
            };
            let Finding { check, message, .. } = finding;
            let _ = writeln!(text, "  {}: {check}: {message}", paint.mark(mark));
            if let Some(next) = &finding.next {
                let _ = writeln!(text, "      next: {next}");
            }
        }
        text
    }

    /// One object: `{"ok": bool, "findings": [{"subject", "check", "verdict", "message", "next"?}]}`.
    pub fn json(&self) -> String {
        json!({ "ok": self.all_well(), "findings": self.0 }).to_string()
    }

    fn add(
        &mut self,
        subject: &str,
        check: &'static str,
        verdict: Verdict,
        message: String,
        next: Option<String>,
    ) {
        self.0.push(Finding {
            subject: subject.to_owned(),
            check,
            verdict,
            message,
            next,
        });
    }
}
