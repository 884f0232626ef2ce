//! From a request to an operation: paths, keys, and what a careful client never sends.

use std::{collections::HashMap, time::Duration};

use super::{
    Family, State, Unstructured, answers,
    config::MASK,
    envelope,
    operations::{Call, Violation},
    rules::{MissingSlash, Rules},
    workspace::Workspace,
};
use crate::fake::{
    Answer, Api,
    journal::{Recorded, lock},
};

/// An operation of the API, on either family of connectors: [`Family::of`] tells of which a request is.
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
}

/// What a path names.
enum Target<'a> {
    Collection(Family),
    Item(Family, &'a str),
    Check(Family, &'a str),
    /// One slash too many or too few: the path it should have been.
    Elsewhere(String),
    Unknown,
}

impl Target<'_> {
    fn of(path: &str) -> Target<'_> {
        let beginning = |family: Family| {
            let rest = path.strip_prefix("/api/v1/")?;
            Some((family, rest.strip_prefix(family.path())?))
        };
        let Some((family, rest)) = Family::ALL.into_iter().find_map(beginning) else {
            return Target::Unknown;
        };
        if rest.is_empty() {
            return Target::Elsewhere(format!("{path}/"));
        }
        let Some(rest) = rest.strip_prefix('/') else {
            return Target::Unknown;
        };
        let segments: Vec<_> = rest.split('/').collect();
        match *segments {
            [""] => Target::Collection(family),
            [id] => Target::Item(family, id),
            [id, "connection-check"] if !id.is_empty() => Target::Check(family, id),
            [id, ""] | [id, "connection-check", ""] if !id.is_empty() => {
                Target::Elsewhere(path.trim_end_matches('/').to_owned())
            }
            _ => Target::Unknown,
        }
    }
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
        Some(Route::Create | Route::Update) => {}
        Some(_) if !request.body.is_empty() => violation("a body where none belongs"),
        Some(_) => {}
    }
    if !request.query.is_empty() && route != Some(Route::List) {
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
        let (family, id) = match target {
            Target::Collection(family) => (family, String::new()),
            Target::Item(family, id) | Target::Check(family, id) => {
                (family, identify(id, family, workspace, rules)?)
            }
            Target::Elsewhere(_) | Target::Unknown => unreachable!("it has a route"),
        };
        let mut call = Call {
            rules,
            workspace,
            family,
            id,
        };
        match route {
            Route::List => call.list(&request.query, violation),
            Route::Create => call.create(request, violation),
            Route::Get => call.get(),
            Route::Update => call.update(request, violation),
            Route::Delete => call.delete(),
            Route::StartCheck => call.start_check(),
            Route::LatestCheck => call.latest_check(),
        }
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
            Target::Collection(_) | Target::Item(..) | Target::Check(..) => {
                answers::detail(405, "Method Not Allowed")
            }
        }
    }
}

/// The id of what a path names: by its id or, where the workspace has it so, by its key.
fn identify(
    named: &str,
    family: Family,
    workspace: &mut Workspace,
    rules: &Rules,
) -> Result<String, Answer> {
    match envelope::uuid(named, family, rules) {
        Err(_) if workspace.keys.in_paths => match workspace.of(family).with_key(named) {
            Some(connector) => Ok(connector.id.clone()),
            None => Err(answers::no_such(family, named)),
        },
        parsed => parsed,
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
