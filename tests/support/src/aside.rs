//! What the fakes and the API in memory do while somebody counts the operator's instructions: they work in its threads, and must not
//! count. Callgrind turns its counting on and off, and writes down what it has counted, at the three functions here that are never inlined.

use std::cell::Cell;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
}

/// What Callgrind is to be told.
pub const OPTIONS: [&str; 4] = [
    "--collect-atstart=no",
    "--toggle-collect=support::aside::counted",
    "--toggle-collect=support::aside::uncounted",
    // A function of its own: one that toggles is never dumped after.
    "--dump-before=support::aside::write_down",
];

/// Counts what this does, but for what is done [aside](Aside).
pub fn count<T>(mut what: impl FnMut() -> T) -> T {
    let mut done = None;
    COUNTING.set(true);
    counted(&mut || done = Some(what()));
    COUNTING.set(false);
    write_down();
    done.expect("it was done")
}

/// Does not count what this does.
pub fn aside<T>(what: impl FnOnce() -> T) -> T {
    // The second of two toggles would turn it on again.
    if !COUNTING.replace(false) {
        return what();
    }
    let (mut what, mut done) = (Some(what), None);
    uncounted(&mut || done = what.take().map(|what| what()));
    COUNTING.set(true);
    done.expect("it was done")
}

/// Nothing follows the call but what no compiler may leave out, so that it is a call and no jump.
#[inline(never)]
fn counted(what: &mut dyn FnMut()) {
    what();
    black_box(1);
}

#[inline(never)]
fn uncounted(what: &mut dyn FnMut()) {
    what();
    black_box(2);
}

#[inline(never)]
fn write_down() {
    black_box(3);
}

/// A future or a body that is polled without being counted.
pub struct Aside<T>(pub T);

impl<'a, T> Aside<BoxFuture<'a, T>> {
    /// This future.
    pub fn future(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Box::pin(future))
    }
}

impl<T> Future for Aside<BoxFuture<'_, T>> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        aside(|| self.0.as_mut().poll(context))
    }
}

impl<E> Body for Aside<UnsyncBoxBody<Bytes, E>> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        aside(|| Pin::new(&mut self.0).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
