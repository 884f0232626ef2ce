//! `cargo bench-operator`: what the operator costs, on a real control plane and fakes of both APIs.
//!
//! It prints a table and writes the same as JSON, and, when asked, into a page with a plot of the growth. Counts (requests, writes) do not depend on the machine; CPU time and memory
//! hardly do; wall time does, and nothing is asserted about any of them.
#![forbid(unsafe_code)]

mod ground;
mod measure;
mod phases;
mod pipelines;
mod plot;
mod table;
mod tracker;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use ground::Ground;
use phases::Run;
use support::operator::{self, Profile};
use table::Row;

/// Measures the operator on a control plane and fakes of its own: no cluster and no account are needed.
#[derive(Parser)]
#[command(name = "cargo bench-operator")]
pub struct Options {
    /// How many resources; one run for each number and latency
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    resources: Vec<usize>,
    /// How many whole pipelines, with a run of each, afterwards; 0 for none
    #[arg(long, default_value_t = 0)]
    pipelines: usize,
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
    /// A page to write the table into, between its two marks, and the plot beside it
    #[arg(long)]
    page: Option<PathBuf>,
    /// JSON of earlier runs to show, one after the other, instead of measuring
    #[arg(long, value_delimiter = ',')]
    show: Vec<PathBuf>,
    /// An operator to measure instead of the one built from these sources
    #[arg(long)]
    operator: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let rows = if options.show.is_empty() {
        let rows = measure(&options).await?;
        if let Some(directory) = options.json.parent() {
            fs::create_dir_all(directory)?;
        }
        write(&options.json, &serde_json::to_string_pretty(&rows)?)?;
        rows
    } else {
        let earlier = options.show.iter().map(|file| {
            let rows: Vec<Row> = serde_json::from_str(&read(file)?)?;
            anyhow::Ok(rows)
        });
        earlier.collect::<Result<Vec<_>>>()?.concat()
    };
    let table = table::render(&rows);
    println!("{table}");
    if let Some(page) = &options.page {
        write(page, &with_table(&read(page)?, &table)?)?;
        write(&page.with_extension("svg"), &plot::render(&rows))?;
    }
    Ok(())
}

async fn measure(options: &Options) -> Result<Vec<Row>> {
    let binary = match &options.operator {
        Some(binary) => binary.clone(),
        None => operator::build(Profile::Release).await?,
    };
    let mut rows = Vec::new();
    let mut ground = Ground::prepare(binary, options).await?;
    rows.extend(phases::memory(&mut ground, options).await?);
    for &resources in &options.resources {
        for &latency in &options.latency {
            let latency = Duration::from_millis(latency);
            eprintln!("{resources} resources, {latency:?} of latency …");
            let run = Run::begin(&mut ground, options, resources, latency).await?;
            rows.extend(run.all().await?);
        }
    }
    if options.pipelines > 0 {
        eprintln!("{} pipelines …", options.pipelines);
        rows.extend(pipelines::all(&mut ground, options, options.pipelines).await?);
    }
    Ok(rows)
}

/// What stands before and after the table in a page.
const MARKS: (&str, &str) = ("<!-- results -->\n", "<!-- end of results -->\n");

fn with_table(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(MARKS.0)
        .context("the page has no mark <!-- results -->")?;
    let (_, after) = rest
        .split_once(MARKS.1)
        .context("the page has no mark <!-- end of results -->")?;
    Ok([before, MARKS.0, "\n", table, "\n\n", MARKS.1, after].concat())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
