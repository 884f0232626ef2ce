//! What a long-running operator needs whatever it operates: logs, metrics, endpoints, leadership, events, signals and a
//! Kubernetes client with limits. Nothing here knows what is being reconciled.

mod event_text;
pub mod events;
#[cfg(test)]
mod fake_api;
pub mod http;
pub mod kube_client;
mod kubeconfig;
pub mod leader;
mod leadership;
pub mod logging;
pub mod metrics;
pub mod pod;
mod process;
pub mod run_metrics;
pub mod scope;
pub mod shutdown;
pub mod traces;
