//! How much a workspace's API is asked: a rate, a number of requests at once, and a clock before which nothing is sent at all. The
//! clock is set for everybody by a 429 and by a run of failures, so that one answer stops all who would only make things worse.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout};

use super::error::{ApiError, Commit, ErrorKind};
use crate::tokio_clock::TokioClock;

/// Failures in a row after which calls pause.
const RUN: u32 = 5;

/// The pause after a run of failures doubles from the first to the second of these.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_FAILURE_PAUSE: Duration = Duration::from_secs(15);

/// The pause after a 429 that names none, and the least after one that does.
const DEFAULT_RATE_LIMIT_PAUSE: Duration = Duration::from_secs(5);
const SHORTEST_RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);

/// When to come back while one call is finding out whether the API works again.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// The flow control that all calls to one workspace share.
pub(super) struct Flow {
    slots: Semaphore,
    bucket: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>,
    clock: TokioClock,
    /// Held while waiting for a token, so that calls go in the order in which they came.
    queue: tokio::sync::Mutex<()>,
    gate: Mutex<Gate>,
    /// The longest wait for a turn.
    patience: Duration,
}

/// The "not before" clock.
#[derive(Debug, Default)]
struct Gate {
    rate_limited_until: Option<Instant>,
    /// Failures since the last answer that was none.
    failures: u32,
    /// Set while the API is taken for broken; then one call at a time may try it.
    broken_until: Option<Instant>,
    probing: bool,
}

/// A time in which nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pause {
    until: Instant,
    rate_limited: bool,
}

/// Leave to send one request. Dropping it without [`Turn::settle`] (a cancelled call) counts for nothing.
pub(super) struct Turn<'a> {
    flow: &'a Flow,
    probe: bool,
    _slot: SemaphorePermit<'a>,
}

/// What a request says about the API as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers, be it with a refusal.
    Answers,
    /// It wants fewer requests, for as long as it said.
    Limits(Option<Duration>),
    /// It does not work.
    Fails,
    /// Nothing.
    Unclear,
}

// === impl Flow ===

impl Flow {
    pub fn new(
        max_requests_per_second: NonZeroU32,
        max_concurrent_requests: usize,
        patience: Duration,
    ) -> Self {
        let clock = TokioClock::start();
        Self {
            slots: Semaphore::new(max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS)),
            bucket: RateLimiter::direct_with_clock(
                Quota::per_second(max_requests_per_second),
                clock.clone(),
            ),
            clock,
            queue: tokio::sync::Mutex::default(),
            gate: Mutex::default(),
            patience,
        }
    }

    /// Waits for a turn. During a pause it fails at once instead: the caller has better to do than to wait here.
    pub async fn turn(&self) -> Result<Turn<'_>, ApiError> {
        self.gate().open(Instant::now())?;
        let slot = timeout(self.patience, self.slot_and_token()).await.map_err(|_| {
            let message = "nothing was sent: too many requests to this API are waiting; it is slow, or the limits are low";
            ApiError::new(ErrorKind::Timeout, None, Commit::Never, message)
        })?;
        // Again: the pause may have begun meanwhile.
        let mut gate = self.gate();
        gate.open(Instant::now())?;
        let probe = gate.broken_until.is_some();
        gate.probing |= probe;
        Ok(Turn {
            flow: self,
            probe,
            _slot: slot,
        })
    }

    /// Lets nothing through before this.
    pub fn hold_until(&self, until: Instant) {
        let mut gate = self.gate();
        gate.rate_limited_until = gate.rate_limited_until.max(Some(until));
    }

    /// Ends the wait for the next probe: somebody wants to know now.
    pub fn invite_probe(&self) {
        let mut gate = self.gate();
        let now = Instant::now();
        gate.broken_until = gate.broken_until.map(|until| until.min(now));
    }

    /// Until when the rate limit lets nothing through; it may be over.
    pub fn rate_limited_until(&self) -> Option<Instant> {
        self.gate().rate_limited_until
    }

    /// When calls will be let through again, if they are not now.
    pub fn paused_until(&self) -> Option<Instant> {
        self.gate()
            .open(Instant::now())
            .err()
            .map(|pause| pause.until)
    }

    async fn slot_and_token(&self) -> SemaphorePermit<'_> {
        let slot = self
            .slots
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let _first = self.queue.lock().await;
        while let Err(early) = self.bucket.check() {
            sleep(early.wait_time_from(self.clock.now())).await;
        }
        slot
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate
            .lock()
            .expect("nothing panics while it holds the gate")
    }
}

// === impl Turn ===

impl Turn<'_> {
    /// Reports what came of the request.
    pub fn settle(self, health: Health) {
        self.flow.gate().settle(health, self.probe, Instant::now());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.flow.gate().probing = false;
        }
    }
}

// === impl Gate ===

impl Gate {
    /// Fails with the pause that is on, if one is.
    fn open(&self, now: Instant) -> Result<(), Pause> {
        let rate_limited = self.rate_limited_until.filter(|until| *until > now);
        let broken = match self.broken_until {
            Some(until) if until > now => Some(until),
            Some(_) if self.probing => Some(now + PROBE_PATIENCE),
            _ => None,
        };
        match rate_limited.max(broken) {
            None => Ok(()),
            Some(until) => Err(Pause {
                until,
                rate_limited: rate_limited.is_some(),
            }),
        }
    }

    fn settle(&mut self, health: Health, probe: bool, now: Instant) {
        match health {
            Health::Answers => self.works(),
            Health::Limits(pause) => {
                self.works();
                let pause = pause
                    .unwrap_or(DEFAULT_RATE_LIMIT_PAUSE)
                    .max(SHORTEST_RATE_LIMIT_PAUSE);
                self.rate_limited_until = self.rate_limited_until.max(Some(now + pause));
            }
            // Sent before the pause began: the failures that began it speak for this one too.
            Health::Fails if self.broken_until.is_some() && !probe => {}
            Health::Fails => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= RUN {
                    self.broken_until = Some(now + failure_pause(self.failures - RUN));
                }
            }
            Health::Unclear => {}
        }
    }

    fn works(&mut self) {
        self.failures = 0;
        self.broken_until = None;
    }
}

/// 1, 2, 4… up to 15 s, give or take a fifth so that several operators do not come back together.
fn failure_pause(doublings: u32) -> Duration {
    let pause = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(doublings))
        .min(LONGEST_FAILURE_PAUSE);
    pause
        .mul_f64(0.8 + 0.4 * fastrand::f64())
        .min(LONGEST_FAILURE_PAUSE)
}

// === impl Pause ===

impl From<Pause> for ApiError {
    fn from(
        Pause {
            until,
            rate_limited,
        }: Pause,
    ) -> Self {
        Self::paused(until, rate_limited)
    }
}

// === impl Health ===

impl From<&ApiError> for Health {
    fn from(error: &ApiError) -> Self {
        match &error.kind {
            ErrorKind::RateLimited { retry_after } => Self::Limits(*retry_after),
            ErrorKind::Server
            | ErrorKind::Timeout
            | ErrorKind::Connect
            | ErrorKind::Interrupted => Self::Fails,
            ErrorKind::Unexpected | ErrorKind::WrongUrl | ErrorKind::Paused { .. } => Self::Unclear,
            ErrorKind::Unauthorized
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            // It did answer; there is no room here for what it said.
            | ErrorKind::NoRoom
            | ErrorKind::Invalid { .. }
            | ErrorKind::UnknownType
            | ErrorKind::Conflict => Self::Answers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn flow() -> Flow {
        Flow::new(NonZeroU32::new(1_000).unwrap(), 16, PATIENCE)
    }

    async fn settle(flow: &Flow, health: Health) {
        flow.turn().await.expect("the gate is open").settle(health);
    }

    async fn fail(flow: &Flow, times: u32) {
        for _ in 0..times {
            settle(flow, Health::Fails).await;
        }
    }

    fn pause(flow: &Flow) -> Duration {
        flow.paused_until().expect("the gate is closed") - Instant::now()
    }

    async fn resume(flow: &Flow) {
        tokio::time::sleep_until(flow.paused_until().expect("the gate is closed")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_after_a_burst_of_one_second() {
        let flow = Flow::new(NonZeroU32::new(10).unwrap(), 16, PATIENCE);
        let start = Instant::now();
        for _ in 0..30 {
            settle(&flow, Health::Answers).await;
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!((1.9..2.2).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_than_allowed_are_under_way_and_waiting_has_an_end() {
        let flow = Flow::new(NonZeroU32::new(1_000).unwrap(), 1, PATIENCE);
        let turn = flow.turn().await.unwrap();
        let error = flow.turn().await.err().unwrap();
        assert_eq!(
            (&error.kind, error.commit()),
            (&ErrorKind::Timeout, Commit::Never)
        );
        drop(turn);
        settle(&flow, Health::Answers).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_holds_for_its_time_and_other_answers_do_not_end_it() {
        let flow = flow();
        let under_way = flow.turn().await.unwrap();
        settle(&flow, Health::Limits(Some(Duration::from_secs(30)))).await;
        assert_eq!(pause(&flow), Duration::from_secs(30));
        under_way.settle(Health::Answers);
        assert_eq!(pause(&flow), Duration::from_secs(30));
        let error = flow.turn().await.err().unwrap();
        assert!(matches!(error.kind, ErrorKind::Paused { .. }) && error.is_rate_limited());
        resume(&flow).await;
        settle(&flow, Health::Answers).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_without_a_time_is_five_seconds_and_zero_is_one() {
        for (asked, held) in [(None, 5), (Some(Duration::ZERO), 1)] {
            let flow = flow();
            settle(&flow, Health::Limits(asked)).await;
            assert_eq!(pause(&flow), Duration::from_secs(held));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_rate_limit_does_not_shorten_the_one_that_is_on() {
        let flow = flow();
        let under_way = flow.turn().await.unwrap();
        settle(&flow, Health::Limits(Some(Duration::from_secs(30)))).await;
        under_way.settle(Health::Limits(None));
        assert_eq!(pause(&flow), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_pause_only_in_a_row() {
        let flow = flow();
        for _ in 0..3 {
            fail(&flow, RUN - 1).await;
            settle(&flow, Health::Unclear).await;
            settle(&flow, Health::Answers).await;
        }
        assert_eq!(flow.paused_until(), None);
        fail(&flow, RUN).await;
        assert!(!flow.turn().await.err().unwrap().is_rate_limited());
    }

    #[tokio::test(start_paused = true)]
    async fn failed_probes_double_the_pause_up_to_fifteen_seconds() {
        let flow = flow();
        fail(&flow, RUN).await;
        for expected in [1, 2, 4, 8, 15, 15] {
            let expected = Duration::from_secs(expected);
            let pause = pause(&flow);
            assert!(
                pause >= expected.mul_f64(0.8)
                    && pause <= expected.mul_f64(1.2).min(LONGEST_FAILURE_PAUSE)
            );
            resume(&flow).await;
            fail(&flow, 1).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_probes_while_the_others_wait_and_its_success_opens_the_gate() {
        let flow = flow();
        fail(&flow, RUN).await;
        resume(&flow).await;
        let probe = flow.turn().await.unwrap();
        assert_eq!(pause(&flow), PROBE_PATIENCE);
        assert!(flow.turn().await.is_err());
        probe.settle(Health::Answers);
        fail(&flow, RUN - 1).await;
        assert_eq!(flow.paused_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_lets_the_next_one_through() {
        let flow = flow();
        fail(&flow, RUN).await;
        resume(&flow).await;
        drop(flow.turn().await.unwrap());
        settle(&flow, Health::Answers).await;
        assert_eq!(flow.paused_until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_fail_together_count_as_one_outage() {
        let flow = flow();
        let mut turns = Vec::new();
        for _ in 0..16 {
            turns.push(flow.turn().await.unwrap());
        }
        for turn in turns {
            turn.settle(Health::Fails);
        }
        assert!(pause(&flow) <= FIRST_PAUSE.mul_f64(1.2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waited_its_turn_into_a_pause_is_held_back() {
        let flow = Flow::new(NonZeroU32::new(1_000).unwrap(), 1, PATIENCE);
        let first = flow.turn().await.unwrap();
        let (second, ()) = tokio::join!(flow.turn(), async { first.settle(Health::Limits(None)) });
        assert!(second.err().unwrap().is_rate_limited());
    }
}
