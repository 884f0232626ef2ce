//! What a watch delivers: resources that can be read, and of the others at least what they hold.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::unstructured::SourceId;

/// A resource as the watch shows it. One that cannot be read must neither stop the watch for all others nor lose what it holds.
#[derive(Clone)]
pub enum Watched<K> {
    /// It fits the operator's types.
    Readable(K),
    /// It does not: an older or newer definition let it in.
    Unreadable(Box<Holding<K>>),
}

/// Of a resource, what it holds.
pub struct Holding<K> {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// The connector that its status names.
    pub connector: Option<SourceId>,
    kind: PhantomData<K>,
}

impl<K> Holding<K> {
    fn of(object: &Value) -> serde_json::Result<Self> {
        let id = object["status"]["sourceId"].as_str();
        Ok(Self {
            metadata: ObjectMeta::deserialize(&object["metadata"])?,
            connector: id.and_then(|id| id.parse().ok()),
            kind: PhantomData,
        })
    }
}

impl<'de, K: serde::de::DeserializeOwned> Deserialize<'de> for Watched<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        match K::deserialize(&object) {
            Ok(resource) => Ok(Self::Readable(resource)),
            Err(_) => Holding::of(&object)
                .map(|holding| Self::Unreadable(Box::new(holding)))
                .map_err(serde::de::Error::custom),
        }
    }
}

impl<'de, K> Deserialize<'de> for Holding<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<K> Clone for Holding<K> {
    fn clone(&self) -> Self {
        Self {
            metadata: self.metadata.clone(),
            connector: self.connector,
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Holding<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Holding({:?})", self.metadata.name)
    }
}

impl<K: Resource<DynamicType = ()>> fmt::Debug for Watched<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({:?})", self.meta().name)
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Holding<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Watched<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Readable(resource) => resource.meta(),
            Self::Unreadable(holding) => holding.meta(),
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Self::Readable(resource) => resource.meta_mut(),
            Self::Unreadable(holding) => holding.meta_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::DropboxSource;

    #[test]
    fn a_resource_that_cannot_be_read_still_tells_what_it_holds() {
        let id = "f6017ef4-6459-4749-b206-8e9b74ba8163";
        let object = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "DropboxSource",
            "metadata": { "name": "contracts", "namespace": "legal" },
            "spec": { "remoteUrl": 7 },
            "status": { "sourceId": id },
        });
        let watched: Watched<DropboxSource> = serde_json::from_value(object).unwrap();
        let Watched::Unreadable(holding) = watched else {
            panic!("a number is no URL");
        };
        assert_eq!(holding.connector, id.parse().ok());
        assert_eq!(holding.metadata.name.as_deref(), Some("contracts"));
    }
}
