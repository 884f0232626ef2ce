//! When the watches have listed what there is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::mpsc;

use super::context::Context;
use super::unlisted::Place;
use super::watching::{is_not_installed, was_forbidden};

/// Hears when one watch has listed its objects. The first time, that is told to the work, which then may begin.
pub struct Listing {
    context: Arc<Context>,
    place: Place,
    stage: Mutex<Stage>,
}

/// How far a watch has come.
enum Stage {
    /// There may be objects that it has not listed. With what every watch drops once it has, for the first time.
    Awaited(#[expect(dead_code, reason = "only dropped")] Option<mpsc::Sender<()>>),
    /// There is nothing to list. It is looked for again, and what comes to be is listed then.
    Nothing,
    /// It has listed them, and follows them from then on.
    Listed,
}

impl Listing {
    /// The watch of this place begins. What it lists is already expected.
    pub fn new(context: Arc<Context>, place: Place, awaited: mpsc::Sender<()>) -> Self {
        Self {
            context,
            place,
            stage: Mutex::new(Stage::Awaited(Some(awaited))),
        }
    }

    /// The watch has listed its objects.
    pub fn is_done(&self) {
        self.enter(Stage::Listed);
    }

    /// The watch failed. Where that is because there is nothing to list, it counts as listed, until there may be something.
    pub fn failed<'l>(
        &'l self,
        error: &watcher::Error,
    ) -> impl Future<Output = ()> + Send + use<'l> {
        let namespace = self.place.namespace.as_deref();
        let nothing = has_nothing(&self.context, namespace, error);
        async move {
            if matches!(*self.stage(), Stage::Listed) {
                return;
            }
            if nothing.await {
                self.enter(Stage::Nothing);
            } else if matches!(*self.stage(), Stage::Nothing) {
                self.enter(Stage::Awaited(None));
            }
        }
    }

    fn enter(&self, next: Stage) {
        let mut stage = self.stage();
        let unlisted = &self.context.unlisted;
        match (&*stage, &next) {
            (Stage::Awaited(_), Stage::Nothing | Stage::Listed) => unlisted.listed(&self.place),
            (Stage::Nothing | Stage::Listed, Stage::Awaited(_)) => unlisted.expect(&self.place),
            _ => {}
        }
        *stage = next;
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a watch fails because there is nothing to list: its kind is not installed, or its namespace does not exist. An operator that
/// is confined loses its Role with the namespace, so that only the namespace itself can tell. Where that is forbidden too, or not
/// answered, there may be something.
pub fn has_nothing<'c>(
    context: &'c Context,
    namespace: Option<&'c str>,
    error: &watcher::Error,
) -> impl Future<Output = bool> + Send + use<'c> {
    let not_installed = is_not_installed(error);
    let asked = namespace.filter(|_| was_forbidden(error));
    async move {
        let Some(namespace) = asked else {
            return not_installed;
        };
        let namespaces: Api<Namespace> = Api::all(context.client.clone());
        matches!(namespaces.get_metadata_opt(namespace).await, Ok(None))
    }
}
