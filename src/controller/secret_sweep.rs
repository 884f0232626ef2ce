//! The comparison of the Secrets' versions while nobody tells of their changes.

use std::collections::HashSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::iter;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use super::context::Context;
use super::wake::{queue_readers, secrets_in_use};
use crate::engine::key::SecretKey;
use crate::engine::queue::Priority;

/// Requests for versions under way at once.
const AT_ONCE: usize = 4;

/// Looks at the Secrets in use after every sync interval in which the watch failed. One that works again makes up for what it missed.
pub async fn follow(context: Arc<Context>) {
    loop {
        let before = Instant::now();
        tokio::time::sleep(context.policy.sync_interval).await;
        let used = secrets_in_use(&context);
        context.secret_versions.keep(&used);
        if context.secret_versions.failed_since(before) {
            compare(&context, used).await;
        }
    }
}

async fn compare(context: &Context, used: HashSet<SecretKey>) {
    tracing::debug!(
        secrets = used.len(),
        "the watch on Secrets fails; comparing their versions instead"
    );
    let looks = iter(used).map(|secret| look(context, secret));
    looks.buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn look(context: &Context, secret: SecretKey) {
    let since = Instant::now();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &secret.namespace);
    // What cannot be read is looked at again after another interval.
    let Ok(found) = secrets.get_metadata_opt(&secret.name).await else {
        return;
    };
    let version = found.and_then(|found| found.resource_version());
    if context.secret_versions.is_news(&secret, version.as_deref()) {
        queue_readers(context, &secret, Priority::Changed, since);
    }
}
