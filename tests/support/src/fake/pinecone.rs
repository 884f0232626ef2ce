//! Pinecone's control plane as far as an API key and an index go.
//!
//! Shapes and texts follow the [published reference](https://docs.pinecone.io/reference/api/2026-04/control-plane/describe_index).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use serde_json::json;

use super::{
    Answer, Api, Fake,
    journal::{Recorded, lock},
};

/// Pinecone's control plane on loopback.
pub type FakePinecone = Fake<Pinecone>;

/// The rules of the API over its state: the indexes of each API key's project.
#[derive(Default)]
pub struct Pinecone {
    projects: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

/// An operation of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /indexes/{name}`
    DescribeIndex,
    /// `GET /indexes`
    ListIndexes,
}

impl FakePinecone {
    /// This API key is good from now on, and its project has these indexes.
    pub fn accept(&self, key: &str, indexes: &[&str]) {
        let indexes = indexes.iter().map(|name| (*name).to_owned()).collect();
        lock(&self.shared.api.projects).insert(key.to_owned(), indexes);
    }

    /// This API key is good no longer.
    pub fn revoke(&self, key: &str) {
        lock(&self.shared.api.projects).remove(key);
    }
}

impl Api for Pinecone {
    type Route = Route;

    const BASE_PATH: &'static str = "";

    fn route(request: &Recorded) -> Option<Route> {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/indexes") => Some(Route::ListIndexes),
            ("GET", path) if path.starts_with("/indexes/") => Some(Route::DescribeIndex),
            _ => None,
        }
    }

    fn answer(&self, request: &Recorded, violation: &mut dyn FnMut(&str)) -> Answer {
        let Some(route) = Self::route(request) else {
            violation("Pinecone has no such route");
            return Answer::json(404, &json!({}));
        };
        if request.header("x-pinecone-api-version").is_none() {
            violation("a request to Pinecone without its version");
        }
        let projects = lock(&self.projects);
        let indexes = request.header("api-key").and_then(|key| projects.get(key));
        let Some(indexes) = indexes else {
            return Answer::text(401, "Invalid API Key");
        };
        match route {
            Route::ListIndexes => {
                let indexes: Vec<_> = indexes.iter().map(|name| json!({ "name": name })).collect();
                Answer::json(200, &json!({ "indexes": indexes }))
            }
            Route::DescribeIndex => {
                let name = request.path.trim_start_matches("/indexes/");
                if indexes.contains(name) {
                    let status = json!({ "ready": true, "state": "Ready" });
                    return Answer::json(200, &json!({ "name": name, "status": status }));
                }
                let message = format!("Resource {name} not found");
                let error = json!({ "code": "NOT_FOUND", "message": message });
                Answer::json(404, &json!({ "error": error, "status": 404 }))
            }
        }
    }
}
