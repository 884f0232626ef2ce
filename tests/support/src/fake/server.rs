//! The listener under both fakes: HTTP/1.1 on loopback, faults, the journal, and a life of its own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::Frame,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime,
    sync::oneshot,
    time::sleep,
};

use crate::aside::Aside;

use super::{
    answer::Answer,
    fault::{Commit, Fault, Faults, On, Reply, Spoiling, echo},
    journal::{Journal, Outcome, Recorded, TimedOut, lock},
};

/// What a fake stands for: the rules of one HTTP API over a state in memory.
pub trait Api: Default + Send + Sync + 'static {
    /// The API's operations, so that a fault can name one.
    type Route: Copy + PartialEq + Send + 'static;

    /// What a user adds to the server's root: `/api/v1`, or nothing.
    const BASE_PATH: &'static str;

    /// The operation that a request asks for, when it is one.
    fn route(request: &Recorded) -> Option<Self::Route>;

    /// Handles the request; everything that a careful client would not have sent goes to `violation`.
    fn answer(&self, request: &Recorded, violation: &mut dyn FnMut(&str)) -> Answer;

    /// How long every request waits before it is handled.
    fn latency(&self) -> Duration {
        Duration::ZERO
    }
}

/// A fake API on a loopback port, served by a thread of its own, so it outlives any test's runtime.
///
/// Dropping it stops it, and panics when violations are left that nobody [took](Self::take_violations).
pub struct Fake<A: Api> {
    pub(super) shared: Arc<Shared<A>>,
    address: SocketAddr,
    life: Mutex<Life>,
}

pub(super) struct Shared<A: Api> {
    pub(super) api: A,
    pub(super) faults: Mutex<Faults<A::Route>>,
    journal: Journal,
}

enum Life {
    Serving {
        stop: oneshot::Sender<()>,
        thread: thread::JoinHandle<()>,
    },
    /// The port stays bound but refuses connections, so nobody else can take it meanwhile.
    Stopped(TcpSocket),
    /// Nothing listens: requests are [carried](Fake::carrier) to it while it is up.
    Carried { up: bool },
    /// Only while changing from one to the other.
    Changing,
}

impl<A: Api> Fake<A> {
    /// Serves on a free port of 127.0.0.1.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port on 127.0.0.1")
    }

    /// Serves on this address; fails when it is taken.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        let socket = bind(address)?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            api: A::default(),
            faults: Mutex::default(),
            journal: Journal::default(),
        });
        let life = Mutex::new(serve(socket, Arc::clone(&shared))?);
        Ok(Self {
            shared,
            address,
            life,
        })
    }

    /// One that takes no connection and has no thread: requests are [carried](Self::carrier) to it, and served where they are made.
    /// The address only names it.
    pub fn carried(address: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            api: A::default(),
            faults: Mutex::default(),
            journal: Journal::default(),
        });
        Self {
            shared,
            address,
            life: Mutex::new(Life::Carried { up: true }),
        }
    }

    /// Whether it serves.
    pub(super) fn is_up(&self) -> bool {
        matches!(
            *lock(&self.life),
            Life::Serving { .. } | Life::Carried { up: true }
        )
    }

    /// The base URL that a user would configure, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, A::BASE_PATH)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The API dies: open connections are cut, new ones are refused. State, journal and faults stay.
    pub fn stop(&self) {
        let mut life = lock(&self.life);
        if matches!(*life, Life::Serving { .. }) {
            std::mem::replace(&mut *life, Life::Changing).end();
            *life = Life::Stopped(bind(self.address).expect("the port that was just given up"));
        } else if let Life::Carried { up } = &mut *life {
            *up = false;
        }
    }

    /// The API is back, on the same port. Does nothing when it is serving.
    pub fn restart(&self) {
        let mut life = lock(&self.life);
        *life = match std::mem::replace(&mut *life, Life::Changing) {
            Life::Stopped(socket) => {
                serve(socket, Arc::clone(&self.shared)).expect("the port is held")
            }
            Life::Carried { .. } => Life::Carried { up: true },
            serving => serving,
        };
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.journal.requests()
    }

    /// The requests with this method whose path begins so.
    pub fn requests_matching(&self, method: &str, path_prefix: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|r| r.method == method && r.path.starts_with(path_prefix));
        requests
    }

    /// Returns as soon as the requests so far satisfy `what`; fails after `timeout` with a list of them.
    ///
    /// `what` runs after each arrival, each answer and each late effect. It may read workspaces, but not the requests
    /// through this fake. On a runtime with paused time the timeout passes at once: wait on a running one.
    pub async fn wait_for(
        &self,
        what: impl Fn(&[Recorded]) -> bool,
        timeout: Duration,
    ) -> Result<(), TimedOut> {
        self.shared.journal.wait_for(what, timeout).await
    }

    /// Calls `tap` with each request once its outcome is decided.
    pub fn on_answer(&self, tap: impl Fn(&Recorded) + Send + 'static) {
        self.shared.journal.tap(Box::new(tap));
    }

    /// Hands over what a careful client would not have sent, and forgets it. What is left at the end fails the test.
    pub fn take_violations(&self) -> Vec<String> {
        self.shared.journal.take_violations()
    }

    /// Plans a fault for the next requests of a route, or for [every](On::Every) request; first planned, first met.
    pub fn inject(&self, on: impl Into<On<A::Route>>, fault: Fault) {
        lock(&self.shared.faults).plan(on.into(), |_| true, fault);
    }

    /// Lets `choose` decide for each request that no planned fault meets; for seeded chaos. It must not inject itself.
    pub fn inject_by(
        &self,
        choose: impl FnMut(Option<A::Route>, &Recorded) -> Option<Fault> + Send + 'static,
    ) {
        lock(&self.shared.faults).choose_by(Box::new(choose));
    }

    /// Ends all faults, planned and chosen.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }
}

impl<A: Api> Drop for Fake<A> {
    fn drop(&mut self) {
        let life = self.life.get_mut();
        let life = life.unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(life, Life::Changing).end();
        let violations = self.take_violations();
        assert!(
            violations.is_empty() || thread::panicking(),
            "the fake was sent what no careful client sends:\n  {}",
            violations.join("\n  ")
        );
    }
}

impl Life {
    fn end(self) {
        if let Self::Serving { stop, thread } = self {
            // Both fail only when the thread is gone already.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn serve<A: Api>(socket: TcpSocket, shared: Arc<Shared<A>>) -> io::Result<Life> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _context = runtime.enter();
        socket.listen(1024)?
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = thread::Builder::new()
        .name("fake API".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        })?;
    Ok(Life::Serving { stop, thread })
}

async fn accept<A: Api>(listener: TcpListener, shared: Arc<Shared<A>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: give others the time to close some.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Without it only latency suffers.
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let respond = service::service_fn(|request| respond(Arc::clone(&shared), request));
            // An error here is a connection that a fault or the client cut.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), respond)
                .await;
        });
    }
}

pub(super) type Body = BoxBody<Bytes, io::Error>;

pub(super) async fn respond<A, B>(
    shared: Arc<Shared<A>>,
    request: Request<B>,
) -> Result<Response<Body>, io::Error>
where
    A: Api,
    B: hyper::body::Body,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let request = shared.journal.record(read(request).await?);
    let fault = lock(&shared.faults).next(A::route(&request), &request);
    // A task of its own: a client that hangs up does not undo what the server is doing.
    let reply = tokio::spawn(Aside::future(handle(shared, request, fault)))
        .await
        .map_err(io::Error::other)?;
    match reply {
        Sent::Answer(answer, spoiling) => Ok(spoil(answer, spoiling)),
        Sent::Huge(bytes) => Ok(huge(bytes)),
        Sent::Nothing => Err(io::ErrorKind::ConnectionAborted.into()),
        Sent::Never => std::future::pending().await,
    }
}

/// What goes onto the wire.
enum Sent {
    Answer(Answer, Spoiling),
    Huge(u64),
    Nothing,
    Never,
}

async fn read<B>(request: Request<B>) -> Result<Recorded, io::Error>
where
    B: hyper::body::Body,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Recorded {
        number: 0,
        at: crate::wall::now(),
        instant: Instant::now(),
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        outcome: Outcome::Pending,
    })
}

async fn handle<A: Api>(shared: Arc<Shared<A>>, request: Recorded, fault: Fault) -> Sent {
    sleep(shared.api.latency() + fault.delay).await;
    let genuine = match fault.commit {
        Commit::Never => None,
        Commit::Now => Some(shared.answer(&request)),
        Commit::Late(after) => {
            let (shared, request) = (Arc::clone(&shared), request.clone());
            tokio::spawn(async move {
                sleep(after).await;
                shared.answer(&request);
                shared.journal.touch();
            });
            None
        }
    };
    sleep(fault.pause).await;
    let sent = match (fault.reply, genuine) {
        (Reply::Genuine(spoiling), Some(answer)) => Sent::Answer(answer, spoiling),
        (Reply::Instead(answer), _) => Sent::Answer(answer, Spoiling::Intact),
        (Reply::Echo, _) => Sent::Answer(echo(&request), Spoiling::Intact),
        (Reply::Huge(bytes), _) => Sent::Huge(bytes),
        // The true answer of a request that takes effect only later does not exist yet.
        (Reply::Disconnect | Reply::Genuine(_), _) => Sent::Nothing,
        (Reply::Hang, _) => Sent::Never,
    };
    match &sent {
        Sent::Answer(answer, _) => shared.ended(&request, Outcome::Answered(answer.status)),
        Sent::Huge(_) => shared.ended(&request, Outcome::Answered(200)),
        Sent::Nothing => shared.ended(&request, Outcome::Dropped),
        Sent::Never => {}
    }
    sent
}

impl<A: Api> Shared<A> {
    fn answer(&self, request: &Recorded) -> Answer {
        let mut violation = |what: &str| self.journal.violation(request, what);
        self.api.answer(request, &mut violation)
    }

    fn ended(&self, request: &Recorded, outcome: Outcome) {
        self.journal.ended(request.number, outcome);
    }
}

fn spoil(answer: Answer, spoiling: Spoiling) -> Response<Body> {
    let Answer {
        status,
        headers,
        body,
    } = answer;
    let (half, length) = (body.slice(..body.len() / 2), body.len());
    let body = match spoiling {
        Spoiling::Intact => whole(body),
        Spoiling::Truncated => whole(half),
        Spoiling::Cut => cut_after(half),
        Spoiling::Drip(over) => drip(body, over),
    };
    let mut response = Response::new(body);
    if matches!(spoiling, Spoiling::Cut) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.status_mut() = status.try_into().expect("a status from 100 to 999");
    response.headers_mut().extend(headers);
    response
}

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

fn streamed(chunks: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static) -> Body {
    BodyExt::boxed(StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data))))
}

fn cut_after(half: Bytes) -> Body {
    let cut = async {
        // Gives the head and the half the time to leave.
        tokio::task::yield_now().await;
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    streamed(stream::once(async { Ok(half) }).chain(stream::once(cut)))
}

fn drip(body: Bytes, over: Duration) -> Body {
    let pause = over / u32::try_from(body.len().max(1)).unwrap_or(u32::MAX);
    streamed(stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        sleep(pause).await;
        Some((Ok(rest.split_to(1)), rest))
    }))
}

fn huge(bytes: u64) -> Response<Body> {
    const BEGINNING: &[u8] = br#"[{"id":""#;
    const CHUNK: Bytes = Bytes::from_static(&[b'a'; 1 << 16]);
    let rest = stream::unfold(bytes, |left| async move {
        let size = left.min(CHUNK.len() as u64);
        let chunk = CHUNK.slice(..usize::try_from(size).unwrap_or(CHUNK.len()));
        (size > 0).then(|| (Ok(chunk), left - size))
    });
    let body = stream::once(async { Ok(Bytes::from_static(BEGINNING)) }).chain(rest);
    let mut response = Response::new(streamed(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
