//! What can be said on the command line.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::crd::OnActive;
use crate::options::{Cluster, object_name, span};

/// What the help of `start` ends with.
pub(crate) const START_EXAMPLES: &str = "\
Examples:
  Run a workflow, and wait for what comes of it:
    unstructured-operator start contracts-to-index -n legal --follow
  Start it, and look at it later:
    job=$(unstructured-operator start contracts-to-index -n legal)
    unstructured-operator follow \"$job\" -n legal
Exits with 0 when no document failed. The same without this command:
kubectl create of an UnstructuredJob with generateName.";

/// What the help of `follow` ends with.
pub(crate) const FOLLOW_EXAMPLES: &str = "\
Examples:
  unstructured-operator follow contracts-to-index-x7k2p -n legal
Exits with 0 when no document failed, with 1 when the run ended otherwise, and
with 130 after Ctrl-C. To cancel a run:
kubectl patch ujob <job> --type merge -p '{\"spec\":{\"cancel\":true}}'";

/// Which workflow to run, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct StartOptions {
    /// Run this workflow
    #[arg(value_name = "WORKFLOW", value_parser = object_name)]
    pub(super) workflow: String,

    #[command(flatten)]
    pub(super) cluster: Cluster,

    /// Show what the run does until it has ended
    #[arg(long)]
    pub(super) follow: bool,

    /// While another run is under way: begin after it, follow that one instead, or give up
    #[arg(long, value_name = "WHAT", default_value = "Wait", ignore_case = true, value_parser = on_active())]
    pub(super) on_active: OnActive,

    /// Let the operator cancel the run when it has not ended after this time [default: it may take any time]
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
