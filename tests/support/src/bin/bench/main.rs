//! `cargo bench-operator`: what the operator costs, on a real control plane and fakes of both APIs.
//!
//! It prints a table and writes the same as JSON. Counts (requests, writes) do not depend on the machine; CPU time and memory
//! hardly do; wall time does, and nothing is asserted about any of them.
#![forbid(unsafe_code)]

mod ground;
mod measure;
mod phases;
mod table;
mod tracker;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use ground::Ground;
use phases::Run;
use support::operator::{self, Profile};

/// Measures the operator on a control plane and fakes of its own: no cluster and no account are needed.
#[derive(Parser)]
#[command(name = "cargo bench-operator")]
pub struct Options {
    /// How many resources; one run for each number and latency
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    resources: Vec<usize>,
    /// How long the fake of Unstructured waits before each answer, in milliseconds
    #[arg(long, value_delimiter = ',', default_value = "0,50")]
    latency: Vec<u64>,
    /// The operator's --max-requests-per-second: its default of 20 would be all that is measured
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// The operator's --max-concurrent-requests
    #[arg(long, default_value_t = 16)]
    concurrency: u32,
    /// The operator's --sync-interval in the phases after the restart, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    sync_interval: u64,
    /// How many of these intervals the phase at rest lasts
    #[arg(long, default_value_t = 5)]
    intervals: usize,
    /// Secrets of 1 kB that no resource reads
    #[arg(long, default_value_t = 0)]
    foreign_secrets: usize,
    /// Secrets of 1 MB that no resource reads
    #[arg(long, default_value_t = 0)]
    large_foreign_secrets: usize,
    /// Where the JSON goes
    #[arg(long, default_value = "target/bench-operator.json")]
    json: PathBuf,
    /// An operator to measure instead of the one built from these sources
    #[arg(long)]
    operator: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let binary = match &options.operator {
        Some(binary) => binary.clone(),
        None => operator::build(Profile::Release).await?,
    };
    let mut rows = Vec::new();
    let mut ground = Ground::prepare(binary, &options).await?;
    rows.extend(phases::memory(&mut ground, &options).await?);
    for &resources in &options.resources {
        for &latency in &options.latency {
            let latency = Duration::from_millis(latency);
            eprintln!("{resources} resources, {latency:?} of latency …");
            let run = Run::begin(&mut ground, &options, resources, latency).await?;
            rows.extend(run.all().await?);
        }
    }
    println!("{}", table::render(&rows));
    if let Some(directory) = options.json.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(&rows)?;
    std::fs::write(&options.json, text)
        .with_context(|| format!("cannot write {}", options.json.display()))?;
    Ok(())
}
