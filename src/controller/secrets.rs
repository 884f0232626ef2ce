//! The Secrets that a resource names: read when a pass needs them, and what is wrong with their values.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::SecretString;
use zeroize::Zeroize;

use super::context::Context;
use crate::engine::key::SecretKey;
use crate::engine::outcome::{Failure, Problem};
use crate::engine::refusal::kubernetes;
use crate::flaw::{self, Flaw};
use crate::kinds::{Credential, Credentials, Form, Impostor, Resource};
use crate::kube_error::is_forbidden;

/// The credentials of a resource, and the keys whose values had line breaks at their end; or what is wrong with one.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails.
pub async fn read_credentials(
    context: &Context,
    resource: &Resource,
) -> Result<Result<(Credentials, Vec<String>), Problem>, Failure> {
    let namespace = resource.namespace().unwrap_or_default();
    let wanted = resource.spec.credentials();
    let values = match read_values(context, &namespace, &wanted).await? {
        Ok(values) => values,
        Err(problem) => return Ok(Err(problem)),
    };
    let (mut credentials, mut trimmed) = (Credentials::default(), Vec::new());
    for (wanted, value) in wanted.iter().zip(values) {
        if value.trimmed {
            trimmed.push(wanted.key.to_owned());
        }
        credentials.insert(wanted.parameter, value.secret);
    }
    Ok(Ok((credentials, trimmed)))
}

/// The values of these keys of Secrets, in their order; or what is wrong with the first that cannot be used. Each Secret is read once.
///
/// # Errors
///
/// [`Failure`] when the Kubernetes API fails.
pub(crate) async fn read_values(
    context: &Context,
    namespace: &str,
    wanted: &[Credential<'_>],
) -> Result<Result<Vec<Value>, Problem>, Failure> {
    let mut secrets = BTreeMap::new();
    let mut values = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let name = wanted.secret;
        let secret = match secrets.entry(name) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unread) => match read_secret(context, namespace, name).await? {
                Reading::Found(secret) => unread.insert(secret),
                Reading::Missing => {
                    let field = wanted.name_field();
                    return Ok(Err(Problem::SecretNotFound(name.to_owned(), field)));
                }
                Reading::Forbidden => return Ok(Err(Problem::SecretForbidden(name.to_owned()))),
            },
        };
        match secret.credential(wanted) {
            Ok(value) => values.push(value),
            Err(defect) => return Ok(Err(defect.of(wanted))),
        }
    }
    Ok(Ok(values))
}

/// The data of a Secret, wiped when it is dropped.
pub(crate) struct SecretData(BTreeMap<String, ByteString>);

/// One value of a Secret.
pub(crate) struct Value {
    /// It, without the line breaks at its end. Two fields may name the same key.
    pub secret: SecretString,
    /// Whether there were any.
    pub trimmed: bool,
}

/// Why a key of a Secret gives no credential. Its text continues "the key …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// There is no such key.
    Missing,
    /// Its value has what no credential has.
    Flawed(Flaw),
    /// Its value is something else.
    Impostor(&'static Impostor),
}

impl SecretData {
    /// The data of this Secret.
    pub fn of(mut secret: Secret) -> Self {
        Self(secret.data.take().unwrap_or_default())
    }

    /// The value of a key that holds a token.
    pub fn value(&self, key: &str) -> Result<Value, Defect> {
        self.read(key, Form::Token)
    }

    fn read(&self, key: &str, form: Form) -> Result<Value, Defect> {
        let bytes = self.bytes(key)?;
        let value = match form {
            Form::Token => flaw::credential(bytes),
            Form::Text => flaw::text(bytes),
        };
        let value = value.map_err(Defect::Flawed)?;
        Ok(Value {
            secret: SecretString::from(value),
            trimmed: value.len() != bytes.len(),
        })
    }

    /// The value of a key that holds this credential.
    pub fn credential(&self, wanted: &Credential<'_>) -> Result<Value, Defect> {
        let bare = flaw::bare(self.bytes(wanted.key)?);
        match wanted.impostor {
            Some(impostor) if bare.starts_with(impostor.prefix) => Err(Defect::Impostor(impostor)),
            _ => self.read(wanted.key, wanted.form),
        }
    }

    fn bytes(&self, key: &str) -> Result<&[u8], Defect> {
        self.0
            .get(key)
            .map(|value| &*value.0)
            .ok_or(Defect::Missing)
    }
}

impl Drop for SecretData {
    fn drop(&mut self) {
        self.0.values_mut().for_each(|value| value.0.zeroize());
    }
}

impl Defect {
    /// The problem that it is where a key of a Secret is to hold this credential.
    pub fn of(self, wanted: &Credential<'_>) -> Problem {
        let (secret, key) = (wanted.secret.to_owned(), wanted.key.to_owned());
        match self {
            Self::Missing => Problem::SecretKeyMissing(secret, key, wanted.key_field()),
            Self::Flawed(flaw) => Problem::SecretInvalid(secret, key, flaw),
            Self::Impostor(impostor) => Problem::Impostor(secret, key, impostor),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::Flawed(flaw) => flaw.fmt(f),
            Self::Impostor(Impostor { what, .. }) => write!(f, "holds {what}"),
        }
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
pub(crate) async fn read_secret(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Reading, Failure> {
    // Anything else than a name would become another path, and a resource can be older than the rule that refuses it.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !name.bytes().all(is_name) {
        return Ok(Reading::Missing);
    }
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let key = SecretKey::new(namespace, name);
    match secrets.get_opt(name).await {
        Ok(Some(secret)) => {
            context.secret_versions.read(key, secret.resource_version());
            Ok(Reading::Found(SecretData::of(secret)))
        }
        Ok(None) => {
            context.secret_versions.read(key, None);
            Ok(Reading::Missing)
        }
        Err(error) if is_forbidden(&error) => Ok(Reading::Forbidden),
        Err(error) => Err(kubernetes(&error)),
    }
}
