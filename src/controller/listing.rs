//! When the watches have listed what there is.

use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::watcher;
use tokio::sync::mpsc;

use super::context::Context;
use crate::runtime::http::Gate;

use super::watching::is_not_installed;

/// Hears when one watch has listed its objects. The first time, that is told to the work, which then may begin.
pub struct Listing {
    context: Arc<Context>,
    filled: Gate,
    /// Dropped by every watch once it has listed its objects.
    awaited: Mutex<Option<mpsc::Sender<()>>>,
}

impl Listing {
    /// `filled` is opened once all watches have listed their objects.
    pub fn new(context: Arc<Context>, filled: Gate, awaited: mpsc::Sender<()>) -> Self {
        Self {
            context,
            filled,
            awaited: Mutex::new(Some(awaited)),
        }
    }

    /// The watch has listed its objects.
    pub fn is_done(&self) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if awaited.take().is_some() {
            self.context.unlisted.listed();
        }
        if self.context.unlisted.none() {
            self.filled.open();
        }
    }

    /// Where the kind is not installed, there is nothing to list. It is looked for again.
    pub fn failed(&self, error: &watcher::Error) {
        if is_not_installed(error) {
            self.is_done();
        }
    }
}
