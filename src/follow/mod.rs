//! `unstructured-operator start` and `follow`: makes the job of one run, and shows what the run does until it has ended.
//!
//! Both read only the Kubernetes API. The counts of a run under way come from the operator, which asks for them while the annotation
//! [`FOLLOWED_UNTIL`](crate::crd::FOLLOWED_UNTIL) says that somebody looks.

mod bars;
mod begin;
mod options;
mod screen;
mod text;
mod watch;

pub(crate) use options::{FOLLOW_EXAMPLES, START_EXAMPLES};
pub use options::{FollowOptions, StartOptions};

use crate::cluster::find_definition;
use crate::crd::UnstructuredJob;
use crate::exit::Exit;
use crate::output::{print, say};

/// Makes a job, prints its name, and follows it if that was asked for.
///
/// # Errors
///
/// [`Exit::Failed`] when it cannot be made; [`Exit::Wrong`] when it is followed and does not end well.
pub async fn start(options: &StartOptions) -> Result<(), Exit> {
    let (client, namespace) = options.cluster.connect()?;
    let name = begin::make(&client, &namespace, options).await?;
    let follow = format!("unstructured-operator follow {name} -n {namespace}");
    let follow = options.cluster.complete(&follow);
    print(&format!("{name}\n")).inspect_err(|_| {
        say(&format!("The job {name} was created, and each run costs money: do not start another. To look at it: {follow}"));
    })?;
    if options.follow {
        return watch::to_the_end(&client, &options.cluster, &namespace, &name).await;
    }
    say(&format!("Next: {follow}"));
    Ok(())
}

/// Follows a job to its end.
///
/// # Errors
///
/// [`Exit::Wrong`] when it does not end well, [`Exit::Failed`] when it cannot be followed, [`Exit::Interrupted`] after Ctrl-C.
pub async fn follow(options: &FollowOptions) -> Result<(), Exit> {
    let (client, namespace) = options.cluster.connect()?;
    find_definition::<UnstructuredJob>(&client).await?;
    watch::to_the_end(&client, &options.cluster, &namespace, &options.job).await
}
