//! A resource of any kind, as the watch, the plan and the report see it.

use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::DynamicObject;
use kube::core::NamespaceResourceScope;
use serde_json::Value;

use super::kind::Kind;
use super::spec::Spec;
use crate::crd::{self, ConnectorStatus};
use crate::unstructured::ConnectorId;

/// The field of [`ConnectorStatus`] that each family has a name of its own for.
const ID: &str = "id";

/// A custom resource that stands for one connector.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What it asks for.
    pub spec: Arc<dyn Spec>,
    /// What the operator last knew to be true, once it knew anything.
    pub status: Option<ConnectorStatus>,
}

/// Of a resource that cannot be read, what it holds. An older or newer definition let it in.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// The connector that its status names.
    pub connector: Option<ConnectorId>,
}

impl Kind {
    /// Reads an object of this kind as the API server shows it. One that cannot be read must not lose what it holds.
    ///
    /// # Errors
    ///
    /// What it holds, when it does not fit the operator's types.
    pub fn read(&'static self, mut object: DynamicObject) -> Result<Resource, Box<Holding>> {
        let connector = self.connector_of(&object);
        let spec = (self.read)(object.data["spec"].take());
        let status = self.read_status(object.data["status"].take());
        match (spec, status) {
            (Ok(spec), Ok(status)) => Ok(Resource {
                kind: self,
                metadata: object.metadata,
                spec: spec.into(),
                status,
            }),
            _ => Err(Box::new(Holding {
                kind: self,
                metadata: object.metadata,
                connector,
            })),
        }
    }

    /// What an object of this kind holds.
    pub fn holding(&'static self, object: DynamicObject) -> Holding {
        Holding {
            kind: self,
            connector: self.connector_of(&object),
            metadata: object.metadata,
        }
    }

    fn connector_of(&self, object: &DynamicObject) -> Option<ConnectorId> {
        let id = object.data["status"][self.family().id_field].as_str()?;
        id.parse().ok()
    }

    fn read_status(&self, mut status: Value) -> serde_json::Result<Option<ConnectorStatus>> {
        rename(&mut status, self.family().id_field, ID);
        serde_json::from_value(status)
    }

    /// A status as objects of this kind show it.
    pub fn show_status(&self, status: &ConnectorStatus) -> Value {
        let mut shown = serde_json::to_value(status).unwrap_or_default();
        rename(&mut shown, ID, self.family().id_field);
        shown
    }
}

fn rename(status: &mut Value, from: &str, to: &str) {
    if let Some(fields) = status.as_object_mut()
        && let Some(id) = fields.remove(from)
    {
        fields.insert(to.to_owned(), id);
    }
}

impl Resource {
    /// The status, once there is one.
    pub fn status(&self) -> Option<&ConnectorStatus> {
        self.status.as_ref()
    }
}

impl kube::Resource for Resource {
    type DynamicType = &'static Kind;
    type Scope = NamespaceResourceScope;

    fn kind<'a>(kind: &'a &'static Kind) -> Cow<'a, str> {
        kind.name.into()
    }

    fn group<'a>(_: &'a &'static Kind) -> Cow<'a, str> {
        crd::GROUP.into()
    }

    fn version<'a>(_: &'a &'static Kind) -> Cow<'a, str> {
        crd::VERSION.into()
    }

    fn plural<'a>(kind: &'a &'static Kind) -> Cow<'a, str> {
        kind.plural.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::DROPBOX_SOURCE;
    use super::*;

    const ID: &str = "f6017ef4-6459-4749-b206-8e9b74ba8163";

    fn object(spec: &Value) -> DynamicObject {
        let object = json!({
            "apiVersion": Kind::api_version(), "kind": "DropboxSource",
            "metadata": { "name": "contracts", "namespace": "legal" },
            "spec": spec,
            "status": { "observedGeneration": 1, "sourceId": ID },
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_resource_that_cannot_be_read_still_tells_what_it_holds() {
        let holding = DROPBOX_SOURCE
            .read(object(&json!({ "remoteUrl": 7 })))
            .unwrap_err();
        assert_eq!(holding.connector, ID.parse().ok());
        assert_eq!(holding.metadata.name.as_deref(), Some("contracts"));
    }

    #[test]
    fn a_status_is_shown_as_it_was_read() {
        let spec = json!({ "remoteUrl": "dropbox://a", "credentials": { "secretRef": { "name": "dropbox" } } });
        let object = object(&spec);
        let resource = DROPBOX_SOURCE.read(object.clone()).unwrap();
        let status = resource.status().unwrap();
        assert_eq!(status.id.as_deref(), Some(ID));
        assert_eq!(DROPBOX_SOURCE.show_status(status), object.data["status"]);
    }
}
