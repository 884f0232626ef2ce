//! The verdict. While a simulation runs, each write to Unstructured is judged as it is sent (I3: only ours). When the faults have
//! ended and time was given, what is there is judged: I1 one, I2 none left, I5 it settles, I6 quiet, I7 honest, I10 it lets go.
//!
//! What is allowed, and why:
//! - A connector that carries a resource's reserved name and that nobody left on purpose counts as that resource's: the scheme is
//!   reserved, so a console user who uses it has been told.
//! - A connector may stay without a resource only if somebody said so: `Retain`, a definition that is deleted, or a namespace whose
//!   key went first and whose event names the connector.
//! - A connector that somebody else makes under a reserved name within half an hour of a create of ours may be taken for what came
//!   of that create: nothing tells them apart.
//! - A confined operator that begins when its namespace is going may list nothing there any more, because the Role went first. What
//!   is left of such a namespace is not judged: nothing that the operator may do could end it.
//! - Two seconds are granted between a change in Kubernetes and a request to Unstructured that does not know of it yet: no API can
//!   offer both at once.
//! - A copy of a resource in another cluster whose spec names its connector, by `connectorName` or `existingSourceId`, cannot be told
//!   from the original: they may share that connector, and overwrite each other there. Nothing else may be shared.
//! - A status that somebody wrote over while no operator could know it is believed. A resource with a chosen name then cannot prove
//!   that a connector of that name is its own, and may rest with `NameConflict`, if that names the connector. One whose record is now
//!   of another workspace may rest with `WorkspaceChanged`. Either is a question for a person.
//! - A cluster that is restored from a snapshot of its store forgets the resources that were made since: their connectors stay, and
//!   the event `Unclaimed` names those with default names. What it forgets of the others is as if somebody had written over a status.
//! - Two operators that do not know of each other make two connectors for one resource, and each believes what the other wrote. What
//!   they leave is not judged, but how often they write while they fight, and that the one which stays comes to rest.
//! - A key that a process has worked with outlives its Secret in that process: a connector that this has seen to goes with its
//!   namespace, whatever went first. A process that began later may name it in an event instead.
//! - No resource is ever refused for its spec here, as every spec is right: whatever blames one is untrue.
//! - A suspended resource speaks of what was applied last, not of what has become of its connector since: nobody looks.
//! - A resource may rest unready only for a reason that is true at the end: the name is taken, the connector is held by another, the
//!   connector that it names does not exist, or its record is another cluster's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use support::fake::unstructured::StoredSource;
use tokio::time::Instant;

use super::agenda::Setting;
use super::chronicle::{Chronicle, Sent};
use super::ground::{Ground, NAMESPACES, credentials};
use super::ledger::{Books, Ledger, Resource, Uid};
use super::runs;

/// The time in which a request may not know yet what has changed in Kubernetes.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long after a create of the same name a connector may be taken for what came of it: clocks of two services differ.
const UNTOLD: Duration = Duration::from_mins(30);

/// How often the status of one resource may be written in ten minutes while two operators fight over it: a write is answered ever more
/// slowly, at last once a minute, and a process that begins anew is patient anew.
const CONTESTED: usize = 300;

/// What is wrong with a request to Unstructured, as it is sent.
pub fn objection(
    ledger: &Ledger,
    connectors: &[StoredSource],
    sent: &Sent,
    body: &Value,
) -> Option<String> {
    if sent.path.starts_with("/api/v1/sources/")
        && let Some(why) = ledger.with(|books| cannot_be_recorded(books, sent))
    {
        return Some(why);
    }
    if sent.method == "POST" && sent.path == "/api/v1/sources/" {
        let name = body["name"].as_str().unwrap_or_default().to_owned();
        ledger.with(|books| books.creates.insert(name, Instant::now()));
        return None;
    }
    let id = sent.path.strip_prefix("/api/v1/sources/")?;
    if id.is_empty() || id.contains('/') || !matches!(sent.method.as_str(), "PUT" | "DELETE") {
        return None;
    }
    let connector = connectors.iter().find(|connector| connector.id == id)?;
    ledger.with(|books| {
        if books.rivals() {
            return None;
        }
        let why = if sent.method == "PUT" {
            put(books, connector)
        } else {
            delete(books, connector, sent.by)
        };
        why.map(|why| {
            format!(
                "I3: {} {} of {} ({id}): {why}",
                sent.by, sent.method, connector.name
            )
        })
    })
}

/// Nothing is made or changed that the installed definition has no room for: one that is older was there before the process.
fn cannot_be_recorded(books: &Books, sent: &Sent) -> Option<String> {
    let cluster = if sent.by == "staging" {
        "staging"
    } else {
        "test"
    };
    let (since, field) = books.lacking.get(cluster)?;
    let is_made = matches!(sent.method.as_str(), "POST" | "PUT");
    (is_made && since.elapsed() > GRACE).then(|| {
        let Sent {
            by, method, path, ..
        } = sent;
        format!("I1: {by} {method} {path}: the definition has no room for {field}")
    })
}

fn put(books: &Books, connector: &StoredSource) -> Option<String> {
    let holders: Vec<_> = holders(books, &connector.id).collect();
    if holders.is_empty() {
        return Some("no resource has it on record".to_owned());
    }
    None
}

fn delete(books: &Books, connector: &StoredSource, by: &str) -> Option<String> {
    let cluster = if by == "staging" { "staging" } else { "test" };
    let id = &connector.id;
    if let Some(since) = books.definition_went(cluster)
        && since > GRACE
    {
        return Some("the definition is being deleted, so that every connector stays".to_owned());
    }
    let deleted = |resource: &Resource| {
        resource.cluster == cluster && resource.going.is_some() && resource.source_id() == Some(id)
    };
    if let Some((uid, resource)) = books.present().find(|(_, resource)| deleted(resource)) {
        if let Some((_, true)) = resource.going {
            return Some("its resource was deleted with Retain".to_owned());
        }
        let holder = books.holders.get(id).filter(|holder| *holder != uid);
        let holder = holder.and_then(|holder| books.resources.get(holder));
        if let Some(holder) =
            holder.filter(|holder| !holder.gone && holder.written.elapsed() > GRACE)
        {
            let (namespace, name) = holder.name();
            return Some(format!("{namespace}/{name} in {} holds it", holder.cluster));
        }
        return None;
    }
    // Made by somebody else while a create of ours was under way, it cannot be told from what came of that.
    let doubtful = books.creates.get(&connector.name);
    let doubtful = doubtful.is_some_and(|sent| sent.elapsed() < UNTOLD);
    if books.foreign.contains(id) && !doubtful {
        return Some(
            "somebody else made it, and no resource that goes has it on record".to_owned(),
        );
    }
    if books.is_left(id) {
        return Some(
            "it was left on purpose, and no resource that goes has it on record".to_owned(),
        );
    }
    if holders(books, id).any(|(_, resource)| resource.going.is_none()) {
        return Some("a resource that stays has it on record".to_owned());
    }
    let named = |resource: &Resource| {
        resource.cluster == cluster && resource.connector_name() == connector.name
    };
    if books.present().any(|(_, resource)| named(resource)) {
        return None;
    }
    Some("no resource has anything to do with it".to_owned())
}

fn holders<'a>(books: &'a Books, id: &'a str) -> impl Iterator<Item = (&'a Uid, &'a Resource)> {
    books
        .present()
        .filter(move |(_, resource)| resource.source_id() == Some(id))
}

/// What is wrong in the end.
pub fn verdict(ground: &Ground, ledger: &Ledger, setting: Setting, version: u32) -> Vec<String> {
    let (own, tenants) = (ground.own.sources(), ground.tenant.sources());
    let mut found = Vec::new();
    ledger.with(|books| {
        if books.blind || books.rivals() {
            return;
        }
        for connector in own.iter().chain(&tenants) {
            if let Some(place) = books.owed.get(&connector.id) {
                let name = &connector.name;
                found.push(format!(
                    "I2: {name} was let be with {place}, though the operator had the key"
                ));
            }
            found.extend(unaccounted(books, connector));
        }
        found.extend(books.untrue.iter().cloned());
        found.extend(runs::verdict(&ground.own, books, setting));
        for (_, resource) in books
            .present()
            .filter(|(_, resource)| is_watched(setting, resource))
            .filter(|(_, resource)| !runs::holds_back(&ground.own, books, &resource.object))
        {
            let connectors = if resource.is_tenants() {
                &tenants
            } else {
                &own
            };
            found.extend(unsettled(books, connectors, resource, version));
        }
        for (cluster, namespace) in books.namespaces_going.keys() {
            let here = if *cluster == "test" {
                &ground.cluster
            } else {
                &ground.staging
            };
            if here
                .kubernetes
                .is_going(&format!("/api/v1/namespaces/{namespace}"))
            {
                found.push(format!(
                    "I10: the namespace {namespace} in {cluster} is still going"
                ));
            }
        }
        for cluster in books.definition_going.keys() {
            let here = if *cluster == "test" {
                &ground.cluster
            } else {
                &ground.staging
            };
            if here.kubernetes.is_going(super::ground::DEFINITION) {
                found.push(format!("I10: the definition in {cluster} is still going"));
            }
        }
    });
    found
}

/// What a careful client would not have sent.
pub fn carelessness(ground: &Ground) -> Vec<String> {
    let seen = [
        ground.api.take_violations(),
        ground.dropbox.take_violations(),
    ];
    let seen = seen.iter().flatten();
    seen.map(|what| format!("the fake saw: {what}")).collect()
}

/// Whether any process looks after a resource.
fn is_watched(setting: Setting, resource: &Resource) -> bool {
    match setting {
        Setting::Whole | Setting::Shards | Setting::Each | Setting::Rivals => {
            resource.cluster == "test"
        }
        Setting::Confined => resource.cluster == "test" && resource.name().0 == NAMESPACES[0],
        Setting::Staging => true,
    }
}

/// A connector that nobody has on record and nobody meant to leave.
fn unaccounted(books: &Books, connector: &StoredSource) -> Option<String> {
    let id = &connector.id;
    let meant = books.foreign.contains(id) || books.is_left(id) || books.is_left_by_name(connector);
    if meant || holders(books, id).next().is_some() {
        return None;
    }
    let owner = books
        .present()
        .find(|(_, resource)| resource.connector_name() == connector.name);
    if owner.is_some_and(|(_, resource)| cannot_prove(resource, id)) {
        return None;
    }
    Some(match owner {
        Some((_, resource)) => format!(
            "I1: {} ({id}) is a second connector of its resource, which has {:?}",
            connector.name,
            resource.source_id()
        ),
        None => format!(
            "I2: {} ({id}) is left, and its resource is gone",
            connector.name
        ),
    })
}

/// It had this connector on record, somebody put another record in its place, and now it asks a person whose it is.
fn cannot_prove(resource: &Resource, id: &str) -> bool {
    let (_, reason, message) = readiness(&resource.object);
    let asks = match reason.as_str() {
        "NameConflict" => message.contains(id),
        "WorkspaceChanged" => true,
        _ => false,
    };
    // What a create made whose answer came after a snapshot was on no record either.
    asks && resource.misled
}

/// Whether resources of two clusters have this connector on record, and the copy is one that cannot be told from an original.
fn is_shared_by_clusters(books: &Books, id: &str) -> bool {
    let here = holders(books, id).any(|(_, resource)| resource.cluster == "test");
    here && holders(books, id).any(|(_, resource)| {
        let named = !resource.is_reserved() || resource.existing().is_some();
        resource.cluster == "staging" && named
    })
}

fn unsettled(
    books: &Books,
    connectors: &[StoredSource],
    resource: &Resource,
    version: u32,
) -> Option<String> {
    let (namespace, name) = resource.name();
    let place = format!("{namespace}/{name} in {}", resource.cluster);
    let (ready, reason, message) = readiness(&resource.object);
    if resource.going.is_some() {
        let named = connectors
            .iter()
            .filter(|c| c.name == resource.connector_name())
            .count();
        let ambiguous = reason == "DeletionBlocked" && !resource.is_reserved() && named > 1;
        return (!ambiguous).then(|| format!("I10: {place} is not let go: {reason}: {message}"));
    }
    let id = resource.source_id();
    let connector = id.and_then(|id| connectors.iter().find(|c| c.id == id));
    if reason == "Suspended" && resource.object["spec"]["suspend"] == true {
        return None;
    }
    if ready {
        let Some(connector) = connector else {
            return Some(format!("I7: {place} is ready and has no connector"));
        };
        let shared = is_shared_by_clusters(books, &connector.id);
        let has_that_of = |resource: &Resource| {
            Value::Object(connector.config.clone())
                == configuration(&resource.object["spec"], version)
        };
        let sharers = holders(books, &connector.id).filter(|_| shared);
        if !has_that_of(resource) && !sharers.into_iter().any(|(_, other)| has_that_of(other)) {
            return Some(format!(
                "I7: {place} is ready and its connector has another configuration"
            ));
        }
        if resource.object["status"]["observedGeneration"]
            != resource.object["metadata"]["generation"]
        {
            return Some(format!("I7: {place} is ready for an earlier generation"));
        }
        let others = holders(books, &connector.id)
            .filter(|(_, other)| other.going.is_none() && readiness(&other.object).0)
            .filter(|(_, other)| !shared || other.cluster == resource.cluster);
        if others.count() > 1 {
            return Some(format!(
                "I1: {place} shares its connector with another that is ready too"
            ));
        }
        return None;
    }
    let taken = connectors
        .iter()
        .any(|c| c.name == resource.connector_name() && Some(c.id.as_str()) != id);
    let named = id.or(resource.existing());
    let held = named.is_some_and(|id| {
        holders(books, id).count() > usize::from(Some(id) == resource.source_id())
    });
    let true_enough = match reason.as_str() {
        "NameConflict" | "AmbiguousConnector" => taken,
        "ConnectorInUse" => held,
        "KeyTaken" => {
            let is_told = |key: &str| message.contains(key);
            let mut others = connectors.iter().filter_map(|c| c.key.as_deref());
            connector.is_none() && others.any(is_told)
        }
        "WorkspaceChanged" => resource.misled && connector.is_none(),
        "SourceNotFound" => named.is_none_or(|id| !connectors.iter().any(|c| c.id == id)),
        // Its record is of another cluster, which is a question for a person.
        _ => resource.meddled && resource.cluster == "staging",
    };
    (!true_enough).then(|| format!("I5: {place} has not settled: {reason}: {message}"))
}

/// Status, reason and message of Ready.
pub fn readiness(object: &Value) -> (bool, String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready");
    let text = |field: &str| {
        let value = ready.and_then(|ready| ready[field].as_str());
        value.unwrap_or_default().to_owned()
    };
    (text("status") == "True", text("reason"), text("message"))
}

fn configuration(spec: &Value, version: u32) -> Value {
    let mut config = json!({ "remote_url": spec["remoteUrl"], "recursive": spec["recursive"] });
    for (name, value) in credentials(version) {
        config[name] = json!(value);
    }
    config
}

/// Statuses that were written again and again because two operators fight over them.
pub fn strife(chronicle: &Chronicle) -> Vec<String> {
    let mut times: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for (at, what) in chronicle.written() {
        if let Some((head, _)) = what.split_once("/status 200") {
            let place = head.split_once(" PUT ").map_or(head, |(_, place)| place);
            *times
                .entry((place.to_owned(), at.as_secs() / 600))
                .or_default() += 1;
        }
    }
    let too_often = times.into_iter().filter(|(_, times)| *times > CONTESTED);
    let told = too_often.map(|((place, _), times)| {
        format!("I6: {place} has its status written {times} times in ten minutes")
    });
    told.collect()
}

/// What was done when there was nothing left to do.
pub fn unrest(
    chronicle: &Chronicle,
    ledger: &Ledger,
    since: Duration,
    rest: Duration,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut sent = chronicle.sent_since(since);
    let mut written = chronicle.written();
    written.retain(|(at, _)| *at > since);
    let mut waits = 0;
    // Two clusters that cannot know of each other, each once in an interval.
    ledger.with(|books| {
        let shares = |resource: &Resource| {
            let id = resource.source_id();
            id.is_some_and(|id| is_shared_by_clusters(books, id))
        };
        for (_, resource) in books.present().filter(|(_, resource)| shares(resource)) {
            let id = resource.source_id().unwrap_or_default();
            let (namespace, name) = resource.name();
            let status = format!("{}/status ", super::ground::path(namespace, name));
            sent.retain(|sent| sent.method == "GET" || !sent.path.contains(id));
            written.retain(|(_, what)| !what.contains(&status));
        }
        for path in runs::waiting(books) {
            written.retain(|(_, what)| !what.contains(&path));
            waits += 1;
        }
        // A deletion that cannot end, because a rival has the connector, is tried again with each comparison.
        let stuck = |resource: &Resource| books.rivals() && resource.going.is_some();
        for (_, resource) in books.present().filter(|(_, resource)| stuck(resource)) {
            let id = resource.source_id().unwrap_or("none");
            let (namespace, name) = resource.name();
            let place = super::ground::path(namespace, name);
            sent.retain(|sent| sent.method == "GET" || !sent.path.contains(id));
            written.retain(|(_, what)| !what.contains(&format!("{place} ")));
        }
    });
    let (looks, writes): (Vec<_>, Vec<_>) = sent.iter().partition(|sent| sent.method == "GET");
    if let Some(write) = writes.first() {
        let (by, method, path) = (write.by, &write.method, &write.path);
        found.push(format!(
            "I6: {by} goes on writing: {method} {path}, {} times",
            writes.len()
        ));
    }
    if let Some((_, write)) = written.first() {
        found.push(format!(
            "I6: Kubernetes is written to without end: {write}, {} times",
            written.len()
        ));
    }
    // Two workspaces, at most three processes, and an interval that is a twentieth shorter.
    let intervals = usize::try_from(rest.as_secs() / 570).unwrap_or(usize::MAX / 8);
    // Those of workflows and jobs have lists of their own, and follow what runs.
    let pipelines = ledger.with(|books| books.others.len());
    let most = 6 * (1 + intervals) * (1 + usize::from(pipelines > 0) + waits);
    if looks.len() > most {
        found.push(format!(
            "I6: {} looks, for example {}",
            looks.len(),
            looks[0].path
        ));
    }
    found
}
