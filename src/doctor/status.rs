//! What the operator says of a resource.

use super::findings::Findings;
use super::patient::Patient;
use crate::scrub::one_line;

const CHECK: &str = "status";

impl Patient<'_> {
    /// Examines what the operator says of it.
    pub fn status(&self, findings: &mut Findings) {
        if self.is_observed(findings) {
            let subject = self.subject();
            if self.is("Ready") {
                findings.right(&subject, CHECK, "the operator says Ready");
            } else if self.is("Reconciling") {
                findings.unknown(&subject, CHECK, self.said(), self.wait());
            } else {
                findings.wrong(&subject, CHECK, self.said(), self.cure());
            }
        }
        if self.suspend {
            findings.unknown(
                &self.subject(),
                "suspend",
                "spec.suspend is set: the operator changes nothing for this resource until it is unset",
                self.set("suspend", "false"),
            );
        }
    }

    /// Whether the operator speaks of the resource as it is now, and stays; tells it if not.
    pub fn is_observed(&self, findings: &mut Findings) -> bool {
        let subject = self.subject();
        if self.metadata.deletion_timestamp.is_some() {
            let message = format!("the resource is being deleted; {}", self.said());
            findings.unknown(&subject, CHECK, message, self.show());
            return false;
        }
        if self.observed.is_none() || self.observed != self.metadata.generation {
            let message = "the operator has not looked at this resource as it is now: it does not run, or does not watch this \
                           namespace or these labels";
            findings.wrong(&subject, CHECK, message, self.wait());
            return false;
        }
        true
    }

    /// What the operator says of it, in a sentence.
    pub fn said(&self) -> String {
        self.condition("Ready").map_or_else(
            || "the operator has not said anything yet".to_owned(),
            |ready| {
                let (reason, message) = (one_line(&ready.reason), one_line(&ready.message));
                format!("the operator says {reason}: {message}")
            },
        )
    }

    /// Why it is as it is, in the operator's word.
    pub fn reason(&self) -> &str {
        self.condition("Ready").map_or("", |ready| &ready.reason)
    }
}
