//! What all kinds have in common, and what knows none of their protocols: how objects are called, which of them waits in what order,
//! who holds what, how an API that ails is spared, and, in the one table of [`outcome`], what a failure means.

pub mod ahead;
pub mod ailing;
pub mod backoff;
pub mod claims;
pub mod debut;
pub mod definitions;
pub mod departure;
pub mod finalizer;
pub mod follow_up;
pub mod index;
pub mod key;
pub mod outcome;
pub mod priority;
pub mod queue;
pub mod refusal;
pub mod room;
pub mod secret_versions;
pub mod session;
pub mod turns;
pub mod verdict;
pub mod workspace_facts;
