//! What the demo stands on: a control plane, the fakes, and the operator's binary, fresh from the sources.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use kube::api::DynamicObject;
use kube::{Api, Client};
use support::controlplane::ControlPlane;
use support::fake::unstructured::WorkspaceHandle;
use support::fake::{FakeDropbox, FakePinecone, FakeUnstructured, Recorded};
use support::operator::{self, Operator, Profile, Settings};
use support::stage::dropbox_source;
use tempfile::TempDir;

use crate::screen::{self, Screen};
use crate::traffic;

/// The key of the fake workspace.
pub const API_KEY: &str = "demo-key";

/// Everything that runs. Dropping it ends all of it.
pub struct Ground {
    /// The checkout.
    pub root: PathBuf,
    /// The control plane.
    pub plane: ControlPlane,
    /// Talks to it as its administrator.
    pub client: Client,
    /// The fake of Unstructured.
    pub api: FakeUnstructured,
    /// Its workspace, seen from behind.
    pub workspace: WorkspaceHandle,
    /// The fake of Dropbox.
    pub dropbox: FakeDropbox,
    /// The fake of Pinecone.
    pub pinecone: FakePinecone,
    binary: PathBuf,
    operator: Option<Operator>,
    logs: TempDir,
}

impl Ground {
    /// Builds what is not built yet and starts everything but the operator.
    pub async fn prepare() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()?;
        let binary = operator::build(Profile::Dev).await?;
        screen::say(
            "Starting etcd, kube-apiserver, kube-controller-manager and fakes of the Unstructured, Dropbox and Pinecone APIs …",
        );
        let started = Instant::now();
        let plane = ControlPlane::start().await?;
        let client = plane.client()?;
        let api = FakeUnstructured::start();
        let workspace = api.workspace(API_KEY);
        let dropbox = FakeDropbox::start();
        let pinecone = FakePinecone::start();
        screen::say(&format!(
            "… running after {} s, on loopback only.",
            started.elapsed().as_secs()
        ));
        Ok(Self {
            root,
            plane,
            client,
            api,
            workspace,
            dropbox,
            pinecone,
            binary,
            operator: None,
            logs: tempfile::Builder::new()
                .prefix("unstructured-operator-demo-")
                .tempdir()?,
        })
    }

    /// What the operator's process gets as its environment, and nothing else.
    pub fn environment(&self) -> Vec<(String, String)> {
        let kubeconfig = self.plane.kubeconfig_path().display().to_string();
        [
            ("KUBECONFIG", kubeconfig),
            ("UNSTRUCTURED_API_KEY", API_KEY.to_owned()),
            ("UNSTRUCTURED_API_URL", self.api.url()),
            ("DROPBOX_API_URL", self.dropbox.url()),
            ("PINECONE_API_URL", self.pinecone.url()),
            ("ALLOW_INSECURE_HTTP", "true".to_owned()),
            ("CLUSTER_NAME", "demo".to_owned()),
            // Nobody wants to watch for the usual ten minutes.
            ("SYNC_INTERVAL", "2s".to_owned()),
            // Nor a run for a quarter of a minute.
            ("JOB_INTERVAL", "500ms".to_owned()),
            ("LISTEN", "127.0.0.1:0".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Starts the operator and waits until it works.
    pub async fn start_operator(&mut self) -> Result<()> {
        let settings = Settings {
            binary: self.binary.clone(),
            directory: self.logs.path().to_owned(),
            environment: self.environment(),
        };
        let operator = self.operator.insert(Operator::start(&settings).await?);
        operator.ready().await
    }

    /// The operator, once it was started.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator
            .as_ref()
            .context("the operator is not running")
    }

    /// The resources of the namespace that kubectl uses unasked.
    pub fn sources(&self) -> Api<DynamicObject> {
        Api::default_namespaced_with(self.client.clone(), &dropbox_source())
    }

    /// Leaves the operator's log where it is, and says where.
    pub fn keep_logs(&mut self) -> &Path {
        self.logs.disable_cleanup(true);
        self.logs.path()
    }

    /// Prints how to go on by hand, and from then on every request.
    pub fn invite(&self, screen: &Screen) {
        let kubectl = self.plane.kubectl();
        let kubectl = kubectl.as_std();
        let words: Vec<_> = [kubectl.get_program()]
            .into_iter()
            .chain(kubectl.get_args())
            .map(|word| word.to_string_lossy())
            .collect();
        let (url, root) = (self.api.url(), self.root.display());
        screen.heading("Yours until Ctrl-C");
        screen::say("In another terminal:");
        screen::say(&format!("  cd {root}"));
        screen::say(&format!(
            "  export KUBECONFIG={}",
            self.plane.kubeconfig_path().display()
        ));
        screen::say(&format!("  alias kubectl='{}'", words.join(" ")));
        screen::say("  kubectl apply -f examples/secret.yaml -f examples/dropboxsource.yaml");
        screen::say(
            "  kubectl apply -f examples/pinecone-secret.yaml -f examples/pineconedestination.yaml",
        );
        screen::say(
            "  kubectl apply -f examples/unstructuredworkflow.yaml -f examples/unstructuredjob.yaml",
        );
        screen::say("  kubectl get unstructured");
        screen::say("  kubectl get unstructuredjobs --watch");
        screen::say(
            "What Unstructured would show, and what it is asked (also below, as it comes):",
        );
        screen::say(&format!(
            "  curl -H 'unstructured-api-key: {API_KEY}' {url}/sources/"
        ));
        screen::say("The operator's log and metrics:");
        if let Ok(operator) = self.operator() {
            screen::say(&format!("  tail -f {}", operator.log().display()));
            screen::say(&format!("  curl http://{}/metrics", operator.address()));
        }
        screen::say("");
        self.api.on_answer(echo("unstructured"));
        self.dropbox.on_answer(echo("dropbox"));
        self.pinecone.on_answer(echo("pinecone"));
    }

    /// What came so far that no careful client sends is no failure.
    pub fn forgive(&self) {
        self.api.take_violations();
        self.dropbox.take_violations();
        self.pinecone.take_violations();
    }

    /// Stops the operator as Kubernetes would, then everything else.
    pub async fn end(mut self) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            let status = operator.stop().await?;
            ensure!(
                status.success(),
                "the operator ended with {status} on SIGTERM"
            );
        }
        screen::say("Everything that was started is stopped.");
        Ok(())
    }
}

/// Prints each request, but not the same one again and again: at rest the operator lists once every interval.
fn echo(host: &'static str) -> impl Fn(&Recorded) + Send {
    let last = Mutex::new(String::new());
    move |request| {
        let line = traffic::line(request);
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != line {
            println!("  → {host} {line}");
            *last = line;
        }
    }
}
