//! From an authenticated request to its operation, by way of the object that its path names.

use super::{
    Family, Route, answers, envelope,
    job_operations::JobCall,
    lag::hides,
    operations::{Call, Violation},
    rules::Rules,
    target::Target,
    workflow_operations::WorkflowCall,
    workspace::Workspace,
};
use crate::fake::{Answer, Recorded};

/// Answers a request that has a route.
pub(super) fn dispatch(
    (route, target): (Route, &Target<'_>),
    request: &Recorded,
    rules: &Rules,
    workspace: &mut Workspace,
    violation: Violation<'_>,
) -> Result<Answer, Answer> {
    match *target {
        Target::Collection(_) | Target::Item(..) | Target::Check(..) => {
            let (family, id) = connector(target, workspace, rules)?;
            let mut call = Call {
                rules,
                workspace,
                family,
                id,
            };
            match route {
                Route::List => call.list(&request.query, violation),
                Route::Create => call.create(request, violation),
                Route::Get => call.get(),
                Route::Update => call.update(request, violation),
                Route::Delete => call.delete(),
                Route::StartCheck => call.start_check(),
                Route::LatestCheck => call.latest_check(),
                _ => unreachable!("the path is that of connectors"),
            }
        }
        Target::Workflows | Target::Workflow(_) | Target::Run(_) => {
            let id = workflow(target, workspace, rules)?;
            let mut call = WorkflowCall {
                rules,
                workspace,
                id,
            };
            match route {
                Route::ListWorkflows => call.list(&request.query, violation),
                Route::CreateWorkflow => call.create(request, violation),
                Route::GetWorkflow => call.get(),
                Route::UpdateWorkflow => call.update(request, violation),
                Route::DeleteWorkflow => call.delete(),
                Route::RunWorkflow => call.run(),
                _ => unreachable!("the path is that of workflows"),
            }
        }
        Target::Jobs => {
            let id = String::new();
            let mut call = JobCall {
                rules,
                workspace,
                id,
            };
            call.list(&request.query, violation)
        }
        Target::Job(named)
        | Target::CancelJob(named)
        | Target::JobDetails(named)
        | Target::FailedFiles(named) => {
            let id = envelope::uuid(named, &["path", "job_id"], rules)?;
            let mut call = JobCall {
                rules,
                workspace,
                id,
            };
            match route {
                Route::GetJob => call.get(),
                Route::CancelJob => call.cancel(),
                Route::JobDetails => call.details(),
                Route::FailedFiles => call.failed_files(),
                _ => unreachable!("the path is that of a job"),
            }
        }
        Target::Elsewhere(_) | Target::Unknown => unreachable!("it has a route"),
    }
}

/// The family, and the id of what the path names in it: by its id or, where the workspace has it so, by its key.
fn connector(
    target: &Target<'_>,
    workspace: &mut Workspace,
    rules: &Rules,
) -> Result<(Family, String), Answer> {
    let (family, named) = match *target {
        Target::Collection(family) => return Ok((family, String::new())),
        Target::Item(family, named) | Target::Check(family, named) => (family, named),
        _ => unreachable!("the path is that of connectors"),
    };
    let id = match envelope::uuid(named, &["path", family.id_parameter()], rules) {
        Err(_) if workspace.keys.in_paths => match workspace.of(family).with_key(named) {
            Some(connector) => connector.id.clone(),
            None => return Err(answers::no_such(family, named)),
        },
        parsed => parsed?,
    };
    let found = workspace.of(family).connector(&id);
    if found.is_some_and(|found| hides(found.created_at, rules.item_lag)) {
        return Err(answers::no_such(family, &id));
    }
    Ok((family, id))
}

/// Like [`connector`], for a workflow.
fn workflow(target: &Target<'_>, workspace: &Workspace, rules: &Rules) -> Result<String, Answer> {
    let (Target::Workflow(named) | Target::Run(named)) = *target else {
        return Ok(String::new());
    };
    let id = match envelope::uuid(named, &["path", "workflow_id"], rules) {
        Err(_) if workspace.keys.in_paths => match workspace.pipelines.with_key(named) {
            Some(workflow) => workflow.id.clone(),
            None => return Err(answers::no_such_workflow(named)),
        },
        parsed => parsed?,
    };
    let mut all = workspace.pipelines.workflows.iter();
    let found = all.find(|workflow| workflow.id == id);
    if found.is_some_and(|found| hides(found.created_at, rules.item_lag)) {
        return Err(answers::no_such_workflow(&id));
    }
    Ok(id)
}
