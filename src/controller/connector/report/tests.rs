//! What holds of every status, whatever the situation and its outcome.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::prelude::*;

use super::{Occasion, status};
use crate::controller::connector::effect::Step;
use crate::controller::connector::plan::plan;
use crate::controller::connector::plan::tests::situation;
use crate::controller::connector::situation::Situation;
use crate::crd::ConnectorStatus;
use crate::engine::outcome::{Failure, Outcome};

fn on(second: i64) -> Occasion {
    Occasion {
        generation: 3,
        now: Time(jiff::Timestamp::from_second(second).unwrap()),
        settle_time: std::time::Duration::from_mins(1),
        forced: None,
        next_attempt: None,
    }
}

fn find<'a>(status: &'a ConnectorStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|c| c.type_ == kind)
}

fn is_true(status: &ConnectorStatus, kind: &str) -> bool {
    find(status, kind).is_some_and(|c| c.status == "True")
}

/// What the plan rests in, or a failure where it would act.
fn outcome(s: &Situation) -> Outcome {
    match plan(s) {
        Step::Rest(outcome) => outcome,
        Step::Act(_) => Outcome::Failed(Failure::Kubernetes("it cannot be reached".to_owned())),
    }
}

proptest! {
    #[test]
    fn conditions_follow_kstatus_and_agree_with_each_other(s in situation(), before in situation()) {
        let previous = status(&ConnectorStatus::default(), &before, &outcome(&before), &on(1));
        let outcome = outcome(&s);
        let now = status(&previous, &s, &outcome, &on(2));
        prop_assert!(find(&now, "Ready").is_some());
        prop_assert!(!(is_true(&now, "Reconciling") && is_true(&now, "Stalled")));
        prop_assert!(!is_true(&now, "Ready") || !is_true(&now, "Reconciling") && !is_true(&now, "Stalled"));
        prop_assert!(!is_true(&now, "Ready") || is_true(&now, "Synced"), "{outcome:?} {s:#?} {now:#?}");
        prop_assert!(now.id.is_none() || now.create.is_none());
    }

    #[test]
    fn the_same_status_said_twice_is_the_same_status(s in situation()) {
        let outcome = outcome(&s);
        let once = status(&ConnectorStatus::default(), &s, &outcome, &on(1));
        let twice = status(&once, &s, &outcome, &on(2));
        prop_assert_eq!(once.conditions, twice.conditions);
    }

    #[test]
    fn the_time_of_a_sync_is_not_written_again_when_a_second_has_passed(s in situation()) {
        let outcome = outcome(&s);
        let unrecorded = Situation { unrecorded: true, ..s.clone() };
        let recorded = Situation { unrecorded: false, ..s };
        let once = status(&ConnectorStatus::default(), &unrecorded, &outcome, &on(1));
        let twice = status(&once, &recorded, &outcome, &on(2));
        prop_assert_eq!(once.last_sync_time, twice.last_sync_time);
    }

    #[test]
    fn a_transition_time_moves_exactly_when_its_status_does(s in situation(), before in situation()) {
        let previous = status(&ConnectorStatus::default(), &before, &outcome(&before), &on(1));
        let now = status(&previous, &s, &outcome(&s), &on(2));
        for condition in &now.conditions {
            let kept = find(&previous, &condition.type_).is_some_and(|c| c.status == condition.status);
            let moved = condition.last_transition_time == on(2).now;
            prop_assert_eq!(moved, !kept, "{}", condition.type_);
        }
    }

    #[test]
    fn a_clock_behind_the_one_before_it_turns_no_time_back(s in situation(), before in situation()) {
        let previous = status(&ConnectorStatus::default(), &before, &outcome(&before), &on(600));
        let now = status(&previous, &s, &outcome(&s), &on(1));
        for condition in &now.conditions {
            if let Some(known) = find(&previous, &condition.type_) {
                prop_assert!(condition.last_transition_time.0 >= known.last_transition_time.0);
            }
        }
    }
}
