//! The protocol of sources and destinations of every type.
//!
//! A [`pass`] begins with [`observe`], which gathers a [`situation`]; [`plan`] (and [`finalize`], for a resource that goes) decides the
//! one next [`effect`], [`act`] performs it, and [`learn`] takes in what came of it, until the plan rests; [`report`] and [`tell`] say it.
//!
//! Plan, finalize, learn, recall, report and situation are pure.

pub mod act;
pub mod change;
pub mod contest;
pub mod effect;
pub mod finalize;
pub mod hand;
pub mod learn;
pub mod mark;
pub mod memory;
pub mod naming;
pub mod observe;
pub mod owner;
pub mod pass;
pub mod plan;
pub mod provider;
pub mod recall;
pub mod record;
pub mod remember;
pub mod report;
pub mod situation;
pub mod tell;
pub mod unclaimed;
pub mod users;
