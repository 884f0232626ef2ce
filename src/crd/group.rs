//! Where the kinds are in the Kubernetes API.

/// API group of every resource here.
pub const GROUP: &str = "connectors.unstructured.io";

/// Their version.
pub const VERSION: &str = "v1alpha1";
