//! Standard output and standard error that take nothing: a full disk, a pipe that nobody reads any more. No command panics.

use std::fs::File;
use std::io::Write;
use std::process::{Output, Stdio};

use anyhow::{Result, ensure};
use serde_json::json;
use support::stage::{APP_KEY, APP_SECRET, REFRESH_TOKEN, Stage};

use crate::{OPERATOR, stage};

const CODE: &str = "authorization-code-7d20e4";

/// Every command that prints, and the code that it ends with when its output goes nowhere but a closed pipe.
const COMMANDS: [(&[&str], i32); 9] = [
    (&[], 0),
    (&["--version"], 0),
    (&["help", "import"], 0),
    (&["crd"], 0),
    (&["completions", "bash"], 0),
    (&["import"], 0),
    (&["doctor"], 1),
    (&["doctor", "-o", "json"], 1),
    // What it prints cannot be had again.
    (&["login", "dropbox", "--folder", "contracts"], 1),
];

/// Runs a command on the stage, its streams as given.
async fn run(stage: &Stage, arguments: &[&str], out: Stdio, err: Stdio) -> Result<Output> {
    stage
        .dropbox
        .offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    let environment = stage.settings.environment.iter();
    let child = tokio::process::Command::new(OPERATOR)
        .args(arguments)
        .env_clear()
        .envs(environment.map(|(name, value)| (name, value)))
        .env("DROPBOX_APP_KEY", APP_KEY)
        .env("DROPBOX_APP_SECRET", APP_SECRET)
        .env("DROPBOX_CODE", CODE)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()?;
    Ok(child.wait_with_output().await?)
}

fn full() -> Result<Stdio> {
    Ok(File::options().write(true).open("/dev/full")?.into())
}

/// A pipe whose reader has gone.
fn closed() -> Result<Stdio> {
    let (reader, mut writer) = std::io::pipe()?;
    drop(reader);
    ensure!(writer.write(b"x").is_err(), "somebody reads");
    Ok(writer.into())
}

/// A stage with so many connectors that no pipe holds their manifests.
async fn crowded() -> Result<Stage> {
    let stage = stage().await?;
    stage.dropbox.add_folder("/contracts");
    for number in 0..400 {
        let settings =
            json!({ "remote_url": format!("dropbox://folder-{number}"), "recursive": false });
        stage
            .workspace
            .insert("dropbox", &format!("connector-{number}"), settings);
    }
    Ok(stage)
}

#[tokio::test]
async fn a_full_disk_is_one_line_and_a_closed_pipe_is_none() -> Result<()> {
    let stage = crowded().await?;
    for (arguments, code) in COMMANDS {
        let output = run(&stage, arguments, full()?, Stdio::piped()).await?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: standard output cannot be written: "),
            "{arguments:?}: {said}"
        );
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");

        let output = run(&stage, arguments, closed()?, Stdio::piped()).await?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_nobody_can_be_told_changes_no_exit_code() -> Result<()> {
    let stage = crowded().await?;
    for (arguments, _) in COMMANDS {
        let told = run(&stage, arguments, Stdio::piped(), Stdio::piped()).await?;
        for err in [full()?, closed()?] {
            let untold = run(&stage, arguments, Stdio::piped(), err).await?;
            assert_eq!(untold.status.code(), told.status.code(), "{arguments:?}");
        }
    }
    Ok(())
}

/// The log is written to standard error: an operator whose log goes nowhere works on.
#[tokio::test]
async fn an_operator_whose_log_goes_nowhere_works_on() -> Result<()> {
    let stage = stage().await?;
    let environment = stage.settings.environment.iter();
    let mut operator = tokio::process::Command::new(OPERATOR)
        .arg("run")
        .env_clear()
        .envs(environment.map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(full()?)
        .stderr(full()?)
        .kill_on_drop(true)
        .spawn()?;
    stage.good_secret().await?;
    stage.create("contracts", json!({})).await?;
    stage.until_ready("contracts").await?;
    operator.kill().await?;
    Ok(())
}
