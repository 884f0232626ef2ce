//! What a container is started from.

use std::path::{Path, PathBuf};
use std::process::Command;

const SCRIPT: &str = include_str!("sandbox.sh");

/// What stands for the image of every pod.
#[derive(Clone, Debug)]
pub enum Image {
    /// A binary of this machine, beside the libraries and certificates of this machine.
    Binary(PathBuf),
    /// The file system of a real image.
    Unpacked {
        /// The directory that it was unpacked into.
        root: PathBuf,
        /// The path of the entrypoint in it.
        entrypoint: String,
    },
}

impl Image {
    /// A command that runs the entrypoint as this user and group, without any capability, in a file system of its own that cannot be
    /// written. `root` is an empty directory to put it on; each mount is a directory of this machine and its path there.
    /// Arguments and environment are the caller's to add.
    pub fn command(
        &self,
        root: &Path,
        (user, group): (i64, i64),
        mounts: &[(PathBuf, &str)],
    ) -> Command {
        let (image, entrypoint) = match self {
            Self::Binary(path) => (path, "/entrypoint"),
            Self::Unpacked { root, entrypoint } => (root, entrypoint.as_str()),
        };
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c"])
            .args([SCRIPT, "sandbox.sh"])
            .args([root, image, Path::new(entrypoint)])
            .args([user.to_string(), group.to_string()]);
        for (source, target) in mounts {
            command.arg(source).arg(target);
        }
        command.arg("--");
        command
    }
}
