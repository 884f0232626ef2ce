//! The entries of Secrets and `ConfigMaps` that a pod refers to.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Api, Client, ResourceExt};

/// Contents by key, or by path inside a volume.
pub(super) type Map = BTreeMap<String, Vec<u8>>;

/// Reads from one pod's namespace.
#[derive(Clone)]
pub(super) struct Entries {
    pub client: Client,
    pub namespace: String,
}

impl Entries {
    pub fn new(client: &Client, pod: &Pod) -> Self {
        Self {
            client: client.clone(),
            namespace: pod.namespace().unwrap_or_default(),
        }
    }

    /// All entries of a Secret; none if it does not exist and is optional.
    pub async fn secret(&self, name: &str, optional: Option<bool>) -> Result<Map> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        match secrets.get_opt(name).await? {
            None if optional != Some(true) => bail!("secret {name:?} not found"),
            None => Ok(Map::new()),
            Some(secret) => {
                let data = secret.data.into_iter().flatten();
                Ok(data.map(|(key, value)| (key, value.0)).collect())
            }
        }
    }

    /// All entries of a `ConfigMap`; none if it does not exist and is optional.
    pub async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Map> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        match maps.get_opt(name).await? {
            None if optional != Some(true) => bail!("configmap {name:?} not found"),
            None => Ok(Map::new()),
            Some(map) => {
                let data = map.data.into_iter().flatten();
                Ok(data.map(|(key, value)| (key, value.into_bytes())).collect())
            }
        }
    }
}
