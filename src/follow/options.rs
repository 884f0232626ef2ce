//! What can be said on the command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::crd::OnActive;
use crate::options::{Cluster, object_name, span};

/// What the help of `start` ends with.
pub(crate) const START_EXAMPLES: &str = "\
Examples:
  Run a workflow, and wait for its result:
    unstructured-operator start contracts-to-index -n legal --follow
  Start it now, and follow it later:
    job=$(unstructured-operator start contracts-to-index -n legal)
    unstructured-operator follow \"$job\" -n legal

Exits with 0 if no document failed. To do the same without this command, use
kubectl create with an UnstructuredJob that has generateName.";

/// What the help of `follow` ends with.
pub(crate) const FOLLOW_EXAMPLES: &str = "\
Examples:
  unstructured-operator follow contracts-to-index-x7k2p -n legal

Exits with 0 if no document failed, with 1 if the run ended in any other way,
and with 130 after Ctrl-C. To cancel a run:
kubectl patch ujob <job> --type merge -p '{\"spec\":{\"cancel\":true}}'";

/// Which workflow to run, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct StartOptions {
    /// Run this workflow
    #[arg(value_name = "WORKFLOW", value_parser = object_name)]
    pub(super) workflow: String,

    #[command(flatten)]
    pub(super) cluster: Cluster,

    /// Show the progress of the run until it ends
    #[arg(long)]
    pub(super) follow: bool,

    /// If another run is in progress: start after it, follow it instead, or give up
    #[arg(long, value_name = "WHAT", default_value = "Wait", ignore_case = true, value_parser = on_active())]
    pub(super) on_active: OnActive,

    /// Have the operator cancel the run if it has not ended after this time [default: no limit]
    #[arg(long, value_name = "DURATION", value_parser = span)]
    pub(super) timeout: Option<String>,
}

/// Which job to follow.
#[derive(Clone, Debug, clap::Args)]
pub struct FollowOptions {
    /// Follow this job
    #[arg(value_name = "JOB", value_parser = object_name)]
    pub(super) job: String,

    #[command(flatten)]
    pub(super) cluster: Cluster,
}

fn on_active() -> impl TypedValueParser<Value = OnActive> {
    PossibleValuesParser::new(["Wait", "Adopt", "Fail"]).map(|word| {
        match word.to_ascii_lowercase().as_str() {
            "adopt" => OnActive::Adopt,
            "fail" => OnActive::Fail,
            _ => OnActive::Wait,
        }
    })
}
