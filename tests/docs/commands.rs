//! The commands of the documentation, page by page, as a reader types them who begins at the first.
//!
//! The reader has what a page asks for: a cluster (a control plane and a stand-in for the kubelet), `kubectl`, `helm` and the operator's own
//! binary on the path, an API key in a file, a Dropbox app in the browser. What a reader does not have is that both APIs are fakes: the
//! environment and the chart's values say where they are.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use support::canary::canary;
use support::controlplane::ControlPlane;
use support::fake::unstructured::{Family, WorkspaceHandle};
use support::fake::{FakeDropbox, FakePinecone, FakeUnstructured};
use support::kubelet::{Image, Kubelet};
use support::stage::{API_KEY, APP_KEY, APP_SECRET, PINECONE_KEY, REFRESH_TOKEN};
use support::typist::Typist;

use super::page::Page;
use super::{chapters, pages, root};
use crate::OPERATOR;

/// How long a page may take on a busy machine. Nothing is asserted about how long it takes.
const PATIENCE: Duration = Duration::from_mins(5);

const SYSTEM: &str = "unstructured-operator";
const OTHER_KEY: &str = "legal-key-2b7e51d94c08";
const S3_KEY: &str = "s3-key-id-5a90cf3e17d2";
const S3_SECRET: &str = "s3-secret-e8b20f61c94d";
const SEARCH_KEY: &str = "search-key-71d4a3f0b6e9";
const CODE: &str = "code-4d5be1d7c2a90e81";

#[tokio::test]
async fn the_commands_of_the_readme_work() -> Result<()> {
    Reader::sits_down().await?.follows("README.md").await
}

#[tokio::test]
async fn the_commands_of_the_book_work_from_the_first_page_to_the_last() -> Result<()> {
    let reader = Reader::sits_down().await?;
    for chapter in chapters()? {
        reader.follows(&chapter).await?;
    }
    Ok(())
}

#[test]
fn what_is_not_run_is_said_with_its_reason() -> Result<()> {
    for page in pages()? {
        for block in page.blocks() {
            let place = format!("{}:{}", page.path, block.line);
            let commands = ["sh", "bash", "shell", "console"].contains(&block.language.as_str());
            let runs = block.language == "sh" || page.excuse().is_some();
            ensure!(
                !commands || runs || block.excuse.is_some(),
                "{place} is not run"
            );
            ensure!(
                block.excuse.is_none() || commands,
                "{place} needs no excuse"
            );
            ensure!(
                !block.language.is_empty(),
                "{place} does not say what it is written in"
            );
        }
    }
    Ok(())
}

/// A reader with a shell.
struct Reader {
    plane: ControlPlane,
    kubelet: Kubelet,
    api: FakeUnstructured,
    dropbox: FakeDropbox,
    pinecone: FakePinecone,
    home: tempfile::TempDir,
}

impl Reader {
    async fn sits_down() -> Result<Self> {
        let plane = ControlPlane::start().await?;
        let kubelet = Kubelet::start(&plane, SYSTEM, Image::Binary(OPERATOR.into())).await?;
        // Those that the pages have the reader push, or load into a cluster.
        kubelet.pulls_only(&[
            concat!(
                "registry.your.company/unstructured-operator:",
                env!("CARGO_PKG_VERSION")
            ),
            "localhost/unstructured-operator:dev",
        ]);
        let api = FakeUnstructured::start();
        let invoices = json!({ "remote_url": "dropbox://invoices", "recursive": false });
        let workspace = api.workspace(API_KEY);
        workspace.insert("dropbox", "invoices", invoices);
        made_in_the_console(&workspace);
        api.workspace(OTHER_KEY);
        let dropbox = FakeDropbox::start();
        dropbox.accept_anything();
        dropbox.add_folder("/contracts");
        dropbox.add_folder("/letters");
        let pinecone = FakePinecone::start();
        pinecone.accept(PINECONE_KEY, &["contracts"]);
        let home = tempfile::tempdir()?;
        let reader = Self {
            plane,
            kubelet,
            api,
            dropbox,
            pinecone,
            home,
        };
        reader.fill_home()?;
        Ok(reader)
    }

    fn fill_home(&self) -> Result<()> {
        let home = self.home.path();
        for directory in ["bin", "work"] {
            fs::create_dir(home.join(directory))?;
        }
        for (name, content) in [
            ("key", API_KEY),
            ("legal-key", OTHER_KEY),
            ("app_key", APP_KEY),
            ("app_secret", APP_SECRET),
            ("refresh_token", REFRESH_TOKEN),
            ("s3-key", S3_KEY),
            ("s3-secret", S3_SECRET),
            ("pinecone-key", PINECONE_KEY),
            ("search-key", SEARCH_KEY),
            ("ca.crt", "the authority's certificate"),
        ] {
            fs::write(home.join("work").join(name), content)?;
        }
        for name in ["charts", "crds", "examples"] {
            symlink(root(name), home.join("work").join(name))?;
        }
        let values = json!({ "config": {
            "apiUrl": self.api.url(),
            "dropboxApiUrl": self.dropbox.url(),
            "pineconeApiUrl": self.pinecone.url(),
            "allowInsecureHttp": true,
            "requestTimeout": "5s",
            "jobInterval": "1s",
        }});
        let fakes = home.join("fakes.yaml");
        fs::write(&fakes, values.to_string())?;

        symlink(OPERATOR, home.join("bin").join("unstructured-operator"))?;
        self.script("xdg-open", "exit 0")?;
        let kubectl = program(self.plane.kubectl().as_std());
        self.script("kubectl", &format!("exec {kubectl} \"$@\""))?;
        let helm = program(self.plane.helm().as_std());
        let installs = format!(
            "install|upgrade) exec {helm} \"$@\" --values '{}' ;;",
            fakes.display()
        );
        self.script(
            "helm",
            &format!("case $1 in {installs} esac\nexec {helm} \"$@\""),
        )
    }

    fn script(&self, name: &str, text: &str) -> Result<()> {
        let path = self.home.path().join("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Types every command of a page into one shell at a terminal, and answers what it is asked.
    async fn follows(&self, path: &str) -> Result<()> {
        let mut script = String::new();
        let page = Page::read(path)?;
        if page.excuse().is_some() {
            return Ok(());
        }
        for block in page.blocks() {
            if block.language == "sh" && block.excuse.is_none() {
                let place = format!("{path}:{}", block.line);
                let _ = writeln!(script, "echo; echo '# {place}'\n{}", block.text);
            }
        }
        if script.is_empty() {
            return Ok(());
        }
        let home = self.home.path();
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(home.join("work"))
            .env_clear()
            .env("HOME", home)
            .env(
                "PATH",
                format!("{0}/bin:{0}/.local/bin:/usr/bin:/bin", home.display()),
            )
            .env("KUBECONFIG", self.plane.kubeconfig_path())
            .env("DROPBOX_API_URL", self.dropbox.url())
            .env("UNSTRUCTURED_API_URL", self.api.url())
            .env("ALLOW_INSECURE_HTTP", "true");
        let finished = Typist::start_on_screen(shell)?
            .finishes_answering(
                &[
                    ("App key: ", APP_KEY),
                    ("App secret (not shown): ", APP_SECRET),
                    ("Code (not shown): ", CODE),
                    ("Folder to read", "1"),
                ],
                PATIENCE,
            )
            .await
            .with_context(|| self.kubelet.logs())?;
        ensure!(
            finished.status.success(),
            "a command of {path} fails:\n{}\n{}",
            finished.screen,
            self.kubelet.logs()
        );
        let secrets = canary(&[
            API_KEY,
            OTHER_KEY,
            APP_SECRET,
            REFRESH_TOKEN,
            CODE,
            S3_KEY,
            S3_SECRET,
            PINECONE_KEY,
            SEARCH_KEY,
        ]);
        secrets.assert_absent(path, &finished.screen);
        Ok(())
    }
}

/// A pipeline that is there before any manifest.
fn made_in_the_console(workspace: &WorkspaceHandle) {
    let letters = json!({ "remote_url": "dropbox://letters", "recursive": false });
    let letters = workspace.insert("dropbox", "letters", letters);
    let index = json!({ "index_name": "contracts", "namespace": "letters", "batch_size": 50, "api_key": PINECONE_KEY });
    let destinations = workspace.of(Family::Destinations);
    let index = destinations.insert("pinecone", "letters-index", index);
    workspace.insert_workflow(json!({
        "name": "letters-to-index", "workflow_type": "custom", "source_id": letters, "destination_id": index,
        "workflow_nodes": [
            { "name": "Partitioner", "type": "partition", "subtype": "vlm", "settings": { "is_dynamic": true } },
            { "name": "Chunker", "type": "chunk", "subtype": "chunk_by_title", "settings": { "max_characters": 2048 } },
            { "name": "Embedder", "type": "embed", "subtype": "azure_openai", "settings": { "model_name": "text-embedding-3-small" } },
        ],
    }));
}

/// How a shell calls a program.
fn program(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.display())).collect();
    words.join(" ")
}
