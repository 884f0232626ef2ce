//! A kind of resource, as data.

use std::fmt;
use std::hash::{Hash, Hasher};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ApiResource;
use serde_json::Value;

use super::spec::Spec;
use crate::crd;
use crate::unstructured::Collection;

/// A kind of resource that stands for a connector.
pub struct Kind {
    /// Its name, for example `DropboxSource`.
    pub name: &'static str,
    /// The name of its objects together, in paths.
    pub plural: &'static str,
    /// Where its connectors are.
    pub collection: Collection,
    /// Whether the default names of its connectors carry the name of the kind, so that no other kind has the same. Those of the
    /// first kind do not.
    pub in_names: bool,
    /// Its definition.
    pub definition: fn() -> CustomResourceDefinition,
    /// Reads a spec.
    pub(super) read: fn(Value) -> serde_json::Result<Box<dyn Spec>>,
}

impl Kind {
    /// Group and version.
    pub fn api_version() -> String {
        format!("{}/{}", crd::GROUP, crd::VERSION)
    }

    /// How the API server knows it.
    pub fn api_resource(&self) -> ApiResource {
        ApiResource {
            group: crd::GROUP.to_owned(),
            version: crd::VERSION.to_owned(),
            api_version: Self::api_version(),
            kind: self.name.to_owned(),
            plural: self.plural.to_owned(),
        }
    }

    /// The name of its definition.
    pub fn definition_name(&self) -> String {
        format!("{}.{}", self.plural, crd::GROUP)
    }

    /// What a resource of this name is called in the default name of its connector. No resource has a capital letter in its name.
    pub fn name_of(&self, resource: &str) -> String {
        if self.in_names {
            format!("{resource}.{}", self.name)
        } else {
            resource.to_owned()
        }
    }

    /// How the fields are called that the two families have names of their own for.
    pub fn family(&self) -> &'static crd::Family {
        family(self.collection)
    }
}

/// How resources for connectors of this collection call the fields that have a name of their own there.
pub const fn family(collection: Collection) -> &'static crd::Family {
    match collection {
        Collection::Sources => &crd::SOURCE,
        Collection::Destinations => &crd::DESTINATION,
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Kind {}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
