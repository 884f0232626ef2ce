//! The service: what becomes of a request, and what its answer says.

use unstructured_operator::controller::outcome::Failure;
use unstructured_operator::controller::pipeline::workflow::situation::{Answer, Effect};
use unstructured_operator::unstructured::{Commit, ErrorKind};

use super::operator::{Fate, Pass, digest, number_of, workflow_id};
use super::world::{Late, World};

pub fn lost() -> Failure {
    Failure::Api {
        kind: ErrorKind::Timeout,
        rate_limited: false,
        message: "no answer came".to_owned(),
        commit: Commit::Unknown,
        sent_configuration: true,
    }
}

pub fn refused() -> Failure {
    Failure::Api {
        kind: ErrorKind::Invalid { fields: Vec::new() },
        rate_limited: false,
        message: "there is no such connector".to_owned(),
        commit: Commit::Never,
        sent_configuration: true,
    }
}

/// A request to the service that changes something.
pub fn call(world: &mut World, pass: &Pass, effect: &Effect, fate: Fate) -> Answer {
    if *effect == Effect::Create || fate != Fate::Done {
        world.settled = false;
    }
    if let Effect::Delete(id) = effect {
        if fate != Fate::Undone {
            world.remote[number_of(*id)].there = false;
        }
        return if fate == Fate::Done {
            Answer::Done
        } else {
            Answer::Failed(lost())
        };
    }
    let content = pass.content.expect("a call is planned with what to send");
    if world.strict && !world.knows(content.source) && matches!(fate, Fate::Done | Fate::Lost) {
        return Answer::Failed(if fate == Fate::Done {
            refused()
        } else {
            lost()
        });
    }
    match (fate, effect) {
        (Fate::Done, Effect::Update(id)) => {
            let number = number_of(*id);
            if !world.remote[number].there {
                return Answer::Failed(Failure::Api {
                    kind: ErrorKind::NotFound,
                    rate_limited: false,
                    message: "there is no such workflow".to_owned(),
                    commit: Commit::Never,
                    sent_configuration: true,
                });
            }
            world.change(number, content);
            Answer::Updated(digest(content))
        }
        (Fate::Done, _) => {
            let number = world.make(content);
            Answer::Created {
                id: workflow_id(number),
                accepted: Some(digest(content)),
                marked: world.keys == super::world::Keys::Shown,
            }
        }
        (Fate::Late, Effect::Update(id)) => {
            world.late = Some(Late::Update(number_of(*id), content));
            Answer::Failed(lost())
        }
        (Fate::Late, _) => {
            world.late = Some(Late::Create(content));
            Answer::Failed(lost())
        }
        (Fate::Lost, Effect::Update(id)) => {
            world.change(number_of(*id), content);
            Answer::Failed(lost())
        }
        (Fate::Lost, _) => {
            world.make(content);
            Answer::Failed(lost())
        }
        (Fate::Undone, _) => Answer::Failed(lost()),
    }
}
