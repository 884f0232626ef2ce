//! The plan in arbitrary situations with arbitrary answers, and what the model checker found.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::plan;
use crate::controller::connector::effect::Step;
use crate::controller::connector::effect::{Answer, Effect};
use crate::controller::connector::situation::{
    Bind, Binding, Check, ConnectorName, Debut, DefinitionFate, Deletion, Desired, Freshness,
    Grant, Keys, Mark, Namesake, Resend, Sighting, Situation, Stage, Wanted, WorkspaceFacts,
};
use crate::engine::outcome::{Failure, ForeignRecord, Outcome};
use crate::kinds::Shortfall;
use crate::unstructured::{Collection, Commit, ConnectorId, Digest, ErrorKind};

/// More effects than any honest pass needs.
const MOST_EFFECTS: usize = 64;

fn id(n: u8) -> ConnectorId {
    format!("00000000-0000-4000-8000-0000000000{n:02x}")
        .parse()
        .unwrap()
}

fn digest(n: u8) -> Digest {
    format!("{n:064x}").parse().unwrap()
}

fn workspace(n: u8) -> WorkspaceFacts {
    WorkspaceFacts {
        api_url: "https://api".to_owned(),
        fingerprint: n.to_string(),
    }
}

/// A resource with a chosen name that was never looked at.
pub(in crate::controller) fn blank() -> Situation {
    Situation {
        wanted: Wanted {
            name: ConnectorName {
                value: "contracts".to_owned(),
                reserved: false,
            },
            key: "our-key".to_owned(),
            collection: Collection::Sources,
            existing: None,
            adopt_by_name: false,
            verify: false,
            retain: false,
            suspend: false,
        },
        deletion: None,
        foreign: None,
        unlisted: None,
        waited: false,
        finalized: true,
        binding: Binding::Unbound,
        marked: false,
        keys: Keys::Sent,
        held_by: None,
        applied: None,
        home: None,
        move_accepted: false,
        workspace: Ok(workspace(0)),
        desired: Desired::Digest(digest(1)),
        forced: false,
        refused: None,
        grant: Grant::Accepted,
        doubted: false,
        connector: Sighting::Unseen,
        debut: Debut::Over,
        namesakes: None,
        check: Check::None,
        polled: false,
        failed_now: false,
        check_overdue: false,
        resend: Resend::No,
        lost_creates: 0,
        lost: None,
        unrecorded: false,
        users: None,
        changes: Vec::new(),
    }
}

fn taken(just_now: bool) -> Keys {
    Keys::Taken {
        why: "no".to_owned(),
        just_now,
    }
}

fn insufficient() -> Grant {
    Grant::Insufficient(Shortfall::Folder("no".to_owned()))
}

fn drift() -> impl Strategy<Value = std::collections::BTreeSet<String>> {
    btree_set(Just("remote_url".to_owned()), 0..2)
}

fn sighting() -> impl Strategy<Value = Sighting> {
    prop_oneof![
        Just(Sighting::Unlisted),
        Just(Sighting::Gone),
        (drift(), any::<bool>()).prop_map(|(drift, same_kind)| Sighting::Present {
            drift,
            name: "contracts".to_owned(),
            same_kind,
        }),
    ]
}

fn namesakes() -> impl Strategy<Value = Vec<Namesake>> {
    let mark = prop_oneof![Just(Mark::Ours), Just(Mark::Anothers), Just(Mark::Unshown)];
    vec((any::<[bool; 3]>(), mark, drift()), 0..4).prop_map(|found| {
        let namesake = |(n, (facts, mark, drift)): (u8, ([bool; 3], Mark, _))| Namesake {
            id: id(n),
            mark,
            // It is found by its name or by our key.
            other_name: (facts[2] && mark == Mark::Ours).then(|| "former".to_owned()),
            holder: facts[0].then(|| "another".to_owned()),
            recent: facts[1],
            drift,
        };
        (1..).zip(found).map(namesake).collect()
    })
}

fn binding() -> impl Strategy<Value = Binding> {
    let stage = prop_oneof![Just(Stage::Unsettled), Just(Stage::Settled)];
    prop_oneof![
        Just(Binding::Unbound),
        (1..4_u8).prop_map(|n| Binding::Bound(id(n))),
        (prop_oneof!["contracts", "former"], stage)
            .prop_map(|(name, stage)| Binding::Creating { name, stage }),
    ]
}

prop_compose! {
    fn wanted()(
        [reserved, adopt_by_name, verify, retain] in any::<[bool; 4]>(),
        existing in option::of(1..4_u8),
        suspend in prop::bool::weighted(0.2),
    ) -> Wanted {
        Wanted {
            name: ConnectorName { value: "contracts".to_owned(), reserved },
            key: "our-key".to_owned(),
            collection: Collection::Sources,
            existing: existing.map(id),
            adopt_by_name,
            verify,
            retain,
            suspend,
        }
    }
}

prop_compose! {
    fn deletion()(
        namespace_terminating in any::<bool>(),
        definition in prop_oneof![3 => Just(DefinitionFate::Stays), 1 => Just(DefinitionFate::Going), 1 => Just(DefinitionFate::Unknown)],
    ) -> Deletion {
        Deletion { namespace_terminating, definition, rehearsed: false }
    }
}

prop_compose! {
    /// What a pass can start with.
    pub(in crate::controller) fn situation()(
        wanted in wanted(),
        deletion in option::of(deletion()),
        binding in binding(),
        held in prop::bool::weighted(0.2),
        applied in option::of(0..3_u8),
        home in option::of(0..2_u8),
        [finalized, move_accepted, forced, check_overdue, doubted, waited, known] in any::<[bool; 7]>(),
        foreign in prop::bool::weighted(0.1),
        lost_creates in 0..3_u32,
        marked in any::<bool>(),
        keys in prop_oneof![3 => Just(Keys::Sent), 1 => Just(Keys::Refused), 1 => Just(taken(false))],
        resend in prop_oneof![4 => Just(Resend::No), 1 => Just(Resend::Later), 1 => Just(Resend::Due)],
        grant in prop_oneof![Just(Grant::Unasked), Just(Grant::Accepted), Just(Grant::Inconclusive("no".to_owned())), Just(Grant::Silence("no".to_owned())), Just(insufficient()), Just(Grant::Refused("no".to_owned()))],
        check in prop_oneof![Just(Check::None), Just(Check::Scheduled("c".to_owned())), Just(Check::Passed("c".to_owned())), Just(Check::Failed("c".to_owned(), None)), Just(Check::Unavailable)],
    ) -> Situation {
        Situation {
            desired: if deletion.is_some() { Desired::Unread } else { Desired::Digest(digest(1)) },
            held_by: held.then(|| "another".to_owned()),
            applied: applied.map(digest),
            home: home.map(workspace),
            foreign: foreign.then(|| ForeignRecord { name: "theirs".to_owned(), cluster: "ours".to_owned() }),
            unlisted: (!known).then(unlisted),
            wanted, deletion, finalized, binding, move_accepted, forced, grant, doubted, check, check_overdue,
            waited, lost_creates, resend, marked, keys,
            ..blank()
        }
    }
}

fn unlisted() -> String {
    "a kind in a namespace".to_owned()
}

fn failure(kind: ErrorKind, commit: Commit) -> Answer {
    Answer::Failed(Failure::Api {
        kind,
        rate_limited: false,
        message: "it failed".to_owned(),
        commit,
        sent_configuration: true,
    })
}

/// Every answer that an effect can get. An inventory and a single look may contradict each other: the list lags.
fn answer(effect: &Effect) -> BoxedStrategy<Answer> {
    let fails = prop_oneof![
        Just(failure(ErrorKind::Timeout, Commit::Unknown)),
        Just(failure(ErrorKind::Connect, Commit::Never)),
        Just(Answer::Failed(Failure::Conflict)),
    ];
    let done = Just(Answer::Done);
    let missing = Just(failure(ErrorKind::NotFound, Commit::Never));
    let held = Just(Answer::Held("another".to_owned()));
    match effect {
        Effect::AddFinalizer
        | Effect::Rehearse
        | Effect::RemoveFinalizer(_)
        | Effect::RecordUpdate
        | Effect::Record(_) => prop_oneof![8 => done, 1 => fails].boxed(),
        Effect::RecordIntent { .. } => prop_oneof![8 => done, 1 => held, 1 => fails].boxed(),
        Effect::Look(_) => {
            let seen = (sighting(), namesakes()).prop_map(|(connector, namesakes)| Answer::Seen {
                listed: true,
                connector,
                namesakes,
            });
            prop_oneof![8 => seen, 1 => fails].boxed()
        }
        Effect::Confirm(_) => {
            let told = sighting()
                .prop_filter("told", |s| *s != Sighting::Unlisted)
                .prop_map(Answer::Connector);
            prop_oneof![8 => told, 1 => fails].boxed()
        }
        Effect::CheckCredentials => {
            let grant = prop_oneof![
                Just(Grant::Accepted),
                Just(Grant::Inconclusive("no".to_owned())),
                Just(Grant::Silence("no".to_owned())),
                Just(insufficient()),
                Just(Grant::Refused("no".to_owned()))
            ];
            grant.prop_map(Answer::Grant).boxed()
        }
        Effect::Bind(..) => prop_oneof![4 => Just(Answer::Claimed), 1 => held].boxed(),
        Effect::Create { key, .. } => {
            let made = prop_oneof![Just(Mark::Ours), Just(Mark::Anothers), Just(Mark::Unshown)];
            let made = made.prop_map(|mark| Answer::Created(id(7), mark));
            let objected = prop_oneof![
                Just(Answer::KeyRefused),
                Just(Answer::KeyTaken("no".to_owned()))
            ];
            match key {
                Some(_) => prop_oneof![4 => made, 2 => objected, 2 => fails].boxed(),
                None => prop_oneof![2 => made, 1 => fails].boxed(),
            }
        }
        Effect::Update(_) | Effect::Delete(_) => {
            prop_oneof![4 => done, 2 => missing, 1 => fails].boxed()
        }
        Effect::StartCheck(_) | Effect::PollCheck { .. } => {
            let check = prop_oneof![
                Just(Check::Scheduled("c".to_owned())),
                Just(Check::Passed("c".to_owned())),
                Just(Check::Failed("c".to_owned(), Some("no".to_owned()))),
            ];
            prop_oneof![4 => check.prop_map(Answer::Check), 1 => missing, 1 => fails].boxed()
        }
    }
}

/// A pass with answers drawn at random: each step with the situation that it was decided in, and what it rested in.
fn walk(
    mut s: Situation,
    runner: &mut proptest::test_runner::TestRunner,
) -> (Vec<(Situation, Effect)>, Option<Outcome>, Situation) {
    let mut steps = Vec::new();
    while steps.len() < MOST_EFFECTS {
        let effect = match plan(&s) {
            Step::Rest(outcome) => return (steps, Some(outcome), s),
            Step::Act(effect) => effect,
        };
        let drawn = answer(&effect).new_tree(runner).unwrap().current();
        steps.push((s.clone(), effect.clone()));
        if let Err(failure) = s.learn(&effect, drawn) {
            return (steps, Some(Outcome::Failed(failure)), s);
        }
    }
    (steps, None, s)
}

proptest! {
    #[test]
    fn a_pass_in_any_situation_with_any_answers_ends_and_keeps_the_rules(s in situation(), seed in any::<[u8; 32]>()) {
        let rng = proptest::test_runner::TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(ProptestConfig::default(), rng);
        let (steps, outcome, _) = walk(s, &mut runner);
        prop_assert!(outcome.is_some(), "{:#?}", steps.iter().map(|(_, effect)| effect).collect::<Vec<_>>());
        for (s, effect) in &steps {
            prop_assert!(keeps_the_rules(s, effect), "{effect:?} in {s:#?}");
        }
    }
}

/// What holds of every effect, whatever the situation.
fn keeps_the_rules(s: &Situation, effect: &Effect) -> bool {
    let spared = s
        .deletion
        .is_some_and(|d| s.wanted.retain || d.definition != DefinitionFate::Stays || !d.rehearsed);
    // Whatever a copied record names, nothing is done to it.
    if s.foreign.is_some() && effect.writes_to_api() {
        return false;
    }
    let suspended = s.deletion.is_none() && s.wanted.suspend;
    if suspended && effect.writes_to_api() {
        return false;
    }
    match effect {
        Effect::Create { key, .. } => {
            s.finalized
                // What is sent is what is on record.
                && key.is_some() == s.marked
                // Taken once, it is not sent again, nor is anything made without it.
                && !matches!(s.keys, Keys::Taken { .. })
                && matches!(
                    &s.binding,
                    Binding::Creating {
                        stage: Stage::Recorded,
                        ..
                    }
                )
        }
        // Never over an intent whose request may still be carried out.
        Effect::RecordIntent { .. } => {
            s.finalized
                && !matches!(
                    &s.binding,
                    Binding::Creating {
                        stage: Stage::Unsettled,
                        ..
                    }
                )
        }
        Effect::Update(id) => s.finalized && s.bound() == Some(*id) && s.held_by.is_none(),
        Effect::Delete(_) if spared => false,
        Effect::Delete(id) => s.bound() == Some(*id) || may_delete(s, *id),
        _ => true,
    }
}

/// A connector that is not on record may be deleted only by our key or under the reserved name, and only if it can have come of our own creates:
/// what was retained carries the same name.
fn may_delete(s: &Situation, id: ConnectorId) -> bool {
    let mut free = s.namesakes.iter().flatten().filter(|n| n.is_free());
    let going = s.deletion.is_some();
    let ours = |n: &Namesake| n.is_marked() || s.name().reserved && n.is_named();
    (going || s.lost_creates > 0) && free.any(|n| n.id == id && n.recent && ours(n))
}

#[test]
fn what_a_lost_create_made_is_put_on_record_before_it_is_deleted() {
    let mut s = Situation {
        deletion: Some(Deletion::default()),
        desired: Desired::Unread,
        binding: Binding::Creating {
            name: "contracts".to_owned(),
            stage: Stage::Unsettled,
        },
        namesakes: Some(vec![namesake(1, true)]),
        ..blank()
    };
    let bind = Effect::Bind(id(1), Bind::Recovered);
    assert_eq!(plan(&s), Step::Act(bind.clone()));
    s.learn(&bind, Answer::Claimed).unwrap();
    let record = Effect::Record(Outcome::Applying);
    assert_eq!(plan(&s), Step::Act(record.clone()));
    s.learn(&record, Answer::Done).unwrap();
    assert_eq!(plan(&s), Step::Act(Effect::Rehearse));
    s.learn(&Effect::Rehearse, Answer::Done).unwrap();
    assert_eq!(plan(&s), Step::Act(Effect::Delete(id(1))));
}

#[test]
fn what_was_applied_before_is_forgotten_before_another_configuration_is_sent() {
    let mut s = Situation {
        binding: Binding::Bound(id(1)),
        applied: Some(digest(0)),
        connector: Sighting::Present {
            drift: [].into(),
            name: "contracts".to_owned(),
            same_kind: true,
        },
        ..blank()
    };
    assert_eq!(plan(&s), Step::Act(Effect::RecordUpdate));
    s.learn(&Effect::RecordUpdate, Answer::Done).unwrap();
    assert_eq!(plan(&s), Step::Act(Effect::Update(id(1))));
    s.learn(
        &Effect::Update(id(1)),
        failure(ErrorKind::Timeout, Commit::Unknown),
    )
    .unwrap_err();
    s.desired = Desired::Digest(digest(0));
    assert_eq!(
        plan(&s),
        Step::Act(Effect::Update(id(1))),
        "changed back, it is sent again"
    );
}

#[test]
fn a_connector_that_has_gone_is_not_bound_again_from_the_inventory_that_showed_it() {
    let mut s = Situation {
        binding: Binding::Bound(id(1)),
        connector: Sighting::Unlisted,
        namesakes: Some(vec![namesake(1, true)]),
        ..blank()
    };
    s.wanted.name.reserved = true;
    assert_eq!(plan(&s), Step::Act(Effect::Confirm(id(1))));
    s.learn(&Effect::Confirm(id(1)), Answer::Connector(Sighting::Gone))
        .unwrap();
    assert_eq!(plan(&s), Step::Act(Effect::Look(Freshness::Trigger)));
}

#[test]
fn a_connector_that_another_resource_holds_is_no_answer_to_a_lost_create() {
    let mut s = Situation {
        binding: Binding::Creating {
            name: "contracts".to_owned(),
            stage: Stage::Unsettled,
        },
        namesakes: Some(vec![Namesake {
            holder: Some("another".to_owned()),
            ..namesake(1, true)
        }]),
        ..blank()
    };
    s.wanted.name.reserved = true;
    assert_eq!(plan(&s), Step::Rest(Outcome::CreateUnsettled(None)));
}

#[test]
fn a_taken_name_is_told_in_the_same_words_whoever_noticed_it() {
    let holder = "the resource \"first\" in this namespace".to_owned();
    let message = |s: &Situation| match plan(s) {
        Step::Rest(outcome) => outcome.row().message,
        Step::Act(effect) => panic!("{effect:?}"),
    };
    // While the other's connector is being made, and when the inventory shows it.
    let mut being_made = Situation {
        namesakes: Some(Vec::new()),
        ..blank()
    };
    let intent = intent(true);
    being_made
        .learn(&intent, Answer::Held(holder.clone()))
        .unwrap();
    let made = Situation {
        namesakes: Some(vec![Namesake {
            holder: Some(holder),
            ..namesake(1, true)
        }]),
        ..blank()
    };
    assert_eq!(message(&being_made), message(&made));
}

#[test]
fn a_connector_that_was_taken_over_by_id_and_lost_is_made_anew_even_after_a_refusal() {
    let mut s = Situation {
        home: Some(workspace(0)),
        namesakes: Some(Vec::new()),
        connector: Sighting::Gone,
        ..blank()
    };
    s.wanted.existing = Some(id(1));
    let intent = intent(true);
    assert_eq!(plan(&s), Step::Act(intent));
}

fn present() -> Sighting {
    Sighting::Present {
        drift: [].into(),
        name: "contracts".to_owned(),
        same_kind: true,
    }
}

fn namesake(n: u8, recent: bool) -> Namesake {
    Namesake {
        id: id(n),
        mark: Mark::Unshown,
        other_name: None,
        holder: None,
        recent,
        drift: [].into(),
    }
}

/// One that shows our key under another name.
fn marked(n: u8, recent: bool) -> Namesake {
    Namesake {
        mark: Mark::Ours,
        other_name: Some("former".to_owned()),
        ..namesake(n, recent)
    }
}

fn intent(marked: bool) -> Effect {
    Effect::RecordIntent {
        name: "contracts".to_owned(),
        key: marked.then(|| "our-key".to_owned()),
    }
}

/// A resource of a chosen name whose create was lost; it was sent with our key.
fn lost(stage: Stage, namesakes: Vec<Namesake>) -> Situation {
    Situation {
        binding: Binding::Creating {
            name: "contracts".to_owned(),
            stage,
        },
        marked: true,
        namesakes: Some(namesakes),
        ..blank()
    }
}

#[test]
fn a_name_alone_makes_no_duplicate_of_what_was_retained() {
    let mut s = Situation {
        binding: Binding::Bound(id(1)),
        applied: Some(digest(1)),
        connector: present(),
        namesakes: Some(vec![namesake(2, true), namesake(3, false)]),
        ..blank()
    };
    s.wanted.name.reserved = true;
    assert_eq!(
        plan(&s),
        Step::Rest(Outcome::Ready),
        "no create was ever given up"
    );

    s.lost_creates = 1;
    assert_eq!(plan(&s), Step::Act(Effect::Delete(id(2))));
    s.learn(&Effect::Delete(id(2)), Answer::Done).unwrap();
    assert_eq!(s.lost_creates, 0);
    assert_eq!(
        plan(&s),
        Step::Rest(Outcome::Ready),
        "what was there before is not ours"
    );
}

#[test]
fn what_cannot_be_known_of_the_definition_is_not_taken_for_no() {
    let mut s = Situation {
        deletion: Some(Deletion {
            definition: DefinitionFate::Unknown,
            ..Deletion::default()
        }),
        desired: Desired::Unread,
        binding: Binding::Bound(id(1)),
        ..blank()
    };
    assert_eq!(plan(&s), Step::Rest(Outcome::DefinitionUnknown));
    s.wanted.retain = true;
    let retained = crate::controller::connector::situation::Release::Retained(Some(id(1)));
    assert_eq!(plan(&s), Step::Act(Effect::RemoveFinalizer(retained)));
}

#[test]
fn a_copied_record_is_neither_believed_nor_replaced() {
    let record = ForeignRecord {
        name: "legal.contracts.production".to_owned(),
        cluster: "staging".to_owned(),
    };
    let mut s = Situation {
        binding: Binding::Bound(id(1)),
        foreign: Some(record.clone()),
        ..blank()
    };
    let told = Outcome::ForeignRecord {
        id: Some(id(1)),
        record,
    };
    assert_eq!(plan(&s), Step::Rest(told));
    s.deletion = Some(Deletion::default());
    let released = crate::controller::connector::situation::Release::Foreign(Some(id(1)));
    assert_eq!(plan(&s), Step::Act(Effect::RemoveFinalizer(released)));
}

#[test]
fn suspended_is_ready_only_where_nothing_is_unsent() {
    let mut s = Situation {
        binding: Binding::Bound(id(1)),
        applied: Some(digest(1)),
        ..blank()
    };
    s.wanted.suspend = true;
    assert_eq!(plan(&s), Step::Rest(Outcome::Suspended));
    s.applied = Some(digest(0));
    assert_eq!(plan(&s), Step::Rest(Outcome::SuspendedUnsent));
    s.binding = Binding::Unbound;
    assert_eq!(plan(&s), Step::Rest(Outcome::SuspendedUncreated));
}

#[test]
fn nobody_elses_connector_is_taken_before_every_resource_is_known() {
    let mut s = Situation {
        unlisted: Some(unlisted()),
        namesakes: Some(vec![namesake(1, false)]),
        connector: present(),
        ..blank()
    };
    s.wanted.adopt_by_name = true;
    assert_eq!(plan(&s), Step::Rest(Outcome::ResourcesUnknown));
    s.wanted.existing = Some(id(1));
    assert_eq!(plan(&s), Step::Rest(Outcome::ResourcesUnknown));
    s.wanted.existing = None;
    // Somebody may have adopted it by its id.
    s.wanted.name.reserved = true;
    assert_eq!(plan(&s), Step::Rest(Outcome::ResourcesUnknown));
}

#[test]
fn what_is_on_record_is_changed_before_every_resource_is_known_only_where_it_carries_our_name() {
    let mut s = Situation {
        unlisted: Some(unlisted()),
        binding: Binding::Bound(id(1)),
        connector: present(),
        ..blank()
    };
    assert_eq!(plan(&s), Step::Rest(Outcome::ResourcesUnknown));
    s.wanted.name.reserved = true;
    assert_eq!(plan(&s), Step::Act(Effect::Update(id(1))));

    s.deletion = Some(Deletion {
        rehearsed: true,
        ..Deletion::default()
    });
    assert_eq!(plan(&s), Step::Act(Effect::Delete(id(1))));
    s.wanted.name.reserved = false;
    assert_eq!(plan(&s), Step::Rest(Outcome::ResourcesUnknown));
    s.connector = Sighting::Unseen;
    assert_eq!(plan(&s), Step::Act(Effect::Look(Freshness::Any)));
}

#[test]
fn a_lost_create_is_found_by_its_key_and_not_by_a_name_that_has_another() {
    let foreign = Namesake {
        mark: Mark::Anothers,
        ..namesake(1, true)
    };
    let bound = |n| Step::Act(Effect::Bind(id(n), Bind::Recovered));
    let mut s = lost(Stage::Unsettled, vec![foreign.clone(), marked(2, true)]);
    assert_eq!(plan(&s), bound(2));
    s.learn(&Effect::Bind(id(2), Bind::Recovered), Answer::Claimed)
        .unwrap();
    assert!(s.marked && s.lost_creates == 0, "the other is not ours");
    assert!(matches!(&s.connector, Sighting::Present { name, .. } if name == "former"));

    s = lost(Stage::Unsettled, vec![foreign.clone()]);
    assert_eq!(plan(&s), Step::Rest(Outcome::CreateUnsettled(None)));
    s = lost(Stage::Settled, vec![foreign]);
    assert!(matches!(plan(&s), Step::Rest(Outcome::NameConflict { .. })));
    // Without a key on record, or in the answers, only the name can tell.
    s.marked = false;
    assert_eq!(plan(&s), bound(1));
    s = lost(Stage::Unsettled, vec![namesake(1, true)]);
    assert_eq!(plan(&s), bound(1));
}

#[test]
fn what_shows_our_key_is_ours_whatever_its_name_unless_another_holds_it() {
    let mut s = Situation {
        namesakes: Some(vec![marked(1, false), marked(2, true)]),
        ..blank()
    };
    assert_eq!(plan(&s), Step::Act(Effect::Bind(id(1), Bind::ByKey)));
    s.unlisted = Some(unlisted());
    assert_eq!(plan(&s), Step::Rest(Outcome::ResourcesUnknown));
    s.unlisted = None;
    for namesake in s.namesakes.iter_mut().flatten() {
        namesake.holder = Some("another".to_owned());
    }
    assert_eq!(plan(&s), Step::Act(intent(true)));
}

#[test]
fn a_duplicate_of_our_key_is_deleted_under_a_chosen_name_too_and_what_was_retained_is_not() {
    let mut s = Situation {
        binding: Binding::Bound(id(1)),
        applied: Some(digest(1)),
        connector: present(),
        namesakes: Some(vec![namesake(2, true), marked(3, true), marked(4, false)]),
        lost_creates: 1,
        ..blank()
    };
    assert_eq!(plan(&s), Step::Act(Effect::Delete(id(3))));
    s.unlisted = Some(unlisted());
    assert_eq!(plan(&s), Step::Rest(Outcome::Ready));
    s.lost_creates = 0;
    s.unlisted = None;
    assert_eq!(plan(&s), Step::Rest(Outcome::Ready));
}

#[test]
fn a_refused_key_leads_to_the_same_create_without_one_with_that_on_record() {
    let mut s = lost(Stage::Recorded, vec![]);
    let create = |marked: bool| Effect::Create {
        name: "contracts".to_owned(),
        key: marked.then(|| "our-key".to_owned()),
    };
    assert_eq!(plan(&s), Step::Act(create(true)));
    s.learn(&create(true), Answer::KeyRefused).unwrap();
    let record = Effect::Record(Outcome::Applying);
    assert_eq!(plan(&s), Step::Act(record.clone()));
    s.learn(&record, Answer::Done).unwrap();
    assert_eq!(plan(&s), Step::Act(intent(false)));
    s.learn(&intent(false), Answer::Done).unwrap();
    assert_eq!(plan(&s), Step::Act(create(false)));
    s.learn(&create(false), Answer::Created(id(7), Mark::Unshown))
        .unwrap();
    assert!(!s.marked && s.bound() == Some(id(7)));
}

#[test]
fn a_taken_key_is_looked_for_and_nothing_is_made_in_its_place() {
    let mut s = lost(Stage::Recorded, vec![]);
    let create = Effect::Create {
        name: "contracts".to_owned(),
        key: Some("our-key".to_owned()),
    };
    s.learn(&create, Answer::KeyTaken("no".to_owned())).unwrap();
    let record = Effect::Record(Outcome::Applying);
    assert_eq!(plan(&s), Step::Act(record.clone()));
    s.learn(&record, Answer::Done).unwrap();
    assert_eq!(plan(&s), Step::Act(Effect::Look(Freshness::Now)));
    s.namesakes = Some(vec![marked(1, false)]);
    assert_eq!(plan(&s), Step::Act(Effect::Bind(id(1), Bind::ByKey)));
    s.namesakes = Some(vec![]);
    assert!(matches!(plan(&s), Step::Rest(Outcome::KeyTaken { .. })));
    s.keys = taken(false);
    assert!(matches!(plan(&s), Step::Rest(Outcome::KeyTaken { .. })));
}
