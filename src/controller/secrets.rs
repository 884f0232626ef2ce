//! The Secrets that a resource names: read when a pass needs them, and what is wrong with their values.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::SecretString;
use zeroize::Zeroize;

use super::Context;
use super::observe::Hand;
use super::outcome::{Failure, Problem};
use super::refusal::kubernetes;
use super::situation::Desired;
use crate::kinds::{Credentials, SourceKind};

/// Reads the Secret with the credentials and puts the configuration together.
pub async fn read_configuration<K: SourceKind>(
    context: &Context<K>,
    hand: &mut Hand<K>,
) -> Result<Desired, Failure> {
    let resource = hand.resource.clone();
    let name = resource.credentials_secret();
    let namespace = resource.namespace().unwrap_or_default();
    let secret = match read_secret(context, &namespace, name).await? {
        Reading::Found(secret) => secret,
        Reading::Missing => {
            return Ok(Desired::Blocked(Problem::SecretNotFound(name.to_owned())));
        }
        Reading::Forbidden => {
            return Ok(Desired::Blocked(Problem::SecretForbidden(name.to_owned())));
        }
    };
    let mut credentials = Credentials::default();
    for wanted in resource.credentials() {
        let invalid = |why| {
            Ok(Desired::Blocked(Problem::SecretInvalid(
                name.to_owned(),
                wanted.key.to_owned(),
                why,
            )))
        };
        let value = match secret.value(wanted.key) {
            None => {
                return Ok(Desired::Blocked(Problem::SecretKeyMissing(
                    name.to_owned(),
                    wanted.key.to_owned(),
                )));
            }
            Some(Err(why)) => return invalid(why),
            Some(Ok(value)) => value,
        };
        if wanted.refuses_access_token && value.is_access_token {
            return Ok(Desired::Blocked(Problem::AccessToken(
                name.to_owned(),
                wanted.key.to_owned(),
            )));
        }
        if value.is_mask {
            return invalid(
                "holds the mask that Unstructured shows in place of a secret, not the secret",
            );
        }
        if value.trimmed {
            hand.trimmed.push(wanted.key.to_owned());
        }
        credentials.insert(wanted.parameter, value.secret);
    }
    let config = credentials.complete(resource.settings());
    let digest = config.digest(resource.uid().unwrap_or_default().as_bytes());
    hand.credentials = Some(credentials);
    hand.config = Some(config);
    Ok(Desired::Digest(digest))
}

/// The data of a Secret, wiped when it is dropped.
pub(crate) struct SecretData(std::collections::BTreeMap<String, ByteString>);

/// One value of a Secret, and what is noteworthy about it.
pub(crate) struct Value {
    pub secret: SecretString,
    pub trimmed: bool,
    pub is_access_token: bool,
    pub is_mask: bool,
}

impl SecretData {
    /// The data of this Secret.
    pub fn of(mut secret: Secret) -> Self {
        Self(secret.data.take().unwrap_or_default())
    }

    /// The value of a key, without the line breaks that editors and `echo` leave at its end. Two fields may name the same key.
    pub fn value(&self, key: &str) -> Option<Result<Value, &'static str>> {
        let bytes = &self.0.get(key)?.0;
        Some(match std::str::from_utf8(bytes) {
            Err(_) => Err("is not text"),
            Ok(text) => {
                let trimmed = text.trim_end_matches(['\n', '\r']);
                if trimmed.trim().is_empty() {
                    Err("is empty")
                } else if trimmed.contains(char::is_control) {
                    Err("contains control characters")
                } else {
                    Ok(Value {
                        secret: SecretString::from(trimmed),
                        trimmed: trimmed.len() != text.len(),
                        is_access_token: trimmed.starts_with("sl."),
                        is_mask: trimmed == crate::unstructured::MASK,
                    })
                }
            }
        })
    }
}

impl Drop for SecretData {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|value| value.0.zeroize());
    }
}

/// What came of reading a Secret.
pub(crate) enum Reading {
    /// It is there.
    Found(SecretData),
    /// There is no such Secret.
    Missing,
    /// The operator may not read it.
    Forbidden,
}

/// Reads a Secret. Nobody else does.
pub(crate) async fn read_secret<K>(
    context: &Context<K>,
    namespace: &str,
    name: &str,
) -> Result<Reading, Failure> {
    // Anything else than a name would become another path, and a resource can be older than the rule that refuses it.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !name.bytes().all(is_name) {
        return Ok(Reading::Missing);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    match secrets.get_opt(name).await {
        Ok(Some(secret)) => Ok(Reading::Found(SecretData::of(secret))),
        Ok(None) => Ok(Reading::Missing),
        Err(kube::Error::Api(status)) if status.is_forbidden() => Ok(Reading::Forbidden),
        Err(error) => Err(kubernetes(&error)),
    }
}
