//! Connectors under default names of this cluster that no resource holds: the operator counts them, here each is told with what
//! takes it over.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use kube::Client;
use serde_json::Value;

use super::cluster;
use super::findings::Findings;
use super::listing::{Listed, connectors};
use super::options::Options;
use crate::controller::connector::naming::ClusterName;
use crate::controller::connector::recall;
use crate::controller::connector::unclaimed::Seen;
use crate::crd::WorkspaceReference;
use crate::dropbox::Subfolder;
use crate::engine::key::Key;
use crate::hosts::Reach;
use crate::kinds::family;
use crate::manifest;
use crate::options::{Workspace, namespace as namespace_name, object_name};
use crate::scrub::one_line;
use crate::unstructured::{ApiKey, Collection, Connector, ConnectorId, Endpoint, Kept};

const CHECK: &str = "unclaimed";

/// As many of one workspace are told.
const TOLD: usize = 10;

/// What is in a workspace, as one key lists it.
pub(super) struct Listing {
    pub endpoint: Endpoint,
    pub fingerprint: String,
    /// Family and type of the connectors that were listed.
    pub shelf: Shelf,
    pub sources: Vec<Connector>,
}

/// Family and type of connectors.
type Shelf = (Collection, String);

/// Every workspace that was listed: endpoint, fingerprint of the key, and what was listed of it.
#[derive(Default)]
pub(super) struct Workspaces(BTreeMap<(String, String, Shelf), Contents>);

struct Contents {
    sources: Vec<Connector>,
    /// How resources name the workspace, by their namespace. None: it is the operator's own.
    references: BTreeMap<String, Option<WorkspaceReference>>,
}

/// What takes part in the decision whom a connector belongs to.
struct Resources {
    held: HashSet<ConnectorId>,
    names: HashSet<Key>,
    /// Whether those of all namespaces are known.
    all: bool,
}

impl Workspaces {
    /// Takes in what was listed for a resource.
    pub fn add(&mut self, listing: Listing, namespace: &str, named: Option<&WorkspaceReference>) {
        let Listing {
            endpoint,
            fingerprint,
            shelf,
            ..
        } = listing;
        let place = (endpoint.to_string(), fingerprint, shelf);
        let listed = self.0.entry(place).or_insert_with(|| Contents {
            sources: listing.sources,
            references: BTreeMap::new(),
        });
        listed
            .references
            .entry(namespace.to_owned())
            .or_insert_with(|| named.cloned());
    }

    /// Lists the operator's own workspace, which no resource has led to.
    pub async fn add_own(
        &mut self,
        options: &Options,
        (endpoint, key): (&Endpoint, &ApiKey),
        again: &str,
        findings: &mut Findings,
    ) {
        let client = Workspace::client(
            endpoint.clone(),
            key.clone(),
            Reach::Anywhere,
            &options.network,
        );
        let Ok(client) = client else {
            return;
        };
        let dropbox = (Collection::Sources, "dropbox".to_owned());
        let kept = Kept::only(["remote_url", "recursive"]);
        let connectors = client.connectors(dropbox.0, &dropbox.1, kept);
        match connectors.list().await {
            Ok(sources) => {
                let place = (
                    endpoint.to_string(),
                    client.fingerprint().to_string(),
                    dropbox,
                );
                let references = BTreeMap::new();
                self.0.entry(place).or_insert(Contents {
                    sources,
                    references,
                });
            }
            Err(error) => {
                let message = format!("{endpoint} cannot be listed: {error}");
                findings.unknown(&subject(&endpoint.to_string()), "workspace", message, again);
            }
        }
    }

    /// Tells the connectors in them that no resource holds, of one namespace or of all.
    pub async fn examine(
        &self,
        options: &Options,
        client: &Client,
        namespace: Option<&str>,
        listed: Listed,
        findings: &mut Findings,
    ) {
        if self.0.is_empty() {
            return;
        }
        let cluster = match cluster::name(client, options.cluster_name.as_deref()).await {
            Ok(name) => name,
            Err(message) => {
                let next = "give the operator's --cluster-name";
                return findings.unknown("cluster", CHECK, message, next);
            }
        };
        // A resource in another namespace may hold a connector of this one.
        let (listed, all) = match namespace {
            None => {
                let all = !listed.is_partial;
                (listed, all)
            }
            Some(_) => match everywhere(client).await {
                Some(everywhere) => (everywhere, true),
                None => (listed, false),
            },
        };
        let namespaces: Vec<_> = namespace.map(ToOwned::to_owned).into_iter().collect();
        let mut seen = Seen::new(&cluster, &namespaces);
        let mut known = Resources {
            held: listed.held,
            names: HashSet::new(),
            all,
        };
        for resource in &listed.resources {
            seen.see(resource);
            known
                .held
                .extend(resource.status.as_ref().and_then(recall::bound));
            known.names.insert(resource.key());
        }
        for ((endpoint, _, shelf), workspace) in &self.0 {
            let found = seen.unclaimed(workspace.sources.iter(), |id| known.held.contains(&id));
            workspace.tell(
                &subject(endpoint),
                shelf,
                &found,
                &cluster,
                &known,
                findings,
            );
        }
    }
}

fn subject(endpoint: &str) -> String {
    format!("workspace {endpoint}")
}

/// The resources of all namespaces, if nothing hides any.
async fn everywhere(client: &Client) -> Option<Listed> {
    // What cannot be read is told where it is looked at.
    let mut aside = Findings::default();
    let listed = connectors(client, None, &mut aside).await.ok()?;
    (!listed.is_partial).then_some(listed)
}

impl Contents {
    fn tell(
        &self,
        subject: &str,
        (collection, connector_type): &Shelf,
        found: &[&Connector],
        cluster: &ClusterName,
        known: &Resources,
        findings: &mut Findings,
    ) {
        if found.is_empty() {
            let message = format!(
                "every connector of the type {connector_type} under a default name of this cluster (it ends with .{}) belongs to a resource",
                cluster.as_str()
            );
            return findings.right(subject, CHECK, message);
        }
        let nobody = if known.all {
            "no resource holds it"
        } else {
            "no resource that you may see holds it"
        };
        for source in found.iter().take(TOLD) {
            let (id, name) = (source.id, one_line(&source.name));
            let mut message = format!(
                "connector {id} has the default name {name}, and {nobody}: it was retained, or the finalizer of its resource was removed by hand. \
                 Delete it in the Unstructured UI, or adopt it"
            );
            let adopting = self.adopting(source, cluster, known);
            let next = if let Some(Adopting { secret, line }) = adopting {
                message = format!("{message}, once the Secret {secret} holds its credentials");
                line
            } else {
                let field = family(*collection).existing_field;
                let place = cluster
                    .resource_of(&source.name)
                    .and_then(|(namespace, _)| namespace_name(namespace).ok())
                    .map_or_else(String::new, |namespace| format!(" -n {namespace}"));
                format!(
                    "unstructured-operator import{place} prints manifests: apply the one with {field}: {id}"
                )
            };
            findings.unknown(subject, CHECK, message, next);
        }
        if let Some(more) = found.len().checked_sub(TOLD + 1) {
            let message = format!("{} more connectors are held by no resource", more + 1);
            findings.unknown(subject, CHECK, message, "deal with those above first");
        }
    }

    /// The line that makes a resource for a connector; none where its folder or its place cannot be told.
    fn adopting(
        &self,
        source: &Connector,
        cluster: &ClusterName,
        known: &Resources,
    ) -> Option<Adopting> {
        let (namespace, name) = cluster.resource_of(&source.name)?;
        // Anybody may have given the connector its name, and the line is typed into a shell.
        let (namespace, name) = (namespace_name(namespace).ok()?, object_name(name).ok()?);
        let settings = &source.settings;
        let folder = settings.get("remote_url").and_then(Value::as_str)?;
        let folder: Subfolder = folder.parse().ok()?;
        let recursive = settings.get("recursive").and_then(Value::as_bool);
        let secret = format!("{name}-dropbox");
        let there = known
            .names
            .iter()
            .filter(|key| *key.namespace == *namespace);
        let mut taken = there.map(|key| key.name.to_string()).collect();
        let mut manifest = manifest::source(
            &manifest::unique_name(name, &mut taken),
            Some(&namespace),
            &folder,
            recursive,
            &secret,
            Some(&source.id.to_string()),
        );
        let is_own = self.references.is_empty() || self.references.values().any(Option::is_none);
        match self.references.get(&namespace) {
            Some(Some(reference)) => {
                manifest["spec"]["workspace"] = serde_json::to_value(reference).ok()?;
            }
            // The key of this workspace is in Secrets of other namespaces only.
            None if !is_own => return None,
            Some(None) | None => {}
        }
        Some(Adopting {
            secret: format!("{namespace}/{secret}"),
            line: format!("printf %s {} | kubectl apply -f -", quoted(&manifest)),
        })
    }
}

/// How to adopt a connector.
struct Adopting {
    /// Namespace and name.
    secret: String,
    line: String,
}

/// JSON between single quotes, which holds nothing that a shell or a terminal takes for its own.
fn quoted(value: &Value) -> String {
    let mut quoted = String::from("'");
    for char in value.to_string().chars() {
        if char == ' ' || char.is_alphanumeric() || (char.is_ascii_graphic() && char != '\'') {
            quoted.push(char);
        } else {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                let _ = write!(quoted, "\\u{unit:04x}");
            }
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_quoted_is_the_same_json_to_a_shell_and_nothing_else() {
        for text in [
            "O'Brien $(x) `y` \"z\" \\n",
            "Verträge",
            "a\u{202e}b\n\u{1f4c4}",
        ] {
            let value = json!({ "remoteUrl": text });
            let line = format!("printf %s {}", quoted(&value));
            let printed = std::process::Command::new("sh")
                .args(["-c", &line])
                .output();
            let printed: Value = serde_json::from_slice(&printed.unwrap().stdout).unwrap();
            assert_eq!(printed, value);
            assert!(!line.contains(['\n', '\u{202e}']), "{line}");
        }
    }
}
