//! What options are called, on the command line and in the environment.

/// Holds the API key itself. There is no flag for it: a command line is readable by every process of the host.
pub(crate) const API_KEY: &str = "UNSTRUCTURED_API_KEY";

/// The environment variable of a flag. What is said anew each time (a name, a folder, where to write) has none.
pub(crate) fn variable_of(long: &str) -> Option<String> {
    let name = long.to_uppercase().replace('-', "_");
    match long {
        "help" | "version" | "open" | "folder" | "name" | "recursive" | "secret-name"
        | "secret-only" | "force" | "output" | "apply" | "kubeconfig" | "context" | "namespace"
        | "all-namespaces" | "yes" | "timeout" | "follow" | "on-active" => None,
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
