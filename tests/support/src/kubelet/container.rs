//! A pod's only container as a process in a file system of its own.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Container as Template, EnvVarSource, Pod, PodSpec};
use kube::ResourceExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::BEAT;
use super::entries::Entries;
use super::image::Image;
use super::volumes::Volumes;

/// Where a container runs and what it is told of its place.
pub(super) struct Sandbox<'a> {
    pub image: &'a Image,
    /// For the root of its file system.
    pub directory: &'a Path,
    /// What it prints is appended here.
    pub log: &'a Path,
    /// The pod's address.
    pub address: &'a str,
    /// Host and port of the API server.
    pub api_server: &'a (String, String),
    /// The node's name.
    pub node: &'a str,
}

/// A started container. Dropping it kills it.
pub(super) struct Container(Child);

impl Container {
    pub async fn start(
        entries: &Entries,
        pod: &Pod,
        template: &Template,
        volumes: &Volumes,
        sandbox: &Sandbox<'_>,
    ) -> Result<Self> {
        let spec = pod.spec.as_ref().context("the pod has no spec")?;
        let (user, group) = user(spec, template)?;
        ensure!(
            template.command.is_none(),
            "the stand-in runs the image's entrypoint, not a command of the pod's own"
        );
        let environment = environment(entries, pod, template, sandbox).await?;
        let root = sandbox.directory.join("root");
        fs::create_dir_all(&root)?;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(sandbox.log)?;
        let mut mounts = Vec::new();
        for mount in template.volume_mounts.iter().flatten() {
            ensure!(
                mount.sub_path.is_none(),
                "{}: subPath is not known here",
                mount.mount_path
            );
            mounts.push((volumes.path(&mount.name)?, mount.mount_path.as_str()));
        }
        let child = sandbox
            .image
            .command(&root, (user, group), &mounts)
            .args(template.args.iter().flatten())
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("unshare of util-linux cannot be run")?;
        Ok(Self(child))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// SIGTERM, and SIGKILL after `grace`.
    pub async fn stop(&mut self, grace: Duration) -> Result<()> {
        let end = Instant::now() + grace;
        if self.ended()?.is_none() {
            let process = Pid::from_raw(i32::try_from(self.id())?).context("process id 0")?;
            kill_process(process, Signal::TERM)?;
        }
        while self.ended()?.is_none() {
            if Instant::now() >= end {
                self.0.kill()?;
            }
            tokio::time::sleep(BEAT / 10).await;
        }
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The user and group that the pod asks for. Every process here is confined, so a pod that asks for less is a mistake.
fn user(spec: &PodSpec, template: &Template) -> Result<(i64, i64)> {
    let pod = spec.security_context.as_ref();
    let own = template.security_context.as_ref();
    ensure!(
        own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        "the stand-in gives every container a read-only root file system; this one does not ask for it"
    );
    let user = own
        .and_then(|own| own.run_as_user)
        .or(pod.and_then(|pod| pod.run_as_user));
    let group = own
        .and_then(|own| own.run_as_group)
        .or(pod.and_then(|pod| pod.run_as_group));
    match (user, group) {
        (Some(user), Some(group)) if user != 0 => Ok((user, group)),
        _ => bail!("the stand-in needs runAsUser, not 0, and runAsGroup"),
    }
}

/// The container's whole environment: what the kubelet adds, then `envFrom`, then `env`.
async fn environment(
    entries: &Entries,
    pod: &Pod,
    template: &Template,
    sandbox: &Sandbox<'_>,
) -> Result<BTreeMap<String, String>> {
    let (host, port) = sandbox.api_server;
    let mut variables = BTreeMap::from([
        ("HOSTNAME".to_owned(), pod.name_any()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), host.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.clone()),
        // In a network of its own the process would listen on all addresses.
        ("LISTEN".to_owned(), format!("{}:8080", sandbox.address)),
    ]);
    for source in template.env_from.iter().flatten() {
        let all = if let Some(map) = &source.config_map_ref {
            entries.config_map(&map.name, map.optional).await?
        } else if let Some(secret) = &source.secret_ref {
            entries.secret(&secret.name, secret.optional).await?
        } else {
            bail!("an envFrom source of unknown kind");
        };
        for (name, value) in all {
            variables.insert(name, String::from_utf8(value)?);
        }
    }
    for variable in template.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(source) => referred(entries, pod, source, sandbox).await?,
            None => variable.value.clone(),
        };
        if let Some(value) = value {
            ensure!(
                !value.contains("$("),
                "{}: references to variables are not known here",
                variable.name
            );
            variables.insert(variable.name.clone(), value);
        }
    }
    Ok(variables)
}

async fn referred(
    entries: &Entries,
    pod: &Pod,
    source: &EnvVarSource,
    sandbox: &Sandbox<'_>,
) -> Result<Option<String>> {
    if let Some(field) = &source.field_ref {
        return Ok(Some(match field.field_path.as_str() {
            "metadata.name" => pod.name_any(),
            "metadata.namespace" => entries.namespace.clone(),
            "metadata.uid" => pod.uid().unwrap_or_default(),
            "status.podIP" => sandbox.address.to_owned(),
            "spec.nodeName" => sandbox.node.to_owned(),
            other => bail!("the field {other} is not known here"),
        }));
    }
    let (key, optional, mut all) = if let Some(secret) = &source.secret_key_ref {
        let all = entries.secret(&secret.name, secret.optional).await?;
        (&secret.key, secret.optional, all)
    } else if let Some(map) = &source.config_map_key_ref {
        let all = entries.config_map(&map.name, map.optional).await?;
        (&map.key, map.optional, all)
    } else {
        bail!("a value of unknown source");
    };
    match all.remove(key) {
        None if optional != Some(true) => bail!("couldn't find key {key}"),
        value => Ok(value.map(String::from_utf8).transpose()?),
    }
}
