//! What is examined.

use kube::{Client, ResourceExt};

use crate::dropbox::DropboxClient;
use crate::hosts::HostPolicy;
use crate::kinds::Resource;
use crate::options::Network;
use crate::unstructured::{ApiKey, Endpoint};

/// A resource, and everything that it takes to examine it.
pub(super) struct Patient<'a> {
    pub client: &'a Client,
    pub namespace: &'a str,
    pub resource: &'a Resource,
    pub dropbox: &'a DropboxClient,
    /// Of the operator's own workspace, as far as the caller gave them.
    pub own_endpoint: &'a Endpoint,
    pub own_key: Option<&'a ApiKey>,
    /// Which hosts a resource may name.
    pub hosts: &'a HostPolicy,
    pub network: &'a Network,
}

impl Patient<'_> {
    /// Namespace and name.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.namespace, self.resource.name_any())
    }
}
