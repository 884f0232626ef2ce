//! [`DropboxSource`] as a kind of source.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Credential, Credentials, Impostor, Options, Providers, Shortfall, SourceKind, Verdict,
};
use crate::crd::{DropboxSource, SourceStatus};
use crate::dropbox::{CallError, Subfolder};

const REMOTE_URL: &str = "remote_url";
const RECURSIVE: &str = "recursive";
const APP_KEY: &str = "app_key";
const APP_SECRET: &str = "app_secret";
const REFRESH_TOKEN: &str = "refresh_token";

/// What the App Console gives at the press of a button, and examples of other tools ask for.
const ACCESS_TOKEN: Impostor = Impostor {
    prefix: "sl.",
    what: "an access token (it starts with \"sl.\"), which dies after four hours",
    advice: "Put the refresh token there: authorize the app with token_access_type=offline to get one.",
};

impl SourceKind for DropboxSource {
    const SOURCE_TYPE: &'static str = "dropbox";

    const PARAMETERS: &'static [&'static str] =
        &[REMOTE_URL, RECURSIVE, APP_KEY, APP_SECRET, REFRESH_TOKEN];

    fn options(&self) -> Options<'_> {
        let spec = &self.spec;
        Options {
            connector_name: spec.connector_name.as_deref(),
            existing_source_id: spec.existing_source_id.as_deref(),
            adoption_policy: spec.adoption_policy,
            workspace: spec.workspace.as_ref(),
            verify: spec.verify,
            deletion_policy: spec.deletion_policy,
            suspend: spec.suspend,
        }
    }

    fn status(&self) -> Option<&SourceStatus> {
        self.status.as_ref()
    }

    /// `recursive` is always sent: its default differs between the API's specification (true) and its documentation (false).
    fn settings(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            (REMOTE_URL, json!(self.spec.remote_url)),
            (RECURSIVE, json!(self.spec.recursive)),
        ])
    }

    fn credentials_secret(&self) -> &str {
        &self.spec.credentials.secret_ref.name
    }

    fn credentials(&self) -> Vec<Credential<'_>> {
        let keys = &self.spec.credentials.keys;
        vec![
            Credential {
                parameter: APP_KEY,
                key: &keys.app_key,
                impostor: None,
            },
            Credential {
                parameter: APP_SECRET,
                key: &keys.app_secret,
                impostor: None,
            },
            Credential {
                parameter: REFRESH_TOKEN,
                key: &keys.refresh_token,
                impostor: Some(&ACCESS_TOKEN),
            },
        ]
    }

    async fn ask(
        &self,
        providers: &Providers,
        credentials: &Credentials,
        since: Instant,
    ) -> Verdict {
        let Some(dropbox) = &providers.dropbox else {
            return Verdict::NotAsked;
        };
        let (Some(key), Some(secret), Some(token)) = (
            credentials.get(APP_KEY),
            credentials.get(APP_SECRET),
            credentials.get(REFRESH_TOKEN),
        ) else {
            return Verdict::Inconclusive("The credentials are incomplete.".to_owned());
        };
        let access_token = match dropbox.shared_access_token(key, secret, token, since).await {
            Ok(access_token) => access_token,
            Err(refusal @ CallError::InvalidGrant) => {
                return Verdict::Refused(format!(
                    "{refusal}, and put it into the Secret.{}",
                    suspicions(self, credentials)
                ));
            }
            Err(CallError::InvalidClient) => {
                return Verdict::Refused(format!(
                    "Dropbox refuses the app key and secret (invalid_client). Copy both again from the Settings tab of the app \
                     in the Dropbox App Console into the Secret, and see that they are not swapped.{}",
                    suspicions(self, credentials)
                ));
            }
            Err(error) => return unknown(&error),
        };
        let remote_url = &self.spec.remote_url;
        let Ok(folder) = remote_url.parse::<Subfolder>() else {
            return Verdict::Accepted;
        };
        match dropbox.look_into(&access_token, &folder).await {
            Ok(()) => Verdict::Accepted,
            Err(error) => match shortfall(&error, remote_url) {
                Some(shortfall) => Verdict::Insufficient(shortfall),
                None => unknown(&error),
            },
        }
    }
}

/// What there is to say when Dropbox says nothing of the credentials.
fn unknown(error: &CallError) -> Verdict {
    let why = format!(
        "It is not known whether Dropbox accepts the credentials: {error}. They are used all the same, and Dropbox is asked again \
         every few minutes."
    );
    match error {
        CallError::NoAnswer(_) => Verdict::NoAnswer(why),
        _ => Verdict::Inconclusive(why),
    }
}

/// What Dropbox denies to credentials that it accepts.
fn shortfall(error: &CallError, remote_url: &str) -> Option<Shortfall> {
    const BUT: &str = "Dropbox accepts the credentials, but";
    const AGAIN: &str = "It is looked at again every few minutes.";
    Some(match error {
        CallError::MissingScope(_) => Shortfall::Permission(format!("{BUT} {error}.")),
        CallError::AccessDenied { tag, advice } => {
            Shortfall::Access(format!("{BUT} denies their use ({tag}): {advice}. {AGAIN}"))
        }
        CallError::FolderNotFound => Shortfall::Folder(format!(
            "{BUT} shows the app no folder {remote_url} (not_found): create it in Dropbox, inside of the app's own folder, or \
             correct spec.remoteUrl. {AGAIN}"
        )),
        CallError::NotAFolder => Shortfall::Folder(format!(
            "{BUT} {remote_url} is a file (not_folder): name its folder in spec.remoteUrl."
        )),
        CallError::FolderUnreadable { tag, advice } => Shortfall::Content(format!(
            "{BUT} does not let {remote_url} be read ({tag}): {advice}. {AGAIN}"
        )),
        _ => return None,
    })
}

/// What only looks wrong with credentials that Dropbox refuses: sentences that name the keys of the Secret.
pub(crate) fn suspicions(source: &DropboxSource, credentials: &Credentials) -> String {
    let keys = &source.spec.credentials.keys;
    let (Some(app_key), Some(app_secret), Some(refresh_token)) = (
        credentials.get(APP_KEY),
        credentials.get(APP_SECRET),
        credentials.get(REFRESH_TOKEN),
    ) else {
        return String::new();
    };
    crate::dropbox::suspicions(
        (&keys.app_key, app_key),
        (&keys.app_secret, app_secret),
        (&keys.refresh_token, refresh_token),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_parameters_are_those_of_the_settings_and_the_credentials() {
        let spec = json!({ "remoteUrl": "dropbox://a", "credentials": { "secretRef": { "name": "dropbox" } } });
        let source = DropboxSource::new("contracts", serde_json::from_value(spec).unwrap());
        let credentials = source.credentials();
        let named = credentials.iter().map(|credential| credential.parameter);
        let named: BTreeSet<_> = source.settings().into_keys().chain(named).collect();
        assert_eq!(named, DropboxSource::PARAMETERS.iter().copied().collect());
    }
}
