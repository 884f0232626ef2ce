//! Storms without end over one and the same process, whose memory is looked at whenever the weather is fine.
//!
//! `SOAK_SECONDS` says how long (an hour is 3600), `CHAOS_SEED` repeats what happens.

use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use tokio::time::Instant;

use super::disasters::{OF_KUBERNETES, Operators};
use super::{NAMESPACES, World, faults, play, users, verdict};

/// How long one storm lasts at most.
const STORM: Duration = Duration::from_secs(50);

/// What resident memory may have grown by since the end of the first storm: what a heap of changing load leaves unused, not more with
/// every storm.
const GROWTH: f64 = 0.25;
const SLACK: f64 = 4e6;

#[tokio::test]
async fn storm_after_storm_leaves_no_memory_behind() -> Result<()> {
    play("soak", "SOAK_SECONDS", 20, soak).await
}

async fn soak(seed: u64, duration: Duration) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let world = World::new().await?;
    let mut operators = Operators::start(world.settings(), 1).await?;
    let begun = Instant::now();
    let storm = STORM.min(duration / 2);
    let mut resident = Vec::new();
    while begun.elapsed() < duration || resident.len() < 2 {
        world.api.inject_by(faults::of_unstructured(random.fork()));
        world.dropbox.inject_by(faults::of_dropbox(random.fork()));
        let end = Instant::now() + storm;
        tokio::try_join!(
            users::change_their_minds(&world, random.fork(), end),
            operators.suffer(&world.cluster, random.fork(), end, &OF_KUBERNETES),
        )?;
        world.api.clear_faults();
        world.dropbox.clear_faults();
        users::resume_everything(&world).await?;
        verdict::everything_comes_true(&world).await?;
        let bytes = operators.resident_bytes().await?;
        let seconds = begun.elapsed().as_secs();
        println!("resident after {seconds} s: {:.1} MB", bytes / 1e6);
        resident.push(bytes);
    }
    let (first, last) = (resident[0], resident[resident.len() - 1]);
    ensure!(
        last <= first * (1.0 + GROWTH) + SLACK,
        "memory grew from {first} to {last} bytes"
    );
    verdict::nothing_got_out(&world.cluster, &NAMESPACES, &operators).await
}
