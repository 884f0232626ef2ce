//! What a path of the API names.

/// A collection, or one object of it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Group, version and plural.
    pub collection: String,
    pub group: String,
    pub plural: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub status: bool,
}

/// Where one object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub collection: String,
    pub namespace: Option<String>,
    pub name: String,
}

/// Where namespaces are.
pub(super) const NAMESPACES: &str = "api/v1/namespaces";
/// Where the definitions of custom resources are.
pub(super) const DEFINITIONS: &str = "apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// Where roles and their bindings are.
pub(super) const RBAC: &str = "apis/rbac.authorization.k8s.io/v1";

impl Target {
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Vec<_> = path.trim_matches('/').split('/').collect();
        let (head, rest) = match *segments {
            ["api", ..] if segments.len() > 2 => segments.split_at(2),
            ["apis", ..] if segments.len() > 3 => segments.split_at(3),
            _ => return None,
        };
        let (namespace, rest) = match *rest {
            ["namespaces", namespace, _, ..] => (Some(namespace.to_owned()), &rest[2..]),
            _ => (None, rest),
        };
        let (plural, name, status) = match *rest {
            [plural] => (plural, None, false),
            [plural, name] => (plural, Some(name.to_owned()), false),
            [plural, name, "status"] => (plural, Some(name.to_owned()), true),
            _ => return None,
        };
        Some(Self {
            collection: format!("{}/{plural}", head.join("/")),
            group: if head.len() == 3 { head[1] } else { "" }.to_owned(),
            plural: plural.to_owned(),
            namespace,
            name,
            status,
        })
    }

    pub fn place(&self) -> Option<Place> {
        Some(Place {
            collection: self.collection.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone()?,
        })
    }

    /// The object of this name in the collection.
    pub fn named(&self, name: &str) -> Place {
        Place {
            collection: self.collection.clone(),
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }

    pub fn holds(&self, place: &Place) -> bool {
        self.collection == place.collection
            && (self.namespace.is_none() || self.namespace == place.namespace)
    }

    /// Whether a definition has to say what this is.
    pub fn is_custom(&self) -> bool {
        self.group.contains('.') && !self.group.ends_with(".k8s.io")
    }

    /// The version of the group.
    pub fn version(&self) -> &str {
        self.collection.rsplit('/').nth(1).unwrap_or_default()
    }

    /// The resource as messages call it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

impl Place {
    pub fn namespace_object(name: &str) -> Self {
        Self {
            collection: NAMESPACES.to_owned(),
            namespace: None,
            name: name.to_owned(),
        }
    }

    /// The path under which a client finds it.
    pub fn path(&self) -> String {
        let (head, plural) = self.collection.rsplit_once('/').unwrap_or_default();
        match &self.namespace {
            Some(namespace) => format!("/{head}/namespaces/{namespace}/{plural}/{}", self.name),
            None => format!("/{head}/{plural}/{}", self.name),
        }
    }
}
