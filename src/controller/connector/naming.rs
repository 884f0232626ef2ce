//! Default names of connectors, `<namespace>.<name>.<cluster>`, and their keys.
//!
//! The API has no tags and cannot rename, and not every service has keys, so a name has to be able to say whose a connector is. The
//! scheme is reserved for this operator: neither a namespace nor a cluster name can contain a dot, so two resources never share a
//! default name.

use sha2::{Digest as _, Sha256};

use super::situation::ConnectorName;
use crate::engine::key::Key;
use crate::kinds::Kind;

/// Longest name the operator gives. No limit is published; the vendor's own samples stay well below.
const LONGEST: usize = 100;

/// Hex digits of the hash that stands for what was cut off.
const HASH_DIGITS: usize = 10;

/// Characters of a key that tell people whose it is.
const LONGEST_SLUG: usize = 50;

/// Hex digits of a key that tell it from all others: with the slug and a hyphen, as many characters as the API takes.
const KEY_DIGITS: usize = 12;

/// Name of a cluster in connector names: what `--cluster-name` says, or a hash of the UID of the `kube-system` namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// A name chosen by the user: a DNS label, as the options make sure of.
    pub fn chosen(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Eight hex digits of a hash of the UID of the `kube-system` namespace, which lives as long as the cluster.
    pub fn from_uid(uid: &str) -> Self {
        Self(hex::encode(Sha256::digest(uid.as_bytes()))[..8].to_owned())
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reserved name of a resource, hash-shortened as a whole when it would be longer than 100 characters.
    pub fn default_name(&self, namespace: &str, name: &str) -> ConnectorName {
        let full = format!("{namespace}.{name}.{}", self.0);
        let value = if full.len() <= LONGEST {
            full
        } else {
            let hash = &hex::encode(Sha256::digest(full.as_bytes()))[..HASH_DIGITS];
            let owner = format!("{namespace}.{name}");
            let room = LONGEST - self.0.len() - HASH_DIGITS - 2;
            format!("{}-{hash}.{}", &owner[..room], self.0)
        };
        ConnectorName {
            value,
            reserved: true,
        }
    }

    /// The reserved name of the connector of a resource. It tells the kind where that is in names.
    pub fn connector_name(&self, kind: &Kind, resource: &Key) -> ConnectorName {
        self.default_name(&resource.namespace, &kind.name_of(&resource.name))
    }

    /// The key of what a resource makes; see [`key_of`](Self::key_of).
    pub fn key_for(&self, resource: &Key) -> String {
        self.key_of(resource.kind, &resource.namespace, &resource.name)
    }

    /// The key of a resource's connector: it is the same whatever the connector is called, after a restore, and in a new installation.
    /// Like every key, it is made of lower-case letters, digits and single hyphens, 63 of them at most.
    pub fn key_of(&self, kind: &str, namespace: &str, name: &str) -> String {
        let mut hash = Sha256::new();
        for part in [&self.0, kind, namespace, name] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digits = &hex::encode(hash.finalize())[..KEY_DIGITS];
        let is_other = |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit();
        let parts = [namespace, name].into_iter();
        let mut slug = parts
            .flat_map(|part| part.split(is_other))
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("-");
        slug.truncate(LONGEST_SLUG);
        match slug.trim_end_matches('-') {
            "" => digits.to_owned(),
            slug => format!("{slug}-{digits}"),
        }
    }

    /// Namespace and name of the resource whose default name this is. None where it was shortened, which leaves either open.
    pub fn resource_of<'a>(&self, default_name: &'a str) -> Option<(&'a str, &'a str)> {
        if default_name.len() >= LONGEST {
            return None;
        }
        let owner = default_name.strip_suffix(&self.0)?.strip_suffix('.')?;
        owner.split_once('.')
    }

    /// Whether a recorded name is the default name that a resource of this name has in another cluster. Anything else that is not its
    /// own default name is what somebody made of it in the service's console.
    pub fn is_of_another(&self, recorded: &str, name: &str) -> bool {
        let Some((owner, cluster)) = recorded.rsplit_once('.') else {
            return false;
        };
        let whole = owner
            .split_once('.')
            .is_some_and(|(_, resource)| resource == name);
        cluster != self.0 && (whole || recorded.len() == LONGEST)
    }

    /// Whether a name that a user chose lies in the reserved scheme of this cluster. Allowing that would let one tenant make a
    /// connector that another tenant's resource takes for its own.
    pub fn reserves(&self, chosen: &str) -> bool {
        let owner = chosen
            .strip_suffix(&self.0)
            .and_then(|owner| owner.strip_suffix('.'));
        // A shortened name may have lost its first dot, but is exactly as long as names get.
        owner.is_some_and(|owner| owner.contains('.') || chosen.len() == LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_default_name_is_namespace_name_and_cluster() {
        let name = ClusterName::chosen("prod").default_name("legal", "contracts");
        assert_eq!(name.value, "legal.contracts.prod");
        assert!(name.reserved);
    }

    #[test]
    fn a_cluster_without_a_name_gets_eight_hex_digits_of_its_uid() {
        let name = ClusterName::from_uid("0b9c1f9e-6b1c-4a6e-9d53-0d6f0e1f2a3b");
        assert_eq!(name.as_str().len(), 8);
        assert_ne!(name, ClusterName::from_uid("another"));
    }

    #[test]
    fn a_default_name_of_another_cluster_is_told_from_a_renamed_connector() {
        let here = ClusterName::chosen("staging");
        for theirs in ["legal.contracts.production", "mapped.contracts.production"] {
            assert!(here.is_of_another(theirs, "contracts"), "{theirs}");
        }
        for other in [
            "legal.contracts.staging",
            "mapped.contracts.staging",
            "Contracts",
            "contracts.2026",
            "legal.others.production",
        ] {
            assert!(!here.is_of_another(other, "contracts"), "{other}");
        }
        let long = "c".repeat(120);
        let theirs = ClusterName::chosen("production").default_name("legal", &long);
        assert!(here.is_of_another(&theirs.value, &long));
        assert!(!here.is_of_another(&here.default_name("legal", &long).value, &long));
    }

    #[test]
    fn a_key_is_a_slug_and_a_digest_of_whose_it_is() {
        let cluster = ClusterName::chosen("prod");
        let key = cluster.key_of("DropboxSource", "legal", "contracts.2026--q1");
        assert_eq!(key, "legal-contracts-2026-q1-861562d463ab");
        let long = cluster.key_of("DropboxSource", "legal", &"c".repeat(253));
        assert_eq!(long.len(), 63);
        for other in [
            cluster.key_of("DropboxSource", "legal-contracts", "2026.q1"),
            cluster.key_of("UnstructuredSource", "legal", "contracts.2026--q1"),
            ClusterName::chosen("dev").key_of("DropboxSource", "legal", "contracts.2026--q1"),
        ] {
            assert_ne!(other, key);
        }
    }

    /// Whether the API takes it: `^[a-z0-9](-?[a-z0-9])*$`, at most 63 characters.
    fn is_key(text: &str) -> bool {
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        (1..=63).contains(&text.len()) && text.split('-').all(is_part)
    }

    proptest! {
        #[test]
        fn the_api_takes_the_key_of_every_resource(
            ns in "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
            name in "[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?){0,3}",
            cluster in "[a-z0-9-]{1,40}",
        ) {
            let key = ClusterName::chosen(cluster).key_of("DropboxSource", &ns, &name);
            prop_assert!(is_key(&key), "{}", key);
        }

        #[test]
        fn two_resources_never_share_a_key(
            one in ("[ab-]{0,3}", "[ab-]{0,3}", "[ab-]{0,3}", "[ab-]{0,3}"),
            other in ("[ab-]{0,3}", "[ab-]{0,3}", "[ab-]{0,3}", "[ab-]{0,3}"),
        ) {
            let key = |(cluster, kind, ns, name): &(String, String, String, String)| {
                ClusterName::chosen(cluster).key_of(kind, ns, name)
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }

        #[test]
        fn default_names_fit_and_are_reserved(ns in "[a-z0-9]{1,63}", name in "[a-z0-9.]{1,253}", cluster in "[a-z0-9-]{1,40}") {
            let cluster = ClusterName::chosen(cluster);
            let value = cluster.default_name(&ns, &name).value;
            prop_assert!(value.len() <= LONGEST);
            prop_assert!(cluster.reserves(&value));
            let whole = value.len() < LONGEST;
            prop_assert_eq!(cluster.resource_of(&value), whole.then_some((&*ns, &*name)));
        }

        #[test]
        fn two_resources_never_share_a_default_name(a in "[a-z]{1,3}", b in "[a-z.]{1,120}", c in "[a-z]{1,3}", d in "[a-z.]{1,120}") {
            let cluster = ClusterName::chosen("c");
            prop_assume!((&a, &b) != (&c, &d));
            prop_assert_ne!(cluster.default_name(&a, &b), cluster.default_name(&c, &d));
        }
    }
}
