//! The wall clock, from one place, so that a simulation can have one of its own. Spans of time are measured on tokio's clock, never on
//! this one: it jumps.

use std::cell::RefCell;
use std::rc::Rc;

use jiff::Timestamp;

thread_local! {
    static GOVERNOR: RefCell<Option<Rc<dyn Fn() -> Timestamp>>> = const { RefCell::new(None) };
}

/// What the wall clock shows.
pub fn now() -> Timestamp {
    let governor = GOVERNOR.with_borrow(Clone::clone);
    governor.map_or_else(Timestamp::now, |clock| clock())
}

/// The same to the second: conditions do not know finer times.
pub fn second() -> Timestamp {
    let now = now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Puts another clock in its place, for what runs on this thread.
pub fn govern(clock: impl Fn() -> Timestamp + 'static) {
    GOVERNOR.set(Some(Rc::new(clock)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_governed_clock_shows_what_it_is_told_on_this_thread_alone() {
        let real = now();
        govern(|| Timestamp::UNIX_EPOCH);
        assert_eq!(now(), Timestamp::UNIX_EPOCH);
        let elsewhere = std::thread::spawn(now).join().unwrap();
        assert!(elsewhere >= real);
    }
}
