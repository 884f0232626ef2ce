//! The verdict on pipelines. As a request is sent: R1 and R2 (a run is asked for only by a job whose intent is on record and that is
//! not finished), R3 (no connector goes while a managed workflow runs through it). When all has settled: R1 (no workflow has more
//! accepted runs than jobs asked for one), R4 (nothing is left, and everything is let go), and each object says the truth.

use serde_json::Value;
use support::fake::unstructured::{StoredWorkflow, WorkspaceHandle};

use super::agenda::Setting;
use super::chronicle::Sent;
use super::ground::NAMESPACES;
use super::judge::readiness;
use super::ledger::{Books, Ledger, Other};
use super::pipelines;

/// What is wrong with a request, as it is sent.
pub fn objection(ledger: &Ledger, workflows: &[StoredWorkflow], sent: &Sent) -> Option<String> {
    let path = sent.path.strip_prefix("/api/v1/")?;
    let (collection, rest) = path.split_once('/')?;
    let method = sent.method.as_str();
    ledger.with(|books| match (method, collection) {
        ("POST", "workflows") => run(books, rest.strip_suffix("/run")?),
        ("DELETE", "sources" | "destinations") => pulled_away(books, workflows, rest),
        _ => None,
    })
}

/// R1 and R2.
fn run(books: &mut Books, workflow: &str) -> Option<String> {
    let asks = |object: &Value| {
        let status = &object["status"];
        status["workflowId"] == *workflow
            && !status["request"].is_null()
            && status["jobId"].is_null()
            && !is_final(object)
    };
    let mut jobs = books.others.iter();
    let mut asking = jobs
        .by_ref()
        .filter(|(_, job)| is(job, "UnstructuredJob") && asks(&job.object));
    let Some((uid, _)) = asking.next() else {
        return Some(format!(
            "R1: nobody's intent to run {workflow} is on record"
        ));
    };
    if asking.next().is_some() {
        return Some(format!("R1: two jobs ask for a run of {workflow} at once"));
    }
    let uid = uid.clone();
    books
        .asked
        .entry(workflow.to_owned())
        .or_default()
        .insert(uid);
    None
}

/// R3.
fn pulled_away(books: &Books, workflows: &[StoredWorkflow], id: &str) -> Option<String> {
    let runs = |workflow: &&StoredWorkflow| {
        let mut ends = workflow.sources.iter().chain(&workflow.destinations);
        ends.any(|end| end == id)
    };
    let user = workflows.iter().filter(runs).find(|workflow| {
        let mut holders = present(books, "UnstructuredWorkflow");
        holders.any(|holder| holder["status"]["workflowId"] == workflow.id)
    })?;
    Some(format!(
        "R3: {id} is deleted while {} runs through it",
        user.name
    ))
}

fn is(other: &Other, kind: &str) -> bool {
    !other.gone && other.object["kind"] == kind
}

fn present<'a>(books: &'a Books, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let there = books.others.values().filter(move |other| is(other, kind));
    there.map(|other| &other.object)
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_final(object: &Value) -> bool {
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    [
        "Succeeded",
        "PartiallyFailed",
        "Failed",
        "Stopped",
        "Abandoned",
    ]
    .contains(&phase)
}

fn place(object: &Value) -> String {
    let meta = &object["metadata"];
    let text = |field: &str| meta[field].as_str().unwrap_or_default().to_owned();
    let kind = object["kind"].as_str().unwrap_or_default();
    format!("{kind} {}/{}", text("namespace"), text("name"))
}

/// Secrets that were written down.
pub fn confidences(ledger: &Ledger) -> Vec<String> {
    ledger.with(|books| books.overheard.iter().cloned().collect())
}

/// Whether a connector that goes rightly waits for a workflow: one refers to it, or runs through it.
pub fn holds_back(workspace: &WorkspaceHandle, books: &Books, connector: &Value) -> bool {
    if !is_going(connector) || readiness(connector).1 != "InUse" {
        return false;
    }
    let status = &connector["status"];
    let id = ["sourceId", "destinationId"]
        .into_iter()
        .find_map(|id| status[id].as_str());
    let referred = present(books, "UnstructuredWorkflow").any(|workflow| {
        let refers = |end: &str| {
            let to = &workflow["spec"][end];
            to["kind"] == connector["kind"] && to["name"] == connector["metadata"]["name"]
        };
        workflow["metadata"]["namespace"] == connector["metadata"]["namespace"]
            && (refers("sourceRef") || refers("destinationRef"))
    });
    referred
        || workspace.workflows().iter().any(|workflow| {
            let mut ends = workflow.sources.iter().chain(&workflow.destinations);
            ends.any(|end| Some(end.as_str()) == id)
        })
}

/// The paths of connectors that wait for a workflow: each is looked at every other minute, and says when the next time is.
pub fn waiting(books: &Books) -> Vec<String> {
    let sources = books.present().map(|(_, resource)| &resource.object);
    let objects = sources.chain(present(books, "PineconeDestination"));
    let waiting = objects.filter(|object| is_going(object) && readiness(object).1 == "InUse");
    let paths = waiting.map(|object| {
        let meta = &object["metadata"];
        let text = |field: &str| meta[field].as_str().unwrap_or_default();
        let plural = if object["kind"] == "DropboxSource" {
            pipelines::SOURCES
        } else {
            pipelines::DESTINATIONS
        };
        let collection = pipelines::collection(plural, text("namespace"));
        format!("{collection}/{}/status ", text("name"))
    });
    paths.collect()
}

/// What is wrong in the end.
pub fn verdict(workspace: &WorkspaceHandle, books: &Books, setting: Setting) -> Vec<String> {
    let mut found = Vec::new();
    for (workflow, asked) in &books.asked {
        let runs = workspace.runs(workflow);
        if runs > asked.len() {
            found.push(format!(
                "R1: {workflow} ran {runs} times for {} jobs",
                asked.len()
            ));
        }
    }
    for workflow in workspace.workflows() {
        let mut holders = present(books, "UnstructuredWorkflow");
        if !books.left.contains(&workflow.id)
            && !holders.any(|holder| holder["status"]["workflowId"] == workflow.id)
        {
            found.push(format!(
                "R4: workflow {} ({}) is left",
                workflow.name, workflow.id
            ));
        }
    }
    for destination in workspace.destinations() {
        let mut holders = present(books, "PineconeDestination");
        if !books.is_left(&destination.id)
            && !holders.any(|holder| holder["status"]["destinationId"] == destination.id)
        {
            found.push(format!("R4: destination {} is left", destination.name));
        }
    }
    let is_watched = |object: &&Value| {
        setting != Setting::Confined || object["metadata"]["namespace"] == NAMESPACES[0]
    };
    for object in present(books, "PineconeDestination").filter(is_watched) {
        let (ready, reason, message) = readiness(object);
        if !holds_back(workspace, books, object) && (is_going(object) || !ready) {
            found.push(format!(
                "R4: {} has not settled: {reason}: {message}",
                place(object)
            ));
        }
    }
    for object in present(books, "UnstructuredWorkflow").filter(is_watched) {
        found.extend(unsettled(workspace, books, object));
    }
    for object in present(books, "UnstructuredJob").filter(is_watched) {
        found.extend(unfinished(books, object));
    }
    found
}

/// The connector that a reference leads to, if it is as it should be.
fn referred<'a>(books: &'a Books, workflow: &Value, end: &str) -> Option<&'a str> {
    let to = &workflow["spec"][end];
    let fits = |object: &Value| {
        let meta = &object["metadata"];
        object["kind"] == to["kind"]
            && meta["name"] == to["name"]
            && meta["namespace"] == workflow["metadata"]["namespace"]
            && !is_going(object)
            && readiness(object).0
    };
    let sources = books.present().map(|(_, resource)| &resource.object);
    let destinations = present(books, "PineconeDestination");
    let object = sources.chain(destinations).find(|object| fits(object))?;
    let status = &object["status"];
    ["sourceId", "destinationId"]
        .into_iter()
        .find_map(|id| status[id].as_str())
}

fn unsettled(workspace: &WorkspaceHandle, books: &Books, object: &Value) -> Option<String> {
    let place = place(object);
    let (ready, reason, message) = readiness(object);
    if is_going(object) {
        return Some(format!("R4: {place} is not let go: {reason}: {message}"));
    }
    let ends = ["sourceRef", "destinationRef"].map(|end| referred(books, object, end));
    let [Some(source), Some(destination)] = ends else {
        let awaits = [
            "SourceNotFound",
            "SourceNotReady",
            "DestinationNotFound",
            "DestinationNotReady",
        ];
        let true_enough = !ready && awaits.contains(&reason.as_str());
        return (!true_enough)
            .then(|| format!("I7: {place} awaits its connectors: {reason}: {message}"));
    };
    let id = object["status"]["workflowId"].as_str().unwrap_or_default();
    let spec = &object["spec"];
    if reason == "NameConflict" && !spec["workflowName"].is_null() {
        let mut others = workspace.workflows().into_iter();
        let taken = others.any(|other| spec["workflowName"] == *other.name && other.id != id);
        return (!taken).then(|| format!("I5: {place}: {reason}: {message}"));
    }
    if !ready {
        return Some(format!("I5: {place} has not settled: {reason}: {message}"));
    }
    let Some(workflow) = workspace.workflow(id) else {
        return Some(format!("I7: {place} is ready and has no workflow"));
    };
    if workflow.sources != [source] || workflow.destinations != [destination] {
        return Some(format!("I7: {place} is ready and leads elsewhere"));
    }
    let state = spec["state"].as_str().unwrap_or("Active").to_lowercase();
    let scheduled = spec["schedule"].is_null() != workflow.schedule.is_some();
    if workflow.status != state || !scheduled || workflow.reprocess_all {
        return Some(format!("I7: {place} is ready and its workflow differs"));
    }
    None
}

fn unfinished(books: &Books, object: &Value) -> Option<String> {
    let place = place(object);
    let (_, reason, message) = readiness(object);
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    if is_going(object) {
        return Some(format!(
            "R4: {place} is not let go: {phase}: {reason}: {message}"
        ));
    }
    if is_final(object) {
        return None;
    }
    let mut workflows = present(books, "UnstructuredWorkflow");
    let workflow = workflows.find(|workflow| {
        workflow["metadata"]["name"] == object["spec"]["workflowRef"]["name"]
            && workflow["metadata"]["namespace"] == object["metadata"]["namespace"]
    });
    let can_run = workflow.is_some_and(|workflow| readiness(workflow).0);
    // Asked for in vain, it is asked for again as soon as the workflow is ready.
    let waits = !can_run && ["", "Pending", "Starting"].contains(&phase);
    (!waits).then(|| format!("I5: {place} has not finished: {phase}: {reason}: {message}"))
}
