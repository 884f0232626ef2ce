//! A create or an update that is refused because the workspace does not know a connector that the workflow names.

use super::super::super::context::Context;
use super::super::super::wake::look_again;
use super::super::references;
use super::observe::Hand;
use crate::crd::UnstructuredWorkflow;
use crate::engine::outcome::Failure;
use crate::engine::queue::Priority;
use crate::unstructured::{ApiError, Collection, UnknownConnector, WorkflowSpec};

/// What a refused create or update stands for. Somebody may have deleted a connector behind our back: the resource that it belongs to
/// looks at it, and makes it anew.
pub fn refused(context: &Context, hand: &Hand, spec: &WorkflowSpec, error: &ApiError) -> Failure {
    let Some(which) = error.unknown_connector() else {
        return Failure::of_configuration(error);
    };
    let named: Vec<_> = blamed(which)
        .iter()
        .map(|collection| Named::of(&hand.workflow, spec, *collection))
        .collect();
    for collection in blamed(which) {
        if let Some(key) = references::to(&hand.workflow, *collection) {
            look_again(context, &key, Priority::Changed);
        }
    }
    let advice: Vec<_> = named.iter().map(|named| named.advice.as_str()).collect();
    Failure::UnknownConnector {
        which,
        by_id: named.iter().all(|named| named.by_id),
        message: error.message().to_owned(),
        advice: advice.join(" "),
    }
}

fn blamed(which: UnknownConnector) -> &'static [Collection] {
    match which {
        UnknownConnector::Source => &[Collection::Sources],
        UnknownConnector::Destination => &[Collection::Destinations],
        UnknownConnector::Either => &[Collection::Sources, Collection::Destinations],
    }
}

/// How a workflow names one of its connectors, and what to do where it is not there.
struct Named {
    by_id: bool,
    advice: String,
}

impl Named {
    fn of(workflow: &UnstructuredWorkflow, spec: &WorkflowSpec, collection: Collection) -> Self {
        let (id, family) = match collection {
            Collection::Sources => (spec.source, "source"),
            Collection::Destinations => (spec.destination, "destination"),
        };
        let id = id.map_or_else(String::new, |id| id.to_string());
        match references::to(workflow, collection) {
            Some(key) => Self {
                by_id: false,
                advice: format!(
                    "The workspace does not show connector {id} of {} {:?}. If it is gone, that resource creates another; the operator \
                     retries with backoff.",
                    key.kind, key.name
                ),
            },
            None => Self {
                by_id: true,
                advice: format!(
                    "Correct spec.{family}Id, as the workspace has no {family} {id}, or use the API key of the workspace that holds it."
                ),
            },
        }
    }
}
