//! What commands have in common: options of the same names, what values may be, and how a command ends. It knows no command.

mod exit;
mod shared;
mod values;

use std::ffi::OsString;

use secrecy::SecretString;

pub use exit::Exit;
pub use shared::{Cluster, Dropbox, Network, Workspace};
pub(crate) use values::{
    address, cluster_name, duration, host_pattern, label_selector, memory, namespace, object_name,
    positive,
};

/// Holds the API key itself. There is no flag for it: a command line is readable by every process of the host.
pub(crate) const API_KEY: &str = "UNSTRUCTURED_API_KEY";

/// The environment variable of a flag. What is said anew each time (a name, a folder, where to write) has none.
pub(crate) fn variable_of(long: &str) -> Option<String> {
    let name = long.to_uppercase().replace('-', "_");
    match long {
        "help" | "version" | "open" | "folder" | "name" | "recursive" | "secret-name"
        | "secret-only" | "force" | "output" | "apply" | "kubeconfig" | "context" | "namespace"
        | "all-namespaces" | "yes" | "timeout" => None,
        "api-url" | "api-key-file" => Some(format!("UNSTRUCTURED_{name}")),
        "otlp-endpoint" => Some(format!("OTEL_EXPORTER_{name}")),
        "app-key" | "app-secret-file" | "code-file" => Some(format!("DROPBOX_{name}")),
        _ => Some(name),
    }
}

/// A flag as it is named to a person: with its variable.
pub(crate) fn both_names(long: &str) -> String {
    match variable_of(long) {
        Some(variable) => format!("--{long} ({variable})"),
        None => format!("--{long}"),
    }
}

/// A secret from the environment.
pub(crate) fn secret(name: &str, value: OsString) -> Result<SecretString, Exit> {
    let value = value
        .into_string()
        .map_err(|_| Exit::Refused(format!("{name}: is not text")))?;
    Ok(SecretString::from(value.trim()))
}
