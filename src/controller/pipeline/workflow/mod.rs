//! The protocol of a workflow: it refers to two connectors, is made once, kept equal to its resource, and followed in its runs.

pub mod act;
pub mod advice;
pub mod asked;
pub mod conclude;
pub mod learn;
pub mod observe;
pub mod outcome;
pub mod pass;
pub mod plan;
pub mod report;
pub mod runs;
pub mod situation;
pub mod tell;
pub mod ticks;
pub mod unknown_connector;
