//! The calls of the API that concern workflows. Nothing is sent twice here, because only the caller knows whether doing it twice is
//! harmless. Each is one request, a list one for each of its pages, and where a success cannot be understood one more that only reads.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use url::Url;

use super::answer::{self, Place};
use super::collection::Collection;
use super::error::{ApiError, Commit, ErrorKind};
use super::exchange::Transport;
use super::ids::{ConnectorId, WorkflowId};
use super::jobs::job::{self, Job};
use super::listing::Listing;

mod body;
mod differences;
mod schedule;
mod shown;
mod spec;

pub use differences::Differences;
pub use schedule::{Schedule, ScheduleError};
pub use shown::{ShownNode, Workflow};
pub use spec::{Node, WorkflowSpec, WorkflowState};

use body::Body;

/// Workflows of a page.
const PAGE_SIZE: usize = 100;

/// Workflows of a page where nothing is asked for. A service may show fewer than it was asked for, but no fewer than this.
const OWN_PAGE_SIZE: usize = 20;

/// Pages of a list: as many workflows as no workspace has.
const MOST_PAGES: usize = 100;

/// The workflows of a workspace. Clones share everything.
#[derive(Clone)]
pub struct Workflows {
    transport: Arc<Transport>,
}

impl Workflows {
    pub(super) fn new(transport: Arc<Transport>) -> Self {
        Self { transport }
    }

    /// Creates a workflow, which is active then whatever the state says that it should have. The service accepts any number of the
    /// same name, so after an error whose [`ApiError::commit`] is [`Commit::Unknown`] look for it before calling again.
    ///
    /// `key`: its name for machines, for life: 1 to 63 lower-case letters, digits and single hyphens in between. Older services know
    /// none.
    pub async fn create(
        &self,
        spec: &WorkflowSpec,
        key: Option<&str>,
    ) -> Result<Workflow, ApiError> {
        let body = Body::create(spec, key);
        let call = self
            .transport
            .call(
                "create_workflow",
                Place::Referring,
                Method::POST,
                self.all(),
            )
            .carrying(&body)?;
        self.transport.make(call, Workflow::read).await
    }

    /// Replaces all that is managed of a workflow. Returns it as the answer shows it, or `None` where the service took the update and
    /// shows nothing. Doing it twice is harmless.
    pub async fn update(
        &self,
        id: &WorkflowId,
        spec: &WorkflowSpec,
    ) -> Result<Option<Workflow>, ApiError> {
        let body = Body::update(spec);
        let call = self
            .transport
            .call("update_workflow", Place::Object, Method::PUT, self.one(id))
            .carrying(&body)?;
        let result = self
            .transport
            .make(call, |body| Workflow::updated(body, id))
            .await;
        match result {
            // A look shows no secret, so it says nothing where there is one.
            Err(error) if error.is_success_unread() && spec.secrets().next().is_none() => {
                match self.get(id).await {
                    Ok(shown) if spec.differences(&shown).drift.is_empty() => Ok(Some(shown)),
                    Ok(_) | Err(_) => Err(error),
                }
            }
            result => result,
        }
    }

    /// One workflow.
    pub async fn get(&self, id: &WorkflowId) -> Result<Workflow, ApiError> {
        let call = self
            .transport
            .call("get_workflow", Place::Object, Method::GET, self.one(id));
        self.transport
            .make(call, |body| Workflow::read_with_id(body, id))
            .await
    }

    /// Deletes a workflow. That it is not there is the error [`ErrorKind::NotFound`]. What becomes of a job that it has under way is
    /// not documented.
    pub async fn delete(&self, id: &WorkflowId) -> Result<(), ApiError> {
        let call = self.transport.call(
            "delete_workflow",
            Place::Object,
            Method::DELETE,
            self.one(id),
        );
        match self.transport.make(call, answer::done).await {
            Err(error) if error.is_success_unread() => match self.get(id).await {
                Err(gone) if gone.kind == ErrorKind::NotFound => Err(gone),
                Ok(_) | Err(_) => Err(error),
            },
            result => result,
        }
    }

    /// All of them, in no particular order.
    pub async fn list(&self) -> Result<Vec<Workflow>, ApiError> {
        self.pages(&self.all(), |_| true).await
    }

    /// Those that use a connector.
    pub async fn using(
        &self,
        collection: Collection,
        id: &ConnectorId,
    ) -> Result<Vec<Workflow>, ApiError> {
        let mut url = self.all();
        url.query_pairs_mut()
            .append_pair(collection.id_filter(), &id.to_string());
        // Checked again: a service that does not know the filter shows all of them.
        self.pages(&url, |workflow| {
            let used = match collection {
                Collection::Sources => &workflow.sources,
                Collection::Destinations => &workflow.destinations,
            };
            used.contains(id)
        })
        .await
    }

    /// Starts a job of a workflow. `None`: the answer names no job, as when one is under way already; look for it in the list of
    /// jobs. Once a job has ended, doing this again is a second job, which costs money: after an error whose [`ApiError::commit`] is
    /// [`Commit::Unknown`] look for a new job before calling again.
    pub async fn run(&self, id: &WorkflowId) -> Result<Option<Job>, ApiError> {
        let url = self.join(&format!("workflows/{id}/run"));
        let call = self
            .transport
            .call("run_workflow", Place::Object, Method::POST, url)
            .without_body();
        self.transport
            .make(call, |body| {
                job::started(body, id, &self.transport.scrubber([]))
            })
            .await
    }

    /// Every page until a short one. A workflow can be on two, where one before it went away or came in between.
    async fn pages(
        &self,
        url: &Url,
        is_wanted: impl Fn(&Workflow) -> bool + Send + Sync,
    ) -> Result<Vec<Workflow>, ApiError> {
        let share = self.transport.options().budget.share();
        let mut found = Vec::new();
        let mut known = BTreeSet::new();
        for page in 1..=MOST_PAGES {
            let mut url = url.clone();
            url.query_pairs_mut()
                .append_pair("page", &page.to_string())
                .append_pair("page_size", &PAGE_SIZE.to_string());
            let mut call =
                self.transport
                    .call("list_workflows", Place::Collection, Method::GET, url);
            call.max_bytes = self.transport.options().max_response_bytes;
            let (mut shown, before) = (0, known.len());
            let listing = Listing::new(Arc::clone(&share), |element| {
                shown += 1;
                let workflow = Workflow::read(element)?;
                if !known.insert(workflow.id) || !is_wanted(&workflow) {
                    return Ok(None);
                }
                let size = workflow.size();
                Ok(Some((workflow, size)))
            });
            found.extend(self.transport.take(call, listing).await?);
            // A service that knows no pages shows the same again.
            if shown < OWN_PAGE_SIZE || known.len() == before {
                return Ok(found);
            }
        }
        let message = format!("the API's list of workflows does not end within {MOST_PAGES} pages");
        Err(ApiError::new(
            ErrorKind::Unexpected,
            None,
            Commit::Never,
            &message,
        ))
    }

    /// The collection, with the trailing slash that the service would otherwise redirect to.
    fn all(&self) -> Url {
        self.join("workflows/")
    }

    fn one(&self, id: &WorkflowId) -> Url {
        self.join(&format!("workflows/{id}"))
    }

    fn join(&self, path: &str) -> Url {
        self.transport.endpoint().join(path)
    }
}

/// Where they are.
impl fmt::Debug for Workflows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workflows({})", self.transport.endpoint())
    }
}

#[cfg(test)]
mod tests;
