//! What can go wrong between a client and an API.
//!
//! A fault says three things: whether the request takes effect, how long each step takes, and what the client gets to
//! see. `Fault::disconnect().committed()` is the lost answer of a create that happened.

use std::time::Duration;

use serde_json::{Value, json};

use super::{answer::Answer, journal::Recorded};

/// One way of going wrong; once, unless [`times`](Self::times) or [`always`](Self::always) say otherwise.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) delay: Duration,
    pub(super) commit: Commit,
    pub(super) pause: Duration,
    pub(super) reply: Reply,
    left: Option<u32>,
}

/// When the request takes effect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commit {
    Never,
    Now,
    /// After the client has seen the reply.
    Late(Duration),
}

/// What the client gets to see.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// The true answer, or one spoiled on its way.
    Genuine(Spoiling),
    Instead(Answer),
    /// 422 with the request's body under `input`.
    Echo,
    /// That many bytes, streamed, that begin like a list of sources.
    Huge(u64),
    Disconnect,
    Hang,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Spoiling {
    Intact,
    Drip(Duration),
    Truncated,
    Cut,
}

impl Fault {
    fn new(commit: Commit, reply: Reply) -> Self {
        Self {
            delay: Duration::ZERO,
            commit,
            pause: Duration::ZERO,
            reply,
            left: Some(1),
        }
    }

    /// Nothing wrong yet: the true answer. Give it [`after`](Self::after) or [`held_back`](Self::held_back).
    pub fn none() -> Self {
        Self::new(Commit::Now, Reply::Genuine(Spoiling::Intact))
    }

    /// This answer in place of handling the request.
    pub fn answer(answer: Answer) -> Self {
        Self::new(Commit::Never, Reply::Instead(answer))
    }

    /// 307 to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::answer(Answer::empty(307).with_header("location", location))
    }

    /// 200 with `depth` JSON arrays inside each other.
    pub fn nested(depth: usize) -> Self {
        let body = "[".repeat(depth) + &"]".repeat(depth);
        Self::answer(Answer::typed(200, "application/json", body))
    }

    /// 422 that echoes the request's body, secrets and all, as newer `FastAPI` versions do.
    pub fn echo() -> Self {
        Self::new(Commit::Never, Reply::Echo)
    }

    /// 200 with an endless-looking JSON body of `bytes` bytes and no `content-length`.
    pub fn huge(bytes: u64) -> Self {
        Self::new(Commit::Never, Reply::Huge(bytes))
    }

    /// The connection is closed without an answer.
    pub fn disconnect() -> Self {
        Self::new(Commit::Never, Reply::Disconnect)
    }

    /// Never answered; the connection stays open until the client leaves.
    pub fn hang() -> Self {
        Self::new(Commit::Never, Reply::Hang)
    }

    /// The true answer, its body byte by byte over this time. The request takes effect.
    pub fn drip(over: Duration) -> Self {
        Self::new(Commit::Now, Reply::Genuine(Spoiling::Drip(over)))
    }

    /// The first half of the true answer as a complete HTTP message: broken JSON. The request takes effect.
    pub fn truncated() -> Self {
        Self::new(Commit::Now, Reply::Genuine(Spoiling::Truncated))
    }

    /// The first half of the true answer, then the connection is closed. The request takes effect.
    pub fn cut() -> Self {
        Self::new(Commit::Now, Reply::Genuine(Spoiling::Cut))
    }

    /// The request takes effect all the same, before the reply.
    #[must_use]
    pub fn committed(mut self) -> Self {
        self.commit = Commit::Now;
        self
    }

    /// The request takes effect this long after it came, whatever the client was told by then.
    #[must_use]
    pub fn committed_late(mut self, after: Duration) -> Self {
        self.commit = Commit::Late(after);
        self
    }

    /// Waits before handling. A client that gives up meanwhile does not stop the handling.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Waits between effect and reply.
    #[must_use]
    pub fn held_back(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// For the next `count` requests that it fits.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.left = Some(count);
        self
    }

    /// Until the faults are cleared.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }
}

/// Which requests a fault is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On<R> {
    /// Every request, unknown paths too.
    Every,
    /// Those of this route.
    Route(R),
}

impl<R> From<R> for On<R> {
    fn from(route: R) -> Self {
        Self::Route(route)
    }
}

struct Planned<R> {
    on: On<R>,
    whose: Box<dyn Fn(&Recorded) -> bool + Send>,
    fault: Fault,
}

type Chooser<R> = Box<dyn FnMut(Option<R>, &Recorded) -> Option<Fault> + Send>;

/// The faults to come: planned ones first in, first out, then whatever the chooser says.
pub(super) struct Faults<R> {
    planned: Vec<Planned<R>>,
    chooser: Option<Chooser<R>>,
}

impl<R> Default for Faults<R> {
    fn default() -> Self {
        Self {
            planned: Vec::new(),
            chooser: None,
        }
    }
}

impl<R: Copy + PartialEq> Faults<R> {
    pub(super) fn plan(
        &mut self,
        on: On<R>,
        whose: impl Fn(&Recorded) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.planned.push(Planned {
            on,
            whose: Box::new(whose),
            fault,
        });
    }

    pub(super) fn choose_by(&mut self, chooser: Chooser<R>) {
        self.chooser = Some(chooser);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn next(&mut self, route: Option<R>, request: &Recorded) -> Fault {
        self.planned.retain(|planned| planned.fault.left != Some(0));
        let fits = |planned: &&mut Planned<R>| {
            let here = match planned.on {
                On::Every => true,
                On::Route(wanted) => Some(wanted) == route,
            };
            here && (planned.whose)(request)
        };
        if let Some(planned) = self.planned.iter_mut().find(fits) {
            if let Some(left) = &mut planned.fault.left {
                *left -= 1;
            }
            return planned.fault.clone();
        }
        self.chooser
            .as_mut()
            .and_then(|choose| choose(route, request))
            .unwrap_or_else(Fault::none)
    }
}

/// The body of a refusal that echoes what was sent.
pub(super) fn echo(request: &Recorded) -> Answer {
    let detail = json!([{
        "type": "value_error",
        "loc": ["body", "config"],
        "msg": "Value error, the configuration is not valid",
        "input": match request.json() {
            Value::Null => Value::from(String::from_utf8_lossy(&request.body)),
            body => body,
        },
    }]);
    Answer::json(422, &json!({ "detail": detail }))
}
