//! A workflow: what it stands on, whether Unstructured has it as it should be, and what became of its runs.

use secrecy::SecretString;

use super::access::{WORKSPACE, is_other};
use super::findings::Findings;
use super::listing::Listed;
use super::patient::Patient;
use crate::controller::pipeline::references;
use crate::controller::pipeline::workflow::advice::advice;
use crate::controller::pipeline::workflow::asked::{put_together, secrets_of};
use crate::crd::UnstructuredWorkflow;
use crate::scrub::{Scrubber, one_line};
use crate::unstructured::{
    Client, Collection, ConnectorId, ErrorKind, Kept, WorkflowId, WorkflowSpec,
};

/// What a workflow stands on, as far as it is right.
struct Ground {
    source: Option<ConnectorId>,
    destination: Option<ConnectorId>,
    /// The values of the nodes' Secrets, in their order.
    secrets: Option<Vec<SecretString>>,
}

impl Patient<'_> {
    /// Examines everything about a workflow but its connectors themselves.
    pub async fn examine_workflow(
        &self,
        workflow: &UnstructuredWorkflow,
        listed: &Listed,
        findings: &mut Findings,
    ) {
        self.status(findings);
        let wanted = secrets_of(&workflow.spec.nodes);
        let repair = |secret: &str| self.fill(secret, &wanted);
        let ground = Ground {
            source: self.reference(workflow, Collection::Sources, listed, findings),
            destination: self.reference(workflow, Collection::Destinations, listed, findings),
            secrets: match wanted.as_slice() {
                [] => Some(Vec::new()),
                wanted => self.values(wanted, repair, findings).await,
            },
        };
        for note in advice(&workflow.spec) {
            findings.unknown(&self.subject(), "advice", note, self.edit());
        }
        let client = match self.open(findings).await {
            Some((client, _)) => self.in_workspace(workflow, &ground, client, findings).await,
            None => None,
        };
        let scrubber = self.scrubber(workflow, &ground, listed).await;
        self.last_run(workflow, client.as_ref(), &scrubber, findings)
            .await;
    }

    /// One of the two connectors: its id, once it is as its resource asks.
    fn reference(
        &self,
        workflow: &UnstructuredWorkflow,
        collection: Collection,
        listed: &Listed,
        findings: &mut Findings,
    ) -> Option<ConnectorId> {
        let spec = &workflow.spec;
        let (check, id) = match collection {
            Collection::Sources => ("source", &spec.source_id),
            Collection::Destinations => ("destination", &spec.destination_id),
        };
        let subject = self.subject();
        // Whether a connector that goes by its id is there, the workspace knows.
        let Some(key) = references::to(workflow, collection) else {
            return id.as_deref().and_then(|id| id.parse().ok());
        };
        let (kind, name) = (key.kind, &*key.name);
        let known = listed.resources.iter().find(|known| known.key() == key);
        let Some(resource) = known else {
            if listed.is_partial {
                let message =
                    format!("you lack the permission to see whether the {kind} {name} is there");
                findings.unknown(
                    &subject,
                    check,
                    message,
                    "ask somebody with the permission to run this",
                );
            } else {
                let message = format!(
                    "the {kind} {name} does not exist in this namespace: create it, or correct spec.{check}Ref"
                );
                findings.wrong(&subject, check, message, self.edit());
            }
            return None;
        };
        let other = Patient::connector(self.means, resource);
        let status = resource.status();
        let id = status.and_then(|status| status.id.as_deref()?.parse().ok());
        if other.is("Ready") && other.observed == resource.metadata.generation {
            findings.right(&subject, check, format!("the {kind} {name} is ready"));
        } else {
            let message = format!("the {kind} {name} is not ready; {}", other.said());
            findings.unknown(&subject, check, message, self.examine_other(name));
        }
        id.filter(|_| other.is("Synced"))
    }

    /// Compares the workflow with what its workspace has. Returns a client of that, where it answers.
    async fn in_workspace(
        &self,
        workflow: &UnstructuredWorkflow,
        ground: &Ground,
        client: Client,
        findings: &mut Findings,
    ) -> Option<Client> {
        const CHECK: &str = "workflow";
        let subject = self.subject();
        let endpoint = client.endpoint().clone();
        let status = workflow.status.as_ref();
        let id =
            status.and_then(|status| status.workflow_id.as_deref()?.parse::<WorkflowId>().ok());
        let Some(id) = id else {
            let message = "no workflow belongs to this resource yet";
            let is_due =
                ground.source.is_some() && ground.destination.is_some() && ground.secrets.is_some();
            if is_due {
                findings.wrong(&subject, CHECK, message, self.cure());
            } else {
                findings.unknown(&subject, CHECK, message, self.wait());
            }
            return Some(client);
        };
        let shown = match client.workflows().get(&id).await {
            Ok(shown) => shown,
            Err(error) if error.kind == ErrorKind::NotFound => {
                findings.right(
                    &subject,
                    WORKSPACE,
                    format!("{endpoint} accepts the API key"),
                );
                let home = status.and_then(|status| status.workspace.as_ref());
                let other_key = is_other(home, client.fingerprint());
                let (message, next) = self.gone(&format!("workflow {id}"), other_key);
                findings.wrong(&subject, CHECK, message, next);
                return Some(client);
            }
            Err(error) => {
                self.unanswered(&endpoint, &error, findings);
                return None;
            }
        };
        findings.right(
            &subject,
            WORKSPACE,
            format!("{endpoint} accepts the API key"),
        );
        self.connectors_by_id(workflow, &client, findings).await;
        let spec = spec_of(workflow, ground, &shown.name);
        let mut found = spec.differences(&shown);
        // What is not known here cannot differ.
        for (end, what) in [
            (&ground.source, "sources"),
            (&ground.destination, "destinations"),
        ] {
            if end.is_none() {
                found.drift.remove(what);
            }
        }
        if found.drift.is_empty() {
            let message = format!("workflow {id} is there, and equal as far as the API shows it");
            findings.right(&subject, CHECK, message);
        } else {
            let drift: Vec<_> = found.drift.iter().map(|what| one_line(what)).collect();
            let message = format!(
                "workflow {id} differs from the resource in {}; the operator puts it right at its next look, unless it is suspended",
                drift.join(", ")
            );
            findings.wrong(&subject, CHECK, message, self.look_again());
        }
        if !found.ignored.is_empty() {
            let ignored: Vec<_> = found.ignored.iter().map(|what| one_line(what)).collect();
            let message = format!(
                "Unstructured does not show {}: it drops what it does not know",
                ignored.join(", ")
            );
            findings.unknown(&subject, "settings", message, self.edit());
        }
        Some(client)
    }

    /// Whether connectors that go by their ids are there.
    async fn connectors_by_id(
        &self,
        workflow: &UnstructuredWorkflow,
        client: &Client,
        findings: &mut Findings,
    ) {
        let spec = &workflow.spec;
        for (collection, check, id) in [
            (Collection::Sources, "source", &spec.source_id),
            (
                Collection::Destinations,
                "destination",
                &spec.destination_id,
            ),
        ] {
            let Some(id) = id.as_deref().and_then(|id| id.parse::<ConnectorId>().ok()) else {
                continue;
            };
            let subject = self.subject();
            let connectors = client.connectors(collection, "", Kept::only([]));
            match connectors.get(&id).await {
                Ok(_) => findings.right(&subject, check, format!("connector {id} is there")),
                Err(error) if error.kind == ErrorKind::NotFound => {
                    let message =
                        format!("connector {id} is not in the workspace: correct spec.{check}Id");
                    findings.wrong(&subject, check, message, self.edit());
                }
                Err(error) => {
                    let message = format!("connector {id} cannot be looked at: {error}");
                    findings.unknown(&subject, check, message, self.run_again());
                }
            }
        }
    }

    /// Takes out of foreign texts what was sent: the secrets of the nodes and of both connectors.
    async fn scrubber(
        &self,
        workflow: &UnstructuredWorkflow,
        ground: &Ground,
        listed: &Listed,
    ) -> Scrubber {
        let mut secrets: Vec<SecretString> = ground.secrets.iter().flatten().cloned().collect();
        let keys = references::of(workflow);
        let both = listed.resources.iter().filter(|r| keys.contains(&r.key()));
        for resource in both {
            let other = Patient::connector(self.means, resource);
            let wanted = resource.spec.credentials();
            // What is wrong with them is told where they are examined.
            let mut aside = Findings::default();
            let values = other.values(&wanted, |_| String::new(), &mut aside).await;
            secrets.extend(values.into_iter().flatten());
        }
        Scrubber::new(&secrets)
    }
}

/// What the operator asks for; what is not known here is as it is shown.
fn spec_of(workflow: &UnstructuredWorkflow, ground: &Ground, shown_name: &str) -> WorkflowSpec {
    let spec = &workflow.spec;
    let recorded = workflow
        .status
        .as_ref()
        .and_then(|status| status.workflow_name.as_deref());
    let name = spec.workflow_name.as_deref().or(recorded);
    put_together(
        spec,
        name.unwrap_or(shown_name),
        ground.source,
        ground.destination,
        ground.secrets.iter().flatten().cloned(),
    )
}
