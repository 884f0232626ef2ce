use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::super::pace::LONGEST;
use super::super::types::{Key, Settings};
use super::super::{ApiKey, Budget, Client, Collection, Endpoint, ErrorKind, Kept, Options};
use super::*;
use crate::loopback::Server;

/// A service whose list tests hold back until they let it go.
struct Service {
    server: Server,
    released: Arc<Semaphore>,
    listing: Arc<Semaphore>,
}

impl Service {
    /// Answers each list with what `body` gives for its number, once it is released.
    async fn start(body: impl Fn(usize) -> (&'static str, String) + Send + Sync + 'static) -> Self {
        let (released, listing) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (gate, arrived, body) = (Arc::clone(&released), Arc::clone(&listing), Arc::new(body));
        let server = Server::start(move |exchange| {
            let (gate, arrived, body) =
                (Arc::clone(&gate), Arc::clone(&arrived), Arc::clone(&body));
            async move {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                let (status, body) = body(exchange.number);
                exchange.answer(status, "", &body).await;
            }
        })
        .await;
        Self {
            server,
            released,
            listing,
        }
    }

    fn inventory(&self) -> Arc<Inventory> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoint = Endpoint::parse(&self.server.url(), true).unwrap();
        let options = Options {
            max_requests_per_second: NonZeroU32::MAX,
            ..Options::default()
        };
        let client = Client::new(
            endpoint,
            ApiKey::new(SecretString::from("wk-1")).unwrap(),
            &options,
        )
        .unwrap();
        Arc::new(Inventory::new(client.connectors(
            Collection::Sources,
            "dropbox",
            Kept::All,
        )))
    }

    /// Returns when the next list has reached the service.
    async fn list_under_way(&self) {
        self.listing.acquire().await.unwrap().forget();
    }

    fn release(&self, lists: usize) {
        self.released.add_permits(lists);
    }

    fn lists(&self) -> usize {
        self.server.requests().len()
    }
}

fn id(number: u128) -> ConnectorId {
    Uuid::from_u128(number).to_string().parse().unwrap()
}

fn source(number: u128, name: &str) -> Connector {
    Connector {
        key: Key::Unshown,
        id: id(number),
        name: name.into(),
        connector_type: "dropbox".into(),
        settings: Settings::default(),
        created_at: None,
    }
}

fn list(sources: &[(u128, &str)]) -> (&'static str, String) {
    let entries: Vec<_> = sources
        .iter()
        .map(|(number, name)| json!({"id": id(*number), "name": name, "type": "dropbox"}))
        .collect();
    ("200 OK", json!(entries).to_string())
}

fn failure() -> (&'static str, String) {
    ("500 Internal Server Error", String::new())
}

fn names(snapshot: &Snapshot, name: &str) -> Vec<ConnectorId> {
    snapshot
        .by_name(name)
        .iter()
        .map(|source| source.id)
        .collect()
}

#[tokio::test]
async fn callers_that_wait_at_once_share_one_list() {
    let service = Service::start(|_| list(&[(1, "a")])).await;
    let inventory = service.inventory();
    service.release(1);
    let asked_at = Instant::now();
    let snapshots = join_all((0..100).map(|_| inventory.at_least(asked_at))).await;

    assert_eq!(service.lists(), 1);
    for snapshot in snapshots {
        assert_eq!(names(&snapshot.unwrap(), "a"), [id(1)]);
    }
    inventory.at_least(asked_at).await.unwrap();
    assert_eq!(service.lists(), 1, "what is at hand is fresh enough");
}

#[tokio::test]
async fn a_list_under_way_does_not_serve_who_came_after_it_was_sent() {
    let service = Service::start(|number| list(&[(number as u128, "a")])).await;
    let inventory = service.inventory();
    let first = tokio::spawn({
        let inventory = Arc::clone(&inventory);
        async move { inventory.at_least(Instant::now()).await }
    });
    service.list_under_way().await;
    let later = tokio::spawn({
        let inventory = Arc::clone(&inventory);
        async move {
            let asked_at = Instant::now();
            join_all((0..10).map(|_| inventory.at_least(asked_at))).await
        }
    });
    // The later ones are waiting when the first list ends.
    tokio::task::yield_now().await;
    service.release(2);

    assert_eq!(names(&first.await.unwrap().unwrap(), "a"), [id(0)]);
    for snapshot in later.await.unwrap() {
        assert_eq!(names(&snapshot.unwrap(), "a"), [id(1)]);
    }
    assert_eq!(service.lists(), 2);
}

#[tokio::test]
async fn all_who_wait_for_a_list_get_its_error_and_who_comes_later_tries_again() {
    let service = Service::start(|number| if number == 0 { failure() } else { list(&[]) }).await;
    let inventory = service.inventory();
    service.release(2);
    let asked_at = Instant::now();
    for result in join_all((0..10).map(|_| inventory.at_least(asked_at))).await {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Server);
    }
    assert_eq!(service.lists(), 1);
    assert!(inventory.latest().is_none());

    assert!(inventory.at_least(asked_at).await.unwrap().is_empty());
    assert_eq!(service.lists(), 2);
}

#[tokio::test]
async fn the_next_in_line_takes_over_from_a_caller_that_is_dropped() {
    let service = Service::start(|_| list(&[(1, "a")])).await;
    let inventory = service.inventory();
    let asked_at = Instant::now();
    let spawn = || {
        let inventory = Arc::clone(&inventory);
        tokio::spawn(async move { inventory.at_least(asked_at).await })
    };
    let leader = spawn();
    service.list_under_way().await;
    let followers = [spawn(), spawn()];
    leader.abort();
    service.list_under_way().await;
    service.release(2);
    for follower in followers {
        assert_eq!(follower.await.unwrap().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn our_own_writes_show_at_once() {
    let service = Service::start(|_| list(&[(1, "a"), (2, "b")])).await;
    let inventory = service.inventory();
    service.release(1);
    let before = inventory.at_least(Instant::now()).await.unwrap();
    inventory.put(source(3, "a"));
    inventory.put(source(2, "c"));
    inventory.removed(&id(1));

    let after = inventory.latest().unwrap();
    assert_eq!(names(&after, "a"), [id(3)]);
    assert_eq!(names(&after, "b"), []);
    assert_eq!(&*after.by_id(&id(2)).unwrap().name, "c");
    assert_eq!(after.by_id(&id(1)), None);
    assert_eq!(after.len(), 2);
    assert_eq!(after.asked_at(), before.asked_at());
    assert_eq!(
        (names(&before, "a"), before.len()),
        (vec![id(1)], 2),
        "a snapshot does not change"
    );
}

#[tokio::test]
async fn a_connector_that_we_wrote_under_another_name_is_found_under_that_only() {
    let service = Service::start(|_| list(&[])).await;
    let inventory = service.inventory();
    service.release(1);
    inventory.at_least(Instant::now()).await.unwrap();
    inventory.put(source(1, "a"));
    inventory.put(source(2, "a"));
    inventory.put(source(1, "b"));
    inventory.put(source(1, "b"));
    let snapshot = inventory.latest().unwrap();
    assert_eq!(names(&snapshot, "a"), [id(2)]);
    assert_eq!(names(&snapshot, "b"), [id(1)]);
    inventory.removed(&id(1));
    assert_eq!(names(&inventory.latest().unwrap(), "b"), []);
}

#[tokio::test]
async fn a_connector_is_found_by_its_key_whatever_its_name_and_once() {
    let service = Service::start(|_| {
        let entry = |number, name, key| json!({"id": id(number), "name": name, "type": "dropbox", "key": key});
        let listed = [entry(1, "a", json!("k")), entry(2, "a", json!(null)), entry(3, "b", json!("k")), entry(4, "b", json!("l"))];
        ("200 OK", json!(listed).to_string())
    })
    .await;
    let inventory = service.inventory();
    service.release(1);
    inventory.at_least(Instant::now()).await.unwrap();
    let found = |name, key| {
        let snapshot = inventory.latest().unwrap();
        let found = snapshot.called(name, key).into_iter();
        found.map(|source| source.id).collect::<Vec<_>>()
    };
    assert_eq!(found("a", "k"), [id(1), id(2), id(3)]);
    assert_eq!(found("b", "m"), [id(3), id(4)]);
    let keyed = |number, key: &str| Connector {
        key: Key::Given(key.into()),
        ..source(number, "c")
    };
    inventory.put(keyed(5, "k"));
    inventory.removed(&id(1));
    inventory.put(keyed(3, "m"));
    assert_eq!(found("none", "k"), [id(5)]);
    assert_eq!(found("c", "m"), [id(3), id(5)]);
}

#[tokio::test]
async fn a_write_during_a_list_shows_on_top_of_it_and_an_earlier_one_does_not() {
    let service = Service::start(|_| list(&[(1, "listed"), (2, "listed")])).await;
    let inventory = service.inventory();
    inventory.removed(&id(1));
    inventory.put(source(4, "earlier"));
    let listing = tokio::spawn({
        let inventory = Arc::clone(&inventory);
        async move { inventory.at_least(Instant::now()).await }
    });
    service.list_under_way().await;
    inventory.removed(&id(2));
    inventory.put(source(3, "during"));
    service.release(1);

    let snapshot = listing.await.unwrap().unwrap();
    assert_eq!(names(&snapshot, "listed"), [id(1)]);
    assert_eq!(names(&snapshot, "during"), [id(3)]);
    assert_eq!(names(&snapshot, "earlier"), []);
}

#[tokio::test]
async fn a_write_that_a_failed_list_did_not_see_is_kept() {
    let service = Service::start(|number| if number == 1 { failure() } else { list(&[]) }).await;
    let inventory = service.inventory();
    service.release(2);
    inventory.at_least(Instant::now()).await.unwrap();
    inventory.put(source(1, "a"));
    inventory.at_least(Instant::now()).await.unwrap_err();
    assert_eq!(names(&inventory.latest().unwrap(), "a"), [id(1)]);
}

#[test]
fn connectors_of_one_name_are_sorted_by_age() {
    let aged = |number, time: &str| Connector {
        created_at: Some(time.parse().unwrap()),
        ..source(number, "a")
    };
    let sources = vec![
        source(1, "a"),
        aged(5, "2026-01-02T00:00:00Z"),
        aged(4, "2026-01-03T00:00:00Z"),
        aged(2, "2026-01-02T00:00:00Z"),
        aged(2, "2026-01-02T00:00:00Z"),
    ];
    let snapshot = Snapshot {
        list: Arc::new(List::new(Instant::now(), sources)),
        writes: Arc::default(),
    };
    assert_eq!(names(&snapshot, "a"), [id(2), id(5), id(4), id(1)]);
    assert_eq!(snapshot.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_took_long_is_not_repeated_at_once() {
    let service = Service::start(|_| list(&[])).await;
    let inventory = service.inventory();
    let begun = Instant::now();
    let first = tokio::spawn({
        let inventory = Arc::clone(&inventory);
        async move { inventory.at_least(begun).await }
    });
    service.list_under_way().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    service.release(2);
    first.await.unwrap().unwrap();

    let callers = (0..10).map(|_| inventory.at_least(Instant::now()));
    let snapshots = join_all(callers).await;
    let pace = snapshots[0].as_ref().unwrap().asked_at() - begun;
    assert!(pace >= Duration::from_millis(500), "{pace:?}");
    assert!(pace <= LONGEST, "{pace:?}");
    assert_eq!(service.lists(), 2, "those who waited share one");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_a_list_to_begin_and_after_a_quiet_second_nobody_waits() {
    let service = Service::start(|_| list(&[])).await;
    let inventory = service.inventory();
    let slow = async || {
        let inventory = Arc::clone(&inventory);
        let asked_at = Instant::now();
        let list = tokio::spawn(async move { inventory.at_least(asked_at).await });
        service.list_under_way().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        service.release(1);
        list.await.unwrap().unwrap().asked_at()
    };
    let first = slow().await;
    let second = slow().await;
    let pace = second - first;
    assert!(pace >= LONGEST, "{pace:?}");
    assert!(pace < LONGEST + Duration::from_millis(100), "{pace:?}");

    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked_at = Instant::now();
    let wait = slow().await - asked_at;
    assert!(wait < Duration::from_millis(100), "{wait:?}");
}

#[tokio::test]
async fn many_callers_at_many_times_list_no_more_than_needed_and_all_get_what_they_asked_for() {
    let service = Service::start(|_| list(&[])).await;
    let inventory = service.inventory();
    service.release(1_000);
    let satisfied = Arc::new(AtomicUsize::new(0));
    let callers = (0..200).map(|_| {
        let (inventory, satisfied) = (Arc::clone(&inventory), Arc::clone(&satisfied));
        tokio::spawn(async move {
            for _ in 0..5 {
                let asked_at = Instant::now();
                assert!(inventory.at_least(asked_at).await.unwrap().asked_at() >= asked_at);
                satisfied.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    assert_eq!(satisfied.load(Ordering::Relaxed), 1_000);
    assert!(service.lists() < 100, "{}", service.lists());
}

#[tokio::test]
async fn an_inventory_without_room_says_so_and_leaves_the_others_theirs() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let body = |count: u128| {
        let names: Vec<_> = (0..count).map(|number| (number, "a")).collect();
        list(&names).1
    };
    let (few, many) = (
        Server::answering("200 OK", "", &body(10)).await,
        Server::answering("200 OK", "", &body(1000)).await,
    );
    let budget = Budget::new(50_000);
    let inventory = |server: &Server| {
        let endpoint = Endpoint::parse(&server.url(), true).unwrap();
        let key = ApiKey::new(SecretString::from("wk-1")).unwrap();
        let options = Options {
            budget: budget.clone(),
            ..Options::default()
        };
        let client = Client::new(endpoint, key, &options).unwrap();
        Inventory::new(client.connectors(Collection::Sources, "dropbox", Kept::All))
    };
    let (small, large) = (inventory(&few), inventory(&many));
    small.at_least(Instant::now()).await.unwrap();

    let error = large.at_least(Instant::now()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoRoom);
    assert!(large.latest().is_none());
    assert_eq!(small.latest().unwrap().len(), 10);
    small.at_least(Instant::now()).await.unwrap();
}

#[tokio::test]
async fn what_the_service_took_without_a_word_shows_as_it_was_sent() {
    let service = Service::start(|_| list(&[(1, "a")])).await;
    let inventory = service.inventory();
    service.release(1);
    inventory.at_least(Instant::now()).await.unwrap();
    let config = Config::builder()
        .plain("remote_url", "dropbox://contracts")
        .secret("app_key", SecretString::from("k1"))
        .build();
    for number in [1, 2] {
        inventory.configured(&id(number), &config);
    }
    let snapshot = inventory.latest().unwrap();
    let source = snapshot.by_id(&id(1)).unwrap();
    assert_eq!(&*source.name, "a");
    assert_eq!(
        source.settings.get("remote_url"),
        Some(&json!("dropbox://contracts"))
    );
    assert_eq!(source.settings.get("app_key"), None);
    assert!(snapshot.by_id(&id(2)).is_none(), "nothing was known of it");
}
