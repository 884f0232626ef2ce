//! The status of the workflow: production writes it, and the model keeps of it what decisions rest on.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use unstructured_operator::controller::pipeline::workflow::outcome::Outcome;
use unstructured_operator::controller::pipeline::workflow::report::{self, Occasion};
use unstructured_operator::crd::{CreateIntent, LostCreates, WorkflowStatus};

use super::operator::{NAME, Pass, number_of, workflow_id};
use super::world::{Record, World};

/// Writes the status that production writes, as far as it is kept here.
pub fn write(world: &mut World, pass: &Pass, outcome: &Outcome) {
    let record = &world.record;
    let now = Time(jiff::Timestamp::UNIX_EPOCH);
    let previous = WorkflowStatus {
        workflow_id: record.bound.map(|number| workflow_id(number).to_string()),
        workflow_name: record.named.then(|| NAME.to_owned()),
        applied_digest: record.applied.map(|digest| digest.to_string()),
        source_id: record.source.map(|id| id.to_string()),
        create: record.intent.then(|| CreateIntent {
            name: NAME.to_owned(),
            started_at: now.clone(),
        }),
        lost_creates: (record.lost > 0).then(|| LostCreates {
            count: record.lost,
            since: now.clone(),
        }),
        resend_after: record.resend.then(|| now.clone()),
        ..WorkflowStatus::default()
    };
    let on = Occasion {
        generation: 1,
        now,
        settle_time: Duration::ZERO,
        workspace: None,
        connectors: pass
            .content
            .map(|content| (content.source.to_string(), "destination".to_owned())),
        forced: None,
    };
    let status = report::status(&previous, &pass.situation, outcome, &on);
    let read = |id: &String| number_of(id.parse().expect("an id"));
    let record = Record {
        intent: status.create.is_some(),
        bound: status.workflow_id.as_ref().map(read),
        named: status.workflow_name.is_some(),
        applied: status.applied_digest.and_then(|digest| digest.parse().ok()),
        source: status.source_id.and_then(|id| id.parse().ok()),
        lost: status.lost_creates.map_or(0, |lost| lost.count),
        resend: status.resend_after.is_some(),
    };
    if record != world.record {
        world.record = record;
    }
}
