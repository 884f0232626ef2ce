//! Is the API server in memory a true one? The same random calls go to it and to a real one, and the answers are compared: status,
//! reason, and what the object says that the caller relies on. Who owns what is compared as far as whole specs are applied by force:
//! of conflicts, and of a keyed list whose items several managers own in part, the one in memory has a simpler view than the real
//! one.

mod calls;

use anyhow::Result;
use kube::Client;
use support::controlplane::ControlPlane;
use support::memory_api::MemoryApi;
use support::stage::{create_namespace, install_definition};

use calls::{Call, Caller};

/// How many calls there are in a script, and how many scripts.
const CALLS: usize = 40;
const SCRIPTS: u64 = 20;

#[tokio::test]
async fn the_server_in_memory_answers_as_the_real_one() -> Result<()> {
    let plane = ControlPlane::shared().await?;
    let real = plane.client()?;
    install_definition(&real).await?;
    let first = super::number("SIMULATION_FIRST").unwrap_or_default();
    let scripts = super::number("FIDELITY_SCRIPTS").unwrap_or(SCRIPTS);
    let mut differences = Vec::new();
    for seed in first..first + scripts {
        differences.extend(compare(&real, seed).await?);
    }
    assert!(
        differences.is_empty(),
        "{} of {} calls are answered differently:\n{}",
        differences.len(),
        scripts * CALLS as u64,
        differences[..differences.len().min(20)].join("\n")
    );
    Ok(())
}

/// Plays one script on both, up to the first difference: what follows from it says nothing.
async fn compare(real: &Client, seed: u64) -> Result<Option<String>> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let namespace = format!("fidelity-{:08x}", fastrand::u32(..));
    let memory = MemoryApi::default();
    super::ground::define(&memory);
    create_namespace(real, &namespace).await?;
    memory.create_namespace(&namespace);
    let mut real = Caller::new(real.clone(), &namespace);
    let mut memory = Caller::new(memory.client(), &namespace);
    let mut script = Vec::new();
    for _ in 0..CALLS {
        let call = Call::draw(&mut dice);
        let (expected, answered) = (real.make(&call).await, memory.make(&call).await);
        script.push(format!("{call:?}"));
        if expected != answered {
            let before = script.len().saturating_sub(6);
            return Ok(Some(format!(
                "script {seed}, call {}: the real one\n    {expected}\n  and in memory\n    {answered}\n  after\n    {}",
                script.len(),
                script[before..].join("\n    ")
            )));
        }
    }
    Ok(None)
}
