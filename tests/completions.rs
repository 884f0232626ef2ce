//! Completions, typed into the shells that they are for. Those come from Debian by `.ci/tools`; after that:
//! `cargo test --test main completions -- --ignored`.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Result, ensure};
use support::typist::Typist;

use crate::OPERATOR;

/// A prompt that no completion contains.
const PROMPT: &str = "ready> ";

/// What is typed before the tab, and what the shell makes of it.
const TYPED: [(&str, &str); 5] = [
    ("unstructured-operator log", "login"),
    ("unstructured-operator doctor --nam", "--namespace"),
    ("unstructured-operator login dropbox --app-k", "--app-key"),
    ("unstructured-operator doctor --output j", "json"),
    ("unstructured-operator completions fi", "fish"),
];

#[tokio::test]
#[ignore = "needs bash-completion, zsh and fish"]
async fn every_shell_completes_commands_options_and_values() -> Result<()> {
    let home = tempfile::tempdir()?;
    symlink(OPERATOR, home.path().join("unstructured-operator"))?;
    for (shell, arguments, setup) in [
        (
            "bash",
            &["--norc", "--noprofile", "-i"][..],
            ". /usr/share/bash-completion/bash_completion; . ./bash; PS1='ready> '",
        ),
        (
            "zsh",
            &["-f", "-i"],
            "autoload -Uz compinit; compinit -u; . ./zsh; PROMPT='ready> '",
        ),
        (
            "fish",
            &["--no-config", "--private"],
            "source ./fish; function fish_prompt; echo -n 'ready> '; end",
        ),
    ] {
        let script = Command::new(OPERATOR)
            .args(["completions", shell])
            .output()?;
        ensure!(script.status.success(), "{script:?}");
        fs::write(home.path().join(shell), script.stdout)?;
        for (typed, completed) in TYPED {
            let mut command = Command::new("setsid");
            command
                .args(["--ctty", shell])
                .args(arguments)
                .current_dir(home.path())
                .env_clear()
                .env("HOME", home.path())
                .env("TERM", "dumb")
                .env("PATH", format!("{}:/usr/bin:/bin", home.path().display()));
            let mut person = Typist::start_on_screen(command)?;
            person.keys(&format!("{setup}\n"))?;
            // As it was typed, and as it is shown.
            person.sees(PROMPT).await?;
            person.sees(PROMPT).await?;
            person.keys(&format!("{typed}\t"))?;
            person.sees(completed).await?;
        }
    }
    Ok(())
}
