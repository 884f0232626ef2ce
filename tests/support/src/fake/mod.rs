//! Strict fakes of the HTTP APIs that the operator speaks to, and of the collector that takes its traces.
//!
//! Each is a real server on loopback that keeps state, refuses what the service refuses, records every request, can go
//! wrong in every way that a network and a backend can, and names what a careful client would not have sent.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use std::time::Duration;
//! use support::fake::{FakeUnstructured, Fault, unstructured::Route};
//!
//! let api = FakeUnstructured::start();
//! let workspace = api.workspace("key-1");
//! api.inject(Route::Create, Fault::disconnect().committed());
//! // …start the operator on api.url(), apply a resource…
//! let created = |seen: &[support::fake::Recorded]| seen.iter().any(|r| r.method == "POST");
//! api.wait_for(created, Duration::from_secs(10)).await?;
//! assert_eq!(workspace.sources().len(), 1);
//! # Ok(()) }
//! ```

mod answer;
mod carrier;
pub mod collector;
pub mod dropbox;
mod fault;
mod journal;
pub mod pinecone;
mod server;
#[cfg(test)]
mod tests;
pub mod unstructured;

pub use answer::Answer;
pub use carrier::Carrier;
pub use collector::FakeCollector;
pub use dropbox::FakeDropbox;
pub use fault::{Fault, On};
pub use journal::{Outcome, Recorded, TimedOut};
pub use pinecone::FakePinecone;
pub use server::{Api, Fake};
pub use unstructured::FakeUnstructured;
