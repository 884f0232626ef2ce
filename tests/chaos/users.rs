//! What users do, and what other people do in the workspace.

use std::time::Duration;

use anyhow::{Result, bail};
use fastrand::Rng;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use support::stage::manifest;
use tokio::time::{Instant, sleep};

use super::{
    CANARY, CONTESTED, NAMESPACES, RESOURCES_EACH, SECRETS_EACH, TENANT, TENANT_KEY, World,
};

/// Only these are ever told to leave their connector behind: of all others nothing may be left.
fn may_be_retained(resource: u32) -> bool {
    resource % 6 == 4
}

/// These choose a name for their connector, the others get one.
fn is_named(resource: u32) -> bool {
    resource % 4 == 3
}

/// The Secrets of a namespace, and half of its resources.
pub async fn move_in(world: &World, namespace: &str) -> Result<()> {
    for number in 0..SECRETS_EACH {
        put_secret(
            world,
            namespace,
            &format!("dropbox-{number}"),
            &credentials(0),
        )
        .await?;
    }
    let key = json!({ "api_key": TENANT_KEY });
    put_secret(world, namespace, "unstructured", &key).await?;
    for number in (0..RESOURCES_EACH).step_by(2) {
        create(world, namespace, number).await?;
    }
    Ok(())
}

/// One change after the other, until the end.
pub async fn change_their_minds(world: &World, mut random: Rng, end: Instant) -> Result<()> {
    let mut serial = 0;
    while Instant::now() < end {
        serial += 1;
        let namespace = NAMESPACES[random.usize(..NAMESPACES.len())];
        let number = random.u32(..RESOURCES_EACH);
        let secret = format!("dropbox-{}", random.u32(..SECRETS_EACH));
        match random.u32(..20) {
            0..6 => create(world, namespace, number).await?,
            6..9 => {
                let folder = format!("dropbox://folder-{serial}");
                let spec = json!({ "remoteUrl": folder, "recursive": random.bool() });
                edit(world, namespace, &name(number), &spec).await?;
            }
            9..11 => put_secret(world, namespace, &secret, &credentials(serial)).await?,
            11 => lose_secret(world, namespace, &secret, serial).await?,
            12 => {
                let spec = json!({ "suspend": random.bool() });
                edit(world, namespace, &name(number), &spec).await?;
            }
            13 if may_be_retained(number) => {
                let kept = format!("{namespace}.{}.test", name(number));
                world.retained.lock().unwrap().insert(kept);
                let policy = if random.bool() { "Retain" } else { "Delete" };
                let spec = json!({ "deletionPolicy": policy });
                edit(world, namespace, &name(number), &spec).await?;
            }
            13..17 => delete(world, namespace, number).await?,
            17..19 => meddle(world, namespace, &mut random),
            _ => {
                // Made, renamed and deleted before anybody can have looked.
                create(world, namespace, number).await?;
                edit(
                    world,
                    namespace,
                    &name(number),
                    &json!({ "remoteUrl": "dropbox://brief" }),
                )
                .await?;
                delete(world, namespace, number).await?;
            }
        }
        sleep(Duration::from_millis(random.u64(20..200))).await;
    }
    println!("{serial} changes by users");
    Ok(())
}

/// Nobody wants anything suspended any more.
pub async fn resume_everything(world: &World) -> Result<()> {
    for namespace in NAMESPACES {
        let sources = world.sources(namespace);
        let all = surely(async || sources.list(&ListParams::default()).await).await?;
        for source in all.into_iter().flatten() {
            let name = source.metadata.name.unwrap_or_default();
            edit(world, namespace, &name, &json!({ "suspend": false })).await?;
        }
    }
    Ok(())
}

/// Somebody else deletes or changes a connector of ours.
fn meddle(world: &World, namespace: &str, random: &mut Rng) {
    let workspace = &world.workspaces[namespace];
    let mut ours = workspace.sources();
    ours.retain(|source| {
        world
            .foreign
            .iter()
            .all(|(_, foreign)| foreign.id != source.id)
    });
    let Some(victim) = random.choice(ours) else {
        return;
    };
    if random.bool() {
        workspace.remove(&victim.id);
    } else {
        workspace.edit(&victim.id, |source| {
            source.config.insert(
                "remote_url".to_owned(),
                json!("dropbox://not-what-you-wanted"),
            );
        });
    }
}

async fn create(world: &World, namespace: &str, number: u32) -> Result<()> {
    let mut spec = json!({
        "credentials": { "secretRef": { "name": format!("dropbox-{}", number % SECRETS_EACH) } },
    });
    if is_named(number) {
        spec["connectorName"] = json!(format!("{namespace}-named-{number}"));
    }
    if namespace == TENANT {
        spec["workspace"] = json!({ "apiKeySecretRef": { "name": "unstructured" } });
    }
    let (sources, object) = (world.sources(namespace), manifest(&name(number), spec));
    surely(async || sources.create(&PostParams::default(), &object).await).await?;
    Ok(())
}

/// A resource that is on its way out is left alone: whoever changes it then may come too late, and the test could not tell.
async fn edit(world: &World, namespace: &str, name: &str, spec: &Value) -> Result<()> {
    let sources = world.sources(namespace);
    let Some(known) = surely(async || sources.get(name).await).await? else {
        return Ok(());
    };
    if known.metadata.deletion_timestamp.is_none() && name != CONTESTED {
        let patch = Patch::Merge(json!({ "spec": spec }));
        surely(async || sources.patch(name, &PatchParams::default(), &patch).await).await?;
    }
    Ok(())
}

async fn delete(world: &World, namespace: &str, number: u32) -> Result<()> {
    let sources = world.sources(namespace);
    let name = name(number);
    surely(async || sources.delete(&name, &DeleteParams::default()).await).await?;
    Ok(())
}

async fn put_secret(world: &World, namespace: &str, name: &str, entries: &Value) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), namespace);
    let patch = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": entries,
    }));
    let params = PatchParams::apply("users").force();
    surely(async || secrets.patch(name, &params, &patch).await).await?;
    Ok(())
}

async fn lose_secret(world: &World, namespace: &str, name: &str, serial: u32) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), namespace);
    surely(async || secrets.delete(name, &DeleteParams::default()).await).await?;
    sleep(Duration::from_millis(300)).await;
    put_secret(world, namespace, name, &credentials(serial)).await
}

fn name(number: u32) -> String {
    format!("r{number}")
}

fn credentials(serial: u32) -> Value {
    json!({
        "app_key": format!("{CANARY}-key-{serial}"),
        "app_secret": format!("{CANARY}-secret-{serial}"),
        "refresh_token": format!("{CANARY}-token-{serial}"),
    })
}

/// Tries until the API server has an opinion; `None` when it refuses.
pub async fn surely<T>(request: impl AsyncFn() -> kube::Result<T>) -> Result<Option<T>> {
    for _ in 0..600 {
        match request().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(kube::Error::Api(status)) if (400..429).contains(&status.code) => return Ok(None),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    bail!("the API server does not come back")
}
