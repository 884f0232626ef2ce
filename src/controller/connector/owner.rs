//! Whose a connector is, going by what it carries: the default name or the key of a resource that has no connector on record, and so may
//! be about to find this one. After a restore without status, that is all that tells.

use super::super::context::Context;
use super::naming::ClusterName;
use crate::engine::key::Key;
use crate::kinds::Resource;
use crate::unstructured::{Collection, Connector, Key as Mark};

/// The resource other than `asking` that this connector was made for, where one is there that has none.
pub fn of(
    context: &Context,
    asking: &Key,
    collection: Collection,
    connector: &Connector,
) -> Option<Key> {
    let mut owner = None;
    context.index.for_each(|key, resource| {
        if owner.is_none()
            && key != asking
            && resource.kind.collection == collection
            && has_none(resource)
            && carries(&context.cluster, key, resource, connector)
        {
            owner = Some(key.clone());
        }
    });
    owner
}

/// Whether it has none on record, and does not name one to adopt.
fn has_none(resource: &Resource) -> bool {
    let recorded = resource.status().and_then(|status| status.id.as_ref());
    recorded.is_none() && resource.spec.options().existing_id.is_none()
}

fn carries(cluster: &ClusterName, key: &Key, resource: &Resource, connector: &Connector) -> bool {
    let its_name = resource.spec.options().connector_name.is_none()
        && *connector.name == *cluster.connector_name(resource.kind, key).value;
    its_name
        || match &connector.key {
            Mark::Given(mark) => **mark == *cluster.key_for(key),
            Mark::Unshown | Mark::Absent => false,
        }
}
