//! One operator process, one effect at a time. `plan`, `Situation::learn`, `report::status` and the table of outcomes are the
//! production code; what is written here stands for the I/O around them, and names the function that it stands for.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use unstructured_operator::controller::effect::{Answer, Effect};
use unstructured_operator::controller::outcome::{Failure, Outcome};
use unstructured_operator::controller::plan::Step;
use unstructured_operator::controller::report::{self, Occasion};
use unstructured_operator::controller::situation::{
    Binding, Change, Check, ConnectorName, Creating, Deletion, Desired, Freshness, Grant, Namesake,
    Resend, Sighting, Situation, Wanted, WorkspaceFacts,
};
use unstructured_operator::crd::{
    ConditionType, ConnectionCheck, CreateIntent, LostCreates, Reason, SourceStatus,
    WorkspaceStatus,
};
use unstructured_operator::unstructured::{Commit, ErrorKind, SourceId};

use super::world::{
    Config, Connector, Flight, Offence, Owner, Pass, Queued, Resource, Status, World, number,
    source_id,
};

/// Name of every connector in the model.
const NAME: &str = "n";

/// What the resource asks for, and the decision under test.
#[derive(Clone, Copy)]
pub struct Operator {
    pub plan: fn(&Situation) -> Step,
    /// The default name, which is reserved, or one that the user chose.
    pub reserved: bool,
    pub adopt_by_name: bool,
    pub existing: Option<u8>,
    pub verify: bool,
}

/// How an effect comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// As it should.
    Fine,
    /// Refused or never sent: certainly not carried out.
    Refused,
    /// Not carried out, and nobody can know.
    LostUndone,
    /// Carried out, and the answer is lost.
    LostDone,
    /// Carried out after the operator gave up waiting for the answer.
    LostLate,
}

impl Operator {
    /// `pass::make`, `pass::latest`, `observe::observe`.
    pub fn begin(&self, world: &mut World) {
        let secret = world.secret;
        let clock = world.clock;
        let leader = &mut world.instances[world.leader];
        leader.queued = Queued::No;
        let Some(watched) = leader.cache.clone() else {
            return;
        };
        leader.written = leader
            .written
            .take()
            .filter(|written| written.uid == watched.uid && written.version > watched.version);
        let resource = leader.written.clone().unwrap_or(watched);
        debug_assert!(resource.status.create.is_none_or(|at| at <= clock));
        let status = &resource.status;

        // observe::binding
        let binding = match (status.source, status.create) {
            (Some(id), _) => Binding::Bound(source_id(id)),
            (None, None) => Binding::Unbound,
            (None, Some(started)) => {
                let settled = match leader.settles {
                    Some((known, settled)) if known == started => settled,
                    _ => leader.settles.insert((started, false)).1,
                };
                Binding::Creating {
                    name: NAME.to_owned(),
                    stage: if settled {
                        Creating::Settled
                    } else {
                        Creating::Unsettled
                    },
                }
            }
        };
        let desired = Config {
            visible: resource.spec,
            secret,
        };
        let situation = Situation {
            wanted: Wanted {
                name: ConnectorName {
                    value: NAME.to_owned(),
                    reserved: self.reserved,
                },
                existing: self.existing.map(source_id),
                adopt_by_name: self.adopt_by_name,
                verify: self.verify,
                retain: false,
                suspend: false,
            },
            deletion: resource.deleting.then(Deletion::default),
            foreign: None,
            resources_known: true,
            waited: false,
            finalized: resource.finalized,
            binding,
            held_by: None,
            applied: status.applied.map(Config::digest),
            home: status.home.then(workspace),
            move_accepted: false,
            workspace: Ok(workspace()),
            desired: if resource.deleting {
                Desired::Unread
            } else {
                Desired::Digest(desired.digest())
            },
            forced: false,
            refused: None,
            grant: Grant::Unasked,
            doubted: false,
            connector: Sighting::Unseen,
            namesakes: None,
            check: report::recorded_check(recorded(status.check.as_deref()).as_ref()),
            polled: false,
            failed_now: false,
            check_overdue: false,
            resend: match status.resend {
                None => Resend::No,
                Some(lost) if lost < clock => Resend::Due,
                Some(_) => Resend::Later,
            },
            lost_creates: status.lost.map_or(0, |(count, _)| count.into()),
            lost: None,
            unrecorded: false,
            changes: Vec::new(),
        };
        leader.pass = Some(Pass {
            situation,
            generation: resource.generation,
            resource,
            fresh: false,
            overtaken: false,
        });
    }

    /// `sweep::sweep`, `sweep::differs`.
    pub fn sweep(&self, world: &mut World) {
        let connectors = world.connectors.clone();
        let leader = &mut world.instances[world.leader];
        let differs = leader.cache.as_ref().is_some_and(|resource| {
            let Some(id) = resource.status.source else {
                return false;
            };
            let doubled =
                |other: &&Connector| other.id != id && self.reserved && other.owner != Owner::Held;
            match connectors.iter().find(|c| c.id == id) {
                None => true,
                Some(c) => {
                    c.config.visible != resource.spec || connectors.iter().any(|c| doubled(&c))
                }
            }
        });
        leader.inventory = Some(connectors);
        if differs || leader.queued == Queued::AtInventory {
            leader.queued = Queued::Now;
        }
    }

    /// How the next effect of this instance may come out, apart from `Fine`.
    pub fn mishaps(&self, world: &World, i: usize) -> &'static [Fate] {
        use Fate::{LostDone, LostLate, LostUndone, Refused};
        let pass = world.instances[i].pass.as_ref().expect("it is at work");
        match (self.plan)(&pass.situation) {
            Step::Rest(_) => &[LostDone],
            Step::Act(effect) => match effect {
                Effect::Create { .. } => &[Refused, LostUndone, LostDone, LostLate],
                Effect::Update(_) | Effect::Delete(_) => &[LostUndone, LostDone, LostLate],
                Effect::Bind(..) | Effect::CheckCredentials => &[],
                Effect::Rehearse
                | Effect::Look(_)
                | Effect::Confirm(_)
                | Effect::StartCheck(_)
                | Effect::PollCheck { .. } => &[Refused],
                _ => &[Refused, LostDone],
            },
        }
    }

    /// One turn of `pass::decide_and_act`; at its end, the rest of `pass::pass`.
    pub fn step(&self, world: &mut World, i: usize, fate: Fate) {
        let mut pass = world.instances[i].pass.take().expect("it is at work");
        let outcome = match (self.plan)(&pass.situation) {
            Step::Rest(outcome) => Some(outcome),
            Step::Act(effect) => {
                let answer = self.perform(world, i, &mut pass, &effect, fate);
                note_effect(world, i, &pass, &effect, &answer);
                pass.situation
                    .learn(&effect, answer)
                    .err()
                    .map(Outcome::Failed)
            }
        };
        if pass.overtaken {
            return;
        }
        match outcome {
            Some(outcome) => finish(world, i, pass, &outcome, fate),
            None => world.instances[i].pass = Some(pass),
        }
    }

    /// `act::perform`.
    fn perform(
        &self,
        world: &mut World,
        i: usize,
        pass: &mut Pass,
        effect: &Effect,
        fate: Fate,
    ) -> Answer {
        let s = &pass.situation;
        match effect {
            Effect::AddFinalizer => set_finalizer(world, pass, true, fate),
            Effect::Rehearse | Effect::Look(_) | Effect::Confirm(_) if fate == Fate::Refused => {
                failed(fate)
            }
            Effect::Rehearse => match &world.resource {
                Some(_) if world.is_current(&pass.resource) => Answer::Done,
                _ => Answer::Failed(Failure::Conflict),
            },
            Effect::RemoveFinalizer(_) => set_finalizer(world, pass, false, fate),
            Effect::RecordIntent { name } => {
                let then = s.intending(name);
                answered(write_status(world, pass, &then, &Outcome::Applying, fate))
            }
            Effect::RecordUpdate => {
                let then = s.unsure();
                answered(write_status(world, pass, &then, &Outcome::Applying, fate))
            }
            Effect::Record(outcome) => record(world, pass, outcome, fate),
            Effect::Look(freshness) => look(world, i, pass, *freshness),
            Effect::Confirm(id) => {
                let found = world.connector(number(*id)).cloned();
                let sighting = found.as_ref().map_or(Sighting::Gone, |c| sighting(s, c));
                report_write(world, i, number(*id), found);
                Answer::Connector(sighting)
            }
            Effect::CheckCredentials => Answer::Grant(Grant::Accepted),
            Effect::Bind(id, _) => match world.connector(number(*id)) {
                Some(c) if c.owner == Owner::Held => Answer::Held("another".to_owned()),
                _ => Answer::Claimed,
            },
            Effect::Create { .. } => {
                let config = wanted(s);
                let owner = pass.resource.uid;
                request(world, i, Flight::Create { owner, config }, fate)
            }
            Effect::Update(id) => {
                let config = wanted(s);
                let id = number(*id);
                Self::judge_touch(world, id);
                // Updates of one connector take effect in the order in which they were sent, or not at all.
                if fate != Fate::LostUndone {
                    world.flights.retain(
                        |f| !matches!(f, Flight::Update { id: earlier, .. } if *earlier == id),
                    );
                }
                request(world, i, Flight::Update { id, config }, fate)
            }
            Effect::Delete(id) => {
                let id = number(*id);
                Self::judge_touch(world, id);
                request(world, i, Flight::Delete { id }, fate)
            }
            Effect::StartCheck(_) | Effect::PollCheck { .. } if fate == Fate::Refused => {
                failed(fate)
            }
            Effect::StartCheck(id) if world.connector(number(*id)).is_none() => not_found(),
            Effect::StartCheck(_) => Answer::Check(Check::Scheduled("check".to_owned())),
            Effect::PollCheck { check, .. } => Answer::Check(Check::Passed(check.clone())),
        }
    }

    /// I3. A connector is ours when it was made by us, or was bound and recorded so: a name alone, the reserved one too, says nothing.
    fn judge_touch(world: &mut World, id: u8) {
        match world.connector(id).map(|c| c.owner) {
            Some(Owner::Held) => world.offend(Offence::TouchedHeld),
            Some(Owner::Foreign) => world.offend(Offence::TouchedForeign),
            _ => {}
        }
    }
}

// === Kubernetes ===

/// `act::set_finalizer`.
fn set_finalizer(world: &mut World, pass: &mut Pass, present: bool, fate: Fate) -> Answer {
    if fate == Fate::Refused {
        return failed(fate);
    }
    let gone = world
        .resource
        .as_ref()
        .is_none_or(|now| now.uid != pass.resource.uid);
    if gone && !present {
        return Answer::Done;
    }
    if !world.is_current(&pass.resource) {
        return Answer::Failed(Failure::Conflict);
    }
    let version = world.version();
    let resource = world.resource.as_mut().expect("it is current");
    resource.finalized = present;
    resource.version = version;
    let written = resource.clone();
    if resource.deleting && !present {
        world.resource = None;
    }
    if fate == Fate::LostDone {
        return failed(fate);
    }
    pass.resource = written;
    Answer::Done
}

/// `act::record`.
fn record(world: &mut World, pass: &mut Pass, outcome: &Outcome, fate: Fate) -> Answer {
    let adopted = !pass
        .situation
        .changes
        .iter()
        .any(Change::is_accepted_configuration);
    let s = pass.situation.clone();
    if fate == Fate::Refused {
        return failed(fate);
    }
    let mut written = write_status(world, pass, &s, outcome, fate);
    // An answer that is lost is asked for again, and then finds its own write in the way.
    if fate == Fate::LostDone {
        written = write_status(world, pass, &s, outcome, Fate::Fine);
    }
    // Whether it leads is asked before each attempt.
    if written == Err(Failure::Conflict) && !adopted && !pass.overtaken {
        match &world.resource {
            Some(fresh) if fresh.uid == pass.resource.uid => pass.resource = fresh.clone(),
            _ => return Answer::Failed(Failure::Conflict),
        }
        written = write_status(world, pass, &s, outcome, Fate::Fine);
    }
    answered(written)
}

/// `act::write_status` of what `report::status` says, and I7 at the moment of the write.
fn write_status(
    world: &mut World,
    pass: &mut Pass,
    s: &Situation,
    outcome: &Outcome,
    fate: Fate,
) -> Result<(), Failure> {
    let lost = || Failure::Kubernetes("it cannot be reached".to_owned());
    if fate == Fate::Refused {
        return Err(lost());
    }
    let on = Occasion {
        generation: pass.generation.into(),
        now: time(world.clock),
        settle_time: std::time::Duration::ZERO,
        forced: None,
        next_attempt: None,
    };
    let previous = full(&pass.resource.status);
    let status = compact(&report::status(&previous, s, outcome, &on));
    if pass.resource.status == status {
        return Ok(());
    }
    if !world.is_current(&pass.resource) {
        return Err(Failure::Conflict);
    }
    let version = world.version();
    let resource = world.resource.as_mut().expect("it is current");
    resource.status = status;
    resource.version = version;
    let written = resource.clone();
    // From here on the connector is ours.
    if let Some(id) = written.status.source
        && let Some(connector) = world.connectors.iter_mut().find(|c| c.id == id)
    {
        connector.owner = match connector.owner {
            Owner::Foreign => Owner::Us(written.uid),
            owner => owner,
        };
    }
    if !is_honest(world, &written, s) {
        world.offend(Offence::CalledReady);
    }
    if fate == Fate::LostDone {
        return Err(lost());
    }
    pass.resource = written;
    Ok(())
}

/// I7: a resource that is called ready in its present generation has a connector with what the pass had read as desired, except
/// where that was changed behind our back.
fn is_honest(world: &World, written: &Resource, s: &Situation) -> bool {
    let claims = written.status.ready.is_some_and(|(ready, _)| ready)
        && written.status.observed == written.generation;
    if !claims {
        return true;
    }
    let Some(id) = written.status.source else {
        return false;
    };
    match world.connector(id) {
        None => world.vanished.contains(&id),
        Some(connector) => {
            let desired = wanted(s);
            connector.tampered || (connector.config == desired && desired.visible == written.spec)
        }
    }
}

// === Unstructured ===

/// A request that changes something, as `act::{create, update, delete}` send it.
fn request(world: &mut World, i: usize, flight: Flight, fate: Fate) -> Answer {
    match fate {
        Fate::Refused | Fate::LostUndone => failed(fate),
        Fate::LostDone => {
            world.commit(&flight);
            failed(fate)
        }
        Fate::LostLate => {
            world.flights.push(flight);
            failed(fate)
        }
        Fate::Fine => {
            let done = world.commit(&flight);
            let id = match (&flight, done) {
                (_, Some(id)) => id,
                (Flight::Update { .. } | Flight::Create { .. }, None) => return not_found(),
                (Flight::Delete { id }, None) => {
                    report_write(world, i, *id, None);
                    return Answer::Done;
                }
            };
            let now = world.connector(id).cloned();
            report_write(world, i, id, now);
            match flight {
                Flight::Create { .. } => Answer::Created(source_id(id)),
                Flight::Update { .. } | Flight::Delete { .. } => Answer::Done,
            }
        }
    }
}

/// `Inventory::{put, removed}`.
fn report_write(world: &mut World, i: usize, id: u8, now: Option<Connector>) {
    if let Some(inventory) = &mut world.instances[i].inventory {
        inventory.retain(|c| c.id != id);
        inventory.extend(now);
        inventory.sort();
    }
}

/// `act::look`, `act::seen`.
fn look(world: &mut World, i: usize, pass: &mut Pass, freshness: Freshness) -> Answer {
    let at_hand = match freshness {
        Freshness::Any => true,
        Freshness::Trigger => pass.fresh,
        Freshness::Now => false,
    };
    let inventory = &mut world.instances[i].inventory;
    if !at_hand || inventory.is_none() {
        *inventory = Some(world.connectors.clone());
        pass.fresh = true;
    }
    let inventory = inventory.as_deref().unwrap_or_default();
    let s = &pass.situation;
    let status = &pass.resource.status;
    let since = status.lost.map(|(_, since)| since).or(status.create);
    let since = since.unwrap_or(pass.resource.made);
    let target = s.bound().or(s.wanted.existing).map(number);
    Answer::Seen {
        connector: target.map_or(Sighting::Unseen, |id| {
            let found = inventory.iter().find(|c| c.id == id);
            found.map_or(Sighting::Unlisted, |c| sighting(s, c))
        }),
        namesakes: inventory
            .iter()
            .map(|c| Namesake {
                id: source_id(c.id),
                held: c.owner == Owner::Held,
                recent: c.made >= since,
                drift: drift(s, c),
            })
            .collect(),
    }
}

fn sighting(s: &Situation, connector: &Connector) -> Sighting {
    Sighting::Present {
        drift: drift(s, connector),
        name: NAME.to_owned(),
        same_kind: true,
    }
}

fn drift(s: &Situation, connector: &Connector) -> BTreeSet<String> {
    let differs = s
        .digest()
        .is_some_and(|digest| Config::of(digest).visible != connector.config.visible);
    differs
        .then(|| "remote_url".to_owned())
        .into_iter()
        .collect()
}

fn wanted(s: &Situation) -> Config {
    Config::of(s.digest().expect("a configuration was read"))
}

fn failed(fate: Fate) -> Answer {
    let (kind, commit) = match fate {
        Fate::Refused => (ErrorKind::Connect, Commit::Never),
        _ => (ErrorKind::Timeout, Commit::Unknown),
    };
    api(kind, commit)
}

fn not_found() -> Answer {
    api(ErrorKind::NotFound, Commit::Never)
}

fn api(kind: ErrorKind, commit: Commit) -> Answer {
    Answer::Failed(Failure::Api {
        kind,
        rate_limited: false,
        message: "it failed".to_owned(),
        commit,
        sent_configuration: false,
    })
}

fn answered(written: Result<(), Failure>) -> Answer {
    written.map_or_else(Answer::Failed, |()| Answer::Done)
}

// === The pass ===

/// `pass::note_effect`, as far as the protocol rests on it.
fn note_effect(world: &mut World, i: usize, pass: &Pass, effect: &Effect, answer: &Answer) {
    if let (Effect::Create { .. }, Answer::Failed(failure), Some(started)) =
        (effect, answer, pass.resource.status.create)
    {
        world.instances[i].settles = Some((started, failure.commit() == Commit::Never));
    }
}

/// The end of `pass::pass`.
fn finish(world: &mut World, i: usize, mut pass: Pass, outcome: &Outcome, fate: Fate) {
    let mut requeue = Queued::from(outcome.row().requeue);
    let silent = matches!(
        outcome,
        Outcome::Released | Outcome::Failed(Failure::Conflict | Failure::NotLeading)
    );
    if !silent {
        let s = pass.situation.clone();
        // Where an effect met its fate, the last write has none.
        let fate = match outcome {
            Outcome::Failed(_) => Fate::Fine,
            _ => fate,
        };
        if write_status(world, &mut pass, &s, outcome, fate).is_err() {
            requeue = Queued::Now;
        }
    }
    let instance = &mut world.instances[i];
    instance.written = Some(pass.resource);
    if instance.queued != Queued::Now {
        instance.queued = requeue;
    }
}

// === Status ===

fn workspace() -> WorkspaceFacts {
    WorkspaceFacts {
        api_url: "w".to_owned(),
        fingerprint: "k".to_owned(),
    }
}

fn time(clock: u8) -> Time {
    Time(Timestamp::from_second(clock.into()).expect("a time"))
}

fn recorded(check: Option<&str>) -> Option<ConnectionCheck> {
    check.map(|status| ConnectionCheck {
        id: "check".to_owned(),
        status: status.to_owned(),
    })
}

fn full(status: &Status) -> SourceStatus {
    let ready = status.ready.map(|(ready, reason)| Condition {
        type_: ConditionType::Ready.as_str().to_owned(),
        status: if ready { "True" } else { "False" }.to_owned(),
        reason: reason.as_str().to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: time(0),
    });
    SourceStatus {
        observed_generation: status.observed.into(),
        source_id: status.source.map(|id| source_id(id).to_string()),
        connector_name: None,
        workspace: status.home.then(|| WorkspaceStatus {
            api_url: workspace().api_url,
            key_fingerprint: workspace().fingerprint,
        }),
        applied_digest: status.applied.map(|config| config.digest().to_string()),
        last_sync_time: None,
        last_handled_reconcile_at: None,
        connection_check: recorded(status.check.as_deref()),
        create: status.create.map(|at| CreateIntent {
            name: NAME.to_owned(),
            started_at: time(at),
        }),
        lost_creates: status.lost.map(|(count, since)| LostCreates {
            count: count.into(),
            since: time(since),
        }),
        resend_after: status.resend.map(time),
        conditions: ready.into_iter().collect(),
    }
}

fn compact(status: &SourceStatus) -> Status {
    let source: Option<SourceId> = status.source_id.as_deref().and_then(|id| id.parse().ok());
    let ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == ConditionType::Ready.as_str());
    Status {
        observed: u8::try_from(status.observed_generation).expect("a small generation"),
        source: source.map(number),
        applied: status
            .applied_digest
            .as_deref()
            .and_then(|digest| Some(Config::of(digest.parse().ok()?))),
        create: status.create.as_ref().map(|create| {
            u8::try_from(create.started_at.0.as_second()).expect("a time of the model")
        }),
        lost: status.lost_creates.as_ref().map(|lost| {
            let since = u8::try_from(lost.since.0.as_second()).expect("a time of the model");
            (u8::try_from(lost.count).expect("few"), since)
        }),
        resend: status
            .resend_after
            .as_ref()
            .map(|after| u8::try_from(after.0.as_second()).expect("a time of the model")),
        home: status.workspace.is_some(),
        check: status.connection_check.as_ref().map(|c| c.status.clone()),
        ready: ready.map(|c| {
            let reason = Reason::ALL.iter().find(|known| known.as_str() == c.reason);
            (c.status == "True", *reason.expect("a reason of the table"))
        }),
    }
}
