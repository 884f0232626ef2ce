//! Leadership by a Lease: of all replicas one works, and a replica that can no longer prove that it leads stops.
//!
//! The protocol is that of client-go. What makes it safe:
//!
//! - A holder counts its time from *before* the request that renewed the Lease, a candidate from *after* the answer that
//!   showed it, each on its own monotonic clock. So with a renew deadline shorter than the lease's duration the holder has
//!   stopped before a candidate may begin, whatever the wall clocks say.
//! - Every write replaces the object at the resourceVersion that was read, so of two writers one gets a 409.
//! - A process that was stopped and wakes finds its [`Leadership`] expired before it polls the work again.

use std::{task::Poll, time::Duration};

use futures::future::poll_fn;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ListParams, ObjectMeta, PostParams},
};
use thiserror::Error;
use tokio::{
    pin,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::leadership::Tenure;
pub use super::leadership::{Leadership, Standing};
use super::scope::{Scope, WATCHES};
use crate::kube_error::{is_conflict, is_forbidden, is_missing};
use crate::unstructured::Pauses;

/// The label, and its value, by which the Leases of all operators are found, whatever each is called.
pub const LABEL: (&str, &str) = ("app.kubernetes.io/name", env!("CARGO_PKG_NAME"));

/// How long the work may take to end by itself once shutdown is asked for.
const GRACE: Duration = Duration::from_secs(1);
/// How long giving up the Lease may take after that.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(900);

/// Annotation of the Lease, there while the API has told a key to wait: until when, by the key's fingerprint.
pub const NOT_BEFORE: &str = "connectors.unstructured.io/not-before";

/// Who holds the Lease at this time, as far as wall clocks tell.
pub fn holder(lease: &LeaseSpec, now: Timestamp) -> Option<&str> {
    let holder = lease
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())?;
    let duration = u64::try_from(lease.lease_duration_seconds?).ok()?;
    let until = lease
        .renew_time
        .as_ref()?
        .0
        .checked_add(Duration::from_secs(duration))
        .ok()?;
    (now < until).then_some(holder)
}

/// The Leases of all operators of the cluster.
pub async fn all(client: &Client) -> kube::Result<Vec<Lease>> {
    let leases: Api<Lease> = Api::all(client.clone());
    let (label, value) = LABEL;
    let ours = ListParams::default().labels(&format!("{label}={value}"));
    Ok(leases.list(&ours).await?.items)
}

/// An operator that works on the same resources under a Lease of the same name in another namespace, where neither stands by for the
/// other. None, too, where this process may not look: one with the rights of the chart sees its own Lease alone.
pub async fn rival(client: &Client, election: &LeaderElection) -> Option<String> {
    let leases = all(client).await.ok()?;
    leases.iter().find_map(|lease| {
        let namespace = lease.metadata.namespace.as_deref()?;
        let is_other = namespace != election.namespace;
        let is_namesake = lease.metadata.name.as_deref() == Some(&election.name);
        let holder = holder(lease.spec.as_ref()?, Timestamp::now())?;
        (is_other && is_namesake && Scope::of(lease).overlaps(&election.scope)).then(|| {
            format!(
                "{holder} works on the same resources already (Lease {namespace}/{name}): set POD_NAMESPACE={namespace} to stand by for it, \
                 or choose other resources with --watch-namespaces or --watch-label-selector",
                name = election.name
            )
        })
    })
}

/// Who stands for election, for which Lease, and how patiently.
#[derive(Clone, Debug)]
pub struct LeaderElection {
    /// The Lease's namespace, see [`pod::namespace`](super::pod::namespace).
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Tells this process from every other, also from an earlier one of the same pod, see
    /// [`pod::identity`](super::pod::identity).
    pub identity: String,
    /// How long others respect a Lease that is not renewed. Whole seconds.
    pub lease_duration: Duration,
    /// How long this process goes on without a renewal. Shorter than `lease_duration`; what is between the two is the time
    /// that a request already sent has to come to its end.
    pub renew_deadline: Duration,
    /// The pause between renewals. A candidate looks twice as often, so that a released Lease is soon taken.
    pub retry_period: Duration,
    /// How long API keys were told to wait: the leader leaves it to its successor, in the annotation [`NOT_BEFORE`].
    pub pauses: Pauses,
    /// What the leader works on, which the Lease tells in the annotation [`WATCHES`].
    pub scope: Scope,
}

impl LeaderElection {
    /// An election with client-go's times: 15 s, 10 s, 2 s.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        identity: impl Into<String>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            pauses: Pauses::default(),
            scope: Scope::default(),
        }
    }

    /// Campaigns, and runs `lead` while leading. When leadership is lost, the future that `lead` made is dropped and the
    /// campaign begins anew. What that future spawned it must end when it is dropped, or check [`Leadership::is_valid`].
    ///
    /// When `shutdown` is cancelled, the future has one second to end by itself, then it is dropped, and the Lease is given
    /// up within two seconds of the cancellation. `observe` hears of each change of standing, sometimes twice.
    ///
    /// Returns what `lead`'s future returned, or none if `shutdown` came first. Errors of the API are logged and tried again
    /// for as long as it takes.
    pub async fn run<T, F>(
        &self,
        client: Client,
        shutdown: CancellationToken,
        observe: impl Fn(Standing),
        mut lead: impl FnMut(Leadership) -> F,
    ) -> Option<T>
    where
        F: Future<Output = T>,
    {
        let leases = Leases {
            api: Api::namespaced(client, &self.namespace),
            election: self,
        };
        loop {
            let (mut lease, until) = tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                won = leases.campaign(&observe) => won,
            };
            info!(lease = self.name, identity = self.identity, "leading");
            observe(Standing::Leader);
            let (tenure, leadership) = Tenure::begin(until);
            let work = while_valid(leadership.clone(), lead(leadership));
            let ended = leases.hold(&mut lease, &tenure, &shutdown, work).await;
            drop(tenure);
            observe(Standing::Standby);
            match ended {
                Ended::Lost => warn!(lease = self.name, "leadership lost; stopped all work"),
                Ended::Work(output) => {
                    leases.release(lease).await;
                    return output;
                }
            }
        }
    }
}

enum Ended<T> {
    Lost,
    /// With the work's output, or without it if it was dropped at shutdown.
    Work(Option<T>),
}

/// Runs `work` until it ends or leadership does. Asks before each poll: in a process that has just woken, the timers may
/// not have fired yet.
async fn while_valid<T>(leadership: Leadership, work: impl Future<Output = T>) -> Option<T> {
    let lost = leadership.lost();
    pin!(lost, work);
    poll_fn(|context| {
        if lost.as_mut().poll(context).is_ready() || !leadership.is_valid() {
            Poll::Ready(None)
        } else {
            work.as_mut().poll(context).map(Some)
        }
    })
    .await
}

/// What a candidate last saw of the Lease, and when by its own clock.
#[derive(Default)]
struct Observed(Option<(LeaseSpec, Instant)>);

impl Observed {
    /// Notes what the API server answered just now. That the Lease was deleted is not news of its holder, who may still
    /// be working: its last record stands.
    fn note(&mut self, lease: Option<&Lease>) {
        if let Some(lease) = lease {
            let spec = lease.spec.clone().unwrap_or_default();
            if self.0.as_ref().is_none_or(|(seen, _)| *seen != spec) {
                self.0 = Some((spec, Instant::now()));
            }
        }
    }

    /// Whether the holder, if it is another, has had its time.
    fn is_free_for(&self, election: &LeaderElection) -> bool {
        let Some((spec, at)) = &self.0 else {
            return true;
        };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(election.lease_duration, Duration::from_secs);
        holder.is_empty() || holder == election.identity || at.elapsed() >= duration
    }
}

/// The requests of one election.
struct Leases<'a> {
    api: Api<Lease>,
    election: &'a LeaderElection,
}

impl Leases<'_> {
    /// Tries until the Lease is ours. Gives it back with the instant until which it is.
    async fn campaign(&self, observe: &impl Fn(Standing)) -> (Lease, Instant) {
        let mut observed = Observed::default();
        let mut standing = None;
        loop {
            match self
                .within(self.attempt_limit(), self.try_acquire(&mut observed))
                .await
            {
                Ok(Some(won)) => return won,
                Ok(None) if standing.is_none() => {
                    standing = Some(Standing::Standby);
                    info!(lease = self.election.name, "standing by");
                    observe(Standing::Standby);
                }
                Ok(None) => {}
                Err(error) => self.complain("cannot acquire the Lease", &error),
            }
            sleep(self.election.retry_period / 2).await;
        }
    }

    async fn try_acquire(
        &self,
        observed: &mut Observed,
    ) -> Result<Option<(Lease, Instant)>, Failure> {
        let current = self.api.get_opt(&self.election.name).await?;
        observed.note(current.as_ref());
        if !observed.is_free_for(self.election) {
            return Ok(None);
        }
        let asked = Instant::now();
        match self.claim(current).await {
            Ok(lease) => Ok(Some((lease, asked + self.election.renew_deadline))),
            Err(error) if is_conflict(&error) || is_missing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps `lease` renewed until the work has ended, leadership is lost or shutdown is asked for.
    async fn hold<T>(
        &self,
        lease: &mut Lease,
        tenure: &Tenure,
        shutdown: &CancellationToken,
        work: impl Future<Output = Option<T>>,
    ) -> Ended<T> {
        pin!(work);
        tokio::select! {
            biased;
            output = &mut work => output.map_or(Ended::Lost, |output| Ended::Work(Some(output))),
            () = self.keep(lease, tenure) => Ended::Lost,
            () = shutdown.cancelled() => Ended::Work(timeout(GRACE, work).await.ok().flatten()),
        }
    }

    /// Renews `lease` until leadership is lost.
    async fn keep(&self, lease: &mut Lease, tenure: &Tenure) {
        loop {
            // A pause is written down at once: a process that is killed leaves no second chance.
            let _ = timeout(
                self.election.retry_period,
                self.election.pauses.lengthened(),
            )
            .await;
            let Some(until) = tenure.until() else { return };
            let asked = Instant::now();
            let limit = until.min(asked + self.attempt_limit()) - asked;
            match self.within(limit, self.renew(lease)).await {
                Ok(true) => tenure.extend(asked + self.election.renew_deadline),
                Ok(false) => return,
                Err(error) => self.complain("cannot renew the Lease", &error),
            }
        }
    }

    /// Renews `lease`; false if another process holds it.
    async fn renew(&self, lease: &mut Lease) -> Result<bool, Failure> {
        match self.claim(Some(lease.clone())).await {
            Ok(renewed) => {
                *lease = renewed;
                return Ok(true);
            }
            Err(error) if is_conflict(&error) || is_missing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        // Somebody wrote to it: a candidate, a person, or an earlier request of ours whose answer was lost.
        let current = match self.api.get_opt(&self.election.name).await? {
            Some(current) if self.is_ours(&current) => current,
            Some(_) => return Ok(false),
            None => Lease {
                metadata: ObjectMeta::default(),
                spec: lease.spec.clone(),
            },
        };
        *lease = self.claim(Some(current)).await?;
        Ok(true)
    }

    /// Gives the Lease up, so that the next holder need not wait for it to run out.
    async fn release(&self, lease: Lease) {
        let released = self.within(RELEASE_TIMEOUT, self.try_release(lease)).await;
        if let Err(error) = released {
            self.complain("could not release the Lease; it must expire", &error);
        } else {
            info!(lease = self.election.name, "Lease released");
        }
    }

    async fn try_release(&self, lease: Lease) -> Result<(), Failure> {
        match self.write(released(lease)).await {
            Err(error) if is_conflict(&error) => {}
            answer => return Ok(answer.map(drop)?),
        }
        match self.api.get_opt(&self.election.name).await? {
            Some(current) if self.is_ours(&current) => {
                Ok(self.write(released(current)).await.map(drop)?)
            }
            _ => Ok(()),
        }
    }

    /// Writes us into the Lease as its holder.
    async fn claim(&self, current: Option<Lease>) -> kube::Result<Lease> {
        let now = MicroTime(Timestamp::now());
        let ours = current.as_ref().is_some_and(|lease| self.is_ours(lease));
        let succeeds = current.is_some() && !ours;
        if let Some(predecessor) = current.as_ref().filter(|_| succeeds) {
            self.inherit(predecessor);
        }
        let mut lease = current.unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        if !ours {
            spec.holder_identity = Some(self.election.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions =
                Some(spec.lease_transitions.unwrap_or_default() + i32::from(succeeds));
        }
        spec.lease_duration_seconds = i32::try_from(self.election.lease_duration.as_secs()).ok();
        spec.renew_time = Some(now);
        self.write(lease).await
    }

    /// Takes over what the leader before us was told to wait for.
    fn inherit(&self, lease: &Lease) {
        let annotations = lease.metadata.annotations.as_ref();
        let text = annotations.and_then(|annotations| annotations.get(NOT_BEFORE));
        let renewed = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.renew_time.as_ref());
        if let (Some(text), Some(MicroTime(renewed))) = (text, renewed) {
            self.election
                .pauses
                .restore(text, *renewed, Timestamp::now());
        }
    }

    /// Replaces the Lease at the version that was read, or creates it if none was. Never a patch: a patch carries no
    /// precondition and cannot empty a field.
    async fn write(&self, mut lease: Lease) -> kube::Result<Lease> {
        let parameters = PostParams {
            field_manager: Some(env!("CARGO_PKG_NAME").to_owned()),
            ..PostParams::default()
        };
        lease.metadata.name = Some(self.election.name.clone());
        let annotations = lease.metadata.annotations.get_or_insert_default();
        match self.election.pauses.to_text(Timestamp::now()) {
            Some(pauses) => annotations.insert(NOT_BEFORE.to_owned(), pauses),
            None => annotations.remove(NOT_BEFORE),
        };
        annotations.insert(WATCHES.to_owned(), self.election.scope.to_string());
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.insert(LABEL.0.to_owned(), LABEL.1.to_owned());
        if lease.metadata.resource_version.is_some() {
            self.api
                .replace(&self.election.name, &parameters, &lease)
                .await
        } else {
            self.api.create(&parameters, &lease).await
        }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        let spec = lease.spec.as_ref();
        spec.and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.election.identity)
    }

    /// Half the renew deadline, so that one lost answer leaves time for a second request.
    fn attempt_limit(&self) -> Duration {
        self.election.renew_deadline / 2
    }

    async fn within<T>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(limit, attempt)
            .await
            .unwrap_or(Err(Failure::NoAnswer))
    }

    fn complain(&self, what: &str, error: &Failure) {
        warn!(
            lease = self.election.name,
            namespace = self.election.namespace,
            %error,
            "{what}"
        );
    }
}

/// The Lease as client-go leaves it: without a holder and already run out for those who only count.
fn released(mut lease: Lease) -> Lease {
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(String::new());
    spec.lease_duration_seconds = Some(1);
    spec.renew_time = Some(MicroTime(Timestamp::now()));
    lease
}

#[derive(Debug, Error)]
enum Failure {
    #[error("the API server did not respond in time")]
    NoAnswer,
    #[error(
        "the service account may not use it: grant get, create and update on leases in coordination.k8s.io"
    )]
    Forbidden,
    #[error(transparent)]
    Api(kube::Error),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        if is_forbidden(&error) {
            Self::Forbidden
        } else {
            Self::Api(error)
        }
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;
