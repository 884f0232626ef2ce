//! Protocols that are broken on purpose. Each leaves out one precaution; the checker has to find what it is for.
//!
//! What this model has no place for is tested elsewhere: rights that go with one namespace, whose operator is confined to it
//! (`tests/rights.rs`, `tests/deletion.rs`); the conflicts of server-side apply and definitions that lack a field (`tests/status.rs`);
//! the claims of other shards (`tests/ownership.rs`); and how long anything waits (`tests/virtual_time.rs`).

use unstructured_operator::controller::connector::effect::{Effect, Step};
use unstructured_operator::controller::connector::plan::plan;
use unstructured_operator::controller::connector::situation::{
    Binding, DefinitionFate, Mark, Release, Situation, Stage,
};

use super::connectors::Service;
use super::counterexamples;
use super::model::{Mischief, Protocol, Wish};
use super::operator::Flaw;
use super::scenario::{CHOSEN, chosen, new, reserved, settled};
use super::status::ELSEWHERE;
use super::world::{Ask, Place, Restored, Start};

type Plan = fn(&Situation) -> Step;

/// Whoever finds an intent makes the connector without asking what became of the first one.
fn ignores_the_intent(s: &Situation) -> Step {
    let mut s = s.clone();
    if let Binding::Creating { stage, .. } = &s.binding
        && *stage != Stage::Recorded
    {
        s.binding = Binding::Unbound;
    }
    plan(&s)
}

/// What is not there at once will never be.
fn does_not_wait(s: &Situation) -> Step {
    let mut s = s.clone();
    if let Binding::Creating { stage, .. } = &mut s.binding
        && *stage == Stage::Unsettled
    {
        *stage = Stage::Settled;
    }
    plan(&s)
}

fn records_no_intent(s: &Situation) -> Step {
    match plan(s) {
        Step::Act(Effect::RecordIntent { name, key }) => Step::Act(Effect::Create { name, key }),
        step => step,
    }
}

fn adds_no_finalizer(s: &Situation) -> Step {
    let mut s = s.clone();
    s.finalized |= s.deletion.is_none();
    plan(&s)
}

/// The digest of before stays on record until the next answer.
fn trusts_the_old_digest(s: &Situation) -> Step {
    match plan(s) {
        Step::Act(Effect::RecordUpdate) => {
            Step::Act(Effect::Update(s.bound().expect("it is bound")))
        }
        step => step,
    }
}

/// What may not be seen of the definition counts as "is not going", and nobody asks whether the resource could be let go.
fn takes_unknown_for_no(s: &Situation) -> Step {
    let mut s = s.clone();
    if let Some(deletion) = &mut s.deletion {
        deletion.rehearsed = true;
        if deletion.definition == DefinitionFate::Unknown {
            deletion.definition = DefinitionFate::Stays;
        }
    }
    plan(&s)
}

/// Whatever carries the reserved name is a duplicate of ours.
fn goes_by_the_name(s: &Situation) -> Step {
    let mut s = s.clone();
    s.lost_creates = s.lost_creates.max(1);
    s.namesakes
        .iter_mut()
        .flatten()
        .for_each(|n| n.recent = true);
    plan(&s)
}

/// What a key says against the name is not heard.
fn believes_the_name(s: &Situation) -> Step {
    let mut s = s.clone();
    s.namesakes
        .iter_mut()
        .flatten()
        .for_each(|n| n.mark = Mark::Unshown);
    plan(&s)
}

/// Lets go of what another holds without a look for what is its own.
fn leaves_its_own(s: &Situation) -> Step {
    match (s.deletion, s.bound(), &s.held_by) {
        (Some(_), Some(id), Some(_)) if s.finalized => {
            Step::Act(Effect::RemoveFinalizer(Release::Held(id)))
        }
        _ => plan(s),
    }
}

fn finds(name: &str, protocol: Protocol, property: &'static str) {
    let found = counterexamples(name, protocol, &[property]);
    assert!(
        found.contains(&property),
        "{name}: nothing was found, or only {found:?}"
    );
}

fn deciding(mut protocol: Protocol, plan: Plan) -> Protocol {
    protocol.operator.plan = plan;
    protocol
}

fn flawed(mut protocol: Protocol, flaw: Flaw) -> Protocol {
    protocol.operator.flaw = Some(flaw);
    protocol
}

fn one() -> Protocol {
    Protocol::of(vec![new(reserved(0))])
}

#[test]
fn the_checker_finds_what_each_precaution_is_for() {
    let broken: [(&str, Plan, u8, &str); 5] = [
        ("ignores the intent", ignores_the_intent, 1, "I1 one"),
        ("does not wait", does_not_wait, 1, "I1 one"),
        ("records no intent", records_no_intent, 1, "I1 one"),
        ("adds no finalizer", adds_no_finalizer, 1, "I2 none left"),
        (
            "trusts the old digest",
            trusts_the_old_digest,
            2,
            "I5 it settles",
        ),
    ];
    for (name, plan, wishes, property) in broken {
        finds(name, deciding(one().within(1, wishes), plan), property);
    }
}

#[test]
fn the_checker_finds_what_the_resource_version_is_for() {
    let mut careless = one();
    careless.preconditions = false;
    finds("writes over anything", careless, "I2 none left");
}

#[test]
fn the_checker_finds_what_sending_again_is_for() {
    let protocol = Protocol::of(vec![settled(reserved(0), 1)])
        .meeting(&[Mischief::Calls])
        .wishing(&[Wish::EditSecret])
        .within(1, 2);
    let forgetful = flawed(protocol, Flaw::NeverSendsAgain);
    finds("never sends again", forgetful, "I5 it settles");
}

/// The rights go before the definition.
#[test]
fn the_checker_finds_an_uninstallation_that_deletes_connectors() {
    let protocol = Protocol::of(vec![settled(reserved(0), 1)])
        .wishing(&[Wish::Delete(0)])
        .meeting(&[Mischief::Uninstalling]);
    let trusting = deciding(protocol, takes_unknown_for_no);
    finds("takes unknown for no", trusting, "I3 only ours");
}

/// Another field manager owns what the operator would have to take away.
#[test]
fn the_checker_finds_a_status_that_cannot_be_written_over() {
    let protocol = one().meeting(&[Mischief::Restoring(0, Restored::Older)]);
    let applying = flawed(protocol, Flaw::CannotWriteOver);
    finds("cannot write over", applying, "I5 it settles");
}

#[test]
fn the_checker_finds_a_status_of_others_that_is_believed() {
    let protocol = Protocol::of(vec![new(chosen())])
        .meeting(&[Mischief::Restoring(0, Restored::Wiped)])
        .wishing(&[]);
    let believing = flawed(protocol, Flaw::BelievesAnyStatus);
    finds("believes any status", believing, "I5 it settles");
}

/// "Held by another" is known only of what is listed.
#[test]
fn the_checker_finds_a_decision_before_every_list_is_complete() {
    let thief = Ask {
        adopt_by_name: true,
        ..chosen()
    };
    let protocol = Protocol::of(vec![settled(chosen(), 1), new(thief)]).meeting(&[]);
    let hasty = flawed(protocol, Flaw::DoesNotWaitForLists);
    finds("does not wait for lists", hasty, "I3 only ours");
}

#[test]
fn the_checker_finds_a_duplicate_that_is_one_by_its_name_only() {
    let mut place = settled(
        Ask {
            retain: true,
            ..reserved(0)
        },
        1,
    );
    place.then = Ask {
        existing: Some(2),
        ..reserved(0)
    };
    let protocol = Protocol::of(vec![place])
        .beside(2, CHOSEN)
        .meeting(&[])
        .wishing(&[Wish::Delete(0), Wish::Make(0)])
        .within(0, 2);
    let grasping = deciding(protocol, goes_by_the_name);
    finds("goes by the name", grasping, "I3 only ours");
}

#[test]
fn the_checker_finds_a_name_that_is_believed_against_the_key() {
    let protocol = Protocol::of(vec![new(chosen())])
        .at(Service::Honouring)
        .meeting(&[Mischief::Rival(CHOSEN), Mischief::Calls])
        .wishing(&[])
        .within(2, 0);
    let believing = deciding(protocol, believes_the_name);
    finds("believes the name", believing, "I3 only ours");
}

#[test]
fn the_checker_finds_a_duplicate_that_is_one_by_its_key_only() {
    let mut place = new(Ask {
        retain: true,
        ..chosen()
    });
    place.then = Ask {
        existing: Some(2),
        ..chosen()
    };
    let protocol = Protocol::of(vec![place])
        .at(Service::Honouring)
        .beside(2, 8)
        .meeting(&[])
        .wishing(&[Wish::Delete(0), Wish::Make(0)])
        .within(0, 2);
    let grasping = deciding(protocol, goes_by_the_name);
    finds("goes by the key", grasping, "I3 only ours");
}

#[test]
fn the_checker_finds_a_claim_that_outlives_its_resource() {
    let retain = Ask {
        retain: true,
        ..reserved(0)
    };
    let heir = Ask {
        existing: Some(1),
        ..reserved(1)
    };
    let inherited = Place {
        start: Start::Absent,
        ..new(heir)
    };
    let protocol = Protocol::of(vec![settled(retain, 1), inherited])
        .meeting(&[])
        .wishing(&[Wish::Delete(0), Wish::Make(1)])
        .within(0, 2);
    let clinging = flawed(protocol, Flaw::KeepsClaims);
    finds("keeps claims", clinging, "I5 it settles");
}

#[test]
fn the_checker_finds_a_404_that_is_believed_too_soon() {
    let verified = Ask {
        verify: true,
        ..reserved(0)
    };
    let hiding = || Protocol::of(vec![new(verified)]).meeting(&[Mischief::Hiding]);
    let hasty = flawed(hiding(), Flaw::BelievesEvery404);
    finds("believes every 404", hasty, "I1 one");
    let deleting = hiding().wishing(&[Wish::Delete(0)]);
    let hasty = flawed(deleting, Flaw::BelievesEvery404);
    finds("believes every 404 at the end", hasty, "I2 none left");
}

#[test]
fn the_checker_finds_a_refusal_that_is_blamed_on_the_spec() {
    let blaming = flawed(one().meeting(&[Mischief::Calls]), Flaw::BlamesTheSpec);
    finds("blames the spec", blaming, "I5 it settles");
}

#[test]
fn the_checker_finds_a_blocked_deletion_that_nobody_looks_at_again() {
    let protocol = Protocol::of(vec![settled(reserved(0), 1)])
        .meeting(&[Mischief::TakingTheKey])
        .wishing(&[Wish::Delete(0)]);
    let waiting = flawed(protocol, Flaw::WaitsForAnEvent);
    finds("waits for an event", waiting, "I5 it settles");
}

#[test]
fn the_checker_finds_a_record_of_elsewhere_that_is_believed() {
    let mut place = new(reserved(0));
    place.start = Start::Copied(1);
    let protocol = Protocol::of(vec![place]).beside(1, ELSEWHERE).meeting(&[]);
    let believing = flawed(protocol, Flaw::BelievesAnyRecord);
    finds("believes any record", believing, "I3 only ours");
}

#[test]
fn the_checker_finds_what_is_left_by_who_lets_go_of_anothers() {
    let protocol = Protocol::of(vec![settled(reserved(0), 1), settled(reserved(1), 2)])
        .meeting(&[
            Mischief::Restoring(1, Restored::Naming(1)),
            Mischief::Crashes,
        ])
        .wishing(&[Wish::Delete(1)])
        .within(2, 1);
    finds(
        "leaves its own",
        deciding(protocol, leaves_its_own),
        "I2 none left",
    );
}
