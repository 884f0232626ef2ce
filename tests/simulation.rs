//! The whole operator, simulated: the unmodified controller on an API server in memory and the fakes of both APIs, on a clock that
//! goes on only when there is nothing else to do. One seed decides everything, so a failure is seen again as often as one likes:
//!
//! ```text
//! SIMULATION_SEED=123 cargo test --test main simulation::seeds -- --nocapture    # one seed, and its whole story
//! SIMULATION_SEEDS=200000 cargo test --test main simulation::seeds               # more of them
//! ```
//!
//! `SIMULATION_FAILURES` says how many failures are enough.

mod actors;
mod agenda;
mod chronicle;
mod controllers;
mod fidelity;
mod ground;
mod judge;
mod ledger;
mod pipelines;
mod planted;
mod process;
mod run;
mod runs;
mod seams;
mod weather;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How many seeds are run when nobody says otherwise.
const SEEDS: u64 = 300;
/// How many failures are told at once.
const TOLD: usize = 12;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn seeds() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let story = run::seed(seed);
        println!("{}", story.lines.join("\n"));
        assert!(
            story.violations.is_empty(),
            "seed {seed}:\n  {}",
            story.violations.join("\n  ")
        );
        return;
    }
    let first = number("SIMULATION_FIRST").unwrap_or_default();
    let count = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let enough = number("SIMULATION_FAILURES").unwrap_or(u64::MAX);
    let (next, failed) = (AtomicU64::new(first), AtomicU64::new(0));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<(u64, Vec<String>)> = thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + count || failed.load(Ordering::Relaxed) >= enough {
                    return failures;
                }
                let violations = match std::panic::catch_unwind(|| run::seed(seed)) {
                    Ok(story) => story.violations,
                    Err(_) => vec!["it panicked; run it alone to see where".to_owned()],
                };
                if !violations.is_empty() {
                    println!("SIMULATION_SEED={seed}\n  {}", violations.join("\n  "));
                    failures.push((seed, violations));
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a worker"))
            .collect()
    });
    let mut told = String::new();
    for (seed, violations) in failures.iter().take(TOLD) {
        let _ = writeln!(
            told,
            "SIMULATION_SEED={seed}\n  {}",
            violations.join("\n  ")
        );
    }
    assert!(
        failures.is_empty(),
        "{} of {count} seeds fail:\n{told}",
        failures.len()
    );
    println!("{count} seeds were simulated, from {first} on; none fails");
}

#[test]
fn a_seed_tells_the_same_story_each_time() {
    for seed in [1, 2, 3, 5, 8, 13] {
        let (first, second) = (run::seed(seed).lines, run::seed(seed).lines);
        let differs = first.iter().zip(&second).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
