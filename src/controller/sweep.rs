//! The drift check: one list for each workspace and interval, compared with all of its resources at once. Of connectors, only those that
//! differ are queued; there is no periodic pass for each resource.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};

use futures::FutureExt;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::connector::recall::Awaits;
use super::connector::{recall, unclaimed};
use super::context::Context;
use super::pipeline::{self, board::Board};
use super::recovery::wake_recovered;
use super::wake::lane_of;
use super::workspaces::Workspace;
use crate::engine::key::Key;
use crate::engine::queue::Priority;
use crate::engine::session::Session;
use crate::kinds::{Credentials, Resource};
use crate::spans;
use crate::unstructured::{ApiError, Snapshot};

/// What has to be looked at for as long as anybody uses it.
pub trait Swept: Send + Sync + 'static {
    /// Through which its API is asked.
    fn session(&self) -> &Session;

    /// Asks for a list, to find out whether the API works. What that shows is compared at the next interval: a resource whose own
    /// request fails is not to be retried sooner for it.
    fn probe(&self) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Asks for a list, and for passes over whoever needs one by what it shows.
    fn look(&self, context: &Context) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Sweeps at every interval for as long as anything is in use, and finds out more often whether its API works while somebody waits for
/// that.
pub async fn sweep<T: Swept>(context: Arc<Context>, swept: Weak<T>) {
    let Some(ailing) = swept.upgrade().map(|open| open.session().ailing()) else {
        return;
    };
    let interval = context.policy.sync_interval;
    let next = || Instant::now() + interval.mul_f64(0.95 + fastrand::f64() / 10.0);
    let mut due = next();
    loop {
        let is_due = tokio::select! {
            () = tokio::time::sleep_until(due) => true,
            () = ailing.probe_due() => false,
        };
        let Some(open) = swept.upgrade() else {
            return;
        };
        if !is_due {
            probe(&context, &*open).await;
            continue;
        }
        due = next();
        // One that breaks down is logged, and must not be the last.
        let looking = AssertUnwindSafe(look(&context, &*open)).catch_unwind();
        if looking.instrument(spans::sweep()).await.is_err() {
            tracing::error!("the comparison with the inventory panicked; trying again later");
        }
    }
}

/// Finds out whether the API works again.
async fn probe(context: &Context, swept: &impl Swept) {
    let session = swept.session();
    session.client.invite_probe();
    match swept.probe().await {
        Ok(()) => wake_recovered(context, session),
        Err(error) => {
            tracing::debug!(%error, "the API does not work yet; retrying");
            session.fails();
        }
    }
}

async fn look(context: &Context, swept: &impl Swept) {
    match swept.look(context).await {
        Ok(()) => wake_recovered(context, swept.session()),
        Err(error) => {
            spans::failed(&Span::current(), error.kind.as_str(), error.message());
            tracing::warn!(%error, "could not read the inventory; retrying");
            swept.session().fails();
        }
    }
}

impl Swept for Workspace {
    fn session(&self) -> &Session {
        &self.session
    }

    async fn probe(&self) -> Result<(), ApiError> {
        self.inventory.at_least(Instant::now()).await.map(drop)
    }

    async fn look(&self, context: &Context) -> Result<(), ApiError> {
        let snapshot = self.inventory.at_least(Instant::now()).await?;
        compare(context, self, &snapshot);
        unclaimed::report(context, self, &snapshot);
        Ok(())
    }
}

impl Swept for Board {
    fn session(&self) -> &Session {
        &self.session
    }

    async fn probe(&self) -> Result<(), ApiError> {
        self.all_workflows(Instant::now()).await.map(drop)
    }

    /// Each workflow that rests is compared in a pass of its own, which shares the list.
    async fn look(&self, context: &Context) -> Result<(), ApiError> {
        let resting = self.resting();
        if resting.is_empty() {
            return Ok(());
        }
        let listed = self.all_workflows(Instant::now()).await?;
        for key in resting {
            let lane = pipeline::wake::lane_of(&key);
            context.queue.add(&key, lane, Priority::Drift, listed.since);
        }
        Ok(())
    }
}

fn compare(context: &Context, workspace: &Workspace, snapshot: &Snapshot) {
    let mut differing = 0_usize;
    for key in workspace.members() {
        let Some(resource) = context.index.get(&key) else {
            continue;
        };
        let shows = |id| snapshot.is_of_list(&id) && snapshot.by_id(&id).is_some();
        if context.memories.swept(&key, shows) == Awaits::Inventory
            || differs(context, workspace, &key, &resource, snapshot)
        {
            differing += 1;
            context.queue.add(
                &key,
                lane_of(&resource),
                Priority::Drift,
                snapshot.asked_at(),
            );
        }
    }
    spans::compared(&Span::current(), snapshot.len(), differing);
    tracing::debug!(
        connectors = snapshot.len(),
        differing,
        "compared the inventory"
    );
}

/// Whether the inventory shows anything else than one connector with the readable settings of the resource.
fn differs(
    context: &Context,
    workspace: &Workspace,
    key: &Key,
    resource: &Resource,
    snapshot: &Snapshot,
) -> bool {
    let Some(status) = resource.status() else {
        return false;
    };
    let settings = resource.spec.config(&Credentials::default());
    let drifts = |id| {
        let source = snapshot.by_id(&id)?;
        Some(!workspace.drift(&settings, source).is_empty())
    };
    let namesakes = || {
        let held = |id| context.index.holder(id).is_some();
        let cluster = &context.cluster;
        let mark = cluster.key_for(key);
        let found = if resource.spec.options().connector_name.is_some() {
            snapshot.by_key(&mark)
        } else {
            let name = cluster.connector_name(resource.kind, key);
            snapshot.called(&name.value, &mark)
        };
        found
            .into_iter()
            .map(move |source| (source.id, held(source.id)))
    };
    recall::differs(status, drifts, namesakes)
}
