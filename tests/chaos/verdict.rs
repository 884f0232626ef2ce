//! What has to be true when the storm is over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};
use support::canary::canary;
use support::fake::unstructured::WorkspaceHandle;
use support::stage::{API_KEY, condition, kind, source_id};
use tokio::time::{Instant, sleep};

use super::disasters::Operators;
use super::{CANARY, CONTESTED, Cluster, NAMESPACES, SYNC_INTERVAL, World, connector_name};

/// Kinds that a storm is about.
pub const KINDS: [&str; 4] = [
    "DropboxSource",
    "PineconeDestination",
    "UnstructuredWorkflow",
    "UnstructuredJob",
];

/// A run of failures may have made the operator wait for a minute and, after that, for its turn.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Waits until nothing is wrong any more, and sees that it stays so without another write.
pub async fn everything_comes_true(world: &World) -> Result<()> {
    let begun = Instant::now();
    while let Some(wrong) = first_wrongs(world).await? {
        if begun.elapsed() > PATIENCE {
            bail!("still wrong {PATIENCE:?} after the last fault:\n{wrong}");
        }
        sleep(Duration::from_millis(250)).await;
    }
    println!("settled after {:?}", begun.elapsed());
    let writes = || {
        world
            .api
            .requests()
            .iter()
            .filter(|r| r.method != "GET")
            .count()
    };
    let before = writes();
    sleep(SYNC_INTERVAL * 2).await;
    ensure!(writes() == before, "what is true is written again");
    if let Some(wrong) = first_wrongs(world).await? {
        bail!("it did not stay true:\n{wrong}");
    }
    for (workspace, stranger) in &world.foreign {
        ensure!(
            workspace.source(&stranger.id).as_ref() == Some(stranger),
            "the foreign connector {:?} was touched",
            stranger.name
        );
    }
    let retained = world.retained.lock().unwrap();
    let doubles = world.doubles.lock().unwrap();
    let doubles: Vec<_> = doubles.difference(&retained).collect();
    ensure!(
        doubles.is_empty(),
        "two connectors had one name at some moment: {doubles:?}"
    );
    let violations = world.api.take_violations();
    ensure!(
        violations.is_empty(),
        "no careful client sends {violations:?}"
    );
    Ok(())
}

/// No secret is in the logs, the objects or the events.
pub async fn nothing_got_out(
    cluster: &Cluster,
    namespaces: &[&str],
    operators: &Operators,
) -> Result<()> {
    let canary = canary(&[CANARY, API_KEY]);
    let search = |place: &str, text: &str| {
        let leaks = canary.find(text);
        ensure!(leaks.is_empty(), "{place} shows {leaks:?}");
        Ok(())
    };
    for log in &operators.logs {
        let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
        search(&log.display().to_string(), &text)?;
        ensure!(
            !text.contains("panicked"),
            "a panic is in {}",
            log.display()
        );
    }
    let client = &cluster.client;
    for namespace in namespaces {
        for name in KINDS {
            let objects: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &kind(name));
            let objects = objects.list(&ListParams::default()).await?;
            search(name, &serde_json::to_string(&objects)?)?;
        }
        let events: Api<Event> = Api::namespaced(client.clone(), namespace);
        let events = events.list(&ListParams::default()).await?;
        search("an event", &serde_json::to_string(&events)?)?;
    }
    Ok(())
}

/// What differs from the truth, one line each.
async fn first_wrongs(world: &World) -> Result<Option<String>> {
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::new();
    for namespace in NAMESPACES {
        let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), namespace);
        let secrets = secrets.list(&ListParams::default()).await?.items;
        let secrets = secrets
            .into_iter()
            .map(|s| (s.metadata.name.clone().unwrap_or_default(), s));
        let secrets: BTreeMap<_, _> = secrets.collect();
        for resource in world
            .sources(namespace)
            .list(&ListParams::default())
            .await?
        {
            let name = resource.metadata.name.clone().unwrap_or_default();
            let judged = if name == CONTESTED {
                judge_contested(&resource)
            } else {
                expected.insert(connector_name(namespace, &name, &resource.data["spec"]));
                judge(world, namespace, &name, &resource, &secrets)
            };
            wrong.extend(
                judged
                    .err()
                    .map(|error| format!("{namespace}/{name}: {error}")),
            );
        }
    }
    let strange = |id: &str| world.foreign.iter().any(|(_, stranger)| stranger.id == id);
    let retained = world.retained.lock().unwrap();
    for source in world.workspaces.values().flat_map(WorkspaceHandle::sources) {
        let wanted = expected.contains(&source.name) || retained.contains(&source.name);
        if !wanted && !strange(&source.id) {
            wrong.push(format!("the connector {:?} belongs to nobody", source.name));
        }
    }
    Ok((!wrong.is_empty()).then(|| wrong.join("\n")))
}

fn judge(
    world: &World,
    namespace: &str,
    name: &str,
    resource: &DynamicObject,
    secrets: &BTreeMap<String, Secret>,
) -> Result<()> {
    ensure!(
        resource.metadata.deletion_timestamp.is_none(),
        "it is still being deleted"
    );
    let spec = &resource.data["spec"];
    let wanted = connector_name(namespace, name, spec);
    let mut named = world.workspaces[namespace].sources();
    named.retain(|source| source.name == wanted && source.connector_type == "dropbox");
    ensure!(
        named.len() == 1,
        "{} connectors are named {wanted:?}",
        named.len()
    );

    let secret = &secrets[spec["credentials"]["secretRef"]["name"]
        .as_str()
        .unwrap_or_default()];
    let value = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned())
    };
    let config = json!({
        "remote_url": spec["remoteUrl"],
        "recursive": spec["recursive"],
        "app_key": value("app_key"),
        "app_secret": value("app_secret"),
        "refresh_token": value("refresh_token"),
    });
    let differing = config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| named[0].config.get(*key) != Some(value));
    let differing: Vec<_> = differing.map(|(key, _)| key).collect();
    ensure!(differing.is_empty(), "the connector's {differing:?} differ");
    ensure!(
        named[0].config.len() == 5,
        "the connector has settings that nobody asked for"
    );

    ensure!(
        source_id(resource) == Some(&named[0].id),
        "the status names another connector"
    );
    ensure!(
        resource.data["status"]["observedGeneration"].as_i64() == resource.metadata.generation,
        "the status is of another generation"
    );
    ensure!(
        resource.data["status"]["resendAfter"].is_null(),
        "an update whose answer was lost is yet to be sent once more"
    );
    let ready = condition(resource, "Ready").cloned().unwrap_or(Value::Null);
    ensure!(ready["status"] == "True", "it is not ready: {ready}");
    Ok(())
}

fn judge_contested(resource: &DynamicObject) -> Result<()> {
    let ready = condition(resource, "Ready").cloned().unwrap_or(Value::Null);
    ensure!(
        ready["status"] == "False" && ready["reason"] == "NameConflict",
        "somebody else has its name, yet it says {ready}"
    );
    ensure!(
        source_id(resource).is_none(),
        "it has taken somebody else's connector"
    );
    Ok(())
}
