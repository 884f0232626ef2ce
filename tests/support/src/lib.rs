//! What the tests stand on.
//!
//! - [`aside`]: keeps what all of these do out of counts of the operator's instructions.
//! - [`fake`]: strict fakes of the Unstructured and Dropbox APIs, on loopback, with every fault on demand.
//! - [`controlplane`]: a real etcd, API server and controller manager.
//! - [`go`]: programs that are built from Go modules, once.
//! - [`kubelet`]: runs the pods of a namespace as processes of this machine.
//! - [`memory_api`]: a Kubernetes API in memory, for tests that stop the clock or the operator at an exact place.
//! - [`operator`]: the operator as a process, to be started, stopped, paused and killed.
//! - [`stage`]: all of them together, with a namespace for each test.
//! - [`typist`]: a person at a terminal.
//! - [`wall`]: the wall clock of the fakes and of the API in memory.
//! - [`witness`]: sees every version of every resource of a stage.
//! - [`clock`]: an operator whose wall clock is wrong.
//! - [`refusal`]: an API server that refuses one service account.
//! - [`canary`]: finds secrets in text, whatever form they took on the way there.

pub mod aside;
pub mod canary;
pub mod clock;
pub mod controlplane;
pub mod fake;
pub mod go;
pub mod kubelet;
pub mod memory_api;
pub mod operator;
pub mod picture;
pub mod refusal;
pub mod stage;
pub mod typist;
pub mod wall;
pub mod witness;

use std::path::{Path, PathBuf};

/// Where everything that is built lies: the target directory of this workspace.
pub fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    workspace.join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
