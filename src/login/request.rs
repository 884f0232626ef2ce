//! What is asked for, and what that changes of a `DropboxSource` that is there already: nothing that was not given.

use serde_json::{Map, Value, json};

use crate::crd::{CredentialKeys, DropboxSource};
use crate::dropbox::Subfolder;
use crate::manifest;

/// What is to be written, as far as it was given.
pub(super) struct Request<'a> {
    /// The name of the `DropboxSource`.
    pub name: String,
    /// Its namespace; without one, that is for `kubectl apply` to say.
    pub namespace: Option<&'a str>,
    /// What it is to read; without one, what it reads now.
    pub folder: Option<Subfolder>,
    pub recursive: Option<bool>,
    pub secret_name: Option<&'a str>,
    /// Whether the `DropboxSource` stays as it is.
    pub secret_only: bool,
}

/// What becomes of the `DropboxSource`.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// It is made from this manifest.
    Create(Value),
    /// These fields of its spec are set, and no others.
    Set(Map<String, Value>),
    /// It stays as it is.
    Nothing,
}

impl Request<'_> {
    /// The name of the Secret: the given one, else the one that is read already.
    pub fn secret_name(&self, existing: Option<&DropboxSource>) -> String {
        let read = existing.map(|source| source.spec.credentials.secret_ref.name.as_str());
        match self.secret_name.or(read) {
            Some(name) => name.to_owned(),
            None => format!("{}-dropbox", self.name),
        }
    }

    /// What becomes of the `DropboxSource`, of which `existing` is there.
    pub fn change(&self, existing: Option<&DropboxSource>) -> Change {
        match (existing, &self.folder) {
            _ if self.secret_only => Change::Nothing,
            (Some(existing), _) => self.changes(existing),
            (None, None) => Change::Nothing,
            (None, Some(folder)) => Change::Create(manifest::source(
                &self.name,
                self.namespace,
                folder,
                self.recursive,
                &self.secret_name(None),
                None,
            )),
        }
    }

    fn changes(&self, existing: &DropboxSource) -> Change {
        let spec = &existing.spec;
        let mut set = Map::new();
        if let Some(folder) = self.folder.as_ref().filter(|to| repoints(existing, to)) {
            set.insert("remoteUrl".to_owned(), folder.remote_url().into());
        }
        if let Some(recursive) = self.recursive.filter(|to| spec.recursive != *to) {
            set.insert("recursive".to_owned(), recursive.into());
        }
        let secret = &spec.credentials.secret_ref.name;
        if let Some(name) = self.secret_name.filter(|name| secret != name) {
            let reference = json!({ "secretRef": { "name": name } });
            set.insert("credentials".to_owned(), reference);
        }
        if set.is_empty() {
            Change::Nothing
        } else {
            Change::Set(set)
        }
    }
}

/// The keys that the credentials are read from.
pub(super) fn keys(existing: Option<&DropboxSource>) -> CredentialKeys {
    existing.map_or_else(CredentialKeys::default, |source| {
        source.spec.credentials.keys.clone()
    })
}

/// Whether a resource that reads this folder would read another one than now.
pub(super) fn repoints(existing: &DropboxSource, folder: &Subfolder) -> bool {
    existing.spec.remote_url.parse::<Subfolder>().as_ref() != Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request<'static> {
        Request {
            name: "contracts".to_owned(),
            namespace: Some("legal"),
            folder: None,
            recursive: None,
            secret_name: None,
            secret_only: false,
        }
    }

    fn existing() -> DropboxSource {
        let spec = json!({
            "remoteUrl": "dropbox://contracts/",
            "recursive": true,
            "deletionPolicy": "Retain",
            "credentials": { "secretRef": { "name": "team" }, "keys": { "appKey": "KEY" } },
        });
        let source = json!({
            "apiVersion": "connectors.unstructured.io/v1alpha1", "kind": "DropboxSource",
            "metadata": { "name": "contracts" }, "spec": spec,
        });
        serde_json::from_value(source).unwrap()
    }

    #[test]
    fn what_was_not_given_is_not_changed() {
        let existing = existing();
        assert_eq!(request().change(Some(&existing)), Change::Nothing);
        assert_eq!(request().secret_name(Some(&existing)), "team");
        assert_eq!(keys(Some(&existing)).app_key, "KEY");
        assert_eq!(keys(Some(&existing)).app_secret, "app_secret");
        let same = Request {
            folder: Some("contracts".parse().unwrap()),
            recursive: Some(true),
            secret_name: Some("team"),
            ..request()
        };
        assert_eq!(same.change(Some(&existing)), Change::Nothing);
    }

    #[test]
    fn what_was_given_is_changed_and_nothing_else() {
        let existing = existing();
        let given = Request {
            folder: Some("archive/contracts".parse().unwrap()),
            recursive: Some(false),
            secret_name: Some("other"),
            ..request()
        };
        let Change::Set(set) = given.change(Some(&existing)) else {
            panic!("nothing is set")
        };
        assert_eq!(
            Value::from(set),
            json!({
                "remoteUrl": "dropbox://archive/contracts",
                "recursive": false,
                "credentials": { "secretRef": { "name": "other" } },
            })
        );
        let alone = Request {
            secret_only: true,
            ..given
        };
        assert_eq!(alone.change(Some(&existing)), Change::Nothing);
    }

    #[test]
    fn a_new_one_says_no_more_than_was_given() {
        let new = Request {
            folder: Some("contracts".parse().unwrap()),
            ..request()
        };
        let Change::Create(manifest) = new.change(None) else {
            panic!("nothing is made")
        };
        assert_eq!(
            manifest["spec"],
            json!({
                "remoteUrl": "dropbox://contracts",
                "credentials": { "secretRef": { "name": "contracts-dropbox" } },
            })
        );
    }
}
