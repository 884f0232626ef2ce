//! Which resources an operator works on, as its Lease tells it to others.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;

/// Annotation of the Lease: what its holder works on.
pub const WATCHES: &str = "connectors.unstructured.io/watches";

/// Namespaces, or all, and a label selector, or none. Written as `legal,sales shard=1`; `*` is all namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    namespaces: Vec<String>,
    selector: Option<String>,
}

impl Scope {
    /// These namespaces (all if there are none), and what this selector chooses of them.
    pub fn new(namespaces: Vec<String>, selector: Option<String>) -> Self {
        Self {
            namespaces,
            selector,
        }
    }

    /// What the holder of a Lease works on; everything, if it does not say.
    pub fn of(lease: &Lease) -> Self {
        let text = lease.annotations().get(WATCHES);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether it reaches into this namespace.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|known| known == namespace)
    }

    /// Whether some resource can be in both. Two different selectors are taken for those of two shards.
    pub fn overlaps(&self, other: &Self) -> bool {
        let namespaces = self.namespaces.is_empty()
            || other.namespaces.is_empty()
            || self.namespaces.iter().any(|name| other.covers(name));
        let shards = match (&self.selector, &other.selector) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        };
        namespaces && !shards
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespaces.is_empty() {
            f.write_str("*")?;
        } else {
            f.write_str(&self.namespaces.join(","))?;
        }
        match &self.selector {
            Some(selector) => write!(f, " {selector}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Scope {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespaces, selector) = match text.split_once(' ') {
            Some((namespaces, selector)) => (namespaces, Some(selector.to_owned())),
            None => (text, None),
        };
        let namespaces = match namespaces {
            "*" | "" => Vec::new(),
            names => names.split(',').map(str::to_owned).collect(),
        };
        Ok(Self::new(namespaces, selector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        let scope: Scope = text.parse().unwrap();
        assert_eq!(scope.to_string(), text);
        scope
    }

    #[test]
    fn two_scopes_overlap_where_a_resource_can_be_in_both() {
        for (one, other, overlap) in [
            ("*", "*", true),
            ("*", "legal", true),
            ("legal,sales", "sales", true),
            ("legal", "sales", false),
            ("* shard=1", "* shard=2", false),
            ("* shard=1", "* shard=1", true),
            ("* a in (b, c)", "*", true),
            ("legal shard=1", "sales", false),
        ] {
            assert_eq!(
                scope(one).overlaps(&scope(other)),
                overlap,
                "{one} and {other}"
            );
            assert_eq!(
                scope(other).overlaps(&scope(one)),
                overlap,
                "{other} and {one}"
            );
        }
    }
}
