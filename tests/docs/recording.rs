//! A recorded terminal: from `login dropbox` to Ready, typed into a real pseudo-terminal and drawn as it was shown.

use std::process::Command;
use std::{env, fs};

use anyhow::{Result, ensure};
use support::picture;
use support::stage::{PATIENCE, Stage};
use support::typist::Typist;

use super::{read, root};
use crate::{OPERATOR, stage};

const PICTURE: &str = "docs/pictures/login.svg";
const TITLE: &str = "From a Dropbox app to a Ready connector";

/// What is typed at the prompt; `legal` is the namespace of the documentation.
const TYPED: [&str; 3] = [
    "unstructured-operator login dropbox --apply --namespace legal",
    "kubectl -n legal wait --for=condition=Ready dropboxsource/contracts --timeout=5m",
    "kubectl -n legal get dropboxsources",
];

#[tokio::test]
async fn the_recorded_terminal_shows_what_happens() -> Result<()> {
    let stage = stage().await?;
    let _operator = stage.operator().await?;
    let fresh = picture::draw(TITLE, &record(&stage).await?);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(root("docs/pictures"))?;
        fs::write(root(PICTURE), &fresh)?;
    }
    ensure!(
        read(PICTURE)? == fresh,
        "{PICTURE} is stale: UPDATE_DOCS=1 cargo test --test main docs::recording"
    );
    Ok(())
}

/// Types it, and returns what the terminal showed, without what differs from one run to the next.
async fn record(stage: &Stage) -> Result<String> {
    // As short as in life, and no secret: it is shown in the page's address.
    const APP_KEY: &str = "k2v0example";
    const APP_SECRET: &str = "app-secret-of-the-recording";
    const CODE: &str = "code-of-the-recording";
    const REFRESH_TOKEN: &str = "refresh-token-of-the-recording";
    for secret in [APP_SECRET, CODE, REFRESH_TOKEN] {
        stage.keep_secret(secret);
    }
    stage
        .dropbox
        .offer_code(APP_KEY, APP_SECRET, CODE, REFRESH_TOKEN);
    stage.dropbox.add_folder("/contracts");
    stage.dropbox.add_folder("/invoices");

    let bin = stage.directory().join("bin");
    fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(OPERATOR, bin.join("unstructured-operator"))?;
    let kubectl = stage.plane.kubectl();
    let kubectl = kubectl.as_std();
    let arguments: Vec<_> = kubectl
        .get_args()
        .map(|a| a.display().to_string())
        .collect();
    let line = format!(
        "{} {}",
        kubectl.get_program().display(),
        arguments.join(" ")
    );
    let script = TYPED.map(|typed| {
        let real = typed.replace("legal", &stage.namespace);
        format!("echo '$ {typed}'\n{real}\n")
    });
    let mut shell = Command::new("bash");
    shell
        .args([
            "-euc",
            &format!("kubectl() {{ {line} \"$@\"; }}\n{}", script.concat()),
        ])
        .env_clear()
        .env("HOME", stage.directory())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("TERM", "xterm-256color")
        .env("KUBECONFIG", stage.plane.kubeconfig_path())
        .env("DROPBOX_API_URL", stage.dropbox.url())
        .env("ALLOW_INSECURE_HTTP", "true");
    let finished = Typist::start_on_screen(shell)?
        .finishes_answering(
            &[
                ("App key: ", APP_KEY),
                ("App secret (not shown): ", APP_SECRET),
                ("Code (not shown): ", CODE),
                ("Folder to read (number or path): ", "1"),
            ],
            PATIENCE,
        )
        .await?;
    ensure!(finished.status.success(), "{}", finished.screen);
    let shown = finished.screen.replace(&stage.namespace, "legal");
    let (before, row) = shown.rsplit_once("Ready    ").unwrap_or((&shown, ""));
    ensure!(
        row.trim_end().ends_with('s'),
        "no age at the end of\n{shown}"
    );
    Ok(format!("{before}Ready    4s\n"))
}
