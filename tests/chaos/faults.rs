//! What goes wrong between the operator and the two APIs.

use std::time::Duration;

use fastrand::Rng;
use support::fake::unstructured::{Route, answers};
use support::fake::{Answer, Fault, Recorded, dropbox};

/// Of so many requests one meets a fault.
const ONE_IN: u32 = 7;

/// Everything that may pass by itself. A late effect comes within the settle time, and an update is never late: nobody can see
/// which of two updates was carried out last.
pub fn of_unstructured(
    mut random: Rng,
) -> impl FnMut(Option<Route>, &Recorded) -> Option<Fault> + Send {
    move |route, _| {
        if random.u32(..ONE_IN) > 0 {
            return None;
        }
        let late = Duration::from_millis(random.u64(200..2_000));
        let server_error = Fault::answer(answers::internal_server_error());
        let proxy_error = Fault::answer(Answer::html(502, "<html>Bad Gateway</html>"));
        Some(match random.u32(..14) {
            0 => Fault::disconnect(),
            1 => Fault::disconnect().committed(),
            2 => server_error,
            3 => server_error.committed(),
            4 => proxy_error.committed(),
            5 => Fault::answer(answers::too_many_requests(Some("1"))),
            6 => Fault::cut(),
            7 => Fault::truncated(),
            8 => Fault::hang().committed(),
            9 => Fault::none().held_back(late),
            // A proxy's own 404: it must not be taken for the API's.
            10 => Fault::answer(Answer::html(404, "<html>Not Found</html>")),
            11 => Fault::answer(Answer::html(200, "<html>Sign in</html>")),
            12 if is_create(route) => Fault::disconnect().committed_late(late),
            13 if is_create(route) => proxy_error.committed_late(late),
            _ => Fault::none().after(late / 4),
        })
    }
}

/// Whether it makes something, be it a run.
fn is_create(route: Option<Route>) -> bool {
    use Route::{Create, CreateWorkflow, RunWorkflow};
    matches!(route, Some(Create | CreateWorkflow | RunWorkflow))
}

/// Dropbox fails too, which must not hinder anything.
pub fn of_dropbox(
    mut random: Rng,
) -> impl FnMut(Option<dropbox::Route>, &Recorded) -> Option<Fault> + Send {
    move |_, _| {
        (random.u32(..ONE_IN) == 0).then(|| match random.u32(..3) {
            0 => Fault::disconnect(),
            1 => Fault::answer(Answer::text(503, "busy")),
            _ => Fault::truncated(),
        })
    }
}
