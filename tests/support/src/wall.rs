//! The wall clock that the fakes and the API in memory read, so that a simulation can have one of its own.

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

/// Puts another clock in its place, for what runs on this thread.
pub fn govern(clock: impl Fn() -> Timestamp + 'static) {
    GOVERNOR.set(Some(Rc::new(clock)));
}

/// A random UUID, the same ones again after the same `fastrand::seed`.
pub fn uuid() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid()
}
