//! A client of the [Unstructured platform API](https://docs.unstructured.io/api-reference/workflow/overview) for connectors of
//! both families and any type, for workflows, and for their jobs. It knows nothing of what it is used for.
//!
//! [`Client`] makes one call at a time and says of each failure whether it may have been carried out. All clones of a client share
//! its flow control: a request rate, a number of requests under way, and a clock before which nothing is sent. [`Inventory`] holds
//! what the workspace's list said last, and our own writes since.

mod answer;
mod body;
mod budget;
mod client;
mod collection;
mod config;
mod connectors;
mod digest;
mod elements;
mod endpoint;
mod error;
mod exchange;
mod flow;
mod ids;
mod inventory;
mod jobs;
mod kept;
mod key_objection;
mod limits;
mod list;
mod listing;
mod pace;
mod pauses;
mod retry_after;
mod shown_key;
mod taking;
mod types;
mod unknown_connector;
mod unreadable;
mod whole;
mod workflows;

pub use crate::http::Carrier;
pub use budget::Budget;
pub use client::Client;
pub use collection::Collection;
pub use config::{Config, ConfigBuilder};
pub use connectors::Connectors;
pub use digest::Digest;
pub use endpoint::{ApiKey, ApiKeyError, Endpoint, EndpointError, Fingerprint};
pub use error::{ApiError, Commit, ErrorKind, KeyObjection, UnknownConnector, own_words};
pub use ids::{ConnectorId, JobId, WorkflowId};
pub use inventory::{Inventory, Snapshot};
pub use jobs::{
    Documents, FailedFile, FailedFiles, Job, JobDetails, JobState, Jobs, NodeStats, Processing,
};
pub use kept::Kept;
pub use limits::{ClientError, Exchange, Observer, Options};
pub use pauses::Pauses;
pub use types::{Check, CheckStatus, Connector, Key, MASK};
pub use whole::Whole;
pub use workflows::{
    Differences, Node, Schedule, ScheduleError, ShownNode, Workflow, WorkflowSpec, WorkflowState,
    Workflows,
};
