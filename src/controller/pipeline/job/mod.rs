//! The protocol of a run: the intent on record, one request, the id at once, and never a second request while a run may have come of
//! the first. A run costs money, and running twice cannot be undone.

pub mod act;
pub mod ending;
pub mod learn;
pub mod look;
pub mod lost;
pub mod observe;
pub mod outcome;
pub mod pass;
pub mod plan;
pub mod report;
pub mod sent_secrets;
pub mod situation;
