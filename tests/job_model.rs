//! At most one run for each job, over every crash and lost answer: the production decisions, explored exhaustively.
//!
//! One job, a service that may carry a request out and lose the answer, or carry it out late, an operator that may be killed between any
//! two effects, and somebody who starts runs of the workflow by hand. What the operator writes and remembers is what
//! `controller::pipeline::job` writes and remembers: its intent before the request, the id at once, and in memory only since when the
//! intent has been known.

use stateright::{Checker, Model, Property};
use unstructured_operator::controller::pipeline::job::outcome::Outcome;
use unstructured_operator::controller::pipeline::job::plan::{Step, plan};
use unstructured_operator::controller::pipeline::job::situation::{
    Answer, Asking, Effect, Run, Runs, Sight, Situation, Workflow,
};
use unstructured_operator::crd::{JobPhase, OnActive};
use unstructured_operator::engine::outcome::Failure;
use unstructured_operator::unstructured::{Commit, ErrorKind, JobId};

/// The run of this number.
fn id(number: usize) -> JobId {
    let text = format!("00000000-0000-4000-8000-{number:012}");
    text.parse().expect("a UUID")
}

/// A run as the service has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Made {
    /// Our request made it.
    ours: bool,
    /// It was made after the intent was written down.
    since_intent: bool,
    ended: bool,
}

/// What is on record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Record {
    finalized: bool,
    asked: bool,
    /// The workflow's record has the job's name.
    noted: bool,
    run: Option<usize>,
    phase: JobPhase,
    adopted: bool,
}

/// A pass under way, and what its process remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pass {
    situation: Situation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    record: Record,
    service: Vec<Made>,
    /// A request whose answer was lost and that may still be carried out.
    late: bool,
    /// What was asked for by the intent on record has been carried out by now, or never will be, as far as the process can know.
    settled: bool,
    pass: Option<Pass>,
    crashes: u8,
    faults: u8,
    by_hand: u8,
    deleted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Done,
    /// Carried out, and the answer lost.
    Lost,
    /// Not carried out, and no answer.
    Undone,
    /// To be carried out later, and no answer.
    Late,
    /// Carried out, and the answer names no run.
    Vague,
    /// Refused, and not for what was sent: the next may be accepted.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Begin,
    Step(Fate),
    Crash,
    CarryOut,
    Settle,
    End(usize),
    ByHand,
    Delete,
}

struct Jobs {
    on_active: OnActive,
    /// Asks again without waiting, as a careless operator would.
    careless: bool,
}

impl Jobs {
    fn observe(&self, world: &World) -> Situation {
        let record = &world.record;
        let run = match (record.run, record.asked) {
            (Some(number), _) => Run::Started(id(number)),
            (None, true) if world.settled || self.careless => Run::Asked(Asking::Settled),
            (None, true) => Run::Asked(Asking::Unsettled),
            (None, false) => Run::None,
        };
        Situation {
            going: world.deleted,
            finalized: record.finalized,
            unrecorded: false,
            ran_before: record.noted && !record.asked && record.run.is_none(),
            copied: false,
            on_active: self.on_active,
            cancel: false,
            overdue: false,
            cancelled: false,
            phase: record.phase,
            adopted: record.adopted,
            run,
            workspace: Ok(()),
            workflow: Workflow::Ready,
            outrun: false,
            runs: None,
            sight: None,
            refused: None,
        }
    }

    /// What the service and the record answer, and how they change.
    fn perform(world: &mut World, s: &Situation, effect: &Effect, fate: Fate) -> Answer {
        let failed = |kind, commit| {
            Answer::Failed(Failure::Api {
                kind,
                rate_limited: false,
                message: "it failed".to_owned(),
                commit,
                sent_configuration: false,
            })
        };
        let lost = || failed(ErrorKind::Timeout, Commit::Unknown);
        match effect {
            Effect::AddFinalizer => world.record.finalized = true,
            Effect::RemoveFinalizer => world.record.finalized = false,
            Effect::RecordIntent => {
                world.record.asked = true;
                world.record.noted = true;
                world.settled = false;
                for made in &mut world.service {
                    made.since_intent = false;
                }
            }
            Effect::Record => {
                if let Run::Started(run) = s.run {
                    world.record.run = (0..world.service.len()).find(|n| id(*n) == run);
                    world.record.asked = false;
                    world.record.adopted = s.adopted;
                }
            }
            Effect::Withdraw => world.record.noted = false,
            Effect::Bind { .. } | Effect::Cancel(_) => {}
            Effect::LookAtRuns => {
                let mut found = world.service.iter().enumerate();
                let ours = found.find(|(_, made)| made.since_intent && world.record.asked);
                let active = world.service.iter().position(|made| !made.ended);
                return Answer::Runs(Runs {
                    active: active.map(id),
                    ours: ours.map(|(number, _)| id(number)),
                    newest: None,
                });
            }
            Effect::LookAtRun(run) => {
                let known = (0..world.service.len()).find(|number| id(*number) == *run);
                return Answer::Sight(match known.map(|number| &world.service[number]) {
                    None => Sight::Gone,
                    Some(made) if made.ended => Sight::Ended(Box::default()),
                    Some(_) => Sight::Running(None),
                });
            }
            Effect::Run => {
                world.settled = false;
                return match fate {
                    Fate::Done => Answer::Started(carry_out(world)),
                    Fate::Vague => {
                        carry_out(world);
                        Answer::Started(None)
                    }
                    Fate::Lost => {
                        carry_out(world);
                        lost()
                    }
                    Fate::Undone => lost(),
                    Fate::Refused => failed(ErrorKind::Unauthorized, Commit::Never),
                    Fate::Late => {
                        world.late = true;
                        lost()
                    }
                };
            }
        }
        Answer::Done
    }
}

/// The service starts a run unless one is under way.
fn carry_out(world: &mut World) -> Option<JobId> {
    if world.service.iter().any(|made| !made.ended) {
        return None;
    }
    world.service.push(Made {
        ours: true,
        since_intent: true,
        ended: false,
    });
    Some(id(world.service.len() - 1))
}

impl Model for Jobs {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            record: Record::default(),
            service: Vec::new(),
            late: false,
            settled: false,
            pass: None,
            crashes: 0,
            faults: 0,
            by_hand: 0,
            deleted: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Act>) {
        match &world.pass {
            None => actions.push(Act::Begin),
            Some(pass) => {
                actions.push(Act::Step(Fate::Done));
                if world.faults < 2 && plan(&pass.situation) == Step::Act(Effect::Run) {
                    let fates = [
                        Fate::Lost,
                        Fate::Undone,
                        Fate::Late,
                        Fate::Vague,
                        Fate::Refused,
                    ];
                    actions.extend(fates.map(Act::Step));
                }
                if world.crashes < 2 {
                    actions.push(Act::Crash);
                }
            }
        }
        if world.late {
            actions.push(Act::CarryOut);
        } else if world.record.asked && !world.settled {
            actions.push(Act::Settle);
        }
        for (number, made) in world.service.iter().enumerate() {
            if !made.ended {
                actions.push(Act::End(number));
            }
        }
        if world.by_hand < 1 && world.service.iter().all(|made| made.ended) {
            actions.push(Act::ByHand);
        }
        if !world.deleted {
            actions.push(Act::Delete);
        }
    }

    fn next_state(&self, before: &World, action: Act) -> Option<World> {
        let mut world = before.clone();
        match action {
            Act::Begin => {
                let situation = self.observe(&world);
                world.pass = Some(Pass { situation });
            }
            Act::Step(fate) => {
                let mut pass = world.pass.take()?;
                match plan(&pass.situation) {
                    Step::Rest(outcome) => rest(&mut world, &pass.situation, &outcome),
                    Step::Act(effect) => {
                        if fate != Fate::Done {
                            world.faults += 1;
                        }
                        let answer = Self::perform(&mut world, &pass.situation, &effect, fate);
                        match pass.situation.learn(&effect, answer) {
                            Ok(()) => world.pass = Some(pass),
                            Err(failure) => {
                                rest(&mut world, &pass.situation, &Outcome::Failed(failure));
                            }
                        }
                    }
                }
            }
            // Memory goes with the process: the time until it has settled counts anew.
            Act::Crash => {
                world.pass = None;
                world.crashes += 1;
                world.settled = false;
            }
            Act::CarryOut => {
                world.late = false;
                carry_out(&mut world);
            }
            Act::Settle => world.settled = true,
            Act::End(number) => world.service[number].ended = true,
            // The service says of a run which of them somebody asked for; only those of the schedule are told apart.
            Act::ByHand => {
                world.by_hand += 1;
                world.service.push(Made {
                    ours: false,
                    since_intent: true,
                    ended: false,
                });
            }
            Act::Delete => world.deleted = true,
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("R1: at most one run is accepted", |_, world: &World| {
                world.service.iter().filter(|made| made.ours).count() <= 1
            }),
            Property::always("a finished job asks for nothing", |_, world: &World| {
                !world.record.phase.is_final() || !world.record.asked
            }),
            Property::always("nobody takes it for restored", |_, world: &World| {
                world.record.phase != JobPhase::Abandoned
            }),
            Property::sometimes("the run is followed to its end", |_, world: &World| {
                world.record.phase == JobPhase::Succeeded
            }),
            Property::sometimes("a lost run is found", |_, world: &World| {
                world.faults > 0 && world.record.run.is_some()
            }),
        ]
    }
}

/// What the end of a pass writes down.
fn rest(world: &mut World, s: &Situation, outcome: &Outcome) {
    if matches!(outcome, Outcome::Finished | Outcome::Released) {
        return;
    }
    if let Some(phase) = outcome.phase() {
        world.record.phase = phase;
    }
    if s.run == Run::None || world.record.phase.is_final() {
        world.record.asked = false;
    }
}

fn checked(on_active: OnActive, careless: bool) -> impl Checker<Jobs> {
    let model = Jobs {
        on_active,
        careless,
    };
    model.checker().spawn_bfs().join()
}

#[test]
fn no_crash_and_no_lost_answer_starts_a_second_run() {
    for on_active in [OnActive::Wait, OnActive::Adopt, OnActive::Fail] {
        let checker = checked(on_active, false);
        assert!(checker.unique_state_count() > 500, "{on_active:?}");
        checker.assert_properties();
    }
}

#[test]
fn the_checker_finds_an_operator_that_does_not_wait() {
    let checker = checked(OnActive::Wait, true);
    checker.assert_any_discovery("R1: at most one run is accepted");
}
