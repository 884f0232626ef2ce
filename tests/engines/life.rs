//! The whole life of the example: installed, synced, healed, changed, upgraded, deleted.

use anyhow::{Context, Result};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use support::stage::source_id;
use tokio::time::Instant;

use super::argocd::ArgoCd;
use super::flux::Flux;
use super::{Engine, settles};
use crate::install::cluster::{RELEASE, SYSTEM};

#[tokio::test]
#[ignore = "builds Flux"]
async fn flux_lives_the_whole_life_of_the_example() -> Result<()> {
    live(Flux::fleet().await?).await
}

#[tokio::test]
#[ignore = "builds Argo CD"]
async fn argocd_lives_the_whole_life_of_the_example() -> Result<()> {
    live(ArgoCd::fleet().await?).await
}

async fn live(mut engine: impl Engine) -> Result<()> {
    engine.world_mut().write("contracts", json!({}))?;
    engine.sync().await?;
    engine.world().ready("contracts").await?;
    the_release_has_the_name_that_the_documentation_uses(&engine).await?;
    a_commit_becomes_ready(&mut engine).await?;
    nothing_drifts(&engine).await?;
    what_is_changed_by_hand_is_put_back(&engine).await?;
    several_changes_come_in_one_commit(&mut engine).await?;
    a_newer_chart_touches_no_connector(&engine).await?;
    deleting_all_of_it_leaves_what_is_retained_and_the_definition(&engine).await
}

async fn the_release_has_the_name_that_the_documentation_uses(engine: &impl Engine) -> Result<()> {
    let deployment = format!("-n {SYSTEM} get deployment {RELEASE}");
    engine.world().kubectl(&deployment).await?;
    Ok(())
}

async fn a_commit_becomes_ready<E: Engine>(engine: &mut E) -> Result<()> {
    let spec = json!({ "remoteUrl": "dropbox://invoices" });
    engine.world_mut().write("invoices", spec)?;
    let began = Instant::now();
    let commit = engine.push().await?;
    engine.world().ready("invoices").await?;
    let ready = began.elapsed().as_secs_f32();
    engine.synced(&commit).await?;
    let synced = began.elapsed().as_secs_f32();
    println!(
        "{}: {ready:.1} s from commit to Ready, {synced:.1} s until the engine says so",
        E::NAME
    );
    Ok(())
}

async fn nothing_drifts(engine: &impl Engine) -> Result<()> {
    const LOOKS: usize = 20;
    let world = engine.world();
    let before = world.ready("contracts").await?;
    let writes = || {
        let puts = world
            .cluster
            .api
            .requests_matching("PUT", "/api/v1/sources/");
        puts.len()
    };
    let written = writes();
    for _ in 0..LOOKS {
        assert!(engine.look().await?, "something is out of sync");
    }
    let after = world.ready("contracts").await?;
    assert_eq!(after.resource_version(), before.resource_version());
    assert_eq!(writes(), written);
    Ok(())
}

async fn what_is_changed_by_hand_is_put_back(engine: &impl Engine) -> Result<()> {
    let world = engine.world();
    let before = world.ready("contracts").await?;
    let elsewhere = json!({ "remoteUrl": "dropbox://elsewhere" });
    world.cluster.edit("contracts", elsewhere).await?;
    engine.look().await?;
    let mended = |object: &kube::api::DynamicObject| {
        object.data["spec"]["remoteUrl"] == "dropbox://data"
            && object.metadata.generation > before.metadata.generation
    };
    world.source("contracts", mended).await?;
    let after = world.ready("contracts").await?;
    assert_eq!(source_id(&after), source_id(&before));

    let params = DeleteParams::default();
    world.cluster.sources().delete("contracts", &params).await?;
    settles("contracts is another one", async || {
        engine.look().await?;
        let now = world.cluster.sources().get_opt("contracts").await?;
        Ok(now.filter(|now| now.uid() != before.uid()))
    })
    .await?;
    world.ready("contracts").await?;
    assert_eq!(world.connectors().len(), 2);
    Ok(())
}

/// One is new, one is edited, one has another name, one goes and leaves its connector, one goes with it.
async fn several_changes_come_in_one_commit(engine: &mut impl Engine) -> Result<()> {
    let gone = ["renamed", "retained", "deleted"];
    for name in ["edited", "renamed", "retained", "deleted"] {
        let policy = if name == "retained" {
            "Retain"
        } else {
            "Delete"
        };
        let spec = json!({ "remoteUrl": format!("dropbox://{name}"), "deletionPolicy": policy });
        engine.world_mut().write(name, spec)?;
    }
    engine.sync().await?;
    for name in gone {
        engine.world().ready(name).await?;
    }
    let edited = engine.world().ready("edited").await?;

    for name in gone {
        engine.world_mut().remove(name);
    }
    let spec = json!({ "remoteUrl": "dropbox://edited", "recursive": true });
    engine.world_mut().write("edited", spec)?;
    for (name, folder) in [("new", "new"), ("another-name", "renamed")] {
        let spec = json!({ "remoteUrl": format!("dropbox://{folder}") });
        engine.world_mut().write(name, spec)?;
    }
    engine.sync().await?;
    let world = engine.world();
    for name in gone {
        world.gone(name).await?;
    }
    for name in ["new", "another-name"] {
        world.ready(name).await?;
    }
    let again = world.ready("edited").await?;
    assert_eq!(source_id(&again), source_id(&edited));
    let connectors = world.connectors();
    let expected = [
        "another-name",
        "contracts",
        "edited",
        "invoices",
        "new",
        "retained",
    ];
    assert_eq!(connectors.len(), expected.len(), "{connectors:?}");
    for (connector, name) in connectors.iter().zip(expected) {
        assert!(connector.contains(name), "{connectors:?}");
    }
    Ok(())
}

async fn a_newer_chart_touches_no_connector(engine: &impl Engine) -> Result<()> {
    let world = engine.world();
    let (pods, connectors) = (world.cluster.kubelet.pods(), world.connectors());
    world.forge.push_chart(&world.cluster, "0.1.1").await?;
    engine.upgrade("0.1.1").await?;
    settles("every pod is another one", async || {
        let running = world.cluster.kubelet.pods();
        let old = running.keys().any(|pod| pods.contains_key(pod));
        Ok((!running.is_empty() && !old).then_some(()))
    })
    .await?;
    world.ready("new").await?;
    assert_eq!(world.connectors(), connectors);
    Ok(())
}

async fn deleting_all_of_it_leaves_what_is_retained_and_the_definition(
    engine: &impl Engine,
) -> Result<()> {
    let world = engine.world();
    engine.delete_sources().await?;
    let left = settles("the connectors are gone", async || {
        let left = world.connectors();
        Ok((left.len() == 1).then_some(left))
    })
    .await?;
    assert!(left[0].contains("retained"), "{left:?}");
    engine.delete_operator().await?;
    settles("the pods are gone", async || {
        Ok(world.cluster.kubelet.pods().is_empty().then_some(()))
    })
    .await?;
    let sources = world.cluster.sources().list(&ListParams::default()).await;
    sources.context("the definition is gone")?;
    Ok(())
}
