//! A watch that goes on whatever happens.

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use kube::Api;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::sleep;

use super::context::Context;
use crate::cluster::not_installed;
use crate::kube_error::{is_forbidden, is_missing};

/// A watch that fails is tried again after a time between the first and the second of these. The longest is short: until it works
/// again nothing new is seen, and one request in that time is no burden.
const WATCH_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// A kind that is not installed is looked for again this much later still: it may never be.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// A watch that goes on for ever: errors are counted, logged by their kind, told to `failed`, and waited out.
pub fn watch<T, F>(
    name: &'static str,
    kind: &'static str,
    context: &Arc<Context>,
    api: Api<T>,
    config: watcher::Config,
    failed: impl Fn(&watcher::Error) -> F,
) -> impl Stream<Item = watcher::Event<T>>
where
    F: Future<Output = ()>,
    T: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let context = context.clone();
    let (shortest, longest) = WATCH_BACKOFF;
    let backoff = ExponentialBuilder::default()
        .with_min_delay(shortest)
        .with_max_delay(longest)
        .with_jitter()
        .without_max_times();
    let backoff = ExponentialBackoff::from(backoff);
    // What goes on is said once.
    let mut said = None;
    watcher(api, config)
        .backoff(backoff)
        .filter_map(move |event| {
            let mut pause = Duration::ZERO;
            let mut told = None;
            let event = match event {
                Ok(event) => {
                    // A list begins before it fails.
                    if !matches!(event, watcher::Event::Init) {
                        said = None;
                    }
                    Some(event)
                }
                Err(error) => {
                    context.metrics.watch_failed(name);
                    told = Some(failed(&error));
                    if is_not_installed(&error) {
                        pause = LOOK_AGAIN;
                    }
                    let error = describe(&error, kind);
                    if said.as_ref() != Some(&error) {
                        tracing::warn!(
                            watch = name,
                            kind,
                            error,
                            "a watch failed; retrying until it works"
                        );
                        said = Some(error);
                    }
                    None
                }
            };
            async move {
                if let Some(told) = told {
                    told.await;
                }
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                event
            }
        })
}

/// Whether there is no such kind in the cluster.
pub fn is_not_installed(error: &watcher::Error) -> bool {
    refusal(error).is_some_and(is_missing)
}

/// Whether the right to list or to watch is missing.
pub fn was_forbidden(error: &watcher::Error) -> bool {
    refusal(error).is_some_and(is_forbidden)
}

fn refusal(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => {
            Some(error)
        }
        _ => None,
    }
}

fn describe(error: &watcher::Error, kind: &str) -> String {
    match error {
        error if is_not_installed(error) => not_installed(kind),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => {
            format!("{} ({})", status.reason, status.code)
        }
        watcher::Error::WatchError(status) => format!("{} ({})", status.reason, status.code),
        _ => "the Kubernetes API cannot be reached".to_owned(),
    }
}
