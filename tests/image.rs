//! The image that `.ci/image/build` leaves, taken apart and run. After that: `cargo test --test main image -- --ignored`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::kubelet;

use crate::install::cluster::Cluster;

const NAME: &str = "unstructured-operator";
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
const USER: (i64, i64) = (65532, 65532);

/// The image for this machine.
struct Image {
    config: Value,
    layer: PathBuf,
    diff_id: String,
}

impl Image {
    /// Reads the layout. Whatever a digest names has that digest.
    fn read() -> Result<Self> {
        let layout = support::target().join("image/oci");
        let index = std::fs::read(layout.join("index.json"))
            .context("there is no image: .ci/image/build builds it")?;
        let index: Value = serde_json::from_slice(&index)?;
        let architecture = architecture();
        let manifest = index["manifests"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|found| found["platform"]["architecture"] == architecture)
            .with_context(|| format!("no image for {architecture}: .ci/image/build"))?;
        let manifest: Value = serde_json::from_slice(&blob(&layout, manifest)?.1)?;
        let config: Value = serde_json::from_slice(&blob(&layout, &manifest["config"])?.1)?;
        assert_eq!(config["architecture"], architecture);
        let layers = manifest["layers"].as_array().context("no layers")?;
        let [layer] = layers.as_slice() else {
            anyhow::bail!("{} layers", layers.len());
        };
        let diff_id = config["rootfs"]["diff_ids"][0].as_str();
        Ok(Self {
            layer: blob(&layout, layer)?.0,
            diff_id: diff_id.context("no diff id")?.to_owned(),
            config: config["config"].clone(),
        })
    }

    fn unpack(&self, root: &Path) -> Result<kubelet::Image> {
        std::fs::create_dir_all(root)?;
        let mut tar = Command::new("tar");
        succeed(tar.arg("-xzf").arg(&self.layer).arg("-C").arg(root))?;
        let entrypoint = self.config["Entrypoint"][0].as_str();
        Ok(kubelet::Image::Unpacked {
            root: root.to_owned(),
            entrypoint: entrypoint.context("no entrypoint")?.to_owned(),
        })
    }
}

/// What registries call this machine's architecture.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What a descriptor names: its path and content.
fn blob(layout: &Path, descriptor: &Value) -> Result<(PathBuf, Vec<u8>)> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    let digest = digest.strip_prefix("sha256:").context("no SHA-256")?;
    let path = layout.join("blobs/sha256").join(digest);
    let content = std::fs::read(&path)?;
    assert_eq!(hex::encode(Sha256::digest(&content)), digest);
    assert_eq!(descriptor["size"], content.len());
    Ok((path, content))
}

/// Runs a command that must not fail.
pub fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {complaints}");
    Ok(output)
}

#[test]
#[ignore = "needs the image"]
fn the_image_says_what_it_is_and_asks_for_no_rights() -> Result<()> {
    let image = Image::read()?;
    let config = &image.config;
    assert_eq!(config["User"], format!("{}:{}", USER.0, USER.1));
    assert_eq!(config["Entrypoint"], json!([format!("/usr/bin/{NAME}")]));
    assert!(config["Env"].is_null() && config["Cmd"].is_null());
    let labels = &config["Labels"];
    assert_eq!(labels["org.opencontainers.image.title"], NAME);
    assert_eq!(
        labels["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(labels["org.opencontainers.image.licenses"], "Apache-2.0");
    let revision = labels["org.opencontainers.image.revision"].as_str();
    assert_eq!(revision.map(str::len), Some(40), "{revision:?}");
    let unpacked = succeed(Command::new("gzip").arg("-dc").arg(&image.layer))?;
    let diff_id = hex::encode(Sha256::digest(unpacked.stdout));
    assert_eq!(image.diff_id, format!("sha256:{diff_id}"));
    Ok(())
}

#[test]
#[ignore = "needs the image"]
fn nothing_is_in_the_image_that_is_not_needed_and_its_user_can_change_none_of_it() -> Result<()> {
    let image = Image::read()?;
    let mut tar = Command::new("tar");
    let listing = succeed(tar.args(["--numeric-owner", "-tvzf"]).arg(&image.layer))?;
    let mut files = BTreeSet::new();
    for line in String::from_utf8(listing.stdout)?.lines() {
        let [mode, owner, _, _, _, path] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            anyhow::bail!("{line}");
        };
        assert_eq!(owner, "0/0", "{line}");
        match mode {
            "drwxr-xr-x" => continue,
            "-rwxr-xr-x" => assert_eq!(path, "usr/bin/unstructured-operator"),
            "-rw-r--r--" => {}
            _ => anyhow::bail!("{line}"),
        }
        files.insert(path.to_owned());
    }
    let documents = "usr/share/doc/unstructured-operator";
    let expected = [
        AUTHORITIES.to_owned(),
        format!("usr/bin/{NAME}"),
        format!("{documents}/LICENSE"),
        format!("{documents}/THIRD-PARTY-LICENSES"),
        format!("{documents}/sbom.cdx.json"),
    ];
    assert_eq!(files, BTreeSet::from(expected));
    Ok(())
}

#[test]
#[ignore = "needs the image"]
fn its_bill_of_materials_names_what_is_linked_in_with_licence_and_checksum() -> Result<()> {
    let directory = tempfile::tempdir()?;
    Image::read()?.unpack(directory.path())?;
    let documents = directory.path().join("usr/share/doc").join(NAME);
    let bill: Value = serde_json::from_slice(&std::fs::read(documents.join("sbom.cdx.json"))?)?;
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], NAME);
    let components = bill["components"].as_array().context("components")?;
    let crates: BTreeSet<_> = components
        .iter()
        .filter(|found| found["licenses"][0]["expression"].is_string())
        .filter(|found| found["hashes"][0]["content"].is_string())
        .filter_map(|found| found["name"].as_str())
        .collect();
    for linked in ["kube-client", "reqwest", "ring", "rustls", "tokio"] {
        assert!(crates.contains(linked), "{linked} is missing");
    }
    for unlinked in ["support", "proptest", "serde_derive", "mlua"] {
        assert!(!crates.contains(unlinked), "{unlinked} is not in the image");
    }
    let licences = std::fs::read_to_string(documents.join("THIRD-PARTY-LICENSES"))?;
    let unnamed: Vec<_> = crates
        .iter()
        .filter(|name| !licences.contains(&format!("\n{name} ")))
        .collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    Ok(())
}

/// Runs the entrypoint without anything of this machine, as the image's user.
fn entrypoint(image: &kubelet::Image, arguments: &[&str]) -> Result<(bool, String, String)> {
    let root = tempfile::tempdir()?;
    let output = image
        .command(root.path(), USER, &[])
        .args(arguments)
        .env_clear()
        .env("UNSTRUCTURED_API_KEY", "a-key-for-tests")
        .output()?;
    let (said, complained) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    Ok((output.status.success(), said, complained))
}

#[test]
#[ignore = "needs the image"]
fn its_entrypoint_runs_without_anything_of_this_machine_and_cannot_write() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let image = Image::read()?.unpack(directory.path())?;
    let version = format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        entrypoint(&image, &["--version"])?,
        (true, version, String::new())
    );
    let (done, definition, _) = entrypoint(&image, &["crd"])?;
    assert!(done && definition == unstructured_operator::crd::definitions_yaml()?);

    let (done, _, complaint) = entrypoint(&image, &["man", "/etc"])?;
    assert!(
        !done && complaint.contains("Read-only file system"),
        "{complaint}"
    );
    Ok(())
}

#[test]
#[ignore = "needs the image"]
fn it_trusts_the_certificates_that_it_brings_and_says_so_when_they_are_gone() -> Result<()> {
    // Nobody listens there: a client that comes as far as connecting has its certificates.
    const ASK: [&str; 3] = ["import", "--api-url", "https://127.0.0.1:1"];
    const NO_CERTIFICATES: &str = "install the system's CA certificates";
    let directory = tempfile::tempdir()?;
    let image = Image::read()?.unpack(directory.path())?;
    let authorities = directory.path().join(AUTHORITIES);
    let bundle = std::fs::read_to_string(&authorities)?;
    assert!(bundle.matches("BEGIN CERTIFICATE").count() > 100);
    let (_, _, complaint) = entrypoint(&image, &ASK)?;
    assert!(complaint.contains("Connection refused"), "{complaint}");

    std::fs::remove_file(authorities)?;
    let (_, _, complaint) = entrypoint(&image, &ASK)?;
    assert!(complaint.contains(NO_CERTIFICATES), "{complaint}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs the image"]
async fn the_chart_runs_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let image = Image::read()?.unpack(directory.path())?;
    let cluster = Cluster::of(image).await?;
    cluster.install(&[]).await?;
    cluster.create("contracts", json!({})).await?;
    cluster.ready("contracts").await?;
    assert_eq!(cluster.workspace.sources().len(), 1);
    Ok(())
}
