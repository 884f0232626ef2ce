//! The manifests that commands write: a Secret, and a resource of any kind, with no field that says nothing.

mod yaml;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::crd::CredentialKeys;
use crate::dropbox::Subfolder;
use crate::kinds::{DROPBOX_SOURCE, Kind};

use yaml::push_text;
pub use yaml::yaml;

/// Longest name given: a resource's name becomes part of a label here and there, and the Secret's suffix has to fit.
const LONGEST: usize = 50;

/// A Secret with the credentials of a Dropbox app, under the keys that its `DropboxSource` reads.
///
/// Serialising it writes the values in clear: that is what it is for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretManifest<'a> {
    #[serde(flatten)]
    head: Map<String, Value>,
    string_data: BTreeMap<String, &'a str>,
}

impl<'a> SecretManifest<'a> {
    /// A Secret of this name; without a namespace, that is for `kubectl apply` to say.
    pub fn new(
        name: &str,
        namespace: Option<&str>,
        keys: CredentialKeys,
        app_key: &'a SecretString,
        app_secret: &'a SecretString,
        refresh_token: &'a SecretString,
    ) -> Self {
        let head = [
            ("apiVersion", "v1".into()),
            ("kind", "Secret".into()),
            ("metadata", metadata(name, namespace).into()),
            ("type", "Opaque".into()),
        ];
        Self {
            head: head
                .map(|(key, value)| (key.to_owned(), value))
                .into_iter()
                .collect(),
            string_data: BTreeMap::from([
                (keys.app_key, app_key.expose_secret()),
                (keys.app_secret, app_secret.expose_secret()),
                (keys.refresh_token, refresh_token.expose_secret()),
            ]),
        }
    }

    /// As YAML, in a text that is wiped.
    pub fn yaml(&self) -> Zeroizing<String> {
        // Large enough from the start, so that no copy is left behind in one that was outgrown.
        let values: usize = self.string_data.values().map(|value| value.len()).sum();
        let mut text = Zeroizing::new(String::with_capacity(8192 + 8 * values));
        text.push_str(&yaml(&self.head));
        text.push_str("stringData:\n");
        for (key, value) in &self.string_data {
            text.push_str("  ");
            push_text(&mut text, key);
            text.push_str(": ");
            push_text(&mut text, value);
            text.push('\n');
        }
        text
    }
}

/// Names of the keys, never their values.
impl fmt::Debug for SecretManifest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.string_data.keys()).finish()
    }
}

/// A `DropboxSource` that reads `folder` with the credentials in the Secret `secret`.
pub fn source(
    name: &str,
    namespace: Option<&str>,
    folder: &Subfolder,
    recursive: Option<bool>,
    secret: &str,
    existing: Option<&str>,
) -> Value {
    let mut spec = json!({
        "remoteUrl": folder.remote_url(),
        "credentials": { "secretRef": { "name": secret } },
    });
    if let Some(recursive) = recursive {
        spec["recursive"] = recursive.into();
    }
    if let Some(id) = existing {
        spec["existingSourceId"] = id.into();
    }
    resource(&DROPBOX_SOURCE, name, namespace, &spec)
}

/// A resource that stands for a connector.
pub fn resource(kind: &Kind, name: &str, namespace: Option<&str>, spec: &Value) -> Value {
    object(kind.name, name, namespace, spec)
}

/// A resource of any kind.
pub fn object(kind: &str, name: &str, namespace: Option<&str>, spec: &Value) -> Value {
    json!({
        "apiVersion": Kind::api_version(),
        "kind": kind,
        "metadata": metadata(name, namespace),
        "spec": spec,
    })
}

/// A name that Kubernetes takes, as close to `text` as can be: lower case, digits and hyphens, beginning with a letter or digit.
pub fn dns_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()))
        .filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-");
    name.truncate(LONGEST);
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "dropbox".to_owned()
    } else {
        name.to_owned()
    }
}

/// The name, or the first of `name-2`, `name-3`… that is not taken yet; takes it.
pub fn unique_name(name: String, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.clone()) {
        return name;
    }
    let mut numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    numbered
        .find(|name| taken.insert(name.clone()))
        .expect("there are more numbers than names")
}

fn metadata(name: &str, namespace: Option<&str>) -> Map<String, Value> {
    let mut metadata = Map::from_iter([("name".to_owned(), name.into())]);
    if let Some(namespace) = namespace {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::DropboxSource;

    #[test]
    fn any_text_becomes_a_name_that_kubernetes_takes() {
        for (text, name) in [
            ("Contracts 2026", "contracts-2026"),
            ("--a__b..c--", "a-b-c"),
            ("Verträge", "vertr-ge"),
            ("契約", "dropbox"),
            ("", "dropbox"),
        ] {
            assert_eq!(dns_name(text), name, "{text}");
        }
        let cut = format!("{}-b", "a".repeat(LONGEST - 1));
        assert_eq!(dns_name(&cut), "a".repeat(LONGEST - 1));
    }

    #[test]
    fn a_name_that_is_taken_is_numbered() {
        let mut taken = HashSet::new();
        let mut next = |name: &str| unique_name(name.to_owned(), &mut taken);
        assert_eq!(next("a"), "a");
        assert_eq!(next("a-2"), "a-2");
        assert_eq!(next("a"), "a-3");
    }

    #[test]
    fn the_manifests_are_what_the_operator_reads() {
        let [key, secret, token] = ["yes", "1e3", "token: \"x\""].map(SecretString::from);
        let manifest = SecretManifest::new(
            "s",
            Some("legal"),
            CredentialKeys::default(),
            &key,
            &secret,
            &token,
        );
        let read: k8s_openapi::api::core::v1::Secret =
            serde_yaml::from_str(&manifest.yaml()).unwrap();
        let data = read.string_data.unwrap();
        assert_eq!(data["app_key"], "yes");
        assert_eq!(data["app_secret"], "1e3");
        assert_eq!(data["refresh_token"], "token: \"x\"");
        let folder = "contracts/2026".parse().unwrap();
        let source = source("c", None, &folder, Some(true), "s", None);
        let read: DropboxSource = serde_yaml::from_str(&yaml(&source)).unwrap();
        assert_eq!(read.spec.remote_url, "dropbox://contracts/2026");
        assert!(read.spec.recursive);
        assert_eq!(read.spec.credentials.secret_ref.name, "s");
    }
}
