//! [`DropboxSource`](crate::crd::DropboxSource): a Dropbox folder as a source.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kind::Kind;
use super::provider::{Provider, Providers, Shortfall, Verdict};
use super::spec::{Credential, Credentials, Field, Form, Impostor, Options, Spec};
use crate::crd::{self, DropboxSourceSpec};
use crate::dropbox::{CallError, DropboxClient, Subfolder};
use crate::unstructured::Collection;

/// `DropboxSource`.
pub static DROPBOX_SOURCE: Kind = Kind {
    name: "DropboxSource",
    plural: "dropboxsources",
    collection: Collection::Sources,
    in_names: false,
    definition: crd::dropbox_source_definition,
    read: |spec| Ok(Box::new(serde_json::from_value::<DropboxSourceSpec>(spec)?)),
};

const REMOTE_URL: &str = "remote_url";
const RECURSIVE: &str = "recursive";
const APP_KEY: &str = "app_key";
const APP_SECRET: &str = "app_secret";
const REFRESH_TOKEN: &str = "refresh_token";

/// What the App Console gives at the press of a button, and examples of other tools ask for.
const ACCESS_TOKEN: Impostor = Impostor {
    prefix: "sl.",
    what: "an access token (it starts with \"sl.\"), which expires after four hours",
    advice: "Put the refresh token there: authorize the app with token_access_type=offline to get one.",
};

impl Spec for DropboxSourceSpec {
    fn connector_type(&self) -> &'static str {
        "dropbox"
    }

    fn options(&self) -> Options<'_> {
        Options::of(&self.options, self.existing_source_id.as_deref())
    }

    /// `recursive` is always sent: its default differs between the API's specification (true) and its documentation (false).
    fn settings(&self) -> BTreeMap<&str, Value> {
        BTreeMap::from([
            (REMOTE_URL, json!(self.remote_url)),
            (RECURSIVE, json!(self.recursive)),
        ])
    }

    fn credentials(&self) -> Vec<Credential<'_>> {
        let (secret, keys) = (&self.credentials.secret_ref.name, &self.credentials.keys);
        let credential = |parameter, key, impostor| Credential {
            parameter,
            secret,
            key,
            field: Field::Credentials,
            form: Form::Token,
            impostor,
        };
        vec![
            credential(APP_KEY, &keys.app_key, None),
            credential(APP_SECRET, &keys.app_secret, None),
            credential(REFRESH_TOKEN, &keys.refresh_token, Some(&ACCESS_TOKEN)),
        ]
    }

    fn provider(&self) -> Option<Provider> {
        Some(Provider::Dropbox)
    }

    fn ask<'a>(
        &'a self,
        providers: &'a Providers,
        credentials: &'a Credentials,
        since: Instant,
    ) -> BoxFuture<'a, Verdict> {
        match &providers.dropbox {
            Some(dropbox) => ask(self, dropbox, credentials, since).boxed(),
            None => std::future::ready(Verdict::NotAsked).boxed(),
        }
    }
}

async fn ask(
    source: &DropboxSourceSpec,
    dropbox: &DropboxClient,
    credentials: &Credentials,
    since: Instant,
) -> Verdict {
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
                suspicions(&source.credentials(), credentials)
            ));
        }
        Err(CallError::InvalidClient) => {
            return Verdict::Refused(format!(
                "Dropbox refuses the app key and secret (invalid_client). Copy both again from the Settings tab of the app \
                 in the Dropbox App Console into the Secret, and see that they are not swapped.{}",
                suspicions(&source.credentials(), credentials)
            ));
        }
        Err(error) => return unknown(&error),
    };
    let remote_url = &source.remote_url;
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

/// What there is to say when Dropbox says nothing of the credentials.
fn unknown(error: &CallError) -> Verdict {
    let why = |again| {
        format!(
            "It is not known whether Dropbox accepts the credentials: {error}. They are used all the same, and Dropbox is asked \
             again {again}."
        )
    };
    if error.is_outage() {
        Verdict::NoAnswer(why("until it responds"))
    } else {
        Verdict::Inconclusive(why("every few minutes"))
    }
}

/// What Dropbox denies to credentials that it accepts.
fn shortfall(error: &CallError, remote_url: &str) -> Option<Shortfall> {
    const BUT: &str = "Dropbox accepts the credentials, but";
    const AGAIN: &str = "The operator checks again every few minutes.";
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
pub(crate) fn suspicions(wanted: &[Credential<'_>], credentials: &Credentials) -> String {
    let keyed = |parameter| {
        let wanted = wanted.iter().find(|wanted| wanted.parameter == parameter)?;
        Some((wanted.key, credentials.get(parameter)?))
    };
    match (keyed(APP_KEY), keyed(APP_SECRET), keyed(REFRESH_TOKEN)) {
        (Some(app_key), Some(app_secret), Some(refresh_token)) => {
            crate::dropbox::suspicions(app_key, app_secret, refresh_token)
        }
        _ => String::new(),
    }
}
