//! One resource: its status, its Secret, Dropbox, and its workspace.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;

use super::findings::Findings;
use super::patient::Patient;
use super::unclaimed::Listing;
use super::workspace;
use crate::cluster::sentence;
use crate::controller::secrets::SecretData;
use crate::crd::ConnectorStatus;
use crate::dropbox::{CallError, Subfolder};
use crate::hosts::Reach;
use crate::kinds::{Credentials, Provider, suspicions};
use crate::scrub::one_line;
use crate::unstructured::{ApiKey, Config, Endpoint};

impl Patient<'_> {
    /// Examines everything about the resource.
    ///
    /// Returns what is in its workspace, where that can be listed.
    pub async fn examine(&self, findings: &mut Findings) -> Option<Listing> {
        self.status(findings);
        let config = match self.credentials(findings).await {
            Some(credentials) => {
                if self.resource.spec.provider() == Some(Provider::Dropbox) {
                    self.dropbox(&credentials, findings).await;
                }
                Some(self.resource.spec.config(&credentials))
            }
            None => None,
        };
        // Without the credentials the plain settings can still be compared.
        let config = config.unwrap_or_else(|| self.resource.spec.config(&Credentials::default()));
        self.workspace(&config, findings).await
    }

    fn status(&self, findings: &mut Findings) {
        const CHECK: &str = "status";
        let subject = self.subject();
        let status = self.resource.status.clone().unwrap_or_default();
        let is = |kind: &str, value: &str| {
            let condition = condition(&status, kind);
            condition.is_some_and(|condition| condition.status == value)
        };
        let said = condition(&status, "Ready").map_or_else(
            || "the operator has not said anything yet".to_owned(),
            |ready| {
                let (reason, message) = (one_line(&ready.reason), one_line(&ready.message));
                format!("the operator says {reason}: {message}")
            },
        );
        if self.resource.metadata.deletion_timestamp.is_some() {
            let message = format!("the resource is being deleted; {said}");
            findings.unknown(&subject, CHECK, message, self.show());
        } else if Some(status.observed_generation) != self.resource.metadata.generation {
            let message = "the operator has not looked at this resource as it is now: it does not run, or does not watch this \
                           namespace or these labels";
            findings.wrong(&subject, CHECK, message, self.wait());
        } else if is("Ready", "True") {
            findings.right(&subject, CHECK, "the operator says Ready");
        } else if is("Reconciling", "True") {
            findings.unknown(&subject, CHECK, said, self.wait());
        } else {
            findings.wrong(&subject, CHECK, said, self.look_again());
        }
        if self.resource.spec.options().suspend {
            findings.unknown(
                &subject,
                "suspend",
                "spec.suspend is set: the operator changes nothing for this resource until it is unset",
                self.set("suspend", "false"),
            );
        }
    }

    /// The values in the Secret, if they all can be used.
    async fn credentials(&self, findings: &mut Findings) -> Option<Credentials> {
        const CHECK: &str = "secret";
        let subject = self.subject();
        let login = self.login();
        let mut credentials = Credentials::default();
        let mut complete = true;
        let mut secrets = BTreeMap::new();
        for wanted in self.resource.spec.credentials() {
            let name = wanted.secret;
            if !secrets.contains_key(name) {
                let secret = self.secret(name, CHECK, &login, findings).await?;
                secrets.insert(name, secret);
            }
            let defect = match secrets[name].credential(&wanted) {
                Err(defect) => defect,
                Ok(value) => {
                    credentials.insert(wanted.parameter, value.secret);
                    continue;
                }
            };
            complete = false;
            findings.wrong(
                &subject,
                CHECK,
                format!("the key {} of the Secret {name} {defect}", wanted.key),
                &login,
            );
        }
        if complete {
            let names: Vec<_> = secrets.into_keys().collect();
            let message = match names.as_slice() {
                [] => "the resource needs no Secret".to_owned(),
                [name] => format!("the Secret {name} has every key"),
                names => format!("the Secrets {} have every key", names.join(" and ")),
            };
            findings.right(&subject, CHECK, message);
        }
        complete.then_some(credentials)
    }

    /// The data of a Secret in the resource's namespace.
    async fn secret(
        &self,
        name: &str,
        check: &'static str,
        next: &str,
        findings: &mut Findings,
    ) -> Option<SecretData> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
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
                    "have somebody run this who may",
                );
                None
            }
        }
    }

    async fn dropbox(&self, credentials: &Credentials, findings: &mut Findings) {
        const CHECK: &str = "dropbox";
        let subject = self.subject();
        let (Some(key), Some(secret), Some(token)) = (
            credentials.get("app_key"),
            credentials.get("app_secret"),
            credentials.get("refresh_token"),
        ) else {
            return;
        };
        let settings = self.resource.spec.settings();
        let remote_url = settings
            .get("remote_url")
            .and_then(|url| url.as_str())
            .unwrap_or_default();
        let (login, again) = (self.login(), self.run_again());
        let mut tell = |check, answer: Result<String, CallError>| match answer {
            Ok(message) => findings.right(&subject, check, message),
            Err(error) if error.is_inconclusive() => {
                findings.unknown(&subject, check, error.to_string(), &again);
            }
            Err(
                error @ (CallError::FolderNotFound
                | CallError::NotAFolder
                | CallError::FolderUnreadable { .. }),
            ) => {
                let folder = one_line(remote_url);
                let message = format!("{error}. The folder is spec.remoteUrl, {folder}");
                findings.wrong(&subject, check, message, self.edit());
            }
            Err(error @ (CallError::InvalidGrant | CallError::InvalidClient)) => {
                let suspicions = suspicions(&self.resource.spec.credentials(), credentials);
                findings.wrong(&subject, check, format!("{error}.{suspicions}"), &login);
            }
            Err(error) => findings.wrong(&subject, check, error.to_string(), &login),
        };
        let access_token = match self.dropbox.access_token(key, secret, token).await {
            Ok(access_token) => access_token,
            Err(error) => return tell(CHECK, Err(error)),
        };
        tell(
            CHECK,
            Ok("Dropbox accepts the app and its refresh token".to_owned()),
        );
        let folder = match remote_url.parse::<Subfolder>() {
            Ok(folder) => self.dropbox.look_into(&access_token, &folder).await,
            Err(_) => Err(CallError::FolderNotFound),
        };
        tell(
            "folder",
            folder.map(|()| format!("the app can read {remote_url}")),
        );
    }

    async fn workspace(&self, config: &Config, findings: &mut Findings) -> Option<Listing> {
        const CHECK: &str = "workspace";
        let subject = self.subject();
        let Some(reference) = self.resource.spec.options().workspace else {
            let Some(key) = self.own_key else {
                findings.unknown(
                    &subject,
                    CHECK,
                    "the resource uses the operator's own workspace, whose key was not given here: put it into a file, or into \
                     UNSTRUCTURED_API_KEY",
                    format!("{} --api-key-file key", self.run_again()),
                );
                return None;
            };
            let place = (self.own_endpoint.clone(), Reach::Anywhere);
            return workspace::examine(self, place, key.clone(), config, findings).await;
        };
        let endpoint = match reference.api_url.as_deref() {
            None => self.own_endpoint.clone(),
            Some(url) => match Endpoint::parse(url, self.network.allow_insecure_http) {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    let message = format!("workspace.apiUrl: {error}");
                    findings.wrong(&subject, CHECK, message, self.anew());
                    return None;
                }
            },
        };
        // As in the operator: before the key is read.
        let reach = match self.hosts.reach(&endpoint.to_string()) {
            Ok(reach) => reach,
            Err(refusal) => {
                let message = format!("workspace.apiUrl: {refusal}");
                let next = format!(
                    "if the operator runs with --allowed-api-hosts, give the same here; else {}",
                    self.anew()
                );
                findings.wrong(&subject, CHECK, message, next);
                return None;
            }
        };
        let wanted = &reference.api_key_secret_ref;
        let next = self.replace_key().unwrap_or_default();
        let secret = self.secret(&wanted.name, CHECK, &next, findings).await?;
        let key = match secret.value(&wanted.key) {
            Err(defect) => Err(defect.to_string()),
            Ok(value) => {
                ApiKey::new(value.secret).map_err(|error| format!("cannot be used: {error}"))
            }
        };
        match key {
            Ok(key) => workspace::examine(self, (endpoint, reach), key, config, findings).await,
            Err(problem) => {
                let message = format!(
                    "the key {} of the Secret {} {problem}",
                    wanted.key, wanted.name
                );
                findings.wrong(&subject, CHECK, message, next);
                None
            }
        }
    }
}

/// A condition of a status.
pub(super) fn condition<'a>(status: &'a ConnectorStatus, kind: &str) -> Option<&'a Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
}
