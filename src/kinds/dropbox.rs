//! [`DropboxSource`] as a kind of source.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Credential, Credentials, Options, Providers, SourceKind, Verdict};
use crate::crd::{DropboxSource, SourceStatus};
use crate::dropbox::{Grant, Rejection};

const APP_KEY: &str = "app_key";
const APP_SECRET: &str = "app_secret";
const REFRESH_TOKEN: &str = "refresh_token";

impl SourceKind for DropboxSource {
    const SOURCE_TYPE: &'static str = "dropbox";

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
            ("remote_url", json!(self.spec.remote_url)),
            ("recursive", json!(self.spec.recursive)),
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
                refuses_access_token: false,
            },
            Credential {
                parameter: APP_SECRET,
                key: &keys.app_secret,
                refuses_access_token: false,
            },
            Credential {
                parameter: REFRESH_TOKEN,
                key: &keys.refresh_token,
                refuses_access_token: true,
            },
        ]
    }

    async fn ask(providers: &Providers, credentials: &Credentials) -> Verdict {
        let Some(dropbox) = &providers.dropbox else {
            return Verdict::NotAsked;
        };
        let (Some(key), Some(secret), Some(token)) = (
            credentials.get(APP_KEY),
            credentials.get(APP_SECRET),
            credentials.get(REFRESH_TOKEN),
        ) else {
            return Verdict::Inconclusive("the credentials are incomplete".to_owned());
        };
        match dropbox.check(key, secret, token).await {
            Grant::Accepted => Verdict::Accepted,
            Grant::Inconclusive(why) => Verdict::Inconclusive(why),
            Grant::Rejected(Rejection::InvalidGrant) => Verdict::Refused(
                "Dropbox refuses the refresh token (invalid_grant): it is revoked, malformed or of another app. Authorize the \
                 app again with token_access_type=offline and put the new refresh token into the Secret."
                    .to_owned(),
            ),
            Grant::Rejected(Rejection::InvalidClient) => Verdict::Refused(
                "Dropbox refuses the app key and secret (invalid_client). Copy both again from the Settings tab of the app in \
                 the Dropbox App Console into the Secret."
                    .to_owned(),
            ),
        }
    }
}
