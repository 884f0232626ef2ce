//! The work queue: each resource at most once in it and at most once at work; new and changed before retries before drift; no
//! lane (one for each workspace) can take what others need.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::key::Key;
pub use super::priority::Priority;
use super::room::Room;

/// What shares one share of the room: the resources of one workspace reference.
pub type Lane = u64;

/// A pass to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The resource.
    pub key: Key,
    /// Why it is looked at.
    pub priority: Priority,
    /// When that was asked for: what the pass looks at must not be older.
    pub since: Instant,
}

/// The queue. All methods are cheap and none waits, but for [`Queue::next`].
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    room: Room,
    entries: HashMap<Key, Entry>,
    lanes: BTreeMap<Lane, LaneState>,
    /// The lane that was served last: the next one is served next.
    turn: Lane,
    waiting: BTreeMap<(Instant, u64), Key>,
    tickets: u64,
}

struct Entry {
    lane: Lane,
    wish: Option<Wish>,
    /// Since when its pass is at work.
    at_work: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Wish {
    priority: Priority,
    since: Instant,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In its lane, with this ticket; a ticket in a lane that no wish bears any more is void.
    Ready(u64),
    Waiting(Instant, u64),
    /// Until the pass that is at work is done.
    Held,
}

#[derive(Default)]
struct LaneState {
    ready: [VecDeque<(Key, u64)>; 3],
    at_work: usize,
}

impl Queue {
    /// A queue that has no more passes at work than there is room for.
    pub fn new(room: Room) -> Self {
        Self {
            state: Mutex::new(State {
                room,
                entries: HashMap::new(),
                lanes: BTreeMap::new(),
                turn: 0,
                waiting: BTreeMap::new(),
                tickets: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Asks for a pass now. A more urgent or an earlier wish for the same resource stands.
    pub fn add(&self, key: &Key, lane: Lane, priority: Priority, since: Instant) {
        self.wish(key, lane, priority, since, None);
    }

    /// Asks for a pass after a delay. A wish that is due sooner stands.
    pub fn add_after(&self, key: &Key, lane: Lane, priority: Priority, delay: Duration) {
        let due = Instant::now() + delay;
        self.wish(key, lane, priority, due, Some(due));
    }

    /// Asks for a pass that could not be made again after a delay: for the same reason, so that what is recent enough stays so.
    pub fn put_off(&self, job: &Job, lane: Lane, delay: Duration) {
        let due = Instant::now() + delay;
        self.wish(&job.key, lane, job.priority, job.since, Some(due));
    }

    /// Waits for the next pass to be made.
    pub async fn next(&self) -> Job {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let due = {
                let mut state = self.lock();
                state.ripen(Instant::now());
                if let Some(job) = state.take() {
                    return job;
                }
                state.waiting.keys().next().map(|(due, _)| *due)
            };
            match due {
                Some(due) => {
                    tokio::select! { () = changed => {}, () = tokio::time::sleep_until(due) => {} }
                }
                None => changed.await,
            }
        }
    }

    /// Says that the pass of a resource is over.
    pub fn done(&self, key: &Key) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(key) else {
            return;
        };
        entry.at_work = None;
        let lane = entry.lane;
        let wish = entry.wish;
        state.leave(lane);
        match wish {
            Some(Wish {
                priority,
                since,
                place: Place::Held,
            }) => state.line_up(key, priority, since),
            Some(_) => {}
            None => {
                state.entries.remove(key);
            }
        }
        state.sweep(lane);
        drop(state);
        self.changed.notify_one();
    }

    /// Forgets the wish for a resource that is gone.
    pub fn forget(&self, key: &Key) {
        let mut state = self.lock();
        let Some(entry) = state.entries.get_mut(key) else {
            return;
        };
        let wish = entry.wish.take();
        if entry.at_work.is_none() {
            state.entries.remove(key);
        }
        if let Some(Wish {
            place: Place::Waiting(due, ticket),
            ..
        }) = wish
        {
            state.waiting.remove(&(due, ticket));
        }
    }

    /// For each priority, how many passes wait for a worker, and since when the one that was asked for first does.
    pub fn depths(&self) -> [(Priority, usize, Option<Instant>); 3] {
        let state = self.lock();
        let mut depths = Priority::ALL.map(|priority| (priority, 0, None));
        for wish in state.entries.values().filter_map(|entry| entry.wish) {
            if matches!(wish.place, Place::Ready(_)) {
                let (_, count, oldest) = &mut depths[wish.priority as usize];
                *count += 1;
                *oldest =
                    Some(oldest.map_or(wish.since, |earlier: Instant| earlier.min(wish.since)));
            }
        }
        depths
    }

    /// Since when the pass is at work that has been for the longest.
    pub fn longest_at_work(&self) -> Option<Instant> {
        let state = self.lock();
        state.entries.values().filter_map(|e| e.at_work).min()
    }

    fn wish(
        &self,
        key: &Key,
        lane: Lane,
        priority: Priority,
        since: Instant,
        due: Option<Instant>,
    ) {
        let mut state = self.lock();
        state.put(key, lane, priority, since, due);
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(
        &mut self,
        key: &Key,
        lane: Lane,
        priority: Priority,
        since: Instant,
        due: Option<Instant>,
    ) {
        let entry = self.entries.entry(key.clone()).or_insert(Entry {
            lane,
            wish: None,
            at_work: None,
        });
        match (&mut entry.wish, due) {
            // A delayed wish never replaces one that comes sooner.
            (
                Some(Wish {
                    place: Place::Ready(_) | Place::Held,
                    ..
                }),
                Some(_),
            ) => return,
            (
                Some(Wish {
                    place: Place::Waiting(at, _),
                    ..
                }),
                Some(due),
            ) if *at <= due => return,
            // Of two wishes for now, the more urgent names the priority and the later one what is recent enough.
            (
                Some(
                    wish @ Wish {
                        place: Place::Ready(_) | Place::Held,
                        ..
                    },
                ),
                None,
            ) => {
                wish.since = wish.since.max(since);
                if wish.place == Place::Held || wish.priority <= priority {
                    wish.priority = wish.priority.min(priority);
                    return;
                }
            }
            (
                Some(Wish {
                    place: Place::Waiting(at, ticket),
                    ..
                }),
                _,
            ) => {
                self.waiting.remove(&(*at, *ticket));
            }
            (None, _) => {}
        }
        let Some(due) = due else {
            // A resource at work stays in the lane that counts it.
            if entry.at_work.is_none() {
                entry.lane = lane;
            }
            return self.line_up(key, priority, since);
        };
        self.tickets += 1;
        entry.wish = Some(Wish {
            priority,
            since,
            place: Place::Waiting(due, self.tickets),
        });
        self.waiting.insert((due, self.tickets), key.clone());
    }

    /// Makes a wish ready, or holds it until the pass at work is over.
    fn line_up(&mut self, key: &Key, priority: Priority, since: Instant) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if entry.at_work.is_some() {
            entry.wish = Some(Wish {
                priority,
                since,
                place: Place::Held,
            });
            return;
        }
        self.tickets += 1;
        entry.wish = Some(Wish {
            priority,
            since,
            place: Place::Ready(self.tickets),
        });
        let lane = self.lanes.entry(entry.lane).or_default();
        lane.ready[priority as usize].push_back((key.clone(), self.tickets));
    }

    /// Moves what is due from waiting to ready.
    fn ripen(&mut self, now: Instant) {
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                break;
            }
            let key = first.remove();
            let wish = self.entries.get(&key).and_then(|entry| entry.wish);
            if let Some(wish) = wish {
                self.line_up(&key, wish.priority, wish.since);
            }
        }
    }

    /// The most urgent job of the next lane that has workers left.
    fn take(&mut self) -> Option<Job> {
        for priority in Priority::ALL {
            while let Some(turn) = self.next_lane(priority) {
                self.turn = turn;
                let lane = self.lanes.get_mut(&turn)?;
                let (key, ticket) = lane.ready[priority as usize].pop_front()?;
                let entry = self
                    .entries
                    .get_mut(&key)
                    .filter(|e| e.wish.is_some_and(|w| w.place == Place::Ready(ticket)));
                let Some((entry, wish)) =
                    entry.and_then(|entry| entry.wish.take().map(|wish| (entry, wish)))
                else {
                    self.sweep(turn);
                    continue;
                };
                entry.at_work = Some(Instant::now());
                self.room.enter(lane.at_work);
                lane.at_work += 1;
                return Some(Job {
                    key,
                    priority,
                    since: wish.since,
                });
            }
        }
        None
    }

    fn leave(&mut self, lane: Lane) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.at_work -= 1;
            self.room.leave(lane.at_work);
        }
    }

    fn next_lane(&self, priority: Priority) -> Option<Lane> {
        let open = |(_, lane): &(&Lane, &LaneState)| {
            !lane.ready[priority as usize].is_empty() && self.room.has_place(lane.at_work)
        };
        let after = self
            .turn
            .checked_add(1)
            .and_then(|next| self.lanes.range(next..).find(open));
        after
            .or_else(|| self.lanes.iter().find(open))
            .map(|(lane, _)| *lane)
    }

    fn sweep(&mut self, lane: Lane) {
        if self
            .lanes
            .get(&lane)
            .is_some_and(|l| l.at_work == 0 && l.ready.iter().all(VecDeque::is_empty))
        {
            self.lanes.remove(&lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LANE: Lane = 1;

    fn queue(share: usize) -> Queue {
        Queue::new(Room::new(share, share))
    }

    fn key(name: &str) -> Key {
        Key::new("DropboxSource", "ns", name)
    }

    fn now(queue: &Queue) -> Option<String> {
        queue
            .next()
            .now_or_never()
            .map(|job| job.key.name.to_string())
    }

    #[tokio::test]
    async fn new_and_changed_come_before_retries_and_retries_before_drift() {
        let queue = queue(8);
        for (name, priority) in [
            ("d", Priority::Drift),
            ("r", Priority::Retry),
            ("c", Priority::Changed),
        ] {
            queue.add(&key(name), LANE, priority, Instant::now());
        }
        let order: Vec<_> = std::iter::from_fn(|| now(&queue)).collect();
        assert_eq!(order, ["c", "r", "d"]);
    }

    #[tokio::test]
    async fn a_resource_is_never_at_work_twice_and_what_came_meanwhile_follows() {
        let queue = queue(8);
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        let job = queue.next().await;
        queue.add(&key("a"), LANE, Priority::Drift, Instant::now());
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        assert_eq!(now(&queue), None, "it is still at work");
        queue.done(&job.key);
        let next = queue.next().await;
        assert_eq!(
            (next.key, next.priority),
            (key("a"), Priority::Changed),
            "the more urgent of the two"
        );
        queue.done(&key("a"));
        assert_eq!(now(&queue), None, "both wishes are one pass");
    }

    #[tokio::test]
    async fn a_wish_for_drift_becomes_urgent_when_the_resource_changes() {
        let queue = queue(8);
        queue.add(&key("a"), LANE, Priority::Drift, Instant::now());
        queue.add(&key("b"), LANE, Priority::Changed, Instant::now());
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        assert_eq!(
            (now(&queue), now(&queue), now(&queue)),
            (Some("b".into()), Some("a".into()), None)
        );
    }

    #[tokio::test]
    async fn a_lane_takes_no_more_than_there_is_room_for_and_others_go_on() {
        let queue = Queue::new(Room::new(3, 1));
        for name in ["a", "b", "c"] {
            queue.add(&key(name), 1, Priority::Changed, Instant::now());
        }
        queue.add(&key("other"), 2, Priority::Drift, Instant::now());
        let taken: Vec<_> = std::iter::from_fn(|| now(&queue)).collect();
        assert_eq!(
            taken,
            ["a", "b", "other"],
            "c waits although it is more urgent than the other lane's"
        );
        queue.done(&key("a"));
        assert_eq!(now(&queue), Some("c".into()));
    }

    #[tokio::test]
    async fn lanes_take_turns() {
        let queue = queue(8);
        for name in ["a1", "a2", "a3"] {
            queue.add(&key(name), 1, Priority::Changed, Instant::now());
        }
        queue.add(&key("b1"), 2, Priority::Changed, Instant::now());
        let order: Vec<_> = std::iter::from_fn(|| now(&queue)).collect();
        assert_eq!(
            order.iter().position(|name| name == "b1"),
            Some(1),
            "{order:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_delayed_pass_comes_when_it_is_due_and_a_sooner_one_stands() {
        let queue = queue(8);
        let start = Instant::now();
        queue.add_after(&key("a"), LANE, Priority::Retry, Duration::from_mins(1));
        queue.add_after(&key("a"), LANE, Priority::Retry, Duration::from_secs(5));
        queue.add_after(&key("a"), LANE, Priority::Retry, Duration::from_secs(90));
        assert_eq!(queue.next().await.key, key("a"));
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(&key("a"));
        assert!(
            tokio::time::timeout(Duration::from_mins(10), queue.next())
                .await
                .is_err(),
            "the others are void"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_that_is_put_off_comes_later_for_the_reason_that_it_had() {
        let queue = queue(8);
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        let job = queue.next().await;
        queue.put_off(&job, LANE, Duration::from_secs(1));
        queue.done(&job.key);
        assert_eq!(now(&queue), None);
        assert_eq!(queue.next().await, job);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_overtakes_a_retry_that_waits() {
        let queue = queue(8);
        queue.add_after(&key("a"), LANE, Priority::Retry, Duration::from_mins(10));
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        assert_eq!(
            queue.next().now_or_never().map(|job| job.priority),
            Some(Priority::Changed)
        );
        queue.done(&key("a"));
        assert!(
            tokio::time::timeout(Duration::from_mins(15), queue.next())
                .await
                .is_err(),
            "one pass serves both"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_asked_for_during_a_pass_waits_its_time() {
        let queue = queue(8);
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        let job = queue.next().await;
        queue.add_after(&job.key, LANE, Priority::Retry, Duration::from_secs(30));
        queue.done(&job.key);
        assert_eq!(now(&queue), None);
        let start = Instant::now();
        assert_eq!(queue.next().await.priority, Priority::Retry);
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[tokio::test]
    async fn a_resource_that_is_gone_is_not_worked_on() {
        let queue = queue(8);
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        queue.forget(&key("a"));
        assert_eq!(now(&queue), None);
        queue.add(&key("a"), LANE, Priority::Changed, Instant::now());
        assert_eq!(now(&queue), Some("a".into()), "made again, it is new");
    }

    #[tokio::test]
    async fn ten_thousand_resources_in_one_lane_cost_no_scan() {
        let queue = queue(usize::MAX);
        let names: Vec<_> = (0..10_000).map(|n| key(&n.to_string())).collect();
        for _ in 0..3 {
            for name in &names {
                queue.add(name, LANE, Priority::Drift, Instant::now());
            }
        }
        assert_eq!(queue.depths()[Priority::Drift as usize].1, 10_000);
        assert_eq!(
            std::iter::from_fn(|| now(&queue)).count(),
            10_000,
            "each once"
        );
    }
}
