//! Protocols that are broken on purpose. Each leaves out one precaution; the checker has to find what it is for.

use unstructured_operator::controller::effect::Effect;
use unstructured_operator::controller::plan::{Step, plan};
use unstructured_operator::controller::situation::{Binding, Creating, Situation};

use super::operator::Operator;
use super::{counterexamples, operator, protocol};

/// Whoever finds an intent makes the connector without asking what became of the first one.
fn ignores_the_intent(s: &Situation) -> Step {
    let mut s = s.clone();
    if let Binding::Creating { stage, .. } = &s.binding
        && *stage != Creating::Recorded
    {
        s.binding = Binding::Unbound;
    }
    plan(&s)
}

/// What is not there at once will never be.
fn does_not_wait(s: &Situation) -> Step {
    let mut s = s.clone();
    if let Binding::Creating { stage, .. } = &mut s.binding
        && *stage == Creating::Unsettled
    {
        *stage = Creating::Settled;
    }
    plan(&s)
}

fn records_no_intent(s: &Situation) -> Step {
    match plan(s) {
        Step::Act(Effect::RecordIntent { name }) => Step::Act(Effect::Create { name }),
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

#[test]
fn the_checker_finds_what_each_precaution_is_for() {
    type Plan = fn(&Situation) -> Step;
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
        let operator = Operator { plan, ..operator() };
        let found = counterexamples(name, protocol(vec![], operator, 1, wishes), &[property]);
        assert!(
            found.contains(&property),
            "{name}: nothing was found, or only {found:?}"
        );
    }
}

#[test]
fn the_checker_finds_what_the_resource_version_is_for() {
    let mut careless = protocol(vec![], operator(), 1, 1);
    careless.preconditions = false;
    let found = counterexamples("writes over anything", careless, &["I2 none left"]);
    assert!(found.contains(&"I2 none left"), "{found:?}");
}
