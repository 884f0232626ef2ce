//! A Kubernetes operator that turns a `DropboxSource` into a source connector of the Unstructured platform and keeps it true.
//!
//! Data flows one way: watch → observe → plan → act → report. [`controller`] holds that loop, [`crd`] the resources,
//! [`unstructured`] and [`dropbox`] the two APIs (neither knows of Kubernetes), [`runtime`] the parts of a process.
#![forbid(unsafe_code)]
// `println!` panics when nobody reads; see `output`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod clock;
mod cluster;
pub mod flaw;
pub mod hosts;
mod http;
mod kube_error;
#[cfg(test)]
mod loopback;
mod proxy;
mod scrub;

pub mod cli;
pub mod controller;
pub mod crd;
pub mod doctor;
pub mod dropbox;
pub mod engine;
mod exit;
pub mod follow;
pub mod import;
pub mod kinds;
pub mod login;
mod manifest;
pub mod options;
mod output;
pub mod own_key;
pub mod pinecone;
pub mod run;
pub mod runtime;
mod spans;
mod terminal;
mod tokio_clock;
pub mod uninstall;
pub mod unstructured;
