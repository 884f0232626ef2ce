//! `unstructured-operator login dropbox`: from an app's key and secret to a Secret with a refresh token and a `DropboxSource`.
//!
//! The dialogue is on standard error and standard input. Without a terminal nothing is asked: all that is missing is named at once,
//! before the code, which is good only once, is used.

mod cluster;
mod destination;
mod dialogue;
mod files;
mod request;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::crd::DropboxSource;
use crate::dropbox::{BaseUrl, CallError, DropboxClient, Subfolder, authorize_url};
use crate::manifest::{SecretManifest, dns_name};
use crate::options::{Cluster, Dropbox, Exit, Network};
use crate::output::say;
use crate::terminal::{Mark, NoAnswer, Terminal, report};
use destination::Destination;
use dialogue::Inputs;
use request::{Request, repoints};

/// Holds the app secret itself. There is no flag for it: a command line is readable by every process of the host.
pub(crate) const APP_SECRET: &str = "DROPBOX_APP_SECRET";

/// Holds the code of the authorization page itself; no flag for the same reason.
pub(crate) const CODE: &str = "DROPBOX_CODE";

/// What `--help` ends with.
pub(crate) const EXAMPLES: &str = "\
Examples:
  Answer the questions, and write two files into the current directory:
    unstructured-operator login dropbox --output .
  Straight to the cluster:
    unstructured-operator login dropbox --apply --namespace legal
  New credentials for a resource that exists, which stays as it is:
    unstructured-operator login dropbox --apply --namespace legal \\
      --name contracts --secret-only
  In a script:
    unstructured-operator login dropbox --app-key abc --folder contracts \\
      --app-secret-file secret --code-file code --output manifests
In the environment, DROPBOX_APP_SECRET may hold the app secret, and DROPBOX_CODE
the code of the authorization page.";

/// How often a question is asked again after a bad answer.
const ATTEMPTS: usize = 3;

/// How to log in.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Use this app key, from the Settings tab of the app's page in the Dropbox App Console
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,

    /// Read the app secret from this file. Set `DROPBOX_APP_SECRET` to give the secret itself
    #[arg(long, value_name = "PATH")]
    app_secret_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) app_secret: Option<SecretString>,

    /// Read the code of the authorization page from this file. Set `DROPBOX_CODE` to give the code itself
    #[arg(long, value_name = "PATH")]
    code_file: Option<PathBuf>,

    #[arg(skip)]
    pub(crate) code: Option<SecretString>,

    /// Open the authorization page in a browser, besides printing it
    #[arg(long)]
    open: bool,

    /// Read this folder, such as contracts/2026, inside of what the app can see
    #[arg(long, value_name = "PATH")]
    folder: Option<String>,

    /// Read files in subfolders too [default: unchanged; false for a new resource]
    #[arg(long, value_name = "BOOL", default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    recursive: Option<bool>,

    /// Write the `DropboxSource` of this name [default: made from the folder's name]. If it exists and you give no folder, only
    /// its credentials change
    #[arg(long, value_name = "NAME", value_parser = crate::options::object_name)]
    name: Option<String>,

    /// Write the Secret of this name [default: the one that the `DropboxSource` reads; for a new one, its name and -dropbox]
    #[arg(long, value_name = "NAME", value_parser = crate::options::object_name)]
    secret_name: Option<String>,

    /// Write only the Secret of the `DropboxSource` called --name: new credentials for the same folder
    #[arg(long, requires = "name", conflicts_with_all = ["folder", "recursive"])]
    secret_only: bool,

    /// Point a `DropboxSource` that reads another folder at this one, without a question
    #[arg(long)]
    force: bool,

    /// Write <name>.yaml and <name>-secret.yaml (mode 0600) into this directory, or to standard output for -. An existing
    /// manifest keeps the fields that you do not give
    #[arg(long, short, value_name = "DIRECTORY", conflicts_with = "apply")]
    output: Option<PathBuf>,

    /// Create both objects in the cluster, or change only what you give
    #[arg(long)]
    apply: bool,

    #[command(flatten)]
    cluster: Cluster,

    #[command(flatten)]
    dropbox: Dropbox,

    /// Use the authorization page at this URL
    #[arg(long, value_name = "URL", default_value = "https://www.dropbox.com")]
    dropbox_www_url: String,

    #[command(flatten)]
    network: Network,
}

impl Options {
    /// Refuses values that are wrong by themselves or together.
    pub(crate) fn check(&self) -> Result<(), Exit> {
        self.www()?;
        self.dropbox.endpoint(&self.network)?;
        let refused = |line: &str| Err(Exit::Refused(line.to_owned()));
        if self.app_secret.is_some() && self.app_secret_file.is_some() {
            return refused(
                "DROPBOX_APP_SECRET and --app-secret-file (DROPBOX_APP_SECRET_FILE) are both set: keep one",
            );
        }
        if self.code.is_some() && self.code_file.is_some() {
            return refused(
                "DROPBOX_CODE and --code-file (DROPBOX_CODE_FILE) are both set: keep one",
            );
        }
        Ok(())
    }

    fn www(&self) -> Result<BaseUrl, Exit> {
        BaseUrl::parse(&self.dropbox_www_url, self.network.allow_insecure_http).map_err(|reason| {
            Exit::Refused(format!("--dropbox-www-url (DROPBOX_WWW_URL): {reason}"))
        })
    }
}

impl From<NoAnswer> for Exit {
    fn from(reason: NoAnswer) -> Self {
        match reason {
            NoAnswer::Interrupted => Self::Interrupted,
            NoAnswer::Ended => Self::Failed(format!("{reason}; nothing was written")),
        }
    }
}

/// An app, and the permission that a user gave it.
struct Credentials {
    app_key: SecretString,
    app_secret: SecretString,
    refresh_token: SecretString,
}

/// Logs in and writes the manifests.
///
/// # Errors
///
/// [`Exit`], one line that says what to do next.
pub async fn run(options: &Options) -> Result<(), Exit> {
    let terminal = Terminal::attach();
    let inputs = Inputs::new(options, terminal.as_ref())?;
    let destination = Destination::choose(options, terminal.is_some()).await?;
    let dropbox = options.dropbox.client(&options.network)?;

    // A code is good only once: what can be found out before it is used is found out before.
    let given = inputs.given_folder();
    let is_known = (options.name.is_some() || given.is_some()) && !destination.is_open();
    let known = if is_known {
        Some(Target::find(&destination, options, &inputs, given).await?)
    } else {
        None
    };
    let existing = known.as_ref().and_then(|target| target.existing.as_ref());
    inputs.need_folder(options, existing.is_some())?;
    let is_all_known = existing.is_some() || given.is_some() || options.secret_only;
    match known.as_ref().filter(|_| is_all_known) {
        Some(target) => {
            let request = target.request(options, &destination, given.cloned());
            destination.rehearse(Some(&request), existing).await?;
        }
        None => destination.rehearse(None, None).await?,
    }

    let credentials = authorize(options, &inputs, &dropbox).await?;
    let access_token = dropbox
        .access_token(
            &credentials.app_key,
            &credentials.app_secret,
            &credentials.refresh_token,
        )
        .await
        .map_err(|error| failed(&error))?;
    report(Mark::Good, "Dropbox gave a refresh token, and accepts it");
    let read_already = known.as_ref().and_then(Target::folder);
    let folder = match (&read_already, given) {
        (Some(folder), None) => {
            look_into(&dropbox, &access_token, folder).await?;
            None
        }
        (None, None) if options.secret_only => None,
        _ => Some(inputs.folder(&dropbox, &access_token).await?),
    };
    drop(access_token);

    let destination = destination.settle(terminal.as_ref())?;
    let target = match known {
        Some(target) => target,
        None => Target::find(&destination, options, &inputs, folder.as_ref()).await?,
    };
    let request = target.request(options, &destination, folder);
    let existing = target.existing.as_ref();
    let secret = SecretManifest::new(
        &request.secret_name(existing),
        request.namespace,
        request::keys(existing),
        &credentials.app_key,
        &credentials.app_secret,
        &credentials.refresh_token,
    );
    if !is_all_known {
        destination.rehearse(Some(&request), existing).await?;
    }
    destination.write(&request, existing, &secret).await
}

/// The resource that is meant, as it is now.
struct Target {
    name: String,
    existing: Option<DropboxSource>,
}

impl Target {
    /// Finds it. One that reads another folder is left alone unless that was said.
    async fn find(
        destination: &Destination,
        options: &Options,
        inputs: &Inputs<'_>,
        folder: Option<&Subfolder>,
    ) -> Result<Self, Exit> {
        let name = options.name.clone();
        let mut name = name.unwrap_or_else(|| dns_name(folder.map_or("", Subfolder::name)));
        loop {
            let existing = destination.find(&name).await?;
            if let (Some(source), Some(folder)) = (&existing, folder)
                && !options.force
                && repoints(source, folder)
                && let Some(other) = inputs.other_name(&name, &source.spec.remote_url, folder)?
            {
                name = other;
                continue;
            }
            let is_nobodys = existing.is_none() && options.secret_name.is_none();
            if options.apply && options.secret_only && is_nobodys {
                return Err(Exit::Failed(format!(
                    "there is no DropboxSource {name}, whose Secret is to be written: look with kubectl get dropboxsources, or leave out \
                     --secret-only to make one"
                )));
            }
            return Ok(Self { name, existing });
        }
    }

    /// What it reads already.
    fn folder(&self) -> Option<Subfolder> {
        self.existing.as_ref()?.spec.remote_url.parse().ok()
    }

    fn request<'a>(
        &self,
        options: &'a Options,
        destination: &'a Destination,
        folder: Option<Subfolder>,
    ) -> Request<'a> {
        Request {
            name: self.name.clone(),
            namespace: destination.namespace(options),
            folder,
            recursive: options.recursive,
            secret_name: options.secret_name.as_deref(),
            secret_only: options.secret_only,
        }
    }
}

/// Whether the app can read a folder that was named.
async fn look_into(
    dropbox: &DropboxClient,
    access_token: &SecretString,
    folder: &Subfolder,
) -> Result<(), Exit> {
    match dropbox.look_into(access_token, folder).await {
        Ok(()) => Ok(()),
        // What says nothing of the folder is no reason to lose the refresh token.
        Err(error) if error.is_inconclusive() => {
            report(Mark::Unknown, &format!("the folder {folder}: {error}"));
            Ok(())
        }
        Err(error) => Err(Exit::Failed(format!(
            "the folder {folder}: {error}; nothing was written"
        ))),
    }
}

/// Shows the page, takes its code, and exchanges it.
async fn authorize(
    options: &Options,
    inputs: &Inputs<'_>,
    dropbox: &DropboxClient,
) -> Result<Credentials, Exit> {
    let www = options.www()?;
    let (mut app_key, mut app_secret) = (inputs.app_key()?, inputs.app_secret()?);
    for attempt in 1.. {
        let url = authorize_url(&www, app_key.expose_secret());
        if inputs.asks_for_code() {
            say(&format!(
                "Open this page, allow the app, and copy the code that it shows:\n\n  {url}\n"
            ));
            if options.open && !open(&url) {
                report(
                    Mark::Unknown,
                    "no browser could be started; open the page yourself",
                );
            }
        }
        let code = inputs.code()?;
        match dropbox.redeem(&app_key, &app_secret, &code).await {
            Ok(refresh_token) => {
                return Ok(Credentials {
                    app_key,
                    app_secret,
                    refresh_token,
                });
            }
            Err(error) if attempt < ATTEMPTS && inputs.may_ask_again(&error) => {
                report(Mark::Bad, &error.to_string());
                // A code that is refused says nothing against the app.
                if error == CallError::InvalidClient {
                    (app_key, app_secret) = (inputs.app_key()?, inputs.app_secret()?);
                }
            }
            Err(error @ CallError::InvalidCode) => {
                return Err(Exit::Failed(format!("{error}: {url}")));
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    unreachable!("the last attempt returns")
}

fn failed(error: &CallError) -> Exit {
    Exit::Failed(error.to_string())
}

/// Starts a browser. The URL holds the app key, which is no secret.
fn open(url: &Url) -> bool {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let browser = Command::new(program)
        .arg(url.as_str())
        .env_remove(APP_SECRET)
        .env_remove(CODE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    browser.is_ok()
}

/// The folder that a text names.
fn parse_folder(text: &str) -> Result<Subfolder, String> {
    text.parse()
        .map_err(|reason| format!("the folder: {reason}"))
}
