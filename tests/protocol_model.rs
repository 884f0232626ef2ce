//! The protocol, explored: every order in which crashes, changes of leader, stale caches, lost and late answers, meddlers and users
//! can meet, up to a number of each. The decisions are those of the production `plan`, the memory that of `Situation::learn`, the
//! record that of `report::status`.
//!
//! `MODEL_FAULTS`, `MODEL_WISHES` and `MODEL_DEPTH` set deeper bounds.

mod model;
mod operator;
mod rest;
mod world;

use stateright::{Checker, Model};
use unstructured_operator::controller::plan::plan;

use model::Protocol;
use operator::Operator;
use rest::Rest;
use world::{Budget, Config, Connector, Owner};

fn bound(name: &str) -> Option<u8> {
    std::env::var(name).ok()?.parse().ok()
}

fn protocol(before: Vec<Connector>, operator: Operator, faults: u8, wishes: u8) -> Protocol {
    Protocol {
        operator,
        before,
        budget: Budget {
            faults: bound("MODEL_FAULTS").unwrap_or(faults),
            wishes: bound("MODEL_WISHES").unwrap_or(wishes),
        },
        overtaking: false,
        rest: Rest::default(),
    }
}

fn operator() -> Operator {
    Operator {
        plan,
        reserved: true,
        adopt_by_name: false,
        existing: None,
        verify: false,
    }
}

fn foreign(id: u8, owner: Owner) -> Connector {
    Connector {
        id,
        owner,
        config: Config { visible: 3, secret: 3 },
        tampered: false,
    }
}

fn explore(name: &str, protocol: Protocol) {
    let began = std::time::Instant::now();
    let mut builder = protocol.checker().threads(2);
    if let Some(depth) = bound("MODEL_DEPTH") {
        builder = builder.target_max_depth(depth.into());
    }
    let checker = builder.spawn_bfs().join();
    println!(
        "{name}: {} states, depth {}, {:.1?}",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed()
    );
    for (property, path) in checker.discoveries() {
        if property.starts_with('I') {
            let last = path.last_state().clone();
            let rest = checker.model().rest.reached(&checker.model().operator, &last);
            let actions = path.into_actions();
            panic!("{name}: {property} does not hold: {:?}\nafter {actions:#?}\nin {last:#?}\n{rest:?}", last.offence);
        }
    }
    checker.assert_any_discovery("a connector is ready");
}

#[test]
fn a_reserved_name_holds_every_invariant() {
    explore("reserved", protocol(vec![], operator(), 2, 2));
}
