//! Tests on a real API server, with a real operator process and strict fakes of both APIs. One binary: the control plane is
//! started once and shared; each test has a namespace, fakes and an operator of its own.
//!
//! Whatever a test is about, when its stage is dropped the [`oracle`] judges every status that could be seen, and all that was
//! printed is searched for every secret that was used.
#![forbid(unsafe_code)]

mod admission;
mod adoption;
mod backup;
mod chaos;
mod chart;
mod clock;
mod completions;
mod crash_points;
mod debut;
mod deletion;
mod describe;
mod docs;
mod doctor;
mod economy;
mod engines;
mod error_table;
mod exploration;
mod faults;
mod folder;
mod follow;
mod gitops;
mod house;
mod image;
mod import;
mod incarnation;
mod install;
mod job_model;
mod keys;
mod kinds;
mod kubernetes;
mod leadership;
mod leaks;
mod lifecycle;
mod login;
mod login_again;
mod odd_answers;
mod options;
mod oracle;
mod ownership;
mod pauses;
mod pipeline;
mod procedures;
mod protocol_model;
mod provider;
mod proxies;
mod recovery;
mod release;
mod remedies;
mod rights;
mod runs;
mod second_opinions;
mod secrets;
mod simulation;
mod status;
mod streams;
mod tenants;
mod terminal;
mod traces;
mod update_and_drift;
mod virtual_time;
mod workflow_model;

use anyhow::Result;
use support::controlplane::ControlPlane;
use support::stage::Stage;

/// The operator under test.
const OPERATOR: &str = env!("CARGO_BIN_EXE_unstructured-operator");

/// A stage that the oracle judges.
async fn stage() -> Result<Stage> {
    let mut stage = Stage::new(OPERATOR).await?;
    stage.judge = oracle::judge;
    Ok(stage)
}

/// The same on a control plane of its own, which the test may break. It lives as long as the tests do.
async fn stage_apart() -> Result<Stage> {
    let plane = Box::leak(Box::new(ControlPlane::start().await?));
    let mut stage = Stage::on(plane, OPERATOR).await?;
    stage.judge = oracle::judge;
    Ok(stage)
}
