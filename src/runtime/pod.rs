//! Which process this is, as the pod it runs in tells it.

use std::{env, fs, path::Path};

/// The namespace that this process runs in, and its Lease belongs in: `POD_NAMESPACE`, else that of the pod's service
/// account, else `default`.
pub fn namespace() -> String {
    let mounted = Path::new("/var/run/secrets/kubernetes.io/serviceaccount/namespace");
    first_named(env::var("POD_NAMESPACE").ok(), mounted).unwrap_or_else(|| "default".to_owned())
}

/// A name that no other process has, nor an earlier one of the same pod: `POD_NAME`, else the host's name, and eight
/// random hex digits.
pub fn identity() -> String {
    let host = Path::new("/proc/sys/kernel/hostname");
    let name = first_named(env::var("POD_NAME").ok(), host);
    format!(
        "{}_{:08x}",
        name.as_deref().unwrap_or(env!("CARGO_PKG_NAME")),
        fastrand::u32(..)
    )
}

/// The variable's value, else the file's content; nothing but white space is neither.
fn first_named(variable: Option<String>, file: &Path) -> Option<String> {
    let named = |name: String| Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    variable
        .and_then(named)
        .or_else(|| named(fs::read_to_string(file).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_comes_before_a_file_unless_it_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("name");
        assert_eq!(first_named(None, &file), None);
        fs::write(&file, "mounted\n").unwrap();
        assert_eq!(first_named(None, &file).as_deref(), Some("mounted"));
        assert_eq!(
            first_named(Some(String::new()), &file).as_deref(),
            Some("mounted")
        );
        assert_eq!(
            first_named(Some("set".to_owned()), &file).as_deref(),
            Some("set")
        );
    }

    #[test]
    fn two_processes_of_one_host_have_different_identities() {
        assert_ne!(identity(), identity());
    }
}
