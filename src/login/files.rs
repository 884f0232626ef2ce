//! A directory as the place where both manifests go: what is there is looked at first, then written over.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use serde_yaml::Value as Yaml;

use super::request::Change;
use crate::crd::DropboxSource;
use crate::manifest::{SecretManifest, yaml};
use crate::options::Exit;
use crate::output::say;
use crate::terminal::{Mark, report};

/// Makes the directory.
pub(super) fn make(directory: &Path) -> Result<(), Exit> {
    fs::create_dir_all(directory).map_err(|error| {
        Exit::Refused(format!(
            "--output: the directory {} cannot be created: {error}",
            directory.display()
        ))
    })
}

/// The resource whose manifest is there already.
pub(super) fn find(directory: &Path, name: &str) -> Result<Option<DropboxSource>, Exit> {
    let path = source_file(directory, name);
    let Some(manifest) = read(&path)? else {
        return Ok(None);
    };
    let source: Result<DropboxSource, _> = serde_yaml::from_value(manifest);
    match source {
        Ok(source) if source.metadata.name.as_deref() == Some(name) => Ok(Some(source)),
        _ => Err(other(&path, name)),
    }
}

/// Writes both.
pub(super) fn write(
    directory: &Path,
    name: &str,
    secret: &SecretManifest<'_>,
    change: &Change,
) -> Result<(), Exit> {
    let secret_file = directory.join(format!("{name}-secret.yaml"));
    let source_file = source_file(directory, name);
    write_file(&secret_file, secret.yaml().as_bytes(), 0o600)?;
    let content = match change {
        Change::Create(manifest) => Some(yaml(manifest)),
        Change::Set(fields) => {
            let manifest = read(&source_file)?.ok_or_else(|| other(&source_file, name))?;
            Some(yaml(&with(manifest, fields)))
        }
        Change::Nothing => None,
    };
    let (secret_name, source_name) = (secret_file.display(), source_file.display());
    let wrote = format!("wrote {secret_name} (readable by you alone; do not commit it)");
    let Some(content) = content else {
        report(Mark::Good, &wrote);
        say(&format!(
            "Next: kubectl apply --server-side --force-conflicts -f {secret_name}"
        ));
        return Ok(());
    };
    write_file(&source_file, content.as_bytes(), 0o644)?;
    report(Mark::Good, &format!("{wrote} and {source_name}"));
    say(&format!(
        "Next: kubectl apply -f {secret_name} -f {source_name}"
    ));
    Ok(())
}

fn source_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.yaml"))
}

/// The one document of a file.
fn read(path: &Path) -> Result<Option<Yaml>, Exit> {
    match fs::read(path) {
        Ok(text) => serde_yaml::from_slice(&text).map(Some).map_err(|_| {
            Exit::Refused(format!(
                "{} is there and is not one YAML document: choose another --name or --output",
                path.display()
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Exit::Failed(format!(
            "{} cannot be read: {error}",
            path.display()
        ))),
    }
}

fn other(path: &Path, name: &str) -> Exit {
    Exit::Refused(format!(
        "{} is there and is not the manifest of a DropboxSource called {name}: choose another --name or --output",
        path.display()
    ))
}

/// The manifest with these fields of its spec set, and everything else as it was.
fn with(mut manifest: Yaml, fields: &Map<String, Value>) -> Yaml {
    for (name, value) in fields {
        let new = serde_yaml::to_value(value).expect("JSON is YAML");
        match (&mut manifest["spec"][name.as_str()], new) {
            (Yaml::Mapping(old), Yaml::Mapping(new)) => old.extend(new),
            (old, new) => *old = new,
        }
    }
    manifest
}

/// Writes a new file beside the old one and moves it there, so that nobody sees half a file, or a secret in one that others
/// could read.
fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<(), Exit> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{:08x}.part", fastrand::u32(..)));
    let part = PathBuf::from(part);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    written.map_err(|error: io::Error| {
        let _ = fs::remove_file(&part);
        Exit::Failed(format!("{} cannot be written: {error}", path.display()))
    })
}
