//! The service: what becomes of a request, and what its answer says.

use unstructured_operator::controller::pipeline::workflow::situation::{Answer, Effect, Sight};
use unstructured_operator::engine::debut::Debut;
use unstructured_operator::engine::outcome::Failure;
use unstructured_operator::unstructured::{Commit, ErrorKind};

use super::judge;
use super::operator::{Fate, Pass, digest, number_of, workflow_id};
use super::world::{Late, Shown, World};

pub fn lost() -> Failure {
    Failure::Api {
        kind: ErrorKind::Timeout,
        rate_limited: false,
        message: "no response came".to_owned(),
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

fn unknown() -> Failure {
    Failure::Api {
        kind: ErrorKind::NotFound,
        rate_limited: false,
        message: "there is no such workflow".to_owned(),
        commit: Commit::Never,
        sent_configuration: true,
    }
}

/// Whether the service finds a workflow by its id.
pub fn is_found(world: &World, number: usize) -> bool {
    let workflow = &world.remote[number];
    workflow.there && workflow.shown == Shown::Everywhere
}

/// A request to the service that changes something.
pub fn call(world: &mut World, pass: &Pass, effect: &Effect, fate: Fate) -> Answer {
    if *effect == Effect::Create || fate != Fate::Done {
        world.settled = false;
    }
    if let Effect::Delete(id) = effect {
        if fate == Fate::Done && !is_found(world, number_of(*id)) {
            // `act::call`: whatever a list shows is there, and only then the 404 counts for what was just made.
            let listed = judge::seen(world, number_of(*id)) != Sight::Unlisted;
            let s = &pass.situation;
            let unseen = s.bound() == Some(*id) && s.debut == Debut::Unseen;
            return if listed || unseen {
                Answer::Failed(unknown())
            } else {
                Answer::Done
            };
        }
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
    if world.strict
        && !world.knows(content.source)
        && matches!(fate, Fate::Done | Fate::Hidden | Fate::Lost)
    {
        return Answer::Failed(if fate == Fate::Lost {
            lost()
        } else {
            refused()
        });
    }
    match (fate, effect) {
        (Fate::Done, Effect::Update(id)) => {
            let number = number_of(*id);
            if !is_found(world, number) {
                return Answer::Failed(unknown());
            }
            world.change(number, content);
            Answer::Updated(digest(content))
        }
        (Fate::Done | Fate::Hidden, _) => {
            let number = world.make(content);
            if fate == Fate::Hidden {
                world.remote[number].shown = Shown::Nowhere;
            }
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
            let number = world.make(content);
            world.remote[number].shown = Shown::InLists;
            Answer::Failed(lost())
        }
        (Fate::Undone, _) => Answer::Failed(lost()),
    }
}
