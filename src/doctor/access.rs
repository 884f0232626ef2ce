//! The way to what a resource names: its Secrets, and its workspace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use secrecy::SecretString;

use super::findings::Findings;
use super::patient::Patient;
use crate::cluster::sentence;
use crate::controller::secrets::SecretData;
use crate::crd::WorkspaceStatus;
use crate::hosts::Reach;
use crate::kinds::Credential;
use crate::options::Workspace;
use crate::unstructured::{ApiError, ApiKey, Client, Endpoint, ErrorKind, Fingerprint};

/// What is found out about a workspace.
pub(super) const WORKSPACE: &str = "workspace";

impl Patient<'_> {
    /// The values of these keys of Secrets, in their order, if all can be used. `repair`: what puts the keys of a Secret there.
    pub async fn values(
        &self,
        wanted: &[Credential<'_>],
        repair: impl Fn(&str) -> String,
        findings: &mut Findings,
    ) -> Option<Vec<SecretString>> {
        const CHECK: &str = "secret";
        let subject = self.subject();
        let mut values = Vec::with_capacity(wanted.len());
        let mut secrets = BTreeMap::new();
        for credential in wanted {
            let name = credential.secret;
            if !secrets.contains_key(name) {
                let secret = self.secret(name, CHECK, &repair(name), findings).await?;
                secrets.insert(name, secret);
            }
            match secrets[name].credential(credential) {
                Ok(value) => values.push(value.secret),
                Err(defect) => findings.wrong(
                    &subject,
                    CHECK,
                    format!("the key {} of the Secret {name} {defect}", credential.key),
                    repair(name),
                ),
            }
        }
        if values.len() < wanted.len() {
            return None;
        }
        let names: Vec<_> = secrets.into_keys().collect();
        let message = match names.as_slice() {
            [] => "the resource needs no Secret".to_owned(),
            [name] => format!("the Secret {name} has every key"),
            names => format!("the Secrets {} have every key", names.join(" and ")),
        };
        findings.right(&subject, CHECK, message);
        Some(values)
    }

    /// The data of a Secret in the resource's namespace.
    async fn secret(
        &self,
        name: &str,
        check: &'static str,
        next: &str,
        findings: &mut Findings,
    ) -> Option<SecretData> {
        let client = self.means.client.clone();
        let secrets: Api<Secret> = Api::namespaced(client, &self.key.namespace);
        match secrets.get_opt(name).await {
            Ok(Some(secret)) => Some(SecretData::of(secret)),
            Ok(None) => {
                let message = format!("the Secret {name} does not exist");
                findings.wrong(&self.subject(), check, message, next);
                None
            }
            Err(error) => {
                let message = sentence(&error, &format!("the Secret {name} cannot be read"));
                findings.unknown(
                    &self.subject(),
                    check,
                    message,
                    "ask somebody with the permission to run this",
                );
                None
            }
        }
    }

    /// A client of its workspace, and how far that may reach.
    pub async fn open(&self, findings: &mut Findings) -> Option<(Client, Reach)> {
        let (endpoint, reach, key) = self.place(findings).await?;
        match Workspace::client(endpoint, key, reach, self.means.network) {
            Ok(client) => Some((client, reach)),
            Err(error) => {
                let next = "mend the system's CA certificates";
                findings.wrong(&self.subject(), WORKSPACE, error.to_string(), next);
                None
            }
        }
    }

    async fn place(&self, findings: &mut Findings) -> Option<(Endpoint, Reach, ApiKey)> {
        let subject = self.subject();
        let Some(reference) = self.workspace else {
            let Some(key) = self.means.own_key else {
                findings.unknown(
                    &subject,
                    WORKSPACE,
                    "the resource uses the operator's own workspace, whose key was not given here: put it into a file, or into \
                     UNSTRUCTURED_API_KEY",
                    format!("{} --api-key-file key", self.run_again()),
                );
                return None;
            };
            let endpoint = self.means.own_endpoint.clone();
            return Some((endpoint, Reach::Anywhere, key.clone()));
        };
        let endpoint = match reference.api_url.as_deref() {
            None => self.means.own_endpoint.clone(),
            Some(url) => match Endpoint::parse(url, self.means.network.allow_insecure_http) {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    let message = format!("workspace.apiUrl: {error}");
                    let next = self.anew("another workspace.apiUrl");
                    findings.wrong(&subject, WORKSPACE, message, next);
                    return None;
                }
            },
        };
        // As in the operator: before the key is read.
        let reach = match self.means.hosts.reach(&endpoint.to_string()) {
            Ok(reach) => reach,
            Err(refusal) => {
                let message = format!("workspace.apiUrl: {refusal}");
                let next = format!(
                    "if the operator runs with --allowed-api-hosts, give the same here; else {}",
                    self.anew("another workspace.apiUrl")
                );
                findings.wrong(&subject, WORKSPACE, message, next);
                return None;
            }
        };
        let wanted = &reference.api_key_secret_ref;
        let next = self.replace_key().unwrap_or_default();
        let secret = self
            .secret(&wanted.name, WORKSPACE, &next, findings)
            .await?;
        let key = match secret.value(&wanted.key) {
            Err(defect) => Err(defect.to_string()),
            Ok(value) => {
                ApiKey::new(value.secret).map_err(|error| format!("cannot be used: {error}"))
            }
        };
        match key {
            Ok(key) => Some((endpoint, reach, key)),
            Err(problem) => {
                let message = format!(
                    "the key {} of the Secret {} {problem}",
                    wanted.key, wanted.name
                );
                findings.wrong(&subject, WORKSPACE, message, next);
                None
            }
        }
    }

    /// Tells that the workspace does not answer as it should.
    pub fn unanswered(&self, endpoint: &Endpoint, error: &ApiError, findings: &mut Findings) {
        let subject = self.subject();
        let message = format!("{endpoint} cannot be asked: {error}");
        let next = match error.kind {
            ErrorKind::Unauthorized | ErrorKind::Forbidden => self.replace_key().unwrap_or_else(|| {
                "create a key in the Unstructured UI (API Keys, in the right workspace) and put it into the operator's own Secret"
                    .to_owned()
            }),
            ErrorKind::WrongUrl => {
                "check --api-url (UNSTRUCTURED_API_URL), or the resource's workspace.apiUrl".to_owned()
            }
            _ => return findings.unknown(&subject, WORKSPACE, message, self.run_again()),
        };
        findings.wrong(&subject, WORKSPACE, message, next);
    }

    /// What to say of something on record that the workspace does not have, and what to do.
    pub fn gone(&self, what: &str, other_key: bool) -> (String, String) {
        if other_key {
            return (
                format!(
                    "{what} is not in this workspace, and the key is not the one that the operator used last"
                ),
                "give the key of the workspace that it is in: a key belongs to exactly one workspace"
                    .to_owned(),
            );
        }
        (
            format!(
                "{what} is gone from the workspace; the operator creates it again at its next look"
            ),
            self.look_again(),
        )
    }
}

/// Whether a key is not the one with which the operator worked last.
pub(super) fn is_other(home: Option<&WorkspaceStatus>, fingerprint: &Fingerprint) -> bool {
    home.is_some_and(|home| home.key_fingerprint != fingerprint.as_ref())
}
