//! What commands have in common: options of the same names, what values may be, and how a command ends. It knows no command.

mod names;
mod shared;
mod values;

use std::ffi::OsString;

use secrecy::SecretString;

pub use crate::exit::Exit;
pub(crate) use names::{API_KEY, both_names, variable_of};
pub use shared::{Cluster, Dropbox, Network, Pinecone, Workspace};
pub(crate) use shared::{PINECONE_API_URL, add_flags, base_url};
pub(crate) use values::{
    address, cluster_name, duration, host_pattern, label_selector, listed_namespace, memory,
    namespace, object_name, positive, span,
};

/// A secret from the environment.
pub(crate) fn secret(name: &str, value: OsString) -> Result<SecretString, Exit> {
    let value = value
        .into_string()
        .map_err(|_| Exit::Refused(format!("{name}: is not text")))?;
    Ok(SecretString::from(value.trim()))
}
