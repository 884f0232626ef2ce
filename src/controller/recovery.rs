//! Bringing back at once whoever waited for an API that did not work.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::context::Context;
use super::{pipeline, wake};
use crate::engine::key::Key;
use crate::engine::outcome::Failure;
use crate::engine::queue::Priority;
use crate::engine::session::Session;
use crate::kinds::Provider;

/// Takes note of how a pass over a resource failed, if it did, and wakes whoever may have waited for what it was answered.
pub fn heard(context: &Context, session: &Session, key: &Key, failure: Option<&Failure>) {
    session.heard(key, failure);
    wake_recovered(context, session);
}

/// Wakes everybody who waits for the API, where it has answered anybody since it began to ail.
pub fn wake_recovered(context: &Context, session: &Session) {
    wake_all(context, session.recovered());
}

/// Sends one after the other of those that a provider gave no answer, until it gives one.
pub async fn scouts(context: Arc<Context>, provider: Provider) {
    loop {
        let scout = context.breakers.of(provider).scout().await;
        wake::look_again(&context, &scout, Priority::Retry);
    }
}

/// Asks for a pass over each of them.
pub fn wake_all(context: &Context, keys: BTreeSet<Key>) {
    for key in keys {
        if pipeline::is_ours(&key) {
            pipeline::wake::look_again(context, &key, Priority::Retry);
        } else {
            wake::look_again(context, &key, Priority::Retry);
        }
    }
}
