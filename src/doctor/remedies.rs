//! What repairs a resource, as commands that can be typed as they are.

use kube::ResourceExt;

use super::patient::Patient;
use crate::crd::{DeletionPolicy, RECONCILE_AT};

impl Patient<'_> {
    /// Has the operator look at everything again, at once.
    pub fn look_again(&self) -> String {
        self.kubectl(&format!(
            "annotate --overwrite {} {} {RECONCILE_AT}=\"$(date +%s)\"",
            self.kind(),
            self.name()
        ))
    }

    /// Runs this command again, for this resource.
    pub fn run_again(&self) -> String {
        format!(
            "unstructured-operator doctor -n {} {}",
            self.namespace,
            self.name()
        )
    }

    /// Waits for what is under way.
    pub fn wait(&self) -> String {
        self.kubectl(&format!(
            "wait --for=condition=Ready {}/{} --timeout=5m",
            self.kind(),
            self.name()
        ))
    }

    /// Shows all that is said of it.
    pub fn show(&self) -> String {
        self.kubectl(&format!("describe {} {}", self.kind(), self.name()))
    }

    /// Opens it in an editor.
    pub fn edit(&self) -> String {
        self.kubectl(&format!("edit {} {}", self.kind(), self.name()))
    }

    /// Sets a field of the spec.
    pub fn set(&self, field: &str, value: &str) -> String {
        self.kubectl(&format!(
            "patch {} {} --type merge -p '{{\"spec\":{{\"{field}\":{value}}}}}'",
            self.kind(),
            self.name()
        ))
    }

    /// What to do about a URL of the workspace that cannot be used, and cannot be changed.
    pub fn anew(&self) -> String {
        let make = "make a new resource with another workspace.apiUrl, then delete this one";
        match self.resource.spec.options().deletion_policy {
            DeletionPolicy::Retain => {
                format!("{make}; its connector stays, as deletionPolicy is Retain")
            }
            DeletionPolicy::Delete => format!(
                "{make}. That deletes its connector too; to keep it, type before you delete: {}",
                self.set("deletionPolicy", "\"Retain\"")
            ),
        }
    }

    /// Puts new credentials into the Secret that the resource reads, whatever it is called and whoever manages the resource.
    pub fn login(&self) -> String {
        format!(
            "unstructured-operator login dropbox --apply --secret-only -n {} --name {}",
            self.namespace,
            self.name()
        )
    }

    /// Puts the API key in the file `key` into the Secret that the resource names, if it names one.
    pub fn replace_key(&self) -> Option<String> {
        let wanted = &self.resource.spec.options().workspace?.api_key_secret_ref;
        let create = self.kubectl(&format!(
            "create secret generic {} --from-file={}=key --dry-run=client -o yaml",
            wanted.name, wanted.key
        ));
        Some(format!(
            "{create} | kubectl apply --server-side --force-conflicts -f -"
        ))
    }

    fn kubectl(&self, arguments: &str) -> String {
        format!("kubectl -n {} {arguments}", self.namespace)
    }

    fn kind(&self) -> String {
        self.resource.kind.name.to_lowercase()
    }

    fn name(&self) -> String {
        self.resource.name_any()
    }
}
