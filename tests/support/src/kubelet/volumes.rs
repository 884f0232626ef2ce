//! A pod's volumes as directories, written again when what they show has changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{KeyToPath, Pod, ServiceAccount, Volume, VolumeProjection};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::entries::{Entries, Map};

pub(super) struct Volumes {
    entries: Entries,
    pod: Pod,
    directory: PathBuf,
}

impl Volumes {
    /// Writes all volumes of `pod` below `directory`.
    pub async fn write(entries: Entries, pod: &Pod, directory: &Path) -> Result<Self> {
        let volumes = Self {
            entries,
            pod: pod.clone(),
            directory: directory.join("volumes"),
        };
        for volume in volumes.specified() {
            let files = volumes.files(volume).await?;
            volumes.put(volume, &files)?;
        }
        Ok(volumes)
    }

    /// Brings Secrets and `ConfigMaps` up to date. A token lasts longer than any test, and an object that has vanished stays
    /// as it was last seen, as with the kubelet.
    pub async fn refresh(&self) -> Result<()> {
        for volume in self.specified().filter(|volume| volume.projected.is_none()) {
            if let Ok(files) = self.files(volume).await {
                self.put(volume, &files)?;
            }
        }
        Ok(())
    }

    /// Where a volume is.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        if !path.is_dir() {
            bail!("the pod has no volume {name}");
        }
        Ok(path)
    }

    fn specified(&self) -> impl Iterator<Item = &Volume> {
        let spec = self.pod.spec.iter();
        spec.flat_map(|spec| spec.volumes.iter().flatten())
    }

    fn put(&self, volume: &Volume, files: &Map) -> Result<()> {
        let directory = self.directory.join(&volume.name);
        fs::create_dir_all(&directory)?;
        let mode = volume
            .secret
            .as_ref()
            .and_then(|secret| secret.default_mode)
            .and_then(|mode| u32::try_from(mode).ok());
        for (name, content) in files {
            let path = directory.join(name);
            if fs::read(&path).is_ok_and(|present| present == *content) {
                continue;
            }
            // Whoever reads meanwhile sees the old file or the new one.
            let fresh = directory.join(format!(".{name}"));
            fs::write(&fresh, content)?;
            fs::set_permissions(&fresh, fs::Permissions::from_mode(mode.unwrap_or(0o644)))?;
            fs::rename(fresh, path)?;
        }
        Ok(())
    }

    async fn files(&self, volume: &Volume) -> Result<Map> {
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            let all = self.entries.secret(name, secret.optional).await?;
            select(all, secret.items.as_deref())
        } else if let Some(map) = &volume.config_map {
            let all = self.entries.config_map(&map.name, map.optional).await?;
            select(all, map.items.as_deref())
        } else if let Some(projected) = &volume.projected {
            let mut files = Map::new();
            for source in projected.sources.iter().flatten() {
                files.extend(self.projection(source).await?);
            }
            Ok(files)
        } else if volume.empty_dir.is_some() {
            Ok(Map::new())
        } else {
            bail!("the volume {} is of a kind not known here", volume.name)
        }
    }

    async fn projection(&self, source: &VolumeProjection) -> Result<Map> {
        if let Some(token) = &source.service_account_token {
            let value = self.token(token.audience.as_deref()).await?;
            return Ok(Map::from([(token.path.clone(), value.into_bytes())]));
        }
        if let Some(map) = &source.config_map {
            let all = self.entries.config_map(&map.name, map.optional).await?;
            return select(all, map.items.as_deref());
        }
        if let Some(secret) = &source.secret {
            let all = self.entries.secret(&secret.name, secret.optional).await?;
            return select(all, secret.items.as_deref());
        }
        let items = source
            .downward_api
            .iter()
            .flat_map(|api| &api.items)
            .flatten();
        items
            .map(|item| match &item.field_ref {
                Some(field) if field.field_path == "metadata.namespace" => {
                    let namespace = self.entries.namespace.clone();
                    Ok((item.path.clone(), namespace.into_bytes()))
                }
                field => bail!("the field {field:?} is not known here"),
            })
            .collect()
    }

    /// A token that is bound to the pod and ends with it.
    async fn token(&self, audience: Option<&str>) -> Result<String> {
        let account = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.service_account_name.as_deref())
            .unwrap_or("default");
        let request: TokenRequest = serde_json::from_value(json!({ "spec": {
            "audiences": audience.into_iter().collect::<Vec<_>>(),
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": self.pod.name_any(), "uid": self.pod.uid() },
        }}))?;
        let accounts: Api<ServiceAccount> =
            Api::namespaced(self.entries.client.clone(), &self.entries.namespace);
        let answer = accounts
            .create_token_request(account, &PostParams::default(), &request)
            .await?;
        Ok(answer
            .status
            .context("the token request has no answer")?
            .token)
    }
}
/// All entries under their keys, or the named ones under their paths.
fn select(mut all: Map, items: Option<&[KeyToPath]>) -> Result<Map> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(all);
    };
    items
        .iter()
        .map(|item| {
            let content = all
                .remove(&item.key)
                .with_context(|| format!("references non-existent key {}", item.key))?;
            Ok((item.path.clone(), content))
        })
        .collect()
}
