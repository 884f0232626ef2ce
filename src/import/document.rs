//! The manifest of one connector: the kind that stands for its type, its settings, and where its secrets are to be.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::secrets::{is_secret_key, shows_a_secret, sounds_like_a_secret};
use crate::crd::MOST_PARAMETERS;
use crate::dropbox::Subfolder;
use crate::kinds::{
    ConnectorType, DROPBOX_SOURCE, Kind, PINECONE_DESTINATION, UNSTRUCTURED_DESTINATION,
    UNSTRUCTURED_SOURCE,
};
use crate::manifest::{dns_name, resource, source, unique_name, yaml};
use crate::scrub::one_line;
use crate::unstructured::{Collection, ConnectorId, Key, Whole};

/// Writes manifests, and remembers which names are taken and which Secrets they need.
pub(super) struct Writer<'a> {
    pub namespace: Option<&'a str>,
    dropbox_secret: &'a str,
    names: BTreeMap<&'static str, HashSet<String>>,
    secrets: HashSet<String>,
    /// The connectors that have a manifest: kind and name of each.
    pub written: HashMap<ConnectorId, (&'static Kind, String)>,
    /// The keys that each Secret has to have, in the order in which they are needed.
    pub needed: Vec<(String, Vec<String>)>,
    /// The names of the resources that are suspended, as somebody has to look at them first.
    pub suspended: Vec<String>,
}

/// The settings of a connector, sorted.
struct Sorted {
    config: Map<String, Value>,
    secret: Vec<String>,
    missing: Vec<&'static str>,
}

impl<'a> Writer<'a> {
    pub fn new(namespace: Option<&'a str>, dropbox_secret: &'a str) -> Self {
        Self {
            namespace,
            dropbox_secret,
            names: BTreeMap::new(),
            secrets: HashSet::from([dropbox_secret.to_owned()]),
            written: HashMap::new(),
            needed: Vec::new(),
            suspended: Vec::new(),
        }
    }

    /// The manifest of a connector, with what cannot be said in it as a comment; or why there is none.
    pub fn document(&mut self, family: Collection, whole: &Whole) -> Result<String, String> {
        match (family, &*whole.connector.connector_type) {
            (Collection::Sources, "dropbox") => self.dropbox(whole),
            (Collection::Destinations, "pinecone") => match pinecone(whole) {
                Some(spec) => Ok(self.pinecone(whole, spec)),
                None => self.generic(family, whole),
            },
            _ => self.generic(family, whole),
        }
    }

    fn dropbox(&mut self, whole: &Whole) -> Result<String, String> {
        let remote_url = whole.config.get("remote_url").and_then(Value::as_str);
        let folder: Subfolder = remote_url
            .ok_or("the API shows no remote_url for it")?
            .parse()
            .map_err(|reason| {
                format!("its remote_url cannot be used by a DropboxSource: {reason}")
            })?;
        let recursive = whole.config.get("recursive").and_then(Value::as_bool);
        let name = self.name(&DROPBOX_SOURCE, whole);
        let mut document = heading(whole);
        if recursive.is_none() {
            let _ = writeln!(
                document,
                "# The API does not say whether it reads subfolders; the operator will set recursive: false unless told otherwise."
            );
        }
        let secret = self.dropbox_secret.to_owned();
        self.need(&secret, &["app_key", "app_secret", "refresh_token"]);
        let id = whole.connector.id.to_string();
        let manifest = source(
            &name,
            self.namespace,
            &folder,
            recursive,
            &secret,
            Some(&id),
        );
        document.push_str(&yaml(&manifest));
        Ok(document)
    }

    fn pinecone(&mut self, whole: &Whole, mut spec: Value) -> String {
        let name = self.name(&PINECONE_DESTINATION, whole);
        let secret = self.secret_of(&name);
        self.need(&secret, &["api_key"]);
        spec["credentials"] = json!({ "secretRef": { "name": secret } });
        spec[PINECONE_DESTINATION.family().existing_field] = whole.connector.id.to_string().into();
        let manifest = resource(&PINECONE_DESTINATION, &name, self.namespace, &spec);
        heading(whole) + &yaml(&manifest)
    }

    fn generic(&mut self, family: Collection, whole: &Whole) -> Result<String, String> {
        let kind = match family {
            Collection::Sources => &UNSTRUCTURED_SOURCE,
            Collection::Destinations => &UNSTRUCTURED_DESTINATION,
        };
        let connector_type = &*whole.connector.connector_type;
        if !is_type(connector_type) {
            return Err(format!("no {} can have its type", kind.name));
        }
        let sorted = sort(family, whole);
        if sorted.config.len().max(sorted.secret.len()) > MOST_PARAMETERS {
            return Err(format!(
                "it has more parameters than a {} can have: {MOST_PARAMETERS}",
                kind.name
            ));
        }
        if sorted.secret.iter().any(|name| !is_secret_key(name)) {
            return Err(
                "a secret parameter of it has a name that no key of a Secret can have".to_owned(),
            );
        }
        let name = self.name(kind, whole);
        let mut document = heading(whole);
        if !sorted.missing.is_empty() {
            let _ = writeln!(
                document,
                "# The API does not show {}, without which there is no such connector. Add it before you apply this.",
                sorted.missing.join(", ")
            );
        }
        let mut spec = json!({ "type": connector_type });
        if !sorted.config.is_empty() {
            spec["config"] = sorted.config.into();
        }
        if !sorted.secret.is_empty() {
            let secret = self.secret_of(&name);
            let place = |parameter: &String| {
                let place = json!({ "name": secret, "key": parameter });
                (parameter.clone(), place)
            };
            let places: Map<_, _> = sorted.secret.iter().map(place).collect();
            spec["secretConfig"] = places.into();
            let keys: Vec<_> = sorted.secret.iter().map(String::as_str).collect();
            self.need(&secret, &keys);
        }
        spec[kind.family().existing_field] = whole.connector.id.to_string().into();
        document.push_str(&yaml(&resource(kind, &name, self.namespace, &spec)));
        Ok(document)
    }

    /// A name for the resource of a connector, by which workflows refer to it.
    fn name(&mut self, kind: &'static Kind, whole: &Whole) -> String {
        let connector = &whole.connector;
        let name = self.unique(kind.name, &connector.name, &connector.connector_type);
        self.written.insert(connector.id, (kind, name.clone()));
        name
    }

    /// A name that no other resource of the kind has; made of the second text where nothing of the first can be in a name.
    pub fn unique(&mut self, kind: &'static str, text: &str, otherwise: &str) -> String {
        let taken = self.names.entry(kind).or_default();
        let latin = |c: char| c.is_ascii_alphanumeric();
        let text = if text.contains(latin) {
            text
        } else {
            otherwise
        };
        unique_name(dns_name(text), taken)
    }

    /// A Secret of its own for a resource.
    pub fn secret_of(&mut self, resource: &str) -> String {
        unique_name(format!("{resource}-credentials"), &mut self.secrets)
    }

    pub fn need(&mut self, secret: &str, keys: &[&str]) {
        if !self.needed.iter().any(|(name, _)| name == secret) {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            self.needed.push((secret.to_owned(), keys));
        }
    }
}

fn heading(whole: &Whole) -> String {
    let connector = &whole.connector;
    let mut heading = format!("# Connector {:?}\n", one_line(&connector.name));
    if let Key::Given(key) = &connector.key
        && is_an_operators(key)
    {
        heading.push_str(MADE);
    }
    heading
}

/// Said of what an operator made.
pub(super) const MADE: &str = "# An operator created it for a resource. Remove this manifest if that resource still exists.\n";

/// Whether a key is one that an operator gives: it ends in twelve hexadecimal digits. Those that the service derives end in six.
pub(super) fn is_an_operators(key: &str) -> bool {
    let digits = key.rsplit('-').next().unwrap_or_default();
    digits.len() == 12 && digits.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// The spec of a `PineconeDestination` that says all that the API shows, if one can.
fn pinecone(whole: &Whole) -> Option<Value> {
    let known = ["index_name", "namespace", "batch_size", "api_key"];
    if whole.config.keys().any(|name| !known.contains(&&**name)) {
        return None;
    }
    let index = whole.config.get("index_name")?.as_str()?;
    let mut spec = if index.is_empty() {
        json!({ "autoCreateIndex": true })
    } else if index.len() <= 45 && dns_name(index) == index {
        json!({ "indexName": index })
    } else {
        return None;
    };
    match whole.config.get("namespace").map(Value::as_str) {
        None => {}
        Some(Some(name)) if (1..=512).contains(&name.chars().count()) => {
            spec["namespace"] = name.into();
        }
        Some(_) => return None,
    }
    match whole.config.get("batch_size").map(Value::as_u64) {
        None => {}
        Some(Some(size)) if (1..=1000).contains(&size) => spec["batchSize"] = size.into(),
        Some(_) => return None,
    }
    Some(spec)
}

/// Tells what anyone may read from what nobody may. In doubt it is a secret.
fn sort(family: Collection, whole: &Whole) -> Sorted {
    let known = ConnectorType::find(family, &whole.connector.connector_type);
    let is_secret = |name: &str, value: &Value| match known {
        Some(known) if known.secret.contains(&name) => true,
        Some(known) if known.has(name) => shows_a_secret(value),
        _ => shows_a_secret(value) || sounds_like_a_secret(name, value),
    };
    let mut config = Map::new();
    let mut secret = BTreeSet::new();
    for (name, value) in &whole.config {
        if value.is_null() {
            continue;
        }
        if is_secret(name, value) {
            secret.insert(name.clone());
        } else {
            config.insert(name.clone(), value.clone());
        }
    }
    let mut missing = Vec::new();
    for name in known.map_or(&[][..], |known| known.required) {
        if known.is_some_and(|known| known.secret.contains(name)) {
            secret.insert((*name).to_owned());
        } else if !config.contains_key(*name) && !secret.contains(*name) {
            missing.push(*name);
        }
    }
    Sorted {
        config,
        secret: secret.into_iter().collect(),
        missing,
    }
}

/// Whether the definition takes it for a type.
fn is_type(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.chars().all(|c| ends(c) || "-_".contains(c))
}
