//! Who comes first: keys that go with their resources, Secrets that come after them, resources that are suspended meanwhile.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use support::fake::unstructured::WorkspaceHandle;
use support::stage::{condition, source_id};

use super::argocd::ArgoCd;
use super::flux::Flux;
use super::{Engine, World, settles, source_manifest};
use crate::install::cluster::{RELEASE, SYSTEM, TEAM};

/// As many as show that what depends on who comes first does not depend on it.
const PRUNED: usize = 7;

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_prunes_sources_together_with_the_keys_of_their_workspaces() -> Result<()> {
    prune_with_keys(Flux::fleet().await?).await
}

/// Argo CD deletes in the foreground: the garbage collector touches a resource while its deletion is under way.
#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_prunes_sources_together_with_the_keys_of_their_workspaces() -> Result<()> {
    prune_with_keys(ArgoCd::fleet().await?).await
}

/// Each in a workspace of its own.
async fn prune_with_keys(mut engine: impl Engine) -> Result<()> {
    let world = engine.world_mut();
    let workspaces: Vec<_> = (0..PRUNED)
        .map(|n| with_key(world, n, None))
        .collect::<Result<_>>()?;
    engine.sync().await?;
    for n in 0..PRUNED {
        engine.world().ready(&format!("source-{n}")).await?;
    }
    remove_with_keys(engine.world_mut());
    engine.sync().await?;
    nothing_is_left(engine.world(), &workspaces).await
}

/// Argo CD prunes waves in reverse, so a key in an earlier one is there to the end, whoever was restarted.
#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_prunes_keys_of_an_earlier_wave_last() -> Result<()> {
    let mut argocd = ArgoCd::fleet().await?;
    let world = argocd.world_mut();
    let workspaces: Vec<_> = (0..PRUNED)
        .map(|n| with_key(world, n, Some("-1")))
        .collect::<Result<_>>()?;
    argocd.sync().await?;
    for n in 0..PRUNED {
        argocd.world().ready(&format!("source-{n}")).await?;
    }
    let restart = format!("-n {SYSTEM} rollout restart deployment {RELEASE}");
    argocd.world().kubectl(&restart).await?;
    let status = format!("-n {SYSTEM} rollout status deployment {RELEASE} --timeout=240s");
    argocd.world().kubectl(&status).await?;
    remove_with_keys(argocd.world_mut());
    argocd.sync().await?;
    nothing_is_left(argocd.world(), &workspaces).await
}

fn with_key(world: &mut World, n: usize, wave: Option<&str>) -> Result<WorkspaceHandle> {
    let key = format!("key-of-workspace-{n}-7d1c");
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": { "api_key": key },
        "metadata": { "name": format!("key-{n}"), "namespace": TEAM },
    });
    if let Some(wave) = wave {
        secret["metadata"]["annotations"] = json!({ "argocd.argoproj.io/sync-wave": wave });
    }
    world.put(&format!("key-{n}"), &secret)?;
    let workspace = json!({ "apiKeySecretRef": { "name": format!("key-{n}") } });
    let spec = json!({ "remoteUrl": format!("dropbox://data/{n}"), "workspace": workspace });
    world.write(&format!("source-{n}"), spec)?;
    Ok(world.cluster.api.workspace(&key))
}

fn remove_with_keys(world: &mut World) {
    for n in 0..PRUNED {
        world.remove(&format!("source-{n}"));
        world.remove(&format!("key-{n}"));
    }
}

/// Every source is gone, without a complaint, and with it its connector.
async fn nothing_is_left(world: &World, workspaces: &[WorkspaceHandle]) -> Result<()> {
    for (n, workspace) in workspaces.iter().enumerate() {
        let name = format!("source-{n}");
        world.gone(&name).await?;
        ensure!(workspace.sources().is_empty(), "{name} left its connector");
        nothing_was_warned_of(world, &name).await?;
    }
    Ok(())
}

async fn nothing_was_warned_of(world: &World, name: &str) -> Result<()> {
    for (kind, reason, note) in world.events(name).await? {
        ensure!(kind != "Warning", "{name}: {reason}: {note}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_prunes_what_is_retained_without_a_warning() -> Result<()> {
    let mut argocd = ArgoCd::fleet().await?;
    for n in 0..PRUNED {
        let folder = format!("dropbox://data/{n}");
        let spec = json!({ "remoteUrl": folder, "deletionPolicy": "Retain" });
        argocd.world_mut().write(&format!("source-{n}"), spec)?;
    }
    argocd.sync().await?;
    for n in 0..PRUNED {
        argocd.world().ready(&format!("source-{n}")).await?;
    }
    remove_with_keys(argocd.world_mut());
    argocd.sync().await?;
    for n in 0..PRUNED {
        let name = format!("source-{n}");
        argocd.world().gone(&name).await?;
        nothing_was_warned_of(argocd.world(), &name).await?;
    }
    assert_eq!(argocd.world().connectors().len(), PRUNED);
    Ok(())
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_goes_on_past_a_source_that_is_suspended_in_git() -> Result<()> {
    suspend_and_resume(Flux::fleet().await?).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_goes_on_past_a_source_that_is_suspended_in_git() -> Result<()> {
    suspend_and_resume(ArgoCd::fleet().await?).await
}

async fn suspend_and_resume(mut engine: impl Engine) -> Result<()> {
    for spec in [
        json!({}),
        json!({ "suspend": true }),
        json!({ "recursive": true }),
    ] {
        in_the_first_wave(engine.world_mut(), spec)?;
        engine.sync().await?;
    }
    engine.world().ready("contracts").await?;
    let sources = engine.world().cluster.workspace.sources();
    assert_eq!(sources[0].config["recursive"], true);
    Ok(())
}

/// Suspended with a change that is not sent: the engine fails at once, and takes the commit that resumes.
#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_takes_the_next_commit_after_one_that_is_suspended_and_not_sent() -> Result<()> {
    suspend_with_a_change(Flux::fleet().await?).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_takes_the_next_commit_after_one_that_is_suspended_and_not_sent() -> Result<()> {
    suspend_with_a_change(ArgoCd::fleet().await?).await
}

async fn suspend_with_a_change(mut engine: impl Engine) -> Result<()> {
    in_the_first_wave(engine.world_mut(), json!({}))?;
    engine.sync().await?;
    let spec = json!({ "suspend": true, "recursive": true });
    in_the_first_wave(engine.world_mut(), spec)?;
    let refused = engine.sync().await.err();
    let refused = format!("{:#}", refused.context("the engine takes it for done")?);
    ensure!(refused.contains("the engine says"), "{refused}");
    in_the_first_wave(engine.world_mut(), json!({ "recursive": true }))?;
    engine.sync().await
}

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_waits_for_a_secret_that_comes_after_its_source() -> Result<()> {
    secret_comes_late(Flux::fleet().await?).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_waits_for_a_secret_that_comes_after_its_source() -> Result<()> {
    secret_comes_late(ArgoCd::fleet().await?).await
}

/// As External Secrets does.
async fn secret_comes_late(mut engine: impl Engine) -> Result<()> {
    let late = json!({ "credentials": { "secretRef": { "name": "late" } } });
    in_the_first_wave(engine.world_mut(), late)?;
    let commit = engine.push().await?;
    let misses = |object: &DynamicObject| {
        condition(object, "Ready").is_some_and(|ready| ready["reason"] == "SecretNotFound")
    };
    engine.world().source("contracts", misses).await?;
    // So that the engine has seen it, too.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    engine.world().cluster.credentials_as("late").await?;
    engine.synced(&commit).await?;
    engine.world().ready("contracts").await?;
    Ok(())
}

/// A source that something else waits for, where the engine knows waves.
fn in_the_first_wave(world: &mut World, spec: Value) -> Result<()> {
    world.write("contracts", spec)?;
    let second = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "second", "namespace": TEAM,
            "annotations": { "argocd.argoproj.io/sync-wave": "1" },
        },
        "data": { "of": fastrand::u64(..).to_string() },
    });
    world.put("second", &second)
}

/// `Replace=true` takes the finalizer off. What is then deleted while no operator runs leaves its connector, and that is told.
#[tokio::test]
#[ignore = "builds Argo CD"]
async fn a_connector_that_was_orphaned_while_no_operator_ran_is_told_of() -> Result<()> {
    let mut argocd = ArgoCd::fleet().await?;
    argocd.world_mut().write("contracts", json!({}))?;
    argocd.sync().await?;
    let connector = argocd.world().ready("contracts").await?;
    argocd.let_go_of_the_operator().await?;
    let scale = format!("-n {SYSTEM} scale deployment {RELEASE} --replicas");
    argocd.world().kubectl(&format!("{scale}=0")).await?;
    settles("no operator runs", async || {
        Ok(argocd
            .world()
            .cluster
            .kubelet
            .pods()
            .is_empty()
            .then_some(()))
    })
    .await?;

    let mut manifest = source_manifest("contracts", json!({ "recursive": true }))?;
    let replace = json!({ "argocd.argoproj.io/sync-options": "Replace=true" });
    manifest["metadata"]["annotations"] = replace;
    argocd.world_mut().put("contracts", &manifest)?;
    argocd.sync().await?;
    let replaced = argocd.world().cluster.sources().get("contracts").await?;
    assert!(replaced.finalizers().is_empty(), "it keeps its finalizer");
    argocd.world_mut().remove("contracts");
    argocd.sync().await?;
    argocd.world().gone("contracts").await?;

    argocd.world().kubectl(&format!("{scale}=1")).await?;
    let id = source_id(&connector).context("an id")?;
    settles("the connector is told of", async || {
        let told = argocd.world().kubectl("get events -A -o json").await?;
        Ok(told.contains(id).then_some(()))
    })
    .await?;
    assert_eq!(argocd.world().connectors().len(), 1);
    Ok(())
}
