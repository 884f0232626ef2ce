//! `cargo instructions`: how many instructions the operator needs for a fixed scenario, counted by Callgrind, against the counts in
//! `tests/instructions/counts.yaml`. A count says what a time on a busy machine cannot: whether a change made it dearer.
#![forbid(unsafe_code)]

mod counts;
mod scenario;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use counts::Counts;

/// The allocator that is shipped.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the program is called with when it is to play the scenario, under Callgrind or without.
const PLAY: &str = "play";

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let outcome = match std::env::args().nth(1).as_deref() {
        Some(PLAY) => {
            scenario::play();
            Ok(())
        }
        _ => guard(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn guard() -> Result<()> {
    let counted = Counts {
        compiler: compiler()?,
        machine: std::env::consts::ARCH.to_owned(),
        instructions: count()?,
    };
    if std::env::var_os("UPDATE").is_some() {
        return counted.write();
    }
    Counts::read()?.judge(&counted)
}

fn compiler() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.context("cannot run rustc")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Plays the scenario under Callgrind. Its profiles are left for `callgrind_annotate`.
fn count() -> Result<BTreeMap<String, u64>> {
    let directory = support::target().join("instructions");
    fs::create_dir_all(&directory)?;
    let profile = |part: usize| -> PathBuf { directory.join(format!("callgrind.{part}")) };
    for part in 1..=scenario::PARTS.len() {
        let _ = fs::remove_file(profile(part));
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.args(support::aside::OPTIONS);
    valgrind.arg(format!(
        "--callgrind-out-file={}",
        directory.join("callgrind").display()
    ));
    let status = valgrind.arg(std::env::current_exe()?).arg(PLAY).status();
    match status {
        Ok(status) => ensure!(status.success(), "the scenario ended with {status}"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("instructions are counted by Valgrind: sudo apt-get install -y valgrind")
        }
        Err(error) => return Err(error).context("cannot run valgrind"),
    }
    let parts = scenario::PARTS.iter().enumerate();
    parts
        .map(|(place, name)| Ok(((*name).to_owned(), total(&profile(place + 1))?)))
        .collect()
}

/// What a profile says that it counted in all.
fn total(profile: &Path) -> Result<u64> {
    let text = fs::read_to_string(profile)
        .with_context(|| format!("Callgrind left no {}", profile.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("a profile without its total")?;
    Ok(total.trim().parse()?)
}
