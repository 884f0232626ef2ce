//! A resource that stands for a connector: its status, its Secret, Dropbox, and its workspace.

use tokio::time::Instant;

use super::findings::Findings;
use super::patient::Patient;
use super::unclaimed::Listing;
use super::workspace;
use crate::dropbox::{CallError, Subfolder};
use crate::kinds::{Credentials, Provider, Providers, Resource, Verdict, suspicions};
use crate::scrub::one_line;

impl Patient<'_> {
    /// Examines everything about a connector's resource.
    ///
    /// Returns what is in its workspace, where that can be listed.
    pub async fn examine_connector(
        &self,
        resource: &Resource,
        findings: &mut Findings,
    ) -> Option<Listing> {
        self.status(findings);
        let credentials = self.credentials(resource, findings).await;
        if let Some(credentials) = &credentials {
            match resource.spec.provider() {
                Some(Provider::Dropbox) => self.dropbox(resource, credentials, findings).await,
                Some(Provider::Pinecone) => self.pinecone(resource, credentials, findings).await,
                None => {}
            }
        }
        // Without the credentials the plain settings can still be compared.
        let config = resource.spec.config(&credentials.unwrap_or_default());
        workspace::examine(self, resource, &config, findings).await
    }

    /// The values in the Secrets, if they all can be used.
    pub async fn credentials(
        &self,
        resource: &Resource,
        findings: &mut Findings,
    ) -> Option<Credentials> {
        let wanted = resource.spec.credentials();
        let repair = |secret: &str| self.put_credentials(resource, secret);
        let values = self.values(&wanted, repair, findings).await?;
        let mut credentials = Credentials::default();
        for (wanted, value) in wanted.iter().zip(values) {
            credentials.insert(wanted.parameter, value);
        }
        Some(credentials)
    }

    async fn pinecone(
        &self,
        resource: &Resource,
        credentials: &Credentials,
        findings: &mut Findings,
    ) {
        const CHECK: &str = "pinecone";
        let subject = self.subject();
        let providers = Providers {
            pinecone: Some(self.means.pinecone.clone()),
            ..Providers::default()
        };
        let asked = resource.spec.ask(&providers, credentials, Instant::now());
        match asked.await {
            Verdict::NotAsked => {}
            Verdict::Accepted => {
                let message = "Pinecone accepts the API key, and has the index if one is named";
                findings.right(&subject, CHECK, message);
            }
            Verdict::Insufficient(shortfall) => {
                findings.wrong(&subject, CHECK, shortfall.advice(), self.edit());
            }
            Verdict::Refused(why) => {
                let next = self.repair.clone().unwrap_or_else(|| self.edit());
                findings.wrong(&subject, CHECK, why, next);
            }
            Verdict::Inconclusive(why) | Verdict::NoAnswer(why) => {
                findings.unknown(&subject, CHECK, why, self.run_again());
            }
        }
    }

    async fn dropbox(
        &self,
        resource: &Resource,
        credentials: &Credentials,
        findings: &mut Findings,
    ) {
        const CHECK: &str = "dropbox";
        let subject = self.subject();
        let (Some(key), Some(secret), Some(token)) = (
            credentials.get("app_key"),
            credentials.get("app_secret"),
            credentials.get("refresh_token"),
        ) else {
            return;
        };
        let settings = resource.spec.settings();
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
                let suspicions = suspicions(&resource.spec.credentials(), credentials);
                findings.wrong(&subject, check, format!("{error}.{suspicions}"), &login);
            }
            Err(error) => findings.wrong(&subject, check, error.to_string(), &login),
        };
        let access_token = match self.means.dropbox.access_token(key, secret, token).await {
            Ok(access_token) => access_token,
            Err(error) => return tell(CHECK, Err(error)),
        };
        tell(
            CHECK,
            Ok("Dropbox accepts the app and its refresh token".to_owned()),
        );
        let folder = match remote_url.parse::<Subfolder>() {
            Ok(folder) => self.means.dropbox.look_into(&access_token, &folder).await,
            Err(_) => Err(CallError::FolderNotFound),
        };
        tell(
            "folder",
            folder.map(|()| format!("the app can read {remote_url}")),
        );
    }
}
