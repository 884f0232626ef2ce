//! The schedules that the Unstructured API knows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a workflow runs by itself, in the terms of the Unstructured API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WorkflowSchedule {
    /// At minute 0, 15, 30 and 45.
    #[serde(rename = "every 15 minutes")]
    Every15Minutes,
    /// At minute 0.
    #[serde(rename = "every hour")]
    EveryHour,
    /// At minute 0 of every second hour.
    #[serde(rename = "every 2 hours")]
    Every2Hours,
    /// At minute 0 of every fourth hour.
    #[serde(rename = "every 4 hours")]
    Every4Hours,
    /// At minute 0 of every sixth hour.
    #[serde(rename = "every 6 hours")]
    Every6Hours,
    /// At minute 0 of every eighth hour.
    #[serde(rename = "every 8 hours")]
    Every8Hours,
    /// At minute 0 of every tenth hour.
    #[serde(rename = "every 10 hours")]
    Every10Hours,
    /// At minute 0 of every twelfth hour.
    #[serde(rename = "every 12 hours")]
    Every12Hours,
    /// At midnight.
    #[serde(rename = "daily")]
    Daily,
    /// At midnight at the start of Sunday.
    #[serde(rename = "weekly")]
    Weekly,
    /// At midnight at the start of the first day of the month.
    #[serde(rename = "monthly")]
    Monthly,
}
