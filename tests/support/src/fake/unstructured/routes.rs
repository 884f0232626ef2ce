//! From a request to an operation: paths, keys, and what a careful client never sends.

use std::{collections::HashMap, time::Duration};

use super::{
    State, Unstructured, answers, config::MASK, dispatch::dispatch, operations::Violation,
    rules::MissingSlash, target::Target,
};
use crate::fake::{
    Answer, Api,
    journal::{Recorded, lock},
};

/// An operation of the API. What names no kind of object is on connectors of either family: [`Family::of`](super::Family::of) tells of which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /{family}/`
    List,
    /// `POST /{family}/`
    Create,
    /// `GET /{family}/{id}`
    Get,
    /// `PUT /{family}/{id}`
    Update,
    /// `DELETE /{family}/{id}`
    Delete,
    /// `POST /{family}/{id}/connection-check`
    StartCheck,
    /// `GET /{family}/{id}/connection-check`
    LatestCheck,
    /// `GET /workflows/`
    ListWorkflows,
    /// `POST /workflows/`
    CreateWorkflow,
    /// `GET /workflows/{id}`
    GetWorkflow,
    /// `PUT /workflows/{id}`
    UpdateWorkflow,
    /// `DELETE /workflows/{id}`
    DeleteWorkflow,
    /// `POST /workflows/{id}/run`
    RunWorkflow,
    /// `GET /jobs/`
    ListJobs,
    /// `GET /jobs/{id}`
    GetJob,
    /// `POST /jobs/{id}/cancel`
    CancelJob,
    /// `GET /jobs/{id}/details`
    JobDetails,
    /// `GET /jobs/{id}/failed-files`
    FailedFiles,
}

impl Api for Unstructured {
    type Route = Route;

    const BASE_PATH: &'static str = "/api/v1";

    fn route(request: &Recorded) -> Option<Route> {
        Some(match (Target::of(&request.path), request.method.as_str()) {
            (Target::Collection(_), "GET") => Route::List,
            (Target::Collection(_), "POST") => Route::Create,
            (Target::Item(..), "GET") => Route::Get,
            (Target::Item(..), "PUT") => Route::Update,
            (Target::Item(..), "DELETE") => Route::Delete,
            (Target::Check(..), "POST") => Route::StartCheck,
            (Target::Check(..), "GET") => Route::LatestCheck,
            (Target::Workflows, "GET") => Route::ListWorkflows,
            (Target::Workflows, "POST") => Route::CreateWorkflow,
            (Target::Workflow(_), "GET") => Route::GetWorkflow,
            (Target::Workflow(_), "PUT") => Route::UpdateWorkflow,
            (Target::Workflow(_), "DELETE") => Route::DeleteWorkflow,
            (Target::Run(_), "POST") => Route::RunWorkflow,
            (Target::Jobs, "GET") => Route::ListJobs,
            (Target::Job(_), "GET") => Route::GetJob,
            (Target::CancelJob(_), "POST") => Route::CancelJob,
            (Target::JobDetails(_), "GET") => Route::JobDetails,
            (Target::FailedFiles(_), "GET") => Route::FailedFiles,
            _ => return None,
        })
    }

    fn latency(&self) -> Duration {
        lock(&self.state).rules.latency
    }

    fn answer(&self, request: &Recorded, violation: Violation<'_>) -> Answer {
        let route = Self::route(request);
        check_form(route, request, violation);
        let mut state = lock(&self.state);
        state
            .route(route, request, violation)
            .unwrap_or_else(|refusal| refusal)
            .with_header("server", "istio-envoy")
    }
}

/// What the service may let pass, but a careful client never sends.
fn check_form(route: Option<Route>, request: &Recorded, violation: Violation<'_>) {
    let body = String::from_utf8_lossy(&request.body);
    let places = [
        ("path", request.path.as_str()),
        ("query", &request.query),
        ("body", &body),
    ];
    for (place, text) in places {
        if text.contains(MASK) || (place == "body" && request.json().to_string().contains(MASK)) {
            violation(&format!("a mask in the {place}"));
        }
    }
    if request.headers.contains_key("authorization") {
        violation("an authorization header: the key has a header of its own");
    }
    if request
        .headers
        .get_all("unstructured-api-key")
        .iter()
        .count()
        > 1
    {
        violation("more than one key");
    }
    match route {
        None => violation("not a route of the API"),
        Some(Route::Create | Route::Update | Route::CreateWorkflow | Route::UpdateWorkflow) => {}
        Some(_) if !request.body.is_empty() => violation("a body where none belongs"),
        Some(_) => {}
    }
    let lists = [Route::List, Route::ListWorkflows, Route::ListJobs].map(Some);
    if !request.query.is_empty() && !lists.contains(&route) {
        violation("a query where none belongs");
    }
}

impl State {
    fn route(
        &mut self,
        route: Option<Route>,
        request: &Recorded,
        violation: Violation<'_>,
    ) -> Result<Answer, Answer> {
        let target = Target::of(&request.path);
        let Some(route) = route else {
            return Err(self.unrouted(&target, request));
        };
        let State {
            rules,
            keys,
            workspaces,
        } = self;
        let index = *authenticate(request, keys)?;
        let workspace = &mut workspaces[index];
        if let Some(limit) = &rules.rate_limit
            && !workspace.admit(limit)
        {
            return Err(answers::too_many_requests(limit.retry_after.as_deref()));
        }
        dispatch((route, &target), request, rules, workspace, violation)
    }

    /// The router's own answers come before anybody looks at the key.
    fn unrouted(&self, target: &Target<'_>, request: &Recorded) -> Answer {
        match target {
            Target::Unknown => answers::not_found(),
            Target::Elsewhere(_) if self.rules.missing_slash == MissingSlash::NotFound => {
                answers::not_found()
            }
            Target::Elsewhere(path) => {
                let host = request.header("host").unwrap_or("localhost");
                let query = match request.query.as_str() {
                    "" => String::new(),
                    query => format!("?{query}"),
                };
                Answer::empty(307).with_header("location", &format!("http://{host}{path}{query}"))
            }
            _ => answers::detail(405, "Method Not Allowed"),
        }
    }
}

fn authenticate<'a>(
    request: &Recorded,
    keys: &'a HashMap<String, usize>,
) -> Result<&'a usize, Answer> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match request.headers.get("unstructured-api-key") {
        None => Err(answers::key_missing()),
        Some(key) if key.is_empty() => Err(answers::key_missing()),
        Some(key) => match key.to_str() {
            Ok(key) if key.chars().all(allowed) => keys.get(key).ok_or_else(answers::key_invalid),
            _ => Err(answers::key_malformed()),
        },
    }
}
