//! The operations on workflows, once the key and the path are known to be good.

use super::{
    DeleteWhileActive, Family, StoredWorkflow, answers, envelope, keys,
    lag::hides,
    operations::{Violation, refused},
    rules::{Permission, Rules},
    workflow::{Change, Said},
    workflow_body::Reader,
    workflow_query,
    workspace::Workspace,
};
use crate::fake::{Answer, Recorded};

/// One request of a workspace's key that is about workflows.
pub(super) struct WorkflowCall<'a> {
    pub(super) rules: &'a Rules,
    pub(super) workspace: &'a mut Workspace,
    /// Of the workflow in the path, when there is one.
    pub(super) id: String,
}

impl WorkflowCall<'_> {
    pub(super) fn list(&mut self, query: &str, violation: Violation<'_>) -> Result<Answer, Answer> {
        let wanted = workflow_query::read(query, self.workspace, self.rules, violation)?;
        let pipelines = &mut self.workspace.pipelines;
        let mut listed = pipelines.lag.listed(&pipelines.workflows);
        listed.retain(|workflow| !hides(workflow.created_at, self.rules.listed_after));
        let page = wanted.page_of(listed);
        let bodies = page.iter().map(|workflow| self.body(workflow));
        Ok(Answer::json(200, &bodies.collect()))
    }

    pub(super) fn create(
        &mut self,
        request: &Recorded,
        violation: Violation<'_>,
    ) -> Result<Answer, Answer> {
        let mut body = envelope::object(request, self.rules)?;
        let key = body.remove("key");
        let reader = Reader {
            body,
            rules: self.rules,
            keys_for_ids: self.workspace.keys.in_paths,
            violation,
        };
        let mut change = reader.read(&["name", "workflow_type"])?;
        let key = keys::admit(key, self.rules, self.workspace)?;
        self.find_connectors(&mut change)?;
        let name = change.name.clone().unwrap_or_default();
        let mut all = self.workspace.pipelines.workflows.iter();
        if let Permission::Refused(status) = self.rules.duplicate_names
            && all.any(|workflow| workflow.name == name)
        {
            let text = format!("Workflow with name {name} already exists");
            return Err(refused(status, "name", &text));
        }
        let workflow_type = change.workflow_type.clone().unwrap_or_default();
        let mut workflow = StoredWorkflow::new(name, workflow_type);
        workflow.take(change);
        if !self.rules.updated_at_on_create {
            workflow.updated_at = None;
        }
        self.id.clone_from(&workflow.id);
        self.freeze_list();
        self.workspace.add_workflow(workflow, key);
        self.get()
    }

    pub(super) fn get(&mut self) -> Result<Answer, Answer> {
        let workflow = self.workflow()?.clone();
        Ok(Answer::json(200, &self.body(&workflow)))
    }

    pub(super) fn update(
        &mut self,
        request: &Recorded,
        violation: Violation<'_>,
    ) -> Result<Answer, Answer> {
        let mut body = envelope::object(request, self.rules)?;
        if body.remove("key").is_some() {
            violation("an attempt to change the key");
        }
        if !body.contains_key("schedule") {
            violation("an update that leaves open what becomes of the schedule");
        }
        self.workflow()?;
        let reader = Reader {
            body,
            rules: self.rules,
            keys_for_ids: self.workspace.keys.in_paths,
            violation,
        };
        let mut change = reader.read(&[])?;
        self.find_connectors(&mut change)?;
        let rules = &self.rules.pipelines;
        if rules.state_ignored {
            change.state = None;
        }
        if rules.omitted_schedule_clears && matches!(change.schedule, Said::Nothing) {
            change.schedule = Said::Null;
        }
        self.freeze_list();
        let workflow = self.workflow()?;
        workflow.take(change);
        workflow.touch();
        self.get()
    }

    pub(super) fn delete(&mut self) -> Result<Answer, Answer> {
        self.workflow()?;
        let active = self.workspace.pipelines.active_job(&self.id);
        match (active, self.rules.pipelines.delete_while_active) {
            (Some(job), DeleteWhileActive::CancelsJob) => job.stop(),
            (Some(_), DeleteWhileActive::Refused(status)) => {
                let text = format!("Workflow with id {} has a job in progress", self.id);
                return Err(refused(status, "workflow_id", &text));
            }
            (Some(_), DeleteWhileActive::GoesOn) | (None, _) => {}
        }
        self.freeze_list();
        self.workspace.remove_workflow(&self.id);
        if self.rules.delete_answers_204 {
            return Ok(Answer::empty(204));
        }
        let text = format!("Workflow with id {} successfully deleted.", self.id);
        Ok(answers::detail(200, &text))
    }

    pub(super) fn run(&mut self) -> Result<Answer, Answer> {
        let workflow = self.workflow()?.clone();
        let rules = &self.rules.pipelines;
        if self.workspace.pipelines.active_job(&self.id).is_some() {
            let text = "Workflow already has a job scheduled or in progress";
            return match rules.run_while_active {
                Permission::Allowed => Ok(answers::detail(202, text)),
                Permission::Refused(status) => Err(refused(status, "workflow_id", text)),
            };
        }
        if let (Permission::Refused(status), "inactive") =
            (rules.run_inactive, workflow.status.as_str())
        {
            let text = format!("Workflow with id {} is inactive", self.id);
            return Err(refused(status, "workflow_id", &text));
        }
        let runs = &mut self.workspace.pipelines.runs;
        *runs.entry(self.id.clone()).or_default() += 1;
        let job = self.workspace.start_job(&workflow, "ephemeral");
        Ok(Answer::json(202, &job.started(rules)))
    }

    fn body(&self, workflow: &StoredWorkflow) -> serde_json::Value {
        let Workspace {
            keys, pipelines, ..
        } = &*self.workspace;
        workflow.body(self.rules, keys, &pipelines.drift)
    }

    fn workflow(&mut self) -> Result<&mut StoredWorkflow, Answer> {
        let missing = answers::no_such_workflow(&self.id);
        let pipelines = &mut self.workspace.pipelines;
        pipelines.workflow(&self.id).ok_or(missing)
    }

    fn freeze_list(&mut self) {
        let pipelines = &mut self.workspace.pipelines;
        let lists = self.rules.list_lag;
        pipelines.lag.freeze(&pipelines.workflows, lists);
    }

    /// Puts ids in the place of keys, and refuses what names nothing.
    fn find_connectors(&mut self, change: &mut Change) -> Result<(), Answer> {
        for (family, end) in [
            (Family::Sources, &mut change.source),
            (Family::Destinations, &mut change.destination),
        ] {
            let Said::Text(named) = end else {
                continue;
            };
            let collection = self.workspace.of(family);
            if let Some(connector) = collection.with_key(named) {
                named.clone_from(&connector.id);
            }
            let there = collection.connector(named).is_some();
            if let (false, Permission::Refused(status)) =
                (there, self.rules.pipelines.missing_connector)
            {
                let text = answers::missing_connector(family, named);
                return Err(refused(status, family.id_parameter(), &text));
            }
        }
        Ok(())
    }
}
