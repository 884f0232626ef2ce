//! An operator whose wall clock is wrong: the C library's clock is overlaid in its process. Its monotonic clock stays right, as that
//! of a machine with a wrong date does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::stage::Stage;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/clock/skew.c");

/// Has the operators that are started from now on see the time so many seconds late (negative) or early. Needs a C compiler as `cc`.
pub fn skew(stage: &mut Stage, seconds: i64) -> Result<()> {
    let library = stage.directory().join("skew.so");
    if !library.exists() {
        compile(&library)?;
    }
    stage.set("LD_PRELOAD", &library.display().to_string());
    stage.set("CLOCK_SKEW_SECONDS", &seconds.to_string());
    Ok(())
}

fn compile(library: &Path) -> Result<()> {
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(library)
        .arg(SOURCE)
        .output()
        .context("no C compiler: install one that can be called as cc")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{SOURCE} does not compile: {complaint}"
    );
    Ok(())
}
