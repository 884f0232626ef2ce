//! What is particular to a kind of resource. Another kind is a spec in [`crate::crd`], a file beside this one, and a row in [`ALL`].

mod dropbox;
mod generic;
mod kind;
mod pinecone;
mod provider;
mod resource;
mod spec;
mod types;

pub use dropbox::DROPBOX_SOURCE;
pub(crate) use dropbox::suspicions;
pub use generic::{UNSTRUCTURED_DESTINATION, UNSTRUCTURED_SOURCE};
pub use kind::{Kind, family};
pub use pinecone::PINECONE_DESTINATION;
pub use provider::{Provider, Providers, Shortfall, Verdict};
pub use resource::{Holding, Resource};
pub use spec::{Credential, Credentials, Field, Form, Impostor, Objection, Options, Spec};
pub use types::{ConnectorType, TYPES};

/// Every kind of resource that stands for a connector.
pub static ALL: [&Kind; 4] = [
    &DROPBOX_SOURCE,
    &UNSTRUCTURED_SOURCE,
    &PINECONE_DESTINATION,
    &UNSTRUCTURED_DESTINATION,
];
