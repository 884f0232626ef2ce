//! What goes wrong on the way, drawn anew for each request: time, lost answers, late commits, errors. In good weather only time
//! passes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::fake::unstructured::{Route, answers};
use support::fake::{Answer, Fault};

/// How bad it is, in percent of requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// To Kubernetes.
    pub kubernetes: u8,
    /// To Unstructured.
    pub api: u8,
    /// Dropbox accepts connections and never answers.
    pub dropbox_hangs: bool,
    /// Unstructured refuses whatever asks it for something and sends nothing of the user's.
    pub refuses: bool,
    /// How far watches lag behind at most, in milliseconds, beside the time on the way.
    pub lag: u64,
    /// The lists that are not to be had: those of the resources in this namespace, and of the resources of all shards.
    pub unlisted: Option<&'static str>,
}

/// The weather of this moment, for all who travel through it.
#[derive(Clone, Default)]
pub struct Sky(Arc<Mutex<Weather>>);

/// What becomes of a request to Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    Through,
    /// The connection fails before it arrives.
    LostThere,
    /// It is carried out, and the connection fails before the answer arrives.
    LostBack,
    /// A proxy, or a server that starts, answers with this status instead.
    Refused(u16),
}

impl Sky {
    pub fn set(&self, weather: Weather) {
        *self.0.lock().unwrap() = weather;
    }

    pub fn now(&self) -> Weather {
        *self.0.lock().unwrap()
    }
}

impl Weather {
    pub fn passage(self) -> Passage {
        if !hits(self.kubernetes) {
            return Passage::Through;
        }
        match fastrand::u8(..4) {
            0 => Passage::LostThere,
            1 => Passage::LostBack,
            2 => Passage::Refused(500),
            _ => Passage::Refused(503),
        }
    }

    /// Whether a list of this path cannot be had.
    pub fn hides(self, path: &str, query: &str) -> bool {
        let Some(namespace) = self.unlisted else {
            return false;
        };
        let all = path.ends_with("/v1alpha1/dropboxsources") && !query.contains("labelSelector");
        !query.contains("watch=")
            && (all || path.ends_with(&format!("/namespaces/{namespace}/dropboxsources")))
    }

    /// How long a change is on its way to those who watch.
    pub fn lag(self) -> Duration {
        let beyond = if self.lag == 0 {
            Duration::ZERO
        } else {
            Duration::from_millis(fastrand::u64(..self.lag))
        };
        latency() + beyond
    }

    /// What goes wrong with a request to Unstructured.
    pub fn fault(self, route: Option<Route>) -> Option<Fault> {
        if self.refuses && matches!(route, Some(Route::List | Route::Get)) {
            return Some(Fault::answer(answers::detail(400, "Bad Request")));
        }
        if self.refuses && matches!(route, Some(Route::StartCheck | Route::LatestCheck)) {
            let detail = "A connection check is already in progress";
            return Some(Fault::answer(answers::detail(400, detail)));
        }
        if !hits(self.api) {
            return None;
        }
        let soon = Duration::from_millis(fastrand::u64(..20_000));
        let refusal = |answer: Answer| Fault::answer(answer);
        Some(match fastrand::u8(..14) {
            0 => Fault::disconnect(),
            1 => Fault::disconnect().committed(),
            // It comes to pass within the time in which a create settles.
            2 => Fault::disconnect().committed_late(soon),
            3 => Fault::hang(),
            4 => Fault::hang().committed(),
            5 => refusal(answers::internal_server_error()),
            6 => refusal(answers::internal_server_error()).committed(),
            7 => refusal(answers::unavailable()),
            8 => refusal(answers::too_many_requests(Some("7"))),
            9 => refusal(answers::key_invalid()),
            10 => Fault::truncated(),
            11 => Fault::none().after(soon),
            // A proxy's page in place of the answer, and the request never arrived.
            12 => refusal(Answer::html(200, "<html>Log in</html>")),
            // A request that says nothing of what is wrong with it.
            _ => match route {
                Some(Route::List | Route::Get) => refusal(answers::detail(400, "Bad Request")),
                Some(Route::StartCheck | Route::LatestCheck) => refusal(answers::detail(
                    400,
                    "A connection check is already in progress",
                )),
                _ => Fault::cut(),
            },
        })
    }
}

/// How long one way takes.
pub fn latency() -> Duration {
    Duration::from_micros(fastrand::u64(500..25_000))
}

pub fn hits(percent: u8) -> bool {
    fastrand::u8(..100) < percent
}
