//! The counts that are checked in, and what is made of others.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// By how much a count may differ from the one in the file, in percent.
const TOLERANCE: f64 = 3.0;

const HEADER: &str = "\
# Instructions that the operator needs for the parts of a fixed scenario. `cargo instructions` compares them with what it counts, and
# `UPDATE=1 cargo instructions` writes this file.
";

/// How many instructions each part takes, and what that depends on besides the sources.
#[derive(Debug, Deserialize, Serialize)]
pub struct Counts {
    pub compiler: String,
    pub machine: String,
    pub instructions: BTreeMap<String, u64>,
}

impl Counts {
    fn file() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/instructions/counts.yaml")
    }

    /// Those that are checked in.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(Self::file()).context("cannot read the counts")?;
        Ok(serde_yaml::from_str(&text)?)
    }

    /// Checks these in.
    pub fn write(&self) -> Result<()> {
        let text = format!("{HEADER}{}", serde_yaml::to_string(self)?);
        fs::write(Self::file(), text).context("cannot write the counts")
    }

    /// Prints what was counted beside what is checked in.
    ///
    /// # Errors
    ///
    /// Where they differ by more than they may. More is a regression. Less is none, but would hide the next one.
    pub fn judge(&self, counted: &Self) -> Result<()> {
        let mut verdicts = Vec::new();
        for (part, count) in &counted.instructions {
            let Some(known) = self.instructions.get(part) else {
                bail!("{part} is not in the file: {UPDATE}");
            };
            let change = (float(*count) / float(*known) - 1.0) * 100.0;
            println!("{part}: {count} instructions, {known} in the file, {change:+.2} %");
            if change > TOLERANCE {
                verdicts.push(format!(
                    "{part} takes {change:.1} % more instructions. callgrind_annotate on target/instructions tells where; \
                     if the change is worth it, {UPDATE}"
                ));
            } else if change < -TOLERANCE {
                verdicts.push(format!(
                    "{part} takes {:.1} % fewer instructions, so that the next {:.1} % could come unseen: {UPDATE}",
                    -change, -change
                ));
            }
        }
        if self.machine != counted.machine || !is_the_projects(&counted.compiler) {
            println!(
                "Not judged: {} on {} is not what the file is of, {} on {}.",
                counted.compiler, counted.machine, self.compiler, self.machine
            );
            return Ok(());
        }
        ensure!(
            self.compiler == counted.compiler,
            "the file is of {}, and this is {}: {UPDATE}",
            self.compiler,
            counted.compiler
        );
        ensure!(verdicts.is_empty(), "{}", verdicts.join("\n"));
        Ok(())
    }
}

/// How the file is written.
const UPDATE: &str = "UPDATE=1 cargo instructions";

/// Whether it is the compiler that CI has, the oldest that can build this. With another one a difference says nothing of the sources.
fn is_the_projects(compiler: &str) -> bool {
    let version = env!("CARGO_PKG_RUST_VERSION");
    let mut words = compiler.split_whitespace();
    words.nth(1).is_some_and(|found| {
        found == version
            || found
                .strip_prefix(version)
                .is_some_and(|rest| rest.starts_with('.'))
    })
}

/// Counts here are far below the 2^53 up to which a float is exact.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}
