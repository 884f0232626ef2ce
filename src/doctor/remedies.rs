//! What repairs a resource, as commands that can be typed as they are.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::patient::Patient;
use crate::crd::{DeletionPolicy, RECONCILE_AT, RUN_AT, Reason, WORKFLOW};
use crate::kinds::{Credential, Provider, Resource};

impl Patient<'_> {
    /// What there is to do where the operator waits for somebody, if no other finding says it.
    pub fn cure(&self) -> String {
        let is = |reason: Reason| self.reason() == reason.as_str();
        let any = |reasons: &[Reason]| reasons.iter().any(|reason| is(*reason));
        if is(Reason::Suspended) {
            self.set("suspend", "false")
        } else if is(Reason::InvalidConfiguration)
            && let Some(field) = self.immutable_at_fault()
        {
            self.anew(&format!("another {field}"))
        } else if is(Reason::InvalidConfiguration) || is(Reason::SecretInConfig) {
            self.edit()
        } else if any(&[Reason::SourceNotFound, Reason::DestinationNotFound])
            && self.key.kind != WORKFLOW
        {
            self.anew("the right id of the connector")
        } else if let Some(repair) = &self.repair
            && any(&[
                Reason::SecretNotFound,
                Reason::SecretKeyMissing,
                Reason::SecretInvalid,
                Reason::AccessTokenInsteadOfRefreshToken,
                Reason::CredentialsRejected,
            ])
        {
            repair.clone()
        } else if is(Reason::NameConflict) && self.key.kind == WORKFLOW {
            // Under its default name it is in nobody's way.
            self.set("workflowName", "null")
        } else if is(Reason::WorkflowNotFound) {
            self.anew("the right existingWorkflowId")
        } else if is(Reason::WorkspaceMismatch) {
            self.anew("the spec.workspace of its connectors")
        } else {
            self.look_again()
        }
    }

    /// The field that the operator cannot use, if it is one that cannot be changed.
    fn immutable_at_fault(&self) -> Option<&'static str> {
        const IMMUTABLE: [&str; 6] = [
            "connectorName",
            "existingDestinationId",
            "existingSourceId",
            "existingWorkflowId",
            "type",
            "workspace.apiUrl",
        ];
        let said = &self.condition("Ready")?.message;
        let names = |field: &&str| {
            said.contains(&format!("spec.{field} ")) || said.contains(&format!("spec.{field}."))
        };
        IMMUTABLE.into_iter().find(names)
    }

    /// Has the operator look at everything again, at once.
    pub fn look_again(&self) -> String {
        self.annotate(RECONCILE_AT)
    }

    /// Runs the workflow once more.
    pub fn run_workflow(&self) -> String {
        self.annotate(RUN_AT)
    }

    /// Makes a job that runs this workflow.
    pub fn start(&self, workflow: &str) -> String {
        let namespace = &self.key.namespace;
        format!("unstructured-operator start -n {namespace} {workflow}")
    }

    /// Shows a run to its end.
    pub fn follow(&self) -> String {
        let (namespace, name) = (&self.key.namespace, self.name());
        format!("unstructured-operator follow -n {namespace} {name}")
    }

    /// Deletes the resource.
    pub fn delete(&self) -> String {
        self.kubectl(&format!("delete {} {}", self.kind(), self.name()))
    }

    fn annotate(&self, annotation: &str) -> String {
        self.kubectl(&format!(
            "annotate --overwrite {} {} {annotation}=\"$(date +%s)\"",
            self.kind(),
            self.name()
        ))
    }

    /// Runs this command again, for this resource.
    pub fn run_again(&self) -> String {
        self.examine_other(self.name())
    }

    /// Runs it for another resource of the namespace.
    pub fn examine_other(&self, name: &str) -> String {
        let namespace = &self.key.namespace;
        format!("unstructured-operator doctor -n {namespace} {name}")
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

    /// What to do about something that cannot be changed.
    pub fn anew(&self, with: &str) -> String {
        let make = format!("create a new resource with {with}, then delete this one");
        let what = if self.key.kind == WORKFLOW {
            "workflow"
        } else {
            "connector"
        };
        match self.deletion_policy {
            DeletionPolicy::Retain => {
                format!("{make}; its {what} stays, as deletionPolicy is Retain")
            }
            DeletionPolicy::Delete => format!(
                "{make}. That deletes its {what} too; to keep it, type before you delete: {}",
                self.set("deletionPolicy", "\"Retain\"")
            ),
        }
    }

    /// Puts new credentials into the Secret that the resource reads, whatever it is called and whoever manages the resource.
    pub fn login(&self) -> String {
        format!(
            "unstructured-operator login dropbox --apply --secret-only -n {} --name {}",
            self.key.namespace,
            self.name()
        )
    }

    /// Puts the credentials of a resource into this Secret, as it reads them.
    pub fn put_credentials(&self, resource: &Resource, secret: &str) -> String {
        if resource.spec.provider() == Some(Provider::Dropbox) {
            self.login()
        } else {
            self.fill(secret, &resource.spec.credentials())
        }
    }

    /// Puts every key that is wanted of a Secret into it, each from the file of its name.
    pub fn fill(&self, secret: &str, wanted: &[Credential<'_>]) -> String {
        let of_it = wanted.iter().filter(|wanted| wanted.secret == secret);
        let keys: BTreeSet<_> = of_it.map(|wanted| wanted.key).collect();
        let mut files = String::new();
        for key in keys {
            let _ = write!(files, " --from-file={key}");
        }
        self.write_secret(secret, &files)
    }

    /// Puts the API key in the file `key` into the Secret that the resource names, if it names one.
    pub fn replace_key(&self) -> Option<String> {
        let wanted = &self.workspace?.api_key_secret_ref;
        Some(self.write_secret(&wanted.name, &format!(" --from-file={}=key", wanted.key)))
    }

    fn write_secret(&self, name: &str, files: &str) -> String {
        let create = self.kubectl(&format!(
            "create secret generic {name}{files} --dry-run=client -o yaml"
        ));
        format!("{create} | kubectl apply --server-side --force-conflicts -f -")
    }

    fn kubectl(&self, arguments: &str) -> String {
        format!("kubectl -n {} {arguments}", self.key.namespace)
    }

    fn kind(&self) -> String {
        self.key.kind.to_lowercase()
    }

    fn name(&self) -> &str {
        &self.key.name
    }
}
