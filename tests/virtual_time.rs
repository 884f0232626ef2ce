//! Days of quiet, hours of outage and answers that come when nobody expects them any more, in seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use support::fake::unstructured::{Family, Route, answers};
use support::fake::{Answer, Fault};

use crate::incarnation::{
    Incarnation, REQUEST_TIMEOUT, SETTLE_TIME, SYNC_INTERVAL, World, default_name,
};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const FLEET: [&str; 5] = ["contracts", "invoices", "letters", "minutes", "plans"];

/// A world with a fleet that is ready, and its controller.
fn ready_fleet(world: &World) -> Incarnation<'_> {
    world.put_secret("1");
    for name in FLEET {
        world.create(name);
    }
    let life = Incarnation::begin(world);
    assert!(
        life.until(HOUR, || first_wrong(world).is_none()),
        "{:?}",
        first_wrong(world)
    );
    life.pass(Duration::from_mins(1));
    life
}

fn first_wrong(world: &World) -> Option<String> {
    FLEET.iter().find_map(|name| {
        world
            .wrong(name, "1")
            .map(|wrong| format!("{name}: {wrong}"))
    })
}

/// How many requests of this route came, and writes of any.
fn count(world: &World) -> (usize, usize) {
    let requests = world.api.requests();
    let lists = requests
        .iter()
        .filter(|r| r.method == "GET" && r.path.ends_with("/sources/"));
    (
        lists.count(),
        requests.iter().filter(|r| r.method != "GET").count(),
    )
}

#[test]
fn two_quiet_days_cost_one_list_per_interval_and_no_write_anywhere() {
    let world = World::new();
    let life = ready_fleet(&world);
    let (lists, writes) = count(&world);
    let others = world.api.requests().len() - lists;
    world.fuse.disarm();

    life.pass(DAY * 2);

    let (lists_after, writes_after) = count(&world);
    let intervals = (DAY * 2).as_secs() / SYNC_INTERVAL.as_secs();
    let listed = u64::try_from(lists_after - lists).unwrap();
    assert!(
        (intervals * 94 / 100..=intervals * 106 / 100).contains(&listed),
        "{listed} lists in {intervals} intervals"
    );
    assert_eq!(writes_after, writes);
    assert_eq!(
        world.api.requests().len() - lists_after,
        others,
        "only lists"
    );
    assert_eq!(
        world.fuse.effects(),
        Vec::<String>::new(),
        "nothing is written to Kubernetes either"
    );
}

#[test]
fn a_change_behind_our_back_is_put_right_within_the_interval() {
    let world = World::new();
    let life = ready_fleet(&world);
    let connector = world.connectors("contracts").remove(0);
    world.workspace.edit(&connector.id, |source| {
        source
            .config
            .insert("remote_url".to_owned(), json!("dropbox://elsewhere"));
    });

    assert!(life.until(SYNC_INTERVAL * 11 / 10, || {
        world.wrong("contracts", "1").is_none()
    }));
}

#[test]
fn an_outage_of_six_hours_is_asked_about_seldom_disturbs_nobody_and_ends_by_itself() {
    survives_an_outage(Fault::answer(answers::internal_server_error()));
}

#[test]
fn six_hours_without_any_answer_end_by_themselves() {
    survives_an_outage(Fault::hang());
}

#[test]
fn six_hours_behind_a_sign_in_page_end_by_themselves() {
    survives_an_outage(Fault::answer(Answer::html(200, "<html>Sign in</html>")));
}

fn survives_an_outage(fault: Fault) {
    let world = World::new();
    let life = ready_fleet(&world);
    let before = FLEET.map(|name| world.resource(name));
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = Arc::clone(&asked);
    world.fail_by(move |_, _| {
        asking.fetch_add(1, Ordering::SeqCst);
        Some(fault.clone())
    });
    world.create("late");

    life.pass(HOUR * 6);

    assert_eq!(
        FLEET.map(|name| world.resource(name)),
        before,
        "an outage says nothing of what was true"
    );
    assert!(world.wrong("late", "1").is_some());
    // One look at the workspace every quarter of a minute, whoever waits for it, and the new resource's own retries.
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 3_000, "{asked} requests in vain");

    world.no_more_faults();
    // A quarter of a minute until somebody looks, then all who wait are woken; on a busy machine the clock runs ahead of answers.
    let recovered = life.until(Duration::from_mins(2), || {
        world.wrong("late", "1").is_none()
    });
    assert!(recovered, "{:?}", world.wrong("late", "1"));
    assert_eq!(first_wrong(&world), None);
}

#[test]
fn an_hour_of_outage_is_two_events_of_a_resource_that_waits_for_it_and_none_of_the_others() {
    let world = World::new();
    let life = ready_fleet(&world);
    world.fail_by(|_, _| Some(Fault::answer(answers::internal_server_error())));
    world.edit("contracts", &json!({ "recursive": true }));
    life.pass(HOUR);
    world.no_more_faults();
    assert!(life.until(HOUR, || world.wrong("contracts", "1").is_none()));
    life.pass(Duration::from_mins(1));

    assert_eq!(
        world.told("contracts"),
        ["Created", "Ready", "ApiUnavailable", "Updated", "Ready"]
    );
    for name in &FLEET[1..] {
        assert_eq!(world.told(name), ["Created", "Ready"], "{name}");
    }
}

#[test]
fn a_create_that_arrives_within_the_settle_time_is_found_and_not_sent_again() {
    let world = World::new();
    let life = begin_a_create_that_is_swallowed(&world);
    life.pass(REQUEST_TIMEOUT + SETTLE_TIME / 2);
    assert_eq!(world.connectors("contracts").len(), 0);
    arrive(&world);

    let ready = life.until(HOUR, || world.wrong("contracts", "1").is_none());

    assert!(ready, "{:?}", world.wrong("contracts", "1"));
    let creates = world.api.requests_matching("POST", "/api/v1/sources/");
    let creates = creates
        .iter()
        .filter(|request| request.path == "/api/v1/sources/");
    assert_eq!(creates.count(), 1);
}

#[test]
fn a_create_that_arrives_after_we_gave_it_up_leaves_one_connector_in_the_end() {
    let world = World::new();
    let life = begin_a_create_that_is_swallowed(&world);
    assert!(life.until(HOUR, || world.wrong("contracts", "1").is_none()));
    arrive(&world);
    assert_eq!(world.connectors("contracts").len(), 2);

    let ready = life.until(SYNC_INTERVAL * 11 / 10, || {
        world.wrong("contracts", "1").is_none()
    });

    assert!(ready, "{:?}", world.wrong("contracts", "1"));
}

#[test]
fn a_watch_that_fell_too_far_behind_begins_anew_and_misses_nothing() {
    let world = World::new();
    let life = ready_fleet(&world);
    world.edit("contracts", &json!({ "remoteUrl": "dropbox://other" }));
    world.delete("plans");
    world.kubernetes.compact();

    let gone = || world.resource("plans").is_none() && world.connectors("plans").is_empty();
    let followed = life.until(HOUR, || world.wrong("contracts", "1").is_none() && gone());

    assert!(followed, "{:?}", world.wrong("contracts", "1"));
}

/// The first create is never answered, and nothing came of it so far.
fn begin_a_create_that_is_swallowed(world: &World) -> Incarnation<'_> {
    swallow_the_first(world, Route::Create);
    world.put_secret("1");
    world.create("contracts");
    let life = Incarnation::begin(world);
    assert!(life.until(HOUR, || received(world, "POST") > 0));
    life
}

/// A fleet that was ready, and an update that is never answered.
fn begin_an_update_that_is_swallowed(world: &World) -> Incarnation<'_> {
    let life = ready_fleet(world);
    swallow_the_first(world, Route::Update);
    world.edit("contracts", &json!({ "remoteUrl": "dropbox://other" }));
    assert!(life.until(HOUR, || received(world, "PUT") > 0));
    life
}

/// The first request of this kind is never answered, and nothing comes of it.
fn swallow_the_first(world: &World, kind: Route) {
    let mut first = true;
    world.fail_by(move |route, _| {
        let swallowed = route == Some(kind) && std::mem::take(&mut first);
        swallowed.then(Fault::hang)
    });
}

/// How many requests with this method have reached the API.
fn received(world: &World, method: &str) -> usize {
    world.api.requests_matching(method, "/").len()
}

/// The swallowed create is carried out after all.
fn arrive(world: &World) {
    let creates = world.api.requests_matching("POST", "/api/v1/sources/");
    let config = creates[0].json()["config"].clone();
    world
        .workspace
        .insert("dropbox", &default_name("contracts"), config);
}

#[test]
fn an_update_that_arrives_late_does_not_bring_back_the_secret_before_the_rotation() {
    let world = World::new();
    let life = begin_an_update_that_is_swallowed(&world);
    world.put_secret("2");
    assert!(life.until(HOUR, || world.wrong("contracts", "2").is_none()));
    let updates = world.api.requests_matching("PUT", "/");
    let overtaken = updates[0].json()["config"].as_object().cloned();
    let connector = world.connectors("contracts").remove(0);
    world.workspace.edit(&connector.id, |source| {
        source.config = overtaken.expect("an update has a configuration");
    });

    let right = life.until(HOUR, || world.wrong("contracts", "2").is_none());

    assert!(right, "{:?}", world.wrong("contracts", "2"));
}

#[test]
fn a_create_that_arrives_after_we_gave_it_up_is_not_left_when_the_resource_goes_before_the_next_sweep()
 {
    let world = World::new();
    let life = begin_a_create_that_is_swallowed(&world);
    assert!(life.until(HOUR, || world.wrong("contracts", "1").is_none()));
    arrive(&world);
    world.delete("contracts");

    life.pass(HOUR);

    assert!(world.resource("contracts").is_none());
    assert_eq!(world.connectors("contracts").len(), 0);
}

/// An hour of passes that follow each other at once would take this test an age.
#[test]
fn a_resource_suspended_after_a_lost_update_rests_until_it_is_resumed() {
    let world = World::new();
    let life = begin_an_update_that_is_swallowed(&world);
    world.edit("contracts", &json!({ "suspend": true }));
    assert!(life.until(HOUR, || reason(&world, "contracts") == "Suspended"));
    let sent = received(&world, "PUT");

    life.pass(HOUR);
    assert_eq!(
        received(&world, "PUT"),
        sent,
        "nothing is sent while it is suspended"
    );

    world.edit("contracts", &json!({ "suspend": false }));
    assert!(life.until(HOUR, || world.wrong("contracts", "1").is_none()));
}

/// Some configurations are answered so for ever. Each attempt may have made a connector after all, so there must be few.
#[test]
fn creates_that_fail_without_end_are_sent_with_growing_delay_and_the_resource_says_how_they_fail() {
    let world = World::new();
    world.fail_by(|route, _| {
        let failure = Fault::answer(answers::internal_server_error());
        (route == Some(Route::Create)).then_some(failure)
    });
    world.put_secret("1");
    world.create("contracts");
    let life = Incarnation::begin(&world);

    life.pass(HOUR * 6);

    // Ten minutes apart at last; every minute would be 360.
    let sent = received(&world, "POST");
    assert!((20..=50).contains(&sent), "{sent} creates");
    let conditions =
        world.resource("contracts").unwrap_or_default()["status"]["conditions"].to_string();
    assert!(conditions.contains("Internal Server Error"), "{conditions}");

    world.no_more_faults();
    assert!(life.until(HOUR, || world.wrong("contracts", "1").is_none()));
}

/// A workflow that uses the connector is taken apart in Unstructured, where the operator does not look.
#[test]
fn a_deletion_that_the_api_refuses_is_tried_again_without_anybody_touching_the_resource() {
    for status in [409, 412, 422] {
        let world = World::new();
        let life = ready_fleet(&world);
        world.fail_by(move |route, _| {
            let refusal = answers::detail(status, "Source is used by a workflow");
            (route == Some(Route::Delete)).then(|| Fault::answer(refusal))
        });
        world.delete("contracts");
        assert!(life.until(HOUR, || reason(&world, "contracts") == "DeletionBlocked"));
        world.no_more_faults();

        assert!(
            life.until(HOUR, || world.resource("contracts").is_none()),
            "{status}: {:?}",
            world.resource("contracts")
        );
        assert_eq!(world.connectors("contracts").len(), 0, "{status}");
    }
}

fn reason(world: &World, name: &str) -> String {
    let resource = world.resource(name).unwrap_or_default();
    let conditions = resource["status"]["conditions"].as_array().cloned();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready");
    ready
        .map(|c| c["reason"].as_str().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

#[test]
fn what_others_supply_is_waited_for_before_it_is_told_as_what_stalls_the_resource() {
    let world = World::new();
    world.create("contracts");
    let life = Incarnation::begin(&world);
    let holds = |kind: &str| {
        let conditions =
            world.resource("contracts").unwrap_or_default()["status"]["conditions"].clone();
        let of_kind = |c: &&serde_json::Value| c["type"] == kind && c["reason"] == "SecretNotFound";
        conditions
            .as_array()
            .is_some_and(|all| all.iter().any(|c| of_kind(&c)))
    };
    assert!(life.until(Duration::from_mins(1), || holds("Reconciling")));
    assert!(!holds("Stalled"));
    assert!(life.until(Duration::from_mins(3), || holds("Stalled")));
    drop(life);

    // The next operator does not begin the wait anew.
    let life = Incarnation::begin(&world);
    life.pass(Duration::from_secs(30));
    assert!(holds("Stalled"));
    world.put_secret("1");
    assert!(life.until(HOUR, || world.wrong("contracts", "1").is_none()));
}

#[test]
fn a_list_that_is_refused_for_a_while_is_nobodys_fault_and_wakes_everybody_when_it_is_answered() {
    let world = World::new();
    let life = ready_fleet(&world);
    drop(life);
    world.fail_by(|route, request| {
        (request.method == "GET" && route == Some(Route::List))
            .then(|| Fault::answer(answers::detail(400, "no")))
    });
    for name in FLEET {
        world.edit(name, &json!({ "recursive": true }));
    }
    let life = Incarnation::begin(&world);
    life.pass(Duration::from_mins(5));
    for name in FLEET {
        let told = world.resource(name).unwrap_or_default()["status"].to_string();
        assert!(!told.contains("InvalidConfiguration"), "{told}");
    }
    world.no_more_faults();
    assert!(
        life.until(Duration::from_mins(4), || first_wrong(&world).is_none()),
        "{:?}",
        first_wrong(&world)
    );
}

#[test]
fn a_check_that_is_already_running_is_nobodys_fault() {
    let world = World::new();
    world.put_secret("1");
    let refused = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&refused);
    world.fail_by(move |route, _| {
        (route == Some(Route::StartCheck) && counted.fetch_add(1, Ordering::SeqCst) == 0)
            .then(|| Fault::answer(answers::detail(400, "a check is already in progress")))
    });
    world.create("contracts");
    let life = Incarnation::begin(&world);
    assert!(life.until(Duration::from_mins(1), || {
        world.wrong("contracts", "1").is_none()
    }));
}

#[test]
fn the_first_answer_to_a_key_that_was_refused_wakes_all_who_wait_for_it() {
    let world = World::new();
    let life = ready_fleet(&world);
    world.fail_by(|_, _| Some(Fault::answer(answers::key_invalid())));
    for name in FLEET {
        world.edit(name, &json!({ "recursive": true }));
    }
    life.pass(Duration::from_mins(10));
    world.no_more_faults();
    // Nobody waits for the rest of three minutes or of ten.
    assert!(
        life.until(Duration::from_secs(45), || first_wrong(&world).is_none()),
        "{:?}",
        first_wrong(&world)
    );
}

#[test]
fn a_forced_look_asks_at_once_whatever_pause_is_on() {
    let world = World::new();
    let life = ready_fleet(&world);
    world.fail_by(|_, _| Some(Fault::answer(answers::internal_server_error())));
    for name in FLEET {
        world.edit(name, &json!({ "recursive": true }));
    }
    life.pass(Duration::from_mins(30));
    world.no_more_faults();
    let asked = received(&world, "GET");
    world.annotate(
        "contracts",
        "connectors.unstructured.io/reconcile-at",
        "now",
    );
    // The steps of the clock are shorter than what is left of any pause.
    assert!(life.until(Duration::from_secs(2), || received(&world, "GET") > asked));
}

/// What an API does that does not work, and what to call it.
fn outages() -> [(&'static str, Fault); 5] {
    [
        ("500", Fault::answer(answers::internal_server_error())),
        ("no answer", Fault::hang()),
        ("reset", Fault::disconnect()),
        ("401", Fault::answer(answers::key_invalid())),
        (
            "sign-in page",
            Fault::answer(Answer::html(200, "<html>Sign in</html>")),
        ),
    ]
}

/// Ten seconds until somebody looks, and as long for a look that was on its way when the outage ended to be given up; some for the work
/// itself, and on a busy machine the clock runs ahead of answers.
const AT_ONCE: u64 = 30 + REQUEST_TIMEOUT.as_secs();

/// Whether it holds at once, the clock going on in small steps.
pub fn at_once(life: &Incarnation, what: impl Fn() -> bool) -> bool {
    let second = Duration::from_secs(1);
    (0..AT_ONCE).any(|_| life.until(second, &what))
}

#[test]
fn once_an_outage_ends_whoever_waited_is_right_at_once_however_long_it_was() {
    for (name, outage) in outages() {
        for (minutes, waiting) in [(2, FLEET.len()), (10, 1), (31, FLEET.len())] {
            let world = World::new();
            let life = ready_fleet(&world);
            let fault = outage.clone();
            world.fail_by(move |_, _| Some(fault.clone()));
            for name in &FLEET[..waiting] {
                world.edit(name, &json!({ "recursive": true }));
            }
            life.pass(Duration::from_mins(minutes));
            world.no_more_faults();
            assert!(
                at_once(&life, || first_wrong(&world).is_none()),
                "{name} for {minutes} minutes: {:?}",
                first_wrong(&world)
            );
        }
    }
}

/// A destination that is there.
fn index(world: &World) -> String {
    world.workspace.of(Family::Destinations).insert(
        "pinecone",
        "index",
        json!({ "index_name": "contracts", "namespace": "default", "batch_size": 50, "api_key": "pinecone-key" }),
    )
}

#[test]
fn once_an_outage_ends_workflows_and_jobs_that_waited_go_on_at_once() {
    for (name, outage) in outages() {
        let world = World::new();
        let life = ready_fleet(&world);
        let destination = index(&world);
        world.create_workflow("load", "contracts", &destination);
        assert!(life.until(HOUR, || world.workspace.workflows().len() == 1));
        let workflow = world.workspace.workflows().remove(0).id;
        life.pass(Duration::from_mins(1));
        world.fail_by(move |_, _| Some(outage.clone()));
        world.edit_workflow("load", &json!({ "schedule": "daily" }));
        world.create_job("once", "load");
        life.pass(Duration::from_mins(31));
        world.no_more_faults();
        let went_on = || {
            let scheduled = world
                .workspace
                .workflow(&workflow)
                .unwrap()
                .schedule
                .is_some();
            scheduled && world.workspace.runs(&workflow) == 1
        };
        assert!(at_once(&life, went_on), "{name}");
    }
}

#[test]
fn a_run_of_the_schedule_is_seen_a_moment_after_its_time() {
    let world = World::new();
    let life = ready_fleet(&world);
    let destination = index(&world);
    // Some time between two ticks, far from both.
    let begun = life.now();
    let origin: Timestamp = "2026-03-02T10:40:00Z".parse().expect("a time");
    unstructured_operator::clock::govern(move || origin + begun.elapsed());
    world.create_workflow("load", "contracts", &destination);
    world.edit_workflow("load", &json!({ "schedule": "every hour" }));
    assert!(life.until(HOUR, || world.workspace.workflows().len() == 1));
    let workflow = world.workspace.workflows().remove(0).id;
    let lists = || {
        let requests = world.api.requests();
        let jobs = requests.iter().filter(|r| r.path == "/api/v1/jobs/");
        jobs.count()
    };
    let gone = life.now().duration_since(begun);
    life.pass(Duration::from_mins(20).saturating_sub(gone));
    world.workspace.tick(&workflow);
    let before = lists();
    life.pass(Duration::from_secs(40));
    assert_eq!(lists(), before + 1, "one look");
    let status = world.workflow("load").unwrap_or_default()["status"].clone();
    assert!(status["activeJob"]["id"].is_string(), "{status}");
}
