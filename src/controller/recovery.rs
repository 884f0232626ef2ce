//! Bringing back at once whoever waited for an API that did not work.

use super::context::Context;
use super::key::Key;
use super::outcome::Failure;
use super::queue::Priority;
use super::session::Session;
use super::{pipeline, wake};

/// Takes note of how a pass over a resource failed, if it did, and wakes whoever may have waited for what it was answered.
pub fn heard(context: &Context, session: &Session, key: &Key, failure: Option<&Failure>) {
    session.heard(key, failure);
    wake_recovered(context, session);
}

/// Wakes everybody who waits for the API, where it has answered anybody since it began to ail.
pub fn wake_recovered(context: &Context, session: &Session) {
    for key in session.recovered() {
        if pipeline::is_ours(&key) {
            pipeline::wake::look_again(context, &key, Priority::Retry);
        } else {
            wake::look_again(context, &key, Priority::Retry);
        }
    }
}
