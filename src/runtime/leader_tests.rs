use std::sync::{Arc, Mutex};

use axum::http::Method;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::advance};

use super::*;
use crate::runtime::fake_api::{self, Answer, Call};
use tokio::sync::watch;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/here/leases/operator";

/// The one Lease of the API server.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
}

/// What one candidate's connection to the API server is like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    /// Requests do not arrive.
    Cut,
    /// Requests arrive, answers do not.
    Deaf,
    Refusing(u16, &'static str),
}

impl Server {
    fn answer(&self, call: &Call) -> Answer {
        let mut state = self.0.lock().unwrap();
        if call.method == Method::GET {
            assert_eq!(call.path, PATH, "no other Lease is looked at");
            return match &state.lease {
                Some(lease) => Answer::Object(200, lease.clone()),
                None => Answer::Refusal(404, "NotFound"),
            };
        }
        let current = state
            .lease
            .as_ref()
            .map(|lease| lease["metadata"]["resourceVersion"].clone());
        let code = match (&call.method, current) {
            (&Method::POST, None) => 201,
            (&Method::POST, Some(_)) => return Answer::Refusal(409, "AlreadyExists"),
            (&Method::PUT, None) => return Answer::Refusal(404, "NotFound"),
            (&Method::PUT, Some(current)) => {
                assert_eq!(call.path, PATH, "no other Lease is written");
                if call.body["metadata"]["resourceVersion"] != current {
                    return Answer::Refusal(409, "Conflict");
                }
                200
            }
            (method, _) => panic!("a Lease is read, created or replaced, not {method}"),
        };
        state.write(call.body.clone());
        Answer::Object(code, state.lease.clone().unwrap())
    }

    fn client(&self, link: &Arc<Mutex<Link>>) -> Client {
        let (server, link) = (self.clone(), link.clone());
        fake_api::client(move |call| {
            let link = *link.lock().unwrap();
            match link {
                Link::Up => server.answer(&call),
                Link::Cut => Answer::Silence,
                Link::Deaf => {
                    server.answer(&call);
                    Answer::Silence
                }
                Link::Refusing(code, reason) => Answer::Refusal(code, reason),
            }
        })
    }

    /// Changes the Lease as somebody with kubectl would.
    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.0.lock().unwrap();
        let mut lease = state
            .lease
            .clone()
            .unwrap_or_else(|| json!({"metadata": {"name": "operator"}}));
        change(&mut lease);
        state.write(lease);
    }

    fn delete(&self) {
        self.0.lock().unwrap().lease = None;
    }

    fn spec(&self) -> Value {
        self.0
            .lock()
            .unwrap()
            .lease
            .as_ref()
            .expect("there is a Lease")["spec"]
            .clone()
    }

    fn holder(&self) -> String {
        self.spec()["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl State {
    fn write(&mut self, mut lease: Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease);
    }
}

/// A process that stands for election and, while it leads, takes a step of work every 100 ms.
struct Candidate {
    link: Arc<Mutex<Link>>,
    shutdown: CancellationToken,
    leads: watch::Receiver<Option<Leadership>>,
    steps: Arc<Mutex<u64>>,
    standings: Arc<Mutex<Vec<Standing>>>,
    run: JoinHandle<Option<()>>,
}

/// Says that the work has ended when it is dropped.
struct Working<'a>(&'a watch::Sender<Option<Leadership>>);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

impl Candidate {
    fn start(server: &Server, identity: &str) -> Self {
        let link = Arc::new(Mutex::new(Link::Up));
        let client = server.client(&link);
        let shutdown = CancellationToken::new();
        let (working, leads) = watch::channel(None);
        let steps = Arc::new(Mutex::new(0));
        let standings = Arc::new(Mutex::new(Vec::new()));
        let election = LeaderElection::new("here", "operator", identity);
        let run = tokio::spawn({
            let (shutdown, steps, standings) = (shutdown.clone(), steps.clone(), standings.clone());
            async move {
                let observe = |standing| standings.lock().unwrap().push(standing);
                let work = async |leadership: Leadership| {
                    working.send_replace(Some(leadership));
                    let _working = Working(&working);
                    loop {
                        sleep(Duration::from_millis(100)).await;
                        *steps.lock().unwrap() += 1;
                    }
                };
                election.run(client, shutdown, observe, work).await
            }
        });
        Self {
            link,
            shutdown,
            leads,
            steps,
            standings,
            run,
        }
    }

    fn link(&self, link: Link) {
        *self.link.lock().unwrap() = link;
    }

    fn works(&self) -> bool {
        self.leads.borrow().is_some()
    }

    async fn leads(&mut self) -> Leadership {
        let leads = self.leads.wait_for(Option::is_some).await.unwrap();
        leads.clone().expect("waited for")
    }

    async fn stops(&mut self) {
        self.leads.wait_for(Option::is_none).await.unwrap();
    }

    fn steps(&self) -> u64 {
        *self.steps.lock().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_at_once_and_kept() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    let began = Instant::now();
    let leadership = a.leads().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    sleep(Duration::from_hours(1)).await;
    assert!(leadership.is_valid());
    assert_eq!(*a.standings.lock().unwrap(), [Standing::Leader]);
    let spec = server.spec();
    assert_eq!(spec["holderIdentity"], "a");
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(spec["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_held_lease_is_respected_and_the_standby_says_that_it_stands_by() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    a.leads().await;
    let b = Candidate::start(&server, "b");
    sleep(Duration::from_mins(10)).await;
    assert!(a.works() && !b.works());
    assert_eq!(*b.standings.lock().unwrap(), [Standing::Standby]);
}

#[tokio::test(start_paused = true)]
async fn a_holder_without_a_connection_stops_before_another_begins() {
    let server = Server::default();
    let (mut a, mut b) = (
        Candidate::start(&server, "a"),
        Candidate::start(&server, "b"),
    );
    a.leads().await;
    sleep(Duration::from_mins(1)).await;
    a.link(Link::Cut);
    a.stops().await;
    let stopped = Instant::now();
    b.leads().await;
    assert!(
        stopped.elapsed() >= Duration::from_secs(5),
        "requests already sent have time to end"
    );
    assert_eq!(server.spec()["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_the_connections_do_two_never_work_at_once_and_one_leads_again_after() {
    let server = Server::default();
    let mut candidates: Vec<_> = ["a", "b", "c"]
        .map(|name| Candidate::start(&server, name))
        .into();
    let mut random = fastrand::Rng::with_seed(7);
    let links = [
        Link::Up,
        Link::Up,
        Link::Cut,
        Link::Deaf,
        Link::Refusing(500, "InternalError"),
        Link::Refusing(409, "Conflict"),
        Link::Refusing(404, "NotFound"),
    ];
    for _ in 0..4000 {
        sleep(Duration::from_millis(random.u64(1..1500))).await;
        if random.u8(..) < 64 {
            candidates[random.usize(..3)].link(links[random.usize(..links.len())]);
        }
        let valid = |candidate: &&Candidate| {
            candidate
                .leads
                .borrow()
                .as_ref()
                .is_some_and(Leadership::is_valid)
        };
        assert!(candidates.iter().filter(valid).count() <= 1);
        assert!(
            candidates
                .iter()
                .filter(|candidate| candidate.works())
                .count()
                <= 1
        );
    }
    for candidate in &candidates {
        candidate.link(Link::Up);
    }
    let led = candidates
        .iter_mut()
        .map(|candidate| Box::pin(candidate.leads()));
    futures::future::select_all(led).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_takes_no_step_when_it_wakes() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    let leadership = a.leads().await;
    sleep(Duration::from_millis(1050)).await;
    let steps = a.steps();
    assert_eq!(steps, 10);
    server.edit(|lease| lease["spec"]["holderIdentity"] = json!("b"));
    advance(Duration::from_mins(1)).await;
    assert!(!leadership.is_valid(), "known before anything else has run");
    a.stops().await;
    assert_eq!(a.steps(), steps);
}

#[tokio::test(start_paused = true)]
async fn on_shutdown_the_lease_is_released_and_soon_taken() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    a.leads().await;
    let mut b = Candidate::start(&server, "b");
    sleep(Duration::from_mins(1)).await;

    b.link(Link::Cut);
    let asked = Instant::now();
    a.shutdown.cancel();
    assert_eq!(a.run.await.unwrap(), None);
    assert!(asked.elapsed() <= Duration::from_secs(2));
    assert_eq!(server.holder(), "");
    assert_eq!(server.spec()["leaseDurationSeconds"], 1);

    b.link(Link::Up);
    b.leads().await;
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "it did not have to run out"
    );
    assert_eq!(server.spec()["leaseDurationSeconds"], 15);
}

#[tokio::test(start_paused = true)]
async fn work_that_heeds_shutdown_hands_over_within_two_seconds() {
    let server = Server::default();
    let shutdown = CancellationToken::new();
    let a = tokio::spawn({
        let client = server.client(&Arc::new(Mutex::new(Link::Up)));
        let election = LeaderElection::new("here", "operator", "a");
        let (shutdown, heeded) = (shutdown.clone(), shutdown.clone());
        async move {
            election
                .run(client, shutdown, |_| (), async |_| heeded.cancelled().await)
                .await
        }
    });
    sleep(Duration::from_millis(10)).await;
    let mut b = Candidate::start(&server, "b");
    sleep(Duration::from_mins(1)).await;
    let asked = Instant::now();
    shutdown.cancel();
    assert_eq!(a.await.unwrap(), Some(()), "its output is not lost");
    b.leads().await;
    assert!(asked.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_does_not_hold_up_shutdown() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    a.leads().await;
    a.link(Link::Cut);
    let asked = Instant::now();
    a.shutdown.cancel();
    a.run.await.unwrap();
    assert!(asked.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_release_succeeds_though_the_last_renewal_was_not_heard_of() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    a.leads().await;
    a.link(Link::Deaf);
    sleep(Duration::from_secs(3)).await;
    a.link(Link::Up);
    a.shutdown.cancel();
    a.run.await.unwrap();
    assert_eq!(server.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn a_candidate_leaves_at_shutdown_without_touching_the_lease() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    a.leads().await;
    let b = Candidate::start(&server, "b");
    sleep(Duration::from_secs(1)).await;
    b.shutdown.cancel();
    assert_eq!(b.run.await.unwrap(), None);
    assert_eq!(server.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_by_itself_releases_the_lease_and_gives_its_output() {
    let server = Server::default();
    let client = server.client(&Arc::new(Mutex::new(Link::Up)));
    let election = LeaderElection::new("here", "operator", "a");
    let output = election
        .run(client, CancellationToken::new(), |_| (), async |_| "done")
        .await;
    assert_eq!(output, Some("done"));
    assert_eq!(server.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_or_an_edit_of_the_lease_does_not_end_leadership() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    let leadership = a.leads().await;
    a.link(Link::Deaf);
    sleep(Duration::from_secs(3)).await;
    a.link(Link::Up);
    sleep(Duration::from_mins(1)).await;
    server.edit(|lease| lease["metadata"]["labels"] = json!({"team": "x"}));
    sleep(Duration::from_mins(1)).await;
    assert!(leadership.is_valid());
    let lease = server.0.lock().unwrap().lease.clone().unwrap();
    assert_eq!(lease["metadata"]["labels"]["team"], "x");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_names_another_ends_leadership_at_the_next_renewal() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    let leadership = a.leads().await;
    server.edit(|lease| lease["spec"]["holderIdentity"] = json!("b"));
    let edited = Instant::now();
    leadership.lost().await;
    assert!(edited.elapsed() <= Duration::from_secs(2));
    a.stops().await;
    assert_eq!(server.holder(), "b");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_made_anew_by_its_holder_and_not_by_who_saw_it_held() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    let leadership = a.leads().await;
    let b = Candidate::start(&server, "b");
    for _ in 0..20 {
        sleep(Duration::from_millis(3700)).await;
        server.delete();
    }
    sleep(Duration::from_secs(3)).await;
    assert!(leadership.is_valid() && !b.works());
    assert_eq!(server.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn wall_clock_times_in_the_lease_decide_nothing() {
    for renewed in ["2001-01-01T00:00:00.000000Z", "2099-01-01T00:00:00.000000Z"] {
        let server = Server::default();
        server.edit(|lease| {
            lease["spec"] = json!({"holderIdentity": "gone", "leaseDurationSeconds": 15, "renewTime": renewed});
        });
        let began = Instant::now();
        Candidate::start(&server, "a").leads().await;
        assert_eq!(began.elapsed(), Duration::from_secs(15), "{renewed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_candidate_goes_on_trying_and_is_no_standby_until_it_is_let_in() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    a.link(Link::Refusing(403, "Forbidden"));
    sleep(Duration::from_mins(5)).await;
    assert!(a.standings.lock().unwrap().is_empty());
    a.link(Link::Up);
    a.leads().await;
}

#[tokio::test(start_paused = true)]
async fn leadership_once_lost_stays_lost_though_the_same_process_leads_again() {
    let server = Server::default();
    let mut a = Candidate::start(&server, "a");
    let first = a.leads().await;
    a.link(Link::Cut);
    first.lost().await;
    a.stops().await;
    a.link(Link::Up);
    let second = a.leads().await;
    assert!(second.is_valid() && !first.is_valid());
    first.lost().await;
    assert_eq!(
        *a.standings.lock().unwrap(),
        [Standing::Leader, Standing::Standby, Standing::Leader]
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_deadline_does_not_revive_leadership() {
    let (tenure, leadership) = Tenure::begin(Instant::now() + Duration::from_secs(10));
    advance(Duration::from_secs(11)).await;
    tenure.extend(Instant::now() + Duration::from_secs(10));
    assert!(!leadership.is_valid());
    leadership.lost().await;
}

#[tokio::test(start_paused = true)]
async fn leadership_without_election_is_never_lost() {
    let leadership = Leadership::always();
    assert!(
        timeout(Duration::from_hours(9), leadership.lost())
            .await
            .is_err()
    );
    assert!(leadership.is_valid());
}

#[test]
fn a_lease_leads_until_its_time_is_over() {
    let renewed: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let lease = LeaseSpec {
        holder_identity: Some("pod-1".to_owned()),
        lease_duration_seconds: Some(15),
        renew_time: Some(MicroTime(renewed)),
        ..LeaseSpec::default()
    };
    let after = |seconds| renewed + Duration::from_secs(seconds);
    assert_eq!(holder(&lease, after(14)), Some("pod-1"));
    assert_eq!(holder(&lease, after(15)), None);
    let released = LeaseSpec {
        holder_identity: Some(String::new()),
        ..lease
    };
    assert_eq!(holder(&released, after(1)), None);
}
