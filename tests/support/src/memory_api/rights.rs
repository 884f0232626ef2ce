//! Who may do what: roles and bindings are objects like any others, so that a right goes with the object that gave it.

use serde_json::Value;

use super::refusal::Refusal;
use super::store::Store;
use super::target::{NAMESPACES, RBAC, Target};

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// May do everything.
    Administrator,
    /// A service account: its namespace and name.
    Account(&'static str, &'static str),
}

impl Store {
    /// Whether the caller may do this.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        verb: &str,
        target: &Target,
    ) -> Result<(), Refusal> {
        let Caller::Account(home, name) = caller else {
            return Ok(());
        };
        let bound = |binding: &&Value| {
            members(&binding["subjects"]).any(|subject| {
                subject["kind"] == "ServiceAccount"
                    && subject["name"] == *name
                    && subject["namespace"] == *home
            })
        };
        let gives = |namespace: Option<&str>, binding: &Value| {
            let role = &binding["roleRef"];
            let cluster = role["kind"] == "ClusterRole";
            let plural = if cluster { "clusterroles" } else { "roles" };
            let namespace = namespace.filter(|_| !cluster);
            let role = self.rbac(plural, namespace, role["name"].as_str().unwrap_or_default());
            role.is_some_and(|role| members(&role["rules"]).any(|rule| allows(rule, verb, target)))
        };
        let everywhere = self
            .all(&format!("{RBAC}/clusterrolebindings"), None)
            .filter(bound)
            .any(|binding| gives(None, binding));
        let here = || {
            // Of a namespace itself, a role inside of it can speak.
            let itself = target
                .name
                .as_ref()
                .filter(|_| target.collection == NAMESPACES);
            let namespace = target.namespace.as_ref().or(itself).map(String::as_str);
            namespace.is_some()
                && self
                    .all(&format!("{RBAC}/rolebindings"), namespace)
                    .filter(bound)
                    .any(|binding| gives(namespace, binding))
        };
        if everywhere || here() {
            return Ok(());
        }
        let object = target
            .name
            .as_ref()
            .map(|name| format!(" {name:?}"))
            .unwrap_or_default();
        let place = match &target.namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{resource}{object} is forbidden: User \"system:serviceaccount:{home}:{name}\" cannot {verb} resource {plural:?} in \
             API group {group:?} {place}",
            resource = target.resource(),
            plural = resource(target),
            group = target.group,
        );
        Err(Refusal::new(403, "Forbidden", message))
    }
}

fn resource(target: &Target) -> String {
    if target.status {
        format!("{}/status", target.plural)
    } else {
        target.plural.clone()
    }
}

fn allows(rule: &Value, verb: &str, target: &Target) -> bool {
    let names =
        |list: &Value, wanted: &str| members(list).any(|entry| *entry == "*" || *entry == wanted);
    let only = &rule["resourceNames"];
    names(&rule["verbs"], verb)
        && names(&rule["apiGroups"], &target.group)
        && names(&rule["resources"], &resource(target))
        && (only.is_null()
            || target
                .name
                .as_ref()
                .is_some_and(|name| members(only).any(|entry| entry == name)))
}

fn members(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
