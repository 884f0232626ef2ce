//! A release as a stranger gets it: the chart by its digest from a registry, the image that this chart names, what is packed beside
//! them. `.ci/release/dry-run` publishes all of it on this machine, and then runs this.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::kubelet;

use crate::chart::documents;
use crate::image::{architecture, succeed};
use crate::install::cluster::{Cluster, RELEASE};

const NAME: &str = "unstructured-operator";

fn told(variable: &str) -> Result<String> {
    std::env::var(variable).with_context(|| format!("{variable} is not set: .ci/release/dry-run"))
}

/// What one of the tools prints that `.ci/release/dry-run` has installed.
fn tool(name: &str, arguments: &[&str]) -> Result<String> {
    let tool = support::target().join("tools/bin").join(name);
    let output = succeed(Command::new(tool).args(arguments))?;
    Ok(String::from_utf8(output.stdout)?)
}

/// The image of the only container that the chart makes.
fn image_of(chart: &str) -> Result<String> {
    let rendered = documents(&tool(
        "helm",
        &["template", RELEASE, chart, "--plain-http"],
    )?)?;
    let deployment = rendered
        .iter()
        .find(|object| object["kind"] == "Deployment");
    let deployment = deployment.context("the chart makes no Deployment")?;
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
    Ok(image.context("the container has no image")?.to_owned())
}

/// Pulls an image and unpacks it below a directory.
fn pull(reference: &str, directory: &Path) -> Result<kubelet::Image> {
    let (root, archive) = (directory.join("root"), directory.join("root.tar"));
    let platform = format!("--platform=linux/{}", architecture());
    let config: Value = serde_json::from_str(&tool("crane", &["config", &platform, reference])?)?;
    let entrypoint = config["config"]["Entrypoint"][0].as_str();
    let path = archive.to_str().context("a path that is text")?;
    tool("crane", &["export", &platform, reference, path])?;
    std::fs::create_dir(&root)?;
    let mut tar = Command::new("tar");
    succeed(tar.arg("-xf").arg(&archive).arg("-C").arg(&root))?;
    Ok(kubelet::Image::Unpacked {
        root,
        entrypoint: entrypoint.context("no entrypoint")?.to_owned(),
    })
}

#[test]
fn a_tag_that_does_not_fit_is_refused() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let check = |tag: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/release/check");
        succeed(Command::new(script).arg(tag))
    };
    check(&format!("v{version}"))?;
    for (tag, reason) in [
        (version, "a release is tagged"),
        ("v999.0.0", "Cargo.toml has version"),
        ("v1.0.0; true", "a release is tagged"),
    ] {
        let refusal = check(tag).err().map(|error| error.to_string());
        let refusal = refusal.unwrap_or_default();
        ensure!(refusal.contains(reason), "{tag}: {refusal:?}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs what .ci/release/dry-run publishes"]
async fn what_was_published_installs_by_its_digest_and_works() -> Result<()> {
    let (version, chart) = (told("RELEASE_VERSION")?, told("RELEASE_CHART")?);
    ensure!(chart.contains("@sha256:"), "{chart} names no digest");
    let chart = format!("oci://{chart}");
    let image = image_of(&chart)?;
    ensure!(image.contains(&format!(":{version}@sha256:")), "{image}");

    let directory = tempfile::tempdir()?;
    let cluster = Cluster::of(pull(&image, directory.path())?).await?;
    cluster
        .deploy(&["install", RELEASE], Path::new(&chart), &["--plain-http"])
        .await?;
    cluster.create("contracts", json!({})).await?;
    cluster.ready("contracts").await?;
    assert_eq!(cluster.workspace.sources().len(), 1);

    // The archive holds the binary of that image, and what its commands write.
    let archive = format!(
        "publish/files/{NAME}-{version}-linux-{}.tar.gz",
        architecture()
    );
    let unpacked = directory.path().join("archive");
    std::fs::create_dir(&unpacked)?;
    let mut tar = Command::new("tar");
    tar.args(["--strip-components=1", "-xzf"])
        .arg(support::target().join(archive));
    succeed(tar.arg("-C").arg(&unpacked))?;
    let published = std::fs::read(unpacked.join(NAME))?;
    let installed = directory.path().join("root/usr/bin").join(NAME);
    assert!(published == std::fs::read(installed)?);
    let said = succeed(Command::new(unpacked.join(NAME)).arg("--version"))?;
    let said = String::from_utf8(said.stdout)?;
    assert_eq!(said, format!("{NAME} {version}\n"));
    for file in [
        "LICENSE",
        "THIRD-PARTY-LICENSES",
        "completions/unstructured-operator.bash",
        "completions/unstructured-operator.zsh",
        "man/unstructured-operator.1",
        "man/unstructured-operator-login-dropbox.1",
    ] {
        ensure!(unpacked.join(file).is_file(), "{file} is missing");
    }
    Ok(())
}
