//! The cluster as the place where both objects go: looked at first, rehearsed, then written.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use super::options::Options;
use super::request::Change;
use crate::cluster::{find_definition, sentence};
use crate::crd::{DropboxSource, RECONCILE_AT};
use crate::kube_error::{is_forbidden, is_missing};
use crate::manifest::{self, SecretManifest};
use crate::options::Exit;
use crate::output::say;
use crate::scrub::one_line;
use crate::terminal::{Mark, report};

/// Who the fields belong to.
const MANAGER: &str = "unstructured-operator-login";

/// A namespace of a cluster that knows the resource.
pub(super) struct Cluster {
    client: Client,
    pub namespace: String,
}

impl Cluster {
    /// Connects, and finds the definition.
    pub async fn connect(options: &Options) -> Result<Self, Exit> {
        let (client, namespace) = options.cluster.connect()?;
        find_definition::<DropboxSource>(&client).await?;
        Ok(Self { client, namespace })
    }

    /// The resource of this name, if there is one.
    pub async fn find(&self, name: &str) -> Result<Option<DropboxSource>, Exit> {
        let what = format!("read DropboxSources in {}", self.namespace);
        let found = self.sources().get_opt(name).await;
        found.map_err(|error| self.refused(&what, &error))
    }

    /// Whether both objects may be written, with the name and the change known as far as they are. A dry run, because it finds
    /// out what else may stand in the way: a namespace that does not exist, a quota, a policy, another tool that owns a field.
    pub async fn rehearse(
        &self,
        name: &str,
        secret_name: &str,
        existing: Option<&DropboxSource>,
        change: &Change,
    ) -> Result<(), Exit> {
        let what = format!("write Secrets in {}", self.namespace);
        let params = PatchParams::apply(MANAGER).dry_run();
        let secret =
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": secret_name } });
        self.secrets()
            .patch(secret_name, &params.clone().force(), &Patch::Apply(&secret))
            .await
            .map_err(|error| self.refused(&what, &error))?;
        let source = match (change, existing) {
            (Change::Create(manifest), _) => manifest.clone(),
            (Change::Set(fields), Some(existing)) => complete(existing, fields),
            (Change::Set(_), None) | (Change::Nothing, _) => return Ok(()),
        };
        let what = format!("write DropboxSources in {}", self.namespace);
        self.sources()
            .patch(name, &params, &Patch::Apply(&source))
            .await
            .map_err(|error| self.refused(&what, &error))?;
        Ok(())
    }

    /// The same while nothing is known of the objects yet.
    pub async fn rehearse_anything(&self) -> Result<(), Exit> {
        let name = "unstructured-operator-login-rehearsal";
        let folder = "rehearsal".parse().expect("it is a folder");
        let source = manifest::source(name, None, &folder, None, name, None);
        self.rehearse(name, name, None, &Change::Create(source))
            .await
    }

    /// Writes both.
    pub async fn write(
        &self,
        name: &str,
        secret_name: &str,
        secret: &SecretManifest<'_>,
        change: &Change,
    ) -> Result<(), Exit> {
        let namespace = &self.namespace;
        let params = PatchParams::apply(MANAGER);
        // By force: new credentials are what was asked for, whoever wrote the old ones.
        let what = format!("write the Secret {namespace}/{secret_name}");
        self.secrets()
            .patch(secret_name, &params.clone().force(), &Patch::Apply(secret))
            .await
            .map_err(|error| self.refused(&what, &error))?;
        report(
            Mark::Good,
            &format!("the Secret {namespace}/{secret_name} is in the cluster"),
        );
        let what = format!("write the DropboxSource {namespace}/{name}");
        let patch = match change {
            // Not by force: what another tool manages (GitOps), it would only change back.
            Change::Create(manifest) => (params, Patch::Apply(manifest.clone())),
            // No apply: what this command applied before and is not given again would go.
            Change::Set(fields) => (
                PatchParams {
                    field_manager: Some(MANAGER.to_owned()),
                    ..PatchParams::default()
                },
                Patch::Merge(json!({ "spec": fields })),
            ),
            Change::Nothing => {
                self.say_how_to_wait(name, true);
                return Ok(());
            }
        };
        let written = self.sources().patch(name, &patch.0, &patch.1).await;
        written.map_err(|error| self.refused(&what, &error))?;
        report(
            Mark::Good,
            &format!("the DropboxSource {namespace}/{name} is in the cluster"),
        );
        self.say_how_to_wait(name, matches!(change, Change::Set(_)));
        Ok(())
    }

    /// A resource that was there is Ready of old, until the operator has looked at it again.
    fn say_how_to_wait(&self, name: &str, was_there: bool) {
        let kubectl = format!("kubectl -n {}", self.namespace);
        let mut next = "Next: ".to_owned();
        if was_there {
            let at = jiff::Timestamp::now().as_second();
            next = format!(
                "Next: {kubectl} annotate --overwrite dropboxsource/{name} {RECONCILE_AT}={at}\n      \
                 {kubectl} wait --for=jsonpath='{{.status.lastHandledReconcileAt}}'={at} dropboxsource/{name} --timeout=5m\n      "
            );
        }
        say(&format!(
            "{next}{kubectl} wait --for=condition=Ready dropboxsource/{name} --timeout=5m\n\
             If it does not become Ready: unstructured-operator doctor -n {} {name}",
            self.namespace
        ));
    }

    /// What the cluster refused, and what to do. Its words may quote what was sent, but never a Secret's values: it shows field names.
    fn refused(&self, what: &str, error: &kube::Error) -> Exit {
        Exit::Failed(match error {
            _ if is_forbidden(error) => format!(
                "you lack the permission to {what}: ask an administrator for it, or use --output and have the files applied"
            ),
            kube::Error::Api(status) if status.code == 409 => format!(
                "cannot {what}: another tool manages this object, so nothing was written ({}). Change it there, choose another --name, or \
                 change the credentials alone with --secret-only",
                one_line(&status.message)
            ),
            _ if is_missing(error) => format!(
                "cannot {what}: the namespace does not exist; create it with kubectl create namespace {}",
                self.namespace
            ),
            kube::Error::Api(status) if status.code == 422 => {
                format!("cannot {what}: {}", one_line(&status.message))
            }
            _ => sentence(error, &format!("cannot {what}")),
        })
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn sources(&self) -> Api<DropboxSource> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// The resource with these fields set, as it would be applied.
fn complete(existing: &DropboxSource, fields: &Map<String, Value>) -> Value {
    let mut spec = json!(existing.spec);
    for (name, value) in fields {
        match (&mut spec[name], value) {
            (Value::Object(old), Value::Object(new)) => old.extend(new.clone()),
            (old, new) => *old = new.clone(),
        }
    }
    json!({
        "apiVersion": <DropboxSource as kube::Resource>::api_version(&()),
        "kind": <DropboxSource as kube::Resource>::kind(&()),
        "metadata": { "name": existing.metadata.name },
        "spec": spec,
    })
}
